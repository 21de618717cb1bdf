//! The keys that affinity cookies are signed with.

use crate::tls::{FileError, Secret, hmac, random_secret, secrets};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Keys: the first one signs, all verify.
pub struct AffinityKeys(Vec<hmac::Key>);

impl fmt::Debug for AffinityKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AffinityKeys({})", self.0.len())
    }
}

impl AffinityKeys {
    /// A random one. It ends with the process, and no other instance knows it.
    pub fn random() -> Arc<Self> {
        Arc::new(Self(random_secret().iter().map(key).collect()))
    }

    /// Those of a file: a line of base64 for each, of 32 bytes. Empty lines and lines that begin with `#` are left out.
    ///
    /// # Errors
    /// When there is none, or a line is something else.
    pub fn parse(file: &Path, bytes: &[u8]) -> Result<Arc<Self>, FileError> {
        Ok(Arc::new(Self(secrets(file, bytes)?.iter().map(key).collect())))
    }

    /// The signature of a session's region.
    pub(super) fn sign(&self, label: &[u8], id: u64) -> [u8; 32] {
        let mut signature = [0; 32];
        if let Some(key) = self.0.first() {
            let mut context = hmac::Context::with_key(key);
            context.update(label);
            context.update(&id.to_be_bytes());
            signature.copy_from_slice(context.sign().as_ref());
        }
        signature
    }

    /// Whether one of the keys made a signature. Takes the same time wherever it differs.
    pub(super) fn verify(&self, label: &[u8], id: u64, signature: &[u8; 32]) -> bool {
        let message = [label, &id.to_be_bytes()].concat();
        self.0.iter().any(|key| hmac::verify(key, &message, signature).is_ok())
    }
}

fn key(secret: &Secret) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, secret)
}
