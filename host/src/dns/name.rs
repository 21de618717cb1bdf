//! A name, with the addresses it has now.

use super::family::Family;
use super::shared::lock;
use super::state::{Event, FamilyStatus, HOLD, Outcome, State};
use arc_swap::ArcSwap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;
use tokio::sync::watch;

/// A name that is kept up to date for as long as it is held.
#[derive(Debug)]
pub struct Name {
    name: Arc<str>,
    /// What requests read.
    addresses: ArcSwap<Vec<IpAddr>>,
    /// Becomes true with the first answer, good or bad.
    settled: watch::Sender<bool>,
    state: Mutex<State>,
    observers: Mutex<Vec<Observer>>,
}

/// Called with the addresses when they change; returns whether it wants to be called again.
struct Observer(Box<Observe>);

type Observe = dyn Fn(&[IpAddr]) -> bool + Send + Sync;

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}

impl Name {
    pub(super) fn new(name: Arc<str>, now: Instant) -> Self {
        Self {
            name,
            addresses: ArcSwap::default(),
            settled: watch::Sender::new(false),
            state: Mutex::new(State::new(now)),
            observers: Mutex::default(),
        }
    }

    /// The name as it was written.
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// The addresses to be used, those of IPv4 first. Empty before the first answer, and when there are none.
    pub fn current(&self) -> Arc<Vec<IpAddr>> {
        self.addresses.load_full()
    }

    /// Calls `observer` with the addresses, now and whenever they change, before the name is [settled](Self::settled), until
    /// it returns false. It must not block.
    pub fn observe(&self, observer: impl Fn(&[IpAddr]) -> bool + Send + Sync + 'static) {
        // Whoever publishes meanwhile waits for the lock, and then calls it too.
        let mut observers = lock(&self.observers);
        if observer(&self.current()) {
            observers.push(Observer(Box::new(observer)));
        }
    }

    /// Whether the first answer has come, good or bad.
    pub fn is_settled(&self) -> bool {
        *self.settled.borrow()
    }

    /// Waits for the first answer, good or bad: until one family has addresses and the other had 50 ms longer, or both
    /// have been looked up. On any runtime.
    pub async fn settled(&self) {
        // An error would mean that the sender is gone, which is part of this.
        let _ = self.settled.subscribe().wait_for(|settled| *settled).await;
    }

    /// How both families stand.
    pub fn status(&self, now: Instant) -> [FamilyStatus; 2] {
        let used = self.current();
        self.state().status(now).map(|status| {
            let without_route = status.addresses.iter().filter(|address| !used.contains(address));
            FamilyStatus {
                without_route: without_route.copied().collect(),
                ..status
            }
        })
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Changes whenever the first answer comes, and ends with the name.
    pub(super) fn life(&self) -> watch::Receiver<bool> {
        self.settled.subscribe()
    }

    /// Takes what came of looking up a family.
    pub(super) fn heard(&self, family: Family, outcome: Outcome, now: Instant) {
        let event = self.state().heard(family, outcome, now);
        let (name, family) = (&*self.name, family.as_str());
        match event {
            Some(Event::Failing(problem)) => {
                tracing::warn!(
                    name,
                    family,
                    error = problem.text,
                    "failed to resolve the name; addresses that are known are kept"
                );
            }
            Some(Event::Denied(problem)) => {
                tracing::warn!(name, family, error = problem.text, hold = ?HOLD, "the name's addresses are gone from DNS; they are kept for the hold time");
            }
            Some(Event::Removed(problem)) => {
                tracing::warn!(
                    name,
                    family,
                    error = problem.text,
                    "the name's addresses are gone from DNS; they are removed"
                );
            }
            Some(Event::Missing(problem)) => tracing::warn!(name, error = problem.text, "the name has no addresses"),
            Some(Event::Recovered) => tracing::info!(name, family, "the name is resolved again"),
            None => {}
        }
    }

    /// Publishes what is known, where it has changed: as a set, for name servers like to turn the order. Addresses
    /// without a route are left out, unless there are no others.
    pub(super) fn publish(&self, has_route: fn(IpAddr) -> bool, now: Instant) {
        let (known, settles_at) = {
            let state = self.state();
            (state.addresses().collect::<Vec<_>>(), state.settles_at())
        };
        let mut usable = known.clone();
        usable.retain(|address| has_route(*address));
        if usable.is_empty() {
            usable = known;
        }
        let before = self.addresses.load();
        let is_same = before.len() == usable.len() && before.iter().all(|address| usable.contains(address));
        if !is_same {
            tracing::info!(name = &*self.name, addresses = ?usable, "addresses of the name");
            self.addresses.store(Arc::new(usable));
            let mut observers = lock(&self.observers);
            observers.retain(|Observer(observer)| observer(&self.current()));
        }
        if settles_at.is_some_and(|at| at <= now) && !self.is_settled() {
            self.settled.send_replace(true);
        }
    }
}
