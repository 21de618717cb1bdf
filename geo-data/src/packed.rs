//! Runs as bytes. Every byte of a distance and of a place's number has a column of its own: most columns are nearly constant,
//! so that they compress well, and nothing that is read depends on what was read before.

use crate::runs::{Run, Value};
use portolan_core::geo::PlaceId;

/// Appends runs whose addresses have so many bytes.
pub(crate) fn pack_runs<const WIDTH: usize>(out: &mut Vec<u8>, runs: &[Run<PlaceId>]) {
    put(out, runs.len() as u64);
    for byte in 0..WIDTH {
        let befores = std::iter::once(0).chain(runs.iter().map(|run| run.start));
        let distances = runs.iter().zip(befores).map(|(run, before)| run.start - before);
        out.extend(distances.map(|distance| distance.to_le_bytes()[byte]));
    }
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
pub(crate) struct PackedRuns<'a, const WIDTH: usize> {
    distances: [&'a [u8]; WIDTH],
    places: [&'a [u8]; 2],
    known_places: usize,
    count: usize,
    next: usize,
    before: u64,
}

impl<'a, const WIDTH: usize> PackedRuns<'a, WIDTH> {
    /// Takes what [`pack_runs`] appended. Places are numbered below `known_places`, except for [`Value::SEVERAL`] in a table
    /// of the upper 64 bits.
    pub(crate) fn take(bytes: &mut Column<'a>, known_places: usize) -> Option<Self> {
        let count = bytes.varint()?;
        let mut distances = [&[][..]; WIDTH];
        for column in &mut distances {
            *column = bytes.take(count)?.0;
        }
        Some(Self {
            distances,
            places: [bytes.take(count)?.0, bytes.take(count)?.0],
            known_places,
            count: usize::try_from(count).ok()?,
            next: 0,
            before: 0,
        })
    }

    /// Whether all of them were unpacked.
    pub(crate) fn is_sound(&self) -> bool {
        self.next == self.count
    }
}

impl<const WIDTH: usize> Iterator for PackedRuns<'_, WIDTH> {
    type Item = Run<PlaceId>;

    fn next(&mut self) -> Option<Run<PlaceId>> {
        let mut distance = [0; 8];
        for (byte, column) in distance.iter_mut().zip(self.distances) {
            *byte = *column.get(self.next)?;
        }
        let distance = u64::from_le_bytes(distance);
        let start = self.before.checked_add(distance)?;
        let [lower, upper] = self.places;
        let value = PlaceId(u16::from_le_bytes([*lower.get(self.next)?, *upper.get(self.next)?]));
        let is_ascending = distance > 0 || self.next == 0;
        let is_address = WIDTH == 8 || start >> (8 * WIDTH) == 0;
        let is_known = value.index() < self.known_places || (WIDTH == 8 && value == PlaceId::SEVERAL);
        if !(is_ascending && is_address && is_known) {
            return None;
        }
        self.next += 1;
        self.before = start;
        Some(Run { start, value })
    }

    /// They may end early.
    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.count - self.next))
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
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }
}
