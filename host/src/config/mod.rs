//! The configuration file: read, checked, and turned into a valid [`Configuration`].
//!
//! The text becomes a tree of values with their positions, the tree becomes sections as they are written, and those become
//! settings. Mistakes are collected on the way and reported all at once, each with its position and what to do. What a
//! section may contain is declared once; the JSON Schema for editors comes from the same declarations.
//!
//! In reading order: [`Configuration`], [`load`], the sections from the file's top to its details (`file`, `listeners`, `admin`,
//! `services`, `routes`, `plugins`, `front_door`), and
//! what they are read with (`shape`, `compound`, `values`, `quantities`, `document`).

mod access;
mod access_log;
mod admin;
mod affinity;
#[cfg(feature = "azure")]
mod azure;
#[cfg(not(feature = "azure"))]
#[path = "azure/absent.rs"]
mod azure;
mod compound;
mod conditions;
mod document;
mod error;
mod failback;
mod file;
#[cfg(feature = "azure")]
mod front_door;
#[cfg(not(feature = "azure"))]
#[path = "front_door/absent.rs"]
mod front_door;
mod geo;
mod header_changes;
mod health_checks;
mod host;
mod include;
mod learned;
mod limits;
mod listeners;
mod load;
mod names;
mod ordering;
mod pattern;
mod plugin_cases;
mod plugin_project;
mod plugins;
mod policies;
mod prefix;
mod publication;
mod quantities;
mod reader;
mod redirect;
mod reference;
mod regions;
mod registries;
mod residency;
mod retry_on;
mod rollout;
mod routes;
mod scenario;
mod schema;
mod section;
mod services;
mod settings;
mod shape;
mod sources;
mod steer;
mod suggest;
mod telemetry;
mod tls;
mod upstream;
mod values;

pub use error::{ConfigErrors, Mistake};
pub use file::{reference, schema};
pub use load::{load, load_with, parse};
pub use pattern::{is_pattern, matches};
pub use plugin_cases::{CaseRegion, Expected, PluginCase, PluginCases, plugin_cases, plugin_cases_schema};
pub use plugin_project::{PluginLanguage, PluginProject, plugin_project};
#[cfg(feature = "azure")]
pub use publication::Publication;
pub use publication::{AzureCredential, FrontDoorSettings};
pub use reader::{Reader, System};
pub use rollout::share;
pub use scenario::{Happening, Scenario, ScenarioEvent, scenario};
pub use settings::{
    AccessLog, Admin, AdminAddress, Configuration, Fixed, GeoNetwork, GeoSettings, Http2, LearnedSettings, Listener,
    LogDestination, Peer, Plugin, PluginSource, RegistryAccess, RegistryCredentials, RegistrySource, Settings,
    SignaturePolicy, TelemetrySettings, UpstreamTls,
};
pub use sources::Sources;

#[cfg(test)]
mod tests;
