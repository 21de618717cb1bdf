//! The control tasks: slow, infrequent work off the request path.

pub mod artifacts;
pub mod basis;
pub mod certificates;
mod charts;
pub mod decisions;
pub mod drills;
pub mod events;
pub mod files;
#[cfg(feature = "azure")]
pub mod front_door;
#[cfg(not(feature = "azure"))]
#[path = "front_door/absent.rs"]
pub mod front_door;
pub mod health;
pub mod history;
pub mod last_good;
pub mod learned;
pub mod load;
pub mod loaded;
mod moment;
mod override_record;
pub mod overrides;
pub mod probe;
pub mod publisher;
pub mod reload;
mod shift;
mod source;
pub mod start;
pub mod status;
pub mod traffic;
mod upstream_tls;
pub mod waits;
