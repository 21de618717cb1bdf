//! What a table was made of.

use serde::{Deserialize, Serialize};
use std::ops::Add;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// MaxMind's licence wants superseded GeoLite2 data destroyed within 30 days of a new release (EULA, section 6).
const GEOLITE2_LIFETIME: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Where a table's data comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GeoInfo {
    /// The database it was made of, such as `GeoLite2-City`; of several the first.
    pub database: String,
    /// Its files, the uppermost first.
    pub files: Vec<FileInfo>,
    /// When the oldest was built, in seconds since 1970.
    pub built: u64,
    /// What its licence wants to be said where locations are shown.
    pub attribution: Option<String>,
}

/// A file that a table was made of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileInfo {
    /// Its name, without its folder.
    pub name: String,
    /// What it calls itself, such as `GeoLite2-City`.
    pub database: String,
    /// When it was built, in seconds since 1970.
    pub built: u64,
    /// What it has of IPv4 addresses.
    pub v4: Coverage,
    /// What it has of IPv6 addresses.
    pub v6: Coverage,
}

/// How many networks of one family a file has. Networks of private and reserved addresses are not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// All that it has data for.
    pub networks: u64,
    /// Those with a country or a point.
    pub placed: u64,
    /// Those with a country or a point that the files over it do not hide wholly.
    pub given: u64,
}

impl Add for Coverage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            networks: self.networks + other.networks,
            placed: self.placed + other.placed,
            given: self.given + other.given,
        }
    }
}

impl FileInfo {
    /// Whether the table would be the same without it.
    pub fn gave_nothing(&self) -> bool {
        self.v4.given == 0 && self.v6.given == 0
    }
}

impl GeoInfo {
    /// What all files have of IPv4 addresses.
    pub fn v4(&self) -> Coverage {
        self.files
            .iter()
            .map(|file| file.v4)
            .fold(Coverage::default(), Add::add)
    }

    /// What all files have of IPv6 addresses.
    pub fn v6(&self) -> Coverage {
        self.files
            .iter()
            .map(|file| file.v6)
            .fold(Coverage::default(), Add::add)
    }

    /// How many networks of the files are in the table.
    pub fn networks(&self) -> u64 {
        let families = [self.v4(), self.v6()];
        families.iter().map(|coverage| coverage.given).sum()
    }

    /// How old the data is; nothing for data from the future.
    pub fn age(&self, now: SystemTime) -> Duration {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        now.saturating_sub(Duration::from_secs(self.built))
    }

    /// Whether the licence of the data asks for a newer release: GeoLite2 after 30 days.
    pub fn is_stale(&self, now: SystemTime) -> bool {
        self.database.starts_with("GeoLite2") && self.age(now) > GEOLITE2_LIFETIME
    }

    /// What the licence of a database wants to be said, by its type.
    pub(crate) fn attribution_of(database: &str) -> Option<String> {
        let text = if database.starts_with("GeoLite2") {
            "This product includes GeoLite2 Data created by MaxMind, available from https://www.maxmind.com."
        } else if database.starts_with("DBIP") {
            "IP Geolocation by DB-IP (https://db-ip.com)"
        } else {
            return None;
        };
        Some(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(database: &str, built: u64) -> GeoInfo {
        GeoInfo {
            database: database.to_owned(),
            files: Vec::new(),
            built,
            attribution: GeoInfo::attribution_of(database),
        }
    }

    fn day(number: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(number * 24 * 60 * 60)
    }

    #[test]
    fn geolite2_is_stale_after_thirty_days() {
        let built = 100 * 24 * 60 * 60;
        let (lite, paid) = (info("GeoLite2-City", built), info("GeoIP2-City", built));
        assert!(!lite.is_stale(day(100)) && !lite.is_stale(day(130)));
        assert!(lite.is_stale(day(131)) && !paid.is_stale(day(131)));
        assert_eq!(lite.age(day(103)), Duration::from_secs(3 * 24 * 60 * 60));
    }

    #[test]
    fn data_from_the_future_has_no_age() {
        assert_eq!(info("GeoLite2-City", u64::MAX).age(day(1)), Duration::ZERO);
        assert!(!info("GeoLite2-City", u64::MAX).is_stale(day(1)));
    }

    #[test]
    fn licences_are_known_by_the_type() {
        assert!(info("GeoLite2-City", 0).attribution.unwrap().contains("maxmind.com"));
        assert!(info("DBIP-City-Lite", 0).attribution.unwrap().contains("db-ip.com"));
        assert_eq!(info("GeoIP2-City", 0).attribution, None);
    }
}
