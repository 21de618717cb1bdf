//! The retry budget: extra attempts as a share of requests, so that retries cannot multiply an overload.
//!
//! A token bucket after Finagle's `RetryBudget`: every request adds a share of a token, every extra attempt takes
//! one token, and a minimum rate lets a service with little traffic retry. The bucket holds the tokens of ten seconds.

use crate::config::Budget;
use std::time::Instant;

/// The bucket holds the tokens of this many seconds.
const SPAN_SECONDS: f64 = 10.0;

/// Time is counted in steps of this many seconds. Finer steps cost more and change little.
const STEP_SECONDS: f64 = 0.05;

/// A service's budget.
#[derive(Clone, Debug)]
pub struct RetryBudget {
    per_request: f64,
    per_second: f64,
    cap: f64,
    balance: f64,
    last: Instant,
}

impl RetryBudget {
    /// A budget that starts with ten seconds of its minimum rate.
    pub fn new(budget: Budget, now: Instant) -> Self {
        let per_second = f64::from(budget.min_per_second);
        let reserve = per_second * SPAN_SECONDS;
        Self {
            per_request: f64::from(budget.percent) / 100.0,
            per_second,
            cap: reserve,
            balance: reserve,
            last: now,
        }
    }

    /// Adds the requests since the last call, assuming that they came evenly.
    pub fn deposit(&mut self, requests: u64, now: Instant) {
        let spans = now.saturating_duration_since(self.last).as_secs_f64() / SPAN_SECONDS;
        self.pass(now);
        // Tokens of earlier requests have partly expired.
        let fresh = if spans > 1e-3 {
            (1.0 - (-spans).exp()) / spans
        } else {
            1.0
        };
        let paid_in = self.per_request * requests as f64;
        self.cap += paid_in * fresh;
        self.balance = (self.balance + paid_in).min(self.cap);
    }

    /// Takes one token, if there is one.
    pub fn withdraw(&mut self, now: Instant) -> bool {
        self.pass(now);
        let affordable = self.balance >= 1.0;
        if affordable {
            self.balance -= 1.0;
        }
        affordable
    }

    /// The number of tokens.
    pub fn balance(&self) -> f64 {
        self.balance
    }

    /// Tokens of requests expire over the span; the reserve of the minimum rate does not.
    fn pass(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.last).as_secs_f64();
        if elapsed < STEP_SECONDS {
            return;
        }
        self.last = now;
        let reserve = self.per_second * SPAN_SECONDS;
        let kept = (-elapsed / SPAN_SECONDS).exp();
        self.cap = reserve + (self.cap - reserve).max(0.0) * kept;
        self.balance = (self.balance + elapsed * self.per_second).min(self.cap.max(reserve));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn budget(percent: u8, min_per_second: u32, now: Instant) -> RetryBudget {
        RetryBudget::new(
            Budget {
                percent,
                min_per_second,
            },
            now,
        )
    }

    #[test]
    fn extra_attempts_are_a_share_of_requests() {
        let start = Instant::now();
        let mut budget = budget(20, 0, start);
        let mut extra = 0;
        for millis in 0..10_000 {
            let now = start + Duration::from_millis(millis);
            budget.deposit(1, now);
            extra += u32::from(budget.withdraw(now));
        }
        assert!((1_900..=2_000).contains(&extra), "{extra}");
    }

    #[test]
    fn a_quiet_service_can_still_retry() {
        let start = Instant::now();
        let mut budget = budget(0, 3, start);
        let burst = (0..100).filter(|_| budget.withdraw(start)).count();
        assert_eq!(burst, 30);
        let later = start + Duration::from_secs(2);
        let trickle = (0..100).filter(|_| budget.withdraw(later)).count();
        assert_eq!(trickle, 6);
    }

    #[test]
    fn unused_tokens_expire() {
        let start = Instant::now();
        let mut budget = budget(20, 0, start);
        budget.deposit(1_000, start);
        assert!((budget.balance() - 200.0).abs() < 1e-6, "{}", budget.balance());
        budget.deposit(1, start + Duration::from_secs(100));
        assert!(budget.balance() < 1.0, "{}", budget.balance());
    }

    #[test]
    fn few_deposits_add_as_much_as_many() {
        let start = Instant::now();
        for seconds in [1, 10, 60, 600] {
            let (mut often, mut rare) = (budget(20, 3, start), budget(20, 3, start));
            for tenth in 1..=seconds * 10 {
                often.deposit(20, start + Duration::from_millis(100 * tenth));
            }
            rare.deposit(seconds * 200, start + Duration::from_secs(seconds));
            let (often, rare) = (often.balance(), rare.balance());
            assert!((often - rare).abs() < 0.02 * often, "{seconds} s: {often} and {rare}");
        }
    }
}
