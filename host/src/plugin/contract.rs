//! The contract `portolan:routing` (`plugins/wit`) in Rust: what travels into a guest and back, for each minor version that the host
//! speaks. Records do not change within a minor version, so each has types of its own; which one a plugin was built for is what
//! it exports.

pub(super) mod v01;
pub(super) mod v02;

use wasmtime::component::{ComponentType, Lift, Lower};

/// The package whose interfaces a plugin imports and exports.
pub(super) const PACKAGE: &str = "portolan:routing";

/// A minor version of the contract. Patch versions add nothing that could not be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Minor {
    V01,
    V02,
}

impl Minor {
    /// All that this host speaks, the newest last.
    pub(super) const ALL: [Self; 2] = [Self::V01, Self::V02];

    /// The one of these numbers.
    pub(super) fn of(major: u64, minor: u64) -> Option<Self> {
        match (major, minor) {
            (0, 1) => Some(Self::V01),
            (0, 2) => Some(Self::V02),
            _ => None,
        }
    }

    /// The interface that the host offers.
    pub(super) fn host(self) -> &'static str {
        match self {
            Self::V01 => "portolan:routing/host@0.1.0",
            Self::V02 => "portolan:routing/host@0.2.0",
        }
    }

    /// The interface that a plugin offers.
    pub(super) fn plugin(self) -> &'static str {
        match self {
            Self::V01 => "portolan:routing/plugin@0.1.0",
            Self::V02 => "portolan:routing/plugin@0.2.0",
        }
    }
}

/// Inputs of a request as bits: those of `inputs` in 0.1, then those that came with 0.2.
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
    /// All that have a meaning in 0.1.
    pub(in super::super) const V01: u32 = (1 << 9) - 1;
    pub(in super::super) const MINUTE: u32 = 1 << 9;
    pub(in super::super) const ROUND_TRIPS: u32 = 1 << 10;
    pub(in super::super) const LOAD: u32 = 1 << 11;
    /// What a plugin has without asking for it.
    pub(in super::super) const ALWAYS: u32 = METHOD | PROTOCOL;
}

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

/// What a plugin asks for, in either version, before it is checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct AskedFor {
    /// Bits of [`inputs`]; perhaps others, which are a mistake.
    pub(super) needs: u32,
    pub(super) fields: Vec<String>,
    pub(super) vary: Option<u32>,
    pub(super) reasons: Vec<String>,
    pub(super) counters: Vec<String>,
    pub(super) request_headers: Vec<String>,
    /// Whether `fields` may have names that begin with a colon.
    pub(super) has_pseudo_fields: bool,
}

/// A plugin's answer, in either version, before it is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) order: Order,
    pub(super) only: bool,
    pub(super) reject: Option<u16>,
    pub(super) affinity: v02::Affinity,
    pub(super) headers: Vec<v02::HeaderValue>,
    pub(super) reason: u16,
}

/// The regions that an answer names, best first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Of 0.1: ended by [`v01::END`], or eight.
    Eight([u8; 8]),
    /// Of 0.2.
    List(Vec<u8>),
}

impl Order {
    /// What it names.
    pub(super) fn named(&self) -> &[u8] {
        match self {
            Self::Eight(eight) => {
                let end = eight.iter().position(|slot| *slot == v01::END);
                &eight[..end.unwrap_or(eight.len())]
            }
            Self::List(list) => list,
        }
    }
}
