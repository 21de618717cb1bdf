//! The roles under `deploy/azure` are enough for the publisher.

use crate::cloud::{Azure, Instance};
use crate::cloud_classic;
use portolan_azure::settings::Settings;
use portolan_azure_fakes::arm::Behaviour;
use portolan_core::health::State::Unhealthy;
use serde_json::Value;
use std::path::Path;

/// The actions of a role.
fn actions(role: &str) -> Vec<String> {
    let file = format!("../../deploy/azure/{role}.json");
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
    let role: Value = serde_json::from_str(&text).unwrap();
    let actions = role["Actions"].as_array().unwrap();
    actions
        .iter()
        .map(|action| action.as_str().unwrap().to_owned())
        .collect()
}

/// Demotes a region with these actions only; the statuses of all answers.
async fn publish(azure: &Azure, settings: Settings, actions: Vec<String>) -> Vec<u16> {
    azure.cloud.arm.set_behaviour(Behaviour::AllowOnly(actions));
    let instance = Instance::start(settings);
    instance
        .until("all is read", |status| status.leader.about.is_some())
        .await;
    instance.sees("weu", Unhealthy);
    instance
        .until("it is published", |status| {
            let pending = status.ledger().is_none_or(|ledger| ledger.pending.is_some());
            status.counters.published.get() == 1 && !pending
        })
        .await;
    let log = azure.cloud.arm.log();
    log.iter().filter_map(|request| request.status).collect()
}

#[tokio::test]
async fn the_publishers_role_is_enough() {
    let azure = Azure::plain().await;
    let statuses = publish(&azure, azure.alone(), actions("publisher")).await;
    assert!(!statuses.contains(&403), "{}", azure.log());
}

/// Where operations are reported, the profile's role may not apply: then the origin is polled.
#[tokio::test]
async fn without_the_role_for_operations_it_works_all_the_same() {
    let azure = Azure::plain().await;
    let operations = actions("operations");
    let rest = actions("publisher")
        .into_iter()
        .filter(|action| !operations.contains(action))
        .collect();
    let statuses = publish(&azure, azure.alone(), rest).await;
    assert!(statuses.contains(&403), "{}", azure.log());
}

#[tokio::test]
async fn the_classic_publishers_role_is_enough() {
    let azure = cloud_classic::azure().await;
    let settings = cloud_classic::settings(&azure);
    let statuses = publish(&azure, settings, actions("classic-publisher")).await;
    assert!(!statuses.contains(&403), "{}", azure.log());
}

/// A vantage that may only read Front Door plans, publishes nothing, and reports that it may not.
#[tokio::test]
async fn a_role_that_may_only_read_is_reported() {
    let azure = Azure::plain().await;
    let reads = actions("publisher")
        .into_iter()
        .filter(|action| action.ends_with("/read"));
    azure.cloud.arm.set_behaviour(Behaviour::AllowOnly(reads.collect()));
    let instance = Instance::start(azure.alone());
    instance.until_idle().await;
    instance.sees("weu", Unhealthy);
    instance.until_alert("change-failed").await;
    let view = instance.publisher.status().view().to_string();
    assert!(view.contains("not allowed: 403 AuthorizationFailed"), "{view}");
    assert_eq!(azure.cloud.arm.origin("o-weu").unwrap().priority, Some(1));
}
