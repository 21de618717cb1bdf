//! `portolan:routing@0.2.0`.

use super::{Answer, AskedFor, HttpMethod, Order, inputs};
use wasmtime::component::{ComponentType, Lift, Lower, flags};

#[derive(Clone, Copy, Debug, PartialEq, ComponentType, Lower)]
#[component(record)]
pub(in super::super) struct Point {
    pub(in super::super) latitude: f32,
    pub(in super::super) longitude: f32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lower)]
#[component(enum)]
#[repr(u8)]
pub(in super::super) enum Health {
    #[component(name = "unknown")]
    Unknown,
    #[component(name = "healthy")]
    Healthy,
    #[component(name = "warming")]
    Warming,
    #[component(name = "unhealthy")]
    Unhealthy,
    #[component(name = "draining")]
    Draining,
}

#[derive(Clone, Copy, Debug, PartialEq, ComponentType, Lower)]
#[component(record)]
pub(in super::super) struct Region<'a> {
    pub(in super::super) name: &'a str,
    pub(in super::super) country: u16,
    pub(in super::super) health: Health,
    pub(in super::super) location: Option<Point>,
    #[component(name = "round-trip-us")]
    pub(in super::super) round_trip_us: Option<u32>,
    #[component(name = "share-permille")]
    pub(in super::super) share_permille: u32,
    #[component(name = "max-requests")]
    pub(in super::super) max_requests: Option<u32>,
    pub(in super::super) priority: u32,
    pub(in super::super) weight: u32,
    pub(in super::super) cost: Option<f32>,
    pub(in super::super) tags: &'a [Box<str>],
}

#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(record)]
pub(in super::super) struct Snapshot<'a> {
    pub(in super::super) generation: u64,
    pub(in super::super) service: &'a str,
    pub(in super::super) regions: &'a [Region<'a>],
}

flags! {
    Inputs {
        #[component(name = "fields")]
        const FIELDS;
        #[component(name = "method")]
        const METHOD;
        #[component(name = "country")]
        const COUNTRY;
        #[component(name = "location")]
        const LOCATION;
        #[component(name = "asn")]
        const ASN;
        #[component(name = "net")]
        const NET;
        #[component(name = "minute")]
        const MINUTE;
        #[component(name = "round-trips")]
        const ROUND_TRIPS;
        #[component(name = "load")]
        const LOAD;
    }
}

impl Inputs {
    /// The same as [`inputs`].
    fn bits_of_host(self) -> u32 {
        [
            (Self::FIELDS, inputs::FIELDS),
            (Self::METHOD, inputs::METHOD),
            (Self::COUNTRY, inputs::COUNTRY),
            (Self::LOCATION, inputs::POINT),
            (Self::ASN, inputs::ASN),
            (Self::NET, inputs::NET),
            (Self::MINUTE, inputs::MINUTE),
            (Self::ROUND_TRIPS, inputs::ROUND_TRIPS),
            (Self::LOAD, inputs::LOAD),
        ]
        .into_iter()
        .filter(|(flag, _)| self & *flag == *flag)
        .fold(0, |bits, (_, bit)| bits | bit)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, ComponentType, Lift)]
#[component(record)]
pub(in super::super) struct Setup {
    pub(in super::super) needs: Inputs,
    pub(in super::super) fields: Vec<String>,
    pub(in super::super) vary: Option<Inputs>,
    pub(in super::super) reasons: Vec<String>,
    pub(in super::super) counters: Vec<String>,
    #[component(name = "request-headers")]
    pub(in super::super) request_headers: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ComponentType, Lower)]
#[component(record)]
pub(in super::super) struct Estimate {
    #[component(name = "round-trip-us")]
    pub(in super::super) round_trip_us: u32,
    #[component(name = "in-flight")]
    pub(in super::super) in_flight: u32,
}

/// Sixteen flat values: the most that is passed without going through the guest's memory.
#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(record)]
pub(in super::super) struct Request<'a> {
    pub(in super::super) method: HttpMethod,
    pub(in super::super) fields: &'a str,
    pub(in super::super) eligible: &'a [u8],
    pub(in super::super) estimates: Option<&'a [Estimate]>,
    pub(in super::super) country: u16,
    pub(in super::super) location: Option<Point>,
    pub(in super::super) asn: u32,
    pub(in super::super) net: u64,
    pub(in super::super) minute: u32,
    pub(in super::super) roll: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[allow(dead_code, reason = "made from what guests say")]
pub(in super::super) enum Affinity {
    #[component(name = "configured")]
    Configured,
    #[component(name = "off")]
    Off,
    #[component(name = "on")]
    On,
}

#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift)]
#[component(record)]
pub(in super::super) struct HeaderValue {
    pub(in super::super) header: u8,
    pub(in super::super) value: String,
}

#[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift)]
#[component(record)]
pub(in super::super) struct Decision {
    pub(in super::super) order: Vec<u8>,
    pub(in super::super) only: bool,
    pub(in super::super) reject: Option<u16>,
    pub(in super::super) affinity: Affinity,
    pub(in super::super) headers: Vec<HeaderValue>,
    pub(in super::super) reason: u16,
}

impl From<Setup> for AskedFor {
    fn from(setup: Setup) -> Self {
        Self {
            needs: setup.needs.bits_of_host(),
            fields: setup.fields,
            vary: setup.vary.map(Inputs::bits_of_host),
            reasons: setup.reasons,
            counters: setup.counters,
            request_headers: setup.request_headers,
            has_pseudo_fields: true,
        }
    }
}

impl From<Decision> for Answer {
    fn from(decision: Decision) -> Self {
        Self {
            order: Order::List(decision.order),
            only: decision.only,
            reject: decision.reject,
            affinity: decision.affinity,
            headers: decision.headers,
            reason: decision.reason,
        }
    }
}
