//! HTTP/2 towards gateways, on the h2 crate: connections that carry many streams.
//!
//! | module | what it does |
//! |---|---|
//! | [`pool`] | one worker's connections to one gateway, and which of them takes a stream |
//! | [`connection`] | one connection: its streams, its limits, its end |
//! | `open`, `driver` | how it begins; the task that reads and writes it |
//! | `pings` | whether a silent connection is still there |
//! | [`stream`], `upload` | one exchange: its request as it is sent, its response as it comes |
//! | `encode`, `decode` | the heads of requests and responses |
//! | `io` | what passes over the transport |

mod connection;
mod decode;
mod driver;
mod encode;
mod io;
mod open;
mod pings;
mod pool;
mod stream;
mod upload;

pub(super) use connection::{Connection, Terms};
pub(super) use encode::Named;
pub(super) use open::connect;
pub(super) use pool::{Opening, StreamPool};
pub(super) use stream::Stream;
