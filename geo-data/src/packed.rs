//! Runs as bytes: three columns (distances, lower and upper bytes of the place's number), because columns of one kind
//! compress best.

use crate::runs::Run;
use portolan_core::geo::PlaceId;
use std::iter::Zip;
use std::slice;

/// Appends runs. Distances are in grains, with one more bit that tells the few that are in addresses. There is room for
/// that bit: addresses with a place end at 2^62 (`4000::`).
pub(crate) fn pack_runs(out: &mut Vec<u8>, runs: &[Run<PlaceId>], grain: u32) {
    let mut distances = Vec::new();
    let mut before = 0;
    for run in runs {
        let distance = run.start - before;
        before = run.start;
        if distance.trailing_zeros() >= grain {
            put(&mut distances, distance >> grain << 1);
        } else {
            put(&mut distances, distance << 1 | 1);
        }
    }
    put(out, runs.len() as u64);
    put(out, distances.len() as u64);
    out.extend(distances);
    let bytes = runs.iter().map(|run| run.value.0.to_le_bytes());
    out.extend(bytes.clone().map(|[lower, _]| lower));
    out.extend(bytes.map(|[_, upper]| upper));
}

/// Runs as they are unpacked, without a list of them in between: there are millions. They end early where they are not
/// ascending, go beyond the last address, or name a place that is not there.
pub(crate) struct PackedRuns<'a> {
    distances: Column<'a>,
    places: Zip<slice::Iter<'a, u8>, slice::Iter<'a, u8>>,
    grain: u32,
    last: u64,
    known_places: usize,
    before: Option<u64>,
}

impl<'a> PackedRuns<'a> {
    /// Takes what [`pack_runs`] appended. Addresses go up to `last`, and places are numbered below `known_places`.
    pub(crate) fn take(bytes: &mut Column<'a>, grain: u32, last: u64, known_places: usize) -> Option<Self> {
        let (count, length) = (bytes.varint()?, bytes.varint()?);
        let distances = bytes.take(length)?;
        let (lower, upper) = (bytes.take(count)?, bytes.take(count)?);
        let places = lower.0.iter().zip(upper.0);
        Some(Self {
            distances,
            places,
            grain,
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
        let distance = self.distances.varint()?;
        let exact = distance & 1 == 1;
        let distance = if exact {
            distance >> 1
        } else {
            (distance >> 1).checked_mul(1 << self.grain)?
        };
        let start = self.before.unwrap_or(0).checked_add(distance)?;
        let ascending = self.before.is_none_or(|before| before < start);
        let run = Run { start, value: place };
        self.before = Some(start);
        (ascending && start <= self.last && place.index() < self.known_places).then_some(run)
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
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }
}
