//! Origins: the three members of each that are managed here, as desired and as observed.

use portolan_core::id::RegionName;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use thiserror::Error;

/// A number outside the range that the service accepts.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{what} is {value}, it must be {low} to {high}")]
pub struct OutOfRange {
    what: &'static str,
    value: u32,
    low: u32,
    high: u32,
}

macro_rules! ranged {
    ($(#[$doc:meta])* $name:ident($inner:ty), $what:literal, $low:literal..=$high:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "u32", into = "u32")]
        pub struct $name($inner);

        impl $name {
            /// Checks the range.
            ///
            /// # Errors
            /// When the number is out of range.
            pub fn new(value: u32) -> Result<Self, OutOfRange> {
                match <$inner>::try_from(value) {
                    Ok(inner) if ($low..=$high).contains(&inner) => Ok(Self(inner)),
                    _ => Err(OutOfRange { what: $what, value, low: $low, high: $high }),
                }
            }

            /// The number.
            pub fn get(self) -> $inner {
                self.0
            }
        }

        impl TryFrom<u32> for $name {
            type Error = OutOfRange;
            fn try_from(value: u32) -> Result<Self, OutOfRange> {
                Self::new(value)
            }
        }

        impl From<$name> for u32 {
            fn from(value: $name) -> u32 {
                value.0.into()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

ranged! {
    /// Which origins are tried first: 1 is first, 5 is last.
    Priority(u8), "priority", 1..=5
}
ranged! {
    /// Share among origins of the same priority, 1 to 1000.
    Weight(u16), "weight", 1..=1000
}

impl Priority {
    /// Tried first.
    pub const FIRST: Self = Self(1);
    /// Tried last: where a demoted origin goes. It still serves when all better ones fail.
    pub const LAST: Self = Self(5);
}

impl Weight {
    /// The service's default.
    pub const DEFAULT: Self = Self(50);
}

/// The members of an origin that are managed here. No other member is ever written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OriginState {
    /// Which origins are tried first.
    pub priority: Priority,
    /// Share among equals.
    pub weight: Weight,
    /// Whether it gets traffic at all.
    pub enabled: bool,
}

impl Default for OriginState {
    fn default() -> Self {
        Self {
            priority: Priority::FIRST,
            weight: Weight::DEFAULT,
            enabled: true,
        }
    }
}

impl OriginState {
    /// The same origin, tried last.
    #[must_use]
    pub fn demoted(self) -> Self {
        Self {
            priority: Priority::LAST,
            ..self
        }
    }

    /// The same origin without traffic.
    #[must_use]
    pub fn disabled(self) -> Self {
        Self { enabled: false, ..self }
    }
}

/// Some or all of the three members, as the service shows them or as a change sets them. Members that were never set are
/// `None`; the service writes them as null.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Members {
    /// Priority, also when it is out of the documented range.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<u32>,
    /// Weight, also when it is out of the documented range.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// Whether it is enabled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

impl Members {
    /// Whether all three are as wanted.
    pub fn are(&self, wanted: &OriginState) -> bool {
        *self == Self::from(*wanted)
    }
}

impl From<OriginState> for Members {
    fn from(state: OriginState) -> Self {
        Self {
            priority: Some(state.priority.into()),
            weight: Some(state.weight.into()),
            enabled: Some(state.enabled),
        }
    }
}

/// The control plane's provisioning state of an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Provisioning {
    /// The last change was accepted. Edges may follow up to 20 minutes later.
    Succeeded,
    /// The last change failed.
    Failed,
    /// A change is in progress: nothing may be sent now.
    Running,
}

/// One origin as read.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ObservedOrigin {
    /// The three members that are managed here.
    pub members: Members,
    /// The control plane's provisioning state.
    pub provisioning: Provisioning,
    /// All other members that are set, by name: only compared, to report changes by other clients.
    pub rest: BTreeMap<String, serde_json::Value>,
}

/// An origin group (a backend pool of the classic Front Door) as read: all its origins, configured here or not, by name in
/// lower case, since the service compares names so.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Observed {
    /// The origins by [`key`].
    pub origins: BTreeMap<String, ObservedOrigin>,
}

/// The name by which an origin is found in [`Observed::origins`].
pub fn key(name: &str) -> String {
    name.to_ascii_lowercase()
}

impl Observed {
    /// The origin of this name.
    pub fn get(&self, name: &str) -> Option<&ObservedOrigin> {
        self.origins.get(&key(name))
    }

    /// Whether a change is in progress on any origin of the group.
    pub fn busy(&self) -> bool {
        self.origins
            .values()
            .any(|origin| origin.provisioning == Provisioning::Running)
    }
}

/// A configured origin: its region, and its state when the region is healthy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Baseline {
    /// The region.
    pub region: RegionName,
    /// The origin's name (classic: the backend's address).
    pub origin: String,
    /// Its members when the region is healthy. From the configuration only: never from the live resource, which a leader may
    /// have changed.
    pub state: OriginState,
}
