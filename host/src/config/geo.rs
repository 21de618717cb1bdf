//! Where locations of addresses come from: databases, and networks of the operator's own.

use super::compound::{At, OneOrMore};
use super::error::Mistakes;
use super::learned::LearnedSection;
use super::listeners::Network;
use super::regions::{LocationSection, Places};
use super::residency::CountryCode;
use super::section::section;
use super::settings::{GeoNetwork, GeoSettings};
use super::shape::all;
use super::values::FilePath;
use ipnet::IpNet;
use portolan_core::geo::Country;
use portolan_core::networks::canonical;
use portolan_geo::special;
use std::collections::HashMap;
use std::path::Path;

section! {
    /// Where locations of addresses come from.
    GeoSection {
        /// A City or Country database in MaxMind's format, plain or gzipped; or several, laid over one another: of each network,
        /// the first one that knows it counts. Where they have nothing of IPv4 or of IPv6, the embedded table is used. Watched
        /// for changes.
        optional database: OneOrMore<FilePath>,
        /// A database of autonomous systems in MaxMind's format, or several, of which the first one that knows a network counts.
        /// Watched for changes.
        optional asn_database: OneOrMore<FilePath>,
        /// Networks whose place you know better, private ones too. They count before the databases; of nested ones, the innermost.
        optional networks: Vec<NetworkSection>,
        /// What the licence of the databases wants to be said where locations are shown. Default: known for GeoLite2 and DB-IP,
        /// where a database still has the name its vendor gave it.
        optional attribution: At<String>,
        /// Whether databases may replace ones that cover more: a replacement that has nothing of IPv4 or
        /// of IPv6, or no network of a country that a residency rule names, where the one before had some, is rejected by
        /// default. Default: false.
        optional allow_coverage_loss: bool,
        /// Round trips that are learned from connections, for policy latency. Default: off.
        optional learned: LearnedSection,
    }
}

section! {
    /// A network and its place: at least one of country, location and region. What is not given is as in the next larger network
    /// here, or else as in the databases.
    NetworkSection {
        /// The network, such as 10.1.0.0/16, or one address.
        required network: At<Network>,
        /// The country its clients are in, as a two-letter code (ISO 3166-1). Residency counts on it.
        optional country: At<CountryCode>,
        /// Where it is. Default: where the region is, or else the middle of the country.
        optional location: Option<LocationSection>,
        /// The region that its clients prefer: an Azure region, or one of this file's.
        optional region: At<String>,
    }
}

impl GeoSection {
    /// The files, and the networks with all that is wrong with them reported.
    pub(super) fn settings(&self, folder: &Path, places: &Places, mistakes: &mut Mistakes<'_>) -> Option<GeoSettings> {
        let files = |list: &Option<OneOrMore<FilePath>>| {
            let paths = list.iter().flat_map(|list| &list.0);
            paths.map(|path| path.within(folder)).collect()
        };
        Some(GeoSettings {
            databases: files(&self.database),
            asn_databases: files(&self.asn_database),
            networks: self.networks(places, mistakes)?,
            attribution: self.attribution.as_ref().map(|text| text.value.clone()),
            allow_coverage_loss: self.allow_coverage_loss.unwrap_or(false),
        })
    }

    /// Whether the autonomous systems of clients are looked up.
    pub(super) fn has_systems(&self) -> bool {
        self.asn_database.as_ref().is_some_and(|files| !files.0.is_empty())
    }

    fn networks(&self, places: &Places, mistakes: &mut Mistakes<'_>) -> Option<Vec<GeoNetwork>> {
        let sections = || self.networks.iter().flatten();
        let mut first = HashMap::new();
        for network in sections().filter_map(|section| section.network.as_ref()) {
            let before = *first.entry(canonical(network.0)).or_insert(network.id);
            if before != network.id {
                let line = mistakes.line(before);
                mistakes.at(network.id, format!("{} has a place on {line} already", network.0));
            }
        }
        all(sections().map(|section| section.settings(places, mistakes))).map(inherited)
    }
}

impl NetworkSection {
    fn settings(&self, places: &Places, mistakes: &mut Mistakes<'_>) -> Option<GeoNetwork> {
        if self.country.is_none() && self.location.is_none() && self.region.is_none() {
            mistakes.at(self.at, "wanted country, location, region, or several of them");
        }
        let country = self.country.as_ref().map(|country| country.value.0);
        if let Some(unknown) = self.country.as_ref().filter(|code| code.value.0 == Country::UNKNOWN) {
            mistakes.at(
                unknown.id,
                "wanted a country: leave it out to have it from the databases",
            );
        }
        let region_point = match &self.region {
            Some(region) => Some(places.find(region, region.id, mistakes)?),
            None => None,
        };
        let point = match &self.location {
            Some(location) => Some(location.as_ref()?.point()?),
            None => region_point,
        };
        let network = self.network.as_ref()?;
        if let Some(advice) = translated(canonical(network.0)) {
            mistakes.at(network.id, advice);
        }
        Some(GeoNetwork {
            network: canonical(network.0),
            country,
            point,
            region: self.region.as_ref().map(|region| region.as_str().into()),
        })
    }
}

/// Networks with what they do not give from those around them, the innermost first.
fn inherited(given: Vec<GeoNetwork>) -> Vec<GeoNetwork> {
    let mut all = given.clone();
    for network in &mut all {
        let around = given
            .iter()
            .filter(|it| it.network.prefix_len() < network.network.prefix_len());
        let mut around: Vec<_> = around.filter(|it| it.network.contains(&network.network)).collect();
        around.sort_by_key(|it| std::cmp::Reverse(it.network.prefix_len()));
        for outer in around {
            network.country = network.country.or(outer.country);
            network.point = network.point.or(outer.point);
            network.region = network.region.take().or_else(|| outer.region.clone());
        }
    }
    all
}

/// What to say of a network whose addresses are looked up by the IPv4 addresses that they carry.
fn translated(network: IpNet) -> Option<&'static str> {
    special::is_unwrapped(&network)
        .then_some("its clients are looked up by the IPv4 addresses that these carry: give the IPv4 network")
}
