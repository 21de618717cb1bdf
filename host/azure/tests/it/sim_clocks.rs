//! What the publisher does when clocks are wrong. Decisions use the store's clock and monotonic clocks only.

use crate::sim::{World, mins, pass, secs};
use portolan_core::health::State::{Healthy, Unhealthy};

const DEMOTED: &str = r#"demote o-weu {"priority":5}"#;
const RESTORED: &str = r#"restore o-weu {"priority":1}"#;
const YEAR: std::time::Duration = mins(60 * 24 * 365);

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_publishes_nothing() {
    let world = World::start().await;
    world.elected().await;
    pass(mins(1)).await;
    for jump in [mins(60), YEAR, secs(45)] {
        world.store.jump(jump);
        pass(mins(10)).await;
        assert!(world.front_door.writes().is_empty());
        assert!(
            !world.alerts("weu").contains(&"no-quorum"),
            "after a while the votes count again"
        );
    }
    world.all_see("weu", Unhealthy);
    pass(mins(6)).await;
    assert_eq!(world.front_door.writes(), [DEMOTED]);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_keeps_no_dead_vantage_voting() {
    let world = World::start().await;
    world.elected().await;
    pass(mins(1)).await;
    world.store.set_back(YEAR);
    world.cut("sea", true);
    world
        .until(mins(1), "two vote", |world| {
            ["eus", "weu"]
                .iter()
                .all(|vantage| world.status(vantage).votes.tally.live == 2)
        })
        .await;
    // Nor does the dead one come back to life by itself.
    pass(mins(60)).await;
    assert_eq!(world.status("eus").votes.tally.live, 2);
    assert!(world.front_door.writes().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_back_holds_nothing_up() {
    let world = World::start().await;
    world.all_see("weu", Unhealthy);
    pass(mins(6)).await;
    assert_eq!(world.front_door.writes(), [DEMOTED]);
    world.store.set_back(YEAR);
    world.all_see("weu", Healthy);
    // Spacing is kept from the moment that the clock was set back on: 20 minutes, not a year.
    pass(mins(19)).await;
    assert_eq!(world.front_door.writes(), [DEMOTED]);
    pass(mins(3)).await;
    assert_eq!(world.front_door.writes(), [DEMOTED, RESTORED]);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_during_an_operation_is_no_second_change() {
    for (forwards, by) in [(true, mins(60)), (true, YEAR), (false, mins(60)), (false, YEAR)] {
        let world = World::start().await;
        let leader = world.elected().await;
        world.front_door.manner(|manner| manner.lasts = mins(10));
        world.all_see("weu", Unhealthy);
        world
            .until(mins(6), "the demotion", |world| !world.front_door.writes().is_empty())
            .await;
        pass(secs(30)).await;
        if forwards {
            world.store.jump(by);
        } else {
            world.store.set_back(by);
        }
        pass(mins(90)).await;
        assert_eq!(world.front_door.writes(), [DEMOTED], "{forwards} {by:?}");
        let status = world.status(leader);
        assert!(status.ledger().unwrap().pending.is_none());
        assert_eq!(status.view().regions[2].intent, "demoted");
    }
}
