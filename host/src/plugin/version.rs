//! A loaded plugin, ready to be instantiated by any worker.

use super::instance::Blueprint;
use super::meters::Meter;
use super::settings::PluginSettings;
use super::setup::Setup;
use super::ticker::Ticking;
use portolan_core::id::PluginName;
use std::fmt;
use std::sync::Arc;

/// One version of a plugin with one configuration: compiled, configured and tried.
pub struct PluginVersion {
    /// The plugin it is a version of.
    pub name: PluginName,
    /// SHA-256 of the component, in hexadecimal digits.
    pub digest: String,
    /// How it is deployed.
    pub settings: PluginSettings,
    /// What it asked for.
    pub setup: Setup,
    pub(super) blueprint: Blueprint,
    pub(super) meter: Arc<Meter>,
    /// Where its counters are in the meter, by the contract's number.
    pub(super) places: Vec<Option<usize>>,
    pub(super) _ticking: Ticking,
}

impl fmt::Debug for PluginVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginVersion")
            .field("name", &self.name)
            .field("digest", &self.digest)
            .field("settings", &self.settings)
            .field("setup", &self.setup)
            .finish_non_exhaustive()
    }
}

impl PluginVersion {
    /// The first twelve digits of the digest: enough to identify a version in logs.
    pub fn short_digest(&self) -> &str {
        self.digest.get(..12).unwrap_or(&self.digest)
    }

    /// Whether it may see fields of requests.
    pub fn reads_fields(&self) -> bool {
        !self.setup.fields.is_empty() || self.blueprint.reads_headers
    }

    /// The plugin's name for a reason; `None` for 0, no reason.
    pub fn reason(&self, reason: u16) -> Option<&str> {
        let place = usize::from(reason.checked_sub(1)?);
        self.setup.reasons.get(place).map(String::as_str)
    }
}
