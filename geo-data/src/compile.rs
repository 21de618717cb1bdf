//! From databases of any vendor to a location table.

use crate::countries;
use crate::info::{Coverage, FileInfo, GeoInfo};
use crate::layers::{Cover, Layer, LayerBuilder, MOST_RUNS, overlay};
use crate::overlay::v4_table;
use crate::places::{Atlas, Direction, KeyId, PlaceKey, TooManyPlaces};
use crate::prefixes::{self, AzurePrefix};
use crate::reader::{Database, DatabaseError, DatabaseFile, Family, Known, Span};
use crate::record::Record;
use crate::runs::Run;
use crate::schema::{Keys, Sighting};
use crate::table::GeoTable;
use crate::v6::V6Table;
use portolan_core::geo::PlaceId;
use thiserror::Error;

/// The number of the rules by which tables are made. It grows whenever the same databases give another table, also by reading
/// their records in another way: then a table that was kept is made anew.
pub(crate) const RULES: u32 = 1;

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
    /// The files have no network of public addresses.
    #[error(
        "{files} ({database}) has no network of public addresses: private and reserved ones are left out; give those in \
         the configuration (geo.networks)"
    )]
    NothingPublic {
        /// The files.
        files: String,
        /// What they call themselves.
        database: String,
    },
    /// Its networks are more than any real database has.
    #[error("{name} changes places more than {MOST_RUNS} times within one address family; is it a location database?")]
    TooManyRuns {
        /// The file.
        name: String,
    },
    /// More places than can be numbered.
    #[error(transparent)]
    TooManyPlaces(#[from] TooManyPlaces),
}

impl GeoTable {
    /// Makes a table of databases that lie over each other: every address has the place that the first of them with a
    /// place for it gives.
    ///
    /// # Errors
    /// When a file is no database, is corrupt, or all together tell too few places.
    pub fn compile(files: &[DatabaseFile], options: &CompileOptions) -> Result<Self, CompileError> {
        let databases = files.iter().map(Database::open).collect::<Result<Vec<_>, _>>()?;
        let mut survey = Survey::default();
        let mut records: Vec<_> = databases.iter().map(|_| Records::default()).collect();
        let v4 = survey.layers(&databases, &mut records, Family::V4)?;
        let v6 = survey.layers(&databases, &mut records, Family::V6)?;
        survey.weigh(&records);
        drop(records);
        let info = info(&databases, files, &survey, options)?;
        pass(options.gate, files, &info)?;

        let mut atlas = survey.atlas;
        let mut azure = |family| {
            prefixes::layer(&options.azure_prefixes, family, |region| {
                atlas.id(PlaceKey::Azure(region))
            })
        };
        let v4 = overlay(v4, azure(Family::V4));
        let v6 = overlay(v6, azure(Family::V6));
        let (places, numbers) = atlas.finish(v4.iter().chain(&v6).map(|run| run.value))?;
        let renumber = |layer: Layer<KeyId>| -> Layer<PlaceId> {
            let runs = layer.into_iter().map(|Run { start, value }| Run {
                start,
                value: numbers.of(value),
            });
            runs.collect()
        };
        Ok(Self::new(
            places,
            v4_table(renumber(v4)),
            V6Table::new(&renumber(v6)),
            info,
        ))
    }
}

/// What was seen on the walks.
#[derive(Default)]
struct Survey {
    atlas: Atlas,
    /// Of every file, in their order.
    v4: Vec<(Coverage, Keys)>,
    v6: Vec<(Coverage, Keys)>,
}

/// What was made of the records of one database. Each is decoded once, and each point weighed once, for all of its networks.
#[derive(Default)]
struct Records {
    /// The key of a record; the number of its point, from 1, or 0 if it has none; whether it has one that cannot be read.
    known: Known<(KeyId, usize, bool)>,
    points: Vec<(KeyId, Direction)>,
    /// How many addresses there are at each point.
    weights: Vec<f64>,
    /// Where the records have what was read.
    keys: Keys,
}

impl Survey {
    /// All databases, laid over each other.
    fn layers(
        &mut self,
        databases: &[Database<'_>],
        records: &mut [Records],
        family: Family,
    ) -> Result<Layer<KeyId>, CompileError> {
        let mut above = Layer::new();
        for (database, records) in databases.iter().zip(records) {
            let runs = self.walk(database, records, family, &above)?;
            above = overlay(runs, above);
            if above.len() > MOST_RUNS {
                return Err(CompileError::TooManyRuns {
                    name: database.name().to_owned(),
                });
            }
        }
        Ok(above)
    }

    fn walk(
        &mut self,
        database: &Database<'_>,
        records: &mut Records,
        family: Family,
        above: &[Run<KeyId, u128>],
    ) -> Result<Layer<KeyId>, DatabaseError> {
        let mut layer = LayerBuilder::new();
        let mut above = Cover::new(above);
        let mut coverage = Coverage::default();
        let Records {
            known,
            points,
            weights,
            keys,
        } = records;
        let read = |record: &Record| {
            let reading = record.reading();
            *keys = keys.or(reading.keys);
            let (id, direction) = key(&mut self.atlas, reading.sighting).unwrap_or_default();
            points.extend(direction.map(|direction| (id, direction)));
            (id, direction.map_or(0, |_| points.len()), reading.has_unreadable_point)
        };
        database.walk(family, known, read, |Span { first, last }, (id, point, unreadable)| {
            coverage.networks += 1;
            coverage.unreadable += u64::from(unreadable);
            if id == KeyId::default() {
                return;
            }
            coverage.placed += 1;
            layer.add(first, last, id);
            if above.hides(first, last) {
                return;
            }
            coverage.given += 1;
            if point > 0 {
                if weights.len() < point {
                    weights.resize(point, 0.0);
                }
                weights[point - 1] += weight(family, first, last);
            }
        })?;
        match family {
            Family::V4 => self.v4.push((coverage, *keys)),
            Family::V6 => self.v6.push((coverage, *keys)),
        }
        Ok(layer.finish())
    }

    /// The middle of every cell.
    fn weigh(&mut self, records: &[Records]) {
        for Records { points, weights, .. } in records {
            for ((id, direction), weight) in points.iter().zip(weights) {
                self.atlas.weigh(*id, *direction, *weight);
            }
        }
    }
}

/// How much a network counts towards the middle of a cell: a v6 site of 2^16 subnets (RFC 6177) as much as a v4 address.
fn weight(family: Family, first: u128, last: u128) -> f64 {
    match family {
        Family::V4 => (last - first + 1) as u64 as f64,
        Family::V6 => (((last - first) >> 64) as u64 as f64 + 1.0) / 65_536.0,
    }
}

/// Refuses databases that tell too little.
fn pass(gate: Gate, files: &[DatabaseFile], info: &GeoInfo) -> Result<(), CompileError> {
    let Coverage { networks, placed, .. } = info.v4() + info.v6();
    let share = placed as f64 / networks.max(1) as f64;
    if placed >= gate.min_usable && share >= gate.min_usable_share {
        return Ok(());
    }
    let names: Vec<_> = files.iter().map(|file| file.name.as_str()).collect();
    let (files, database) = (names.join(" and "), info.database.clone());
    if networks == 0 {
        return Err(CompileError::NothingPublic { files, database });
    }
    Err(CompileError::TooFewPlaces {
        files,
        database,
        usable: placed,
        networks,
    })
}

/// The key of a record, with its direction if that counts towards the middle of a cell.
fn key(atlas: &mut Atlas, sighting: Option<Sighting>) -> Option<(KeyId, Option<Direction>)> {
    let Sighting { country, point } = sighting?;
    match point {
        Some(point) => Some((atlas.id(PlaceKey::cell(point, country)), Some(Direction::of(point)))),
        None => countries::find(country).map(|_| (atlas.id(PlaceKey::Country(country)), None)),
    }
}

fn info(
    databases: &[Database<'_>],
    files: &[DatabaseFile],
    survey: &Survey,
    options: &CompileOptions,
) -> Result<GeoInfo, CompileError> {
    let first = databases.first().ok_or(CompileError::NoDatabase)?;
    let database = options
        .database
        .clone()
        .unwrap_or_else(|| first.database_type().to_owned());
    let files = files.iter().zip(databases).zip(survey.v4.iter().zip(&survey.v6));
    let files = files.map(|((file, database), (&(v4, v4_keys), &(v6, v6_keys)))| FileInfo {
        name: file.base_name(),
        database: database.database_type().to_owned(),
        built: database.build_epoch(),
        schema: v4_keys.or(v6_keys).schema(),
        v4,
        v6,
    });
    // The oldest part tells how old the whole is.
    let built = databases.iter().map(Database::build_epoch).min().unwrap_or_default();
    let files: Vec<_> = files.collect();
    Ok(GeoInfo {
        attribution: options.attribution.clone().or_else(|| GeoInfo::attribution_of(&files)),
        built: options.built.unwrap_or(built),
        database,
        files,
        filled: None,
    })
}
