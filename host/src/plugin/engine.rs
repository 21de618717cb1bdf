//! The process's one Wasm engine, and loading plugins into it.

use super::compiled::Compiled;
use super::desk::{State, offer};
use super::error::{PluginError, Problem};
use super::load;
use super::meters::{CounterReading, Meters};
use super::regions::RegionTable;
use super::settings::PluginSettings;
use super::ticker::Ticker;
use super::version::PluginVersion;
use portolan_core::id::PluginName;
use std::fmt;
use std::sync::Arc;
use std::thread;
use thiserror::Error;
use wasmtime::component::Linker;
use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

/// How many instances there may be at once for every worker, within [`INSTANCES`].
const INSTANCES_PER_WORKER: usize = 16;
/// The least and the most instances there may be at once. Each reserves 4 GiB of addresses, not of memory.
const INSTANCES: (usize, usize) = (64, 1024);
/// How many elements a guest's table may have.
pub(super) const TABLE_ELEMENTS: usize = 10_000;
/// How many core instances one plugin may consist of: a Rust plugin has three, an interpreter around ten.
pub(super) const CORE_INSTANCES: u32 = 40;
/// How many memories and tables one plugin may have.
pub(super) const MEMORIES: u32 = 8;
pub(super) const TABLES: u32 = 20;
/// What stays mapped of an instance's memory and tables when it is gone. With a page of WebAssembly or more, the memory of
/// a plugin that stays within one page is cleared by a `memset` instead of a system call.
const KEEP_RESIDENT: usize = 64 << 10;
/// What a guest may take of the worker's own stack, in bytes.
const GUEST_STACK: usize = 256 << 10;
/// Compiling recurses over the code; this is what `main` would have.
pub(super) const LOADER_STACK: usize = 8 << 20;

/// Runs plugins. One per process; cheap to clone.
#[derive(Clone)]
pub struct PluginEngine {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) engine: Engine,
    pub(super) linker: Linker<State>,
    pub(super) compiled: Compiled,
    pub(super) meters: Meters,
    pub(super) ticker: Ticker,
}

/// Why there is no engine.
#[derive(Debug, Error)]
#[error("start the plugin engine: {0}")]
pub struct EngineError(String);

impl fmt::Debug for PluginEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginEngine").finish_non_exhaustive()
    }
}

impl PluginEngine {
    /// An engine for this many workers.
    ///
    /// # Errors
    /// When the machine offers no way to run WebAssembly, or no thread.
    pub fn new(workers: usize) -> Result<Self, EngineError> {
        let error = |error: wasmtime::Error| EngineError(format!("{error:#}"));
        let engine = engine(workers).map_err(error)?;
        let mut linker = Linker::new(&engine);
        offer(&mut linker).map_err(error)?;
        let ticker = Ticker::start(&engine).map_err(|error| EngineError(error.to_string()))?;
        let meters = Meters::new(workers);
        Ok(Self {
            shared: Arc::new(Shared {
                engine,
                linker,
                compiled: Compiled::default(),
                meters,
                ticker,
            }),
        })
    }

    /// Checks, compiles, configures and tries a plugin. `tables` are the regions of the services that use it; without any
    /// it is tried on [`RegionTable::sample`].
    ///
    /// Takes tens of milliseconds, on a thread of its own with the lowest priority; the caller waits.
    ///
    /// # Errors
    /// When the file is no plugin of this contract, too much, or fails when it is tried.
    pub fn load(
        &self,
        name: &PluginName,
        bytes: &[u8],
        settings: &PluginSettings,
        tables: &[RegionTable],
    ) -> Result<Arc<PluginVersion>, PluginError> {
        let loaded = thread::scope(|scope| {
            let loader = thread::Builder::new()
                .name("plugin-loader".to_owned())
                .stack_size(LOADER_STACK);
            let loading = loader.spawn_scoped(scope, || {
                // Requests come first. On Linux this is the priority of the thread alone.
                let _ = rustix::process::setpriority_process(None, 19);
                load::load(&self.shared, name, bytes, settings, tables)
            });
            match loading.map(thread::ScopedJoinHandle::join) {
                Ok(Ok(loaded)) => loaded,
                Ok(Err(_)) => Err(Problem::Compile("the compiler gave up".to_owned())),
                Err(error) => Err(Problem::Host(format!("no thread to load it: {error}"))),
            }
        });
        loaded.map(Arc::new).map_err(|problem| problem.of(name))
    }

    /// What plugins counted, of all workers.
    pub fn counters(&self) -> Vec<CounterReading> {
        self.shared.meters.read()
    }
}

/// An engine with a pool of instances, or without one where so many addresses cannot be had.
fn engine(workers: usize) -> wasmtime::Result<Engine> {
    let (least, most) = INSTANCES;
    let instances = workers.saturating_mul(INSTANCES_PER_WORKER).clamp(least, most);
    let mut config = config();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(instances as u32)));
    Engine::new(&config).or_else(|error| {
        tracing::warn!(%error, "no addresses for a pool of plugin instances; starting one will take longer");
        Engine::new(config.allocation_strategy(InstanceAllocationStrategy::OnDemand))
    })
}

pub(super) fn config() -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .max_wasm_stack(GUEST_STACK)
        // Off: what plugins do not need, and what makes the same code answer differently on another machine.
        .wasm_relaxed_simd(false)
        .wasm_memory64(false)
        .wasm_multi_memory(false)
        .wasm_tail_call(false)
        .wasm_custom_page_sizes(false)
        .wasm_wide_arithmetic(false);
    config
}

fn pool(instances: u32) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    // Most plugins have three core instances, one memory and one or two tables; the pool is shared by all.
    pool.total_component_instances(instances)
        .total_core_instances(instances * 8)
        .total_memories(instances)
        .total_tables(instances * 4)
        .max_core_instances_per_component(CORE_INSTANCES)
        .max_memories_per_component(MEMORIES)
        .max_tables_per_component(TABLES)
        .table_elements(TABLE_ELEMENTS)
        .max_memory_size(*PluginSettings::MEMORY.end())
        .linear_memory_keep_resident(KEEP_RESIDENT)
        .table_keep_resident(KEEP_RESIDENT);
    pool
}
