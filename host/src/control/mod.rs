//! The control tasks: what is slow and rare, beside the requests and never in their way.

pub mod files;
pub mod health;
pub mod last_good;
pub mod load;
pub mod offline;
pub mod probe;
pub mod publisher;
pub mod reload;
mod source;
pub mod start;
pub mod status;
