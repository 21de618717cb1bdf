//! A configuration and everything it names, loaded.

use super::certificates::TlsFiles;
use crate::affinity::AffinityKeys;
use crate::config::Settings;
use crate::geo::Geo;
use crate::plugin::{PluginVersion, RegionEntry, RegionTable};
use crate::rollout::Rollouts;
use crate::service_tags::ServiceTags;
use crate::tls::Origin;
use portolan_core::config::{Gateway, GatewayAddress, Service};
use portolan_core::geo::Country;
use portolan_core::health::{GatewayHealth, ServiceHealth};
use portolan_core::id::{Generation, PluginName, ServiceName};
use portolan_core::round_trip::Measured;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// The loaded plugins by name.
pub type Plugins = BTreeMap<PluginName, Arc<PluginVersion>>;

/// TLS with what one service speaks to.
#[derive(Clone, Debug, Default)]
pub struct Origins {
    /// The https gateways, by their addresses.
    pub gateways: HashMap<GatewayAddress, Arc<Origin>>,
    /// What the gate of its failback asks, where that is an https URL.
    pub gate: Option<Arc<Origin>>,
}

/// The same of each service that has any.
pub type UpstreamOrigins = BTreeMap<ServiceName, Origins>;

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
    /// The versions of plugins that are being rolled out, and the plugins that are off.
    pub rollouts: Arc<Rollouts>,
    /// What its TLS listeners need.
    pub tls: TlsFiles,
    /// TLS with its https gateways.
    pub origins: Arc<UpstreamOrigins>,
    /// The keys of its affinity cookies, where it names some.
    pub affinity_keys: Option<Arc<AffinityKeys>>,
}

impl Loaded {
    /// TLS with a gateway of a service; `None` when it is a plain one.
    pub(super) fn origin(&self, service: &Service, gateway: &Gateway) -> Option<&Arc<Origin>> {
        self.origins.get(&service.name)?.gateways.get(&gateway.address)
    }

    /// TLS with the gates of its services, in their order; `None` for a service that asks none over TLS.
    pub(super) fn gates(&self) -> Vec<Option<Arc<Origin>>> {
        let services = self.settings.routing.services().iter();
        services
            .map(|service| self.origins.get(&service.name)?.gate.clone())
            .collect()
    }
}

/// A service's regions as its plugin sees them. `measured`: the round trips from here, where those are counted; else those of
/// probes are given.
pub(super) fn plugin_regions(
    generation: Generation,
    service: &Service,
    health: &ServiceHealth,
    measured: &[Option<Measured>],
) -> RegionTable {
    let regions = service
        .gateways()
        .iter()
        .zip(health.gateways())
        .enumerate()
        .map(|(slot, (gateway, health))| {
            let country = portolan_geo::azure::find(gateway.region.as_str()).map_or(Country::UNKNOWN, |it| it.country);
            let measured = measured.get(slot).copied().flatten();
            let health = GatewayHealth {
                round_trip: measured.map(|it| it.round_trip).or(health.round_trip),
                ..*health
            };
            RegionEntry::new(gateway, country, health)
        });
    RegionTable::new(generation, service.name.clone(), regions.collect())
}
