//! How long connections may keep a worker waiting.

use super::Limits;
use super::roster::Roster;
use std::time::Duration;

const TICK: Duration = Duration::from_secs(1);

fn limits() -> Limits {
    Limits {
        connections: 2,
        header_timeout: 3 * TICK,
        idle_timeout: 5 * TICK,
        ..Limits::default()
    }
}

/// How many ticks pass before a connection is to end; `None` when that never comes.
fn ticks_until_over(roster: &Roster, is_over: impl Fn() -> bool) -> Option<u32> {
    (0..100).find(|_| {
        let is_over = is_over();
        roster.tick(TICK);
        is_over
    })
}

#[test]
fn a_place_is_free_again_when_its_connection_is_gone() {
    let roster = Roster::new(limits());
    let (first, second) = (roster.admit(), roster.admit());
    assert!(first.is_some() && second.is_some() && roster.admit().is_none());
    drop(first);
    assert!(roster.admit().is_some());
}

/// The first tick may come at once and is not counted.
#[test]
fn clients_have_their_time_and_no_more() {
    let roster = Roster::new(limits());
    let seat = roster.admit().expect("a place");
    let activity = &seat.activity;
    assert_eq!(
        ticks_until_over(&roster, || activity.is_over()),
        Some(4),
        "nothing came"
    );

    let seat = roster.admit().expect("a place");
    let activity = &seat.activity;
    roster.tick(TICK);
    roster.tick(TICK);
    activity.heard();
    roster.tick(TICK);
    // Bytes of the same head do not buy time.
    activity.heard();
    assert_eq!(
        ticks_until_over(&roster, || activity.is_over()),
        Some(3),
        "half a head came"
    );
}

#[test]
fn an_answer_may_take_as_long_as_it_takes_and_the_next_request_may_not() {
    let roster = Roster::new(limits());
    let seat = roster.admit().expect("a place");
    let activity = &seat.activity;
    activity.heard();
    activity.begin();
    assert_eq!(ticks_until_over(&roster, || activity.is_over()), None);
    activity.finish();
    assert_eq!(ticks_until_over(&roster, || activity.is_over()), Some(6));
}

#[test]
fn a_request_at_the_last_moment_is_answered() {
    let roster = Roster::new(limits());
    let (late, idle) = (roster.admit().expect("a place"), roster.admit().expect("a place"));
    roster.end_idle();
    late.activity.begin();
    assert!(!late.activity.is_over() && idle.activity.is_over());
    roster.end_all();
    assert!(late.activity.is_over());
}
