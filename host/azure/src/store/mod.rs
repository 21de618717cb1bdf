//! The shared store: a lease that one instance at a time can hold, and small blobs with the store's own times.

mod blob;
mod memory;

pub use blob::BlobStore;
pub use memory::MemoryStore;

use crate::names::VantageName;
use crate::store_time::StoreTime;
use std::fmt;
use std::time::Duration;
use thiserror::Error;

/// A blob of ours.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Blob {
    /// The ledger: what is leased, and written by the leader only.
    Leader,
    /// The vote of a vantage, written by that vantage only.
    Vote(VantageName),
    /// The round trips that a vantage has learned, written by that vantage only. What it holds is the program's concern.
    RoundTrips(VantageName),
}

impl fmt::Display for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Leader => f.write_str("leader"),
            Self::Vote(vantage) => write!(f, "votes/{vantage}"),
            Self::RoundTrips(vantage) => write!(f, "round-trips/{vantage}"),
        }
    }
}

/// The result of reading a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// The store's clock when it answered.
    pub now: StoreTime,
    /// The blob, if it is there.
    pub found: Option<Found>,
    /// Whether its lease is held.
    pub leased: bool,
}

/// A blob that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its content.
    pub bytes: Vec<u8>,
    /// When it was written, by the store's clock.
    pub modified: StoreTime,
}

/// Why a call to the store failed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum StoreError {
    /// Another holds the lease.
    #[error("another instance holds the lease")]
    Held,
    /// The lease is not ours, or no longer: this instance does not lead.
    #[error("the lease is lost")]
    Lost,
    /// Access is denied.
    #[error("the store denies access: {0}")]
    Denied(String),
    /// The container is not there.
    #[error("the container does not exist: {0}")]
    NoContainer(String),
    /// There is no token to show it.
    #[error("{0}")]
    Credential(String),
    /// It cannot be reached, or is not well.
    #[error("the store cannot be reached: {0}")]
    Unavailable(String),
}

impl StoreError {
    /// Whether a retry would fail the same way: an operator has to act first.
    pub fn is_definite(&self) -> bool {
        matches!(self, Self::Denied(_) | Self::NoContainer(_) | Self::Credential(_))
    }
}

/// A lease's id: made by who asks for it, so that asking twice is asking once.
#[derive(Clone, PartialEq, Eq)]
pub struct LeaseId(String);

impl LeaseId {
    /// A new one.
    pub fn random() -> Self {
        Self(azure_core::Uuid::new_v4().to_string())
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A secret: it permits writing under the lease.
        f.write_str("LeaseId(…)")
    }
}

/// The shared store. Time limits are the caller's.
#[async_trait::async_trait]
pub trait Store: Send + Sync + fmt::Debug {
    /// Reads a blob.
    async fn read(&self, blob: &Blob) -> Result<Read, StoreError>;

    /// Writes a blob, under the lease if it is leased.
    async fn write(&self, blob: &Blob, bytes: Vec<u8>, lease: Option<&LeaseId>) -> Result<(), StoreError>;

    /// Gets the lease of the leader's blob, or gets it again.
    async fn acquire(&self, lease: &LeaseId, duration: Duration) -> Result<(), StoreError>;

    /// Renews the lease from now.
    async fn renew(&self, lease: &LeaseId) -> Result<(), StoreError>;

    /// Releases the lease.
    async fn release(&self, lease: &LeaseId) -> Result<(), StoreError>;
}
