use super::*;
use crate::names::VantageName;
use crate::origin::{Baseline, OriginState};
use crate::settings::FrontDoorResource;

fn settings(mode: Mode) -> Arc<Settings> {
    let front_door = FrontDoorResource::Standard {
        subscription: "s".to_owned(),
        resource_group: "g".to_owned(),
        profile: "shop".to_owned(),
        origin_group: "storefront".to_owned(),
    };
    let origin = Baseline {
        region: "weu".into(),
        origin: "o-weu".to_owned(),
        state: OriginState::default(),
    };
    let mut settings = Settings::new(front_door, vec![origin], VantageName::new("weu").unwrap());
    settings.mode = mode;
    Arc::new(settings)
}

fn codes(status: &Status) -> Vec<String> {
    status.alerts().iter().map(|alert| alert.code.to_string()).collect()
}

#[tokio::test]
async fn a_publisher_that_does_not_run_reports_why() {
    let down = Status::at_rest(settings(Mode::Apply), Some("no file".to_owned()));
    assert_eq!(codes(&down), ["publisher-down"]);
    assert!(
        down.view().to_string().contains("! publisher-down: no file"),
        "{}",
        down.view()
    );
    // One that starts has no votes yet; one that is off needs none.
    assert_eq!(codes(&Status::at_rest(settings(Mode::DryRun), None)), ["no-quorum"]);
    assert_eq!(codes(&Status::at_rest(settings(Mode::Off), None)), Vec::<String>::new());
}

#[tokio::test]
async fn a_view_is_read_back_as_it_was_served() {
    let status = Status::at_rest(settings(Mode::Apply), Some("no file".to_owned()));
    status.counters.reads.add();
    let view = status.view();
    let served = serde_json::to_string(&view).unwrap();
    let read: View = serde_json::from_str(&served).unwrap();
    assert_eq!(serde_json::to_string(&read).unwrap(), served);
    assert_eq!((read.to_string(), read.counters.reads.get()), (view.to_string(), 1));
}
