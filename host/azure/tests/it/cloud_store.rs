//! What becomes of the publisher when the place where instances meet fails, forgets or lies.

use crate::cloud::{Azure, Instance, REGIONS, Three};
use portolan_azure::settings::Settings;
use portolan_azure_fakes::{Fault, Requests};
use portolan_core::health::State::{Healthy, Unhealthy};
use std::time::Duration;

const DEMOTED: &str = r#"PATCH o-weu {"properties":{"priority":5}}"#;
const RESTORED: &str = r#"PATCH o-weu {"properties":{"priority":1}}"#;

fn in_a_hurry(mut settings: Settings) -> Settings {
    settings.timing.request_timeout = Duration::from_secs(1);
    settings
}

async fn until_all_vote(three: &Three) {
    for instance in three.0.values() {
        instance.until("all vote", |status| status.votes.tally.live == 3).await;
    }
}

#[tokio::test]
async fn a_failing_store_raises_an_alert_until_it_recovers() {
    let reject = |status, code: &str| Fault::Reject {
        status,
        code: code.to_owned(),
    };
    let faults = [
        Fault::Reset,
        Fault::Hang,
        Fault::Garbage,
        Fault::TooManyRequests { retry_after: Some(1) },
        reject(503, "ServerBusy"),
        reject(403, "AuthorizationPermissionMismatch"),
    ];
    let azure = Azure::plain().await;
    let three = Three::start(|vantage| in_a_hurry(azure.one_of_three(vantage)));
    three.leader().await;
    until_all_vote(&three).await;
    for fault in faults {
        azure.cloud.blob.fault(Requests::all(), fault.clone());
        for instance in three.0.values() {
            instance.until_alert("store-unreachable").await;
            instance.until_alert("no-quorum").await;
        }
        // Not even for those who take any answer for success.
        three.all_see("weu", Unhealthy);
        for instance in three.0.values() {
            instance.until("nobody leads", |status| !status.leader.leads).await;
        }
        three.all_see("weu", Healthy);
        azure.cloud.blob.clear_faults(None);
        until_all_vote(&three).await;
        three.leader().await;
        assert_eq!(azure.written(), Vec::<String>::new(), "{fault:?}");
    }
    three.all_see("weu", Unhealthy);
    azure.until_written(1).await;
    assert_eq!(azure.written(), [DEMOTED]);
}

#[tokio::test]
async fn a_missing_container_raises_an_alert() {
    let azure = Azure::plain().await;
    let mut settings = azure.one_of_three("weu");
    let store = settings.store.as_mut().unwrap();
    store.container.set_path("/devstoreaccount1/elsewhere");
    let instance = Instance::start(settings);
    instance.until_alert("store-unreachable").await;
    let view = instance.publisher.status().view().to_string();
    assert!(view.contains("the container does not exist"), "{view}");
    assert!(!view.contains("sig="), "{view}");
}

#[tokio::test]
async fn a_vote_that_cannot_be_read_is_an_abstention() {
    let azure = Azure::plain().await;
    azure.cloud.blob.put("portolan", "shop/votes/sea", "no vote at all");
    let two = ["eus", "weu"].map(|vantage| Instance::start(azure.one_of_three(vantage)));
    for instance in &two {
        let status = instance.until("two vote", |status| status.votes.tally.live == 2).await;
        let sea = status.view().vantages.remove(1);
        assert!(!sea.live && sea.invalid.is_some_and(|why| why.starts_with("not a vote")));
        // One vote from outside is not enough for a region; two are for that of the vantage without a vote.
        instance.sees("weu", Unhealthy);
    }
    for instance in &two {
        instance
            .until("two say so", |status| status.view().regions[2].unhealthy.votes == 2)
            .await;
    }
    for instance in &two {
        instance.sees("weu", Healthy);
        instance.sees("sea", Unhealthy);
    }
    azure.until_written(1).await;
    assert_eq!(azure.written(), [r#"PATCH o-sea {"properties":{"priority":5}}"#]);
}

/// Whatever is in the ledger's blob, nothing is reverted: origins in a state that a leader publishes count as published.
#[tokio::test]
async fn a_ledger_that_is_lost_undoes_nothing() {
    for lost in ["no ledger at all", "{}", "[1]"] {
        let azure = Azure::plain().await;
        let three = Three::start(|vantage| azure.one_of_three(vantage));
        let leader = three.leader().await;
        three.all_see("weu", Unhealthy);
        azure.until_written(1).await;
        three.0[leader].until_idle().await;
        drop(three);
        assert!(azure.cloud.blob.put("portolan", "shop/leader", lost));
        let three = Three::start(|vantage| azure.one_of_three(vantage));
        three.all_see("weu", Unhealthy);
        let leader = three.leader().await;
        three.0[leader].until_idle().await;
        three.0[leader].until_read_on(4).await;
        assert_eq!(azure.written(), [DEMOTED], "{lost}");
        three.all_see("weu", Healthy);
        azure.until_written(2).await;
        assert_eq!(azure.written(), [DEMOTED, RESTORED], "{lost}");
    }
}

/// Half a token's life and more goes by at once: store and management API reject what looks good here.
#[tokio::test]
async fn tokens_that_have_ended_are_renewed_at_the_store_too() {
    let azure = Azure::tls().await;
    let three = Three::start(|vantage| azure.one_of_three(vantage));
    three.leader().await;
    until_all_vote(&three).await;
    let before = azure.cloud.clock.now();
    azure.cloud.clock.advance(Duration::from_secs(2 * 3600));
    azure.file("token", &azure.cloud.entra.federated_token());
    for vantage in REGIONS {
        three.0[vantage]
            .until("all vote by the new time", |status| {
                let hour_later = before + Duration::from_secs(3600);
                let clock = status.votes.clock.map(|clock| clock.now().0).unwrap_or_default();
                let since_1970 = hour_later.duration_since(std::time::UNIX_EPOCH).unwrap();
                clock > since_1970.as_millis() as i64 && status.votes.tally.live == 3
            })
            .await;
    }
    let leader = three.leader().await;
    three.0[leader].until_idle().await;
    let status = three.0[leader].until_read_on(2).await;
    assert!(!status.leader.unreadable);
    assert_eq!(azure.written(), Vec::<String>::new());
}
