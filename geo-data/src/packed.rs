//! Runs as bytes: three columns (distances, lower and upper bytes of the place's number), because columns of one kind
//! compress best.

use crate::runs::{Run, Value};
use portolan_core::geo::PlaceId;
use std::iter::Zip;
use std::slice;

/// Most runs start at a multiple of one of two powers of two: their distances are numbers of those.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grains(pub(crate) u32, pub(crate) u32);

impl Grains {
    /// v4: the /24, and a part of one.
    pub(crate) const V4: Self = Self(8, 4);
    /// The upper 64 bits of v6: the /32 and the /48.
    pub(crate) const V6: Self = Self(32, 16);
}

// The lowest two bits of a distance say what it counts.
const FIRST: u64 = 0;
const SECOND: u64 = 1;
const ADDRESSES: u64 = 2;
/// The next number is the distance: it has no room for two more bits.
const LONG: u64 = 3;

/// Appends runs.
pub(crate) fn pack_runs(out: &mut Vec<u8>, runs: &[Run<PlaceId>], grains: Grains) {
    let mut distances = Vec::new();
    let mut before = 0;
    for run in runs {
        let distance = run.start - before;
        before = run.start;
        let zeros = distance.trailing_zeros();
        if zeros >= grains.0 {
            put(&mut distances, distance >> grains.0 << 2 | FIRST);
        } else if zeros >= grains.1 {
            put(&mut distances, distance >> grains.1 << 2 | SECOND);
        } else if distance.leading_zeros() >= 2 {
            put(&mut distances, distance << 2 | ADDRESSES);
        } else {
            put(&mut distances, LONG);
            put(&mut distances, distance);
        }
    }
    put(out, runs.len() as u64);
    put(out, distances.len() as u64);
    out.extend(distances);
    let bytes = runs.iter().map(|run| run.value.0.to_le_bytes());
    out.extend(bytes.clone().map(|[lower, _]| lower));
    out.extend(bytes.map(|[_, upper]| upper));
}

/// Appends runs over whole v6 addresses. There are few.
pub(crate) fn pack_whole(out: &mut Vec<u8>, runs: &[Run<PlaceId, u128>]) {
    put(out, runs.len() as u64);
    for run in runs {
        out.extend(run.start.to_le_bytes());
        out.extend(run.value.0.to_le_bytes());
    }
}

/// Takes what [`pack_whole`] appended; `None` when it makes no sense.
pub(crate) fn take_whole(bytes: &mut Column<'_>, known_places: usize) -> Option<Vec<Run<PlaceId, u128>>> {
    let mut runs: Vec<Run<PlaceId, u128>> = Vec::new();
    for _ in 0..bytes.varint()? {
        let run = Run {
            start: u128::from_le_bytes(bytes.array()?),
            value: PlaceId(u16::from_le_bytes(bytes.array()?)),
        };
        let ascending = runs.last().is_none_or(|before| before.start < run.start);
        runs.push(Some(run).filter(|run| ascending && run.value.index() < known_places)?);
    }
    Some(runs)
}

/// Runs as they are unpacked, without a list of them in between: there are millions. They end early where they are not
/// ascending, go beyond the last address, or name a place that is not there.
pub(crate) struct PackedRuns<'a> {
    distances: Column<'a>,
    places: Zip<slice::Iter<'a, u8>, slice::Iter<'a, u8>>,
    grains: Grains,
    last: u64,
    known_places: usize,
    before: Option<u64>,
}

impl<'a> PackedRuns<'a> {
    /// Takes what [`pack_runs`] appended. Addresses go up to `last`, and places are numbered below `known_places`, except
    /// for [`Value::SEVERAL`] in a table of the upper 64 bits.
    pub(crate) fn take(bytes: &mut Column<'a>, grains: Grains, last: u64, known_places: usize) -> Option<Self> {
        let (count, length) = (bytes.varint()?, bytes.varint()?);
        let distances = bytes.take(length)?;
        let (lower, upper) = (bytes.take(count)?, bytes.take(count)?);
        let places = lower.0.iter().zip(upper.0);
        Some(Self {
            distances,
            places,
            grains,
            last,
            known_places,
            before: None,
        })
    }

    /// Whether all of them were unpacked, and nothing is left.
    pub(crate) fn is_sound(&self) -> bool {
        self.places.len() == 0 && self.distances.0.is_empty()
    }

    fn unpack(&mut self, place: PlaceId) -> Option<Run<PlaceId>> {
        let number = self.distances.varint()?;
        let distance = match number & 3 {
            FIRST => (number >> 2).checked_mul(1 << self.grains.0)?,
            SECOND => (number >> 2).checked_mul(1 << self.grains.1)?,
            ADDRESSES => number >> 2,
            _ => self.distances.varint()?,
        };
        let start = self.before.unwrap_or(0).checked_add(distance)?;
        let ascending = self.before.is_none_or(|before| before < start);
        let run = Run { start, value: place };
        self.before = Some(start);
        let known = place.index() < self.known_places || (place == PlaceId::SEVERAL && self.last == u64::MAX);
        (ascending && start <= self.last && known).then_some(run)
    }
}

impl Iterator for PackedRuns<'_> {
    type Item = Run<PlaceId>;

    fn next(&mut self) -> Option<Run<PlaceId>> {
        let (&lower, &upper) = self.places.clone().next()?;
        let run = self.unpack(PlaceId(u16::from_le_bytes([lower, upper])))?;
        self.places.next();
        Some(run)
    }

    /// They may end early.
    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.places.len()))
    }
}

/// Appends a number as LEB128: seven bits to a byte, the lowest first.
pub(crate) fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// The bytes that are left to read.
pub(crate) struct Column<'a>(pub(crate) &'a [u8]);

impl<'a> Column<'a> {
    pub(crate) fn take(&mut self, length: u64) -> Option<Self> {
        let (taken, rest) = self.0.split_at_checked(usize::try_from(length).ok()?)?;
        self.0 = rest;
        Some(Self(taken))
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    pub(crate) fn varint(&mut self) -> Option<u64> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        // Nearly all distances are this short.
        if first < 0x80 {
            return Some(first.into());
        }
        let mut number = u64::from(first & 0x7f);
        for shift in (7..64).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }
}
