//! The file format of overrides.

use super::moment;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::SystemTime;

/// The time and origin of an operator's order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ordered {
    /// When.
    #[serde(with = "moment")]
    pub since: SystemTime,
    /// Who asked the administration: an address, with the subject of a client certificate where there was one, or the user of
    /// a Unix socket.
    pub from: String,
}

impl Ordered {
    /// Ordered now.
    pub fn now(from: String) -> Self {
        Self {
            since: SystemTime::now(),
            from,
        }
    }
}

/// All overrides, as the state directory has them.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Record {
    pub(super) drains: BTreeMap<String, Ordered>,
    pub(super) rollbacks: BTreeMap<String, RollBackRecord>,
}

/// A rollback; its component is kept in the same directory.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RollBackRecord {
    pub(super) configured: String,
    pub(super) active: String,
    #[serde(flatten)]
    pub(super) ordered: Ordered,
}

impl Record {
    /// The digests of the components that are needed.
    pub(super) fn components(&self) -> impl Iterator<Item = &str> {
        self.rollbacks.values().map(|record| record.active.as_str())
    }
}
