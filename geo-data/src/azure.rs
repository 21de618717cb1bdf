//! Azure's public regions, where they are, and the round trips between them.

use portolan_core::geo::{Country, Point};
use portolan_core::id::RegionName;
use portolan_core::proximity::RoundTrips;
use serde::Deserialize;
use std::sync::OnceLock;

/// A public region of Azure.
#[derive(Clone, Debug)]
pub struct Region {
    /// Its name in Azure's interfaces, such as `westeurope`.
    pub name: RegionName,
    /// Its name for people, such as "West Europe".
    pub display_name: &'static str,
    /// Where it is: as Microsoft publishes it, corrected where that is far from the place it names.
    pub point: Point,
    /// The country it is in.
    pub country: Country,
    /// The town or state it is in, such as "Netherlands".
    pub place: &'static str,
    /// The part of the world Azure counts it to, such as "Europe".
    pub geography_group: &'static str,
    /// The region Azure pairs it with.
    pub paired: Option<RegionName>,
    /// Whether it has availability zones.
    pub availability_zones: bool,
    /// Whether anybody may use it.
    pub access: Access,
}

/// Whether anybody may use a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Everybody.
    Listed,
    /// Those who asked Microsoft, for recovery within the country.
    Restricted,
    /// It exists, but is not in Microsoft's list.
    Unlisted,
}

/// All regions by name. The ones Microsoft keeps for its own tests are left out.
pub fn regions() -> &'static [Region] {
    static REGIONS: OnceLock<Vec<Region>> = OnceLock::new();
    REGIONS.get_or_init(|| {
        // The file is part of this program; a test reads it.
        let rows: Vec<Row> = serde_json::from_str(include_str!("../data/azure-regions.json")).unwrap_or_default();
        rows.into_iter().filter_map(Row::region).collect()
    })
}

/// The region of a name, as Azure's interfaces or as people write it: `westeurope`, `West Europe`.
pub fn find(name: &str) -> Option<&'static Region> {
    let plain = plain(name);
    regions().iter().find(|region| region.name.as_str() == plain)
}

/// The region whose name a misspelt one is most like, if any is near enough to be meant.
pub fn suggest(name: &str) -> Option<&'static str> {
    let plain = plain(name);
    let names = regions().iter().map(|region| region.name.as_str());
    let scored = names.map(|known| (strsim::damerau_levenshtein(&plain, known), known));
    let (_, known) = scored
        .min()
        .filter(|(distance, _)| *distance <= 2.max(plain.len() / 4))?;
    Some(known)
}

/// What Microsoft measured between its regions (medians of July 2026), completed by its own estimates for the regions
/// that have no measurement yet.
pub fn round_trips() -> &'static RoundTrips {
    static ROUND_TRIPS: OnceLock<RoundTrips> = OnceLock::new();
    ROUND_TRIPS.get_or_init(|| {
        let known: Vec<_> = regions()
            .iter()
            .map(|region| (region.name.clone(), region.point))
            .collect();
        let mut millis = vec![f32::NAN; known.len() * known.len()];
        for table in [
            include_str!("../data/azure-round-trip-estimates.csv"),
            include_str!("../data/azure-round-trips.csv"),
        ] {
            fill(&mut millis, table);
        }
        // One row and one column for each region, each name once: a test reads the same files.
        RoundTrips::new(&known, &millis).unwrap_or_default()
    })
}

/// Copies a matrix of milliseconds with names in the first row and column; empty fields are left as they are.
fn fill(millis: &mut [f32], table: &str) {
    let column = |name: &str| regions().iter().position(|region| region.name.as_str() == name);
    let mut lines = table.lines();
    let targets: Vec<_> = lines.next().unwrap_or_default().split(',').map(column).collect();
    for line in lines {
        let mut fields = line.split(',').zip(&targets);
        let Some(source) = fields.next().and_then(|(name, _)| column(name)) else {
            continue;
        };
        for (field, target) in fields {
            if let (Ok(value), Some(target)) = (field.parse(), target) {
                millis[source * regions().len() + target] = value;
            }
        }
    }
}

fn plain(name: &str) -> String {
    let letters = name
        .chars()
        .filter(|letter| !letter.is_whitespace() && !"-_".contains(*letter));
    letters.flat_map(char::to_lowercase).collect()
}

/// A region as its file has it.
#[derive(Deserialize)]
struct Row {
    name: &'static str,
    display_name: &'static str,
    country: &'static str,
    latitude: f32,
    longitude: f32,
    place: &'static str,
    geography_group: &'static str,
    paired: Option<&'static str>,
    availability_zones: bool,
    access: Access,
}

impl Row {
    fn region(self) -> Option<Region> {
        Some(Region {
            name: self.name.into(),
            display_name: self.display_name,
            point: Point::new(self.latitude, self.longitude).ok()?,
            country: Country::parse(self.country)?,
            place: self.place,
            geography_group: self.geography_group,
            paired: self.paired.map(RegionName::from),
            availability_zones: self.availability_zones,
            access: self.access,
        })
    }
}

#[cfg(test)]
mod tests;
