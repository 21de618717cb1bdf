//! Rehearsing: decisions by a configuration that is not active, about requests that were or that might be.
//!
//! Every decision is made by [`decide`](crate::decide::decide) over a [`RoutingTable`](crate::table::RoutingTable) that the publisher
//! has built, as for a request. Only the health of the gateways is an input here.
//!
//! | module | what it does |
//! |---|---|
//! | `blocks`, `entry` | an access log in bounded memory, and what is read of its lines |
//! | `estimate` | estimated round trips, and their distribution |
//! | [`replay`] | decides the entries of an access log again |
//! | [`simulate`] | decides a population of clients while regions are lost and return |

mod blocks;
mod entry;
mod estimate;
pub mod replay;
pub mod simulate;

pub use crate::control::basis::Basis;
