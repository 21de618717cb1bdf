//! The control tasks: what is slow and rare, beside the requests and never in their way.

pub mod files;
pub mod health;
pub mod offline;
pub mod probe;
pub mod publisher;
pub mod reload;
pub mod status;
