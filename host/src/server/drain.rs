//! Taking a program out of service in order: first it fails its health checks and accepts everything (lame duck), then it
//! accepts nothing new and finishes what runs, and at the deadline it closes what is left.

use std::time::Instant;
use tokio::sync::watch;

/// Where the program is on its way out. Phases only follow each other in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Everything is accepted.
    Serving,
    /// Everything is accepted, while readiness and probe paths answer 503 so that balancers send no more.
    LameDuck,
    /// Nothing new is accepted; what still runs at this moment is closed.
    Draining(Instant),
}

/// Moves every [`Drain`] that came with it on. Dropping it begins a drain whose deadline has passed.
#[derive(Debug)]
pub struct DrainSwitch(watch::Sender<Phase>);

/// Tells in which phase the program is. Every worker has a clone.
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

    /// Waits, after the drain began, until its deadline has passed.
    pub async fn over(&mut self) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

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
}
