//! The answer of a plugin against what its case expects.

use crate::cli::plugin::suite::Suite;
use crate::config::PluginCase;
use crate::plugin::{PluginAnswer, PluginVersion};
use portolan_core::decision::AffinityWish;
use portolan_core::id::Slot;
use std::collections::BTreeMap;
use std::fmt::Display;

/// The word for an answer without a reason.
const NONE: &str = "none";

/// What differs, in the words of the file.
pub(super) fn differences(
    suite: &Suite,
    case: &PluginCase,
    version: &PluginVersion,
    answer: &PluginAnswer,
) -> Vec<String> {
    let mut wrong = Vec::new();
    let expected = &case.expected;
    let slots = answer.ranking.order();
    if let Some(order) = &expected.order {
        let wanted: Vec<Slot> = order.iter().map(|place| Slot(*place as u8)).collect();
        check(&mut wrong, "order", &names(suite, &wanted), &names(suite, slots));
    }
    if let Some(first) = expected.first {
        let first = suite.region(Slot(first as u8));
        let got = slots.first().map_or(NONE, |slot| suite.region(*slot));
        check(&mut wrong, "first", first, got);
    }
    if let Some(reason) = &expected.reason {
        check(
            &mut wrong,
            "reason",
            reason.as_str(),
            version.reason(answer.reason).unwrap_or(NONE),
        );
    }
    if let Some(opinion) = expected.opinion {
        check(&mut wrong, "opinion", &opinion, &answer.opinion);
    }
    if let Some(only) = expected.only {
        check(&mut wrong, "only", &only, &(slots.len() < case.eligible.len()));
    }
    if let Some(reject) = expected.reject {
        let shown = |status: Option<u16>| status.map_or("false".to_owned(), |status| status.to_string());
        check(&mut wrong, "reject", &shown(reject), &shown(answer.effects.rejects));
    }
    if let Some(affinity) = expected.affinity {
        let shown = |affinity: AffinityWish| affinity.as_str().unwrap_or("configured");
        check(&mut wrong, "affinity", shown(affinity), shown(answer.effects.affinity));
    }
    if let Some(headers) = &expected.headers {
        let set = answer.headers.iter().flat_map(|changes| &changes.set);
        let set: BTreeMap<_, _> = set.map(|(name, value)| (name.as_str(), value)).collect();
        let wanted: BTreeMap<_, _> = headers.iter().map(|(name, value)| (name.as_str(), value)).collect();
        check(&mut wrong, "headers", &format!("{wanted:?}"), &format!("{set:?}"));
    }
    if answer.repaired {
        wrong.push(
            "the answer names a region or a reason that does not exist or may not answer; the proxy drops it"
                .to_owned(),
        );
    }
    wrong
}

fn check<T: PartialEq + Display + ?Sized>(wrong: &mut Vec<String>, what: &str, expected: &T, got: &T) {
    if expected != got {
        wrong.push(format!("{what}: expected {expected}, got {got}"));
    }
}

fn names(suite: &Suite, slots: &[Slot]) -> String {
    let names: Vec<_> = slots.iter().map(|slot| suite.region(*slot)).collect();
    format!("[{}]", names.join(", "))
}
