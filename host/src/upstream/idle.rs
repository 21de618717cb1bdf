//! The idle timeout of a body.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

/// Watches for a body that does not go on. Costs a timer only when there is something to wait for, and none per chunk.
#[derive(Debug)]
pub(super) struct IdleTimer {
    limit: Duration,
    waiting_since: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl IdleTimer {
    pub(super) fn new(limit: Duration) -> Self {
        Self {
            limit,
            waiting_since: None,
            sleep: None,
        }
    }

    /// Something came.
    pub(super) fn moved(&mut self) {
        self.waiting_since = None;
    }

    /// Nothing came: ready when that has been so for the limit.
    pub(super) fn poll_expired(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let expires = *self.waiting_since.get_or_insert_with(Instant::now) + self.limit;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(expires)));
        ready!(sleep.as_mut().poll(context));
        if sleep.deadline() < expires {
            // It was set for an earlier wait.
            sleep.as_mut().reset(expires);
            ready!(sleep.as_mut().poll(context));
        }
        Poll::Ready(())
    }
}
