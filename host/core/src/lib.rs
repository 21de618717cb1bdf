//! The decision core of Portolan: which region answers a request, and what to try next when it does not.
//!
//! Everything here is pure and synchronous. Time and chance are arguments, so that a decision found in a log can be
//! made again in a test. Files, sockets, guests and clocks live in the crate `portolan` above.
//!
//! In reading order:
//!
//! | module | what it decides |
//! |---|---|
//! | [`id`] | names and indexes |
//! | [`chance`] | numbers from a roll |
//! | [`slots`] | sets of a service's regions as one machine word |
//! | [`geo`] | points, countries, places on the globe |
//! | [`proximity`] | how close a region is to a place |
//! | [`round_trip`] | how close a gateway is to this instance, as measured |
//! | [`nearest`] | the order of regions by that |
//! | [`grpc`] | which requests are calls of gRPC, how they end, and the time they have |
//! | [`config`] | services, gateways, policies, validated |
//! | [`networks`] | sets of networks |
//! | [`proxy_protocol`] | whose connection a proxy passes on |
//! | [`identity`] | who the client is |
//! | [`certificate`] | what a client proves by its certificate |
//! | [`access`] | who may use a route |
//! | [`admission`] | which requests are shed |
//! | [`rate_limit`] | how many requests a client may send in a time |
//! | [`route`] | which service a request is for |
//! | [`chart`] | for every place, a service's regions by preference, prepared |
//! | [`learned`] | for client prefixes, another order where measured round trips say so |
//! | [`health`] | what is known of the gateways |
//! | [`endpoint`] | which of a gateway's addresses get new connections |
//! | [`reuse`] | how long an idle connection may still be used |
//! | [`candidates`] | which regions may answer, and why the others may not |
//! | [`rank`] | their order |
//! | [`capacity`] | how much of the traffic each takes |
//! | [`affinity`] | which region a session stays with |
//! | [`budget`] | how many extra attempts are affordable |
//! | [`steer`] | whether a client is sent to a region's own endpoint |
//! | [`rollout`] | whether a new plugin version decides for more clients, or is rolled back |
//! | [`drill`] | whether a region may be lost in a drill, and when that has to end |
//! | [`plan`] | what to try, and what to try after a failure |
//! | [`decision`] | all of it as one value that explains itself |

#![cfg_attr(not(test), warn(clippy::unwrap_used))]
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests begin at some moment"))]

pub mod access;
pub mod admission;
pub mod affinity;
pub mod budget;
pub mod candidates;
pub mod capacity;
pub mod certificate;
pub mod chance;
pub mod chart;
pub mod config;
pub mod decision;
pub mod drill;
pub mod endpoint;
pub mod geo;
pub mod grpc;
pub mod health;
pub mod id;
pub mod identity;
pub mod learned;
pub mod nearest;
pub mod networks;
pub mod plan;
pub mod proximity;
pub mod proxy_protocol;
pub mod rank;
pub mod rate_limit;
pub mod reuse;
pub mod rollout;
pub mod round_trip;
pub mod route;
pub mod slots;
pub mod steer;
pub mod tls;
pub mod trace;
