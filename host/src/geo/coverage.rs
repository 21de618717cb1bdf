//! Whether databases cover less than those they are to replace: a family of addresses, or a country that matters.

use super::Geo;
use portolan_core::geo::Country;
use portolan_geo::family::Family;
use std::collections::BTreeSet;
use thiserror::Error;

/// What would be lost.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum CoverageLoss {
    /// All of a family.
    #[error(
        "{files} has no place for any {family} address, and what it is to replace has {networks} networks; give a database \
         for that family too, or accept it with geo.allow_coverage_loss: true"
    )]
    Family {
        /// The new files.
        files: String,
        /// The family.
        family: Family,
        /// How many networks of it have a place now.
        networks: u64,
    },
    /// A country, in a family.
    #[error(
        "{files} has no {family} network in {country}, which a residency rule names, and what it is to replace has some; \
         give another database, or accept it with geo.allow_coverage_loss: true"
    )]
    Country {
        /// The new files.
        files: String,
        /// The family.
        family: Family,
        /// The country.
        country: Country,
    },
}

/// Compares databases with those they are to replace. `countries`: those that residency rules name.
///
/// # Errors
/// When they cover less.
pub fn compare(before: &Geo, after: &Geo, countries: &BTreeSet<Country>) -> Result<(), CoverageLoss> {
    if before.databases.files == after.databases.files {
        return Ok(());
    }
    let (old, new) = (before.databases(), after.databases());
    let files = || {
        let names = new.info().files.iter().map(|file| file.name.as_str());
        names.collect::<Vec<_>>().join(" and ")
    };
    for family in Family::ALL {
        // What the embedded table filled in for was not lost.
        let networks = old.info().coverage(family).placed;
        let had = !before.is_embedded() && networks > 0;
        if had && !after.is_embedded() && new.info().coverage(family).placed == 0 {
            return Err(CoverageLoss::Family {
                files: files(),
                family,
                networks,
            });
        }
    }
    for family in Family::ALL {
        let (old, new) = (old.countries(family), new.countries(family));
        // There are always addresses of an unknown country.
        let mut named = countries.iter().filter(|it| **it != Country::UNKNOWN);
        let lost = named.find(|it| old.contains(it) && !new.contains(it));
        if let Some(&country) = lost {
            return Err(CoverageLoss::Country {
                files: files(),
                family,
                country,
            });
        }
    }
    Ok(())
}
