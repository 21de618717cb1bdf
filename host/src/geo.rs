//! Where clients are: the location table and, when there is one, the table of autonomous systems.

use crate::config::GeoSettings;
use bytes::Bytes;
use portolan_core::geo::Location;
use portolan_geo::asn::AsnError;
use portolan_geo::open::OpenError;
use portolan_geo::reader::DatabaseError;
use portolan_geo::{AsnTable, DatabaseFile, GeoTable};
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use thiserror::Error;

/// The largest database, in bytes. A larger one was made to exhaust memory.
const MAX_DATABASE: u64 = 2 << 30;

/// The loaded tables. Replaced together.
#[derive(Clone, Debug)]
pub struct Geo {
    /// Address to place.
    pub places: Arc<GeoTable>,
    /// Address to autonomous system, when a database of them is configured.
    pub systems: Option<Arc<AsnTable>>,
}

/// Why a location database cannot be used.
#[derive(Debug, Error)]
pub enum GeoError {
    /// The location database.
    #[error("geo.database: {0}")]
    Places(#[from] OpenError),
    /// The database of autonomous systems is no database.
    #[error("geo.asn_database: {0}")]
    SystemsFile(#[from] DatabaseError),
    /// The database of autonomous systems is another kind of database.
    #[error("geo.asn_database: {0}")]
    Systems(#[from] AsnError),
}

impl Geo {
    /// The embedded table, unpacked once.
    pub fn embedded() -> Self {
        static EMBEDDED: LazyLock<Arc<GeoTable>> = LazyLock::new(|| Arc::new(GeoTable::embedded()));
        Self {
            places: Arc::clone(&EMBEDDED),
            systems: None,
        }
    }

    /// Loads the databases that the settings name, or the embedded table when they name none. `read` gives the content of
    /// a file, which may have so many bytes.
    ///
    /// # Errors
    /// When a database cannot be read, or is not usable.
    pub fn load(settings: &GeoSettings, read: impl Fn(&Path, u64) -> io::Result<Bytes>) -> Result<Self, GeoError> {
        let file = |path: &PathBuf| {
            let name = path.display().to_string();
            match read(path, MAX_DATABASE) {
                Ok(bytes) => Ok(DatabaseFile { name, bytes }),
                Err(source) => Err(DatabaseError::Io { name, source }),
            }
        };
        let mut geo = Self::embedded();
        if !settings.databases.is_empty() {
            let files = settings.databases.iter().map(file).collect::<Result<Vec<_>, _>>();
            geo.places = Arc::new(GeoTable::of_files(&files.map_err(OpenError::from)?)?);
        }
        if let Some(path) = &settings.asn_database {
            geo.systems = Some(Arc::new(AsnTable::compile(&[file(path)?])?));
        }
        Ok(geo)
    }

    /// Where an address is.
    pub fn locate(&self, address: IpAddr) -> Location {
        self.places.locate(address)
    }

    /// The number of the autonomous system that announces an address; 0 when it is unknown.
    pub fn system(&self, address: IpAddr) -> u32 {
        self.systems
            .as_ref()
            .and_then(|systems| systems.lookup(address))
            .unwrap_or(0)
    }
}

/// The files that tables are loaded from.
pub fn files(settings: &GeoSettings) -> impl Iterator<Item = PathBuf> {
    settings.databases.iter().chain(&settings.asn_database).cloned()
}
