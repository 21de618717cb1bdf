//! When the next change set may be sent. Pure.

use crate::ledger::Ledger;
use crate::settings::Timing;
use crate::store_time::StoreTime;
use std::fmt;

/// Why a change set waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The last one was begun too recently: edges still follow it.
    Spacing(StoreTime),
    /// The last one failed.
    Backoff(StoreTime),
    /// One is in progress.
    InFlight,
    /// The service is busy with a change that is not ours.
    Busy,
}

/// Whether an operator overrides spacing and pauses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Haste {
    /// Spacing and pauses are kept.
    #[default]
    Never,
    /// An operator asked for it.
    Now,
}

/// Whether the next change set has to wait.
pub fn wait(ledger: &Ledger, busy: bool, timing: &Timing, haste: Haste, now: StoreTime) -> Option<Wait> {
    if ledger.pending.is_some() {
        return Some(Wait::InFlight);
    }
    if busy {
        return Some(Wait::Busy);
    }
    if haste == Haste::Now {
        return None;
    }
    let spaced = ledger.last_change.map(|last| last.after(timing.spacing));
    match (ledger.retry_at, spaced) {
        (Some(retry), _) if retry > now => Some(Wait::Backoff(retry)),
        (_, Some(spaced)) if spaced > now => Some(Wait::Spacing(spaced)),
        _ => None,
    }
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spacing(until) => write!(f, "until {until}: changes are spaced"),
            Self::Backoff(until) => write!(f, "until {until}: the last try failed"),
            Self::InFlight => f.write_str("until the change set in progress is done"),
            Self::Busy => f.write_str("until Front Door has finished a change by another"),
        }
    }
}

#[cfg(test)]
mod tests;
