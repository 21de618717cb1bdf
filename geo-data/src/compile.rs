//! From databases of any vendor to a location table.

use crate::grain::{Quantiser, overlay};
use crate::info::GeoInfo;
use crate::places::{Atlas, KeyId, PlaceKey, TooManyPlaces};
use crate::prefixes::{self, AzurePrefix};
use crate::reader::{Database, DatabaseError, DatabaseFile, Family, Span};
use crate::record::{Record, Sighting};
use crate::runs::Run;
use crate::table::GeoTable;
use crate::{countries, v4, v6};
use portolan_core::geo::Point;
use thiserror::Error;

/// How to make a table of databases.
#[derive(Clone, Debug, Default)]
pub struct CompileOptions {
    /// When to refuse them.
    pub gate: Gate,
    /// Addresses known to be Azure's; they win over what the databases say.
    pub azure_prefixes: Vec<AzurePrefix>,
    /// What to call the result, where the databases do not say it well themselves.
    pub database: Option<String>,
    /// When the data was collected, in seconds since 1970, where the databases do not say it well themselves.
    pub built: Option<u64>,
    /// What the licence wants to be said where locations are shown; by default what the databases' type implies.
    pub attribution: Option<String>,
}

/// The least that databases must tell. A file that opens may still be of the wrong kind, or half empty.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gate {
    /// How many networks must have a place, at least.
    pub min_usable: u64,
    /// Which share of the networks must have a place, 0 to 1.
    pub min_usable_share: f64,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            min_usable: 1,
            min_usable_share: 0.5,
        }
    }
}

/// Why databases did not become a table.
#[derive(Debug, Error)]
pub enum CompileError {
    /// A file is no database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// No file was given.
    #[error("no database given")]
    NoDatabase,
    /// The files tell too few places: mostly, they are of another kind.
    #[error(
        "{files} ({database}) has a country or a point for {usable} of {networks} networks, too few to route by; \
         give a City or Country database"
    )]
    TooFewPlaces {
        /// The files.
        files: String,
        /// What they call themselves.
        database: String,
        /// How many networks have a place.
        usable: u64,
        /// How many there are.
        networks: u64,
    },
    /// More places than can be numbered.
    #[error(transparent)]
    TooManyPlaces(#[from] TooManyPlaces),
}

impl GeoTable {
    /// Makes a table of one database, or of several that complete each other, such as one for v4 and one for v6: each
    /// half of the address space is taken from the first that has it.
    ///
    /// # Errors
    /// When a file is no database, is corrupt, or tells too few places.
    pub fn compile(files: &[DatabaseFile], options: &CompileOptions) -> Result<Self, CompileError> {
        let databases = files.iter().map(Database::open).collect::<Result<Vec<_>, _>>()?;
        let mut survey = Survey::default();
        let v4 = survey.first(&databases, Family::V4)?;
        let v6 = survey.first(&databases, Family::V6)?;
        let mut info = info(&databases, files, options)?;
        survey.pass(options.gate, files, &info)?;
        info.networks = survey.usable;

        let azure = |atlas: &mut Atlas, family, shift| {
            prefixes::runs(&options.azure_prefixes, family, shift, |region| {
                atlas.id(PlaceKey::Azure(region))
            })
        };
        let v4 = overlay(&v4, &azure(&mut survey.atlas, Family::V4, v4::GRAIN));
        let v6 = overlay(&v6, &azure(&mut survey.atlas, Family::V6, 0));
        let (places, numbers) = survey.atlas.finish(v4.iter().chain(&v6).map(|run| run.value))?;
        let renumber = |Run { start, value }| Run {
            start,
            value: numbers.of(value),
        };
        let (v4, v6) = (v4.into_iter().map(renumber), v6.into_iter().map(renumber));
        Ok(Self::new(places, v4, v6, info))
    }
}

/// What was seen on the walk.
#[derive(Default)]
struct Survey {
    atlas: Atlas,
    networks: u64,
    usable: u64,
}

impl Survey {
    /// The runs of the first database that has anything of a family.
    fn first(&mut self, databases: &[Database<'_>], family: Family) -> Result<Vec<Run<KeyId>>, DatabaseError> {
        for database in databases {
            let runs = self.walk(database, family)?;
            if !runs.is_empty() {
                return Ok(runs);
            }
        }
        Ok(Vec::new())
    }

    fn walk(&mut self, database: &Database<'_>, family: Family) -> Result<Vec<Run<KeyId>>, DatabaseError> {
        // So that a v6 site of 2^16 subnets (RFC 6177) weighs as much in the middle of a cell as one v4 address.
        let (shift, addresses_per_unit) = match family {
            Family::V4 => (v4::GRAIN, 1.0),
            Family::V6 => (v6::GRAIN, 1.0 / 65_536.0),
        };
        let mut quantiser = Quantiser::new(shift, 1);
        let Self {
            atlas,
            networks,
            usable,
        } = self;
        // Both closures of the walk need it; they never run at the same time.
        let atlas = std::cell::RefCell::new(atlas);
        let read = |record: &Record| key(&mut atlas.borrow_mut(), record);
        database.walk(family, read, |Span { first, last }, key| {
            *networks += 1;
            let Some((id, point)) = key else { return };
            *usable += 1;
            quantiser.add(first, last, id);
            if let Some(point) = point {
                atlas
                    .borrow_mut()
                    .weigh(id, point, (last - first + 1) as f64 * addresses_per_unit);
            }
        })?;
        Ok(quantiser.finish())
    }

    fn pass(&self, gate: Gate, files: &[DatabaseFile], info: &GeoInfo) -> Result<(), CompileError> {
        let share = self.usable as f64 / self.networks.max(1) as f64;
        if self.usable >= gate.min_usable && share >= gate.min_usable_share {
            return Ok(());
        }
        let names: Vec<_> = files.iter().map(|file| file.name.as_str()).collect();
        Err(CompileError::TooFewPlaces {
            files: names.join(" and "),
            database: info.database.clone(),
            usable: self.usable,
            networks: self.networks,
        })
    }
}

/// The key of a record, with its point if that counts towards the middle of a cell.
fn key(atlas: &mut Atlas, record: &Record) -> Option<(KeyId, Option<Point>)> {
    let Sighting { country, point } = record.sighting()?;
    match point {
        Some(point) => Some((atlas.id(PlaceKey::cell(point, country)), Some(point))),
        None => countries::find(country).map(|_| (atlas.id(PlaceKey::Country(country)), None)),
    }
}

fn info(databases: &[Database<'_>], files: &[DatabaseFile], options: &CompileOptions) -> Result<GeoInfo, CompileError> {
    let first = databases.first().ok_or(CompileError::NoDatabase)?;
    let database = options
        .database
        .clone()
        .unwrap_or_else(|| first.database_type().to_owned());
    // The oldest part tells how old the whole is.
    let built = databases.iter().map(Database::build_epoch).min().unwrap_or_default();
    Ok(GeoInfo {
        attribution: options
            .attribution
            .clone()
            .or_else(|| GeoInfo::attribution_of(&database)),
        built: options.built.unwrap_or(built),
        database,
        files: files.iter().map(DatabaseFile::base_name).collect(),
        networks: 0,
    })
}
