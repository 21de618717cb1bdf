//! The demo: three regions, the proxy, administration and a plugin on loopback.

pub mod gateway;
