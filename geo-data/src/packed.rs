//! Runs as bytes. Millions of runs have some thousands of distances between them: each has a code of two bytes, and the common
//! ones the lower codes. Codes have a column for each of their bytes, so that they compress well; places have one.
//!
//! The first frame of a section of runs holds how many there are, and the distances by their code: their number, and each, as
//! varints. Each of the others holds [`CHUNK`] runs, the last one what is left: the lower bytes of their codes, the
//! upper bytes, their places in two bytes each, and in eight bytes each the distances that have no code, whose runs have [`LITERAL`].
//! Numbers of several bytes begin with the lowest.

use crate::frames::{Damage, Frames};
use crate::runs::{Run, Value};
use portolan_core::geo::PlaceId;
use std::cmp::Reverse;
use std::collections::HashMap;

/// How many runs a frame has. What they are unpacked to fits the second-level cache of a core.
const CHUNK: usize = 1 << 16;
/// The code of a distance that is written out.
const LITERAL: u16 = u16::MAX;
/// A code and a place.
const RUN_BYTES: u64 = 4;

/// Runs as the content of a section's frames.
pub(crate) fn pack_runs(runs: &[Run<PlaceId>]) -> Vec<Vec<u8>> {
    let befores = std::iter::once(0).chain(runs.iter().map(|run| run.start));
    let distances: Vec<u64> = runs
        .iter()
        .zip(befores)
        .map(|(run, before)| run.start - before)
        .collect();
    let mut counts: HashMap<u64, u64> = HashMap::new();
    for distance in &distances {
        *counts.entry(*distance).or_default() += 1;
    }
    let mut known: Vec<_> = counts.into_iter().collect();
    known.sort_unstable_by_key(|&(distance, count)| (Reverse(count), distance));
    known.truncate(LITERAL.into());
    let codes: HashMap<u64, u16> = known.iter().map(|(distance, _)| *distance).zip(0..).collect();

    let mut head = Vec::new();
    put(&mut head, runs.len() as u64);
    put(&mut head, known.len() as u64);
    known.iter().for_each(|(distance, _)| put(&mut head, *distance));
    let mut frames = vec![head];
    for (runs, distances) in runs.chunks(CHUNK).zip(distances.chunks(CHUNK)) {
        let code = |distance| codes.get(distance).copied().unwrap_or(LITERAL);
        let bytes = distances.iter().map(|distance| code(distance).to_le_bytes());
        let mut frame = Vec::new();
        frame.extend(bytes.clone().map(|[lower, _]| lower));
        frame.extend(bytes.map(|[_, upper]| upper));
        frame.extend(runs.iter().flat_map(|run| run.value.0.to_le_bytes()));
        let literals = distances.iter().filter(|distance| code(distance) == LITERAL);
        frame.extend(literals.flat_map(|distance| distance.to_le_bytes()));
        frames.push(frame);
    }
    frames
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

/// The starts and the values of as many runs.
pub(crate) type Columns<'a> = (&'a [u64], &'a [PlaceId]);

/// Runs as they are unpacked, frame by frame, without a list of all of them in between. They end early where they are not
/// ascending, go beyond the last address, or name a place that is not there.
pub(crate) struct PackedRuns<'a> {
    frames: Frames<'a>,
    /// Distances by their code.
    distances: Vec<u64>,
    last_address: u64,
    known_places: usize,
    /// Whether runs may have [`Value::SEVERAL`].
    may_be_several: bool,
    /// How many are in frames that are left.
    left: usize,
    /// The runs of the last frame, and how many of them were given out.
    starts: Vec<u64>,
    values: Vec<PlaceId>,
    given: usize,
    damage: Option<Damage>,
}

impl<'a> PackedRuns<'a> {
    /// Takes what [`pack_runs`] made of runs over addresses of `bits` bits. Places are numbered below `known_places`, except
    /// for [`Value::SEVERAL`] in a table of the upper 64 bits.
    pub(crate) fn new(mut frames: Frames<'a>, known_places: usize, bits: u32) -> Result<Self, Damage> {
        let head = frames.next()?.ok_or(Damage::CUT_SHORT)?;
        let (count, distances) = head_of(&mut Column(head)).ok_or(Damage::SENSELESS)?;
        // Else the number would be good for an allocation of any size.
        if count > frames.unpacked() / RUN_BYTES {
            return Err(Damage::SENSELESS);
        }
        Ok(Self {
            frames,
            distances,
            last_address: u64::MAX >> (u64::BITS - bits),
            known_places,
            may_be_several: bits == u64::BITS,
            left: count as usize,
            starts: Vec::new(),
            values: Vec::new(),
            given: 0,
            damage: None,
        })
    }

    /// How many runs there are at most, of which none was given out.
    pub(crate) fn at_most(&self) -> usize {
        self.left
    }

    /// The runs of the next frame, as columns; `None` after the last one.
    pub(crate) fn next_frame(&mut self) -> Result<Option<Columns<'_>>, Damage> {
        let before = self.starts.last().copied();
        self.starts.clear();
        self.values.clear();
        self.given = 0;
        let Some(frame) = self.frames.next()? else {
            return if self.left == 0 {
                Ok(None)
            } else {
                Err(Damage::CUT_SHORT)
            };
        };
        let count = self.left.min(CHUNK);
        self.left -= count;
        let mut frame = Column(frame);
        let mut take = |count: usize| frame.take(count as u64).ok_or(Damage::SENSELESS);
        let (lower, upper, places) = (take(count)?.0, take(count)?.0, take(2 * count)?.0);
        let mut literals = frame;
        let distances = &self.distances[..];
        let (mut start, mut stalls, mut all_known) = (before.unwrap_or_default(), 0, true);
        // A sum that wraps around is lower than the one before.
        self.starts.extend(lower.iter().zip(upper).map(|(lower, upper)| {
            let code = u16::from_le_bytes([*lower, *upper]);
            let distance = distances.get(usize::from(code)).copied().unwrap_or_else(|| {
                let literal = literals.array().filter(|_| code == LITERAL);
                all_known &= literal.is_some();
                literal.map_or(0, u64::from_le_bytes)
            });
            let next = start.wrapping_add(distance);
            stalls += usize::from(next <= start);
            start = next;
            start
        }));
        // The first of all may be at the first address.
        let may_stall = usize::from(before.is_none() && self.starts.first() == Some(&0));
        let (places, _) = places.as_chunks::<2>();
        self.values
            .extend(places.iter().map(|place| PlaceId(u16::from_le_bytes(*place))));
        let (known, several) = (self.known_places, self.may_be_several);
        let are_known =
            (self.values.iter()).all(|value| value.index() < known || (several && *value == PlaceId::SEVERAL));
        let is_sound = count > 0
            && stalls == may_stall
            && start <= self.last_address
            && all_known
            && are_known
            && literals.0.is_empty();
        if !is_sound {
            return Err(Damage::SENSELESS);
        }
        Ok(Some((&self.starts, &self.values)))
    }

    /// What was wrong, where runs ended early.
    pub(crate) fn finish(self) -> Result<(), Damage> {
        self.damage.map_or(Ok(()), Err)
    }

    /// The same as [`Iterator::next`], at the end of a frame.
    #[cold]
    fn next_of_next_frame(&mut self) -> Option<Run<PlaceId>> {
        if self.damage.is_some() {
            return None;
        }
        match self.next_frame() {
            Ok(Some(_)) => self.next(),
            Ok(None) => None,
            Err(damage) => {
                self.damage = Some(damage);
                self.starts.clear();
                None
            }
        }
    }
}

impl Iterator for PackedRuns<'_> {
    type Item = Run<PlaceId>;

    #[inline]
    fn next(&mut self) -> Option<Run<PlaceId>> {
        let (Some(&start), Some(&value)) = (self.starts.get(self.given), self.values.get(self.given)) else {
            return self.next_of_next_frame();
        };
        self.given += 1;
        Some(Run { start, value })
    }
}

/// How many runs there are, and the distances by their code.
fn head_of(bytes: &mut Column<'_>) -> Option<(u64, Vec<u64>)> {
    let count = bytes.varint()?;
    let known = bytes.varint().filter(|known| *known <= LITERAL.into())?;
    let distances = (0..known).map(|_| bytes.varint()).collect::<Option<_>>()?;
    bytes.0.is_empty().then_some((count, distances))
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
