//! The upstream side: gateways, the connections to them, and what is sent.
//!
//! | module | what it does |
//! |---|---|
//! | [`target`] | a gateway made ready when the routing table is built |
//! | [`resolve`] | where names lead, kept fresh |
//! | [`headers`] | what becomes of a message's fields |
//! | [`replay`] | request bodies that can be sent again |
//! | [`connections`] | one worker's connections |
//! | [`forward`] | carries out an attempt plan |
//! | [`body`] | response bodies on their way to the client |

pub mod body;
mod connection;
pub mod connections;
pub mod forward;
pub mod headers;
mod idle;
pub mod replay;
pub mod resolve;
pub mod target;
#[cfg(test)]
mod tests;

pub use body::UpstreamBody;
pub use connections::Connections;
pub use forward::{ForwardError, Forwarded, Forwarder};
pub use headers::{Forwarding, prepare_request};
pub use replay::ReplayBody;
pub use resolve::Resolver;
pub use target::GatewayTarget;
