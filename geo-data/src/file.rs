//! Compiled tables as files.
//!
//! A file is a line of text with the version, then three sections: a length in four bytes, and a zstd frame of that length
//! with its checksum. In this order they hold:
//!
//! 1. the [`GeoInfo`] as JSON, the places, and the runs of whole v6 addresses, where the upper 64 bits do not suffice;
//! 2. the runs of v4 addresses;
//! 3. the runs of the upper 64 bits of v6 addresses.
//!
//! Counts are LEB128 varints. The last two sections are large, and are unpacked at the same time.

use crate::info::GeoInfo;
use crate::packed::{Column, PackedRuns, pack_runs, pack_whole, put, take_whole};
use crate::runs::Run;
use crate::table::GeoTable;
use crate::v4::V4Table;
use crate::v6::V6Table;
use portolan_core::geo::{Country, Place, PlaceId, Point, Precision};
use std::io::{self, Write};
use std::thread;
use thiserror::Error;
use zstd::zstd_safe;

/// The start of every version's first line.
const MAGIC: &[u8] = b"portolan geo ";
/// The rest of this version's first line.
const VERSION: &[u8; 3] = b"02\n";
/// The strongest that needs no extra memory to read; the file is written once and read at every start.
const ZSTD_LEVEL: i32 = 19;
/// Far above any real table; a section that unpacks to more was made to exhaust memory.
const MAX_UNPACKED: u64 = 512 << 20;

const SENSELESS: FileError = FileError::Damaged("its content makes no sense");

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
        target.write_all(MAGIC)?;
        target.write_all(VERSION)?;
        for section in pack(self)? {
            let frame = compressor.compress(&section)?;
            let length = u32::try_from(frame.len()).map_err(io::Error::other)?;
            target.write_all(&length.to_le_bytes())?;
            target.write_all(&frame)?;
        }
        Ok(())
    }

    /// Reads a table.
    ///
    /// # Errors
    /// When it is no table, a table of another version, or a damaged one.
    pub fn read(bytes: &[u8]) -> Result<Self, FileError> {
        let line = bytes.strip_prefix(MAGIC).and_then(|rest| rest.split_first_chunk());
        let (version, sections) = line.ok_or(FileError::NotATable)?;
        if version != VERSION {
            let text = |version| String::from_utf8_lossy(version).trim().to_owned();
            return Err(FileError::Version {
                found: text(version),
                known: text(VERSION),
            });
        }
        unpack(&mut Column(sections))
    }
}

/// The content of the three sections.
fn pack(table: &GeoTable) -> io::Result<[Vec<u8>; 3]> {
    let mut head = Vec::new();
    let info = serde_json::to_vec(table.info())?;
    put(&mut head, info.len() as u64);
    head.extend(info);
    let places = table.places().iter().skip(1);
    put(&mut head, places.len() as u64);
    for place in places {
        // Every place but the first has a point; one without would be read as having none.
        let (latitude, longitude) = place
            .point
            .map_or((f32::NAN, f32::NAN), |point| (point.latitude(), point.longitude()));
        head.extend(latitude.to_le_bytes());
        head.extend(longitude.to_le_bytes());
        head.extend(place.country.code().to_le_bytes());
        head.push(place.precision.code());
    }
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    pack_runs::<4>(&mut v4, &table.v4().runs());
    let parts = table.v6().parts();
    pack_runs::<8>(&mut v6, &parts.upper);
    pack_whole(&mut head, &parts.whole);
    Ok([head, v4, v6])
}

fn unpack(bytes: &mut Column<'_>) -> Result<GeoTable, FileError> {
    let [head, v4, v6] = [section(bytes)?, section(bytes)?, section(bytes)?];
    let (info, places, whole) = unpack_head(&mut Column(&unpack_section(head)?)).ok_or(SENSELESS)?;
    let known = places.len();
    let v6 = || unpack_v6(v6, &whole, known);
    let (v4, v6) = thread::scope(|scope| {
        let beside = thread::Builder::new().spawn_scoped(scope, v6);
        let v4 = unpack_v4(v4, known);
        // Where there is no thread to be had, one after the other.
        let v6 = beside.map_or_else(|_| v6(), |beside| beside.join().map_err(|_| SENSELESS)?);
        (v4, v6)
    });
    if !bytes.0.is_empty() {
        return Err(SENSELESS);
    }
    Ok(GeoTable::new(places, v4?, v6?, info))
}

/// The next section as it is packed.
fn section<'a>(bytes: &mut Column<'a>) -> Result<&'a [u8], FileError> {
    let length = bytes.array().map(u32::from_le_bytes);
    let section = length.and_then(|length| bytes.take(length.into()));
    section
        .map(|section| section.0)
        .ok_or(FileError::Damaged("it was cut short"))
}

fn unpack_section(frame: &[u8]) -> Result<Vec<u8>, FileError> {
    let length = zstd_safe::get_frame_content_size(frame).ok().flatten();
    let length = length.filter(|length| *length <= MAX_UNPACKED);
    let length = length.and_then(|length| usize::try_from(length).ok());
    let unpacked = length.and_then(|length| zstd::bulk::decompress(frame, length).ok());
    unpacked.ok_or(FileError::Damaged("its checksum or compression is wrong"))
}

type Head = (GeoInfo, Vec<Place>, Vec<Run<PlaceId, u128>>);

fn unpack_head(bytes: &mut Column<'_>) -> Option<Head> {
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
    let whole = take_whole(bytes, places.len())?;
    bytes.0.is_empty().then_some((info, places, whole))
}

fn unpack_v6(section: &[u8], whole: &[Run<PlaceId, u128>], known_places: usize) -> Result<V6Table<PlaceId>, FileError> {
    let content = unpack_section(section)?;
    let content = &mut Column(&content);
    let mut runs = PackedRuns::<8>::take(content, known_places).ok_or(SENSELESS)?;
    let table = V6Table::of_parts(&mut runs, whole.iter().copied());
    let is_sound = runs.is_sound() && content.0.is_empty();
    is_sound.then_some(table).ok_or(SENSELESS)
}

fn unpack_v4(section: &[u8], known_places: usize) -> Result<V4Table, FileError> {
    let content = unpack_section(section)?;
    let content = &mut Column(&content);
    let mut runs = PackedRuns::<4>::take(content, known_places).ok_or(SENSELESS)?;
    let table = V4Table::new(&mut runs);
    let is_sound = runs.is_sound() && content.0.is_empty();
    is_sound.then_some(table).ok_or(SENSELESS)
}

#[cfg(test)]
mod tests;
