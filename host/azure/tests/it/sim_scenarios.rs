//! What the publisher does when regions, instances and networks come and go.

use crate::sim::{REGIONS, Rejection, World, by_default, mins, pass, secs};
use portolan_azure::pace::Haste;
use portolan_azure::probe::QuorumVerdict;
use portolan_azure::publisher::{Parts, apply_once, plan_once};
use portolan_azure::settings::Mode;
use portolan_core::health::State::{Draining, Healthy, Unhealthy, Unknown};
use portolan_core::id::RegionName;
use std::sync::Arc;
use tokio::time::Instant;

const DEMOTED: &str = r#"demote o-weu {"priority":5}"#;
const RESTORED: &str = r#"restore o-weu {"priority":1}"#;

fn sees_unfit(world: &World, vantage: &str, region: &str) -> bool {
    let votes = world.status(vantage).votes;
    let verdict = votes.verdict(&RegionName::from(region), Instant::now(), secs(15));
    matches!(verdict, QuorumVerdict::Counted { unhealthy: true, .. })
}

#[tokio::test(start_paused = true)]
async fn a_region_dies_and_comes_back_with_one_change_each() {
    let world = World::start_with(by_default).await;
    world.elected().await;
    world.all_see("weu", Unhealthy);
    let noticed = world
        .until(secs(3), "all know", |world| {
            REGIONS.iter().all(|vantage| sees_unfit(world, vantage, "weu"))
        })
        .await;
    assert!(noticed <= secs(3));

    pass(mins(5) - secs(10)).await;
    assert!(world.front_door.writes().is_empty(), "not sustained yet");
    world
        .until(secs(20), "the demotion", |world| world.front_door.writes() == [DEMOTED])
        .await;
    assert!(world.front_door.log()[0].at >= mins(5));
    pass(mins(60)).await;
    assert_eq!(world.front_door.writes(), [DEMOTED], "once");

    world.all_see("weu", Healthy);
    pass(mins(15) - secs(10)).await;
    assert_eq!(world.front_door.writes(), [DEMOTED], "not well for long enough");
    world
        .until(secs(20), "the restoration", |world| {
            world.front_door.writes() == [DEMOTED, RESTORED]
        })
        .await;
    pass(mins(120)).await;
    assert_eq!(world.front_door.writes(), [DEMOTED, RESTORED], "once");
}

#[tokio::test(start_paused = true)]
async fn a_blip_is_never_published() {
    let world = World::start().await;
    for _ in 0..10 {
        world.all_see("weu", Unhealthy);
        pass(mins(4)).await;
        world.all_see("weu", Healthy);
        pass(mins(1)).await;
    }
    assert!(world.front_door.writes().is_empty());
}

#[tokio::test(start_paused = true)]
async fn another_leader_goes_on_with_the_operation_of_a_dead_one() {
    let mut world = World::start().await;
    world.front_door.manner(|manner| manner.lasts = mins(10));
    let first = world.elected().await;
    world.all_see("weu", Unhealthy);
    world
        .until(mins(6), "the demotion", |world| !world.front_door.writes().is_empty())
        .await;
    pass(secs(20)).await;
    world.kill(first);
    let took = world
        .until(secs(60), "another leader", |world| world.leader().is_some())
        .await;
    assert!(took <= secs(60), "{took:?}");
    let second = world.leader().unwrap();
    world
        .until(secs(10), "it polls", |world| {
            world.front_door.pollers().last().is_some_and(|by| by == second)
        })
        .await;
    assert_eq!(world.status(second).view().epoch, 2);
    assert!(world.status(second).ledger().unwrap().pending.is_some());
    world
        .until(mins(11), "it is done", |world| {
            world.status(second).ledger().unwrap().pending.is_none()
        })
        .await;
    pass(mins(90)).await;
    assert_eq!(world.front_door.writes(), [DEMOTED]);
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_stops_hands_over_at_once() {
    let mut world = World::start().await;
    let first = world.elected().await;
    let publisher = world.instances.get_mut(first).unwrap().publisher.take().unwrap();
    publisher.stop().await;
    let took = world
        .until(secs(30), "another leader", |world| world.leader().is_some())
        .await;
    assert!(took < secs(12), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_vantage_cut_off_from_everything_changes_nothing() {
    for cut in REGIONS {
        let world = World::start().await;
        world.elected().await;
        world.cut(cut, true);
        // It sees nothing any more; the others see that its region is well.
        REGIONS.iter().for_each(|region| world.sees(cut, region, Unhealthy));
        pass(mins(90)).await;
        assert!(world.front_door.writes().is_empty(), "{cut}");
        assert!(world.alerts(cut).contains(&"no-quorum"), "{:?}", world.alerts(cut));
        assert!(world.leader().is_some_and(|leader| leader != cut));
    }
}

#[tokio::test(start_paused = true)]
async fn with_two_of_three_cut_off_nothing_is_published_and_an_alert_is_raised() {
    let world = World::start().await;
    world.elected().await;
    world.cut("eus", true);
    world.cut("sea", true);
    world.sees("weu", "eus", Unhealthy);
    world.sees("weu", "sea", Unhealthy);
    pass(mins(90)).await;
    assert!(world.front_door.writes().is_empty());
    for vantage in REGIONS {
        assert!(world.alerts(vantage).contains(&"no-quorum"), "{vantage}");
    }
    world.cut("eus", false);
    world.cut("sea", false);
    REGIONS.iter().for_each(|region| world.sees("weu", region, Healthy));
    world
        .until(mins(1), "they vote again", |world| {
            !world.alerts("weu").contains(&"no-quorum")
        })
        .await;
    pass(mins(30)).await;
    assert!(world.front_door.writes().is_empty());
}

/// Two changes in one set; the quorum is lost while the first is under way.
#[tokio::test(start_paused = true)]
async fn what_was_begun_with_a_quorum_does_not_go_on_without() {
    let world = World::start().await;
    let leader = world.elected().await;
    world.all_see("weu", Unhealthy);
    pass(mins(3)).await;
    // An operator's change is put back, but not at once: it meets the demotion in one set.
    world
        .front_door
        .manner(|manner| manner.rejections = [Rejection::Throttled(240)].into());
    world.front_door.operator("eus", |members| members.weight = Some(7));
    world
        .until(mins(10), "the first change", |world| {
            !world.front_door.writes().is_empty()
        })
        .await;
    let pending = world.status(leader).ledger().unwrap().pending.clone().unwrap();
    assert_eq!(pending.changes.len(), 2);
    let others = REGIONS.into_iter().filter(|vantage| *vantage != leader);
    others.clone().for_each(|vantage| world.cut(vantage, true));
    pass(mins(60)).await;
    let first = r#"correct o-eus {"weight":50}"#;
    assert_eq!(world.front_door.writes(), [first]);
    others.for_each(|vantage| world.cut(vantage, false));
    pass(mins(30)).await;
    assert_eq!(world.front_door.writes(), [first, DEMOTED]);
}

#[tokio::test(start_paused = true)]
async fn a_region_unhealthy_only_from_inside_is_not_demoted() {
    let world = World::start().await;
    world.sees("weu", "weu", Unhealthy);
    pass(mins(60)).await;
    assert!(world.front_door.writes().is_empty());
    // One more vote from outside is not enough, two are.
    world.sees("eus", "weu", Unhealthy);
    pass(mins(60)).await;
    assert!(world.front_door.writes().is_empty());
    world.sees("sea", "weu", Unhealthy);
    pass(mins(6)).await;
    assert_eq!(world.front_door.writes(), [DEMOTED]);
}

#[tokio::test(start_paused = true)]
async fn all_regions_unhealthy_at_once_are_doubted() {
    let world = World::start().await;
    let leader = world.elected().await;
    REGIONS.iter().for_each(|region| world.all_see(region, Unhealthy));
    pass(mins(90)).await;
    assert!(world.front_door.writes().is_empty());
    assert!(world.alerts(leader).contains(&"vantage-doubted"));
}

#[tokio::test(start_paused = true)]
async fn regions_that_die_one_after_the_other_are_demoted_one_per_window() {
    let world = World::start_with(|settings| settings.caps.min_active = 1).await;
    world.all_see("weu", Unhealthy);
    pass(mins(10)).await;
    assert_eq!(world.front_door.writes(), [DEMOTED]);
    // Two of three bad: most look bad, and nothing more is done.
    world.all_see("sea", Unhealthy);
    pass(mins(180)).await;
    assert_eq!(world.front_door.writes(), [DEMOTED]);
    // The first one is well again; the second is demoted when the window is over.
    world.all_see("weu", Healthy);
    pass(mins(60)).await;
    assert_eq!(
        world.front_door.writes(),
        [DEMOTED, r#"demote o-sea {"priority":5}"#, RESTORED]
    );
}

#[tokio::test(start_paused = true)]
async fn a_drain_is_published_and_the_last_enabled_origin_stays() {
    let world = World::start().await;
    world.all_see("weu", Draining);
    pass(mins(2)).await;
    assert_eq!(world.front_door.writes(), [r#"drain o-weu {"enabled":false}"#]);
    pass(mins(30)).await;
    world.all_see("eus", Draining);
    pass(mins(30)).await;
    world.all_see("sea", Draining);
    pass(mins(300)).await;
    assert_eq!(
        world.front_door.writes(),
        [r#"drain o-weu {"enabled":false}"#, r#"drain o-eus {"enabled":false}"#]
    );
    assert_eq!(world.front_door.members("sea").enabled, Some(true));
}

#[tokio::test(start_paused = true)]
async fn an_operators_change_is_reported_and_reverted() {
    let world = World::start().await;
    let leader = world.elected().await;
    pass(mins(2)).await;
    world.front_door.operator("eus", |members| members.weight = Some(7));
    world
        .until(mins(2), "it is told", |world| {
            world.alerts(leader).contains(&"drift") || !world.front_door.writes().is_empty()
        })
        .await;
    pass(mins(2)).await;
    assert_eq!(world.front_door.writes(), [r#"correct o-eus {"weight":50}"#]);
    pass(mins(60)).await;
    assert_eq!(world.front_door.writes().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn regions_unknown_to_all_keep_their_state() {
    let world = World::start().await;
    world.all_see("weu", Unhealthy);
    pass(mins(10)).await;
    // All vantages restart without a view: demoted origins stay demoted.
    world.all_see("weu", Unknown);
    pass(mins(120)).await;
    assert_eq!(world.front_door.writes(), [DEMOTED]);
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_plans_and_never_leads() {
    let world = World::start_with(|settings| settings.mode = Mode::DryRun).await;
    world.all_see("weu", Unhealthy);
    pass(mins(30)).await;
    assert!(world.front_door.writes().is_empty());
    assert_eq!(world.leader(), None);
    for vantage in REGIONS {
        let plan = world.status(vantage).leader.plan.unwrap();
        assert!(plan.to_string().starts_with("1 change\n"), "{plan}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_single_instance_is_its_own_quorum_and_its_status_shows_it() {
    let mut world = World::start_with(|_| ()).await;
    REGIONS.iter().for_each(|vantage| world.kill(vantage));
    let mut alone = crate::sim::settings("weu");
    alone.vantages.retain(|vantage| vantage.name.as_str() == "weu");
    alone.store = None;
    assert!(
        alone
            .warnings()
            .iter()
            .any(|warning| warning.contains("its own quorum of one"))
    );
    world.add("weu", alone);
    pass(secs(60)).await;
    world.sees("weu", "eus", Unhealthy);
    pass(mins(6)).await;
    assert_eq!(world.front_door.writes(), [r#"demote o-eus {"priority":5}"#]);
    let view = world.status("weu").view();
    assert!(
        view.alone && view.to_string().contains("its own quorum of one"),
        "{view}"
    );
}

#[tokio::test(start_paused = true)]
async fn once_from_the_command_line() {
    let mut world = World::start_with(|settings| settings.mode = Mode::DryRun).await;
    world.all_see("weu", Unhealthy);
    pass(mins(6)).await;
    let parts = |world: &World| Parts {
        store: Arc::new(world.way_to_store("cli")),
        target: Arc::new(world.way_to_front_door("cli")),
    };
    let settings = crate::sim::settings("weu");
    let planned = plan_once(settings.clone(), parts(&world), secs(30)).await.unwrap();
    assert!(planned.view().plan.unwrap().starts_with("1 change\n"));
    assert!(world.front_door.writes().is_empty());

    let applied = apply_once(settings.clone(), parts(&world), Haste::Never, mins(10))
        .await
        .unwrap();
    assert_eq!(world.front_door.writes(), [DEMOTED]);
    assert!(applied.ledger().unwrap().pending.is_none());

    // Spacing holds the way back up, unless the operator says now.
    world.all_see("weu", Healthy);
    pass(mins(15)).await;
    apply_once(settings.clone(), parts(&world), Haste::Never, mins(1))
        .await
        .unwrap();
    assert_eq!(world.front_door.writes(), [DEMOTED]);
    apply_once(settings.clone(), parts(&world), Haste::Now, mins(10))
        .await
        .unwrap();
    assert_eq!(world.front_door.writes(), [DEMOTED, RESTORED]);

    // While another leads there is no once.
    world.add("eus", crate::sim::settings("eus"));
    world.elected().await;
    let rejected = apply_once(settings, parts(&world), Haste::Never, mins(2))
        .await
        .unwrap_err();
    assert!(rejected.to_string().contains("eus leads"), "{rejected}");
}
