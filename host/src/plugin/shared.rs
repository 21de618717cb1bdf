//! What the process's plugins share.

use super::compiled::Compiled;
use super::host_state::InstanceState;
use super::meters::Meters;
use super::ticker::Ticker;
use std::sync::OnceLock;
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
    /// Set once there are requests: for how long loading gives way to them.
    pub(super) serving: OnceLock<Duration>,
}
