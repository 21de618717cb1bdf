//! What a table has of each family of addresses, and where it has nothing, what another one has.

use crate::family::Family;
use crate::layers::Layer;
use crate::overlay::v4_table;
use crate::places::{self, TooManyPlaces};
use crate::runs::Run;
use crate::table::GeoTable;
use crate::v6::V6Table;
use portolan_core::geo::{Country, PlaceId};
use std::collections::BTreeSet;

impl GeoTable {
    /// This table, with what another one has of a family that the files of this one have no place for; the other one is asked for only
    /// then, since unpacking it takes time. Then
    /// [`GeoInfo::filled`](crate::GeoInfo::filled) is that family.
    ///
    /// # Errors
    /// When there are more places than a table can number.
    pub fn filled_from<'a>(self, other: impl FnOnce() -> &'a Self) -> Result<Self, TooManyPlaces> {
        let missing = |family: &Family| self.info().coverage(*family).placed == 0;
        let Some(family) = Family::ALL.into_iter().find(missing) else {
            return Ok(self);
        };
        let other = other();
        let mut places = self.places().to_vec();
        let first = places::next_id(&places)?.0;
        // The unknown place is the same in both.
        places.extend(other.places().iter().skip(1));
        places::next_id(&places)?;
        let moved = |mut run: Run<PlaceId, u128>| {
            if run.value != PlaceId::UNKNOWN {
                run.value.0 += first - 1;
            }
            run
        };
        let moved: Layer<PlaceId> = other.layer(family).into_iter().map(moved).collect();
        let mut info = self.info().clone();
        info.filled = Some(family);
        let (v4, v6) = match family {
            Family::V4 => (v4_table(moved), self.v6().clone()),
            Family::V6 => (self.v4().clone(), V6Table::new(&moved)),
        };
        Ok(Self::new(places, v4, v6, info))
    }

    /// The countries that addresses of a family are in.
    pub fn countries(&self, family: Family) -> BTreeSet<Country> {
        let mut used = vec![false; self.places().len()];
        for run in self.layer(family) {
            if let Some(used) = used.get_mut(run.value.index()) {
                *used = true;
            }
        }
        // The first is the unknown place.
        let places = self.places().iter().zip(used).skip(1);
        places
            .filter(|(_, used)| *used)
            .map(|(place, _)| place.country)
            .collect()
    }

    fn layer(&self, family: Family) -> Layer<PlaceId> {
        match family {
            Family::V4 => {
                let runs = self.v4().runs().into_iter();
                runs.map(|Run { start, value }| Run {
                    start: start.into(),
                    value,
                })
                .collect()
            }
            Family::V6 => self.v6().parts().join(),
        }
    }
}
