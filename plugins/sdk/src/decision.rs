//! The answer.

use crate::region::Slot;
use crate::setup::{Reason, RequestHeader};

/// The order in which regions are tried, as far as the plugin cares; the others follow in the order of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    pub(crate) order: Vec<u8>,
    pub(crate) only: bool,
    pub(crate) reject: Option<u16>,
    pub(crate) affinity: Affinity,
    pub(crate) headers: Vec<(RequestHeader, String)>,
    pub(crate) reason: u16,
}

/// Whether session affinity applies to a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Affinity {
    /// As the service is configured.
    #[default]
    Configured,
    /// It does not: the plugin's order holds as it is, and the client gets no cookie.
    Off,
    /// It does: also for services whose affinity waits for the plugin.
    On,
}

impl Decision {
    /// The order of the host is right.
    pub fn no_opinion() -> Self {
        Self::order([])
    }

    /// This region before all others.
    pub fn first(slot: Slot) -> Self {
        Self::order([slot])
    }

    /// These regions before all others. What may not answer is dropped by the host.
    pub fn order(slots: impl IntoIterator<Item = Slot>) -> Self {
        Self {
            order: slots.into_iter().map(|slot| slot.0).collect(),
            only: false,
            reject: None,
            affinity: Affinity::Configured,
            headers: Vec::new(),
            reason: 0,
        }
    }

    /// The request is answered with this status. A status that its route does not allow (`routes[].plugin_statuses`) is a
    /// fault, and the request is sent on in the order of the host.
    pub fn reject(status: u16) -> Self {
        Self {
            reject: Some(status),
            ..Self::no_opinion()
        }
    }

    /// The same decision, with a reason for logs, metrics and explanations.
    #[must_use]
    pub fn because(mut self, reason: Reason) -> Self {
        self.reason = reason.0;
        self
    }

    /// The same decision, and no other region may be tried, even when these fail.
    #[must_use]
    pub fn only(mut self) -> Self {
        self.only = true;
        self
    }

    /// The same decision, and session affinity applies so.
    #[must_use]
    pub fn affinity(mut self, affinity: Affinity) -> Self {
        self.affinity = affinity;
        self
    }

    /// The same decision, with this request header for the gateway: at most 1024 bytes of visible ASCII, with blanks only
    /// inside. Anything else is a fault.
    #[must_use]
    pub fn header(mut self, header: RequestHeader, value: impl Into<String>) -> Self {
        self.headers.push((header, value.into()));
        self
    }

    /// The regions in order.
    pub fn slots(&self) -> impl ExactSizeIterator<Item = Slot> {
        self.order.iter().copied().map(Slot)
    }
}
