//! Whose fault the failures of a request may be.

use portolan_core::health::Evidence;
use portolan_core::id::Slot;
use portolan_core::slots::Slots;

/// What has been held against regions because of one request. When it fails in the same way wherever it is tried, it may be at
/// fault itself, such as by a cookie that is too large.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Blame {
    failure: Option<Evidence>,
    regions: Slots,
    /// It failed in different ways.
    differs: bool,
}

impl Blame {
    /// A failure has been counted against a region. Failed connections are never the request's fault.
    pub(super) fn add(&mut self, slot: Slot, failure: Evidence) {
        if failure == Evidence::ConnectFailed {
            return;
        }
        self.differs |= self.failure.is_some_and(|before| before != failure);
        self.failure = Some(failure);
        self.regions.insert(slot);
    }

    /// The regions that a request which no region answered well leaves in dispute: two or more in which it failed in the same
    /// way.
    pub(super) fn disputed(self) -> Slots {
        if self.differs || self.regions.len() < 2 {
            return Slots::EMPTY;
        }
        self.regions
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Evidence::{ConnectFailed, GatewayError, Reset, TimedOut};

    #[test]
    fn the_same_failure_in_two_regions_is_disputed() {
        for (failures, disputed) in [
            (vec![], vec![]),
            (vec![(0, Reset)], vec![]),
            (vec![(0, Reset), (1, Reset)], vec![0, 1]),
            (vec![(0, Reset), (1, Reset), (2, Reset)], vec![0, 1, 2]),
            (vec![(0, Reset), (1, ConnectFailed), (2, Reset)], vec![0, 2]),
            (vec![(0, ConnectFailed), (1, ConnectFailed)], vec![]),
            (vec![(0, ConnectFailed), (1, Reset)], vec![]),
            (vec![(0, Reset), (1, TimedOut)], vec![]),
            (vec![(0, TimedOut), (1, TimedOut), (2, GatewayError)], vec![]),
            (vec![(2, GatewayError), (0, GatewayError)], vec![0, 2]),
        ] {
            let mut blame = Blame::default();
            failures
                .iter()
                .for_each(|(slot, failure)| blame.add(Slot(*slot), *failure));
            assert_eq!(
                blame.disputed(),
                disputed.into_iter().map(Slot).collect(),
                "{failures:?}"
            );
        }
    }
}
