//! One instance of a plugin: a store, its memory, and the functions of the contract.

use super::contract::{Answer, AskedFor, Minor, v01, v02};
use super::error::{PluginFault, Problem};
use super::host_state::{InstanceState, PluginState};
use super::limits::{Budget, MemoryLimit};
use super::records::Inputs;
use super::regions::RegionTable;
use super::request::RouteRequest;
use super::settings::PluginSettings;
use super::setup::Setup;
use crate::cpu_time;
use portolan_core::id::Generation;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;
use wasmtime::component::{Component, ComponentExportIndex, InstancePre, Linker, TypedFunc};
use wasmtime::{PoolConcurrencyLimitError, Store, Trap};

/// How much a guest may make the host copy in one call, in bytes.
const HOSTCALL_BYTES: usize = 64 << 10;
/// How many handles a guest may hold. The contract has none.
const HANDLES: usize = 16;

/// What instances are made from.
pub(super) struct Blueprint {
    pre: InstancePre<InstanceState>,
    minor: Minor,
    configure: ComponentExportIndex,
    update: ComponentExportIndex,
    route: ComponentExportIndex,
    config: String,
    pub(super) deadline: Duration,
    pub(super) start_time: Duration,
    memory: usize,
    /// Whether the plugin may ask for undeclared headers.
    pub(super) reads_headers: bool,
}

impl Blueprint {
    /// Links a component with the host.
    pub(super) fn new(
        linker: &Linker<InstanceState>,
        component: &Component,
        settings: &PluginSettings,
        reads_headers: bool,
    ) -> Result<Self, Problem> {
        let contract = |error: wasmtime::Error| Problem::Contract(format!("{error:#}"));
        let exported = |minor: Minor| Some((minor, component.get_export_index(None, minor.plugin())?));
        let mut minors = Minor::ALL.into_iter().rev();
        let (minor, exports) = minors.find_map(exported).ok_or(Problem::NoExport)?;
        let function = |name: &str| {
            let index = component.get_export_index(Some(&exports), name);
            index.ok_or_else(|| Problem::Contract(format!("it has no function {name}")))
        };
        Ok(Self {
            pre: linker.instantiate_pre(component).map_err(contract)?,
            minor,
            configure: function("configure")?,
            update: function("update")?,
            route: function("route")?,
            config: settings.config.clone(),
            deadline: settings.deadline,
            start_time: settings.start_time(),
            memory: settings.memory,
            reads_headers,
        })
    }
}

/// A running plugin.
pub(super) struct PluginInstance {
    store: Store<InstanceState>,
    functions: Functions,
    regions: Option<Generation>,
    deadline: Duration,
    /// With more memory than this, in bytes, it is replaced.
    enough: usize,
}

/// What a plugin offers, in its version of the contract.
enum Functions {
    V01(
        TypedFunc<(v01::Snapshot<'static>,), ()>,
        TypedFunc<(v01::Request<'static>,), (v01::Decision,)>,
    ),
    V02(
        TypedFunc<(v02::Snapshot<'static>,), ()>,
        TypedFunc<(v02::Request<'static>,), (v02::Decision,)>,
    ),
}

/// Why an instance did not do what it was asked.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) fault: PluginFault,
    pub(super) detail: String,
}

/// The result of a start.
pub(super) enum Started {
    /// An instance, and what it asks for.
    Running(Box<PluginInstance>, AskedFor),
    /// The plugin rejected its configuration.
    Rejected(String),
}

impl PluginInstance {
    /// Makes an instance and configures it, within the time for starts. Before its first answer, [`begin`](Self::begin) is due.
    pub(super) fn start(blueprint: &Blueprint, plugin: &Rc<RefCell<PluginState>>) -> Result<Started, Failure> {
        let state = InstanceState {
            memory: MemoryLimit::new(blueprint.memory),
            budget: Budget::new(blueprint.start_time),
            plugin: Rc::clone(plugin),
        };
        let mut store = Store::new(blueprint.pre.engine(), state);
        store.limiter(|state| &mut state.memory);
        store.set_hostcall_fuel(HOSTCALL_BYTES);
        store.set_max_component_handles(HANDLES);
        store.epoch_deadline_callback(|mut store| Ok(store.data_mut().budget.tick(cpu_time::of_thread())));
        store.set_epoch_deadline(1);
        match Self::configure(&mut store, blueprint) {
            Ok((_, Err(refusal))) => Ok(Started::Rejected(refusal)),
            Ok((functions, Ok(setup))) => {
                let used = store.data().memory.used();
                let instance = Self {
                    store,
                    functions,
                    regions: None,
                    deadline: blueprint.deadline,
                    enough: used + blueprint.memory.saturating_sub(used) / 2,
                };
                Ok(Started::Running(Box::new(instance), setup))
            }
            Err(error) => Err(failure(&error, store.data(), PluginFault::Start)),
        }
    }

    fn configure(
        store: &mut Store<InstanceState>,
        blueprint: &Blueprint,
    ) -> wasmtime::Result<(Functions, Result<AskedFor, String>)> {
        let instance = blueprint.pre.instantiate(&mut *store)?;
        let (configure, update, route) = (&blueprint.configure, &blueprint.update, &blueprint.route);
        let config = (&*blueprint.config,);
        match blueprint.minor {
            Minor::V01 => {
                let configure =
                    instance.get_typed_func::<(&str,), (Result<v01::Setup, String>,)>(&mut *store, configure)?;
                let functions = Functions::V01(
                    instance.get_typed_func(&mut *store, update)?,
                    instance.get_typed_func(&mut *store, route)?,
                );
                let (setup,) = configure.call(&mut *store, config)?;
                Ok((functions, setup.map(AskedFor::from)))
            }
            Minor::V02 => {
                let configure =
                    instance.get_typed_func::<(&str,), (Result<v02::Setup, String>,)>(&mut *store, configure)?;
                let functions = Functions::V02(
                    instance.get_typed_func(&mut *store, update)?,
                    instance.get_typed_func(&mut *store, route)?,
                );
                let (setup,) = configure.call(&mut *store, config)?;
                Ok((functions, setup.map(AskedFor::from)))
            }
        }
    }

    /// Begins an answer: from here on time counts.
    pub(super) fn begin(&mut self) {
        self.store.data_mut().budget.restart(self.deadline);
        self.store.set_epoch_deadline(1);
    }

    /// Hands over the regions, unless the instance has them.
    pub(super) fn update(&mut self, table: &RegionTable) -> Result<(), Failure> {
        if self.regions == Some(table.generation()) {
            return Ok(());
        }
        let updated = match &self.functions {
            Functions::V01(update, _) => update.call(&mut self.store, (table.v01_snapshot(&table.v01()),)),
            Functions::V02(update, _) => update.call(&mut self.store, (table.v02_snapshot(&table.v02()),)),
        };
        updated.map_err(|error| failure(&error, self.store.data(), PluginFault::Trap))?;
        self.regions = Some(table.generation());
        Ok(())
    }

    /// Asks about a request, of which `inputs` are prepared.
    pub(super) fn route(
        &mut self,
        request: &RouteRequest<'_>,
        setup: &Setup,
        inputs: &mut Inputs,
    ) -> Result<Answer, Failure> {
        let answered = match &self.functions {
            Functions::V01(_, route) => {
                let record = inputs.v01(request, setup);
                route
                    .call(&mut self.store, (record,))
                    .map(|(decision,)| decision.into())
            }
            Functions::V02(_, route) => {
                let record = inputs.v02(request, setup);
                route
                    .call(&mut self.store, (record,))
                    .map(|(decision,)| decision.into())
            }
        };
        answered.map_err(|error| failure(&error, self.store.data(), PluginFault::Trap))
    }

    /// Whether it took half of the memory that it had left when it was started. Allocators take memory until each of their
    /// sizes was asked for once, and that is no reason to start again; a leak is.
    pub(super) fn grew(&self) -> bool {
        self.store.data().memory.used() > self.enough
    }

    /// The memory it has, in bytes.
    pub(super) fn memory(&self) -> usize {
        self.store.data().memory.used()
    }
}

/// Classifies an error. `otherwise` is the fault of an error that is not a trap.
fn failure(error: &wasmtime::Error, state: &InstanceState, otherwise: PluginFault) -> Failure {
    let fault = match error.downcast_ref::<Trap>() {
        Some(Trap::Interrupt) => PluginFault::Deadline,
        _ if state.memory.denied() => PluginFault::Memory,
        Some(Trap::StackOverflow) => PluginFault::Stack,
        Some(_) => PluginFault::Trap,
        None if error.is::<PoolConcurrencyLimitError>() => PluginFault::Capacity,
        None => otherwise,
    };
    let mut detail = error.root_cause().to_string();
    if let Some(last_error) = state.plugin.borrow_mut().last_error() {
        detail = format!("{detail}; last log line: {last_error}");
    }
    Failure { fault, detail }
}
