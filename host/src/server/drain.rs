//! Taking a worker out: it stops accepting, finishes what runs, and closes what is left at the deadline.

use std::time::Instant;
use tokio::sync::watch;

/// Begins the drain of every [`Drain`] that came with it. Dropping it begins one without any patience.
#[derive(Debug)]
pub struct DrainSwitch(watch::Sender<Option<Instant>>);

/// Tells when to drain. Every worker has a clone.
#[derive(Clone, Debug)]
pub struct Drain(watch::Receiver<Option<Instant>>);

/// A switch and what it switches.
pub fn drain() -> (DrainSwitch, Drain) {
    let (sender, receiver) = watch::channel(None);
    (DrainSwitch(sender), Drain(receiver))
}

impl DrainSwitch {
    /// Begins the drain. What still runs at the deadline is cut off. A second call moves the deadline.
    pub fn begin(&self, deadline: Instant) {
        self.0.send_replace(Some(deadline));
    }
}

impl Drain {
    /// Waits until the drain begins.
    pub async fn begun(&mut self) {
        // An error means that the switch is gone, which begins a drain too.
        let _ = self.0.wait_for(Option::is_some).await;
    }

    /// Waits, after the drain began, until its deadline has passed.
    pub async fn over(&mut self) {
        loop {
            let Some(deadline) = *self.0.borrow_and_update() else {
                return;
            };
            tokio::select! {
                () = tokio::time::sleep_until(deadline.into()) => return,
                moved = self.0.changed() => if moved.is_err() {
                    // Nobody can move it any more.
                    return tokio::time::sleep_until(deadline.into()).await;
                },
            }
        }
    }
}
