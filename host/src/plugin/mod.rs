//! Routing plugins: WebAssembly components that put a service's regions in order.
//!
//! The contract is in `plugins/wit`, in two versions that are spoken side by side. A plugin is loaded once ([`PluginEngine::load`]: checked, compiled, configured
//! and tried, off the request path) and then called by every worker through instances of its own
//! ([`PluginWorker::route`]: a plain call on the worker's thread). Whatever a plugin does, a request is answered: when
//! there is no valid answer in time, [`PluginFault`] is the reason and the native order is used.
//!
//! | module | what it does |
//! |---|---|
//! | `contract` | the contract's types and numbers |
//! | `settings` | how a plugin is deployed |
//! | `error` | errors of loading and running |
//! | `engine`, `shared`, `wasm` | the process's one engine and its pool; what plugins share; features and limits |
//! | `ticker` | advances the clock that interrupts guests |
//! | `compiler` | compiles in a separate process, within limits |
//! | `compiled` | the components compiled last, also on disk |
//! | `inspect`, `advice` | checks what is in a file before it is compiled; what removes imports |
//! | `size` | classes of limits |
//! | `describe` | what a file is: its imports, exports and producers |
//! | `load`, `version`, `setup` | from a file to a version that may be published; what it asks for |
//! | `regions`, `request`, `pseudo_fields`, `records` | the inputs of a plugin, and how each version of the contract has them |
//! | `instance`, `limits` | one running instance, its memory and its time |
//! | `answer` | a validated answer |
//! | `host_state`, `fields` | what the host does for a guest: log, headers, counters |
//! | `worker`, `life` | the instances of a worker; calling them; how long each is kept |
//! | `session` | calling a plugin one by one and measuring it, for those who write it |
//! | `quarantine`, `answer_cache`, `meters` | quarantine, cached answers, plugin counters |
//! | [`embedded`] | the example plugins |

pub mod embedded;

mod advice;
mod answer;
mod answer_cache;
mod compiled;
mod compiler;
mod contract;
mod describe;
mod engine;
mod error;
mod fields;
mod host_state;
mod inspect;
mod instance;
mod life;
mod limits;
mod load;
mod meters;
mod pseudo_fields;
mod quarantine;
mod records;
mod regions;
mod request;
mod session;
mod settings;
mod setup;
mod shared;
mod size;
mod ticker;
mod version;
mod wasm;
mod worker;

#[cfg(test)]
mod tests;

pub use answer::PluginAnswer;
pub use compiler::{ARGUMENT as COMPILE, ON_DEMAND, compile_in, compile_standard_input};
pub use describe::{Description, judge};
pub use engine::{EngineError, PluginEngine};
pub use error::{PluginError, PluginFault, Problem};
pub use fields::VisibleFields;
pub use meters::{CounterReading, StartReading, StartReason};
pub use pseudo_fields::PseudoField;
pub use quarantine::Quarantined;
pub use regions::{RegionEntry, RegionTable};
pub use request::{Estimate, RouteRequest};
pub use session::{Asked, Failed, PluginSession};
pub use settings::{Isolation, PluginSettings};
pub use setup::{Field, Setup};
pub use size::{PluginLimits, PluginSize};
pub use version::PluginVersion;
pub use worker::PluginWorker;
