//! What is known of a name as time passes, in no time.

use super::*;
use std::net::{Ipv4Addr, Ipv6Addr};

const V4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const OTHER_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));
const V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));

/// A name and the time.
struct Scene {
    state: State,
    began: Instant,
    now: Instant,
}

impl Scene {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            state: State::new(now),
            began: now,
            now,
        }
    }

    /// The families that are due now; their look-ups begin.
    fn due(&mut self) -> Vec<Family> {
        self.state.begin(self.now)
    }

    /// Time passes until something is due. Says how much since the beginning.
    fn wait(&mut self) -> Duration {
        let at = self.state.wake_at(self.now).expect("something is due some time");
        self.now = at;
        at - self.began
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    fn answer(&mut self, family: Family, addresses: &[IpAddr], ttl: u64) -> Option<Event> {
        self.answer_under("gw.test.", family, addresses, ttl)
    }

    fn answer_under(&mut self, name: &str, family: Family, addresses: &[IpAddr], ttl: u64) -> Option<Event> {
        let outcome = Outcome::Addresses {
            addresses: addresses.to_vec(),
            ttl: Duration::from_secs(ttl),
            source: Source::Dns(Name::from_ascii(name).expect("a name")),
        };
        self.state.heard(family, outcome, self.now)
    }

    fn fail(&mut self, family: Family) -> Option<Event> {
        self.state.heard(family, Outcome::Failed(problem("servfail")), self.now)
    }

    fn deny(&mut self, family: Family, reason: &'static str) -> Option<Event> {
        let outcome = Outcome::Absent {
            ttl: Some(Duration::from_secs(120)),
            problem: problem(reason),
        };
        self.state.heard(family, outcome, self.now)
    }

    fn addresses(&self) -> Vec<IpAddr> {
        self.state.addresses().collect()
    }
}

fn problem(reason: &'static str) -> Problem {
    Problem {
        reason,
        text: format!("192.0.2.53: {reason}"),
    }
}

#[test]
fn each_family_has_its_own_expiry() {
    let mut scene = Scene::new();
    assert_eq!(scene.due(), Family::ALL);
    assert_eq!(scene.due(), [], "they are being looked up");
    scene.answer(Family::V4, &[V4], 10);
    scene.answer(Family::V6, &[V6], 60);
    assert_eq!(scene.addresses(), [V4, V6]);
    assert_eq!(scene.wait(), Duration::from_secs(10));
    assert_eq!(scene.due(), [Family::V4]);
    scene.answer(Family::V4, &[OTHER_V4], 300);
    assert_eq!(scene.addresses(), [OTHER_V4, V6]);
    assert_eq!(scene.wait(), Duration::from_secs(60));
    assert_eq!(scene.due(), [Family::V6]);
}

#[test]
fn ttls_are_kept_within_bounds() {
    let mut scene = Scene::new();
    scene.due();
    scene.answer(Family::V4, &[V4], 0);
    scene.answer(Family::V6, &[V6], 86_400);
    assert_eq!(scene.wait(), TTL.0);
    let [v4, v6] = scene.state.status(scene.now);
    assert_eq!((v4.ttl, v6.ttl), (Some(TTL.0), Some(TTL.1)));
    assert_eq!(v4.age, Some(Duration::from_secs(1)));
}

#[test]
fn a_family_that_fails_keeps_its_addresses_and_is_asked_again_soon() {
    let mut scene = Scene::new();
    scene.due();
    scene.answer(Family::V4, &[V4], 2);
    scene.answer(Family::V6, &[V6], 60);
    scene.wait();
    let mut pauses = Vec::new();
    for _ in 0..8 {
        assert_eq!(scene.due(), [Family::V4]);
        let event = scene.fail(Family::V4);
        assert_eq!(event.is_some(), pauses.is_empty(), "it is told once");
        assert_eq!(scene.addresses(), [V4, V6]);
        let before = scene.now;
        scene.wait();
        pauses.push((scene.now - before).as_millis());
    }
    assert_eq!(pauses[..6], [500, 1000, 2000, 4000, 8000, 15_000]);
    let [v4, v6] = scene.state.status(scene.now);
    assert_eq!(v4.problem.map(|problem| problem.reason), Some("servfail"));
    assert_eq!((v6.problem, v4.lookups), (None, [1, 0, 8]));
    scene.due();
    assert_eq!(scene.answer(Family::V4, &[V4], 2), Some(Event::Recovered));
}

#[test]
fn a_name_without_addresses_is_asked_for_every_five_seconds_at_least() {
    for deny in [false, true] {
        let mut scene = Scene::new();
        for _ in 0..12 {
            for family in scene.due() {
                match deny {
                    true => scene.deny(family, "nxdomain"),
                    false => scene.fail(family),
                };
            }
            let before = scene.now;
            scene.wait();
            assert!(scene.now - before <= RETRY_EMPTY, "{:?}", scene.now - before);
        }
    }
}

#[test]
fn a_name_that_does_not_exist_is_told_once() {
    let mut scene = Scene::new();
    scene.due();
    assert_eq!(scene.deny(Family::V4, "nxdomain"), None, "there may be IPv6");
    assert_eq!(
        scene.deny(Family::V6, "nxdomain"),
        Some(Event::Missing(problem("nxdomain")))
    );
    for family in Family::ALL {
        assert_eq!(scene.deny(family, "nxdomain"), None);
    }
}

#[test]
fn the_missing_family_of_a_name_is_asked_for_when_its_negative_ttl_is_over() {
    let mut scene = Scene::new();
    scene.due();
    scene.answer(Family::V4, &[V4], 300);
    assert_eq!(scene.deny(Family::V6, "nodata"), None);
    assert_eq!(scene.wait(), Duration::from_secs(120));
    let [_, v6] = scene.state.status(scene.now);
    assert_eq!(v6.problem, None, "it is no error not to have IPv6");
}

#[test]
fn an_authoritative_no_removes_addresses_after_the_hold_time() {
    let mut scene = Scene::new();
    scene.due();
    scene.answer(Family::V4, &[V4], 1);
    scene.deny(Family::V6, "nodata");
    scene.wait();
    let since = scene.now;
    let mut events = Vec::new();
    while scene.addresses() == [V4] {
        assert!(scene.now - since <= HOLD);
        for family in scene.due() {
            events.extend(scene.deny(family, "nxdomain"));
        }
        scene.wait();
    }
    let nxdomain = problem("nxdomain");
    assert_eq!(events, [Event::Denied(nxdomain.clone()), Event::Removed(nxdomain)]);
    assert_eq!(scene.addresses(), [] as [IpAddr; 0]);
    // It appears again, and is used at once.
    scene.due();
    scene.answer(Family::V4, &[OTHER_V4], 1);
    assert_eq!(scene.addresses(), [OTHER_V4]);
}

#[test]
fn a_yes_within_the_hold_time_ends_it() {
    let mut scene = Scene::new();
    scene.due();
    scene.answer(Family::V4, &[V4], 1);
    scene.deny(Family::V4, "nxdomain");
    scene.pass(HOLD - Duration::from_secs(1));
    scene.answer(Family::V4, &[V4], 1);
    scene.pass(Duration::from_secs(2));
    scene.deny(Family::V4, "nxdomain");
    assert_eq!(scene.addresses(), [V4], "the hold time begins anew");
}

#[test]
fn a_failure_alone_never_ends_the_hold_time() {
    let mut scene = Scene::new();
    scene.due();
    scene.answer(Family::V4, &[V4], 1);
    scene.deny(Family::V4, "nxdomain");
    scene.pass(HOLD * 10);
    scene.fail(Family::V4);
    assert_eq!(scene.addresses(), [V4]);
}

#[test]
fn the_first_answer_waits_50_ms_for_the_other_family() {
    let mut scene = Scene::new();
    scene.due();
    assert_eq!(scene.state.settles_at(), None);
    scene.pass(Duration::from_millis(20));
    scene.answer(Family::V4, &[V4], 60);
    assert_eq!(scene.addresses(), [V4], "published at once");
    let settles_at = scene.now + Duration::from_millis(50);
    assert_eq!(scene.state.settles_at(), Some(settles_at));
    assert_eq!(scene.state.wake_at(scene.now), Some(settles_at));
    scene.pass(Duration::from_millis(10));
    scene.answer(Family::V6, &[V6], 60);
    assert_eq!(scene.state.settles_at(), Some(scene.now), "both are there");
}

#[test]
fn without_addresses_the_first_answer_waits_for_both_families() {
    let mut scene = Scene::new();
    scene.due();
    scene.deny(Family::V6, "nxdomain");
    assert_eq!(scene.state.settles_at(), None, "the other one may have some");
    scene.pass(Duration::from_secs(4));
    scene.fail(Family::V4);
    assert_eq!(scene.state.settles_at(), Some(scene.now));
}

#[test]
fn another_name_of_the_search_list_is_not_taken_for_the_known_one_before_the_hold_time_is_over() {
    let mut scene = Scene::new();
    scene.due();
    scene.answer(Family::V4, &[V4], 1);
    scene.wait();
    scene.due();
    let event = scene.answer_under("gw.test.corp.", Family::V4, &[OTHER_V4], 60);
    assert!(matches!(event, Some(Event::Denied(_))), "{event:?}");
    scene.answer_under("gw.test.corp.", Family::V6, &[V6], 60);
    assert_eq!(scene.addresses(), [V4], "nor for the other family");
    scene.pass(HOLD);
    scene.answer_under("gw.test.corp.", Family::V4, &[OTHER_V4], 60);
    assert_eq!(scene.addresses(), [OTHER_V4]);
}

#[test]
fn what_this_machine_says_itself_counts_at_once() {
    let mut scene = Scene::new();
    scene.due();
    scene.answer(Family::V4, &[V4], 60);
    scene.answer(Family::V6, &[V6], 60);
    for (family, addresses) in [(Family::V4, vec![OTHER_V4]), (Family::V6, vec![])] {
        let outcome = Outcome::Addresses {
            addresses,
            ttl: TTL.1,
            source: Source::Local,
        };
        scene.state.heard(family, outcome, scene.now);
    }
    assert_eq!(
        scene.addresses(),
        [OTHER_V4],
        "the hosts file hides DNS for both families"
    );
}

#[test]
fn a_refresh_makes_everything_due() {
    let mut scene = Scene::new();
    scene.due();
    scene.answer(Family::V4, &[V4], 300);
    scene.state.refresh(scene.now);
    assert_eq!(scene.due(), Family::ALL);
    assert_eq!(scene.addresses(), [V4]);
}
