//! Compiled components: those that were used last, and where there is a state directory, on disk for the next start.
//!
//! A version that comes back, by a rollback or with another configuration, is not compiled again.

use super::compiler;
use super::embedded;
use super::error::Problem;
use super::size::CompileLimits;
use portolan_compiled::{Artifact, Cache};
use sha2::{Digest, Sha256};
use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use wasmtime::Engine;
use wasmtime::component::Component;

/// How many are kept in memory. Each is some hundred kilobytes of machine code, or tens of megabytes with an interpreter,
/// shared with the active versions.
const KEPT: usize = 8;

pub(super) use portolan_compiled::Hash;

/// Compiled components by hash, the latest first.
#[derive(Default)]
pub(super) struct Compiled {
    kept: Mutex<VecDeque<(Hash, Component)>>,
    cache: Option<Cache>,
}

impl Compiled {
    /// With a directory where compiled code is kept for the next start. Without one, or when it cannot be used, everything
    /// is compiled once for each start.
    pub(super) fn new(folder: Option<&Path>) -> Self {
        let cache = folder.and_then(|folder| {
            let opened = Cache::open(folder);
            opened
                .map_err(|error| tracing::warn!("compiled plugins are not kept for the next start: {error}"))
                .ok()
        });
        Self {
            kept: Mutex::default(),
            cache,
        }
    }

    /// The component of these bytes, compiled now or before, and its hash. What is not part of this program is compiled in
    /// a process of its own.
    ///
    /// # Errors
    /// When it does not compile, or takes too much for it.
    pub(super) fn component(
        &self,
        engine: &Engine,
        bytes: &[u8],
        limits: CompileLimits,
    ) -> Result<(Hash, Component), Problem> {
        let hash = Hash::from(Sha256::digest(bytes));
        if let Some(component) = self.find(&hash) {
            return Ok((hash, component));
        }
        // Not under the lock, so that loading another plugin does not wait.
        let component = match self.cached(&hash, engine) {
            Some(component) => component,
            None => {
                let is_ours = embedded::ALL.iter().any(|(_, ours)| *ours == bytes);
                let artifact = match compiler::program().filter(|_| !is_ours) {
                    Some(program) => compiler::compile(program, engine, bytes, &hash, limits)?,
                    None => Artifact::compile(engine, bytes).map_err(failed)?,
                };
                self.store(artifact, engine).map_err(failed)?
            }
        };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(known, _)| *known != hash);
        kept.push_front((hash, component.clone()));
        kept.truncate(KEPT);
        Ok((hash, component))
    }

    fn find(&self, hash: &Hash) -> Option<Component> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter()
            .find(|(known, _)| known == hash)
            .map(|(_, component)| component.clone())
    }

    /// What was compiled by an earlier run; `None` when there is nothing that may be used.
    fn cached(&self, hash: &Hash, engine: &Engine) -> Option<Component> {
        let artifact = self.cache.as_ref()?.load(hash, engine);
        let artifact = artifact
            .map_err(|error| tracing::warn!("compiled code is ignored, and the plugin is compiled again: {error}"))
            .ok()??;
        let loaded = artifact.load(engine);
        loaded
            .map_err(|error| tracing::warn!("compiled code is ignored, and the plugin is compiled again: {error:#}"))
            .ok()
    }

    fn store(&self, mut artifact: Artifact, engine: &Engine) -> wasmtime::Result<Component> {
        if let Some(cache) = &self.cache
            && let Err(error) = cache.store(&mut artifact, engine)
        {
            tracing::warn!("failed to keep a compiled plugin for the next start: {error}");
        }
        artifact.load(engine)
    }
}

fn failed(error: wasmtime::Error) -> Problem {
    Problem::Compile(format!("{error:#}"))
}
