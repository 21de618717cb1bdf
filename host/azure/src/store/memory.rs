//! A store within the process: for an instance that is alone, and for tests. Its clock is tokio's, so tests can pause it.

use super::{Blob, Found, LeaseId, Read, Store, StoreError};
use crate::store_time::StoreTime;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// A store within the process.
#[derive(Debug)]
pub struct MemoryStore {
    began: (StoreTime, Instant),
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    blobs: BTreeMap<Blob, Found>,
    lease: Option<Lease>,
}

#[derive(Debug)]
struct Lease {
    id: LeaseId,
    duration: Duration,
    ends: Instant,
}

impl Default for MemoryStore {
    fn default() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            began: (StoreTime::default().after(wall), Instant::now()),
            state: Mutex::default(),
        }
    }
}

impl MemoryStore {
    fn now(&self) -> StoreTime {
        let (wall, began) = self.began;
        wall.after(began.elapsed())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.lease = state.lease.take().filter(|lease| Instant::now() < lease.ends);
        state
    }
}

#[async_trait::async_trait]
impl Store for MemoryStore {
    async fn read(&self, blob: &Blob) -> Result<Read, StoreError> {
        let state = self.state();
        Ok(Read {
            now: self.now(),
            found: state.blobs.get(blob).cloned(),
            leased: *blob == Blob::Leader && state.lease.is_some(),
        })
    }

    async fn write(&self, blob: &Blob, bytes: Vec<u8>, lease: Option<&LeaseId>) -> Result<(), StoreError> {
        let modified = self.now();
        let mut state = self.state();
        if *blob == Blob::Leader && state.lease.as_ref().map(|held| &held.id) != lease {
            return Err(StoreError::Lost);
        }
        state.blobs.insert(blob.clone(), Found { bytes, modified });
        Ok(())
    }

    async fn acquire(&self, lease: &LeaseId, duration: Duration) -> Result<(), StoreError> {
        let mut state = self.state();
        if state.lease.as_ref().is_some_and(|held| &held.id != lease) {
            return Err(StoreError::Held);
        }
        state.lease = Some(Lease {
            id: lease.clone(),
            duration,
            ends: Instant::now() + duration,
        });
        Ok(())
    }

    async fn renew(&self, lease: &LeaseId) -> Result<(), StoreError> {
        match &mut self.state().lease {
            Some(held) if &held.id == lease => {
                held.ends = Instant::now() + held.duration;
                Ok(())
            }
            _ => Err(StoreError::Lost),
        }
    }

    async fn release(&self, lease: &LeaseId) -> Result<(), StoreError> {
        let mut state = self.state();
        if state.lease.as_ref().is_some_and(|held| &held.id == lease) {
            state.lease = None;
            Ok(())
        } else {
            Err(StoreError::Lost)
        }
    }
}
