//! Evidence as a file of the state directory and as a blob of the shared store: JSON with a version, within bounds.

use portolan_core::id::RegionName;
use portolan_core::learned::evidence::Foreign;
use portolan_core::learned::table::MAX_REGIONS;
use portolan_core::learned::{Estimate, Prefix, Record, RegionId};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The most prefixes that are written, those with the most evidence.
pub const MAX_PREFIXES: usize = 8192;
/// The most records, one for each prefix and region: about 1.5 MB.
pub const MAX_RECORDS: usize = 3 * MAX_PREFIXES;
/// What is longer was not written by this program.
pub const MAX_BYTES: usize = 4 << 20;

const VERSION: u32 = 1;
/// The longest name of a region.
const MAX_NAME: usize = 128;

/// Why evidence is ignored.
#[derive(Debug, Error)]
pub enum StoredError {
    /// It is too long.
    #[error("{0} bytes are more than the {MAX_BYTES} that are read")]
    Long(usize),
    /// It is not JSON, or has other members.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// It is of another version of the program.
    #[error("version {0} of the format is unknown: this program reads {VERSION}")]
    Version(u32),
    /// There are too many regions or records, or a region has no usable name.
    #[error("it has more regions or records than are read, or a region without a usable name")]
    Bounds,
    /// A record is out of range.
    #[error("record {0} is out of range")]
    Record(usize),
}

#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    regions: Vec<String>,
    /// Prefix, region, weight, median in milliseconds, deviation, last seen.
    records: Vec<(u64, u16, f32, f64, f32, u64)>,
}

/// Evidence as bytes.
pub fn written(regions: &[RegionName], records: &[Record]) -> Vec<u8> {
    let stored = Stored {
        version: VERSION,
        regions: regions.iter().map(ToString::to_string).collect(),
        records: records
            .iter()
            .map(|record| {
                let estimate = record.estimate;
                let ms = (estimate.ms() * 100.0).round().max(5.0) / 100.0;
                let (prefix, region) = (record.prefix.bits(), record.region.0);
                (prefix, region, estimate.weight(), ms, estimate.deviation(), record.seen)
            })
            .collect(),
    };
    // Numbers and names can always be written.
    serde_json::to_vec(&stored).unwrap_or_default()
}

/// Reads evidence, all of it or nothing. What was seen in the future of this clock counts as seen now.
///
/// # Errors
/// When it is not what [`written`] writes.
pub fn read(bytes: &[u8], now: u64) -> Result<Foreign, StoredError> {
    if bytes.len() > MAX_BYTES {
        return Err(StoredError::Long(bytes.len()));
    }
    let stored: Stored = serde_json::from_slice(bytes)?;
    if stored.version != VERSION {
        return Err(StoredError::Version(stored.version));
    }
    let is_name = |name: &String| (1..=MAX_NAME).contains(&name.len());
    let fits = stored.regions.len() <= MAX_REGIONS && stored.records.len() <= MAX_RECORDS;
    if !fits || !stored.regions.iter().all(is_name) {
        return Err(StoredError::Bounds);
    }
    let count = stored.regions.len();
    let records = stored.records.into_iter().enumerate().map(|(index, record)| {
        let (prefix, region, weight, ms, deviation, seen) = record;
        let estimate = Estimate::from_parts(weight, ms, deviation);
        let known = (usize::from(region) < count).then_some(RegionId(region));
        let parts = Prefix::from_bits(prefix).zip(known).zip(estimate);
        let ((prefix, region), estimate) = parts.ok_or(StoredError::Record(index))?;
        Ok(Record {
            prefix,
            region,
            estimate,
            seen: seen.min(now),
        })
    });
    let records = records.collect::<Result<Vec<_>, StoredError>>()?;
    let regions = stored.regions.into_iter().map(RegionName::new).collect();
    Ok(Foreign::new(regions, records))
}
