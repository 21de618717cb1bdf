//! Where requests came from and where they went.

use crate::admin::backend::StatusSnapshot;
use crate::control::traffic::{Collected, Count};
use crate::vitals::{GatewayNumber, SampledPlace};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `GET /api/v1/traffic`: where the requests of the last five minutes came from and which regions answered them, by samples of at most
/// 100 a second and worker. Each sample stands for all requests since the one before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrafficView {
    /// The service.
    pub service: String,
    /// How much time it covers, in seconds.
    pub seconds: f64,
    /// Requests that were answered.
    pub requests: u64,
    /// Of those, the ones whose regions a plugin ordered.
    pub by_plugin: u64,
    /// Requests of clients without a place.
    pub without_place: u64,
    /// The service's regions.
    pub regions: Vec<TrafficRegion>,
    /// The places that requests came from.
    pub cells: Vec<TrafficCell>,
}

/// A place that requests came from: its latitude, its longitude, and the requests by position of their region in the list of regions. A
/// list in JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrafficCell(pub f32, pub f32, pub Vec<(usize, u64)>);

/// The traffic of a region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrafficRegion {
    /// The region.
    pub region: String,
    /// Requests that it answered.
    pub requests: u64,
    /// Of those, the ones whose regions a plugin ordered.
    pub by_plugin: u64,
}

impl TrafficView {
    /// `None` when there is no such service.
    pub(in crate::admin) fn of(snapshot: &StatusSnapshot, collected: &Collected, name: Option<&str>) -> Option<Self> {
        let services = snapshot.config.services();
        let index = name.map_or(Some(0), |name| services.iter().position(|it| it.name.as_str() == name))?;
        let (service, shown) = (services.get(index)?, snapshot.services.get(index)?);
        let mut view = Self {
            service: service.name.to_string(),
            seconds: collected.length.as_secs_f64(),
            requests: 0,
            by_plugin: 0,
            without_place: 0,
            regions: service
                .gateways()
                .iter()
                .map(|gateway| TrafficRegion {
                    region: gateway.region.to_string(),
                    requests: 0,
                    by_plugin: 0,
                })
                .collect(),
            cells: Vec::new(),
        };
        let numbers = shown.gateways.iter().enumerate();
        let positions: BTreeMap<GatewayNumber, usize> = numbers.map(|(position, it)| (it.number, position)).collect();
        let mut cells: BTreeMap<SampledPlace, Vec<(usize, u64)>> = BTreeMap::new();
        for ((place, gateway), count) in &collected.flows {
            let Some(position) = positions.get(gateway) else {
                continue;
            };
            view.add(*position, *count);
            match place.degrees() {
                Some(_) => cells.entry(*place).or_default().push((*position, count.requests)),
                None => view.without_place += count.requests,
            }
        }
        let cells = cells.into_iter().filter_map(|(place, regions)| {
            let (latitude, longitude) = place.degrees()?;
            Some(TrafficCell(latitude, longitude, regions))
        });
        view.cells = cells.collect();
        Some(view)
    }

    fn add(&mut self, position: usize, count: Count) {
        self.requests += count.requests;
        self.by_plugin += count.by_plugin;
        if let Some(region) = self.regions.get_mut(position) {
            region.requests += count.requests;
            region.by_plugin += count.by_plugin;
        }
    }
}
