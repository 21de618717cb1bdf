//! Front Door (classic): written whole, and only when nothing is lost by it.

use crate::cloud::{Azure, Instance, PATIENCE, REGIONS};
use http::Method;
use portolan_azure::diff::{Wanted, diff};
use portolan_azure::intent::Intent;
use portolan_azure::publisher::Parts;
use portolan_azure::settings::{FrontDoorResource as Target, Settings};
use portolan_azure::target::TargetError;
use portolan_azure_fakes::arm::{BackendPool, Behaviour, ClassicFrontDoor, Ending, Origin, Writes};
use portolan_azure_fakes::{Fault, Requests};
use portolan_core::health::State::{Healthy, Unhealthy};
use serde_json::{Value, json};
use std::time::Duration;

const SUBSCRIPTION: &str = "00000000-0000-0000-0000-000000000001";
const ID: &str = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/edge/providers/Microsoft.Network/frontDoors/shop-classic";

fn address(region: &str) -> String {
    format!("gw-{region}.example.net")
}

/// Azure with a classic front door: two pools, so that there is one that is not ours.
pub(crate) async fn azure() -> Azure {
    let azure = Azure::plain().await;
    let backend = |region: &str| Origin {
        name: String::new(),
        host_name: address(region),
        priority: Some(1),
        weight: Some(50),
        enabled: true,
    };
    let pool = |name: &str| BackendPool {
        name: name.to_owned(),
        backends: REGIONS.map(backend).to_vec(),
    };
    azure.cloud.arm.seed_front_door(&ClassicFrontDoor {
        subscription: SUBSCRIPTION.to_owned(),
        resource_group: "edge".to_owned(),
        name: "shop-classic".to_owned(),
        front_door_id: "3b4682da-b3e2-47a1-96ca-08ab3cb7294e".to_owned(),
        pools: vec![pool("other"), pool("storefront")],
    });
    azure
}

pub(crate) fn settings(azure: &Azure) -> Settings {
    let mut settings = azure.alone();
    settings.front_door = Target::Classic {
        subscription: SUBSCRIPTION.to_owned(),
        resource_group: "edge".to_owned(),
        front_door: "shop-classic".to_owned(),
        backend_pool: "storefront".to_owned(),
    };
    for origin in &mut settings.origins {
        origin.origin = address(origin.region.as_str());
    }
    settings
}

fn resource(azure: &Azure) -> Value {
    azure.cloud.arm.resource(ID).unwrap()
}

/// The front door with a member of it changed by an operator.
fn operator_sets(azure: &Azure, path: &str, value: Value) {
    let mut by_hand = resource(azure);
    let (parent, member) = path.rsplit_once('/').unwrap();
    by_hand.pointer_mut(parent).unwrap()[member] = value;
    assert!(azure.cloud.arm.operator_puts(&by_hand));
}

async fn until_priority(azure: &Azure, instance: &Instance, priority: u64) {
    let done = azure.cloud.arm.until(PATIENCE, |arm| {
        let backend = arm.backend("shop-classic", "storefront", &address("weu")).unwrap();
        backend.priority == Some(priority) && backend.provisioning_state == "Succeeded"
    });
    done.await
        .unwrap_or_else(|late| panic!("{late}\n{}\n{}", azure.log(), instance.publisher.status().view()));
}

#[tokio::test]
async fn a_region_dies_and_comes_back_and_all_else_stays() {
    for writes in [Writes::Async, Writes::LocationOnly, Writes::Sync] {
        let azure = azure().await;
        azure.cloud.arm.set_behaviour(Behaviour::Writes(writes));
        let before = resource(&azure);
        let instance = Instance::start(settings(&azure));
        instance.until_idle().await;
        instance.sees("weu", Unhealthy);
        until_priority(&azure, &instance, 5).await;
        let mut expected = before.clone();
        *expected
            .pointer_mut("/properties/backendPools/1/properties/backends/2/priority")
            .unwrap() = json!(5);
        assert_eq!(resource(&azure), expected, "{writes:?}");
        instance.sees("weu", Healthy);
        until_priority(&azure, &instance, 1).await;
        assert_eq!(resource(&azure), before, "{writes:?}");
        instance.until_read_on(4).await;
        assert_eq!(azure.writes().len(), 2, "{}", azure.log());
        for write in azure.writes() {
            assert_eq!(
                (write.method, write.api_version.as_deref()),
                (Method::PUT, Some("2021-06-01"))
            );
        }
        azure.assert_by_contract();
        let about = instance.publisher.status().leader.about;
        assert_eq!(
            about.unwrap().front_door_id.as_deref(),
            Some("3b4682da-b3e2-47a1-96ca-08ab3cb7294e")
        );
    }
}

/// The service has a new member that is not in the model.
#[tokio::test]
async fn nothing_is_written_that_would_lose_something() {
    let azure = azure().await;
    operator_sets(&azure, "/properties/newestThing", json!({"deep": ["inside"]}));
    let instance = Instance::start(settings(&azure));
    instance.until_idle().await;
    instance.sees("weu", Unhealthy);
    instance.until_alert("change-failed").await;
    let view = instance.publisher.status().view().to_string();
    assert!(
        view.contains("these members would be lost: /properties/newestThing/deep/0"),
        "{view}"
    );
    instance.until_read_on(4).await;
    assert_eq!(azure.written(), Vec::<String>::new());
    operator_sets(&azure, "/properties/newestThing", Value::Null);
    until_priority(&azure, &instance, 5).await;
    assert_eq!(azure.writes().len(), 1);
}

/// Between the reading that the plan was made of and the one straight before writing, an operator is at work.
#[tokio::test]
async fn an_operators_edit_is_not_written_over() {
    let azure = azure().await;
    let settings = settings(&azure);
    let target = Parts::connect(&settings).unwrap().target;
    let observed = target.observe().await.unwrap();
    let wanted: Vec<Wanted> = settings
        .origins
        .iter()
        .map(|origin| Wanted {
            region: origin.region.clone(),
            origin: origin.origin.clone(),
            was: Intent::Baseline,
            intent: Intent::Demoted,
            state: origin.state.demoted(),
        })
        .collect();
    let changes = diff(&wanted, &observed);
    operator_sets(
        &azure,
        "/properties/routingRules/0/properties/enabledState",
        json!("Disabled"),
    );
    match target.send(&changes).await {
        Err(TargetError::Changed(paths)) => {
            assert_eq!(paths, ["/properties/routingRules/0/properties/enabledState"]);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(azure.written(), Vec::<String>::new());
    // After another read it is kept.
    target.observe().await.unwrap();
    target.send(&changes).await.unwrap();
    let rules = &resource(&azure)["properties"]["routingRules"];
    assert_eq!(rules[0]["properties"]["enabledState"], "Disabled");
    for region in REGIONS {
        let backend = azure.cloud.arm.backend("shop-classic", "storefront", &address(region));
        assert_eq!(backend.unwrap().priority, Some(5), "all in one request");
    }
    assert_eq!(azure.writes().len(), 1);
}

#[tokio::test]
async fn failures_and_lost_answers_are_retried() {
    let azure = azure().await;
    let ending = Ending::Failed {
        code: "InternalServerError".to_owned(),
        message: "it burnt".to_owned(),
    };
    let last = Some(Duration::from_millis(100));
    azure.cloud.arm.set_behaviour(Behaviour::Operations { last, ending });
    let instance = Instance::start(settings(&azure));
    instance.until_idle().await;
    instance.sees("weu", Unhealthy);
    instance.until_alert("change-failed").await;
    let ending = Ending::Succeeded;
    azure.cloud.arm.set_behaviour(Behaviour::Operations { last, ending });
    until_priority(&azure, &instance, 5).await;
    let before = azure.writes().len();
    // The answer to the change is cut off: the front door itself shows that it arrived.
    azure
        .cloud
        .arm
        .fault_times(1, Requests::all().with_method(Method::PUT), Fault::Cut);
    instance.sees("weu", Healthy);
    until_priority(&azure, &instance, 1).await;
    instance.until_read_on(4).await;
    assert_eq!(azure.writes().len(), before + 1, "{}", azure.log());
}
