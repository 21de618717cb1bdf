//! Keys that sign plugins: ECDSA on P-256, and Ed25519, in PEM.

use crate::tls::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ED25519, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    UnparsedPublicKey,
};
use crate::tls::{self, FileError, SystemRandom};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fmt;
use std::path::Path;
use thiserror::Error;

/// What stands before the 65 bytes of a point of P-256 in a SubjectPublicKeyInfo (RFC 5480).
const P256: &[u8] =
    b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";
/// The same before the 32 bytes of a key of Ed25519 (RFC 8410).
const EDWARDS: &[u8] = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";

/// Why a file gives no key.
#[derive(Debug, Error)]
pub enum KeyError {
    /// Not PEM, or without a key.
    #[error(transparent)]
    File(#[from] FileError),
    /// Another kind of key.
    #[error("{0}: the key is neither ECDSA on P-256 nor Ed25519: make one with `portolan plugin keygen`")]
    Kind(String),
    /// No key could be made.
    #[error("failed to make a key: the system gives no random numbers")]
    Random,
}

/// The kinds of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// ECDSA on P-256 with SHA-256.
    Ecdsa,
    /// Ed25519.
    Ed25519,
}

/// A key that signatures are verified with.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    kind: KeyKind,
    /// The point.
    bytes: Vec<u8>,
    /// The file it was read from.
    name: String,
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.name)
    }
}

impl PublicKey {
    /// The key in the content of a file.
    ///
    /// # Errors
    /// When there is not exactly one, of a kind that is supported.
    pub fn parse(file: &Path, bytes: &[u8]) -> Result<Self, KeyError> {
        let info = tls::public_key(file, bytes)?;
        let name = file.display().to_string();
        let point = |prefix: &[u8], length: usize| {
            let rest = info.strip_prefix(prefix)?;
            (rest.len() == length).then(|| rest.to_vec())
        };
        let key = match (point(P256, 65), point(EDWARDS, 32)) {
            (Some(bytes), _) => Some((KeyKind::Ecdsa, bytes)),
            (None, Some(bytes)) => Some((KeyKind::Ed25519, bytes)),
            (None, None) => None,
        };
        match key {
            Some((kind, bytes)) => Ok(Self { kind, bytes, name }),
            None => Err(KeyError::Kind(name)),
        }
    }

    /// The file it was read from.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether a signature over a message is by this key.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let verified = match self.kind {
            KeyKind::Ecdsa => UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.bytes).verify(message, signature),
            KeyKind::Ed25519 => UnparsedPublicKey::new(&ED25519, &self.bytes).verify(message, signature),
        };
        verified.is_ok()
    }

    /// As the content of a file.
    pub fn to_pem(&self) -> String {
        let prefix = match self.kind {
            KeyKind::Ecdsa => P256,
            KeyKind::Ed25519 => EDWARDS,
        };
        pem("PUBLIC KEY", &[prefix, &self.bytes].concat())
    }
}

/// A key that signs.
pub enum SigningKey {
    /// ECDSA on P-256.
    Ecdsa(EcdsaKeyPair),
    /// Ed25519.
    Ed25519(Ed25519KeyPair),
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey")
    }
}

impl SigningKey {
    /// The key in the content of a file: PKCS #8, or SEC 1 of ECDSA.
    ///
    /// # Errors
    /// When there is not exactly one, of a kind that is supported, without a password.
    pub fn parse(file: &Path, bytes: &[u8]) -> Result<Self, KeyError> {
        let der = tls::private_key(file, bytes)?;
        let der = der.secret_der();
        let curve = &ECDSA_P256_SHA256_ASN1_SIGNING;
        if let Ok(pair) = EcdsaKeyPair::from_pkcs8(curve, der) {
            return Ok(Self::Ecdsa(pair));
        }
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
            return Ok(Self::Ed25519(pair));
        }
        // Of another curve it would be a key as well.
        match EcdsaKeyPair::from_private_key_der(curve, der) {
            Ok(pair) => Ok(Self::Ecdsa(pair)),
            Err(_) => Err(KeyError::Kind(file.display().to_string())),
        }
    }

    /// A new key, and the content of the file for it.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub fn generate(kind: KeyKind) -> Result<(Self, String), KeyError> {
        let random = SystemRandom::new();
        let document = match kind {
            KeyKind::Ecdsa => EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random),
            // Version 1, which OpenSSL reads.
            KeyKind::Ed25519 => Ed25519KeyPair::generate_pkcs8v1(&random),
        };
        let pem = pem("PRIVATE KEY", document.map_err(|_| KeyError::Random)?.as_ref());
        let key = Self::parse(Path::new("a new key"), pem.as_bytes())?;
        Ok((key, pem))
    }

    /// The key that its signatures are verified with.
    pub fn public(&self) -> PublicKey {
        let (kind, bytes) = match self {
            Self::Ecdsa(pair) => (KeyKind::Ecdsa, pair.public_key().as_ref()),
            Self::Ed25519(pair) => (KeyKind::Ed25519, pair.public_key().as_ref()),
        };
        PublicKey {
            kind,
            bytes: bytes.to_vec(),
            name: "the key that signs".into(),
        }
    }

    /// A signature over a message.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        match self {
            Self::Ecdsa(pair) => {
                let signature = pair.sign(&SystemRandom::new(), message).map_err(|_| KeyError::Random)?;
                Ok(signature.as_ref().to_vec())
            }
            Self::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
        }
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    let encoded = STANDARD.encode(der);
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = more;
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}
