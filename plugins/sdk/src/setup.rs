//! What a plugin wants to be handed, and names for what it says.

use crate::host;
use std::ops::BitOr;

/// Filled in by [`Plugin::configure`](crate::Plugin::configure). Starts out wanting nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Setup {
    pub(crate) needs: Inputs,
    pub(crate) vary: Option<Inputs>,
    pub(crate) fields: Vec<String>,
    pub(crate) reasons: Vec<String>,
    pub(crate) counters: Vec<String>,
    pub(crate) request_headers: Vec<String>,
}

/// Names of fields that are not request headers, for [`Setup::field`].
pub mod field {
    /// The method as sent, where [`Method`](crate::Method) is `Other` too.
    pub const METHOD: &str = ":method";
    /// `http` or `https`, as the client sees it.
    pub const SCHEME: &str = ":scheme";
    /// The host that is asked for, in lower case, without port.
    pub const HOST: &str = ":host";
    /// Without the query.
    pub const PATH: &str = ":path";
    /// Without the question mark.
    pub const QUERY: &str = ":query";
    /// `1.0`, `1.1`, `2` or `3`.
    pub const HTTP_VERSION: &str = ":http-version";
    /// The name that the client asked for in its TLS handshake (SNI), in lower case.
    pub const TLS_SERVER_NAME: &str = ":tls-server-name";
    /// The subject of the client's verified certificate, such as `O=Example, CN=ops`.
    pub const CLIENT_CERT_SUBJECT: &str = ":client-cert-subject";
    /// The DNS names, URIs and addresses of the client's verified certificate, joined by `, `.
    pub const CLIENT_CERT_NAMES: &str = ":client-cert-names";
    /// The client's country as two letters.
    pub const CLIENT_COUNTRY: &str = ":client-country";
    /// The service of a call of gRPC: `shop.Cart` of `/shop.Cart/Add`.
    pub const GRPC_SERVICE: &str = ":grpc-service";
    /// The method of a call of gRPC: `Add` of `/shop.Cart/Add`.
    pub const GRPC_METHOD: &str = ":grpc-method";
}

impl Setup {
    /// Asks for these members of a request; the others stay empty. Adds to what was asked for before.
    pub fn needs(&mut self, inputs: Inputs) {
        self.needs = self.needs | inputs;
    }

    /// Asks for a request header, or for one of [`field`] (at most 32 of both).
    pub fn field(&mut self, name: &str) -> Field {
        self.needs(Inputs::FIELDS);
        Field(push(&mut self.fields, name.to_ascii_lowercase()))
    }

    /// Names a request header that decisions set for the gateway (at most 4). What clients send under this name is removed.
    /// Headers of the connection, of the message's framing, `host` and those that say who the client is are not allowed.
    pub fn request_header(&mut self, name: &str) -> RequestHeader {
        let place = push(&mut self.request_headers, name.to_ascii_lowercase());
        RequestHeader(u8::try_from(place).unwrap_or(u8::MAX))
    }

    /// Promises that the answer depends on nothing but these inputs, the regions and the order of the host, so that
    /// Portolan may remember answers instead of asking again. Not for plugins that use
    /// [`Request::roll`](crate::Request) or [`host::header`].
    pub fn vary(&mut self, inputs: Inputs) {
        self.vary = Some(inputs);
    }

    /// Names a reason for decisions (at most 32): 1 to 32 of `a-z0-9-_`.
    pub fn reason(&mut self, name: &str) -> Reason {
        Reason(push(&mut self.reasons, name.to_owned()) + 1)
    }

    /// Names a counter (at most 16), which appears among Portolan's metrics: 1 to 32 of `a-z0-9-_`.
    pub fn counter(&mut self, name: &str) -> Counter {
        Counter(push(&mut self.counters, name.to_owned()).into())
    }
}

/// Appends and says where. The host refuses a setup with too many names, long before a `u16` ends.
fn push(names: &mut Vec<String>, name: String) -> u16 {
    names.push(name);
    u16::try_from(names.len() - 1).unwrap_or(u16::MAX)
}

/// A set of members of [`Request`](crate::Request).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Inputs(pub(crate) u16);

impl Inputs {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// The declared fields.
    pub const FIELDS: Self = Self(1);
    /// `method`, which is always handed over.
    pub const METHOD: Self = Self(1 << 1);
    /// `country`.
    pub const COUNTRY: Self = Self(1 << 2);
    /// `point`.
    pub const POINT: Self = Self(1 << 3);
    /// `asn`.
    pub const ASN: Self = Self(1 << 4);
    /// `net`.
    pub const NET: Self = Self(1 << 5);
    /// `minute`.
    pub const MINUTE: Self = Self(1 << 6);
    /// Round trips from the client, in [`Request::estimates`](crate::Request::estimates).
    pub const ROUND_TRIPS: Self = Self(1 << 7);
    /// Requests in flight, in [`Request::estimates`](crate::Request::estimates).
    pub const LOAD: Self = Self(1 << 8);
}

impl BitOr for Inputs {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// A field the plugin asked for; see [`Request::field`](crate::Request::field).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field(pub(crate) u16);

/// A request header the plugin may set; see [`Decision::header`](crate::Decision::header).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHeader(pub(crate) u8);

/// A named reason; see [`Decision::because`](crate::Decision::because).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason(pub(crate) u16);

/// A named counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counter(pub(crate) u32);

impl Counter {
    /// Adds to the counter.
    pub fn add(self, delta: u32) {
        host::count(self, delta);
    }
}
