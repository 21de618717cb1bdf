//! The regions' health as this instance sees it.

use portolan_core::health::State;
use portolan_core::id::RegionName;
use tokio::time::Instant;

/// One region as this instance sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegionHealth {
    /// The region.
    pub region: RegionName,
    /// The state. [`State::Unknown`] and [`State::Warming`] are no vote, neither for nor against.
    pub state: State,
    /// Since when, by the monotonic clock, which steps of the wall clock do not change.
    pub since: Instant,
    /// The evidence, for operators: `probe timed out`, `5 connection failures`.
    pub evidence: String,
}

/// All regions as this instance sees them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalView {
    /// The regions that have an origin.
    pub regions: Vec<RegionHealth>,
    /// Whether this instance reaches no gateway at all: it then doubts its own network.
    pub isolated: bool,
}

/// The state of that name, as [`State::as_str`] writes it.
pub fn state_named(name: &str) -> Option<State> {
    [
        State::Unknown,
        State::Healthy,
        State::Warming,
        State::Unhealthy,
        State::Draining,
    ]
    .into_iter()
    .find(|state| state.as_str() == name)
}
