//! Which addresses are in which Azure region, as Microsoft publishes them.
//!
//! Location databases place Azure's v6 ranges badly, and a caller inside a region should reach that very region.

use crate::azure;
use crate::grain::Quantiser;
use crate::reader::Family;
use crate::runs::Run;
use ipnet::IpNet;
use std::net::IpAddr;
use thiserror::Error;

/// A network of an Azure region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AzurePrefix {
    network: IpNet,
    region: u8,
}

/// A line that is no prefix with a region.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("line {line}: expected a prefix, a comma and an Azure region, got {text:?}")]
pub struct InvalidPrefix {
    /// Its number, from 1.
    pub line: usize,
    /// What is there.
    pub text: String,
}

/// Reads lines of `prefix,region`; the first is a heading. The region may be named as in Microsoft's service tags.
///
/// # Errors
/// At the first line that is something else.
pub fn parse(text: &str) -> Result<Vec<AzurePrefix>, InvalidPrefix> {
    let lines = text.lines().zip(1..).skip(1);
    let parsed = lines.map(|(text, line)| {
        prefix(text).ok_or_else(|| InvalidPrefix {
            line,
            text: text.to_owned(),
        })
    });
    parsed.collect()
}

/// Regions that have another name in Microsoft's service tags.
const TAGS: [(&str, &str); 8] = [
    ("centralfrance", "francecentral"),
    ("southfrance", "francesouth"),
    ("germanyn", "germanynorth"),
    ("germanywc", "germanywestcentral"),
    ("norwaye", "norwayeast"),
    ("norwayw", "norwaywest"),
    ("switzerlandn", "switzerlandnorth"),
    ("switzerlandw", "switzerlandwest"),
];

fn prefix(line: &str) -> Option<AzurePrefix> {
    let (network, name) = line.split_once(',')?;
    let name = TAGS
        .iter()
        .find(|(tag, _)| *tag == name)
        .map_or(name, |(_, region)| region);
    let region = azure::regions()
        .iter()
        .position(|region| region.name.as_str() == name)?;
    Some(AzurePrefix {
        network: network.parse::<IpNet>().ok()?.trunc(),
        region: u8::try_from(region).ok()?,
    })
}

/// The prefixes of a family as ascending runs of a grain; where prefixes are nested, the innermost counts. A region
/// wins a grain that it fills at least half.
pub(crate) fn runs<V: Copy + Default + Ord>(
    prefixes: &[AzurePrefix],
    family: Family,
    shift: u32,
    mut value: impl FnMut(u8) -> V,
) -> Vec<Run<V>> {
    let mut ranges: Vec<(u64, u64, u8)> = prefixes.iter().filter_map(|prefix| prefix.range(family)).collect();
    // Outer ranges before inner ones, so that the stack holds what the current one is nested in.
    ranges.sort_by_key(|&(first, last, region)| (first, std::cmp::Reverse(last), region));
    let mut quantiser = Quantiser::new(shift, (1_u64 << shift) / 2);
    let mut outer: Vec<(u64, u64, u8)> = Vec::new();
    let mut next = 0;
    let mut cover = |from: &mut u64, last: u64, region: u8| {
        if *from <= last {
            quantiser.add(*from, last, value(region));
            *from = last + 1;
        }
    };
    for range in ranges {
        while let Some(&(_, last, region)) = outer.last().filter(|(_, last, _)| *last < range.0) {
            cover(&mut next, last, region);
            outer.pop();
        }
        if let Some(&(_, _, region)) = outer.last().filter(|_| next < range.0) {
            cover(&mut next, range.0 - 1, region);
        }
        next = next.max(range.0);
        outer.push(range);
    }
    while let Some((_, last, region)) = outer.pop() {
        cover(&mut next, last, region);
    }
    quantiser.finish()
}

impl AzurePrefix {
    /// The addresses of a family, as in [`Run::start`]; `None` for the other family.
    fn range(&self, family: Family) -> Option<(u64, u64, u8)> {
        let upper = |ip| match (family, ip) {
            (Family::V4, IpAddr::V4(v4)) => Some(u64::from(v4.to_bits())),
            (Family::V6, IpAddr::V6(v6)) => Some((v6.to_bits() >> 64) as u64),
            _ => None,
        };
        Some((
            upper(self.network.network())?,
            upper(self.network.broadcast())?,
            self.region,
        ))
    }
}

#[cfg(test)]
mod tests;
