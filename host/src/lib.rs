//! Portolan: a programmable edge proxy. The shell around [`portolan_core`]: sockets, files, guests, clocks.

pub mod admin;
pub mod app;
pub mod chance;
pub mod cli;
pub mod config;
pub mod control;
pub mod decide;
pub mod demo;
#[cfg(feature = "azure")]
pub mod front_door;
#[cfg(not(feature = "azure"))]
#[path = "front_door/absent.rs"]
pub mod front_door;
pub mod geo;
pub mod message;
pub mod pipeline;
pub mod plugin;
pub mod record;
pub mod respond;
pub mod server;
pub mod table;
pub mod telemetry;
pub mod upstream;
pub mod vitals;
pub mod worker;
