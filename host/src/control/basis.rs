//! A loaded configuration without sockets, and its routing tables.

use crate::control::loaded::Loaded;
use crate::control::overrides::Overrides;
use crate::control::publisher::Publisher;
use crate::control::waits::Waits;
use crate::dns::Resolver;
use crate::plugin::{PluginEngine, PluginWorker};
use crate::table::RoutingTable;
use crate::vitals::OpenListeners;
use portolan_core::health::HealthView;
use std::io;
use std::sync::Arc;
use tokio::runtime::Runtime;
use tokio::sync::Notify;

/// No worker of an engine has this number: what plugins count is dropped.
const NO_WORKER: usize = usize::MAX;

/// A loaded configuration, and its routing tables for any health of its gateways.
#[derive(Debug)]
pub struct Basis {
    engine: PluginEngine,
    publisher: Publisher,
    table: Arc<RoutingTable>,
    /// Never driven: no name is looked up, for nothing is connected to.
    _runtime: Runtime,
}

impl Basis {
    /// The basis of a configuration and of everything that it names. `engine`: the one that its plugins were loaded with.
    ///
    /// # Errors
    /// When the system gives no runtime.
    pub fn new(loaded: Loaded, engine: PluginEngine) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let resolver = Arc::new(Resolver::system(runtime.handle().clone()));
        let (publisher, tables) = Publisher::new(
            loaded,
            Arc::<Overrides>::default(),
            &Waits::default(),
            1,
            Arc::new(Notify::new()),
            resolver,
            OpenListeners::default(),
        );
        Ok(Self {
            engine,
            publisher,
            table: tables.current(),
            _runtime: runtime,
        })
    }

    /// The table with unknown health of all gateways, as at a start.
    pub fn table(&self) -> &Arc<RoutingTable> {
        &self.table
    }

    /// The table with this health of the gateways, which are those of the configuration.
    pub fn table_with(&mut self, health: HealthView) -> Arc<RoutingTable> {
        Arc::new(self.publisher.table_with(Arc::new(health)))
    }

    /// Instances of the plugins for one thread. `seed` decides when they are replaced.
    pub fn plugins(&self, seed: u64) -> PluginWorker {
        PluginWorker::new(self.engine.clone(), NO_WORKER, seed)
    }
}
