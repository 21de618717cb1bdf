//! Compiled tables as files.
//!
//! A file is a line of text with the version, then one zstd frame with its checksum. The frame holds, in this order:
//! the [`GeoInfo`] as JSON; the places; the runs of v4 addresses; the runs of the upper 64 bits of v6
//! addresses; the runs of whole v6 addresses where those do not suffice. Counts and distances are
//! LEB128 varints.

use crate::info::GeoInfo;
use crate::packed::{Column, Grains, PackedRuns, pack_runs, pack_whole, put, take_whole};
use crate::table::GeoTable;
use crate::v4::V4Table;
use crate::v6::V6Table;
use portolan_core::geo::{Country, Place, Point, Precision};
use std::io::{self, Write};
use thiserror::Error;
use zstd::zstd_safe;

/// The start of every version's first line.
const MAGIC: &[u8] = b"portolan geo ";
/// The rest of this version's first line.
const VERSION: &[u8; 3] = b"02\n";
/// The strongest that needs no extra memory to read; the file is written once and read at every start.
const ZSTD_LEVEL: i32 = 19;
/// Far above any real table; a frame that unpacks to more was made to exhaust memory.
const MAX_UNPACKED: u64 = 512 << 20;

/// Why a file is no table.
#[derive(Debug, Error)]
pub enum FileError {
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

    /// Writes the table, as small as it gets. The same table gives the same bytes.
    ///
    /// # Errors
    /// When the target does.
    pub fn write(&self, target: &mut impl Write) -> io::Result<()> {
        self.write_at(ZSTD_LEVEL, target)
    }

    /// Writes the table at a level of zstd, 1 being the fastest.
    pub(crate) fn write_at(&self, level: i32, target: &mut impl Write) -> io::Result<()> {
        let mut compressor = zstd::bulk::Compressor::new(level)?;
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
    pub fn read(bytes: &[u8]) -> Result<Self, FileError> {
        let line = bytes.strip_prefix(MAGIC).and_then(|rest| rest.split_first_chunk());
        let (version, frame) = line.ok_or(FileError::NotATable)?;
        if version != VERSION {
            let text = |version| String::from_utf8_lossy(version).trim().to_owned();
            return Err(FileError::Version {
                found: text(version),
                known: text(VERSION),
            });
        }
        let length = zstd_safe::get_frame_content_size(frame).ok().flatten();
        let length = length.filter(|length| *length <= MAX_UNPACKED).unwrap_or(0);
        // An impossible length in the frame reserves addresses, but no memory before there is something to put there.
        let unpacked = usize::try_from(length)
            .ok()
            .and_then(|length| zstd::bulk::decompress(frame, length).ok());
        let unpacked = unpacked.ok_or(FileError::Damaged("its checksum or compression is wrong"))?;
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
        out.push(place.precision.code());
    }
    pack_runs(&mut out, &table.v4().runs(), Grains::V4);
    let v6 = table.v6().parts();
    pack_runs(&mut out, &v6.upper, Grains::V6);
    pack_whole(&mut out, &v6.whole);
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
        let country = u16::from_le_bytes(bytes.array()?);
        let [precision] = bytes.array()?;
        places.push(Place {
            point: Point::new(latitude, longitude).ok(),
            country: Country::from_code(country),
            precision: Precision::from_code(precision),
        });
    }
    let mut v4 = PackedRuns::take(bytes, Grains::V4, u32::MAX.into(), places.len())?;
    let mut v6 = PackedRuns::take(bytes, Grains::V6, u64::MAX, places.len())?;
    let whole = take_whole(bytes, places.len())?;
    let (v4_table, v6_table) = (V4Table::new(&mut v4), V6Table::of_parts(&mut v6, whole));
    let sound = v4.is_sound() && v6.is_sound() && bytes.0.is_empty();
    sound.then(|| GeoTable::new(places, v4_table, v6_table, info))
}

#[cfg(test)]
mod tests;
