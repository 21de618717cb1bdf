//! Rollouts of plugin versions.

use super::compound::{At, NonEmpty, OrOff};
use super::document::Node;
use super::error::Mistakes;
use super::quantities::{H, S, Time, US};
use super::section::section;
use super::shape::{Shape, wanted};
use super::values::{Whole, plain, scalar};
use portolan_core::rollout::{Plan, Share, Stage, Step, Thresholds};
use serde_json::{Value, json};
use std::time::Duration;

section! {
    /// How a new version of a plugin is rolled out while the one before is active: in shadow, as a canary, then for all clients.
    RolloutSection {
        /// How long it decides only copies of requests, in the background; its decisions are compared with the active version's,
        /// and dropped. Default: not at all.
        optional shadow: Time<{ S }, { 7 * 24 * H }>,
        /// The shares of clients whose requests it decides, one after another, such as [1%, 10%, 50%]. All clients of a network (/24
        /// or /48) get the same version. Default: none, it is active after the shadow.
        optional canary: NonEmpty<At<SharePercent>>,
        /// How long it has each share, or manual: until portolan plugin promote. Default: 10m.
        optional step: StepTime,
        /// When it is rolled back, or off: never by itself. Its digest is then suspended: only an operator activates it again.
        optional rollback: OrOff<RollbackSection>,
    }
}

section! {
    /// From when on a version that is rolled out is rolled back, by what was counted in its stage or in the last 10 seconds.
    RollbackSection {
        /// So many of its calls fail, deadlines among them. Default: 5.
        optional faults: Whole<1, 1_000_000>,
        /// And at least this share of its calls. Default: 0.5%.
        optional fault_rate: SharePercent,
        /// Its calls take so much longer than the active version's on average. Default: 200us.
        optional cost: Time<{ US }, { S }>,
        /// The share of its requests whose first region fails, or that get an error, exceeds the active version's by so much.
        /// Default: 1%.
        optional failure_rate: SharePercent,
    }
}

/// A share from 0.1 % to 100 %, in permille: `0.5%` or `10%`.
#[derive(Clone, Copy, Debug)]
pub(super) struct SharePercent(Share);

impl SharePercent {
    /// The share.
    pub(super) fn share(self) -> Share {
        self.0
    }

    fn fraction(self) -> f64 {
        f64::from(self.0.as_permille()) / 1_000.0
    }
}

impl Shape for SharePercent {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        match scalar(node).and_then(share) {
            Some(share) => Some(Self(share)),
            None => wanted(node, "a percentage from 0.1% to 100%, such as 10% or 0.5%", mistakes),
        }
    }

    fn schema() -> Value {
        json!({ "type": "string", "pattern": r"^[0-9]{1,3}(\.[0-9])?%$" })
    }
}

/// The share that a text such as `10%` or `0.5%` is. `None` for anything else.
pub fn share(text: &str) -> Option<Share> {
    let number = text.strip_suffix('%')?;
    let (whole, tenth) = number.split_once('.').unwrap_or((number, "0"));
    let is_number =
        |text: &str, most| (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole, 3) || !is_number(tenth, 1) {
        return None;
    }
    let permille = whole.parse::<u16>().ok()? * 10 + tenth.parse::<u16>().ok()?;
    Share::permille(permille)
}

/// How long a step lasts.
#[derive(Clone, Copy, Debug)]
pub(super) enum StepTime {
    Manual,
    For(Duration),
}

impl Shape for StepTime {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        match plain(node) {
            Some("manual") => Some(Self::Manual),
            _ => Time::<{ S }, { 7 * 24 * H }>::read(node, mistakes).map(|time| Self::For(time.0)),
        }
    }

    fn schema() -> Value {
        json!({ "anyOf": [{ "enum": ["manual"] }, Time::<{ S }, { 7 * 24 * H }>::schema()] })
    }
}

/// How long a step lasts by default.
const STEP: Duration = Duration::from_secs(600);

impl RolloutSection {
    pub(super) fn plan(&self, mistakes: &mut Mistakes<'_>) -> Option<Plan> {
        let lasts = match self.step {
            None => Some(STEP),
            Some(StepTime::Manual) => None,
            Some(StepTime::For(time)) => Some(time),
        };
        let shares = self.canary.as_deref().unwrap_or_default();
        let falls = shares.windows(2).find(|pair| pair[1].value.0 <= pair[0].value.0);
        if let Some(pair) = falls {
            mistakes.at(pair[1].id, "every share has to be larger than the one before");
            return None;
        }
        if self.shadow.is_none() && shares.is_empty() {
            mistakes.at(self.at, "a rollout needs shadow, canary or both");
            return None;
        }
        let shadow = self.shadow.map(|time| Step {
            stage: Stage::Shadow,
            lasts: Some(time.0),
        });
        let canary = shares.iter().map(|share| Step {
            stage: Stage::Canary(share.value.0),
            lasts,
        });
        Some(Plan {
            steps: shadow.into_iter().chain(canary).collect(),
            thresholds: match &self.rollback {
                None => Some(Thresholds::default()),
                Some(OrOff::Off) => None,
                Some(OrOff::On(section)) => Some(section.thresholds()),
            },
        })
    }
}

impl RollbackSection {
    fn thresholds(&self) -> Thresholds {
        let default = Thresholds::default();
        Thresholds {
            faults: self.faults.map_or(default.faults, |faults| faults.0),
            fault_rate: self.fault_rate.map_or(default.fault_rate, SharePercent::fraction),
            cost: self.cost.map_or(default.cost, |cost| cost.0),
            failure_rate: self.failure_rate.map_or(default.failure_rate, SharePercent::fraction),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_have_a_percent_sign_and_at_most_one_decimal() {
        for (text, permille) in [("1%", 10), ("0.1%", 1), ("12.5%", 125), ("100%", 1_000)] {
            assert_eq!(share(text).map(Share::as_permille), Some(permille), "{text}");
        }
        for text in [
            "", "%", "1", "0%", "0.0%", "100.1%", "1.25%", "-1%", "1.%", ".5%", "1 %", "1000%", "+1%",
        ] {
            assert_eq!(share(text), None, "{text}");
        }
    }
}
