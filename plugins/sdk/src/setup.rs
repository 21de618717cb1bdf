//! What a plugin wants to be handed, and names for what it says.

use crate::host;
use std::ops::BitOr;

/// Filled in by [`Plugin::configure`](crate::Plugin::configure). Starts out wanting nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Setup {
    pub(crate) needs: Inputs,
    pub(crate) vary: Option<Inputs>,
    pub(crate) headers: Vec<String>,
    pub(crate) reasons: Vec<String>,
    pub(crate) counters: Vec<String>,
}

impl Setup {
    /// Asks for these members of a request; the others stay empty. Adds to what was asked for before.
    pub fn needs(&mut self, inputs: Inputs) {
        self.needs = self.needs | inputs;
    }

    /// Asks for a request header (at most 16 of them).
    pub fn header(&mut self, name: &str) -> Header {
        self.needs(Inputs::HEADERS);
        Header(push(&mut self.headers, name.to_ascii_lowercase()))
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
pub struct Inputs(pub(crate) u32);

impl Inputs {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// `host`.
    pub const HOST: Self = Self(1);
    /// `path`.
    pub const PATH: Self = Self(1 << 1);
    /// `net`.
    pub const NET: Self = Self(1 << 2);
    /// `country`.
    pub const COUNTRY: Self = Self(1 << 3);
    /// The declared headers.
    pub const HEADERS: Self = Self(1 << 4);
    /// `method`, which is always handed over.
    pub const METHOD: Self = Self(1 << 5);
    /// `point`.
    pub const POINT: Self = Self(1 << 6);
    /// `asn`.
    pub const ASN: Self = Self(1 << 7);
    /// `protocol`, which is always handed over.
    pub const PROTOCOL: Self = Self(1 << 8);
}

impl BitOr for Inputs {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// A request header the plugin asked for; see [`Request::header`](crate::Request::header).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header(pub(crate) u16);

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
