//! The configuration file: read, checked, and turned into [`Settings`] that hold what they promise.
//!
//! The text becomes a tree of values with their places, the tree becomes sections as they are written, and those become
//! settings. Mistakes are collected on the way and told all at once, each with its place and what to do. What a section
//! may contain is declared once; the JSON Schema for editors comes of the same declarations.
//!
//! In reading order: [`Settings`], [`load`], the sections from the file's top to its details (`file`, `listeners`,
//! `services`, `routes`, `plugins`, `front_door`), and what they are read with (`shape`, `compound`, `values`, `quantities`, `document`).

mod compound;
mod document;
mod error;
mod file;
#[cfg(feature = "azure")]
mod front_door;
#[cfg(not(feature = "azure"))]
#[path = "front_door/absent.rs"]
mod front_door;
mod listeners;
mod load;
mod plugins;
mod policies;
mod quantities;
mod regions;
mod residency;
mod routes;
mod schema;
mod services;
mod settings;
mod shape;
mod suggest;
mod values;

pub use error::{ConfigErrors, Mistake};
pub use front_door::FrontDoorSettings;
#[cfg(feature = "azure")]
pub use front_door::Publication;
pub use load::{load, load_with, parse};
pub use schema::schema;
pub use settings::{AccessLog, Admin, GeoSettings, Listener, Plugin, PluginSource, Settings};

#[cfg(test)]
mod tests;
