//! Which addresses are in which Azure region, as Microsoft publishes them.
//!
//! Location databases place Azure's v6 ranges badly, and a caller inside a region should reach that very region.

use crate::azure;
use crate::layers::{Layer, nested};
use crate::reader::{Family, Span};
use ipnet::IpNet;
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

/// The prefixes of a family; where they are nested, the innermost counts.
pub(crate) fn layer<V: Copy + Default + PartialEq>(
    prefixes: &[AzurePrefix],
    family: Family,
    mut value: impl FnMut(u8) -> V,
) -> Layer<V> {
    let prefixes = prefixes.iter().filter(|prefix| family.has(&prefix.network));
    nested(prefixes.map(|prefix| {
        let Span { first, last } = Span::of(prefix.network);
        (first, last, value(prefix.region))
    }))
}

#[cfg(test)]
mod tests;
