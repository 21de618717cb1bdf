//! A certificate chain and its private key.

use super::certificate::{Certificate, KeyKind};
use super::pem::{self, FileError};
use super::provider::provider;
use rustls::InconsistentKeys;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use thiserror::Error;

/// How long before its end a certificate is warned of.
const SOON: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// A certificate chain with its private key, ready to be served.
pub struct Pair {
    /// What rustls signs with.
    pub certified: Arc<CertifiedKey>,
    /// The host names of the leaf, in lower case, as they are matched with SNI. May begin with `*.`.
    pub names: Vec<Box<str>>,
    /// The kind of the key.
    pub key: KeyKind,
    /// From when the leaf is valid.
    pub not_before: SystemTime,
    /// Until when the leaf is valid.
    pub not_after: SystemTime,
    /// What clients may reject.
    pub warnings: Vec<PairWarning>,
    /// SHA-256 of the chain: pairs of the same chain have the same key.
    pub fingerprint: [u8; 32],
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pair")
            .field("names", &self.names)
            .field("key", &self.key)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

/// Why a certificate chain and a private key cannot be used.
#[derive(Debug, Error)]
pub enum PairError {
    /// One of the files.
    #[error(transparent)]
    File(#[from] FileError),
    /// A section of the chain that is no certificate.
    #[error("{}: certificate {number} is damaged", file.display())]
    Damaged {
        /// The file of the chain.
        file: PathBuf,
        /// Which one, from 1.
        number: usize,
    },
    /// A certificate of an old version.
    #[error(
        "{}: certificate {number} ({subject}) has version 1, which clients reject: `openssl x509 -req` writes version 3 \
         only with -extfile",
        file.display()
    )]
    Version {
        /// The file of the chain.
        file: PathBuf,
        /// Which one, from 1.
        number: usize,
        /// Whom it is for.
        subject: String,
    },
    /// A chain that is not in order.
    #[error(
        "{}: certificate {number} ({subject}) is not signed by the next one ({next}) but by \"{issuer}\": the server's \
         certificate comes first, and each one is followed by the one that signed it",
        file.display()
    )]
    Order {
        /// The file of the chain.
        file: PathBuf,
        /// Which one, from 1.
        number: usize,
        /// Whom it is for.
        subject: String,
        /// Who signed it.
        issuer: String,
        /// Whom the next one is for.
        next: String,
    },
    /// A key that belongs to another certificate.
    #[error(
        "{}: the private key is not that of the first certificate in {} ({subject}){}",
        key.display(),
        certificate.display(),
        if *.in_chain { ", but that of a later one: the server's certificate comes first" } else { "" }
    )]
    Mismatch {
        /// The file of the key.
        key: PathBuf,
        /// The file of the chain.
        certificate: PathBuf,
        /// Whom the first certificate is for.
        subject: String,
        /// Whether the key is that of another certificate of the chain.
        in_chain: bool,
    },
    /// A key that the provider of cryptography does not load.
    #[error(
        "{}: the private key cannot be loaded; the certificate's key is {kind}, and RSA with 2048 to 8192 bits, ECDSA P-256, \
         P-384 and P-521, and Ed25519 are supported",
        key.display()
    )]
    Key {
        /// The file of the key.
        key: PathBuf,
        /// The kind of the certificate's key.
        kind: KeyKind,
    },
    /// A certificate that rustls does not serve.
    #[error("{}: certificate 1 ({subject}) cannot be served: {error}", file.display())]
    Certificate {
        /// The file of the chain.
        file: PathBuf,
        /// Whom it is for.
        subject: String,
        /// Why not.
        error: rustls::Error,
    },
}

/// A certificate that can be served, and that clients may reject.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum PairWarning {
    /// No subjectAltName with a host.
    #[error("the certificate names no host in subjectAltName: clients do not look at its common name")]
    NoNames,
    /// A certificate that may sign others.
    #[error("the certificate is that of a certificate authority (CA:TRUE): some clients reject it as a server's")]
    Authority,
    /// An extended key usage without servers.
    #[error("the certificate's extended key usage does not include serverAuth: clients reject it")]
    Usage,
    /// SHA-1.
    #[error("certificate {0} is signed with SHA-1: clients reject it")]
    Sha1(usize),
    /// A later certificate of the chain has expired.
    #[error("certificate {0} of the chain has expired: some clients reject the chain")]
    ChainExpired(usize),
    /// Nothing but the leaf.
    #[error("the chain is the server's certificate alone: clients that do not know its issuer \"{0}\" reject it")]
    Alone(String),
}

/// Whether a certificate is valid at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// It is.
    Valid,
    /// It is, and will not be in 30 days or less.
    ExpiresSoon(Duration),
    /// Not any more.
    Expired,
    /// Not yet.
    NotYet,
}

impl Pair {
    /// From the content of two PEM files, which may be the same one.
    ///
    /// # Errors
    /// When they cannot be read, do not belong together, or cannot be served. Whether the certificate is valid now is left
    /// to [`Pair::validity`].
    pub fn parse(certificate: (&Path, &[u8]), key: (&Path, &[u8]), now: SystemTime) -> Result<Self, PairError> {
        let (file, bytes) = certificate;
        let chain = pem::certificates(file, bytes)?;
        let private_key = pem::private_key(key.0, key.1)?;
        let parsed: Result<Vec<_>, _> = chain
            .iter()
            .enumerate()
            .map(|(index, der)| {
                let number = index + 1;
                let parsed = Certificate::parse(der).ok_or_else(|| PairError::Damaged {
                    file: file.to_owned(),
                    number,
                })?;
                // Clients do not look at a root that is sent along.
                let is_root = index > 0 && parsed.is_self_issued();
                match parsed.is_version_3() || is_root {
                    true => Ok(parsed),
                    false => Err(PairError::Version {
                        file: file.to_owned(),
                        number,
                        subject: parsed.subject(),
                    }),
                }
            })
            .collect();
        let parsed = parsed?;
        let Some(leaf) = parsed.first() else {
            return Err(PairError::Damaged {
                file: file.to_owned(),
                number: 1,
            });
        };
        let certified = certified(file, &chain, key.0, private_key, leaf)?;
        in_order(file, &parsed)?;
        let (hosts, addresses) = leaf.names();
        let warnings = warnings(&parsed, hosts.is_empty() && addresses.is_empty(), now);
        let (not_before, not_after) = leaf.validity();
        let mut fingerprint = Sha256::new();
        chain.iter().for_each(|der| fingerprint.update(der));
        Ok(Self {
            certified: Arc::new(certified),
            names: match hosts.is_empty() {
                true => leaf.common_name().into_iter().collect(),
                false => hosts,
            },
            key: leaf.key(),
            not_before,
            not_after,
            warnings,
            fingerprint: fingerprint.finalize().into(),
        })
    }

    /// Whether the leaf is valid at this time.
    pub fn validity(&self, now: SystemTime) -> Validity {
        match self.not_after.duration_since(now) {
            _ if now < self.not_before => Validity::NotYet,
            Err(_) => Validity::Expired,
            Ok(left) if left <= SOON => Validity::ExpiresSoon(left),
            Ok(_) => Validity::Valid,
        }
    }
}

/// The chain with its key, when they belong together.
fn certified(
    file: &Path,
    chain: &[CertificateDer<'static>],
    key_file: &Path,
    key: PrivateKeyDer<'static>,
    leaf: &Certificate<'_>,
) -> Result<CertifiedKey, PairError> {
    let key = provider().key_provider.load_private_key(key);
    let key = key.map_err(|_| PairError::Key {
        key: key_file.to_owned(),
        kind: leaf.key(),
    })?;
    let certified = CertifiedKey::new(chain.to_vec(), key);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(certified),
        Err(rustls::Error::InconsistentKeys(_)) => {
            let is_of = |der: &CertificateDer<'static>| {
                let other = CertifiedKey::new(vec![der.clone()], Arc::clone(&certified.key));
                other.keys_match().is_ok()
            };
            Err(PairError::Mismatch {
                key: key_file.to_owned(),
                certificate: file.to_owned(),
                subject: leaf.subject(),
                in_chain: chain.iter().skip(1).any(is_of),
            })
        }
        Err(error) => Err(PairError::Certificate {
            file: file.to_owned(),
            subject: leaf.subject(),
            error,
        }),
    }
}

/// Checks that each certificate is followed by the one that signed it: rustls and many clients find the way by themselves,
/// and others do not (RFC 5246, section 7.4.2).
fn in_order(file: &Path, chain: &[Certificate<'_>]) -> Result<(), PairError> {
    for (index, pair) in chain.windows(2).enumerate() {
        let [certificate, next] = pair else { continue };
        if !certificate.is_issued_by(next) {
            return Err(PairError::Order {
                file: file.to_owned(),
                number: index + 1,
                subject: certificate.subject(),
                issuer: certificate.issuer(),
                next: next.subject(),
            });
        }
    }
    Ok(())
}

fn warnings(chain: &[Certificate<'_>], is_nameless: bool, now: SystemTime) -> Vec<PairWarning> {
    let mut warnings = Vec::new();
    let [leaf, issuers @ ..] = chain else { return warnings };
    if is_nameless {
        warnings.push(PairWarning::NoNames);
    }
    if leaf.is_authority() {
        warnings.push(PairWarning::Authority);
    }
    if !leaf.is_for_servers() {
        warnings.push(PairWarning::Usage);
    }
    if issuers.is_empty() && !leaf.is_self_issued() {
        warnings.push(PairWarning::Alone(leaf.issuer()));
    }
    for (index, certificate) in chain.iter().enumerate() {
        // The signature of a root is not looked at by anyone.
        if certificate.is_signed_with_sha1() && !certificate.is_self_issued() {
            warnings.push(PairWarning::Sha1(index + 1));
        }
        if index > 0 && certificate.validity().1 < now {
            warnings.push(PairWarning::ChainExpired(index + 1));
        }
    }
    warnings
}
