//! Steering: whether a client is sent to a region's own endpoint instead of being served through this proxy.

use crate::candidates::Candidates;
use crate::health::State;
use crate::id::Slot;
use crate::rank::Ranking;
use http::Method;

/// What a response says of its region's own endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advertisement {
    /// That clients may use it.
    Advertised,
    /// That they must not use any (`clear`).
    Cleared,
    /// Nothing: what clients know still holds.
    Withheld,
}

/// The region that a request is redirected to; `None`: it is served through this proxy.
///
/// Only GET and HEAD are redirected, and only to a region that is not known to be unhealthy: of a redirect nothing can be
/// retried, and this proxy may still find a region that answers.
pub fn redirected_to(ranking: &Ranking, candidates: &Candidates, method: &Method) -> Option<Slot> {
    let first = ranking.first()?;
    let is_safe = matches!(*method, Method::GET | Method::HEAD);
    (is_safe && !candidates.unhealthy.contains(first)).then_some(first)
}

/// What a response from a region in this state says of its own endpoint, where it has one.
///
/// A client that uses it sends all its requests there. So a region in slow start is not advertised, and one of which nothing is
/// known yet is not either.
pub fn advertisement(state: State, has_public: bool) -> Advertisement {
    match state {
        State::Unhealthy | State::Draining => Advertisement::Cleared,
        _ if !has_public => Advertisement::Cleared,
        State::Healthy => Advertisement::Advertised,
        State::Unknown | State::Warming => Advertisement::Withheld,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slots::Slots;

    fn candidates(unhealthy: Slots) -> Candidates {
        Candidates {
            eligible: Slots::first(2),
            last_resort: Slots::EMPTY,
            forbidden: Slots::EMPTY,
            draining: Slots::EMPTY,
            unhealthy,
            full: Slots::EMPTY,
            panic: false,
        }
    }

    #[test]
    fn what_can_be_repeated_without_effect_is_redirected_to_a_region_that_is_not_unhealthy() {
        let ranking: Ranking = [Slot(1), Slot(0)].into_iter().collect();
        let well = candidates(Slots::EMPTY);
        for (method, region) in [
            (Method::GET, Some(Slot(1))),
            (Method::HEAD, Some(Slot(1))),
            (Method::POST, None),
            (Method::OPTIONS, None),
            (Method::DELETE, None),
        ] {
            assert_eq!(redirected_to(&ranking, &well, &method), region, "{method}");
        }
        let panic = candidates(Slots::first(2));
        assert_eq!(redirected_to(&ranking, &panic, &Method::GET), None);
        assert_eq!(redirected_to(&Ranking::default(), &well, &Method::GET), None);
    }

    #[test]
    fn only_a_healthy_region_is_advertised_and_one_that_must_not_be_used_is_cleared() {
        use Advertisement::{Advertised, Cleared, Withheld};
        for (state, expected, without) in [
            (State::Healthy, Advertised, Cleared),
            (State::Unknown, Withheld, Cleared),
            (State::Warming, Withheld, Cleared),
            (State::Unhealthy, Cleared, Cleared),
            (State::Draining, Cleared, Cleared),
        ] {
            assert_eq!(advertisement(state, true), expected, "{state:?}");
            assert_eq!(advertisement(state, false), without, "{state:?}");
        }
    }
}
