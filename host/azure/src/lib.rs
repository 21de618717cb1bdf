//! Portolan.

#[cfg(feature = "fakes")]
pub mod fakes;
