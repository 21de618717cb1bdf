//! A configuration and everything it names, loaded.

use super::certificates::TlsFiles;
use crate::config::Settings;
use crate::geo::Geo;
use crate::plugin::{PluginVersion, RegionEntry, RegionTable};
use crate::service_tags::ServiceTags;
use portolan_core::config::Service;
use portolan_core::geo::Country;
use portolan_core::health::ServiceHealth;
use portolan_core::id::{Generation, PluginName};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The loaded plugins by name.
pub type Plugins = BTreeMap<PluginName, Arc<PluginVersion>>;

/// A configuration and everything it names, loaded and checked.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub settings: Arc<Settings>,
    /// Its location tables.
    pub geo: Arc<Geo>,
    /// Its service tags.
    pub service_tags: Arc<ServiceTags>,
    /// Its plugins.
    pub plugins: Arc<Plugins>,
    /// What its TLS listeners need.
    pub tls: TlsFiles,
}

/// A service's regions as its plugin sees them.
pub(super) fn plugin_regions(generation: Generation, service: &Service, health: &ServiceHealth) -> RegionTable {
    let regions = service
        .gateways()
        .iter()
        .zip(health.gateways())
        .map(|(gateway, health)| {
            let country = portolan_geo::azure::find(gateway.region.as_str()).map_or(Country::UNKNOWN, |it| it.country);
            RegionEntry::new(gateway, country, *health)
        });
    RegionTable::new(generation, service.name.clone(), regions.collect())
}
