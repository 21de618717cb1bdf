//! What must hold.

pub(crate) mod affinity;
pub(crate) mod http1;
pub(crate) mod identity;
pub(crate) mod location;
pub(crate) mod proxy_protocol;
pub(crate) mod request;
pub(crate) mod service_tags;
pub(crate) mod yaml;
