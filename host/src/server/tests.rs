//! How long connections may keep a worker waiting.

use super::Limits;
use super::registry::{ConnectionRegistry, TunnelPhase};
use std::task::{Context, Waker};
use std::time::Duration;

const TICK: Duration = Duration::from_secs(1);

fn limits() -> Limits {
    Limits {
        header_timeout: 3 * TICK,
        idle_timeout: 5 * TICK,
        ..Limits::default()
    }
}

/// How many ticks pass before a connection is to end; `None` when that never comes.
fn ticks_until_over(registry: &ConnectionRegistry, is_over: impl Fn() -> bool) -> Option<u32> {
    (0..100).find(|_| {
        let is_over = is_over();
        registry.tick(TICK);
        is_over
    })
}

/// The first tick may come at once and is not counted.
#[test]
fn clients_have_their_time_and_no_more() {
    let registry = ConnectionRegistry::new(limits());
    let entry = registry.enter();
    let activity = &entry.activity;
    assert_eq!(
        ticks_until_over(&registry, || activity.is_over()),
        Some(4),
        "nothing came"
    );

    let entry = registry.enter();
    let activity = &entry.activity;
    registry.tick(TICK);
    registry.tick(TICK);
    activity.received();
    assert!(!activity.is_late_head(), "it has time left");
    registry.tick(TICK);
    // Bytes of the same head do not buy time.
    activity.received();
    assert_eq!(
        ticks_until_over(&registry, || activity.is_over()),
        Some(3),
        "half a head came"
    );
    assert!(activity.is_late_head());
}

#[test]
fn an_answer_may_take_as_long_as_it_takes_and_the_next_request_may_not() {
    let registry = ConnectionRegistry::new(limits());
    let entry = registry.enter();
    let activity = &entry.activity;
    activity.received();
    let exchange = activity.begin();
    assert_eq!(ticks_until_over(&registry, || activity.is_over()), None);
    drop(exchange);
    activity.flushed();
    assert_eq!(ticks_until_over(&registry, || activity.is_over()), Some(6));
    assert!(!activity.is_late_head());
}

#[test]
fn a_connection_is_idle_when_the_last_of_its_exchanges_has_ended() {
    let registry = ConnectionRegistry::new(limits());
    let entry = registry.enter();
    let activity = &entry.activity;
    let (first, second) = (activity.begin(), activity.begin());
    drop(first);
    assert_eq!(
        ticks_until_over(&registry, || activity.is_over()),
        None,
        "one still runs"
    );
    registry.end_idle();
    assert!(!activity.is_over(), "a drain waits for it as well");
    drop(second);
    activity.flushed();
    assert_eq!(ticks_until_over(&registry, || activity.is_over()), Some(6));
}

#[test]
fn a_request_at_the_last_moment_is_answered() {
    let registry = ConnectionRegistry::new(limits());
    let (late, idle) = (registry.enter(), registry.enter());
    registry.end_idle();
    let exchange = late.activity.begin();
    assert!(!late.activity.is_over() && idle.activity.is_over());
    registry.end_all();
    assert!(late.activity.is_over());
    drop(exchange);
}

/// Their clients come back, and not all at once.
#[test]
fn a_drain_ends_tunnels_a_few_connections_at_a_time() {
    let registry = ConnectionRegistry::new(limits());
    let entries: Vec<_> = (0..7).map(|_| registry.enter()).collect();
    let places: Vec<_> = entries[..5].iter().map(|entry| entry.activity.begin_tunnel()).collect();
    let leaving = || {
        let mut context = Context::from_waker(Waker::noop());
        let phases = places.iter().map(|place| place.phase(&mut context));
        phases.filter(|phase| *phase == TunnelPhase::Leaving).count()
    };
    assert_eq!(leaving(), 0);
    let mut seen = Vec::new();
    for parts in [3, 2, 1, 0] {
        registry.leave_tunnels(parts);
        seen.push(leaving());
    }
    assert_eq!(seen, [2, 4, 5, 5]);
    // Those whose tunnel is over already are not among them.
    let place = entries[6].activity.begin_tunnel();
    drop(place);
    registry.leave_tunnels(1);
    assert!(!entries[6].activity.is_cut());
}

/// It may be gone, or have sent its last request: a byte that can be written shows nothing by itself, and a reset ends it.
#[test]
fn a_client_that_closed_its_side_has_its_answer_within_a_time() {
    let registry = ConnectionRegistry::new(Limits {
        half_closed_timeout: 3 * TICK,
        ..limits()
    });
    let entry = registry.enter();
    let activity = &entry.activity;
    let exchange = activity.begin();
    assert_eq!(ticks_until_over(&registry, || activity.is_over()), None);
    activity.half_closed();
    registry.tick(TICK);
    registry.tick(TICK);
    // What is written begins the time anew, the client's close does not.
    activity.wrote();
    activity.half_closed();
    assert_eq!(ticks_until_over(&registry, || activity.is_over()), Some(4));
    drop(exchange);
}

#[test]
fn a_connection_that_only_ignores_its_client_yields_to_a_drain() {
    let registry = ConnectionRegistry::new(limits());
    let entry = registry.enter();
    let activity = &entry.activity;
    activity.received();
    drop(activity.begin());
    activity.lingers();
    assert_eq!(
        ticks_until_over(&registry, || activity.is_over()),
        None,
        "it has a limit of its own"
    );
    registry.end_idle();
    assert!(activity.is_over());
}

#[test]
fn a_handshake_has_a_time_of_its_own_and_is_not_idle() {
    let registry = ConnectionRegistry::new(Limits {
        handshake_timeout: 7 * TICK,
        ..limits()
    });
    let entry = registry.enter();
    let activity = &entry.activity;
    activity.begin_handshake();
    registry.end_idle();
    assert_eq!(ticks_until_over(&registry, || activity.is_over()), Some(8));
    assert!(activity.is_late_handshake());

    let entry = registry.enter();
    let activity = &entry.activity;
    activity.begin_handshake();
    registry.tick(TICK);
    registry.tick(TICK);
    activity.end_handshake();
    assert_eq!(
        ticks_until_over(&registry, || activity.is_over()),
        Some(4),
        "the first request has all of its time"
    );
}

#[test]
fn a_handshake_that_ends_during_a_drain_is_given_a_moment_for_its_request() {
    let registry = ConnectionRegistry::new(limits());
    let entry = registry.enter();
    entry.activity.begin_handshake();
    registry.begin_drain();
    registry.end_idle();
    entry.activity.end_handshake();
    assert_eq!(ticks_until_over(&registry, || entry.activity.is_over()), Some(2));
}

#[test]
fn a_connection_is_not_idle_before_its_response_is_written() {
    let registry = ConnectionRegistry::new(limits());
    let entry = registry.enter();
    let activity = &entry.activity;
    activity.received();
    drop(activity.begin());
    // The rest of a body that is not read.
    activity.received();
    registry.end_idle();
    assert_eq!(
        ticks_until_over(&registry, || activity.is_over()),
        None,
        "what a write may take is bounded elsewhere"
    );
    activity.flushed();
    assert_eq!(ticks_until_over(&registry, || activity.is_over()), Some(6));
}
