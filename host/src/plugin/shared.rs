//! What the process's plugins share.

use super::compiled::Compiled;
use super::host_state::InstanceState;
use super::meters::Meters;
use super::quarantine::Quarantines;
use super::size::PluginSize;
use super::ticker::Ticker;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use wasmtime::Engine;
use wasmtime::component::Linker;

/// The one engine of the process and what belongs to it.
pub(super) struct Shared {
    pub(super) engine: Engine,
    pub(super) linker: Linker<InstanceState>,
    pub(super) compiled: Compiled,
    pub(super) meters: Meters,
    pub(super) ticker: Ticker,
    pub(super) quarantines: Arc<Quarantines>,
    /// Whether there are requests, to which loading gives way.
    pub(super) serving: AtomicBool,
    /// For how long it does, in tests.
    pub(super) patience: OnceLock<Duration>,
}

impl Shared {
    /// For how long loading a plugin gives way to requests.
    pub(super) fn patience(&self, size: PluginSize) -> Duration {
        self.patience.get().copied().unwrap_or_else(|| size.patience())
    }
}
