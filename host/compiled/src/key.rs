//! Authenticating artifacts: HMAC with SHA-256 (RFC 2104).

use crate::artifact::{Artifact, Hash, TAG};
use aws_lc_rs::hmac;
use std::fmt;
use thiserror::Error;
use wasmtime::Engine;

/// A secret of those that seal artifacts and open them.
#[derive(Clone)]
pub struct Key([u8; 32]);

/// Why bytes are not an artifact that may be loaded.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum OpenError {
    /// They were not sealed with this key, or changed since.
    #[error("it was not written by this installation, or was changed since")]
    Forged,
    /// They were, and are of another component or engine.
    #[error("it was compiled from another file, or by another version")]
    Other,
}

/// The secret is not shown.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").finish_non_exhaustive()
    }
}

impl Key {
    /// How many bytes it has.
    pub const LENGTH: usize = 32;

    /// A new one, from the system's randomness; `None` when that fails.
    pub fn random() -> Option<Self> {
        let mut bytes = [0; Self::LENGTH];
        // The kernel's, and not the library's, whose first bytes cost tens of milliseconds (decision 178).
        getrandom::fill(&mut bytes).ok()?;
        Some(Self(bytes))
    }

    /// One that was made before.
    pub fn from_bytes(bytes: [u8; Self::LENGTH]) -> Self {
        Self(bytes)
    }

    /// Its bytes, for another process of this installation.
    pub fn as_bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }

    /// An artifact as bytes that can be opened with this key.
    pub fn seal(&self, mut artifact: Artifact) -> Vec<u8> {
        self.sign(&mut artifact);
        artifact.into_bytes()
    }

    pub(crate) fn sign<'a>(&self, artifact: &'a mut Artifact) -> &'a [u8] {
        let bytes = artifact.bytes_mut();
        let tag = hmac::sign(&self.hmac(), &bytes[TAG..]);
        bytes[..TAG].copy_from_slice(tag.as_ref());
        bytes
    }

    /// The artifact of a component, from bytes that were sealed with this key.
    ///
    /// # Errors
    /// When they were not, or are of another component or engine.
    pub fn open(&self, bytes: Vec<u8>, component: &Hash, engine: &Engine) -> Result<Artifact, OpenError> {
        let (tag, message) = bytes.split_at_checked(TAG).ok_or(OpenError::Forged)?;
        hmac::verify(&self.hmac(), message, tag).map_err(|_| OpenError::Forged)?;
        Artifact::from_sealed(bytes, component, engine).ok_or(OpenError::Other)
    }

    fn hmac(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, &self.0)
    }
}
