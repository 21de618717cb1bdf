//! The acceptance scenarios over sockets: TLS, tokens, leases, votes, operations.

use crate::cloud::{Azure, Instance, PATIENCE, REGIONS, Three, ms};
use http::Method;
use portolan_azure::probe::{GatewayView, ProbeAnswerer};
use portolan_azure::settings::{ProbeTiming, Settings};
use portolan_azure_fakes::arm::{Behaviour, Ending};
use portolan_core::health::State::{self, Healthy, Unhealthy};
use portolan_core::id::{RegionName, ServiceId, ServiceName, Slot};
use std::time::Duration;
use tokio::time::{Instant, timeout};

const DEMOTED: &str = r#"PATCH o-weu {"properties":{"priority":5}}"#;
const RESTORED: &str = r#"PATCH o-weu {"properties":{"priority":1}}"#;

/// Makes two tests of each scenario: with the blob store in process, and with the emulator's.
macro_rules! scenarios {
    ($($name:ident),+ $(,)?) => {
        mod in_process {
            $(#[tokio::test]
            async fn $name() {
                super::$name(crate::cloud::Azure::tls().await).await;
            })+
        }

        mod azurite {
            $(#[tokio::test]
            async fn $name() {
                let container = stringify!($name).replace('_', "-");
                match crate::cloud::Azure::emulated(&container).await {
                    Some(azure) => super::$name(azure).await,
                    None => eprintln!("not run: PORTOLAN_AZURITE names no emulator"),
                }
            })+
        }
    };
}

scenarios![
    a_region_dies_and_comes_back,
    another_leader_goes_on_with_the_operation_of_a_dead_one,
];

/// Follows an instance's fast path until the probe of a region gets this answer.
async fn until_probe(instance: &Instance, own: State, region: &str, expected: u16) -> Duration {
    let began = Instant::now();
    let timing = ProbeTiming {
        healthy_after: ms(300),
        ..ProbeTiming::default()
    };
    let regions = REGIONS.map(RegionName::from).to_vec();
    let mut board = ProbeAnswerer::new(timing, [(ServiceName::from("storefront"), regions)]);
    let index = REGIONS.iter().position(|name| *name == region).unwrap();
    let mut votes = instance.publisher.votes();
    loop {
        let seen = votes.borrow_and_update().clone();
        let answers = board.update(Instant::now(), |_, slot| GatewayView {
            own,
            quorum: seen.verdict(
                &RegionName::from(REGIONS[slot.index()]),
                Instant::now(),
                timing.stale_after,
            ),
        });
        let answer = answers.region(ServiceId(0), Slot(index as u8), Instant::now());
        if answer.status() == expected {
            return began.elapsed();
        }
        timeout(PATIENCE, votes.changed())
            .await
            .expect("a probe's answer in time")
            .unwrap();
    }
}

/// End to end over TLS with workload identity: a region dies, all vote so, one change; it recovers, one change.
async fn a_region_dies_and_comes_back(azure: Azure) {
    let three = Three::start(|vantage| azure.one_of_three(vantage));
    three.leader().await;
    for instance in three.0.values() {
        until_probe(instance, Healthy, "weu", 200).await;
        instance.until("all vote", |status| status.votes.tally.live == 3).await;
    }
    assert_eq!(azure.written(), Vec::<String>::new());

    three.all_see("weu", Unhealthy);
    for instance in three.0.values() {
        let took = until_probe(instance, Unhealthy, "weu", 503).await;
        assert!(took < Duration::from_secs(3), "{took:?}");
    }
    azure.until_written(1).await;
    let leader = three.leader().await;
    three.0[leader].until_idle().await;
    assert_eq!(azure.written(), [DEMOTED]);

    three.all_see("weu", Healthy);
    for instance in three.0.values() {
        until_probe(instance, Healthy, "weu", 200).await;
    }
    azure.until_written(2).await;
    three.0[leader].until_idle().await;
    let status = three.0[leader].until_read_on(4).await;
    assert_eq!(azure.written(), [DEMOTED, RESTORED], "once each");
    azure.assert_by_contract();
    for write in azure.writes() {
        assert_eq!(write.api_version.as_deref(), Some("2024-02-01"));
    }
    let about = status.leader.about.clone().expect("read once");
    assert_eq!(
        about.front_door_id.as_deref(),
        Some("3b4682da-b3e2-47a1-96ca-08ab3cb7294e")
    );
    eprintln!("{}\n{}", azure.log(), status.view());
}

/// The leader dies in the middle of an operation: another takes over, polls on, and sends nothing again.
async fn another_leader_goes_on_with_the_operation_of_a_dead_one(azure: Azure) {
    azure.cloud.arm.set_behaviour(Behaviour::Operations {
        last: None,
        ending: Ending::Succeeded,
    });
    let mut three = Three::start(|vantage| azure.one_of_three(vantage));
    let first = three.leader().await;
    three.all_see("weu", Unhealthy);
    azure.until_written(1).await;
    // The poll URL is persisted before the leader dies.
    let other = REGIONS.into_iter().find(|vantage| *vantage != first).unwrap();
    three.0[other]
        .until("the others know where to ask", |status| {
            let pending = status.votes.ledger.pending.clone();
            pending.is_some_and(|pending| pending.operation.is_some())
        })
        .await;
    drop(three.0.remove(first));

    let began = Instant::now();
    let second = three.leader().await;
    assert!(began.elapsed() < Duration::from_secs(60));
    let polls = |azure: &Azure| {
        let log = azure.cloud.arm.log();
        log.iter()
            .filter(|request| request.path.contains("operationresults"))
            .count()
    };
    let before = polls(&azure);
    azure
        .cloud
        .arm
        .until(PATIENCE, |_| polls(&azure) > before)
        .await
        .unwrap();
    let status = three.0[second].publisher.status();
    assert_eq!(status.view().epoch, 2);
    azure.cloud.arm.finish_operations();
    three.0[second].until_idle().await;
    // It had every reason to send it again, and time: it reads on, and does not.
    three.0[second].until_read_on(3).await;
    assert_eq!(azure.written(), [DEMOTED]);
    azure.assert_by_contract();
}

/// Instances by ports of their own, so that each can be cut off alone.
async fn by_doors(azure: &Azure) -> Three {
    let mut listeners = std::collections::BTreeMap::new();
    for vantage in REGIONS {
        listeners.insert(vantage, azure.cloud.open_listener(vantage).await.unwrap());
    }
    let hurry = |mut settings: Settings| {
        settings.timing.request_timeout = Duration::from_secs(1);
        settings
    };
    Three::start(|vantage| azure.by_listener(hurry(azure.one_of_three(vantage)), &listeners[vantage]))
}

#[tokio::test]
async fn a_vantage_cut_off_from_everything_changes_nothing() {
    let azure = Azure::plain().await;
    let three = by_doors(&azure).await;
    three.leader().await;
    azure.cloud.partition("sea");
    REGIONS.iter().for_each(|region| three.0["sea"].sees(region, Unhealthy));
    three.0["sea"].until_alert("no-quorum").await;
    for vantage in ["eus", "weu"] {
        let seen = three.0[vantage]
            .until("two vote", |status| status.votes.tally.live == 2)
            .await;
        assert!(seen.votes.tally.is_quorate());
    }
    let leader = timeout(PATIENCE, async {
        loop {
            match three.leader().await {
                "sea" => tokio::task::yield_now().await,
                leader => break leader,
            }
        }
    });
    let leader = leader.await.expect("another leads");
    three.0[leader].until_read_on(10).await;
    assert_eq!(azure.written(), Vec::<String>::new());
}

#[tokio::test]
async fn with_two_of_three_cut_off_nothing_is_published_and_an_alert_is_raised() {
    let azure = Azure::plain().await;
    let three = by_doors(&azure).await;
    three.leader().await;
    azure.cloud.partition("sea");
    azure.cloud.partition("eus");
    for region in ["sea", "eus"] {
        three.0["weu"].sees(region, Unhealthy);
    }
    for instance in three.0.values() {
        instance.until_alert("no-quorum").await;
    }
    three.0["weu"].until("it leads", |status| status.leader.leads).await;
    three.0["weu"].until_read_on(10).await;
    assert_eq!(azure.written(), Vec::<String>::new());
    let status = three.0["weu"].publisher.status();
    assert!(
        status
            .view()
            .plan
            .unwrap()
            .starts_with("nothing may be changed: no quorum")
    );
    let changes = azure
        .cloud
        .arm
        .log()
        .iter()
        .filter(|request| request.method == Method::PATCH)
        .count();
    assert_eq!(changes, 0);
}

/// The next leader reaches the management API at another address than the one where the operation is reported.
#[tokio::test]
async fn an_operation_that_is_reported_elsewhere_is_seen_at_the_origin() {
    let azure = Azure::plain().await;
    azure.cloud.arm.set_behaviour(Behaviour::Operations {
        last: None,
        ending: Ending::Succeeded,
    });
    let mut three = by_doors(&azure).await;
    let first = three.leader().await;
    three.all_see("weu", Unhealthy);
    azure.until_written(1).await;
    let other = REGIONS.into_iter().find(|vantage| *vantage != first).unwrap();
    three.0[other]
        .until("the others know where to ask", |status| {
            let pending = status.votes.ledger.pending.clone();
            pending.is_some_and(|pending| pending.operation.is_some())
        })
        .await;
    azure.cloud.partition(first);
    drop(three.0.remove(first));
    let second = three.leader().await;
    three.0[second]
        .until("the origin is watched", |status| {
            let pending = status.ledger().and_then(|ledger| ledger.pending.clone());
            pending.is_some_and(|pending| pending.operation.is_none())
        })
        .await;
    azure.cloud.arm.finish_operations();
    three.0[second].until_idle().await;
    three.0[second].until_read_on(3).await;
    assert_eq!(azure.written(), [DEMOTED]);
}
