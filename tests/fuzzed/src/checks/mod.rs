//! What must hold.

pub(crate) mod http1;
pub(crate) mod identity;
pub(crate) mod location;
pub(crate) mod request;
pub(crate) mod yaml;
