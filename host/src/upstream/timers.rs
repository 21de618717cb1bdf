//! Timers that are used again.
//!
//! Nearly every attempt is over long before its time. To start a timer for it and to stop that again costs several times as much as to move
//! one that runs already to a later time, which the runtime does without a look at its other timers.

use std::cell::RefCell;
use std::pin::Pin;
use tokio::time::{Instant, Sleep, sleep_until};

/// Most timers that are kept. Each may hold the memory of the task that used it last.
const MAX_KEPT: usize = 64;

/// The timers of a worker that are not in use. They run on, and may wake the task that used them last once, in vain.
#[derive(Debug, Default)]
pub(super) struct Timers(RefCell<Vec<Pin<Box<Sleep>>>>);

impl Timers {
    /// A timer that ends at this time.
    pub(super) fn until(&self, end: Instant) -> Pin<Box<Sleep>> {
        let kept = self.0.borrow_mut().pop();
        match kept {
            Some(mut timer) => {
                timer.as_mut().reset(end);
                timer
            }
            None => Box::pin(sleep_until(end)),
        }
    }

    /// Keeps a timer for further use. One that is dropped instead is stopped.
    pub(super) fn give_back(&self, timer: Pin<Box<Sleep>>) {
        let mut kept = self.0.borrow_mut();
        if kept.len() < MAX_KEPT {
            kept.push(timer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::task::Poll;
    use std::time::Duration;

    /// How long a timer takes that is to take this long, in milliseconds.
    async fn takes(timers: &Timers, milliseconds: u64) -> u128 {
        let begun = Instant::now();
        let mut timer = timers.until(begun + Duration::from_millis(milliseconds));
        timer.as_mut().await;
        timers.give_back(timer);
        begun.elapsed().as_millis()
    }

    #[tokio::test(start_paused = true)]
    async fn a_timer_ends_on_time_whatever_it_was_used_for_before() {
        let timers = Timers::default();
        assert_eq!(takes(&timers, 500).await, 500);
        // It has fired; it runs on and is moved to a later time, and to an earlier one.
        for (unused, used) in [(1_000, 2_000), (60_000, 30), (30, 60_000)] {
            let mut timer = timers.until(Instant::now() + Duration::from_millis(unused));
            let polled = poll_fn(|context| Poll::Ready(timer.as_mut().poll(context))).await;
            assert!(polled.is_pending());
            timers.give_back(timer);
            assert_eq!(takes(&timers, used).await, u128::from(used));
        }
        assert_eq!(timers.0.borrow().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_are_kept_than_are_worth_it() {
        let timers = Timers::default();
        let end = Instant::now() + Duration::from_secs(1);
        let used: Vec<_> = (0..MAX_KEPT + 10).map(|_| timers.until(end)).collect();
        used.into_iter().for_each(|timer| timers.give_back(timer));
        assert_eq!(timers.0.borrow().len(), MAX_KEPT);
    }
}
