//! Portolan: a programmable edge proxy. The shell around [`portolan_core`]: sockets, files, guests, clocks.

pub mod demo;
pub mod plugin;
pub mod vitals;
