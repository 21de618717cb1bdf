//! Publishes the regions' health to Azure Front Door.
//!
//! There are two ways. The **fast** one is the answer to Front Door's own health probes: it takes seconds, see [`probe`]. The
//! **durable** one is the priority of each origin, written through the management API: a change takes up to twenty minutes to
//! reach the edges, so only lasting observations are published, by one instance at a time.
//!
//! Pure, in reading order; each uses those before it:
//!
//! | module | what it decides |
//! |---|---|
//! | [`origin`], [`settings`] | the members of an origin that are ours; the configuration, checked |
//! | [`names`], [`health`], [`store_time`], [`intent`] | vantages; this instance's view; the store's clock; the intended state of a region |
//! | `doubt` | whether this instance may trust its own view |
//! | [`vote`] | a vantage's view of the regions, and whether it still counts |
//! | `quorum` | the count of all votes |
//! | [`operation`] | the meaning of the service's answers |
//! | [`diff`] | the changes from the origins as read to the origins as wanted |
//! | `backoff` | how long to pause after a failure |
//! | `ledger` | the state that each leader passes to the next |
//! | `desired` | what every region should be, within the caps |
//! | `lease` | until when a leader may write |
//! | [`pace`] | when the next change may be sent |
//! | `plan` | all of it joined: what is to be changed now, and what not, with reasons |
//! | [`probe`] | the answers to Front Door's probes |
//!
//! With effects, each behind a trait:
//!
//! | module | what it does |
//! |---|---|
//! | [`net`], `identity`, `arm` | requests with limits, tokens, calls to the management API |
//! | [`store`] | the shared store: a lease and small blobs |
//! | [`target`] | the Front Door: read, change, poll |
//! | [`publisher`] | the tasks around all of it, and their status |

#![cfg_attr(not(test), warn(clippy::unwrap_used))]

mod arm;
mod backoff;
mod desired;
pub mod diff;
mod doubt;
pub mod health;
pub mod identity;
pub mod intent;
mod lease;
mod ledger;
pub mod names;
pub mod net;
pub mod operation;
pub mod origin;
pub mod pace;
mod plan;
pub mod probe;
pub mod publisher;
mod quorum;
pub mod settings;
pub mod store;
pub mod store_time;
pub mod target;
pub mod vote;
