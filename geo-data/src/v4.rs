//! The v4 half of a location table: two array reads for any address.

use crate::runs::Run;
use portolan_core::geo::PlaceId;
use std::net::Ipv4Addr;

/// Addresses that share their upper 24 bits share a place.
pub(crate) const GRAIN: u32 = 8;

/// Sixteen bits of an address choose a block, eight more a place in it. A /16 that lies in one place shares one block
/// with all others like it, which halves the table.
#[derive(Clone, Debug)]
pub(crate) struct V4Table {
    /// For every /16, where its block begins in `places`.
    blocks: Box<[u32; 1 << 16]>,
    places: Box<[PlaceId]>,
}

const BLOCK: usize = 256;

impl V4Table {
    /// The table of ascending runs. Before the first one, and beyond the end of the address space, nothing is known.
    pub(crate) fn new(runs: impl IntoIterator<Item = Run<PlaceId>>) -> Self {
        // At most 2^16 blocks of 2^8 places: every position fits 32 bits.
        let mut blocks = Box::new([0; 1 << 16]);
        let mut places = vec![PlaceId::UNKNOWN; BLOCK];
        // Where the block of a place that fills whole /16s begins; that of the unknown place is there from the start.
        let mut whole = vec![None; 1 << 16];
        whole[0] = Some(0);
        let mut runs = runs.into_iter().peekable();
        let mut current = PlaceId::UNKNOWN;
        for (upper, block) in (0_u64..).zip(blocks.iter_mut()) {
            let (first, end) = (upper << 16, (upper + 1) << 16);
            while let Some(run) = runs.next_if(|run| run.start <= first) {
                current = run.value;
            }
            if runs.peek().is_none_or(|run| run.start >= end) {
                *block = *whole[current.index()].get_or_insert_with(|| {
                    places.resize(places.len() + BLOCK, current);
                    (places.len() - BLOCK) as u32
                });
                continue;
            }
            let begin = places.len();
            *block = begin as u32;
            while let Some(run) = runs.next_if(|run| run.start < end) {
                places.resize(begin + ((run.start - first) >> GRAIN) as usize, current);
                current = run.value;
            }
            places.resize(begin + BLOCK, current);
        }
        Self {
            blocks,
            places: places.into(),
        }
    }

    /// The place of an address.
    pub(crate) fn at(&self, ip: Ipv4Addr) -> PlaceId {
        let [a, b, c, _] = ip.octets();
        let block = self.blocks[usize::from(u16::from_be_bytes([a, b]))] as usize;
        self.places.get(block + usize::from(c)).copied().unwrap_or_default()
    }

    /// The runs of equal places, merged, in ascending order.
    pub(crate) fn runs(&self) -> Vec<Run<PlaceId>> {
        let mut runs: Vec<Run<PlaceId>> = Vec::new();
        let (mut current, mut before) = (PlaceId::UNKNOWN, None);
        for (upper, &block) in (0_u64..).zip(self.blocks.iter()) {
            // Only a block of one place is shared, so nothing changes between two /16s that have the same.
            if before.replace(block) == Some(block) {
                continue;
            }
            for (lower, &place) in (0_u64..).zip(self.places.iter().skip(block as usize).take(BLOCK)) {
                if place != current {
                    current = place;
                    let start = upper << 16 | lower << GRAIN;
                    runs.push(Run { start, value: place });
                }
            }
        }
        runs
    }
}
