//! Compiled components.

use sha2::{Digest, Sha256};
use std::hash::{Hash as _, Hasher};
use wasmtime::Engine;
use wasmtime::component::Component;

/// SHA-256.
pub type Hash = [u8; 32];

/// What sealed bytes begin with, after their code of authentication.
const MAGIC: [u8; 16] = *b"portolan cwasm 1";
/// The length of the code of authentication that sealed bytes begin with.
pub(crate) const TAG: usize = 32;
/// Where the hashes of the component and of the engine begin, and the compiled code.
const COMPONENT: usize = TAG + MAGIC.len();
const ENGINE: usize = COMPONENT + 32;
const CODE: usize = ENGINE + 32;

/// A component compiled by an engine of this version and configuration for this processor.
#[derive(Debug)]
pub struct Artifact {
    /// As it is sealed: code of authentication, magic, hash of the component, hash of the engine, compiled code.
    bytes: Vec<u8>,
}

impl Artifact {
    /// Compiles a component.
    ///
    /// # Errors
    /// When it is invalid, or does not compile.
    pub fn compile(engine: &Engine, component: &[u8]) -> wasmtime::Result<Self> {
        let code = engine.precompile_component(component)?;
        let mut bytes = Vec::with_capacity(CODE + code.len());
        bytes.extend([0; TAG]);
        bytes.extend(MAGIC);
        bytes.extend(Sha256::digest(component));
        bytes.extend(engine_hash(engine));
        bytes.extend(code);
        Ok(Self { bytes })
    }

    /// The SHA-256 of the component that it was compiled from.
    pub fn component_hash(&self) -> Hash {
        hash_at(&self.bytes, COMPONENT).unwrap_or_default()
    }

    /// Loads it.
    ///
    /// # Errors
    /// When the engine is of another version or configuration than the one that compiled it.
    #[allow(unsafe_code, reason = "compiled code can be loaded in no other way")]
    pub fn load(&self, engine: &Engine) -> wasmtime::Result<Component> {
        // SAFETY: the bytes are what `precompile_component` returned. `compile` takes them from there, and `from_sealed`
        // from bytes that `Key::open` has authenticated, which only `Key::seal` makes, of an artifact.
        unsafe { Component::deserialize(engine, &self.bytes[CODE..]) }
    }

    /// Bytes that were sealed, and have been authenticated; `None` when they are not an artifact of this component and
    /// engine.
    pub(crate) fn from_sealed(bytes: Vec<u8>, component: &Hash, engine: &Engine) -> Option<Self> {
        let is_ours = bytes.get(TAG..COMPONENT) == Some(MAGIC.as_slice())
            && hash_at(&bytes, COMPONENT).as_ref() == Some(component)
            && hash_at(&bytes, ENGINE) == Some(engine_hash(engine));
        is_ours.then_some(Self { bytes })
    }

    /// Its bytes, to be authenticated: the first [`TAG`] are for that.
    pub(crate) fn bytes_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

fn hash_at(bytes: &[u8], at: usize) -> Option<Hash> {
    bytes.get(at..at + 32)?.try_into().ok()
}

/// Tells engines apart whose code is not the same: by version, configuration and processor.
pub(crate) fn engine_hash(engine: &Engine) -> Hash {
    struct Sha(Sha256);
    impl Hasher for Sha {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
        fn finish(&self) -> u64 {
            let hash: Hash = self.0.clone().finalize().into();
            u64::from_le_bytes(std::array::from_fn(|place| hash[place]))
        }
    }
    let mut hasher = Sha(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.0.finalize().into()
}
