//! The components that were compiled last: a version that comes back, by a rollback or with another configuration, is
//! not compiled again.

use super::embedded;
use super::error::Problem;
use super::rehearsal::rehearse;
use sha2::{Digest, Sha256};
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use wasmtime::Engine;
use wasmtime::component::Component;

/// How many are kept. Each is some hundred kilobytes of machine code, shared with the active versions.
const KEPT: usize = 8;

/// SHA-256 of a component.
pub(super) type Hash = [u8; 32];

/// Compiled components by hash, the latest first.
#[derive(Default)]
pub(super) struct Compiled(Mutex<VecDeque<(Hash, Component)>>);

impl Compiled {
    /// The component of these bytes, compiled now or before, and its hash. What is not part of this program is rehearsed
    /// first.
    ///
    /// # Errors
    /// When it does not compile, or takes too much for it.
    pub(super) fn component(&self, engine: &Engine, bytes: &[u8]) -> Result<(Hash, Component), Problem> {
        let hash = Hash::from(Sha256::digest(bytes));
        if let Some(component) = self.find(&hash) {
            return Ok((hash, component));
        }
        // Not under the lock, so that loading another plugin does not wait.
        if embedded::ALL.iter().all(|(_, ours)| *ours != bytes) {
            rehearse(bytes)?;
        }
        let component = Component::from_binary(engine, bytes);
        let component = component.map_err(|error| Problem::Compile(format!("{error:#}")))?;
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(known, _)| *known != hash);
        kept.push_front((hash, component.clone()));
        kept.truncate(KEPT);
        Ok((hash, component))
    }

    fn find(&self, hash: &Hash) -> Option<Component> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter()
            .find(|(known, _)| known == hash)
            .map(|(_, component)| component.clone())
    }
}
