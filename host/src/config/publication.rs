//! What is published to Azure Front Door.

#[cfg(feature = "azure")]
use portolan_azure::settings::{ProbeTiming, Settings};
#[cfg(feature = "azure")]
use portolan_core::id::ServiceName;
#[cfg(feature = "azure")]
use std::sync::Arc;

/// Who this instance is for Azure.
#[cfg(feature = "azure")]
pub type AzureCredential = portolan_azure::settings::Credential;

/// A program without Azure is nobody there.
#[cfg(not(feature = "azure"))]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AzureCredential {}

/// What is published to Azure Front Door.
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
    /// The publisher's settings, without mistakes. The mode may be off.
    pub settings: Settings,
}

/// A program without Azure publishes nothing.
#[cfg(not(feature = "azure"))]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FrontDoorSettings {}
