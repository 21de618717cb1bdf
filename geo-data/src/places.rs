//! The places of a table while it is made: cells of the globe, each split by country.

use crate::azure;
use crate::countries;
use crate::runs::Value;
use portolan_core::geo::{Country, Place, PlaceId, Point, Precision};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use thiserror::Error;

/// Side of a cell in degrees. Smaller cells cost more than they tell: at 2.5 degrees the nearest of ten regions is the
/// right one for 99.6 % of addresses.
const CELL_DEGREES: f32 = 2.5;

/// What makes addresses share a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum PlaceKey {
    /// A cell of the globe by row and column from the south-west, and a country in it.
    Cell(u8, u8, Country),
    /// Somewhere in a country: its middle, weighted by population.
    Country(Country),
    /// A region of Azure, by its position in [`azure::regions`].
    Azure(u8),
}

impl PlaceKey {
    /// The cell of a point, in a country.
    pub(crate) fn cell(point: Point, country: Country) -> Self {
        // 72 rows and 144 columns; the far edges belong to the last ones.
        let row = ((point.latitude() + 90.0) / CELL_DEGREES).min(71.0) as u8;
        let column = ((point.longitude() + 180.0) / CELL_DEGREES).min(143.0) as u8;
        Self::Cell(row, column, country)
    }
}

/// The number of a key while a table is made: 0 is unknown, the others count from 1 in order of appearance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct KeyId(u32);

/// A point as seen from the middle of the Earth, one unit away.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Direction([f64; 3]);

impl Direction {
    pub(crate) fn of(point: Point) -> Self {
        let [lat, lon] = [point.latitude(), point.longitude()].map(|degrees| f64::from(degrees).to_radians());
        Self([lat.cos() * lon.cos(), lat.cos() * lon.sin(), lat.sin()])
    }
}

/// All keys met so far, with what is needed to find the middle of each.
#[derive(Default)]
pub(crate) struct Atlas {
    ids: BTreeMap<PlaceKey, KeyId>,
    // Sums of the points of a cell as vectors, each as long as the number of addresses there.
    sums: Vec<[f64; 3]>,
}

/// More places than a table can number.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{0} cells, countries and configured networks are more than the {max} a table can number", max = MOST_PLACES)]
pub struct TooManyPlaces(pub usize);

/// The first number is the unknown place, and one is not used for any.
const MOST_PLACES: usize = PlaceId::SEVERAL.0 as usize - 1;

/// The number of the next place of a table, whose places they are.
pub(crate) fn next_id(places: &[Place]) -> Result<PlaceId, TooManyPlaces> {
    let id = u16::try_from(places.len()).map(PlaceId);
    let id = id.ok().filter(|id| *id != PlaceId::SEVERAL);
    id.ok_or(TooManyPlaces(places.len()))
}

impl Atlas {
    /// The number of a key, new or known.
    pub(crate) fn id(&mut self, key: PlaceKey) -> KeyId {
        *self.ids.entry(key).or_insert_with(|| {
            self.sums.push([0.0; 3]);
            KeyId(self.sums.len() as u32)
        })
    }

    /// Counts addresses in a direction towards the middle of a cell.
    pub(crate) fn weigh(&mut self, id: KeyId, Direction(direction): Direction, addresses: f64) {
        let sum = (id.0 as usize).checked_sub(1);
        if let Some(sum) = sum.and_then(|index| self.sums.get_mut(index)) {
            sum.iter_mut()
                .zip(direction)
                .for_each(|(sum, part)| *sum += addresses * part);
        }
    }

    /// Numbers the places that are in use, those with the most runs first, which makes files smaller and keeps the
    /// rows that requests read together. Index 0 is the unknown place.
    pub(crate) fn finish(self, runs: impl Iterator<Item = KeyId>) -> Result<(Vec<Place>, Numbers), TooManyPlaces> {
        let mut uses = vec![0_usize; self.sums.len() + 1];
        runs.for_each(|KeyId(id)| uses[id as usize] += 1);
        let mut keys: Vec<_> = self
            .ids
            .into_iter()
            .map(|(key, KeyId(id))| (key, id as usize))
            .collect();
        keys.retain(|(_, id)| uses[*id] > 0);
        keys.sort_by_key(|(key, id)| (Reverse(uses[*id]), *key));
        let mut places = vec![Place::default()];
        let mut numbers = vec![PlaceId::UNKNOWN; uses.len()];
        for (key, id) in &keys {
            numbers[*id] = next_id(&places).map_err(|_| TooManyPlaces(keys.len()))?;
            places.push(place(*key, self.sums[id - 1]));
        }
        Ok((places, Numbers(numbers)))
    }
}

/// From the numbers used while a table is made to those of the finished one.
pub(crate) struct Numbers(Vec<PlaceId>);

impl Numbers {
    pub(crate) fn of(&self, id: KeyId) -> PlaceId {
        self.0.get(id.0 as usize).copied().unwrap_or_default()
    }
}

fn place(key: PlaceKey, [x, y, z]: [f64; 3]) -> Place {
    match key {
        PlaceKey::Cell(_, _, country) => {
            let (lat, lon) = (z.atan2(x.hypot(y)).to_degrees(), y.atan2(x).to_degrees());
            let point = Point::new(lat as f32, lon as f32).ok();
            Place {
                point,
                country,
                precision: Precision::Cell,
            }
        }
        PlaceKey::Country(country) => Place {
            point: countries::find(country).map(|country| country.point),
            country,
            precision: Precision::Country,
        },
        PlaceKey::Azure(region) => azure::regions()
            .get(usize::from(region))
            .map_or_else(Place::default, |region| Place {
                point: Some(region.point),
                country: region.country,
                precision: Precision::Azure,
            }),
    }
}

#[cfg(test)]
mod tests;
