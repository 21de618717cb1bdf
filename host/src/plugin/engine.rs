//! The process's one Wasm engine, and loading plugins into it.

use super::compiled::Compiled;
use super::error::{PluginError, Problem};
use super::host_state::offer;
use super::load;
use super::meters::{CounterReading, Meters, StartReading};
use super::quarantine::Quarantined;
use super::regions::RegionTable;
use super::settings::PluginSettings;
use super::shared::Shared;
use super::size::PluginSize;
use super::ticker::Ticker;
use super::version::PluginVersion;
use super::wasm::{self, LOADER_STACK, MEMORIES, TABLE_ELEMENTS};
use portolan_core::id::PluginName;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;
use thiserror::Error;
use wasmtime::component::Linker;
use wasmtime::{Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

/// How many instances there may be at once for every worker, within [`INSTANCES`].
const INSTANCES_PER_WORKER: usize = 16;
/// The least and the most instances there may be at once. Each reserves 4 GiB of addresses, not of memory.
const INSTANCES: (usize, usize) = (64, 1024);
/// How much of an instance's memory and tables remains mapped after it ended. With a page of WebAssembly or more, the memory of
/// a plugin that needs no more than one page is cleared by a `memset` instead of a system call.
const KEEP_RESIDENT: usize = 64 << 10;

/// How nice a thread is that loads a plugin while there are requests, from 0 to 19: at 10, a tenth of a busy core is left for it.
const NICE: i32 = 10;

/// Runs plugins. One per process; cheap to clone.
#[derive(Clone)]
pub struct PluginEngine {
    pub(super) shared: Arc<Shared>,
}

/// Why the engine cannot be started.
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
        Self::with_cache(workers, None)
    }

    /// The same with a directory where compiled code is kept for the next start.
    ///
    /// # Errors
    /// As [`new`](Self::new). A directory that cannot be used is no error: it is logged.
    pub fn with_cache(workers: usize, folder: Option<&Path>) -> Result<Self, EngineError> {
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
                compiled: Compiled::new(folder),
                meters,
                ticker,
                serving: AtomicBool::new(false),
                patience: OnceLock::new(),
                quarantines: Arc::default(),
            }),
        })
    }

    /// From now on there are requests, to which loading yields.
    pub fn begin_serving(&self) {
        self.shared.serving.store(true, Relaxed);
    }

    /// Checks, compiles, configures and tries a plugin. `tables` are the regions of the services that use it; without any
    /// it is tried on [`RegionTable::sample`].
    ///
    /// Takes tens of milliseconds, on a separate thread; the caller waits. Once there are requests, the thread yields
    /// to them for a while.
    ///
    /// # Errors
    /// When the file is not a plugin of this contract, exceeds a limit, or fails its trial.
    pub fn load(
        &self,
        name: &PluginName,
        bytes: &[u8],
        settings: &PluginSettings,
        tables: &[RegionTable],
    ) -> Result<Arc<PluginVersion>, PluginError> {
        let job = Arc::new(Job {
            shared: Arc::clone(&self.shared),
            name: name.clone(),
            bytes: bytes.into(),
            settings: settings.clone(),
            tables: tables.to_vec(),
        });
        let (done, results) = mpsc::channel();
        // Where it is not loaded by then, there is no CPU time to spare, and it is loaded at normal priority: a swap completes
        // even on the busiest machine, and takes requests a bounded amount of CPU time (decision 49).
        let gently = self
            .shared
            .serving
            .load(Relaxed)
            .then(|| self.shared.patience(settings.size));
        let mut result = job.begin(&done, gently.is_some()).and_then(|()| {
            let patience = gently.unwrap_or(Duration::MAX);
            results.recv_timeout(patience).map_err(|_| overdue())
        });
        if gently.is_some() && result.is_err() {
            tracing::info!(plugin = %name, "no CPU time to spare; loading the plugin at normal priority");
            result = job
                .begin(&done, false)
                .and_then(|()| results.recv().map_err(|_| overdue()));
        }
        let loaded = result.unwrap_or_else(|error| Err(Problem::Host(format!("no thread to load it: {error}"))));
        loaded.map(Arc::new).map_err(|problem| problem.of(name))
    }

    /// The quarantines that began since this was called last.
    pub fn take_quarantines(&self) -> Vec<Quarantined> {
        self.shared.quarantines.take()
    }

    /// What plugins counted, of all workers.
    pub fn counters(&self) -> Vec<CounterReading> {
        self.shared.meters.read()
    }

    /// How many instances were started, of all workers.
    pub fn starts(&self) -> Vec<StartReading> {
        self.shared.meters.starts()
    }
}

/// A plugin to load.
struct Job {
    shared: Arc<Shared>,
    name: PluginName,
    bytes: Box<[u8]>,
    settings: PluginSettings,
    tables: Vec<RegionTable>,
}

impl Job {
    /// Loads it on a thread of its own.
    fn begin(self: &Arc<Self>, done: &Sender<Result<PluginVersion, Problem>>, gently: bool) -> io::Result<()> {
        let (job, done) = (Arc::clone(self), done.clone());
        let loader = thread::Builder::new()
            .name("plugin-loader".to_owned())
            .stack_size(LOADER_STACK);
        let loading = loader.spawn(move || {
            if gently {
                // On Linux this is the priority of the thread alone, and of the process that it starts.
                let _ = rustix::process::setpriority_process(None, NICE);
            }
            let loaded = catch_unwind(AssertUnwindSafe(|| job.load()));
            let loaded = loaded.unwrap_or_else(|_| Err(Problem::Compile("the compiler gave up".to_owned())));
            // Fails when the other try was faster.
            let _ = done.send(loaded);
        });
        loading.map(drop)
    }

    fn load(&self) -> Result<PluginVersion, Problem> {
        load::load(&self.shared, &self.name, &self.bytes, &self.settings, &self.tables)
    }
}

fn overdue() -> io::Error {
    io::ErrorKind::TimedOut.into()
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
    // Most plugins have three core instances, one memory and one or two tables; the pool is shared by all. Those with an
    // interpreter have up to forty instances, and up to ten tables: a quarter of all may be of that kind.
    let most = PluginSize::Large.counts();
    pool.total_component_instances(instances)
        .total_core_instances(instances * 12)
        .total_memories(instances)
        .total_tables(instances * 6)
        .max_core_instances_per_component(most.instances as u32)
        .max_memories_per_component(MEMORIES)
        .max_tables_per_component(most.tables as u32)
        .table_elements(TABLE_ELEMENTS)
        .max_memory_size(*PluginSettings::MEMORY.end())
        .linear_memory_keep_resident(KEEP_RESIDENT)
        .table_keep_resident(KEEP_RESIDENT);
    pool
}
