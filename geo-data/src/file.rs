//! Compiled tables as files.
//!
//! A file is a line of text with the version, then one zstd frame with its checksum. The frame holds, in this order:
//! the [`GeoInfo`] as JSON; the places; the runs of v4 addresses; the runs of v6 addresses. Counts and distances are
//! LEB128 varints.

use crate::info::GeoInfo;
use crate::packed::{Column, PackedRuns, pack_runs, put};
use crate::table::GeoTable;
use crate::{v4, v6};
use portolan_core::geo::{Country, Place, Point};
use std::io::{self, Read, Write};
use thiserror::Error;

/// The start of every version's first line.
const MAGIC: &[u8] = b"portolan geo ";
/// The rest of this version's first line.
const VERSION: &[u8; 3] = b"01\n";
/// The strongest that needs no extra memory to read; the file is written once and read at every start.
const ZSTD_LEVEL: i32 = 19;
/// Far above any real table; a frame that unpacks to more was made to exhaust memory.
const MAX_UNPACKED: u64 = 512 << 20;

/// Why a file is no table.
#[derive(Debug, Error)]
pub enum FileError {
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is something else.
    #[error("not a compiled location table; make one with `portolan geo compile`")]
    NotATable,
    /// It was written by another version.
    #[error("a compiled location table of version {found}, and version {known} is needed; compile it again")]
    Version {
        /// The version of the file.
        found: String,
        /// The version this program reads.
        known: String,
    },
    /// It was damaged.
    #[error("damaged: {0}; compile it again")]
    Damaged(&'static str),
}

impl GeoTable {
    /// Whether these bytes are the start of a compiled table of any version.
    pub fn is_compiled(bytes: &[u8]) -> bool {
        bytes.starts_with(MAGIC)
    }

    /// Writes the table. The same table gives the same bytes.
    ///
    /// # Errors
    /// When the target does.
    pub fn write(&self, target: &mut impl Write) -> io::Result<()> {
        let mut compressor = zstd::bulk::Compressor::new(ZSTD_LEVEL)?;
        compressor.include_checksum(true)?;
        let frame = compressor.compress(&pack(self)?)?;
        target.write_all(MAGIC)?;
        target.write_all(VERSION)?;
        target.write_all(&frame)
    }

    /// Reads a table.
    ///
    /// # Errors
    /// When it is no table, a table of another version, or a damaged one.
    pub fn read(mut source: impl Read) -> Result<Self, FileError> {
        let mut head = [0; MAGIC.len() + VERSION.len()];
        let line = source.read_exact(&mut head).map(|()| head.split_at(MAGIC.len()));
        let version = match line {
            Ok((MAGIC, version)) => version,
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(error.into()),
            Ok(_) | Err(_) => return Err(FileError::NotATable),
        };
        if version != VERSION {
            let text = |version| String::from_utf8_lossy(version).trim().to_owned();
            return Err(FileError::Version {
                found: text(version),
                known: text(VERSION),
            });
        }
        let mut unpacked = Vec::new();
        let mut frame = zstd::Decoder::new(source)?.take(MAX_UNPACKED);
        frame
            .read_to_end(&mut unpacked)
            .map_err(|_| FileError::Damaged("its checksum or compression is wrong"))?;
        unpack(&mut Column(&unpacked)).ok_or(FileError::Damaged("its content makes no sense"))
    }
}

fn pack(table: &GeoTable) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    let info = serde_json::to_vec(table.info())?;
    put(&mut out, info.len() as u64);
    out.extend(info);
    let places = table.places().iter().skip(1);
    put(&mut out, places.len() as u64);
    for place in places {
        // Every place but the first has a point; one without would be read as having none.
        let (latitude, longitude) = place
            .point
            .map_or((f32::NAN, f32::NAN), |point| (point.latitude(), point.longitude()));
        out.extend(latitude.to_le_bytes());
        out.extend(longitude.to_le_bytes());
        out.extend(place.country.code().to_le_bytes());
    }
    let (v4, v6) = table.runs();
    pack_runs(&mut out, &v4, v4::GRAIN);
    pack_runs(&mut out, &v6, v6::GRAIN);
    Ok(out)
}

fn unpack(bytes: &mut Column<'_>) -> Option<GeoTable> {
    let info: GeoInfo = {
        let length = bytes.varint()?;
        serde_json::from_slice(bytes.take(length)?.0).ok()?
    };
    let mut places = vec![Place::default()];
    for _ in 0..bytes.varint()? {
        let (latitude, longitude) = (f32::from_le_bytes(bytes.array()?), f32::from_le_bytes(bytes.array()?));
        places.push(Place {
            point: Point::new(latitude, longitude).ok(),
            country: Country::from_code(u16::from_le_bytes(bytes.array()?)),
        });
    }
    let mut v4 = PackedRuns::take(bytes, v4::GRAIN, u32::MAX.into(), places.len())?;
    let mut v6 = PackedRuns::take(bytes, v6::GRAIN, u64::MAX, places.len())?;
    let table = GeoTable::new(places, &mut v4, &mut v6, info);
    (v4.is_sound() && v6.is_sound() && bytes.0.is_empty()).then_some(table)
}

#[cfg(test)]
mod tests;
