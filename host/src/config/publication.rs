//! What Azure Front Door is told.

#[cfg(feature = "azure")]
use portolan_azure::settings::{ProbeTiming, Settings};
#[cfg(feature = "azure")]
use portolan_core::id::ServiceName;
#[cfg(feature = "azure")]
use std::sync::Arc;

/// What Azure Front Door is told.
#[cfg(feature = "azure")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrontDoorSettings {
    /// Requests below this path are Front Door's probes, on every listener. It has no slash at its end.
    pub path: Arc<str>,
    /// How the answers to them follow the view.
    pub probe: ProbeTiming,
    /// Whether a probe that asks why is shown all regions and votes.
    pub explains_probes: bool,
    /// What is published. `None` when the mode is off and no Front Door is described.
    pub publication: Option<Publication>,
}

/// What is published.
#[cfg(feature = "azure")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// The service whose regions the origins stand for.
    pub service: ServiceName,
    /// What the publisher is told. They hold no mistakes. The mode may be off.
    pub settings: Settings,
}

/// What Azure Front Door is told by a program without Azure: nothing, ever.
#[cfg(not(feature = "azure"))]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FrontDoorSettings {}
