//! A plugin's answer, validated.

use super::contract::{Decision, ONLY, unpack};
use portolan_core::rank::{Proposal, Ranking, checked};

/// What a plugin answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginAnswer {
    /// The order of the regions: validated, and completed in the native order unless the plugin declined that.
    pub ranking: Ranking,
    /// Whether the order is the plugin's. It is the native one when the plugin named no region, or none that may answer.
    pub opinion: bool,
    /// Whether something in the answer had to be dropped.
    pub repaired: bool,
    /// The plugin's reason, see [`PluginVersion::reason`](super::PluginVersion::reason); 0 means no reason.
    pub reason: u16,
    /// Whether the answer came from the cache.
    pub remembered: bool,
}

impl PluginAnswer {
    /// Validates an answer for a service with so many regions, of which those in `native` may answer. `reasons` is how
    /// many the plugin has named.
    ///
    /// `None` for an invalid answer: it named regions, and none of them exists. A region that exists and is not eligible now
    /// is not an error: it is dropped, and when nothing else was named the native order is used.
    pub(super) fn sound(decision: Decision, native: &Ranking, regions: usize, reasons: usize) -> Option<Self> {
        let proposal = Proposal {
            order: unpack(decision.first4, decision.next4),
            only: decision.action & ONLY != 0,
        };
        let mut named = proposal
            .order
            .iter()
            .take_while(|slot| **slot != Proposal::END)
            .peekable();
        let silent = named.peek().is_none();
        let exists = named.any(|slot| usize::from(*slot) < regions);
        let known_reason = usize::from(decision.reason) <= reasons;
        let (ranking, opinion, repaired) = match checked(&proposal, native) {
            Some(checked) => (checked.ranking, !silent, checked.repaired),
            None if exists => (native.clone(), false, true),
            None => return None,
        };
        Some(Self {
            ranking,
            opinion,
            repaired: repaired || !known_reason,
            reason: if known_reason { decision.reason } else { 0 },
            remembered: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::contract::pack;
    use portolan_core::id::Slot;
    use proptest::prelude::*;

    fn ranking(slots: &[u8]) -> Ranking {
        slots.iter().copied().map(Slot).collect()
    }

    /// An answer that names these regions, for a service of four of which these may answer.
    fn sound(order: &[u8], action: u16, native: &[u8]) -> Option<PluginAnswer> {
        let mut bytes = [0xff; 8];
        bytes[..order.len()].copy_from_slice(order);
        let (first4, next4) = pack(bytes);
        PluginAnswer::sound(
            Decision {
                first4,
                next4,
                reason: 0,
                action,
            },
            &ranking(native),
            4,
            0,
        )
    }

    #[test]
    fn orders() {
        // named, only these, may answer → order, opinion, repaired
        for (order, action, native, expected, opinion, repaired) in [
            (
                [].as_slice(),
                0,
                [2, 0, 1].as_slice(),
                [2, 0, 1].as_slice(),
                false,
                false,
            ),
            (&[1], 0, &[2, 0, 1], &[1, 2, 0], true, false),
            (&[1], 1, &[2, 0, 1], &[1], true, false),
            (&[1, 1, 9], 0, &[2, 0, 1], &[1, 2, 0], true, true),
            (&[3, 0], 0, &[2, 0, 1], &[0, 2, 1], true, true),
            (&[3], 0, &[2, 0, 1], &[2, 0, 1], false, true),
            (&[3], 1, &[2, 0, 1], &[2, 0, 1], false, true),
            (&[], 1, &[2, 0, 1], &[2, 0, 1], false, false),
            (&[], 0, &[], &[], false, false),
        ] {
            let answer = sound(order, action, native).unwrap();
            let got = (answer.ranking, answer.opinion, answer.repaired);
            assert_eq!(
                got,
                (ranking(expected), opinion, repaired),
                "{order:?} {action} of {native:?}"
            );
        }
    }

    #[test]
    fn regions_that_do_not_exist_are_nonsense() {
        assert_eq!(sound(&[4, 200], 0, &[0, 1]), None);
        assert_eq!(sound(&[9], 1, &[0, 1]), None);
    }

    #[test]
    fn a_reason_that_was_not_named_is_dropped() {
        let decision = |reason| Decision {
            first4: u32::MAX,
            next4: u32::MAX,
            reason,
            action: 0,
        };
        let answer = |reason| PluginAnswer::sound(decision(reason), &ranking(&[0]), 1, 2).unwrap();
        assert_eq!((answer(2).reason, answer(2).repaired), (2, false));
        assert_eq!((answer(3).reason, answer(3).repaired), (0, true));
    }

    proptest! {
        /// For every answer, only eligible regions are tried, each once, and failover works unless it was
        /// declined.
        #[test]
        fn whatever_it_answers(first4: u32, next4: u32, reason: u16, action: u16, native in prop::sample::subsequence((0..64_u8).collect::<Vec<_>>(), 0..=64)) {
            let native = ranking(&native);
            let decision = Decision { first4, next4, reason, action };
            if let Some(answer) = PluginAnswer::sound(decision, &native, 64, 8) {
                let order = answer.ranking.order();
                prop_assert!(order.iter().all(|slot| native.order().contains(slot)));
                prop_assert!((1..order.len()).all(|place| !order[..place].contains(&order[place])));
                prop_assert!(order.len() == native.order().len() || action & 1 == 1);
                prop_assert!(order.is_empty() == native.order().is_empty());
                prop_assert!(answer.reason <= 8);
            }
        }
    }
}
