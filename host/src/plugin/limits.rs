//! Limits of a guest's memory and CPU time.

use super::ticker::TICK;
use std::time::Duration;
use wasmtime::{ResourceLimiter, UpdateDeadline};

/// Bounds the linear memory of an instance, all of its memories together.
#[derive(Debug)]
pub(super) struct MemoryLimit {
    limit: usize,
    used: usize,
    denied: bool,
}

impl MemoryLimit {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            used: 0,
            denied: false,
        }
    }

    /// Bytes in use.
    pub(super) fn used(&self) -> usize {
        self.used
    }

    /// Whether an allocation of the guest was denied.
    pub(super) fn denied(&self) -> bool {
        self.denied
    }
}

impl ResourceLimiter for MemoryLimit {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let used = self.used.saturating_add(desired.saturating_sub(current));
        let granted = used <= self.limit;
        if granted {
            self.used = used;
        } else {
            self.denied = true;
        }
        Ok(granted)
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        // What was granted counts as used all the same; the instance is soon replaced.
        self.denied = true;
        Ok(())
    }

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= super::wasm::TABLE_ELEMENTS)
    }
}

/// The CPU time a guest may take for its start, and for one answer.
///
/// Ticks are wall time, and on a busy machine a thread may be off the CPU for many of them. So the first tick that falls
/// into an answer only notes the thread's CPU clock, and a later one ends the guest when it really took its budget since.
/// A guest is never ended before it took its budget less a quarter of a tick, and on an idle machine at latest one tick
/// after it did. The clock is read when a tick falls into an answer, which is seldom.
#[derive(Debug)]
pub(super) struct Budget {
    budget: Duration,
    noted: Option<Duration>,
}

impl Budget {
    pub(super) fn new(budget: Duration) -> Self {
        Self { budget, noted: None }
    }

    /// Begins an answer, with a budget of its own.
    pub(super) fn restart(&mut self, budget: Duration) {
        *self = Self::new(budget);
    }

    /// A tick fell into the answer; `cpu` is the thread's CPU time now.
    pub(super) fn tick(&mut self, cpu: Duration) -> UpdateDeadline {
        let noted = *self.noted.get_or_insert(cpu);
        // Two ticks may be a little less than a tick of CPU time apart.
        if cpu.saturating_sub(noted) + TICK / 4 >= self.budget {
            UpdateDeadline::Interrupt
        } else {
            UpdateDeadline::Continue(1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu_time;

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn ended(budget: &mut Budget, cpu: Duration) -> bool {
        matches!(budget.tick(cpu), UpdateDeadline::Interrupt)
    }

    #[test]
    fn a_guest_that_takes_its_budget_is_ended() {
        let mut budget = Budget::new(ms(2));
        assert!(!ended(&mut budget, ms(100)), "the first tick only notes the clock");
        assert!(!ended(&mut budget, ms(101)));
        assert!(ended(&mut budget, Duration::from_micros(101_900)));
    }

    #[test]
    fn a_thread_that_is_off_the_cpu_is_not_ended() {
        let mut budget = Budget::new(ms(1));
        for _ in 0..50 {
            assert!(!ended(&mut budget, Duration::from_micros(100_700)));
        }
        assert!(ended(&mut budget, ms(102)));
    }

    #[test]
    fn every_answer_has_its_own_budget() {
        let mut budget = Budget::new(ms(1));
        assert!(!ended(&mut budget, ms(1)));
        budget.restart(ms(1));
        assert!(!ended(&mut budget, ms(9)));
    }

    #[test]
    fn memories_count_together() {
        let mut limit = MemoryLimit::new(300);
        assert!(limit.memory_growing(0, 100, None).unwrap());
        assert!(limit.memory_growing(0, 100, None).unwrap());
        assert!(limit.memory_growing(100, 200, None).unwrap());
        assert!(!limit.denied());
        assert!(!limit.memory_growing(100, 101, None).unwrap());
        assert!(limit.denied());
        assert_eq!(limit.used(), 300);
    }

    #[test]
    fn the_clock_of_the_thread_runs_while_it_works() {
        let start = cpu_time::of_thread();
        while cpu_time::of_thread() - start < ms(2) {
            std::hint::spin_loop();
        }
    }
}
