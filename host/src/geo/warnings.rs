//! What is probably not intended with databases that can be used: a family without a place, old data, files that give
//! nothing.

use super::Geo;
use crate::config::GeoSettings;
use portolan_geo::family::Family;
use portolan_geo::info::{FileInfo, LIFETIME};
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
        let mut warn = |key, message| warnings.push(Warning { key, message });
        let info = self.databases().info();
        if !self.is_embedded() {
            if let Some(family) = info.filled {
                let files: Vec<_> = info.files.iter().map(|file| file.name.as_str()).collect();
                let files = files.join(" and ");
                warn(
                    "database",
                    format!(
                        "{files} has no place for any {family} address: the embedded table is used for those; give a database \
                         for {family} too: database: [{files}, …]"
                    ),
                );
            }
            for file in &info.files {
                if file.gave_nothing() {
                    let name = &file.name;
                    warn(
                        "database",
                        format!("{name} gives no place: the databases before it have one for all of its networks"),
                    );
                }
                of_file(file, now, |message| warn("database", message));
            }
            if info.attribution.is_none() && settings.attribution.is_none() {
                for file in info.files.iter().filter(|file| file.is_renamed()) {
                    warn(
                        "database",
                        format!(
                            "{} calls itself {:?}: its licence is not known from that; if it asks for an attribution, set \
                             geo.attribution",
                            file.name, file.database
                        ),
                    );
                }
            }
        }
        if let Some(systems) = &self.systems {
            for family in Family::ALL {
                if systems.networks(family) == 0 {
                    warn(
                        "asn_database",
                        format!(
                            "no autonomous system is known for any {family} address; give a database for {family} too"
                        ),
                    );
                }
            }
        }
        warnings
    }
}

/// What to warn of about one file.
fn of_file(file: &FileInfo, now: SystemTime, mut warn: impl FnMut(String)) {
    let name = &file.name;
    let unreadable = file.v4.unreadable + file.v6.unreadable;
    if unreadable > 0 {
        warn(format!(
            "{name} has points that cannot be read, of {unreadable} networks: they are in the middle of their country"
        ));
    }
    let age = file.age(now);
    if age > LIFETIME {
        let days = age.as_secs() / DAY;
        let advice = match file.is_geolite2() {
            true => "its licence asks to destroy it within 30 days of a newer release (EULA, section 6)",
            false => "get a newer release",
        };
        warn(format!("{name} is {days} days old, more than {DAYS}: {advice}"));
    }
}
