//! OCI registries: plugins are pulled from them, pushed to them and signed there (OCI distribution and image specifications 1.1).
//!
//! Nothing of it is on the request path. Every operation is bounded in time and memory, and what it gives was checked: bytes
//! against their digest, and signatures against keys from files.
//!
//! | module | what it does |
//! |---|---|
//! | `digest`, `reference` | SHA-256 digests; `oci://host/repository:tag@sha256:…` |
//! | `manifest` | manifests and indexes as they are stored |
//! | `transport` | one HTTP exchange with time limits, over the program's dialer and TLS |
//! | `challenge`, `authorization` | what a 401 asks for; Basic, and tokens for Bearer |
//! | `credentials`, `environment`, `docker_config` | who asks: configuration, environment, Docker's configuration |
//! | `client` | manifests, blobs and referrers: reading and writing |
//! | `key`, `signature` | public and private keys; cosign's signatures, and the policy that wants them |
//! | `evidence` | all that proves what a component is; the one check before it is used |
//! | `component` | what a component imports and exports |
//! | `operation` | a runtime and a time limit for one operation |
//! | `pull`, `push` | the steps of a pull, up to the evidence; the artifact as the CNCF's Wasm working group lays it out |

pub mod authorization;
mod challenge;
mod client;
mod component;
pub mod credentials;
mod digest;
mod docker_config;
mod environment;
mod error;
mod evidence;
pub mod key;
mod manifest;
mod operation;
mod pull;
mod push;
mod reference;
mod signature;
mod transport;

pub use client::{Access, Client};
pub use component::{ComponentNames, NotAComponent, component_names};
pub use digest::Digest;
pub use environment::credentials_of_environment;
pub use error::OciError;
pub use evidence::{Evidence, Verified};
pub use operation::run;
pub use pull::{Pull, Pulled, pull, signatures};
pub use push::{Pushed, push, sign};
pub use reference::{Reference, ReferenceError, Registry};
pub use signature::{Policy, Signature, SignatureError};
pub use transport::fetch;
