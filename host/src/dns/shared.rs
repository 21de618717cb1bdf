//! What all look-ups share.

use super::conf::Conf;
use super::hosts::Hosts;
use super::servers::ServerHealth;
use super::sources::{Current, Sources};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Whom to ask, who did not answer, and the way to have everything looked up anew.
#[derive(Debug)]
pub(super) struct Shared {
    current: Mutex<Current>,
    servers: Mutex<ServerHealth>,
    has_route: fn(IpAddr) -> bool,
    /// Counts the times when everything was to be looked up anew.
    refreshes: watch::Sender<u64>,
}

impl Shared {
    pub(super) fn new(sources: Sources, has_route: fn(IpAddr) -> bool) -> Self {
        Self {
            current: Mutex::new(Current::new(sources)),
            servers: Mutex::default(),
            has_route,
            refreshes: watch::Sender::new(0),
        }
    }

    /// Changes whenever everything is to be looked up anew.
    pub(super) fn refreshes(&self) -> watch::Receiver<u64> {
        self.refreshes.subscribe()
    }

    /// Takes these name servers, or the system's files. On a change, everything is looked up anew.
    pub(super) fn configure(&self, servers: Option<Arc<[SocketAddr]>>) {
        let is_change = lock(&self.current).configure(servers);
        if is_change {
            self.refreshes.send_modify(|count| *count += 1);
        }
    }

    /// Looks at the files, and has everything looked up anew.
    pub(super) fn refresh(&self) {
        lock(&self.current).look();
        self.refreshes.send_modify(|count| *count += 1);
    }

    /// The sources as they are now.
    pub(super) fn look(&self) -> (Arc<Conf>, Arc<Hosts>) {
        let mut current = lock(&self.current);
        if current.look() {
            self.refreshes.send_modify(|count| *count += 1);
        }
        (Arc::clone(&current.conf), Arc::clone(&current.hosts))
    }

    pub(super) fn servers(&self) -> MutexGuard<'_, ServerHealth> {
        lock(&self.servers)
    }

    pub(super) fn has_route(&self) -> fn(IpAddr) -> bool {
        self.has_route
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
