//! Location tables from files of any kind.

use crate::compile::{CompileError, CompileOptions};
use crate::file::FileError;
use crate::reader::{DatabaseError, DatabaseFile};
use crate::table::GeoTable;
use std::path::Path;
use thiserror::Error;

/// The table this program ships: DB-IP City Lite, reduced to cells, with Azure's own addresses laid over it.
static EMBEDDED: &[u8] = include_bytes!("../data/locations.geo");

/// Why files did not become a table.
#[derive(Debug, Error)]
pub enum OpenError {
    /// A file cannot be read.
    #[error(transparent)]
    Read(#[from] DatabaseError),
    /// The databases did not become a table.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// A compiled table is not usable.
    #[error("{name}: {source}")]
    Compiled {
        /// The file.
        name: String,
        /// Why.
        source: FileError,
    },
    /// A compiled table among other files.
    #[error("{name} is a compiled table and complete in itself; give it alone")]
    Mixed {
        /// The file.
        name: String,
    },
}

impl GeoTable {
    /// The table this program ships.
    pub fn embedded() -> Self {
        Self::read(EMBEDDED).expect("the table is part of this program, and a test reads the very same bytes")
    }

    /// The table of a compiled file, or of one or several databases (see [`GeoTable::compile`]).
    ///
    /// # Errors
    /// When a file cannot be read, or is neither a compiled table nor a usable database.
    pub fn open<P: AsRef<Path>>(paths: &[P]) -> Result<Self, OpenError> {
        let files = paths.iter().map(|path| DatabaseFile::read(path.as_ref()));
        Self::of_files(&files.collect::<Result<Vec<_>, _>>()?)
    }

    /// The same of files that have been read.
    ///
    /// # Errors
    /// When they are neither a compiled table nor usable databases.
    pub fn of_files(files: &[DatabaseFile]) -> Result<Self, OpenError> {
        let Some(compiled) = files.iter().find(|file| Self::is_compiled(&file.bytes)) else {
            return Ok(Self::compile(files, &CompileOptions::default())?);
        };
        let name = || compiled.name.clone();
        if files.len() > 1 {
            return Err(OpenError::Mixed { name: name() });
        }
        Self::read(&compiled.bytes[..]).map_err(|source| OpenError::Compiled { name: name(), source })
    }
}

#[cfg(test)]
mod tests;
