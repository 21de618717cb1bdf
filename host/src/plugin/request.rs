//! A request as the host knows it.

use super::fields::VisibleFields;
use crate::arrival::Arrival;
use http::{Method, Version};
use portolan_core::geo::{Country, Point};
use portolan_core::id::Slot;
use portolan_core::rank::Ranking;
use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, Instant, SystemTime};

/// The inputs of a plugin from a request. Nothing is read that the plugin did not ask for.
#[derive(Clone, Copy)]
pub struct RouteRequest<'a> {
    /// Its method.
    pub method: &'a Method,
    /// The protocol it came by.
    pub version: Version,
    /// The host it is for, lower case, without port.
    pub host: &'a str,
    /// Its path, without query.
    pub path: &'a str,
    /// Its query, without the question mark.
    pub query: &'a str,
    /// Its fields.
    pub fields: VisibleFields<'a>,
    /// The connection it came on; `None` for a hypothetical request.
    pub arrival: Option<&'a Arrival>,
    /// The client's address.
    pub client: IpAddr,
    /// The client's country.
    pub country: Country,
    /// Where the client is.
    pub point: Option<Point>,
    /// The number of the client's autonomous system; 0 is unknown.
    pub asn: u32,
    /// Chance.
    pub roll: u32,
    /// The regions that may answer, in the order that holds without the plugin.
    pub native: &'a Ranking,
    /// What is estimated of a region for it.
    pub estimate: &'a dyn Fn(Slot) -> Estimate,
    /// The statuses with which the plugin may reject it.
    pub statuses: &'a [u16],
    /// When it is.
    pub now: Instant,
    /// The same by the calendar. `None`: the clock is read, where the plugin asks.
    pub time: Option<SystemTime>,
}

/// What is estimated of a region for one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    /// The round trip from the client; `None` is unknown.
    pub round_trip: Option<Duration>,
    /// The requests that the region is working on, of this instance.
    pub in_flight: u32,
}

impl fmt::Debug for RouteRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouteRequest")
            .field("method", self.method)
            .field("host", &self.host)
            .field("path", &self.path)
            .field("client", &self.client)
            .field("native", self.native)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use http::HeaderMap;

    /// What a request of a test is made of.
    pub(in super::super) struct Fake {
        pub(in super::super) method: Method,
        pub(in super::super) version: Version,
        pub(in super::super) host: &'static str,
        pub(in super::super) path: &'static str,
        pub(in super::super) query: &'static str,
        pub(in super::super) headers: HeaderMap,
        pub(in super::super) arrival: Option<Arrival>,
        pub(in super::super) client: IpAddr,
        pub(in super::super) country: Country,
        pub(in super::super) point: Option<Point>,
        pub(in super::super) asn: u32,
        pub(in super::super) roll: u32,
        pub(in super::super) native: Ranking,
        pub(in super::super) statuses: Vec<u16>,
        pub(in super::super) time: SystemTime,
    }

    impl Default for Fake {
        fn default() -> Self {
            Self {
                method: Method::GET,
                version: Version::HTTP_11,
                host: "shop.example.net",
                path: "/",
                query: "",
                headers: HeaderMap::new(),
                arrival: None,
                client: [81, 2, 69, 142].into(),
                country: Country::parse("GB").unwrap_or_default(),
                point: Point::new(51.5, -0.1).ok(),
                asn: 0,
                roll: 0,
                native: [0, 1, 2].map(Slot).into_iter().collect(),
                statuses: Vec::new(),
                time: SystemTime::UNIX_EPOCH,
            }
        }
    }

    /// A round trip of ten milliseconds for each region, and as many requests as its number.
    pub(in super::super) fn estimate(slot: Slot) -> Estimate {
        Estimate {
            round_trip: Some(Duration::from_millis(10 * u64::from(slot.0))),
            in_flight: slot.0.into(),
        }
    }

    impl Fake {
        pub(in super::super) fn request(&self) -> RouteRequest<'_> {
            RouteRequest {
                method: &self.method,
                version: self.version,
                host: self.host,
                path: self.path,
                query: self.query,
                fields: VisibleFields::all(&self.headers),
                arrival: self.arrival.as_ref(),
                client: self.client,
                country: self.country,
                point: self.point,
                asn: self.asn,
                roll: self.roll,
                native: &self.native,
                estimate: &estimate,
                statuses: &self.statuses,
                now: Instant::now(),
                time: Some(self.time),
            }
        }
    }
}
