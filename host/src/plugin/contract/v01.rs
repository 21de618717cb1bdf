//! `portolan:routing@0.1.0`.

use super::{Answer, AskedFor, HttpMethod, Order, v02};
use wasmtime::component::{ComponentType, Lift, Lower};

/// Ends an order.
pub(in super::super) const END: u8 = 0xff;

/// Bit of `action`: nothing follows the regions that are named.
pub(in super::super) const ONLY: u16 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ComponentType, Lower)]
#[component(enum)]
#[repr(u8)]
pub(in super::super) enum Protocol {
    #[component(name = "http1")]
    Http1,
    #[component(name = "http2")]
    Http2,
    #[component(name = "http3")]
    Http3,
}

#[derive(Clone, Copy, Debug, PartialEq, ComponentType, Lower)]
#[component(record)]
pub(in super::super) struct Region<'a> {
    pub(in super::super) name: &'a str,
    pub(in super::super) country: u16,
    pub(in super::super) state: u32,
    pub(in super::super) latitude: f32,
    pub(in super::super) longitude: f32,
    #[component(name = "rtt-us")]
    pub(in super::super) rtt_us: u32,
    #[component(name = "share-permille")]
    pub(in super::super) share_permille: u32,
    #[component(name = "max-requests")]
    pub(in super::super) max_requests: u32,
    pub(in super::super) priority: u32,
    pub(in super::super) weight: u32,
}

#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(record)]
pub(in super::super) struct Snapshot<'a> {
    pub(in super::super) generation: u64,
    pub(in super::super) service: &'a str,
    pub(in super::super) regions: &'a [Region<'a>],
}

#[derive(Clone, Debug, Default, PartialEq, Eq, ComponentType, Lift)]
#[component(record)]
pub(in super::super) struct Setup {
    pub(in super::super) needs: u32,
    pub(in super::super) headers: Vec<String>,
    pub(in super::super) vary: Option<u32>,
    pub(in super::super) reasons: Vec<String>,
    pub(in super::super) counters: Vec<String>,
}

/// Sixteen flat values: the most that is passed without going through the guest's memory.
#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(record)]
pub(in super::super) struct Request<'a> {
    pub(in super::super) method: HttpMethod,
    pub(in super::super) protocol: Protocol,
    pub(in super::super) host: &'a str,
    pub(in super::super) path: &'a str,
    pub(in super::super) fields: &'a str,
    pub(in super::super) country: u16,
    pub(in super::super) asn: u32,
    pub(in super::super) latitude: f32,
    pub(in super::super) longitude: f32,
    pub(in super::super) net: u64,
    pub(in super::super) roll: u32,
    #[component(name = "native-first4")]
    pub(in super::super) native_first4: u32,
    #[component(name = "native-next4")]
    pub(in super::super) native_next4: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift)]
#[component(record)]
pub(in super::super) struct Decision {
    pub(in super::super) first4: u32,
    pub(in super::super) next4: u32,
    pub(in super::super) reason: u16,
    pub(in super::super) action: u16,
}

impl From<Setup> for AskedFor {
    fn from(setup: Setup) -> Self {
        Self {
            needs: setup.needs,
            fields: setup.headers,
            vary: setup.vary,
            reasons: setup.reasons,
            counters: setup.counters,
            ..Self::default()
        }
    }
}

impl From<Decision> for Answer {
    fn from(decision: Decision) -> Self {
        Self {
            order: Order::Eight(unpack(decision.first4, decision.next4)),
            only: decision.action & ONLY != 0,
            reject: None,
            affinity: v02::Affinity::Configured,
            headers: Vec::new(),
            reason: decision.reason,
        }
    }
}

/// An order of regions as the contract's two words.
pub(in super::super) fn pack(order: impl IntoIterator<Item = u8>) -> (u32, u32) {
    let mut eight = [END; 8];
    for (place, slot) in eight.iter_mut().zip(order) {
        *place = slot;
    }
    let [a, b, c, d, e, f, g, h] = eight;
    (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]))
}

/// The contract's two words as an order of regions.
fn unpack(first4: u32, next4: u32) -> [u8; 8] {
    let [a, b, c, d] = first4.to_le_bytes();
    let [e, f, g, h] = next4.to_le_bytes();
    [a, b, c, d, e, f, g, h]
}
