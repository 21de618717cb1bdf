//! A plugin's answer, validated.

use super::contract::{Answer, v02};
use super::error::PluginFault;
use super::setup::Setup;
use http::HeaderValue;
use portolan_core::decision::{AffinityWish, Effects};
use portolan_core::rank::{Proposal, Ranking, checked};
use portolan_core::route::HeaderChanges;
use std::sync::Arc;

/// The longest value of a request header that a plugin may set, in bytes.
const VALUE: usize = 1024;

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
    /// What else it answered.
    pub effects: Effects,
    /// What becomes of the request headers that the plugin may set. `None` where there are none.
    pub headers: Option<Arc<HeaderChanges>>,
    /// Whether the answer came from the cache.
    pub remembered: bool,
}

/// Why an answer is invalid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Invalid {
    pub(super) fault: PluginFault,
    pub(super) why: String,
}

impl PluginAnswer {
    /// Validates an answer for a service with so many regions, of which those in `native` may answer. `statuses` are those
    /// that the route allows.
    ///
    /// An answer that names regions of which none exists is invalid. A region that exists and is not eligible now is not an
    /// error: it is dropped, and when nothing else was named the native order is used.
    pub(super) fn sound(
        answer: Answer,
        native: &Ranking,
        regions: usize,
        setup: &Setup,
        statuses: &[u16],
    ) -> Result<Self, Invalid> {
        let named = answer.order.named();
        let exists = named.iter().any(|slot| usize::from(*slot) < regions);
        if !named.is_empty() && !exists {
            return Err(Invalid {
                fault: PluginFault::Nonsense,
                why: format!("it named no region that exists: {named:?}"),
            });
        }
        let proposal = Proposal {
            order: named,
            only: answer.only,
        };
        let (ranking, opinion, repaired) = match checked(proposal, native) {
            Some(checked) => (checked.ranking, !named.is_empty(), checked.repaired),
            None => (native.clone(), false, true),
        };
        let (headers, sets) = match &*answer.headers {
            [] => (setup.without_headers().cloned(), 0),
            values => headers(values, setup)?,
        };
        let known_reason = usize::from(answer.reason) <= setup.reasons.len();
        let answer = Self {
            ranking,
            opinion,
            repaired: repaired || !known_reason,
            reason: if known_reason { answer.reason } else { 0 },
            effects: Effects {
                rejects: answer.reject,
                sets,
                affinity: answer.affinity.into(),
            },
            headers,
            remembered: false,
        };
        answer.allowed(statuses)?;
        Ok(answer)
    }

    /// Whether a route that allows these statuses allows the answer.
    pub(super) fn allowed(&self, statuses: &[u16]) -> Result<(), Invalid> {
        match self.effects.rejects {
            Some(status) if !statuses.contains(&status) => Err(Invalid {
                fault: PluginFault::Status,
                why: format!(
                    "it rejects the request with {status}, and plugin_statuses of the route allows {statuses:?}"
                ),
            }),
            _ => Ok(()),
        }
    }
}

impl From<v02::Affinity> for AffinityWish {
    fn from(affinity: v02::Affinity) -> Self {
        match affinity {
            v02::Affinity::Configured => Self::Configured,
            v02::Affinity::Off => Self::Off,
            v02::Affinity::On => Self::On,
        }
    }
}

/// The changes of request headers for these values, and which are set.
#[cold]
fn headers(values: &[v02::HeaderValue], setup: &Setup) -> Result<(Option<Arc<HeaderChanges>>, u8), Invalid> {
    let invalid = |why: String| Invalid {
        fault: PluginFault::Nonsense,
        why,
    };
    let (mut set, mut sets) = (Vec::with_capacity(values.len()), 0_u8);
    for v02::HeaderValue { header, value } in values {
        let name = setup.request_headers.get(usize::from(*header));
        let name = name.ok_or_else(|| invalid(format!("it sets request header {header}, which it has not named")))?;
        if sets & 1 << header != 0 {
            return Err(invalid(format!("it sets the request header {name} twice")));
        }
        sets |= 1 << header;
        let is_visible = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
        let is_sound = value.len() <= VALUE && value.trim() == value && value.bytes().all(is_visible);
        let parsed = HeaderValue::from_str(value).ok().filter(|_| is_sound);
        let parsed = parsed.ok_or_else(|| {
            let shown = value.get(..64).unwrap_or(value);
            invalid(format!(
                "it sets the request header {name} to an invalid value: {shown:?}"
            ))
        })?;
        set.push((name.clone(), parsed));
    }
    let unset = (0..)
        .zip(&setup.request_headers)
        .filter(|(place, _)| sets & 1 << place == 0);
    let changes = HeaderChanges {
        remove: unset.map(|(_, name)| name.clone()).collect(),
        set: set.into(),
        add: Box::default(),
    };
    Ok((Some(Arc::new(changes)), sets))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::contract::{Order, v01};
    use portolan_core::id::Slot;
    use proptest::prelude::*;

    fn ranking(slots: &[u8]) -> Ranking {
        slots.iter().copied().map(Slot).collect()
    }

    fn answer(order: &[u8]) -> Answer {
        Answer {
            order: Order::List(order.to_vec()),
            only: false,
            reject: None,
            affinity: v02::Affinity::Configured,
            headers: Vec::new(),
            reason: 0,
        }
    }

    /// A setup with two reasons and two request headers.
    fn setup() -> Setup {
        Setup::check(v02::Setup {
            reasons: ["a", "b"].map(str::to_owned).to_vec(),
            request_headers: ["x-tenant", "x-ring"].map(str::to_owned).to_vec(),
            ..v02::Setup::default()
        })
        .unwrap()
    }

    /// An answer that names these regions, for a service of four of which these may answer; in both versions the same.
    fn sound(order: &[u8], only: bool, native: &[u8]) -> Result<PluginAnswer, Invalid> {
        let list = Answer { only, ..answer(order) };
        let (first4, next4) = v01::pack(order.iter().copied());
        let words = Answer::from(v01::Decision {
            first4,
            next4,
            reason: 0,
            action: u16::from(only),
        });
        let [list, words] = [list, words].map(|answer| PluginAnswer::sound(answer, &ranking(native), 4, &setup(), &[]));
        assert_eq!(list, words);
        list
    }

    #[test]
    fn orders() {
        // named, only these, may answer → order, opinion, repaired
        for (order, only, native, expected, opinion, repaired) in [
            (
                [].as_slice(),
                false,
                [2, 0, 1].as_slice(),
                [2, 0, 1].as_slice(),
                false,
                false,
            ),
            (&[1], false, &[2, 0, 1], &[1, 2, 0], true, false),
            (&[1], true, &[2, 0, 1], &[1], true, false),
            (&[1, 1, 9], false, &[2, 0, 1], &[1, 2, 0], true, true),
            (&[3, 0], false, &[2, 0, 1], &[0, 2, 1], true, true),
            (&[3], false, &[2, 0, 1], &[2, 0, 1], false, true),
            (&[3], true, &[2, 0, 1], &[2, 0, 1], false, true),
            (&[], true, &[2, 0, 1], &[2, 0, 1], false, false),
            (&[], false, &[], &[], false, false),
        ] {
            let answer = sound(order, only, native).unwrap();
            let got = (answer.ranking, answer.opinion, answer.repaired);
            assert_eq!(
                got,
                (ranking(expected), opinion, repaired),
                "{order:?} {only} of {native:?}"
            );
        }
    }

    #[test]
    fn regions_that_do_not_exist_are_nonsense() {
        for (order, only) in [(&[4, 200][..], false), (&[9], true)] {
            let invalid = sound(order, only, &[0, 1]).unwrap_err();
            assert_eq!(invalid.fault, PluginFault::Nonsense);
        }
    }

    #[test]
    fn a_list_orders_all_sixty_four_regions() {
        let backwards: Vec<u8> = (0..64).rev().collect();
        let native = (0..64).map(Slot).collect();
        let answer = PluginAnswer::sound(answer(&backwards), &native, 64, &setup(), &[]).unwrap();
        assert_eq!(answer.ranking, ranking(&backwards));
        assert!(answer.opinion && !answer.repaired);
    }

    #[test]
    fn a_reason_that_was_not_named_is_dropped() {
        let reason = |reason| {
            let answer = Answer { reason, ..answer(&[]) };
            let answer = PluginAnswer::sound(answer, &ranking(&[0]), 1, &setup(), &[]).unwrap();
            (answer.reason, answer.repaired)
        };
        assert_eq!((reason(2), reason(3)), ((2, false), (0, true)));
    }

    #[test]
    fn a_request_is_rejected_only_with_a_status_of_the_route() {
        let rejects = |status, allowed: &[u16]| {
            let answer = Answer {
                reject: Some(status),
                ..answer(&[])
            };
            PluginAnswer::sound(answer, &ranking(&[0]), 1, &setup(), allowed)
        };
        assert_eq!(rejects(451, &[403, 451]).unwrap().effects.rejects, Some(451));
        for (status, allowed) in [(451, &[403, 429][..]), (403, &[]), (200, &[403]), (0, &[403])] {
            let invalid = rejects(status, allowed).unwrap_err();
            assert_eq!(invalid.fault, PluginFault::Status);
            assert!(invalid.why.contains(&status.to_string()), "{}", invalid.why);
        }
    }

    fn sets(values: &[(u8, &str)]) -> Result<PluginAnswer, Invalid> {
        let headers = values.iter().map(|(header, value)| v02::HeaderValue {
            header: *header,
            value: (*value).to_owned(),
        });
        let answer = Answer {
            headers: headers.collect(),
            ..answer(&[])
        };
        PluginAnswer::sound(answer, &ranking(&[0]), 1, &setup(), &[])
    }

    #[test]
    fn request_headers_come_from_the_plugin_or_not_at_all() {
        for (values, mask, set, removed) in [
            (&[][..], 0, &[][..], &["x-tenant", "x-ring"][..]),
            (&[(1, "blue")], 2, &[("x-ring", "blue")], &["x-tenant"]),
            (&[(1, "blue"), (0, "")], 3, &[("x-ring", "blue"), ("x-tenant", "")], &[]),
        ] {
            let answer = sets(values).unwrap();
            let changes = answer.headers.unwrap();
            assert_eq!(answer.effects.sets, mask);
            let got: Vec<_> = changes
                .set
                .iter()
                .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
                .collect();
            assert_eq!(got, set);
            assert_eq!(changes.remove.to_vec(), removed);
        }
    }

    #[test]
    fn request_headers_that_are_not_set() {
        let long = "x".repeat(VALUE + 1);
        for (values, said) in [
            (&[(2, "a")][..], "not named"),
            (&[(255, "a")], "not named"),
            (&[(0, "a"), (0, "b")], "twice"),
            (&[(0, "a\nb")], "invalid value"),
            (&[(0, " a")], "invalid value"),
            (&[(0, "ö")], "invalid value"),
            (&[(0, &long)], "invalid value"),
        ] {
            let invalid = sets(values).unwrap_err();
            assert_eq!(invalid.fault, PluginFault::Nonsense);
            assert!(invalid.why.contains(said), "{}", invalid.why);
        }
    }

    proptest! {
        /// For every answer, only eligible regions are tried, each once, and failover works unless it was
        /// declined.
        #[test]
        fn whatever_it_answers(order in prop::collection::vec(any::<u8>(), 0..80), reason: u16, only: bool, native in prop::sample::subsequence((0..64_u8).collect::<Vec<_>>(), 0..=64)) {
            let native = ranking(&native);
            let answer = Answer { reason, only, ..answer(&order) };
            if let Ok(answer) = PluginAnswer::sound(answer, &native, 64, &setup(), &[]) {
                let order = answer.ranking.order();
                prop_assert!(order.iter().all(|slot| native.order().contains(slot)));
                prop_assert!((1..order.len()).all(|place| !order[..place].contains(&order[place])));
                prop_assert!(order.len() == native.order().len() || only);
                prop_assert!(order.is_empty() == native.order().is_empty());
                prop_assert!(answer.reason <= 2);
            }
        }
    }
}
