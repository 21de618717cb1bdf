//! Where clients are: the location table with the configuration's networks over it and, when there is one, the table of
//! autonomous systems.

mod change;
pub mod coverage;
pub mod describe;
pub mod warnings;

use crate::config::GeoSettings;
use bytes::Bytes;
use coverage::CoverageLoss;
use portolan_core::geo::{Country, Location, PlaceId, Precision};
use portolan_core::id::RegionName;
use portolan_geo::asn::AsnError;
use portolan_geo::cache::Cached;
use portolan_geo::input::DatabaseError;
use portolan_geo::open::OpenError;
use portolan_geo::overlay::ConfiguredNetwork;
use portolan_geo::{AsnTable, DatabaseFile, GeoTable, TooManyPlaces};
use sha2::{Digest, Sha256};
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};
use thiserror::Error;

/// From here on, a load is worth a hint at `portolan geo compile`.
const SLOW_LOAD: Duration = Duration::from_secs(1);

/// The loaded tables. Replaced together.
#[derive(Clone, Debug)]
pub struct Geo {
    /// Address to place: the networks of the configuration over the databases, or over the embedded table.
    pub places: Arc<GeoTable>,
    /// Address to autonomous system, when a database of them is configured.
    pub systems: Option<Arc<AsnTable>>,
    /// The places of the networks whose clients prefer a region.
    pub preferred: Vec<(PlaceId, RegionName)>,
    /// The same without the networks of the configuration.
    databases: Databases,
    systems_files: Vec<Loaded>,
}

/// What the databases became, and which files they were.
#[derive(Clone, Debug)]
struct Databases {
    table: Arc<GeoTable>,
    files: Vec<Loaded>,
}

/// A file that was loaded, by its content.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Loaded {
    path: PathBuf,
    sha256: [u8; 32],
}

/// Why a location database cannot be used.
#[derive(Debug, Error)]
pub enum GeoError {
    /// The location database.
    #[error("geo.database: {0}")]
    Places(#[from] OpenError),
    /// The database covers less than the one it is to replace.
    #[error("geo.database: {0}")]
    Coverage(#[from] CoverageLoss),
    /// The networks of the configuration do not fit on top.
    #[error("geo.networks: {0}")]
    Networks(#[from] TooManyPlaces),
    /// The database of autonomous systems is no database.
    #[error("geo.asn_database: {0}")]
    SystemsFile(#[from] DatabaseError),
    /// The database of autonomous systems is another kind of database.
    #[error("geo.asn_database: {0}")]
    Systems(#[from] AsnError),
}

impl GeoError {
    /// The key of the configuration that it is about, below `geo`.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Places(_) | Self::Coverage(_) => "database",
            Self::Networks(_) => "networks",
            Self::SystemsFile(_) | Self::Systems(_) => "asn_database",
        }
    }
}

impl Geo {
    /// The embedded table, unpacked once.
    pub fn embedded() -> Self {
        let table = Arc::clone(embedded());
        Self {
            places: Arc::clone(&table),
            systems: None,
            preferred: Vec::new(),
            databases: Databases {
                table,
                files: Vec::new(),
            },
            systems_files: Vec::new(),
        }
    }

    /// The embedded table instead of databases that cannot be used, with the networks of the configuration over it.
    pub fn without_databases(settings: &GeoSettings) -> Self {
        let mut geo = Self::embedded();
        if let Err(error) = geo.lay_over(settings) {
            tracing::error!("geo.networks: {error}");
        }
        geo
    }

    /// Loads the databases that the settings name, or the embedded table when they name none. `read` gives the content of
    /// a file, which may have so many bytes. What `before` was made of the same content is used again; the table of large
    /// databases is kept in the file `cache`.
    ///
    /// # Errors
    /// When a database cannot be read, or is not usable.
    pub fn load(
        settings: &GeoSettings,
        before: Option<&Self>,
        cache: Option<&Path>,
        read: impl Fn(&Path, u64) -> io::Result<Bytes>,
    ) -> Result<Self, GeoError> {
        let (databases, files) = contents(&settings.databases, &read);
        let databases = match before.filter(|before| before.databases.files == files && !files.is_empty()) {
            Some(before) => before.databases.clone(),
            None => Databases {
                table: places(databases, &files, cache)?,
                files,
            },
        };
        let (systems, systems_files) = contents(&settings.asn_databases, &read);
        let systems = match before.filter(|before| before.systems_files == systems_files) {
            Some(before) => before.systems.clone(),
            None if systems.is_empty() => None,
            None => {
                let files = systems.into_iter().map(|(path, read)| DatabaseFile::of(path, read));
                Some(Arc::new(AsnTable::compile(&files.collect::<Result<Vec<_>, _>>()?)?))
            }
        };
        let mut geo = Self {
            places: Arc::clone(&databases.table),
            systems,
            preferred: Vec::new(),
            databases,
            systems_files,
        };
        geo.lay_over(settings)?;
        Ok(geo)
    }

    /// Lays the networks of the configuration over the databases.
    fn lay_over(&mut self, settings: &GeoSettings) -> Result<(), TooManyPlaces> {
        if settings.networks.is_empty() {
            return Ok(());
        }
        let networks = settings.networks.iter().map(|it| ConfiguredNetwork {
            network: it.network,
            country: it.country.unwrap_or_default(),
            point: it.point,
        });
        let networks: Vec<_> = networks.collect();
        let (table, places) = self.databases.table.with_networks(&networks)?;
        self.places = Arc::new(table);
        let preferred = settings.networks.iter().zip(places);
        self.preferred = preferred
            .filter_map(|(network, place)| Some((place, network.region.clone()?)))
            .collect();
        Ok(())
    }

    /// Where an address is.
    pub fn locate(&self, address: IpAddr) -> Location {
        let mut location = self.places.locate(address);
        // A network of the configuration without a country is in the one that the databases say.
        if location.place.precision == Precision::Configured && location.place.country == Country::UNKNOWN {
            location.place.country = self.databases.table.locate(address).place.country;
        }
        location
    }

    /// The location table without the networks of the configuration.
    pub fn databases(&self) -> &GeoTable {
        &self.databases.table
    }

    /// What the licence of the location table wants to be said where locations are shown.
    pub fn attribution<'a>(&'a self, settings: &'a GeoSettings) -> Option<&'a str> {
        let configured = settings.attribution.as_deref().filter(|_| !self.is_embedded());
        configured.or(self.databases().info().attribution.as_deref())
    }

    /// Whether both have the same location table below the networks of the configuration.
    pub fn has_same_databases(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.databases.table, &other.databases.table)
    }

    /// Whether the location table is the embedded one.
    pub fn is_embedded(&self) -> bool {
        self.databases.files.is_empty()
    }

    /// The number of the autonomous system that announces an address; 0 when it is unknown.
    pub fn system(&self, address: IpAddr) -> u32 {
        self.systems
            .as_ref()
            .and_then(|systems| systems.lookup(address))
            .unwrap_or(0)
    }
}

fn embedded() -> &'static Arc<GeoTable> {
    static EMBEDDED: LazyLock<Arc<GeoTable>> = LazyLock::new(|| Arc::new(GeoTable::embedded()));
    &EMBEDDED
}

/// The table of these files; of a family that they have nothing of, it has what the embedded one has.
fn places(files: Contents<'_>, loaded: &[Loaded], cache: Option<&Path>) -> Result<Arc<GeoTable>, GeoError> {
    if files.is_empty() {
        return Ok(Arc::clone(embedded()));
    }
    let begun = Instant::now();
    let files = files.into_iter().map(|(path, read)| DatabaseFile::of(path, read));
    let files = files.collect::<Result<Vec<_>, _>>().map_err(OpenError::from)?;
    let table = match cache {
        None => GeoTable::of_files(&files)?,
        Some(cache) => cached(&files, loaded, cache)?,
    };
    let table = table.filled_from(|| embedded())?;
    if cache.is_none() && begun.elapsed() > SLOW_LOAD {
        tracing::info!(
            seconds = begun.elapsed().as_secs_f32(),
            "loading the location databases took long; `portolan geo compile` makes a table of them that loads at once"
        );
    }
    Ok(Arc::new(table))
}

/// The table of these files, from the cache if it is there.
fn cached(files: &[DatabaseFile], loaded: &[Loaded], cache: &Path) -> Result<GeoTable, OpenError> {
    let digest = || {
        let digests = loaded.iter().map(|file| file.sha256);
        let all = digests.fold(Sha256::new(), |all, digest| all.chain_update(digest));
        all.finalize().into()
    };
    let (table, cached) = GeoTable::of_files_cached(files, cache, digest)?;
    if let Cached::Failed(error) = cached {
        let file = cache.display();
        tracing::warn!(%file, %error, "failed to write the compiled location table; it is compiled again at the next start");
    }
    Ok(table)
}

type Contents<'a> = Vec<(&'a PathBuf, io::Result<Bytes>)>;

/// The content of files, and what tells it from another.
fn contents<'a>(paths: &'a [PathBuf], read: impl Fn(&Path, u64) -> io::Result<Bytes>) -> (Contents<'a>, Vec<Loaded>) {
    let contents: Contents<'_> = paths
        .iter()
        .map(|path| (path, read(path, DatabaseFile::MAX_BYTES)))
        .collect();
    let loaded = contents.iter().map(|(path, read)| Loaded {
        path: path.to_path_buf(),
        // One that cannot be read is not loaded.
        sha256: read
            .as_ref()
            .map(|bytes| Sha256::digest(bytes).into())
            .unwrap_or_default(),
    });
    let loaded = loaded.collect();
    (contents, loaded)
}

#[cfg(test)]
mod tests;
