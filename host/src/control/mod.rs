//! The control tasks: what is slow and rare, beside the requests and never in their way.

pub mod health;
pub mod probe;
pub mod files;
pub mod publisher;
pub mod reload;
pub mod status;
pub mod offline;
