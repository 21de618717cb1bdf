//! Which countries' clients must be answered by which regions.

use super::compound::{At, NonEmpty};
use super::document::Node;
use super::error::Mistakes;
use super::regions::{Places, RegionSection};
use super::section::section;
use super::shape::{Shape, all, shown, wanted};
use super::suggest::{closest, question};
use super::values::scalar;
use portolan_core::config::Residency;
use portolan_core::geo::Country;
use portolan_core::id::Slot;
use portolan_core::slots::Slots;
use portolan_geo::countries;
use serde_json::{Value, json};
use std::collections::HashMap;

section! {
    /// Clients of these countries must be answered by these regions.
    ResidencySection {
        /// Two-letter country codes (ISO 3166-1), or unknown for clients whose country is not known.
        required countries: NonEmpty<CountryCode>,
        /// The regions, of this service. An empty list: such clients are not served at all.
        required regions: Vec<At<String>>,
    }
}

/// The rules of a service that has these regions. No country is left without a region by two rules together.
pub(super) fn settings(
    sections: &[ResidencySection],
    regions: &[RegionSection],
    places: &Places,
    mistakes: &mut Mistakes<'_>,
) -> Option<Vec<Residency>> {
    let names: Vec<_> = regions
        .iter()
        .map(|region| region.region.as_ref().map(|name| name.as_str()))
        .collect();
    let rules = all(sections.iter().map(|section| section.rule(&names, places, mistakes)))?;
    let mut left: HashMap<Country, Slots> = HashMap::new();
    for (section, rule) in sections.iter().zip(&rules) {
        for country in &rule.countries {
            let before = left.entry(*country).or_insert(rule.regions);
            let after = *before & rule.regions;
            if after.is_empty() && !before.is_empty() && !rule.regions.is_empty() {
                mistakes.at(
                    section.at,
                    format!("no region is left for {country}: an earlier rule allows only others"),
                );
            }
            *before = after;
        }
    }
    Some(rules)
}

impl ResidencySection {
    fn rule(&self, names: &[Option<&str>], places: &Places, mistakes: &mut Mistakes<'_>) -> Option<Residency> {
        let regions = all(self.regions.as_ref()?.iter().map(|name| {
            let slot = names.iter().position(|known| *known == Some(name.as_str()));
            if slot.is_none() {
                let meant = closest(name, names.iter().copied().flatten());
                // When it is the region that is misspelt, that has been reported, and this name is the right one.
                if meant.is_none_or(|meant| places.knows(meant) || !places.knows(name)) {
                    let meant = meant.map(question).unwrap_or_default();
                    mistakes.at(name.id, format!("{} is no region of this service{meant}", shown(name)));
                }
            }
            // More than 64 regions have been reported.
            slot.and_then(|slot| u8::try_from(slot).ok()).map(Slot)
        }));
        Some(Residency {
            countries: self.countries.as_ref()?.iter().map(|code| code.0).collect(),
            regions: regions?.into_iter().collect(),
        })
    }
}

/// A country, or the unknown one.
#[derive(Clone, Copy, Debug)]
pub(super) struct CountryCode(pub(super) Country);

impl Shape for CountryCode {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        let text = scalar(node).unwrap_or_default();
        if text == "unknown" {
            return Some(Self(Country::UNKNOWN));
        }
        match Country::parse(text).filter(|country| countries::find(*country).is_some()) {
            Some(country) => Some(Self(country)),
            None if text.eq_ignore_ascii_case("UK") => {
                mistakes.at(
                    node.id(),
                    format!("{} is no country code — did you mean GB?", shown(text)),
                );
                None
            }
            None => wanted(node, "a two-letter country code (ISO 3166-1) or unknown", mistakes),
        }
    }

    fn schema() -> Value {
        json!({ "type": "string", "pattern": "^([A-Za-z]{2}|unknown)$" })
    }
}
