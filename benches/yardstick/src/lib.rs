//! Parts of the two tools that measure the cost of a request: `compare` (CPU time) and `instructions` (callgrind).

pub mod backend;
pub mod client;
pub mod cpu;
pub mod process;
pub mod proxy;
pub mod stats;
