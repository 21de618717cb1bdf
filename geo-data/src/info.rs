//! What a table was made of.

use crate::family::Family;
use serde::{Deserialize, Serialize};
use std::ops::Add;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Data older than this is probably forgotten: vendors publish every month at least, and MaxMind's licence wants superseded
/// GeoLite2 data destroyed within 30 days of a new release (EULA, section 6).
pub const LIFETIME: Duration = Duration::from_secs(30 * 24 * 60 * 60);

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
    /// The family that they have no place for, where another table has filled in.
    #[serde(skip)]
    pub filled: Option<Family>,
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
    /// Its schema, with the keys that tell places, such as `flat (country_code; latitude, longitude)`. `None` when it
    /// names no place.
    #[serde(default)]
    pub schema: Option<String>,
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
    /// Those with a point that cannot be read; they have no more than their country.
    #[serde(default)]
    pub unreadable: u64,
}

impl Add for Coverage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            networks: self.networks + other.networks,
            placed: self.placed + other.placed,
            given: self.given + other.given,
            unreadable: self.unreadable + other.unreadable,
        }
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

    /// What all files have of a family.
    pub fn coverage(&self, family: Family) -> Coverage {
        match family {
            Family::V4 => self.v4(),
            Family::V6 => self.v6(),
        }
    }

    /// How many networks of the files are in the table.
    pub fn networks(&self) -> u64 {
        let families = [self.v4(), self.v6()];
        families.iter().map(|coverage| coverage.given).sum()
    }

    /// When the oldest was built, at most the year 9999: a file may say anything, and times beyond it cannot be shown.
    pub fn built_at(&self) -> SystemTime {
        const LAST: u64 = 253_402_300_799;
        UNIX_EPOCH + Duration::from_secs(self.built.min(LAST))
    }

    /// How old the oldest data is; nothing for data from the future.
    pub fn age(&self, now: SystemTime) -> Duration {
        age(self.built, now)
    }

    /// Whether some of the data is older than [`LIFETIME`].
    pub fn is_stale(&self, now: SystemTime) -> bool {
        self.age(now) > LIFETIME
    }

    /// What the licences of files want to be said, each once; `None` when none of them is known.
    pub(crate) fn attribution_of(files: &[FileInfo]) -> Option<String> {
        let mut texts: Vec<_> = files.iter().filter_map(FileInfo::attribution).collect();
        texts.dedup();
        (!texts.is_empty()).then(|| texts.join("\n"))
    }
}

/// What vendors want to be said, by how the types of their databases begin. ip-location-db renames databases, to such as
/// `city ipv4`, and files have the vendor's name then.
const ATTRIBUTIONS: [(&str, &str, &str); 4] = [
    (
        "GeoLite2",
        "geolite2-",
        "This product includes GeoLite2 Data created by MaxMind, available from https://www.maxmind.com.",
    ),
    ("DBIP", "dbip-", "IP Geolocation by DB-IP (https://db-ip.com)"),
    ("ipinfo ", "", "IP address data powered by IPinfo (https://ipinfo.io)"),
    (
        "IP2LITE",
        "",
        "This site or product includes IP2Location LITE data available from https://lite.ip2location.com.",
    ),
];

impl FileInfo {
    /// Whether the table would be the same without it.
    pub fn gave_nothing(&self) -> bool {
        self.v4.given == 0 && self.v6.given == 0
    }

    /// How old the data is; nothing for data from the future.
    pub fn age(&self, now: SystemTime) -> Duration {
        age(self.built, now)
    }

    /// Whether it is MaxMind's GeoLite2, under that name or renamed.
    pub fn is_geolite2(&self) -> bool {
        self.vendor().is_some_and(|(database, _)| database == "GeoLite2")
    }

    /// Whether its type is one that ip-location-db gives to databases of all vendors: `city ipv4`.
    pub fn is_renamed(&self) -> bool {
        let mut words = self.database.split(' ');
        let (kind, family) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        ["country", "city", "asn"].contains(&kind)
            && ["ipv4", "ipv6", "ipvAll"].contains(&family)
            && words.next().is_none()
    }

    /// What its licence wants to be said, where its type or, for a renamed one, its name tells.
    pub fn attribution(&self) -> Option<&'static str> {
        self.vendor().map(|(_, text)| text)
    }

    fn vendor(&self) -> Option<(&'static str, &'static str)> {
        let file = self.name.to_ascii_lowercase();
        let vendors = ATTRIBUTIONS.into_iter();
        let mut known = vendors.filter(|(database, prefix, _)| match self.is_renamed() {
            true => !prefix.is_empty() && file.starts_with(prefix),
            false => self.database.starts_with(database),
        });
        known.next().map(|(database, _, text)| (database, text))
    }
}

fn age(built: u64, now: SystemTime) -> Duration {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    now.saturating_sub(Duration::from_secs(built))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(database: &str, name: &str) -> FileInfo {
        FileInfo {
            name: name.to_owned(),
            database: database.to_owned(),
            ..FileInfo::default()
        }
    }

    fn info(built: u64) -> GeoInfo {
        GeoInfo {
            database: "GeoIP2-City".to_owned(),
            files: Vec::new(),
            built,
            attribution: None,
            filled: None,
        }
    }

    fn day(number: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(number * 24 * 60 * 60)
    }

    #[test]
    fn data_of_any_vendor_is_stale_after_thirty_days() {
        let info = info(100 * 24 * 60 * 60);
        assert!(!info.is_stale(day(100)) && !info.is_stale(day(130)));
        assert!(info.is_stale(day(131)));
        assert_eq!(info.age(day(103)), Duration::from_secs(3 * 24 * 60 * 60));
    }

    #[test]
    fn data_from_the_future_has_no_age() {
        assert_eq!(info(u64::MAX).age(day(1)), Duration::ZERO);
        assert!(!info(u64::MAX).is_stale(day(1)));
        assert_eq!(info(86_400).built_at(), day(1));
        assert!(info(u64::MAX).built_at() > day(2_900_000));
    }

    #[test]
    fn licences_are_known_by_the_type_and_of_renamed_databases_by_the_name() {
        for (database, name, expected) in [
            ("GeoLite2-City", "city.mmdb", "maxmind.com"),
            ("DBIP-City-Lite", "city.mmdb", "db-ip.com"),
            ("ipinfo generic_bundle_lite.mmdb", "lite.mmdb", "ipinfo.io"),
            ("IP2LITE-Country", "a.mmdb", "ip2location.com"),
            ("city ipv4", "geolite2-city-ipv4.mmdb", "maxmind.com"),
            ("country ipvAll", "dbip-country.mmdb", "db-ip.com"),
        ] {
            let text = file(database, name).attribution();
            assert!(text.is_some_and(|text| text.contains(expected)), "{database}: {text:?}");
        }
        for (database, name) in [("GeoIP2-City", "geolite2-city.mmdb"), ("city ipv4", "a.mmdb")] {
            assert_eq!(file(database, name).attribution(), None, "{database} {name}");
        }
        assert!(file("city ipv4", "").is_renamed() && !file("city ipv5", "").is_renamed());
        let both = [
            file("city ipv4", "geolite2-city-ipv4.mmdb"),
            file("city ipv6", "geolite2-city-ipv6.mmdb"),
        ];
        assert_eq!(GeoInfo::attribution_of(&both).as_deref(), both[0].attribution());
    }
}
