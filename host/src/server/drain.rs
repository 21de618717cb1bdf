//! Graceful shutdown: first it fails its health checks and accepts everything (lame duck), then it
//! accepts nothing new and finishes what runs, and at the deadline it closes what is left.

use std::time::{Duration, Instant};
use tokio::sync::watch;

/// The phase of the shutdown. Phases follow each other in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Everything is accepted.
    Serving,
    /// Everything is accepted, while readiness and probe paths answer 503 so that load balancers stop sending.
    LameDuck,
    /// Nothing new is accepted; what still runs at this moment is closed.
    Draining(Instant),
}

/// Moves every [`Drain`] that came with it on. Dropping it begins a drain whose deadline has passed.
#[derive(Debug)]
pub struct DrainSwitch(watch::Sender<Phase>);

/// The phase of the shutdown. Every worker has a clone.
#[derive(Clone, Debug)]
pub struct Drain(watch::Receiver<Phase>);

/// A switch and what it switches.
pub fn drain() -> (DrainSwitch, Drain) {
    let (sender, receiver) = watch::channel(Phase::Serving);
    (DrainSwitch(sender), Drain(receiver))
}

impl DrainSwitch {
    /// Begins the lame duck phase, unless a drain has begun.
    pub fn lame_duck(&self) {
        self.0.send_if_modified(|phase| {
            let serving = *phase == Phase::Serving;
            if serving {
                *phase = Phase::LameDuck;
            }
            serving
        });
    }

    /// Begins the drain. What still runs at the deadline is closed. A second call moves the deadline.
    pub fn begin(&self, deadline: Instant) {
        self.0.send_replace(Phase::Draining(deadline));
    }
}

impl Drain {
    /// The phase now.
    pub fn phase(&self) -> Phase {
        *self.0.borrow()
    }

    /// Waits until the drain begins.
    pub async fn begun(&mut self) {
        // An error means that the switch is gone, which begins a drain too.
        let _ = self.0.wait_for(|phase| matches!(phase, Phase::Draining(_))).await;
    }

    /// Waits until the drain has begun and its deadline has passed.
    pub async fn over(&mut self) {
        self.begun().await;
        loop {
            let Phase::Draining(deadline) = *self.0.borrow_and_update() else {
                return;
            };
            tokio::select! {
                () = tokio::time::sleep_until(deadline.into()) => return,
                moved = self.0.changed() => if moved.is_err() {
                    // The deadline cannot move any more.
                    return tokio::time::sleep_until(deadline.into()).await;
                },
            }
        }
    }
}

/// The drain of a listener: its own, when a reload removes it, or the whole program's, whichever comes first.
#[derive(Clone, Debug)]
pub(super) struct ListenerDrain {
    pub(super) own: Drain,
    pub(super) program: Drain,
}

impl ListenerDrain {
    /// How much time is left of a drain that has begun.
    pub(super) fn left(&self) -> Duration {
        let left = [&self.own, &self.program].map(|drain| match drain.phase() {
            Phase::Draining(deadline) => deadline.saturating_duration_since(Instant::now()),
            Phase::Serving | Phase::LameDuck => Duration::MAX,
        });
        left[0].min(left[1])
    }

    /// Waits until one of them begins.
    pub(super) async fn begun(&mut self) {
        tokio::select! {
            () = self.own.begun() => {}
            () = self.program.begun() => {}
        }
    }

    /// Waits until one of them is over.
    pub(super) async fn over(&mut self) {
        tokio::select! {
            () = self.own.over() => {}
            () = self.program.over() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn phases_follow_each_other_and_never_go_back() {
        let (switch, mut drain) = drain();
        assert_eq!(drain.phase(), Phase::Serving);
        switch.lame_duck();
        assert_eq!(drain.phase(), Phase::LameDuck);
        let begun = tokio::time::timeout(Duration::from_secs(1), drain.begun());
        assert!(begun.await.is_err(), "a lame duck still accepts");
        let deadline = tokio::time::Instant::now().into_std() + Duration::from_secs(9);
        switch.begin(deadline);
        switch.lame_duck();
        assert_eq!(drain.phase(), Phase::Draining(deadline));
        drain.begun().await;
        drain.over().await;
        assert!(tokio::time::Instant::now().into_std() >= deadline);
    }

    #[tokio::test]
    async fn a_switch_that_is_gone_ends_everything() {
        let (switch, mut drain) = drain();
        drop(switch);
        drain.begun().await;
        drain.over().await;
    }

    fn is_over(drain: &mut ListenerDrain) -> bool {
        let over = std::pin::pin!(drain.over());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        over.poll(&mut context).is_ready()
    }

    #[tokio::test(start_paused = true)]
    async fn a_listener_drains_when_it_is_removed_or_when_the_program_ends() {
        for removed in [true, false] {
            let ((own_switch, own), (switch, program)) = (drain(), drain());
            let mut both = ListenerDrain { own, program };
            assert!(!is_over(&mut both), "nothing has begun");
            let begun = if removed { &own_switch } else { &switch };
            begun.begin(tokio::time::Instant::now().into_std() + Duration::from_secs(5));
            both.begun().await;
            assert!(!is_over(&mut both), "five seconds are left");
            tokio::time::advance(Duration::from_secs(6)).await;
            both.over().await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_removed_listener_keeps_its_time_when_its_switch_is_gone() {
        let ((own_switch, own), (_switch, program)) = (drain(), drain());
        let mut both = ListenerDrain { own, program };
        own_switch.begin(tokio::time::Instant::now().into_std() + Duration::from_secs(5));
        drop(own_switch);
        both.begun().await;
        assert!(!is_over(&mut both));
        tokio::time::advance(Duration::from_secs(6)).await;
        both.over().await;
    }
}
