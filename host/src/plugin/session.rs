//! Calling a version of a plugin by hand: every call is made and measured, nothing is cached, and an error has its words.
//! For those who write plugins; requests are answered by [`PluginWorker`](super::PluginWorker).

use super::answer::PluginAnswer;
use super::error::PluginFault;
use super::host_state::{Counters, PluginState};
use super::instance::{Failure, PluginInstance, Started};
use super::records::Inputs;
use super::regions::RegionTable;
use super::request::RouteRequest;
use super::version::PluginVersion;
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// One version of a plugin, called by hand.
pub struct PluginSession {
    version: Arc<PluginVersion>,
    plugin: Rc<RefCell<PluginState>>,
    instance: Option<Box<PluginInstance>>,
    inputs: Inputs,
}

/// An answer, and what it cost.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The validated answer.
    pub answer: PluginAnswer,
    /// Wall time, with the start of an instance where one was started.
    pub took: Duration,
    /// Linear memory of the instance afterwards, in bytes.
    pub memory: usize,
}

/// Why there is no answer.
#[derive(Clone, Debug)]
pub struct Failed {
    /// The kind.
    pub fault: PluginFault,
    /// The details.
    pub detail: String,
}

impl fmt::Debug for PluginSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginSession")
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.fault, self.detail)
    }
}

impl From<Failure> for Failed {
    fn from(Failure { fault, detail }: Failure) -> Self {
        Self { fault, detail }
    }
}

impl PluginSession {
    /// A session without an instance. What the plugin counts is counted as by worker 0.
    pub fn new(version: &Arc<PluginVersion>) -> Self {
        let counters = Counters {
            meter: Arc::clone(&version.meter),
            worker: 0,
            places: version.places.clone(),
        };
        let state = PluginState::new(version.name.clone(), Some(counters), Instant::now());
        Self {
            version: Arc::clone(version),
            plugin: Rc::new(RefCell::new(state)),
            instance: None,
            inputs: Inputs::default(),
        }
    }

    /// Starts a new instance at the next call.
    pub fn end_instance(&mut self) {
        self.instance = None;
    }

    /// Asks the plugin, within its deadline. After an error the next call starts a new instance.
    ///
    /// # Errors
    /// Why there is no answer.
    pub fn ask(&mut self, table: &RegionTable, request: &RouteRequest<'_>) -> Result<Asked, Failed> {
        let asked = self.call(table, request);
        self.plugin.borrow_mut().take_back();
        if asked.is_err() {
            self.instance = None;
        }
        asked
    }

    fn call(&mut self, table: &RegionTable, request: &RouteRequest<'_>) -> Result<Asked, Failed> {
        {
            let mut plugin = self.plugin.borrow_mut();
            plugin.now = request.now;
            plugin.lend(request.fields);
        }
        let setup = &self.version.setup;
        let start = Instant::now();
        self.inputs.prepare(request, setup);
        let instance = match &mut self.instance {
            Some(instance) => instance,
            none => match PluginInstance::start(&self.version.blueprint, &self.plugin)? {
                Started::Running(instance, _) => none.insert(instance),
                Started::Rejected(rejection) => {
                    return Err(Failed {
                        fault: PluginFault::Start,
                        detail: format!("it rejects its configuration now: {rejection}"),
                    });
                }
            },
        };
        instance.begin();
        instance.update(table)?;
        let answer = instance.route(request, setup, &mut self.inputs)?;
        let took = start.elapsed();
        let answer = PluginAnswer::sound(answer, request.native, table.len(), setup, request.statuses);
        let answer = answer.map_err(Failure::from)?;
        Ok(Asked {
            answer,
            took,
            memory: instance.memory(),
        })
    }
}
