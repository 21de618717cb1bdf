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
//! | `compiled` | the components compiled last |
//! | `inspect` | checks the size of a file before it is compiled |
//! | `describe` | what a file is: its imports, exports and producers |
//! | `rehearsal` | compiles it in a separate process first, within limits |
//! | `load`, `version`, `setup` | from a file to a version that may be published; what it asks for |
//! | `regions`, `request`, `pseudo_fields`, `records` | the inputs of a plugin, and how each version of the contract has them |
//! | `instance`, `limits` | one running instance, its memory and its time |
//! | `answer` | a validated answer |
//! | `host_state`, `fields` | what the host does for a guest: log, headers, counters |
//! | `worker` | the instances of a worker; calling them |
//! | `quarantine`, `answer_cache`, `meters` | quarantine, cached answers, plugin counters |
//! | [`embedded`] | the example plugins |

pub mod embedded;

mod answer;
mod answer_cache;
mod compiled;
mod contract;
mod describe;
mod engine;
mod error;
mod fields;
mod host_state;
mod inspect;
mod instance;
mod limits;
mod load;
mod meters;
mod pseudo_fields;
mod quarantine;
mod records;
mod regions;
mod rehearsal;
mod request;
mod settings;
mod setup;
mod shared;
mod ticker;
mod version;
mod wasm;
mod worker;

#[cfg(test)]
mod tests;

pub use answer::PluginAnswer;
pub use describe::{Description, judge};
pub use engine::{EngineError, PluginEngine};
pub use error::{PluginError, PluginFault, Problem};
pub use fields::VisibleFields;
pub use inspect::FILE as MAX_FILE;
pub use meters::CounterReading;
pub use pseudo_fields::PseudoField;
pub use regions::{RegionEntry, RegionTable};
pub use rehearsal::{ARGUMENT as REHEARSE, rehearsal, rehearse_in};
pub use request::{Estimate, RouteRequest};
pub use settings::{Isolation, PluginSettings};
pub use setup::{Field, Setup};
pub use version::PluginVersion;
pub use worker::PluginWorker;
