//! Three instances of the whole program, a Front Door and a store between them, as the acceptance asks: real sockets, real
//! clients, and fakes of Azure that check its contract.

use crate::azure::{Azure, DEMOTED, RESTORE, RESTORED, SUSTAIN, VANTAGES};
use portolan_azure_fakes::Fault;
use portolan_azure_fakes::arm::{Behaviour, Ending};
use portolan_tests::{Behaviour as Manner, Request, send};
use std::time::{Duration, Instant};

/// From the death of a region to the first 503, everywhere.
const BOUND: Duration = Duration::from_secs(3);
/// The store's clock shows whole seconds: votes may look that much older.
const TICK: Duration = Duration::from_secs(1);
/// From the death of a leader to the next one.
const TAKEOVER: Duration = Duration::from_secs(60);

/// Makes two tests of each scenario: with the blob store in process, and with the storage emulator's.
macro_rules! scenarios {
    ($($name:ident),+ $(,)?) => {
        mod in_process {
            $(#[tokio::test]
            async fn $name() {
                super::$name(crate::azure::Azure::start(None).await).await;
            })+
        }

        mod azurite {
            $(#[tokio::test]
            async fn $name() {
                match std::env::var("PORTOLAN_AZURITE") {
                    Ok(account) => super::$name(crate::azure::Azure::start(Some(&account)).await).await,
                    Err(_) => eprintln!("not run: PORTOLAN_AZURITE names no emulator"),
                }
            })+
        }
    };
}

scenarios![a_region_dies_and_comes_back];

async fn a_region_dies_and_comes_back(azure: Azure) {
    let fleet = azure.fleet();
    fleet.until_all_vote().await;
    let leader = fleet.until_led().await;
    for vantage in VANTAGES {
        assert_eq!(fleet.probe(vantage, "westeurope").await, 200);
    }
    let died = Instant::now();
    fleet.behave("westeurope", Manner::Dead);
    for vantage in VANTAGES {
        fleet.until_probe(vantage, "westeurope", 503).await;
        let took = died.elapsed();
        assert!(took < BOUND, "{vantage}: {took:?}");
        assert_eq!(fleet.probe(vantage, "eastus2").await, 200);
    }
    azure.until_written(1).await;
    assert!(died.elapsed() >= SUSTAIN - TICK, "not sustained: {:?}", died.elapsed());
    fleet.until_idle(leader).await;
    assert_eq!(azure.written(), [DEMOTED]);

    let healed = Instant::now();
    fleet.behave("westeurope", Manner::Serve);
    for vantage in VANTAGES {
        fleet.until_probe(vantage, "westeurope", 200).await;
    }
    azure.until_written(2).await;
    assert!(
        healed.elapsed() >= RESTORE - TICK,
        "not well for long: {:?}",
        healed.elapsed()
    );
    fleet.until_idle(leader).await;
    fleet.until_read_on(leader, 4).await;
    assert_eq!(azure.written(), [DEMOTED, RESTORED], "once each");
    azure.assert_by_contract();
    eprintln!("{}", azure.log());
}

/// It dies as by a cut of its cable: its lease is not given back.
#[tokio::test]
async fn the_leader_dies_in_the_middle_of_an_operation() {
    let azure = Azure::start(None).await;
    azure.cloud.arm.set_behaviour(Behaviour::Operations {
        last: None,
        ending: Ending::Succeeded,
    });
    let mut fleet = azure.fleet_by_one_address();
    fleet.until_all_vote().await;
    let first = fleet.until_led().await;
    fleet.behave("westeurope", Manner::Dead);
    azure.until_written(1).await;
    let other = VANTAGES.into_iter().find(|vantage| *vantage != first).expect("another");
    fleet
        .until(other, "it is known where to ask", |status| {
            let pending = status.votes.ledger.pending.as_ref();
            pending.is_some_and(|pending| pending.operation.is_some())
        })
        .await;
    let polls = azure.polls();
    let died = Instant::now();
    let dying = fleet.kill(first);
    let second = fleet.until_led().await;
    assert_ne!(second, first);
    assert!(died.elapsed() < TAKEOVER, "{:?}", died.elapsed());
    azure.until(|azure| azure.polls() > polls).await;
    assert_eq!(fleet.status(second).view().epoch, 2);
    azure.cloud.arm.finish_operations();
    fleet.until_idle(second).await;
    fleet.until_read_on(second, 4).await;
    assert_eq!(azure.written(), [DEMOTED], "no duplicate");
    azure.assert_by_contract();
    eprintln!("{}", azure.log());
    dying.join().expect("it ends");
}

#[tokio::test]
async fn a_vantage_cut_off_changes_nothing_and_fails_open() {
    let azure = Azure::start(None).await;
    let fleet = azure.fleet();
    fleet.until_all_vote().await;
    azure.cloud.partition("eastus2");
    fleet.until_alert("eastus2", "no-quorum").await;
    for vantage in ["westeurope", "southeastasia"] {
        fleet
            .until(vantage, "two vote", |status| status.votes.tally.live == 2)
            .await;
    }
    // One vote from outside is not enough, and an instance that is cut off votes no region unhealthy.
    fleet.behave("westeurope", Manner::Dead);
    for vantage in VANTAGES {
        fleet.until_seen_bad(vantage, "westeurope").await;
    }
    assert_eq!(fleet.probe("eastus2", "westeurope").await, 200);
    let leader = fleet.until_led_by(&["westeurope", "southeastasia"]).await;
    fleet.until_read_on(leader, 8).await;
    assert_eq!(azure.written(), Vec::<String>::new());
}

#[tokio::test]
async fn with_two_of_three_cut_off_nothing_is_published_and_an_alert_is_raised() {
    let azure = Azure::start(None).await;
    let fleet = azure.fleet();
    fleet.until_all_vote().await;
    for vantage in ["eastus2", "southeastasia"] {
        azure.cloud.partition(vantage);
    }
    fleet.behave("westeurope", Manner::Dead);
    for vantage in VANTAGES {
        fleet.until_alert(vantage, "no-quorum").await;
        fleet.until_seen_bad(vantage, "westeurope").await;
        assert_eq!(fleet.probe(vantage, "westeurope").await, 200, "no vantage knows");
    }
    let leader = fleet.until_led_by(&["westeurope"]).await;
    fleet.until_read_on(leader, 8).await;
    assert_eq!(azure.written(), Vec::<String>::new());
    for vantage in ["eastus2", "southeastasia"] {
        azure.cloud.heal(vantage);
    }
    azure.until_written(1).await;
    assert_eq!(azure.written(), [DEMOTED]);
}

/// Whatever Azure does, requests are served, and probes are answered.
#[tokio::test]
async fn requests_are_served_whatever_azure_does() {
    let azure = Azure::start(None).await;
    let fleet = azure.fleet();
    fleet.until_all_vote().await;
    for fault in [Fault::Hang, Fault::Reset, Fault::Garbage] {
        azure.all_do(Some(&fault));
        fleet.until_alert("westeurope", "store-unreachable").await;
        for vantage in VANTAGES {
            let served = send(fleet.proxy(vantage), &Request::get("/")).await;
            assert_eq!(served.status, 200, "{fault:?}");
            assert_eq!(fleet.probe(vantage, "eastus2").await, 200, "{fault:?}");
        }
        azure.all_do(None);
        fleet.until_all_vote().await;
    }
    assert_eq!(azure.written(), Vec::<String>::new());
}
