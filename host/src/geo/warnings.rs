//! What is probably not intended with databases that can be used: a family without a place, old data, files that give
//! nothing.

use super::Geo;
use crate::config::GeoSettings;
use portolan_geo::family::Family;
use portolan_geo::info::LIFETIME;
use portolan_geo::{AsnTable, FileInfo, GeoInfo};
use std::time::SystemTime;

/// Days in [`LIFETIME`].
const DAYS: u64 = LIFETIME.as_secs() / DAY;
const DAY: u64 = 24 * 60 * 60;

/// A warning about a key below `geo`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The key, such as `database`.
    pub key: &'static str,
    /// What is probably not intended.
    pub message: String,
}

impl Geo {
    /// What to warn of at `now`. The embedded table is not old in this sense: it comes with the program.
    pub fn warnings(&self, settings: &GeoSettings, now: SystemTime) -> Vec<Warning> {
        let mut warnings = Vec::new();
        let mut warn = |key, messages: Vec<String>| {
            warnings.extend(messages.into_iter().map(|message| Warning { key, message }));
        };
        if !self.is_embedded() {
            let info = self.databases().info();
            warn("database", of_databases(info, now));
            if settings.attribution.is_none() {
                warn("database", of_unknown_licences(info));
            }
        }
        if let Some(systems) = &self.systems {
            warn("asn_database", of_systems(systems, now));
        }
        warnings
    }

    /// Whether a database is older than it should be at `now`.
    pub fn is_stale(&self, now: SystemTime) -> bool {
        let systems = self.systems.iter().flat_map(|systems| systems.files());
        let places = self.databases().info().files.iter().filter(|_| !self.is_embedded());
        places.chain(systems).any(|file| file.age(now) > LIFETIME)
    }
}

/// What to warn of about location databases.
pub fn of_databases(info: &GeoInfo, now: SystemTime) -> Vec<String> {
    let mut messages = Vec::new();
    let files: Vec<_> = info.files.iter().map(|file| file.name.as_str()).collect();
    let lacks = |family: &Family| info.coverage(*family).placed == 0;
    if let Some(family) = Family::ALL.into_iter().find(lacks) {
        messages.push(format!(
            "{} has no place for any {family} address: the embedded table is used for those; give a database for {family} too: \
             database: [{}, …]",
            files.join(" and "),
            files.join(", ")
        ));
    }
    for file in &info.files {
        let name = &file.name;
        if file.gave_nothing() {
            messages.push(format!(
                "{name} gives no place: the databases before it have one for all of its networks"
            ));
        }
        let unreadable = file.v4.unreadable + file.v6.unreadable;
        if unreadable > 0 {
            messages.push(format!(
                "{name} has points that cannot be read, of {unreadable} networks: they are in the middle of their country"
            ));
        }
        messages.extend(of_age(file, now));
    }
    messages
}

/// What to warn of about databases whose name does not tell their licence.
fn of_unknown_licences(info: &GeoInfo) -> Vec<String> {
    let unknown = info
        .files
        .iter()
        .filter(|file| file.is_renamed() && file.attribution().is_none());
    let messages = unknown.map(|file| {
        format!(
            "{} calls itself {:?}: its licence is not known from that; if it asks for an attribution, set geo.attribution",
            file.name, file.database
        )
    });
    messages.collect()
}

/// What to warn of about databases of autonomous systems.
fn of_systems(systems: &AsnTable, now: SystemTime) -> Vec<String> {
    let lacking = Family::ALL.into_iter().filter(|family| systems.networks(*family) == 0);
    let messages = lacking.map(|family| {
        format!("no autonomous system is known for any {family} address; give a database for {family} too")
    });
    let old = systems.files().iter().filter_map(|file| of_age(file, now));
    messages.chain(old).collect()
}

fn of_age(file: &FileInfo, now: SystemTime) -> Option<String> {
    let age = file.age(now);
    if age <= LIFETIME {
        return None;
    }
    let days = age.as_secs() / DAY;
    let advice = match file.is_geolite2() {
        true => "its licence asks to destroy it within 30 days of a newer release (EULA, section 6)",
        false => "get a newer release",
    };
    Some(format!("{} is {days} days old, more than {DAYS}: {advice}", file.name))
}
