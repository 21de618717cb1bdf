//! HTTP/1.1 towards gateways.
//!
//! | module | what it does |
//! |---|---|
//! | [`connection`] | one connection: an exchange at a time, polled by its user |
//! | [`encode`] | the head of a request |
//! | `upload` | the request as it is written |
//! | [`response`] | the head of a response, parsed and checked |

mod connection;
pub(super) mod encode;
mod response;
mod upload;

pub(super) use connection::{Connection, Idle};
pub(super) use encode::Persistence;
