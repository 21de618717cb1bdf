//! Bad networks: what three instances do when some of them lose gateways, store or management API, in every order of their
//! return. Instances whose own network failed never demote a region.

use crate::sim::{REGIONS, World, by_default, mins, pass, secs};
use portolan_azure::probe::QuorumVerdict;
use portolan_azure::publisher::Votes;
use portolan_core::health::State::{Healthy, Unhealthy};
use portolan_core::id::RegionName;
use std::time::Duration;
use tokio::time::Instant;

const DEMOTED: &str = r#"demote o-weu {"priority":5}"#;
const STEP: Duration = Duration::from_secs(1);

/// All orders of some things.
fn orders<T: Copy>(things: &[T]) -> Vec<Vec<T>> {
    if things.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for (index, first) in things.iter().enumerate() {
        let rest: Vec<T> = [&things[..index], &things[index + 1..]].concat();
        all.extend(orders(&rest).into_iter().map(|mut order| {
            order.insert(0, *first);
            order
        }));
    }
    all
}

/// The regions whose probes an instance would answer with 503.
fn called_unhealthy(votes: &Votes) -> Vec<&'static str> {
    let is_unhealthy = |region: &&'static str| {
        let verdict = votes.verdict(&RegionName::from(*region), Instant::now(), secs(15));
        matches!(verdict, QuorumVerdict::Counted { unhealthy: true, .. })
    };
    REGIONS.into_iter().filter(is_unhealthy).collect()
}

/// Lets time pass; no instance may call any region unhealthy meanwhile.
async fn pass_without_verdict(world: &World, time: Duration, context: &dyn std::fmt::Debug) {
    let until = Instant::now() + time;
    let mut all = REGIONS.map(|vantage| (vantage, world.votes(vantage)));
    while Instant::now() < until {
        pass(Duration::from_millis(500)).await;
        for (vantage, votes) in &mut all {
            if !votes.has_changed().unwrap() {
                continue;
            }
            let called = called_unhealthy(&votes.borrow_and_update());
            assert!(called.is_empty(), "{vantage} calls {called:?} unhealthy: {context:?}");
        }
    }
}

/// A vantage loses all gateways, one after the other; probes find that out within a second.
async fn lose_gateways(world: &World, vantages: &[&str]) {
    // First the region in which neither of the two is.
    for region in REGIONS.into_iter().rev() {
        vantages
            .iter()
            .for_each(|vantage| world.sees(vantage, region, Unhealthy));
        pass_without_verdict(world, STEP, &"losing").await;
    }
}

/// The store reachable throughout: two of three see nothing, and come back gateway by gateway.
#[tokio::test(start_paused = true)]
async fn two_vantages_without_gateways_demote_no_region() {
    for first in orders(&REGIONS) {
        for second in orders(&REGIONS) {
            let world = World::start_with(|settings| {
                by_default(settings);
                settings.timing.sustain = secs(60);
            })
            .await;
            world.elected().await;
            lose_gateways(&world, &["eus", "sea"]).await;
            pass_without_verdict(&world, secs(70), &"lost").await;
            for vantage in REGIONS {
                let alerts = world.alerts(vantage);
                assert!(alerts.contains(&"vantage-doubted"), "{vantage}: {alerts:?}");
                assert!(alerts.contains(&"no-quorum"), "{vantage}: {alerts:?}");
            }
            for (one, other) in first.iter().zip(&second) {
                world.sees("eus", one, Healthy);
                pass_without_verdict(&world, STEP, &(&first, &second)).await;
                world.sees("sea", other, Healthy);
                pass_without_verdict(&world, STEP, &(&first, &second)).await;
            }
            pass_without_verdict(&world, secs(90), &(&first, &second)).await;
            assert!(world.front_door.writes().is_empty(), "{first:?} {second:?}");
            assert_eq!(world.alerts("weu"), Vec::<&str>::new());
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Link {
    Store(&'static str),
    Gateways(&'static str),
}

/// Two vantages are cut off from everything for longer than `sustain`; store and gateways come back in every order.
#[tokio::test(start_paused = true)]
async fn links_that_return_in_any_order_demote_no_region() {
    let links = [
        Link::Store("eus"),
        Link::Store("sea"),
        Link::Gateways("eus"),
        Link::Gateways("sea"),
    ];
    for (turn, order) in orders(&links).into_iter().enumerate() {
        let regions = &orders(&REGIONS)[turn % 6];
        let world = World::start_with(by_default).await;
        world.elected().await;
        for vantage in ["eus", "sea"] {
            world.cut(vantage, true);
        }
        lose_gateways(&world, &["eus", "sea"]).await;
        pass_without_verdict(&world, secs(310), &"cut off").await;
        let context = (&order, regions);
        for link in &order {
            match *link {
                Link::Store(vantage) => world.cut(vantage, false),
                Link::Gateways(vantage) => {
                    for region in regions {
                        world.sees(vantage, region, Healthy);
                        pass_without_verdict(&world, STEP, &context).await;
                    }
                }
            }
            pass_without_verdict(&world, secs(3), &context).await;
        }
        pass_without_verdict(&world, mins(7), &context).await;
        assert!(world.front_door.writes().is_empty(), "{context:?}");
    }
}

/// A region that is really bad after a doubt is demoted when it has been so for `sustain` after the doubt.
#[tokio::test(start_paused = true)]
async fn a_region_that_stays_bad_after_a_doubt_is_demoted_late() {
    for instances_restart in [false, true] {
        for order in orders(&["eus", "sea"]) {
            let mut world = World::start_with(by_default).await;
            world.elected().await;
            for vantage in REGIONS {
                lose_gateways(&world, &[vantage]).await;
            }
            pass(mins(30)).await;
            assert!(world.front_door.writes().is_empty());
            for region in order {
                world.all_see(region, Healthy);
                pass(secs(40)).await;
            }
            let ended = secs(80);
            if instances_restart {
                // Two of three, the leader among them: their state is lost.
                let leader = world.leader().unwrap();
                let other = REGIONS.into_iter().find(|vantage| *vantage != leader).unwrap();
                for vantage in [leader, other] {
                    world.kill(vantage);
                    let mut settings = crate::sim::settings(vantage);
                    by_default(&mut settings);
                    world.add(vantage, settings);
                    world.sees(vantage, "weu", Unhealthy);
                }
            }
            pass(mins(5) - ended).await;
            assert!(world.front_door.writes().is_empty(), "{instances_restart}");
            world
                .until(mins(3), "the demotion", |world| world.front_door.writes() == [DEMOTED])
                .await;
        }
    }
}

/// All instances lose the store for longer than `sustain` while a region is bad: it is demoted, but not at once.
#[tokio::test(start_paused = true)]
async fn the_time_without_a_quorum_does_not_count() {
    for leader_restarts in [false, true] {
        let mut world = World::start_with(by_default).await;
        let leader = world.elected().await;
        pass(mins(10)).await;
        REGIONS.iter().for_each(|vantage| world.cut_store(vantage, true));
        pass(mins(1)).await;
        world.all_see("weu", Unhealthy);
        pass(mins(10)).await;
        if leader_restarts {
            world.kill(leader);
            let mut settings = crate::sim::settings(leader);
            by_default(&mut settings);
            world.add(leader, settings);
            world.sees(leader, "weu", Unhealthy);
        }
        REGIONS.iter().for_each(|vantage| world.cut_store(vantage, false));
        pass(mins(5) - secs(1)).await;
        assert!(world.front_door.writes().is_empty(), "{leader_restarts}");
        world
            .until(mins(2), "the demotion", |world| world.front_door.writes() == [DEMOTED])
            .await;
    }
}

/// No instance can read Front Door for half an hour: one leads nearly all the time, and reads soon after its end.
#[tokio::test(start_paused = true)]
async fn after_an_outage_of_the_management_api_an_instance_leads_and_reads_soon() {
    let world = World::start_with(|settings| {
        by_default(settings);
        settings.lease.step_down = secs(60);
    })
    .await;
    world.elected().await;
    REGIONS.iter().for_each(|vantage| world.cut_target(vantage, true));
    world.all_see("weu", Unhealthy);
    let (mut unled, mut longest) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..30 * 60 {
        pass(secs(1)).await;
        match world.leader() {
            Some(leader) => {
                unled = Duration::ZERO;
                let shown = world.status(leader).view().leader;
                assert_eq!(shown.as_deref(), Some(leader));
            }
            None => unled += secs(1),
        }
        longest = longest.max(unled);
    }
    assert!(longest <= secs(60), "nobody led for {longest:?}");
    REGIONS.iter().for_each(|vantage| world.cut_target(vantage, false));
    let took = world
        .until(mins(3), "the demotion", |world| world.front_door.writes() == [DEMOTED])
        .await;
    assert!(took <= secs(100), "{took:?}");
}

/// No instance may acquire the lease: an alert is raised, and no status names a leader.
#[tokio::test(start_paused = true)]
async fn without_a_leader_an_alert_is_raised() {
    let mut world = World::start_with(by_default).await;
    let leader = world.elected().await;
    pass(secs(30)).await;
    for vantage in REGIONS {
        assert_eq!(
            world.status(vantage).view().leader.as_deref(),
            Some(leader),
            "{vantage}"
        );
        assert_eq!(world.alerts(vantage), Vec::<&str>::new());
    }
    world.store.deny_leases(true);
    world.kill(leader);
    pass(mins(2)).await;
    for vantage in REGIONS.into_iter().filter(|vantage| *vantage != leader) {
        let status = world.status(vantage);
        assert!(world.alerts(vantage).contains(&"no-leader"), "{vantage}");
        assert!(world.alerts(vantage).contains(&"store-unreachable"), "why: {vantage}");
        let view = status.view();
        assert_eq!((view.leader.as_deref(), view.led_last.as_deref()), (None, Some(leader)));
        let text = view.to_string();
        assert!(text.contains(&format!("leader     none ({leader} led last")), "{text}");
    }
    world.store.deny_leases(false);
    world.elected().await;
    pass(secs(10)).await;
    let other = world.leader().unwrap();
    assert!(!world.alerts(other).contains(&"no-leader"));
    assert!(!world.alerts(other).contains(&"store-unreachable"));
}
