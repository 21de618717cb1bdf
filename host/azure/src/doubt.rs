//! Whether an instance may trust its own view of the regions. Pure.
//!
//! An instance whose own network fails sees every region fail. When it sees more than half of the regions unhealthy, or
//! reaches no gateway at all, its own network is the likelier cause: its vote then abstains (fail static).

use crate::health::LocalView;
use portolan_core::health::State;
use std::time::Duration;
use tokio::time::Instant;

/// Follows an instance's own view.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Doubt {
    doubted: bool,
    ended: Option<Instant>,
}

impl Doubt {
    /// Updates with the view of `now`. Returns whether doubt began or ended.
    pub fn update(&mut self, view: &LocalView, now: Instant) -> bool {
        let before = self.doubted;
        self.doubted = is_implausible(view);
        if before && !self.doubted {
            self.ended = Some(now);
        }
        before != self.doubted
    }

    /// Whether the view is doubted.
    pub fn is_doubted(&self) -> bool {
        self.doubted
    }

    /// How long ago the last doubt ended. `None` when there never was one.
    pub fn ended_ago(&self, now: Instant) -> Option<Duration> {
        self.ended.map(|ended| now.saturating_duration_since(ended))
    }
}

/// Whether the instance's own network is the likelier cause of a view.
fn is_implausible(view: &LocalView) -> bool {
    let unhealthy = view.regions.iter().filter(|region| region.state == State::Unhealthy);
    view.isolated || unhealthy.count() * 2 > view.regions.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::RegionHealth;
    use State::{Draining, Healthy, Unhealthy, Unknown};

    fn view(states: &[State]) -> LocalView {
        let region = |state: &State| RegionHealth {
            region: "r".into(),
            state: *state,
            since: Instant::now(),
            evidence: String::new(),
        };
        LocalView {
            regions: states.iter().map(region).collect(),
            isolated: false,
        }
    }

    #[test]
    fn a_view_in_which_most_regions_are_unhealthy_is_doubted() {
        for (states, doubted) in [
            (&[Unhealthy, Healthy, Healthy][..], false),
            (&[Unhealthy, Unhealthy, Healthy], true),
            (&[Unhealthy, Unhealthy, Unhealthy], true),
            (&[Unhealthy, Unhealthy, Healthy, Healthy], false),
            (&[Unhealthy, Unknown, Unknown], false),
            (&[Draining, Draining, Unhealthy], false),
            (&[], false),
        ] {
            assert_eq!(is_implausible(&view(states)), doubted, "{states:?}");
        }
        let isolated = LocalView {
            isolated: true,
            ..view(&[Unknown, Unknown, Unknown])
        };
        assert!(is_implausible(&isolated));
    }

    #[test]
    fn the_end_of_a_doubt_is_remembered() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut doubt = Doubt::default();
        assert!(!doubt.update(&view(&[Unhealthy, Healthy, Healthy]), start));
        assert_eq!(doubt.ended_ago(start), None);
        assert!(doubt.update(&view(&[Unhealthy, Unhealthy, Healthy]), start + second));
        assert!(doubt.is_doubted());
        assert!(doubt.update(&view(&[Healthy, Unhealthy, Healthy]), start + 2 * second));
        assert!(!doubt.is_doubted());
        assert_eq!(doubt.ended_ago(start + 5 * second), Some(3 * second));
    }
}
