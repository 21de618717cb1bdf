//! The time that the fakes go by.

use std::future;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::watch;

/// A clock shared by the fakes and their test. It can be advanced by hand, so that a lease of 60 s or an
/// operation of 30 min ends at once.
#[derive(Debug, Clone)]
pub struct Clock(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    zero: SystemTime,
    /// `None` for a clock that moves by hand alone.
    running_since: Option<Instant>,
    ahead: watch::Sender<Duration>,
}

impl Clock {
    /// A clock that runs as the machine's does, and can be put forward.
    pub fn running() -> Clock {
        Clock::new(Some(Instant::now()))
    }

    /// A clock that stands at the present moment and moves by [`Clock::advance`] alone.
    pub fn stopped() -> Clock {
        Clock::new(None)
    }

    /// The time now.
    pub fn now(&self) -> SystemTime {
        let ran = self.0.running_since.map_or(Duration::ZERO, |since| since.elapsed());
        self.0.zero + *self.0.ahead.borrow() + ran
    }

    /// Advances the clock and wakes all that wait for it.
    pub fn advance(&self, by: Duration) {
        self.0.ahead.send_modify(|ahead| *ahead += by);
    }

    /// Waits until the clock shows `time` or later.
    pub async fn reach(&self, time: SystemTime) {
        let mut moved = self.0.ahead.subscribe();
        while let Some(left) = time.duration_since(self.now()).ok().filter(|left| !left.is_zero()) {
            let run_out = async {
                match self.0.running_since {
                    Some(_) => tokio::time::sleep(left).await,
                    None => future::pending().await,
                }
            };
            tokio::select! {
                // The sender lives in `self`, so this cannot fail.
                _ = moved.changed() => {}
                () = run_out => {}
            }
        }
    }

    fn new(running_since: Option<Instant>) -> Clock {
        Clock(Arc::new(Inner {
            zero: SystemTime::now(),
            running_since,
            ahead: watch::Sender::new(Duration::ZERO),
        }))
    }
}

/// Seconds since 1970, rounded down, as tokens and SAS use them.
pub(super) fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn a_stopped_clock_moves_by_hand_alone_and_wakes_at_the_very_moment() {
        let clock = Clock::stopped();
        let start = clock.now();
        clock.reach(start).await;
        let reached = tokio::spawn({
            let clock = clock.clone();
            async move { clock.reach(start + HOUR).await }
        });
        tokio::task::yield_now().await;
        clock.advance(HOUR / 2);
        tokio::task::yield_now().await;
        assert!(!reached.is_finished());
        assert_eq!(clock.now(), start + HOUR / 2);
        clock.advance(HOUR / 2);
        reached.await.unwrap();
        assert_eq!(clock.now(), start + HOUR);
    }

    #[tokio::test]
    async fn a_running_clock_runs_and_can_be_put_forward() {
        let clock = Clock::running();
        let start = clock.now();
        clock.reach(start + Duration::from_millis(5)).await;
        assert!(clock.now() >= start + Duration::from_millis(5));
        let (soon, later) = (clock.clone(), clock.clone());
        tokio::join!(async move { soon.reach(start + HOUR).await }, async move {
            later.advance(HOUR)
        });
        assert!(clock.now() >= start + HOUR);
    }
}
