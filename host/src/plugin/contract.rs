//! The contract `portolan:routing` (`plugins/wit/routing.wit`) in Rust: what travels into a guest and back.

use wasmtime::component::{ComponentType, Lift, Lower};

/// The package whose interfaces a plugin imports and exports.
pub(super) const PACKAGE: &str = "portolan:routing";
/// The major and minor version that this host speaks. Patch versions add nothing that could not be left out.
pub(super) const VERSION: (u64, u64) = (0, 1);
/// What the host offers.
pub(super) const HOST: &str = "portolan:routing/host@0.1.0";
/// What a plugin offers.
pub(super) const PLUGIN: &str = "portolan:routing/plugin@0.1.0";

/// Bits of `inputs`.
pub(super) mod inputs {
    pub(in super::super) const HOST: u32 = 1;
    pub(in super::super) const PATH: u32 = 1 << 1;
    pub(in super::super) const NET: u32 = 1 << 2;
    pub(in super::super) const COUNTRY: u32 = 1 << 3;
    pub(in super::super) const FIELDS: u32 = 1 << 4;
    pub(in super::super) const METHOD: u32 = 1 << 5;
    pub(in super::super) const POINT: u32 = 1 << 6;
    pub(in super::super) const ASN: u32 = 1 << 7;
    pub(in super::super) const PROTOCOL: u32 = 1 << 8;
    /// All that have a meaning.
    pub(in super::super) const ALL: u32 = (1 << 9) - 1;
}

/// Bit of `action`: nothing follows the regions that are named.
pub(super) const ONLY: u16 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ComponentType, Lower)]
#[component(enum)]
#[repr(u8)]
pub(super) enum HttpMethod {
    #[component(name = "get")]
    Get,
    #[component(name = "head")]
    Head,
    #[component(name = "post")]
    Post,
    #[component(name = "put")]
    Put,
    #[component(name = "delete")]
    Delete,
    #[component(name = "options")]
    Options,
    #[component(name = "patch")]
    Patch,
    #[component(name = "other")]
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ComponentType, Lower)]
#[component(enum)]
#[repr(u8)]
pub(super) enum Protocol {
    #[component(name = "http1")]
    Http1,
    #[component(name = "http2")]
    Http2,
    #[component(name = "http3")]
    Http3,
}

#[derive(Clone, Debug, PartialEq, ComponentType, Lower)]
#[component(record)]
pub(super) struct Region {
    pub(super) name: String,
    pub(super) country: u16,
    pub(super) state: u32,
    pub(super) latitude: f32,
    pub(super) longitude: f32,
    #[component(name = "rtt-us")]
    pub(super) rtt_us: u32,
    #[component(name = "share-permille")]
    pub(super) share_permille: u32,
    #[component(name = "max-requests")]
    pub(super) max_requests: u32,
    pub(super) priority: u32,
    pub(super) weight: u32,
}

#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(record)]
pub(super) struct Snapshot<'a> {
    pub(super) generation: u64,
    pub(super) service: &'a str,
    pub(super) regions: &'a [Region],
}

#[derive(Clone, Debug, Default, PartialEq, Eq, ComponentType, Lift)]
#[component(record)]
pub(super) struct Setup {
    pub(super) needs: u32,
    pub(super) headers: Vec<String>,
    pub(super) vary: Option<u32>,
    pub(super) reasons: Vec<String>,
    pub(super) counters: Vec<String>,
}

/// Sixteen flat values: the most that is passed without going through the guest's memory.
#[derive(Clone, Copy, Debug, ComponentType, Lower)]
#[component(record)]
pub(super) struct Request<'a> {
    pub(super) method: HttpMethod,
    pub(super) protocol: Protocol,
    pub(super) host: &'a str,
    pub(super) path: &'a str,
    pub(super) fields: &'a str,
    pub(super) country: u16,
    pub(super) asn: u32,
    pub(super) latitude: f32,
    pub(super) longitude: f32,
    pub(super) net: u64,
    pub(super) roll: u32,
    #[component(name = "native-first4")]
    pub(super) native_first4: u32,
    #[component(name = "native-next4")]
    pub(super) native_next4: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift)]
#[component(record)]
pub(super) struct Decision {
    pub(super) first4: u32,
    pub(super) next4: u32,
    pub(super) reason: u16,
    pub(super) action: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[allow(dead_code, reason = "made from what guests say")]
pub(super) enum Level {
    #[component(name = "trace")]
    Trace,
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
}

/// An order of regions as the contract's two words.
pub(super) fn pack(order: [u8; 8]) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = order;
    (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]))
}

/// The contract's two words as an order of regions.
pub(super) fn unpack(first4: u32, next4: u32) -> [u8; 8] {
    let [a, b, c, d] = first4.to_le_bytes();
    let [e, f, g, h] = next4.to_le_bytes();
    [a, b, c, d, e, f, g, h]
}
