//! The certificate authorities that gateways' certificates must lead to.

use super::pem::{self, FileError};
use rustls::RootCertStore;
use sha2::{Digest, Sha256};
use std::path::Path;
use std::sync::Arc;
use thiserror::Error;

/// Trusted certificate authorities. At least one.
#[derive(Clone, Debug)]
pub struct Authorities {
    store: Arc<RootCertStore>,
}

/// The system has no usable certificate authorities.
#[derive(Clone, Debug, Error)]
#[error(
    "this system has no usable certificate authorities ({found} certificates found, {unusable} of them malformed{}): \
     install ca-certificates, set SSL_CERT_FILE, or name a file of them in upstream.tls.ca",
    .errors.iter().map(|error| format!("; {error}")).collect::<String>()
)]
pub struct NoAuthorities {
    /// How many certificates were found.
    found: usize,
    /// How many of them are malformed.
    unusable: usize,
    /// Why some places could not be read.
    errors: Vec<String>,
}

impl Authorities {
    /// Those of a PEM file, all of which must be usable.
    ///
    /// # Errors
    /// When there is none, one that is malformed, or when some of the file would be lost.
    pub fn of_file(file: &Path, bytes: &[u8]) -> Result<Self, FileError> {
        let store = Arc::new(pem::roots(file, bytes)?);
        Ok(Self { store })
    }

    /// Those of the system: in its usual places, or in `SSL_CERT_FILE` and `SSL_CERT_DIR`. Malformed ones are left out.
    ///
    /// # Errors
    /// When there is none.
    pub fn of_system() -> Result<Self, NoAuthorities> {
        let read = rustls_native_certs::load_native_certs();
        let errors: Vec<_> = read.errors.iter().map(ToString::to_string).collect();
        let (mut store, found) = (RootCertStore::empty(), read.certs.len());
        let (_, unusable) = store.add_parsable_certificates(read.certs);
        if store.is_empty() {
            return Err(NoAuthorities {
                found,
                unusable,
                errors,
            });
        }
        for error in errors {
            tracing::warn!("some certificate authorities of the system could not be read: {error}");
        }
        let store = Arc::new(store);
        Ok(Self { store })
    }

    /// How many they are.
    pub fn count(&self) -> usize {
        self.store.len()
    }

    pub(super) fn store(&self) -> Arc<RootCertStore> {
        Arc::clone(&self.store)
    }

    /// The same for the same authorities, in whatever order.
    pub(super) fn digest(&self) -> [u8; 32] {
        let mut each: Vec<[u8; 32]> = self
            .store
            .roots
            .iter()
            .map(|root| {
                let constraints = root.name_constraints.as_ref().map_or(&[][..], |it| it.as_ref());
                let mut digest = Sha256::new();
                for part in [
                    root.subject.as_ref(),
                    root.subject_public_key_info.as_ref(),
                    constraints,
                ] {
                    // With its length, so that two different ones are never one text.
                    digest.update((part.len() as u64).to_be_bytes());
                    digest.update(part);
                }
                digest.finalize().into()
            })
            .collect();
        // Folders are read in no certain order.
        each.sort_unstable();
        Sha256::digest(each.concat()).into()
    }
}
