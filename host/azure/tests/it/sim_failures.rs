//! What the publisher does when Front Door is slow, rejects, fails or lies.

use crate::sim::{REGIONS, Rejection, World, by_default, mins, pass, secs};
use portolan_core::health::State::{Healthy, Unhealthy};

const DEMOTED: &str = r#"demote o-weu {"priority":5}"#;
const RESTORED: &str = r#"restore o-weu {"priority":1}"#;

/// A world in which `weu` has just been found bad for long enough.
async fn with(rejections: impl IntoIterator<Item = Rejection>) -> World {
    let world = World::start().await;
    world.elected().await;
    world
        .front_door
        .manner(|manner| manner.rejections = rejections.into_iter().collect());
    world.all_see("weu", Unhealthy);
    pass(mins(5)).await;
    world
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_429_is_waited_out_as_long_as_asked() {
    let world = with((0..5).map(|_| Rejection::Throttled(120))).await;
    let took = world
        .until(mins(30), "the demotion", |world| world.front_door.writes() == [DEMOTED])
        .await;
    assert!(took >= secs(5 * 120), "{took:?}");
    pass(mins(60)).await;
    assert_eq!(world.front_door.writes(), [DEMOTED]);
    let leader = world.leader().unwrap();
    let counters = world.status(leader).counters;
    assert_eq!((counters.throttled.get(), counters.writes.get()), (5, 6));
}

#[tokio::test(start_paused = true)]
async fn a_busy_front_door_is_asked_again_soon() {
    let world = with([Rejection::Busy, Rejection::Busy]).await;
    world
        .until(mins(2), "the demotion", |world| world.front_door.writes() == [DEMOTED])
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_rejected_change_is_retried_slowly_and_raises_an_alert() {
    let world = with(vec![Rejection::Rejected; 1000]).await;
    pass(mins(8 * 60)).await;
    let leader = world.leader().unwrap();
    let tries = world.status(leader).counters.writes.get();
    assert!((8..=10).contains(&tries), "{tries} in eight hours");
    assert!(world.alerts(leader).contains(&"change-failed"));
    // What is wanted is kept: the rejection ends after days, and it is done.
    world.front_door.manner(|manner| manner.rejections.clear());
    world
        .until(mins(61), "the demotion", |world| world.front_door.writes() == [DEMOTED])
        .await;
    pass(mins(5)).await;
    assert!(!world.alerts(leader).contains(&"change-failed"));
}

#[tokio::test(start_paused = true)]
async fn a_region_that_recovers_while_rejected_is_not_demoted_after_all() {
    let world = with(vec![Rejection::Rejected; 2]).await;
    pass(mins(1)).await;
    world.all_see("weu", Healthy);
    pass(mins(180)).await;
    assert!(world.front_door.writes().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_operation_of_thirty_minutes_is_one_change() {
    for lasts in [mins(29), mins(31), mins(120)] {
        let world = World::start().await;
        let leader = world.elected().await;
        world.front_door.manner(|manner| manner.lasts = lasts);
        world.all_see("weu", Unhealthy);
        pass(mins(5) + lasts + mins(60)).await;
        assert_eq!(world.front_door.writes(), [DEMOTED], "{lasts:?}");
        assert!(world.status(leader).ledger().unwrap().pending.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn an_operation_that_fails_raises_an_alert_and_is_retried_slowly() {
    let world = World::start().await;
    let leader = world.elected().await;
    world.front_door.manner(|manner| manner.fails = true);
    world.all_see("weu", Unhealthy);
    pass(mins(5) + secs(150)).await;
    assert_eq!(world.front_door.writes(), [DEMOTED]);
    assert!(world.alerts(leader).contains(&"change-failed"));
    assert!(
        world
            .status(leader)
            .view()
            .to_string()
            .contains("InternalError it failed")
    );
    world.front_door.manner(|manner| manner.fails = false);
    pass(mins(18)).await;
    assert_eq!(world.front_door.writes(), [DEMOTED], "slowly");
    pass(mins(5)).await;
    assert_eq!(world.front_door.writes(), [DEMOTED, DEMOTED]);
    assert_eq!(world.front_door.members("weu").priority, Some(5));
    assert_eq!(world.alerts(leader), Vec::<&str>::new());
}

#[tokio::test(start_paused = true)]
async fn a_report_on_another_host_is_never_followed() {
    let world = with([Rejection::Foreign]).await;
    let leader = world.leader().unwrap();
    world
        .until(secs(30), "it is told", |world| {
            world.alerts(leader).contains(&"foreign-operation-url")
        })
        .await;
    pass(mins(60)).await;
    assert!(world.front_door.pollers().is_empty());
    assert_eq!(world.front_door.writes(), [DEMOTED]);
    assert!(world.status(leader).ledger().unwrap().pending.is_none());
}

#[tokio::test(start_paused = true)]
async fn an_operation_that_may_not_be_read_is_seen_at_the_origin() {
    let world = World::start().await;
    let leader = world.elected().await;
    world.front_door.manner(|manner| manner.readable = false);
    world.all_see("weu", Unhealthy);
    pass(mins(8)).await;
    assert_eq!(world.front_door.writes(), [DEMOTED]);
    assert_eq!(world.front_door.pollers().len(), 1);
    assert!(world.status(leader).ledger().unwrap().pending.is_none());
    assert_eq!(world.alerts(leader), Vec::<&str>::new());
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_no_second_change() {
    let world = with([Rejection::AnswerLost]).await;
    pass(mins(60)).await;
    assert_eq!(world.front_door.writes(), [DEMOTED]);
    let leader = world.leader().unwrap();
    assert_eq!(world.status(leader).counters.published.get(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_lost_request_is_sent_again() {
    let world = with([Rejection::RequestLost]).await;
    world
        .until(mins(3), "the demotion", |world| world.front_door.writes() == [DEMOTED])
        .await;
    pass(mins(60)).await;
    assert_eq!(world.front_door.writes(), [DEMOTED]);
}

/// Whether its last request arrived or not, the next leader finds out and sends no second one.
#[tokio::test(start_paused = true)]
async fn a_leader_that_dies_while_it_sends_leaves_one_change() {
    for (arrived, lost) in [(true, Rejection::AnswerLost), (false, Rejection::RequestLost)] {
        let mut world = with([lost]).await;
        let first = world.leader().unwrap();
        let other = REGIONS.into_iter().find(|vantage| *vantage != first).unwrap();
        world
            .until(secs(30), "it is written down that it sends", |world| {
                let pending = world.status(other).votes.ledger.pending.clone();
                pending.is_some_and(|pending| pending.carried > 0)
            })
            .await;
        world
            .until(secs(30), "it arrives, or does not", |world| {
                world.front_door.writes().is_empty() != arrived
            })
            .await;
        world.kill(first);
        world
            .until(secs(60), "another leads", |world| world.leader().is_some())
            .await;
        // Its vote is missed: it is started again.
        world.add(first, crate::sim::settings(first));
        world.sees(first, "weu", Unhealthy);
        pass(mins(60)).await;
        assert_eq!(world.front_door.writes(), [DEMOTED], "{arrived}");
        assert_eq!(world.front_door.log()[0].by == first, arrived);
        let ledger = world.status(world.leader().unwrap()).ledger().cloned().unwrap();
        assert!(ledger.pending.is_none());
        assert_eq!(ledger.epoch, 2);
    }
}

/// The store says that the lease has run out, and lets the holder renew it all the same, as no other instance has it. No one
/// must take that for leading.
#[tokio::test(start_paused = true)]
async fn a_lease_that_ran_out_and_is_renewed_is_a_new_term() {
    let world = World::start().await;
    world.elected().await;
    for round in 1..=3 {
        world.store.reject_next_leader_write();
        world.front_door.operator("eus", |members| members.weight = Some(7));
        world
            .until(mins(2), "it is put back", |world| {
                world.front_door.writes().len() == round
            })
            .await;
        pass(mins(25)).await;
        assert!(world.leader().is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_cannot_read_makes_room() {
    let world = World::start().await;
    let first = world.elected().await;
    world.cut_target(first, true);
    world.all_see("weu", Unhealthy);
    let took = world
        .until(mins(12), "another demotes", |world| {
            world.front_door.writes() == [DEMOTED]
        })
        .await;
    assert!(world.front_door.log()[0].by != first, "{took:?}");
    // It has read what others published, too: nothing is undone when it leads again.
    world.cut_target(first, false);
    pass(mins(120)).await;
    assert_eq!(world.front_door.writes(), [DEMOTED]);
}

#[tokio::test(start_paused = true)]
async fn without_the_right_to_read_nothing_is_changed_and_an_alert_is_raised() {
    let world = World::start().await;
    world.front_door.manner(|manner| manner.unreadable = true);
    world.all_see("weu", Unhealthy);
    pass(mins(2)).await;
    let leader = world.elected().await;
    world
        .until(mins(1), "it is told", |world| {
            world
                .leader()
                .is_some_and(|leader| world.alerts(leader).contains(&"front-door-unreadable"))
        })
        .await;
    let reads = world.status(leader).counters.reads.get();
    assert!(reads < 30, "{reads} in two minutes");
    world.front_door.manner(|manner| manner.unreadable = false);
    pass(mins(30)).await;
    assert_eq!(world.front_door.writes(), [DEMOTED]);
}

#[tokio::test(start_paused = true)]
async fn leaders_come_and_go_and_every_change_is_made_once() {
    let mut world = World::start().await;
    world.front_door.manner(|manner| manner.lasts = mins(3));
    world.all_see("weu", Unhealthy);
    // Every two minutes the leader dies and comes back as a new process.
    for _ in 0..10 {
        pass(mins(2)).await;
        if let Some(leader) = world.leader() {
            world.kill(leader);
            pass(secs(5)).await;
            world.add(leader, crate::sim::settings(leader));
            world.sees(leader, "weu", Unhealthy);
        }
    }
    pass(mins(20)).await;
    assert_eq!(world.front_door.writes(), [DEMOTED]);
    world.all_see("weu", Healthy);
    pass(mins(60)).await;
    assert_eq!(world.front_door.writes(), [DEMOTED, RESTORED]);
}

#[tokio::test(start_paused = true)]
async fn votes_go_on_whatever_front_door_does() {
    let world = World::start_with(by_default).await;
    REGIONS.iter().for_each(|vantage| world.cut_target(vantage, true));
    world.all_see("weu", Unhealthy);
    world
        .until(secs(3), "all know", |world| {
            REGIONS
                .iter()
                .all(|vantage| world.status(vantage).view().regions[2].unhealthy.votes == 3)
        })
        .await;
}
