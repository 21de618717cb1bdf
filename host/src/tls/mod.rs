//! TLS: certificates and keys from files, and the one provider of cryptography.
//!
//! What real files look like, and what of it the libraries drop without an error, is checked here: `pem` reads sections,
//! `certificate` what a certificate says, `pair` whether a chain and a key belong together. `origin` is TLS with gateways,
//! `authorities` whom they are verified by, `failure` what an error says of them. No message and no `Debug` of
//! this module contains key material.

mod authorities;
mod certificate;
mod certificates;
mod client;
mod client_stream;
pub mod failure;
mod origin;
mod pair;
mod pem;
mod provider;
mod secrets;
mod server;
mod settings;
mod tickets;

pub use authorities::{Authorities, NoAuthorities};
pub use certificate::KeyKind;
pub use certificates::Certificates;
pub use client::{VerifiedClient, certificate_subject};
pub use client_stream::ClientStream;
pub use origin::{ClientTls, ClientTlsError, Offer, Origin, is_server_name};
pub use pair::{Pair, PairError, PairWarning, Validity};
pub use pem::{FileError, certificates, private_key, public_key, roots};
pub use provider::provider;
pub(crate) use provider::{SystemRandom, hmac, signature};
pub use secrets::{Secret, prepare_randomness, random_secret, secrets};
pub use server::{HTTP2, ServerTls, ServerTlsError};
pub use settings::{ClientCertificates, ListenerTls, MinVersion, PairFiles};
pub use tickets::TicketSecrets;

#[cfg(test)]
mod tests;
