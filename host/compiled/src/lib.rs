//! Compiled WebAssembly components as authenticated bytes: handed from one process to another, and kept in a directory.
//!
//! Compiled code is native code that is run without further checks, so nothing may be loaded that was not compiled by an
//! engine here. An [`Artifact`] can be made in two ways only: by compiling a component, and by opening bytes that were sealed
//! with the same secret [`Key`]. Only artifacts are sealed. Whoever does not know the key cannot make bytes that are opened.

mod artifact;
mod cache;
mod key;

pub use artifact::{Artifact, Hash};
pub use cache::{Cache, CacheError};
pub use key::{Key, OpenError};
