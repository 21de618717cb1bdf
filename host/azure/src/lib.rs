//! Publishes the regions' health to Azure Front Door.
//!
//! Two ways lead there. The **fast** one is the answer to Front Door's own probes: seconds, see [`probe`]. The **durable**
//! one are the priorities of the origins, written through the management API: a change takes up to twenty minutes to reach
//! the edges, so only findings that last are published, and only by one instance at a time.
//!
//! Pure, in reading order:
//!
//! | module | what it decides |
//! |---|---|
//! | [`settings`] | what the publisher is told, checked |
//! | [`names`], [`health`], [`origin`] | the words: vantages, regions' health, origins |
//! | [`vote`] | what one vantage says, and whether it still counts |
//! | [`quorum`] | what the vantages together say |
//! | [`desired`] | what every region should be made, within the caps |
//! | [`diff`] | the changes that lead there |
//! | [`ledger`] | what leaders hand on to one another |
//! | [`lease`] | until when a leader may write |
//! | [`pace`] | when the next change may be sent |
//! | [`plan`] | all of it joined: what is to be done now, and why not more |
//! | [`operation`] | what the service's answers mean |
//! | [`probe`] | the answers to Front Door's probes |
//!
//! Effects, each behind a trait of ours or below one:
//!
//! | module | what it does |
//! |---|---|
//! | [`net`], [`identity`], [`arm`] | requests with limits, tokens, calls to the management API |
//! | [`store`] | where instances meet: a lease and small blobs |
//! | [`target`] | the Front Door: read, change, ask how far |
//! | [`publisher`] | the tasks around all of it, and their status |
//!
//! With the feature `fakes` there is also a whole Azure in process, made from its contract: `fakes`.

pub mod arm;
pub mod desired;
pub mod diff;
#[cfg(feature = "fakes")]
pub mod fakes;
pub mod health;
pub mod identity;
pub mod lease;
pub mod ledger;
pub mod names;
pub mod net;
pub mod operation;
pub mod origin;
pub mod pace;
pub mod plan;
pub mod probe;
pub mod publisher;
pub mod quorum;
pub mod settings;
pub mod store;
pub mod target;
pub mod vote;
