//! Stand-ins for Azure on loopback, in this process: resource manager, token service, blob store.
//!
//! They are made from the contract under `contract/`: [`FakeArm`] checks every request against the OpenAPI definitions
//! and implements the behaviours that the definitions do not state. All of them go by one [`Clock`], keep a log of
//! [`Recorded`] requests, and can be made to go wrong by [`Fault`]s, for everyone or for one client: a client that uses
//! [`Endpoints`] of its own can be cut off alone.
//!
//! They serve tests and `portolan demo --front-door`. They keep no secret and serve only this machine.

pub mod arm;
mod authority;
pub mod blob;
mod clock;
mod cloud;
pub mod contract;
pub mod entra;
mod faults;
mod http;
mod journal;
#[cfg(test)]
mod testing;

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

pub use self::arm::FakeArm;
pub use self::authority::CertificateAuthority;
pub use self::blob::FakeBlob;
pub use self::clock::Clock;
pub use self::cloud::{Cloud, Endpoints};
pub use self::entra::FakeEntra;
pub use self::faults::{Fault, Requests};
pub use self::journal::{Recorded, TooLate};

/// Why a fake did not start.
#[derive(Debug, thiserror::Error)]
pub enum FakeError {
    /// No port could be opened.
    #[error("opening a port on 127.0.0.1: {0}")]
    Port(#[from] io::Error),
    /// No key or certificate could be made.
    #[error("making a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The TLS library rejected what was made.
    #[error("setting up TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The embedded definitions could not be read.
    #[error("reading the contract: {0}")]
    Contract(&'static contract::ContractError),
}

/// Locks; a panic elsewhere while holding the lock leaves state that is as good as any for a test.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
