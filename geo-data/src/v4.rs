//! The v4 half of a location table, exact to the address.

use crate::runs::{Run, Runs, Value};
use portolan_core::geo::PlaceId;
use std::net::Ipv4Addr;

/// Sixteen bits of an address choose a block, eight more a place in it: two array reads. A /16 that lies in one place shares
/// one block with all others like it, which halves the table. The few /24s that lie in several places, 1 % of them, have
/// [`Value::SEVERAL`] there, and runs of addresses beside it.
#[derive(Clone, Debug)]
pub(crate) struct V4Table {
    /// For every /16, where its block begins in `places`.
    blocks: Box<[u32; 1 << 16]>,
    places: Box<[PlaceId]>,
    /// The places in those /24s, each of which has a run at its beginning.
    addresses: Runs<PlaceId, u32>,
}

const BLOCK: usize = 256;

impl V4Table {
    /// The table of ascending runs. Before the first one, and beyond the end of the address space, nothing is known.
    pub(crate) fn new(runs: impl IntoIterator<Item = Run<PlaceId>>) -> Self {
        // At most 2^16 blocks of 2^8 places: every position fits 32 bits.
        let mut blocks = Box::new([0; 1 << 16]);
        let mut places = vec![PlaceId::UNKNOWN; BLOCK];
        let mut addresses = Vec::new();
        // Where the block of a place that fills whole /16s begins; that of the unknown place is there from the start.
        let mut whole = vec![None; 1 << 16];
        whole[0] = Some(0);
        let mut runs = runs.into_iter();
        let (mut next, mut current) = (runs.next(), PlaceId::UNKNOWN);
        let mut filled = Filled::default();
        for (upper, block) in (0_u64..).zip(blocks.iter_mut()) {
            filled.next = 0;
            let end = (upper + 1) << 16;
            while let Some(run) = next.take_if(|run| run.start < end) {
                let network = run.start >> 8;
                filled.up_to((network & 0xff) as usize, current);
                next = runs.next();
                let is_alone = next.is_none_or(|next| next.start >> 8 != network);
                if run.start & 0xff == 0 && is_alone {
                    current = run.value;
                    continue;
                }
                if run.start & 0xff != 0 {
                    addresses.push(address(network << 8, current));
                }
                addresses.push(address(run.start, run.value));
                current = run.value;
                while let Some(run) = next.take_if(|run| run.start >> 8 == network) {
                    addresses.push(address(run.start, run.value));
                    current = run.value;
                    next = runs.next();
                }
                filled.up_to(filled.next + 1, PlaceId::SEVERAL);
            }
            if filled.next == 0 {
                *block = *whole[current.index()].get_or_insert_with(|| {
                    places.resize(places.len() + BLOCK, current);
                    (places.len() - BLOCK) as u32
                });
            } else {
                filled.up_to(BLOCK, current);
                *block = places.len() as u32;
                places.extend_from_slice(&filled.places[..BLOCK]);
            }
        }
        Self {
            blocks,
            places: places.into(),
            addresses: Runs::new(addresses, u32::BITS),
        }
    }

    /// The place of an address.
    pub(crate) fn at(&self, ip: Ipv4Addr) -> PlaceId {
        let [a, b, c, _] = ip.octets();
        let block = self.blocks[usize::from(u16::from_be_bytes([a, b]))] as usize;
        match self.places.get(block + usize::from(c)) {
            Some(&PlaceId::SEVERAL) => self.addresses.at(ip.to_bits()),
            place => place.copied().unwrap_or_default(),
        }
    }

    pub(crate) fn memory(&self) -> usize {
        size_of_val(&self.blocks[..]) + size_of_val(&self.places[..]) + self.addresses.memory()
    }

    /// The runs of equal places, merged, in ascending order.
    pub(crate) fn runs(&self) -> Vec<Run<PlaceId>> {
        let mut runs: Vec<Run<PlaceId>> = Vec::new();
        let mut put = |start, value| {
            if runs.last().map_or(PlaceId::UNKNOWN, |run| run.value) != value {
                runs.push(Run { start, value });
            }
        };
        let mut addresses = self.addresses.iter().peekable();
        let mut before = None;
        for (upper, &block) in (0_u64..).zip(self.blocks.iter()) {
            // Only a block of one place is shared, so nothing changes between two /16s that have the same.
            if before.replace(block) == Some(block) {
                continue;
            }
            for (lower, &place) in (0_u64..).zip(self.places.iter().skip(block as usize).take(BLOCK)) {
                let start = upper << 16 | lower << 8;
                if place != PlaceId::SEVERAL {
                    put(start, place);
                    continue;
                }
                while let Some(run) = addresses.next_if(|run| u64::from(run.start) < start + 256) {
                    put(run.start.into(), run.value);
                }
            }
        }
        runs
    }
}

/// A run of v4 addresses, which have 32 bits.
fn address(start: u64, value: PlaceId) -> Run<PlaceId, u32> {
    Run {
        start: start as u32,
        value,
    }
}

/// A block while it is filled.
struct Filled {
    /// Longer than a block, since it is written in steps.
    places: [PlaceId; BLOCK + STEP],
    next: usize,
}

/// How many places are written at once. Most runs are shorter, and writing too many takes less time than counting.
const STEP: usize = 16;

impl Default for Filled {
    fn default() -> Self {
        Self {
            places: [PlaceId::UNKNOWN; BLOCK + STEP],
            next: 0,
        }
    }
}

impl Filled {
    /// Fills places up to `end`, at most that of the block; what is behind it is written over later.
    fn up_to(&mut self, end: usize, place: PlaceId) {
        let mut at = self.next;
        while at < end {
            self.places[at..at + STEP].copy_from_slice(&[place; STEP]);
            at += STEP;
        }
        self.next = end;
    }
}
