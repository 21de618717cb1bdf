//! The upstream side: gateways, the connections to them, and what is sent.
//!
//! | module | what it does |
//! |---|---|
//! | [`target`] | a gateway made ready when the routing table is built |
//! | [`resolve`] | where names lead, kept fresh |
//! | [`forward`], `race` | carries out an attempt plan; attempts beside each other |
//! | [`budget`] | how many extra attempts there may be |
//! | [`request`], [`replay`] | what is sent: the head, and a body that can be sent again |
//! | [`connections`], `connection` | one worker's connections, each speaking HTTP/1.1 |
//! | `upload`, `response`, `chunks`, `fields` | the parts of that: writing, reading, the chunked coding, what ends here |
//! | [`body`] | response bodies on their way to the client |

pub mod body;
pub mod budget;
mod chunks;
mod connection;
pub mod connections;
mod fields;
pub mod forward;
mod idle;
mod race;
pub mod replay;
pub mod request;
pub mod resolve;
mod response;
pub mod target;
mod upload;

pub use body::UpstreamBody;
pub use budget::SharedBudget;
pub use connections::Connections;
pub use forward::{ForwardError, Forwarded, Forwarder};
pub use replay::ReplayBody;
pub use request::{Forwarding, Outbound};
pub use resolve::Resolver;
pub use target::GatewayTarget;
