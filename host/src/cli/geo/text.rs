//! What `portolan geo` prints.

use crate::config::GeoSettings;
use crate::geo::Geo;
use portolan_core::geo::{Country, Point};
use portolan_geo::{Coverage, FileInfo, azure, countries};
use serde::Serialize;
use serde_json::{Value, json};
use std::fmt::{self, Write as _};
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

/// Where an address is.
#[derive(Debug, Serialize)]
pub(super) struct Located {
    address: IpAddr,
    /// Two letters; `None` when unknown.
    country: Option<String>,
    latitude: Option<f32>,
    longitude: Option<f32>,
    /// `cell`, `country`, `azure`, `configured` or `unknown`.
    precision: &'static str,
    /// Where it is in words, or why that is not known.
    place: String,
    asn: Option<u32>,
    operator: Option<String>,
    nearest_azure_region: Option<&'static str>,
    distance_km: Option<f64>,
    #[serde(skip)]
    country_name: Option<&'static str>,
}

impl Located {
    pub(super) fn of(address: IpAddr, geo: &Geo, settings: &GeoSettings) -> Self {
        let place = geo.locate(address).place;
        let described = geo.describe(address, &settings.networks);
        let system = geo.systems.as_ref().and_then(|systems| systems.describe(address));
        let nearest = place.point.and_then(nearest);
        Self {
            address,
            country: Some(place.country)
                .filter(|country| *country != Country::UNKNOWN)
                .map(|country| country.to_string()),
            country_name: countries::find(place.country).map(|country| country.name),
            latitude: place.point.map(Point::latitude),
            longitude: place.point.map(Point::longitude),
            precision: described.precision,
            place: described.place,
            asn: system.map(|system| system.number),
            operator: system.and_then(|system| system.organization).map(str::to_owned),
            nearest_azure_region: nearest.map(|(region, _)| region),
            distance_km: nearest.map(|(_, km)| km.round()),
        }
    }
}

impl fmt::Display for Located {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  ", self.address)?;
        match (&self.country, self.country_name) {
            (Some(code), name) => write!(f, "{code} {}, ", name.unwrap_or_default())?,
            (None, _) if self.latitude.is_some() => f.write_str("country unknown, ")?,
            (None, _) => {}
        }
        f.write_str(&self.place)?;
        if let Some(number) = self.asn {
            write!(f, "  AS{number}")?;
        }
        if let Some(operator) = &self.operator {
            write!(f, " {operator}")?;
        }
        if let (Some(region), Some(km)) = (self.nearest_azure_region, self.distance_km) {
            write!(f, "  ({km:.0} km to {region})")?;
        }
        Ok(())
    }
}

/// The nearest Azure region and how far it is.
fn nearest(point: Point) -> Option<(&'static str, f64)> {
    let regions = azure::regions()
        .iter()
        .map(|region| (region.name.as_str(), point.distance_km(region.point)));
    regions.min_by(|a, b| a.1.total_cmp(&b.1))
}

/// What the location table is made of.
pub(super) fn info(geo: &Geo, settings: &GeoSettings, now: SystemTime) -> String {
    let info = geo.databases().info();
    let mut text = format!(
        "database   {}{}\nage        {}\nnetworks   {} IPv4, {} IPv6\nplaces     {}\n",
        info.database,
        if geo.is_embedded() { " (embedded)" } else { "" },
        age(info.age(now)),
        info.v4().given,
        info.v6().given,
        geo.places.places().len() - 1,
    );
    // Writing to a string cannot fail.
    if let Some(family) = info.filled {
        let _ = writeln!(
            text,
            "embedded   {family}: the databases have no place for any such address"
        );
    }
    if !settings.networks.is_empty() {
        let _ = writeln!(text, "configured {} networks", settings.networks.len());
    }
    for file in &info.files {
        text += &of_file(file, now);
    }
    for file in geo.systems.iter().flat_map(|systems| systems.files()) {
        text += &of_file(file, now);
    }
    if let Some(attribution) = geo.attribution(settings) {
        let _ = writeln!(text, "{attribution}");
    }
    for warning in geo.warnings(settings, now) {
        let _ = writeln!(text, "warning: {}", warning.message);
    }
    text
}

/// The same as JSON.
pub(super) fn info_json(geo: &Geo, settings: &GeoSettings, now: SystemTime) -> Value {
    let info = geo.databases().info();
    let file = |file: &FileInfo| {
        let coverage = |coverage: Coverage| {
            json!({
                "networks": coverage.networks,
                "placed": coverage.placed,
                "used": coverage.given,
                "unreadable": coverage.unreadable,
            })
        };
        json!({
            "file": file.name,
            "type": file.database,
            "schema": file.schema,
            "age_days": days(file.age(now)),
            "ipv4": coverage(file.v4),
            "ipv6": coverage(file.v6),
        })
    };
    let warnings = geo.warnings(settings, now);
    let warnings = warnings
        .iter()
        .map(|it| json!({ "key": it.key, "message": it.message }));
    json!({
        "database": info.database,
        "embedded": geo.is_embedded(),
        "embedded_family": info.filled.map(|family| family.to_string()),
        "age_days": days(info.age(now)),
        "networks": { "ipv4": info.v4().given, "ipv6": info.v6().given },
        "places": geo.places.places().len() - 1,
        "configured_networks": settings.networks.len(),
        "files": info.files.iter().map(file).collect::<Vec<_>>(),
        "asn_files": geo.systems.iter().flat_map(|systems| systems.files()).map(file).collect::<Vec<_>>(),
        "attribution": geo.attribution(settings),
        "warnings": warnings.collect::<Vec<_>>(),
    })
}

fn of_file(file: &FileInfo, now: SystemTime) -> String {
    let mut text = format!("\nfile       {}\n", file.name);
    // Writing to a string cannot fail.
    let _ = writeln!(text, "  type     {}, {}", file.database, age(file.age(now)));
    if let Some(schema) = &file.schema {
        let _ = writeln!(text, "  schema   {schema}");
    }
    for (family, coverage) in [("IPv4", file.v4), ("IPv6", file.v6)] {
        let Coverage {
            networks,
            placed,
            given,
            unreadable,
        } = coverage;
        let _ = match &file.schema {
            Some(_) => write!(
                text,
                "  {family}     {networks} networks, {placed} with a place, {given} used"
            ),
            None => write!(
                text,
                "  {family}     {networks} networks, {placed} with an autonomous system"
            ),
        };
        if unreadable > 0 {
            let _ = write!(text, ", {unreadable} with a point that cannot be read");
        }
        text.push('\n');
    }
    text
}

fn age(age: Duration) -> String {
    format!("{} days", days(age))
}

fn days(age: Duration) -> u64 {
    age.as_secs() / (24 * 60 * 60)
}
