//! Publishes the regions' health to Azure Front Door.
//!
//! There are two ways. The **fast** one is the answer to Front Door's own health probes: seconds, see [`probe`]. The
//! **durable** one is the priority of each origin, written through the management API: a change takes up to twenty minutes to
//! reach the edges, so only findings that last are published, and only by one instance at a time.
//!
//! Pure, in reading order; each uses those before it:
//!
//! | module | what it decides |
//! |---|---|
//! | [`origin`], [`settings`] | the members of an origin that are ours; the configuration, checked |
//! | [`names`], [`health`], [`store_time`], [`intent`] | vantages; this instance's view; the store's clock; what a region is meant to be |
//! | `doubt` | whether this instance may trust its own view |
//! | [`vote`] | what one vantage says, and whether it still counts |
//! | `quorum` | what the vantages together say |
//! | [`operation`] | what the service's answers mean |
//! | [`diff`] | the changes from the origins as read to the origins as wanted |
//! | `backoff` | how long to pause after a failure |
//! | `ledger` | what leaders hand on to one another |
//! | `desired` | what every region should be, within the caps |
//! | `lease` | until when a leader may write |
//! | [`pace`] | when the next change may be sent |
//! | `plan` | all of it joined: what is to be done now, and why not more |
//! | [`probe`] | the answers to Front Door's probes |
//!
//! Effects, each behind a trait of ours or below one:
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
mod identity;
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
