//! Portolan.
