//! The v4 half of a location table, exact to the address.

use crate::runs::Run;
use portolan_core::geo::PlaceId;
use std::net::Ipv4Addr;

/// Sixteen bits of an address choose a block. A bit for each of its 256 /24s says whether it has another value than the one
/// before it, so that counting bits gives the position of its value. The few /24s that lie in several places (1 % of them)
/// have lists of their own.
#[derive(Clone, Debug)]
pub(crate) struct V4Table {
    blocks: Box<[Block]>,
    values: Box<[Entry]>,
    split: Split,
}

/// A /16.
#[derive(Clone, Copy, Debug, Default)]
struct Block {
    /// Which /24s begin a value; the first always does.
    begins: [u64; 4],
    /// How many begin in the words before each word.
    before: [u8; 4],
    /// Where its values begin.
    first: u32,
}

/// The place of a /24, or the number of its list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry(u32);

impl Entry {
    /// The numbers of lists have this bit.
    const LIST: u32 = 1 << 31;

    fn place(place: PlaceId) -> Self {
        Self(place.0.into())
    }
}

/// The /24s that lie in several places.
#[derive(Clone, Debug, Default)]
struct Split {
    /// Where each list begins, and where the last one ends.
    begins: Vec<u32>,
    /// The last octets from which on the places beside them hold; every list starts with 0.
    octets: Vec<u8>,
    places: Vec<PlaceId>,
}

const BLOCKS: u64 = 1 << 16;

impl V4Table {
    /// The table of ascending runs. Before the first one, and beyond the end of the address space, nothing is known.
    pub(crate) fn new(runs: impl IntoIterator<Item = Run<PlaceId>>) -> Self {
        let mut runs = runs.into_iter().peekable();
        let mut blocks = vec![Block::default(); BLOCKS as usize];
        let mut values = Vec::new();
        let mut split = Split::default();
        let mut current = PlaceId::UNKNOWN;
        for (upper, block) in (0_u64..).zip(&mut blocks) {
            let end = (upper + 1) << 16;
            block.open(&mut values, current);
            while let Some(run) = runs.next_if(|run| run.start < end) {
                let network = run.start >> 8;
                let before = current;
                current = run.value;
                let alone = runs.peek().is_none_or(|next| next.start >> 8 != network);
                if run.start & 0xff == 0 && alone {
                    block.put(&mut values, network as u8, Entry::place(current));
                    continue;
                }
                split.open();
                split.put(0, before);
                split.put(run.start as u8, current);
                while let Some(run) = runs.next_if(|run| run.start >> 8 == network) {
                    current = run.value;
                    split.put(run.start as u8, current);
                }
                block.put(&mut values, network as u8, split.close());
                if network as u8 != u8::MAX {
                    block.put(&mut values, network as u8 + 1, Entry::place(current));
                }
            }
            block.close();
        }
        split.begins.push(split.octets.len() as u32);
        Self {
            blocks: blocks.into(),
            values: values.into(),
            split,
        }
    }

    /// The place of an address.
    pub(crate) fn at(&self, ip: Ipv4Addr) -> PlaceId {
        let [a, b, network, octet] = ip.octets();
        let entry = self
            .blocks
            .get(usize::from(u16::from_be_bytes([a, b])))
            .and_then(|block| self.values.get(block.position(network)));
        match entry {
            Some(Entry(place)) if place & Entry::LIST == 0 => PlaceId(*place as u16),
            Some(Entry(list)) => self.split.at(list & !Entry::LIST, octet),
            None => PlaceId::UNKNOWN,
        }
    }

    /// The runs of equal places, merged, in ascending order.
    pub(crate) fn runs(&self) -> Vec<Run<PlaceId>> {
        let mut runs: Vec<Run<PlaceId>> = Vec::new();
        let mut put = |start, value| {
            if runs.last().map_or(PlaceId::UNKNOWN, |run| run.value) != value {
                runs.push(Run { start, value });
            }
        };
        for (upper, block) in (0_u64..).zip(&self.blocks) {
            let networks = (0..=u8::MAX).filter(|network| block.begins(*network));
            for (network, Entry(entry)) in networks.zip(self.values.iter().skip(block.first as usize)) {
                let start = upper << 16 | u64::from(network) << 8;
                if entry & Entry::LIST == 0 {
                    put(start, PlaceId(*entry as u16));
                } else {
                    let places = self.split.list(entry & !Entry::LIST);
                    places.for_each(|(octet, place)| put(start | u64::from(octet), place));
                }
            }
        }
        runs
    }
}

impl Block {
    /// Begins with the place that the block before it ended with.
    fn open(&mut self, values: &mut Vec<Entry>, place: PlaceId) {
        self.first = values.len() as u32;
        self.begins[0] = 1;
        values.push(Entry::place(place));
    }

    /// Another value from a /24 on, which is the same as the last one or follows it.
    fn put(&mut self, values: &mut Vec<Entry>, network: u8, entry: Entry) {
        if self.begins(network) {
            values.pop();
        }
        self.begins[usize::from(network >> 6)] |= 1 << (network & 63);
        values.push(entry);
    }

    fn close(&mut self) {
        let mut count = 0;
        for (before, word) in self.before.iter_mut().zip(self.begins) {
            *before = count as u8;
            count += word.count_ones();
        }
    }

    fn begins(&self, network: u8) -> bool {
        self.begins[usize::from(network >> 6)] >> (network & 63) & 1 == 1
    }

    /// The position of the value of a /24.
    fn position(&self, network: u8) -> usize {
        let word = usize::from(network >> 6);
        let upto = self.begins[word] & (u64::MAX >> (63 - (network & 63)));
        // The first /24 always begins a value, so at least one is counted.
        (self.first + u32::from(self.before[word]) + upto.count_ones() - 1) as usize
    }
}

impl Split {
    fn open(&mut self) {
        self.begins.push(self.octets.len() as u32);
    }

    fn put(&mut self, octet: u8, place: PlaceId) {
        if octet == 0 && self.octets.len() > self.begins.last().map_or(0, |begin| *begin as usize) {
            self.octets.pop();
            self.places.pop();
        }
        self.octets.push(octet);
        self.places.push(place);
    }

    /// The entry of the list that was opened last.
    fn close(&self) -> Entry {
        Entry(Entry::LIST | (self.begins.len() - 1) as u32)
    }

    fn range(&self, list: u32) -> std::ops::Range<usize> {
        let at = |position: u32| self.begins.get(position as usize).map_or(0, |begin| *begin as usize);
        at(list)..at(list + 1)
    }

    fn at(&self, list: u32, octet: u8) -> PlaceId {
        let range = self.range(list);
        let octets = self.octets.get(range.clone()).unwrap_or_default();
        let place = (range.start + octets.partition_point(|from| *from <= octet)).checked_sub(1);
        place
            .and_then(|place| self.places.get(place).copied())
            .unwrap_or_default()
    }

    fn list(&self, list: u32) -> impl Iterator<Item = (u8, PlaceId)> {
        let range = self.range(list);
        let columns = (self.octets.get(range.clone()), self.places.get(range));
        let columns = (columns.0.unwrap_or_default(), columns.1.unwrap_or_default());
        columns.0.iter().copied().zip(columns.1.iter().copied())
    }
}
