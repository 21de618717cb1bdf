//! The process's one Wasm engine, and loading plugins into it.

use super::compiled::Compiled;
use super::desk::offer;
use super::error::{PluginError, Problem};
use super::load;
use super::meters::{CounterReading, Meters};
use super::regions::RegionTable;
use super::settings::PluginSettings;
use super::shared::Shared;
use super::ticker::Ticker;
use super::version::PluginVersion;
use super::wasm::{self, CORE_INSTANCES, LOADER_STACK, MEMORIES, TABLE_ELEMENTS, TABLES};
use portolan_core::id::PluginName;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use thiserror::Error;
use wasmtime::component::Linker;
use wasmtime::{Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

/// How many instances there may be at once for every worker, within [`INSTANCES`].
const INSTANCES_PER_WORKER: usize = 16;
/// The least and the most instances there may be at once. Each reserves 4 GiB of addresses, not of memory.
const INSTANCES: (usize, usize) = (64, 1024);
/// What stays mapped of an instance's memory and tables when it is gone. With a page of WebAssembly or more, the memory of
/// a plugin that stays within one page is cleared by a `memset` instead of a system call.
const KEEP_RESIDENT: usize = 64 << 10;

/// How nice a thread is that loads a plugin while there are requests, from 0 to 19: at 10, a tenth of a busy core is left for it.
/// At 19 it is a seventieth, and a swap under full load could take minutes.
const NICE: i32 = 10;

/// Runs plugins. One per process; cheap to clone.
#[derive(Clone)]
pub struct PluginEngine {
    pub(super) shared: Arc<Shared>,
}

/// Why there is no engine.
#[derive(Debug, Error)]
#[error("failed to start the plugin engine: {0}")]
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
                serving: AtomicBool::new(false),
            }),
        })
    }

    /// From now on there are requests, to which loading gives way.
    pub fn begin_serving(&self) {
        self.shared.serving.store(true, Relaxed);
    }

    /// Checks, compiles, configures and tries a plugin. `tables` are the regions of the services that use it; without any
    /// it is tried on [`RegionTable::sample`].
    ///
    /// Takes tens of milliseconds, on a thread of its own; the caller waits. Once there are requests, the thread has a lower
    /// priority than they have (decision 49).
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
                if self.shared.serving.load(Relaxed) {
                    // On Linux this is the priority of the thread alone, and of the process that it starts.
                    let _ = rustix::process::setpriority_process(None, NICE);
                }
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
    let mut config = wasm::config();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(instances as u32)));
    Engine::new(&config).or_else(|error| {
        tracing::warn!(%error, "no addresses for a pool of plugin instances; starting one will take longer");
        Engine::new(config.allocation_strategy(InstanceAllocationStrategy::OnDemand))
    })
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
