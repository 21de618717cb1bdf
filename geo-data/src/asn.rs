//! Which network operator an address belongs to: autonomous systems by number and name.

use crate::layers::{Layer, LayerBuilder};
use crate::reader::{Database, DatabaseError, DatabaseFile, Family, Span};
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
    /// Makes a table of one database, or of one for v4 and one for v6.
    ///
    /// # Errors
    /// When a file is no database, is corrupt, or names no autonomous system.
    pub fn compile(files: &[DatabaseFile]) -> Result<Self, AsnError> {
        let databases = files.iter().map(Database::open).collect::<Result<Vec<_>, _>>()?;
        let mut names = BTreeMap::new();
        let v4 = runs(&databases, Family::V4, &mut names)?;
        let v6 = runs(&databases, Family::V6, &mut names)?;
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
        })
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

/// The runs of the first database that has any. Unlike places, numbers are kept as finely as they are given.
fn runs(
    databases: &[Database<'_>],
    family: Family,
    names: &mut BTreeMap<u32, String>,
) -> Result<Layer<u32>, DatabaseError> {
    for database in databases {
        let mut layer = LayerBuilder::new();
        let read = |record: &Record| {
            let number = record.at(&["autonomous_system_number"])?.number()?;
            let number = Some(number as u32).filter(|number| *number != 0)?;
            let name = record.at(&["autonomous_system_organization"]).and_then(Record::text);
            names
                .entry(number)
                .or_insert_with(|| name.unwrap_or_default().to_owned());
            Some(number)
        };
        database.walk(family, read, |Span { first, last }, number| {
            if let Some(number) = number {
                layer.add(first, last, number);
            }
        })?;
        let runs = layer.finish();
        if !runs.is_empty() {
            return Ok(runs);
        }
    }
    Ok(Layer::new())
}
