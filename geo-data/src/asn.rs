//! Which network operator an address belongs to: autonomous systems by number and name.

use crate::info::{Coverage, FileInfo};
use crate::layers::{Layer, LayerBuilder, overlay};
use crate::reader::{Database, DatabaseError, DatabaseFile, Family, Known, Span};
use crate::record::Record;
use crate::runs::{Run, Runs};
use crate::special;
use crate::v6::V6Table;
use std::collections::BTreeMap;
use std::net::IpAddr;
use thiserror::Error;

/// Autonomous systems by address, compiled from an ASN database.
#[derive(Clone, Debug)]
pub struct AsnTable {
    // 0 stands for none: no operator has that number (RFC 7607).
    v4: Runs<u32>,
    v6: V6Table<u32>,
    names: BTreeMap<u32, String>,
    files: Vec<FileInfo>,
}

/// An autonomous system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AutonomousSystem<'a> {
    /// Its number.
    pub number: u32,
    /// Who runs it, if the database says so.
    pub organization: Option<&'a str>,
}

/// Why databases did not become a table.
#[derive(Debug, Error)]
pub enum AsnError {
    /// A file is no database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// It is a database of another kind.
    #[error("{files} names no autonomous system; give an ASN database, such as GeoLite2-ASN")]
    NoNumbers {
        /// The files.
        files: String,
    },
}

impl AsnTable {
    /// Makes a table of databases that lie over each other: of each network, the first one that knows it counts.
    ///
    /// # Errors
    /// When a file is no database, is corrupt, or names no autonomous system.
    pub fn compile(files: &[DatabaseFile]) -> Result<Self, AsnError> {
        let databases = files.iter().map(Database::open).collect::<Result<Vec<_>, _>>()?;
        let mut names = BTreeMap::new();
        let of_file = |(file, database): (&DatabaseFile, &Database<'_>)| FileInfo {
            name: file.base_name(),
            database: database.database_type().to_owned(),
            built: database.build_epoch(),
            ..FileInfo::default()
        };
        let mut infos: Vec<_> = files.iter().zip(&databases).map(of_file).collect();
        let v4 = runs(
            &databases,
            Family::V4,
            &mut names,
            infos.iter_mut().map(|info| &mut info.v4),
        )?;
        let v6 = runs(
            &databases,
            Family::V6,
            &mut names,
            infos.iter_mut().map(|info| &mut info.v6),
        )?;
        if names.is_empty() {
            let files: Vec<_> = files.iter().map(|file| file.name.as_str()).collect();
            return Err(AsnError::NoNumbers {
                files: files.join(" and "),
            });
        }
        // v4 addresses have 32 bits.
        let v4 = v4.into_iter().map(|Run { start, value }| Run {
            start: start as u64,
            value,
        });
        Ok(Self {
            v4: Runs::new(v4, u32::BITS),
            v6: V6Table::new(&v6),
            names,
            files: infos,
        })
    }

    /// Its files, the uppermost first; [`Coverage::placed`] are the networks with a system.
    pub fn files(&self) -> &[FileInfo] {
        &self.files
    }

    /// How many networks of a family the databases have a system for.
    pub fn networks(&self, family: Family) -> u64 {
        let coverage = |file: &FileInfo| match family {
            Family::V4 => file.v4,
            Family::V6 => file.v6,
        };
        self.files.iter().map(|file| coverage(file).placed).sum()
    }

    /// The number of the system an address belongs to. A v6 address that carries a v4 one belongs where that does.
    pub fn lookup(&self, ip: IpAddr) -> Option<u32> {
        let ip = match ip {
            IpAddr::V4(_) => ip,
            IpAddr::V6(v6) => special::unwrap(v6),
        };
        let number = match ip {
            IpAddr::V4(v4) => self.v4.at(v4.to_bits().into()),
            IpAddr::V6(v6) => self.v6.at(v6),
        };
        (number != 0).then_some(number)
    }

    /// The system an address belongs to, with its name.
    pub fn describe(&self, ip: IpAddr) -> Option<AutonomousSystem<'_>> {
        let number = self.lookup(ip)?;
        let organization = self
            .names
            .get(&number)
            .map(String::as_str)
            .filter(|name| !name.is_empty());
        Some(AutonomousSystem { number, organization })
    }
}

/// All databases, laid over each other, with what each has.
fn runs<'a>(
    databases: &[Database<'_>],
    family: Family,
    names: &mut BTreeMap<u32, String>,
    coverages: impl Iterator<Item = &'a mut Coverage>,
) -> Result<Layer<u32>, DatabaseError> {
    let mut above = Layer::new();
    for (database, coverage) in databases.iter().zip(coverages) {
        let mut layer = LayerBuilder::new();
        let read = |record: &Record| {
            let (number, name) = record.system()?;
            let known = names.entry(number).or_default();
            if known.is_empty() {
                *known = name.unwrap_or_default().to_owned();
            }
            Some(number)
        };
        database.walk(family, &mut Known::default(), read, |Span { first, last }, number| {
            coverage.networks += 1;
            if let Some(number) = number {
                coverage.placed += 1;
                layer.add(first, last, number);
            }
        })?;
        above = overlay(layer.finish(), above);
    }
    Ok(above)
}
