//! Portolan: a programmable edge proxy. The shell around [`portolan_core`]: sockets, files, guests, clocks.

#![cfg_attr(not(test), warn(clippy::unwrap_used))]

pub mod admin;
pub mod affinity;
pub mod app;
pub mod arrival;
pub mod chance;
pub mod chunks;
pub mod cli;
pub mod config;
pub mod control;
mod cpu_time;
pub mod decide;
pub mod demo;
pub mod dns;
pub mod drill;
pub mod explain;
mod fields;
#[cfg(feature = "azure")]
pub mod front_door;
#[cfg(not(feature = "azure"))]
#[path = "front_door/absent.rs"]
pub mod front_door;
pub mod geo;
mod hex;
pub mod learned;
mod lines;
pub mod message;
mod number;
pub mod oci;
pub mod pipeline;
pub mod plugin;
pub mod record;
pub mod rehearse;
pub mod request_id;
pub mod respond;
pub mod rollout;
pub mod server;
pub mod service_tags;
pub mod steer;
pub mod table;
pub mod telemetry;
pub mod tls;
pub mod upstream;
pub mod vitals;
pub mod worker;
