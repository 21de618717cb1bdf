//! How long a request waited for others: for its gateways, and for its client. The rest of its time is the proxy's own.

use crate::upstream::clock;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// The waits of one request so far. A wait begins when nothing can be done for it, and ends when its worker comes back to it: what the
/// worker does for other requests meanwhile is part of it. The clock is read where a wait begins and where it ends, and nowhere else.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Waits {
    ended: Duration,
    since: Option<Instant>,
}

impl Waits {
    /// Nothing can be done for it.
    pub(super) fn begin(&mut self) {
        self.since = Some(clock::read());
    }

    /// Its worker comes back to it: now, if it waited.
    #[inline]
    pub(super) fn end(&mut self) -> Option<Instant> {
        let since = self.since.take()?;
        let now = clock::read();
        self.ended += now.saturating_duration_since(since);
        Some(now)
    }

    /// Polls a future, which waits whenever it is not ready.
    pub(super) fn poll<F: Future>(&mut self, future: Pin<&mut F>, context: &mut Context<'_>) -> Poll<F::Output> {
        let woken = self.end();
        let polled = clock::turn(woken, || future.poll(context));
        if polled.is_pending() {
            self.begin();
        }
        polled
    }

    /// What is left of the whole time of a request that ends now.
    pub(super) fn overhead(&mut self, total: Duration) -> Duration {
        self.end();
        total.saturating_sub(self.ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::pin::pin;
    use std::task::Waker;

    #[test]
    fn only_the_time_between_polls_is_waited() {
        let (mut waits, mut polls) = (Waits::default(), 0);
        let mut context = Context::from_waker(Waker::noop());
        let mut future = pin!(poll_fn(|_| {
            polls += 1;
            let before = Instant::now();
            while before.elapsed() < Duration::from_millis(2) {}
            if polls < 3 { Poll::Pending } else { Poll::Ready(()) }
        }));
        let begun = Instant::now();
        while waits.poll(future.as_mut(), &mut context).is_pending() {
            let before = Instant::now();
            while before.elapsed() < Duration::from_millis(5) {}
        }
        let total = begun.elapsed();
        let overhead = waits.overhead(total);
        assert!(overhead >= Duration::from_millis(6), "{overhead:?}");
        assert!(
            total - overhead >= Duration::from_millis(10),
            "{overhead:?} of {total:?}"
        );
    }
}
