//! Portolan: a programmable edge proxy. The shell around [`portolan_core`]: sockets, files, guests, clocks.

pub mod admin;
pub mod demo;
pub mod record;
pub mod telemetry;
pub mod vitals;
