//! Compiled tables as files.
//!
//! A file is a line of text with the version, then three sections: a length in four bytes, and so many bytes of zstd frames
//! with their checksums. In this order they hold:
//!
//! 1. in one frame the [`GeoInfo`] as JSON, the places, and the runs of whole v6 addresses, where the upper 64 bits do not suffice;
//! 2. the runs of v4 addresses, in frames as `packed` has them;
//! 3. the runs of the upper 64 bits of v6 addresses, in the same way.
//!
//! Counts are LEB128 varints. The last two sections are large, and are unpacked at the same time.

use crate::frames::{Damage, Frames, compressor};
use crate::info::GeoInfo;
use crate::packed::{Column, PackedRuns, pack_runs, pack_whole, put, take_whole};
use crate::runs::{Run, Runs};
use crate::table::GeoTable;
use crate::v4::V4Table;
use crate::v6::V6Table;
use portolan_core::geo::{Country, Place, PlaceId, Point, Precision};
use std::io::{self, Write};
use std::thread;
use thiserror::Error;

/// The start of every version's first line.
const MAGIC: &[u8] = b"portolan geo ";
/// The rest of this version's first line.
const VERSION: &[u8; 3] = b"03\n";
/// The strongest that needs no extra memory to read; the file is written once and read at every start.
const ZSTD_LEVEL: i32 = 19;
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

impl From<Damage> for FileError {
    fn from(damage: Damage) -> Self {
        Self::Damaged(damage.0)
    }
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
        let mut compressor = compressor(level)?;
        target.write_all(MAGIC)?;
        target.write_all(VERSION)?;
        for section in pack(self)? {
            let frames = section.iter().map(|content| compressor.compress(content));
            let frames = frames.collect::<io::Result<Vec<_>>>()?.concat();
            let length = u32::try_from(frames.len()).map_err(io::Error::other)?;
            target.write_all(&length.to_le_bytes())?;
            target.write_all(&frames)?;
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
        Ok(unpack(&mut Column(sections))?)
    }
}

/// The content of the frames of the three sections.
fn pack(table: &GeoTable) -> io::Result<[Vec<Vec<u8>>; 3]> {
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
    let parts = table.v6().parts();
    pack_whole(&mut head, &parts.whole);
    Ok([vec![head], pack_runs(&table.v4().runs()), pack_runs(&parts.upper)])
}

fn unpack(bytes: &mut Column<'_>) -> Result<GeoTable, Damage> {
    let [head, v4, v6] = [section(bytes)?, section(bytes)?, section(bytes)?];
    let (info, places, whole) = unpack_head(&mut Column(&Frames::only(head)?)).ok_or(Damage::SENSELESS)?;
    let known = places.len();
    let v6 = || unpack_v6(v6, &whole, known);
    let (v4, v6) = thread::scope(|scope| {
        let beside = thread::Builder::new().spawn_scoped(scope, v6);
        let v4 = unpack_v4(v4, known);
        // Where there is no thread to be had, one after the other.
        let v6 = beside.map_or_else(|_| v6(), |beside| beside.join().map_err(|_| Damage::SENSELESS)?);
        (v4, v6)
    });
    if !bytes.0.is_empty() {
        return Err(Damage::SENSELESS);
    }
    Ok(GeoTable::new(places, v4?, v6?, info))
}

/// The next section as it is packed.
fn section<'a>(bytes: &mut Column<'a>) -> Result<&'a [u8], Damage> {
    let length = bytes.array().map(u32::from_le_bytes);
    let section = length.and_then(|length| bytes.take(length.into()));
    section.map(|section| section.0).ok_or(Damage::CUT_SHORT)
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

fn unpack_v6(section: &[u8], whole: &[Run<PlaceId, u128>], known_places: usize) -> Result<V6Table<PlaceId>, Damage> {
    let mut runs = PackedRuns::new(Frames::new(section)?, known_places, u64::BITS)?;
    let (mut starts, mut values) = (Vec::with_capacity(runs.at_most()), Vec::with_capacity(runs.at_most()));
    while let Some((frame_starts, frame_values)) = runs.next_frame()? {
        starts.extend_from_slice(frame_starts);
        values.extend_from_slice(frame_values);
    }
    let upper = Runs::of_columns(starts, values, u64::BITS);
    Ok(V6Table::of_parts(upper, whole.iter().copied()))
}

fn unpack_v4(section: &[u8], known_places: usize) -> Result<V4Table, Damage> {
    let mut runs = PackedRuns::new(Frames::new(section)?, known_places, u32::BITS)?;
    let table = V4Table::new(&mut runs);
    runs.finish()?;
    Ok(table)
}

#[cfg(test)]
mod tests;
