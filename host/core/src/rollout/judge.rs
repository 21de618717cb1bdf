//! Whether a version is worse than the active one.

use std::fmt;
use std::time::Duration;

/// So many standard errors apart are no coincidence. Both versions are compared several times a second for hours: with five, the
/// chance of one wrong verdict stays far below one in a thousand rollouts.
const STANDARD_ERRORS: f64 = 5.0;

/// Faults, or failed requests, that are too few to tell anything.
const FEW: u64 = 5;

/// Calls, or requests, of either version that are too few to compare.
const LEAST: u64 = 20;

/// What was counted of one version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Calls, failed ones among them.
    pub calls: u64,
    /// Calls that failed other than by their deadline.
    pub faults: u64,
    /// Calls that exceeded their deadline.
    pub deadlines: u64,
    /// The time of all calls, in nanoseconds.
    pub nanos: u64,
    /// The sum of the squares of the times of calls, in square microseconds.
    pub square_micros: u64,
    /// Requests that it decided and that have ended, without those that their client gave up.
    pub requests: u64,
    /// Of those, the ones whose first region failed, or that got an error.
    pub failures: u64,
}

/// What was counted of a version and of the active one in the same time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Of the version.
    pub candidate: Counts,
    /// Of the active one.
    pub active: Counts,
}

/// From when on a version is rolled back.
#[derive(Clone, Debug, PartialEq)]
pub struct Thresholds {
    /// So many calls have failed, at least 1, and...
    pub faults: u64,
    /// ...this share of its calls, 0 to 1.
    pub fault_rate: f64,
    /// A call takes so much more time on average than one of the active version.
    pub cost: Duration,
    /// By so much the share of requests that fail exceeds the active version's, 0 to 1.
    pub failure_rate: f64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            faults: 5,
            fault_rate: 0.005,
            cost: Duration::from_micros(200),
            failure_rate: 0.01,
        }
    }
}

/// Why a version is rolled back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cause {
    /// Its calls fail.
    Faults {
        /// How many did.
        faults: u64,
        /// Of how many.
        calls: u64,
    },
    /// Its calls exceed their deadline.
    Deadline {
        /// How many did.
        deadlines: u64,
        /// Of how many.
        calls: u64,
    },
    /// Its calls take longer.
    Cost {
        /// On average.
        candidate: Duration,
        /// Those of the active version.
        active: Duration,
    },
    /// The requests that it decides fail more often.
    Failures {
        /// How many did, of how many.
        candidate: (u64, u64),
        /// Of those that the active version decided.
        active: (u64, u64),
    },
}

impl Cause {
    /// All words of [`as_str`](Self::as_str).
    pub const WORDS: [&'static str; 4] = ["faults", "deadline", "cost", "failures"];

    /// One word for it.
    pub fn as_str(self) -> &'static str {
        let [faults, deadline, cost, failures] = Self::WORDS;
        match self {
            Self::Faults { .. } => faults,
            Self::Deadline { .. } => deadline,
            Self::Cost { .. } => cost,
            Self::Failures { .. } => failures,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Faults { faults, calls } => write!(f, "{faults} of {calls} calls failed"),
            Self::Deadline { deadlines, calls } => write!(f, "{deadlines} of {calls} calls exceeded the deadline"),
            Self::Cost { candidate, active } => write!(
                f,
                "a call takes {:.1} µs on average, one of the active version {:.1} µs",
                micros(*candidate),
                micros(*active)
            ),
            Self::Failures { candidate, active } => write!(
                f,
                "{} of {} requests that it decided failed, and {} of {} of the active version",
                candidate.0, candidate.1, active.0, active.1
            ),
        }
    }
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

impl Counts {
    /// What was counted since then.
    fn since(&self, then: &Self) -> Self {
        Self {
            calls: self.calls.saturating_sub(then.calls),
            faults: self.faults.saturating_sub(then.faults),
            deadlines: self.deadlines.saturating_sub(then.deadlines),
            nanos: self.nanos.saturating_sub(then.nanos),
            square_micros: self.square_micros.saturating_sub(then.square_micros),
            requests: self.requests.saturating_sub(then.requests),
            failures: self.failures.saturating_sub(then.failures),
        }
    }

    /// The average time of a call; none without calls.
    pub fn mean_cost(&self) -> Duration {
        Duration::from_nanos(self.nanos.checked_div(self.calls).unwrap_or(0))
    }

    /// The square of the standard error of the average time of a call, in square microseconds.
    fn cost_variance(&self) -> f64 {
        let calls = self.calls as f64;
        let mean = self.nanos as f64 / 1e3 / calls;
        let variance = (self.square_micros as f64 / calls - mean * mean).max(0.0);
        variance / calls
    }
}

impl Evidence {
    /// What was counted since then.
    pub fn since(&self, then: &Self) -> Self {
        Self {
            candidate: self.candidate.since(&then.candidate),
            active: self.active.since(&then.active),
        }
    }
}

impl Thresholds {
    /// Why a version of which this was counted is rolled back, if it is.
    pub fn judge(&self, evidence: &Evidence) -> Option<Cause> {
        let (candidate, active) = (&evidence.candidate, &evidence.active);
        self.fails(candidate)
            .or_else(|| self.is_dearer(candidate, active))
            .or_else(|| self.misleads(candidate, active))
    }

    fn fails(&self, candidate: &Counts) -> Option<Cause> {
        let Counts {
            calls,
            faults,
            deadlines,
            ..
        } = *candidate;
        let failed = faults + deadlines;
        if failed < self.faults.max(1) || (failed as f64) < self.fault_rate * calls as f64 {
            return None;
        }
        Some(match faults >= deadlines {
            true => Cause::Faults { faults, calls },
            false => Cause::Deadline { deadlines, calls },
        })
    }

    /// Two averages (Welch's test): the difference has to be more than the threshold, and no coincidence.
    fn is_dearer(&self, candidate: &Counts, active: &Counts) -> Option<Cause> {
        if candidate.calls < LEAST || active.calls < LEAST {
            return None;
        }
        let (mean, other) = (candidate.mean_cost(), active.mean_cost());
        let more = micros(mean) - micros(other);
        let error = (candidate.cost_variance() + active.cost_variance()).sqrt();
        (more > micros(self.cost) && more > STANDARD_ERRORS * error).then_some(Cause::Cost {
            candidate: mean,
            active: other,
        })
    }

    /// Two shares (two-proportion z-test): the difference has to be more than the threshold, and no coincidence.
    fn misleads(&self, candidate: &Counts, active: &Counts) -> Option<Cause> {
        let (failures, requests) = (candidate.failures, candidate.requests);
        if failures < FEW || active.requests < LEAST {
            return None;
        }
        let (mine, others) = (requests as f64, active.requests as f64);
        let more = failures as f64 / mine - active.failures as f64 / others;
        let pooled = (failures + active.failures) as f64 / (mine + others);
        let error = (pooled * (1.0 - pooled) * (1.0 / mine + 1.0 / others)).sqrt();
        (more > self.failure_rate && more > STANDARD_ERRORS * error).then_some(Cause::Failures {
            candidate: (failures, requests),
            active: (active.failures, active.requests),
        })
    }
}
