//! One instance alone, and everything that the management API and the token service can do to it.

use crate::cloud::{Azure, Instance, PATIENCE};
use http::Method;
use portolan_azure::settings::Credential;
use portolan_azure_fakes::arm::{Behaviour, Ending, Writes};
use portolan_azure_fakes::{Fault, Requests};
use portolan_core::health::State::{Draining, Healthy, Unhealthy};
use serde_json::json;
use std::time::Duration;

const DEMOTED: &str = r#"PATCH o-weu {"properties":{"priority":5}}"#;

fn patches() -> Requests {
    Requests::all().with_method(Method::PATCH)
}

/// One instance that has read Front Door once.
async fn alone(azure: &Azure) -> Instance {
    let instance = Instance::start(azure.alone());
    instance.until_idle().await;
    instance
}

/// Waits until the origin is demoted and the instance has seen it.
async fn until_demoted(azure: &Azure, instance: &Instance) {
    let demoted = azure.cloud.arm.until(PATIENCE, |arm| {
        arm.origin("o-weu").is_some_and(|origin| origin.priority == Some(5))
    });
    demoted
        .await
        .unwrap_or_else(|late| panic!("{late}\n{}\n{}", azure.log(), instance.publisher.status().view()));
    instance
        .until("it is known", |status| {
            let published = status.counters.published.get() > 0;
            published && status.ledger().is_some_and(|ledger| ledger.pending.is_none())
        })
        .await;
}

/// Lets it read Front Door a few times more, time enough for a second change if there were to be one.
async fn and_nothing_more(azure: &Azure, instance: &Instance, writes: usize) {
    instance.until_read_on(4).await;
    assert_eq!(azure.written().len(), writes, "{}", azure.log());
    azure.assert_by_contract();
}

#[tokio::test]
async fn however_a_write_is_answered_it_is_one_write() {
    for writes in [Writes::Sync, Writes::Async, Writes::LocationOnly] {
        let azure = Azure::plain().await;
        azure.cloud.arm.set_behaviour(Behaviour::Writes(writes));
        let instance = alone(&azure).await;
        instance.sees("weu", Unhealthy);
        until_demoted(&azure, &instance).await;
        and_nothing_more(&azure, &instance, 1).await;
        assert_eq!(azure.written(), [DEMOTED], "{writes:?}");
    }
}

#[tokio::test]
async fn a_storm_of_429_ends() {
    let azure = Azure::plain().await;
    let instance = alone(&azure).await;
    azure
        .cloud
        .arm
        .fault_times(3, patches(), Fault::TooManyRequests { retry_after: Some(1) });
    instance.sees("weu", Unhealthy);
    until_demoted(&azure, &instance).await;
    and_nothing_more(&azure, &instance, 4).await;
    let times: Vec<_> = azure.writes().iter().map(|write| write.at).collect();
    for pair in times.windows(2) {
        let waited = pair[1].duration_since(pair[0]).unwrap();
        assert!(waited >= Duration::from_secs(1), "asked again after {waited:?}");
    }
}

/// Polls and readings, too: a request before the time is over is rejected again.
#[tokio::test]
async fn polls_and_readings_that_are_throttled_wait_as_long_as_asked() {
    let azure = Azure::plain().await;
    azure.cloud.arm.set_behaviour(Behaviour::Operations {
        last: None,
        ending: Ending::Succeeded,
    });
    let instance = alone(&azure).await;
    instance.sees("weu", Unhealthy);
    azure.until_written(1).await;
    // Longer than the longest pause between two polls.
    let storm = Fault::TooManyRequests { retry_after: Some(2) };
    let polls = Requests::all().with_path("operationresults");
    azure.cloud.arm.fault_times(2, polls, storm.clone());
    instance
        .until("polls are throttled", |status| status.counters.throttled.get() == 2)
        .await;
    azure.cloud.arm.finish_operations();
    until_demoted(&azure, &instance).await;
    azure
        .cloud
        .arm
        .fault_times(2, Requests::all().with_method(Method::GET), storm);
    instance
        .until("readings are throttled", |status| status.counters.throttled.get() == 4)
        .await;
    and_nothing_more(&azure, &instance, 1).await;
    let log = azure.cloud.arm.log();
    let rejected = (0..log.len()).filter(|index| log[*index].status == Some(429));
    let mut pauses = 0;
    for index in rejected {
        let waited = log[index + 1].at.duration_since(log[index].at).unwrap();
        assert!(
            waited >= Duration::from_secs(2),
            "asked again after {waited:?}\n{}",
            azure.log()
        );
        pauses += 1;
    }
    assert_eq!(pauses, 4);
}

/// An error of the service is not the operation's result: the poll is repeated, after pauses that double.
#[tokio::test]
async fn polls_answered_with_an_error_back_off() {
    let azure = Azure::plain().await;
    let mut settings = azure.alone();
    // The longest such pause.
    settings.timing.reconcile = Duration::from_secs(5);
    let first = settings.timing.retry_least;
    let instance = Instance::start(settings);
    instance.until_idle().await;
    let polls = || Requests::all().with_path("operationresults");
    for status in [408, 500, 408, 500] {
        let code = "ServerError".to_owned();
        azure.cloud.arm.fault_times(1, polls(), Fault::Reject { status, code });
    }
    instance.sees("weu", Unhealthy);
    until_demoted(&azure, &instance).await;
    assert_eq!(azure.written(), [DEMOTED], "the change is not sent again");
    let log = azure.cloud.arm.log();
    let polls: Vec<_> = log
        .iter()
        .filter(|request| request.path.contains("operationresults"))
        .collect();
    let statuses: Vec<_> = polls.iter().take(5).map(|poll| poll.status).collect();
    assert_eq!(statuses, [500, 408, 500, 408, 200].map(Some));
    for (index, pair) in polls.windows(2).take(4).enumerate() {
        let paused = pair[1].at.duration_since(pair[0].at).unwrap();
        assert!(
            paused >= first * (1 << index),
            "poll {index} was repeated after {paused:?}"
        );
    }
}

#[tokio::test]
async fn a_conflict_is_asked_again() {
    let azure = Azure::plain().await;
    let instance = alone(&azure).await;
    let conflict = Fault::Reject {
        status: 409,
        code: "Conflict".to_owned(),
    };
    azure.cloud.arm.fault_times(2, patches(), conflict);
    instance.sees("weu", Unhealthy);
    until_demoted(&azure, &instance).await;
    and_nothing_more(&azure, &instance, 3).await;
}

#[tokio::test]
async fn an_operation_that_fails_raises_an_alert_and_is_retried() {
    let azure = Azure::plain().await;
    let ending = Ending::Failed {
        code: "InternalServerError".to_owned(),
        message: "it burnt".to_owned(),
    };
    let last = Some(Duration::from_millis(300));
    azure.cloud.arm.set_behaviour(Behaviour::Operations { last, ending });
    let instance = alone(&azure).await;
    instance.sees("weu", Unhealthy);
    instance.until_alert("change-failed").await;
    let view = instance.publisher.status().view().to_string();
    assert!(view.contains("InternalServerError it burnt"), "{view}");
    let ending = Ending::Succeeded;
    azure.cloud.arm.set_behaviour(Behaviour::Operations { last, ending });
    until_demoted(&azure, &instance).await;
}

/// The fakes' clock goes half an hour ahead while the operation runs, and the store's with it.
#[tokio::test]
async fn an_operation_of_half_an_hour_is_one_write() {
    let azure = Azure::plain().await;
    azure.cloud.arm.set_behaviour(Behaviour::Operations {
        last: Some(Duration::from_secs(30 * 60)),
        ending: Ending::Succeeded,
    });
    let instance = alone(&azure).await;
    instance.sees("weu", Unhealthy);
    azure.until_written(1).await;
    let polls = instance.publisher.status().counters.polls.get();
    instance
        .until("it polls", |status| status.counters.polls.get() >= polls + 3)
        .await;
    azure.cloud.clock.advance(Duration::from_secs(30 * 60));
    until_demoted(&azure, &instance).await;
    and_nothing_more(&azure, &instance, 1).await;
}

#[tokio::test]
async fn our_token_does_not_follow_a_report_to_another_host() {
    let azure = Azure::plain().await;
    // The blob store is the other host: it logs all requests.
    azure
        .cloud
        .arm
        .set_behaviour(Behaviour::PollAt(Some(azure.cloud.blob.url())));
    let instance = alone(&azure).await;
    instance.sees("weu", Unhealthy);
    until_demoted(&azure, &instance).await;
    and_nothing_more(&azure, &instance, 1).await;
    assert!(azure.cloud.blob.log().is_empty());
}

#[tokio::test]
async fn without_the_right_to_read_operations_the_origin_is_watched() {
    let azure = Azure::plain().await;
    azure
        .cloud
        .arm
        .set_behaviour(Behaviour::Deny("Microsoft.Cdn/operationresults/read".to_owned()));
    let instance = alone(&azure).await;
    instance.sees("weu", Unhealthy);
    until_demoted(&azure, &instance).await;
    and_nothing_more(&azure, &instance, 1).await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_no_second_write() {
    let azure = Azure::plain().await;
    azure.cloud.arm.fault_times(1, patches(), Fault::Cut);
    let instance = alone(&azure).await;
    instance.sees("weu", Unhealthy);
    until_demoted(&azure, &instance).await;
    and_nothing_more(&azure, &instance, 1).await;
}

#[tokio::test]
async fn resets_hangs_and_garbage_are_retried() {
    for fault in [Fault::Reset, Fault::Hang, Fault::Garbage] {
        let azure = Azure::plain().await;
        let mut settings = azure.alone();
        settings.timing.request_timeout = Duration::from_secs(1);
        let instance = Instance::start(settings);
        instance
            .until("it has read all", |status| status.leader.about.is_some())
            .await;
        azure.cloud.arm.fault_times(2, Requests::all(), fault.clone());
        azure.cloud.arm.fault_times(1, patches(), fault.clone());
        instance.sees("weu", Unhealthy);
        until_demoted(&azure, &instance).await;
        let status = instance.publisher.status();
        assert!(
            status.counters.read_errors.get() + status.counters.write_errors.get() > 0,
            "{fault:?}"
        );
    }
}

#[tokio::test]
async fn tokens_that_end_are_renewed_and_rejected_ones_forgotten() {
    let azure = Azure::plain().await;
    azure.cloud.entra.expires_in(Duration::from_secs(2));
    let instance = alone(&azure).await;
    // Several lives of a token later it still reads.
    let asked = |azure: &Azure| azure.cloud.entra.log().len();
    azure.cloud.entra.until(PATIENCE, |_| asked(&azure) >= 4).await.unwrap();
    instance.until_read_on(1).await;
    // The service's clock goes ahead: tokens that look good here have ended there.
    azure.cloud.entra.expires_in(Duration::from_secs(3600));
    let before = asked(&azure);
    azure
        .cloud
        .entra
        .until(PATIENCE, |_| asked(&azure) > before)
        .await
        .unwrap();
    azure.cloud.clock.advance(Duration::from_secs(2 * 3600));
    instance.until_read_on(2).await;
    assert!(!instance.publisher.status().leader.unreadable);
}

#[tokio::test]
async fn a_failing_token_service_raises_an_alert_until_it_recovers() {
    let azure = Azure::plain().await;
    azure.cloud.entra.fault(
        Requests::all(),
        Fault::Reject {
            status: 400,
            code: "invalid_client".to_owned(),
        },
    );
    let instance = Instance::start(azure.alone());
    instance.until_alert("front-door-unreadable").await;
    let view = instance.publisher.status().view().to_string();
    assert!(view.contains("failed to get a token by client-secret"), "{view}");
    assert!(!view.contains(portolan_azure_fakes::entra::CLIENT_SECRET));
    azure.cloud.entra.clear_faults(None);
    instance.until_idle().await;
}

#[tokio::test]
async fn a_missing_token_file_raises_an_alert() {
    let azure = Azure::plain().await;
    let mut settings = azure.alone();
    settings.credential = Credential::WorkloadIdentity {
        tenant: Some("t".to_owned()),
        client: Some("c".to_owned()),
        token_file: Some("/nowhere/at/all".into()),
    };
    let instance = Instance::start(settings);
    instance.until_alert("front-door-unreadable").await;
    let view = instance.publisher.status().view().to_string();
    assert!(view.contains("failed to get a token by workload-identity"), "{view}");
}

#[tokio::test]
async fn an_operators_change_is_reported_and_reverted() {
    let azure = Azure::plain().await;
    let instance = alone(&azure).await;
    instance
        .until("it knows them", |status| {
            status.ledger().is_some_and(|it| it.published.len() == 3)
        })
        .await;
    assert!(
        azure
            .cloud
            .arm
            .operator_sets("o-eus", json!({"weight": 7, "hostName": "other.example.net"}))
    );
    azure.until_written(1).await;
    let status = instance.until_idle().await;
    assert_eq!(azure.written(), [r#"PATCH o-eus {"properties":{"weight":50}}"#]);
    let view = status.view();
    assert_eq!(
        view.changed_by_others,
        [
            r#"origin o-eus: hostName changed from "gw-eus.example.net" to "other.example.net""#,
            "origin o-eus: left as priority 1 weight 50 enabled true, found as priority 1 weight 7 enabled true",
        ]
    );
    assert_eq!(view.counters.drift.get(), 1);
    and_nothing_more(&azure, &instance, 1).await;
}

#[tokio::test]
async fn the_service_never_has_to_reject_the_last_enabled_origin() {
    let azure = Azure::plain().await;
    let instance = alone(&azure).await;
    for region in ["eus", "sea"] {
        azure
            .cloud
            .arm
            .operator_sets(&format!("o-{region}"), json!({"enabledState": "Disabled"}));
    }
    let mut others_off = azure.alone();
    others_off.origins[0].state.enabled = false;
    others_off.origins[1].state.enabled = false;
    drop(instance);
    let instance = Instance::start(others_off);
    instance.until_idle().await;
    instance.sees("weu", Draining);
    instance
        .until("it is held", |status| status.view().regions[2].held.is_some())
        .await;
    and_nothing_more(&azure, &instance, 0).await;
    instance.sees("weu", Healthy);
}

/// Its siblings are configured and enabled, but Front Door has none of them.
#[tokio::test]
async fn an_origin_whose_siblings_are_not_there_is_the_last_enabled_one() {
    let azure = Azure::plain().await;
    let mut settings = azure.alone();
    settings.origins[0].origin = "o-elsewhere".to_owned();
    for origin in ["o-eus", "o-sea"] {
        azure
            .cloud
            .arm
            .operator_sets(origin, json!({"enabledState": "Disabled"}));
    }
    settings.origins[1].state.enabled = false;
    let instance = Instance::start(settings);
    instance.until_idle().await;
    instance.sees("weu", Draining);
    let status = instance
        .until("it is held", |status| status.view().regions[2].held.is_some())
        .await;
    let held = status.view().regions[2].held.clone();
    assert_eq!(held.as_deref(), Some("drained it is the last enabled origin"));
    and_nothing_more(&azure, &instance, 0).await;
}

#[tokio::test]
async fn a_missing_origin_raises_an_alert() {
    let azure = Azure::plain().await;
    let mut settings = azure.alone();
    settings.origins[2].origin = "o-elsewhere".to_owned();
    let instance = Instance::start(settings);
    instance.until_alert("origin-missing").await;
    instance.sees("weu", Unhealthy);
    and_nothing_more(&azure, &instance, 0).await;
}
