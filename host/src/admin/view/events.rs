//! The events.

use crate::control::events::Event;
use serde::{Deserialize, Serialize};

/// `GET /api/v1/events`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventList {
    /// The number of the latest event: what to ask for next is `since` this.
    pub latest: u64,
    /// Those after the number that was asked for, the earliest first. Only the last 1,000 are kept.
    pub events: Vec<Event>,
}
