//! Which clients go where.

use super::Location;
use crate::admin::backend::StatusSnapshot;
use portolan_core::candidates;
use portolan_core::geo::{Place, PlaceId};
use portolan_core::id::Slot;
use portolan_core::slots::Slots;
use serde::{Deserialize, Serialize};

/// `GET /api/v1/map`: which region the built-in order gives the clients of every place, as things stand.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Map {
    /// The number of the routing table.
    pub generation: u64,
    /// The service.
    pub service: String,
    /// Its regions.
    pub regions: Vec<MapRegion>,
    /// For every place its latitude, its longitude and the position of its region above; `None`: no region may answer.
    pub places: Vec<(f32, f32, Option<u8>)>,
}

/// A region on a [`Map`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MapRegion {
    /// The region.
    pub region: String,
    /// Where it is.
    pub location: Location,
}

impl Map {
    /// `None` when there is no such service.
    pub(in crate::admin) fn of(snapshot: &StatusSnapshot, places: &[Place], name: Option<&str>) -> Option<Self> {
        let services = snapshot.config.services();
        let index = name.map_or(Some(0), |name| services.iter().position(|it| it.name.as_str() == name))?;
        let (service, shown) = (services.get(index)?, snapshot.services.get(index)?);
        let health = snapshot.health.services().get(index)?;
        let first = |index: usize, place: &Place| -> Option<u8> {
            let eligible = candidates::gather(service, health, place.country, Slots::EMPTY).eligible;
            let row = shown.chart.row(PlaceId(u16::try_from(index).ok()?));
            row.iter()
                .find(|slot| eligible.contains(**slot))
                .map(|Slot(slot)| *slot)
        };
        let places = places.iter().enumerate().filter_map(|(index, place)| {
            let point = place.point?;
            Some((point.latitude(), point.longitude(), first(index, place)))
        });
        let regions = service.gateways().iter().map(|gateway| MapRegion {
            region: gateway.region.to_string(),
            location: gateway.point.into(),
        });
        Some(Self {
            generation: snapshot.generation.0,
            service: service.name.to_string(),
            regions: regions.collect(),
            places: places.collect(),
        })
    }
}
