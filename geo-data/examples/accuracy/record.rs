//! What a database says of an address, read without any code of the table's.

use maxminddb::MaxMindDbError;
use portolan_core::geo::{Country, Point};
use portolan_geo::countries;
use serde_json::Value;
use std::net::IpAddr;

pub(crate) struct Reader<'a>(pub(crate) maxminddb::Reader<&'a [u8]>);

/// Where a record says its addresses are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Record {
    pub(crate) country: Option<Country>,
    pub(crate) point: Point,
}

impl<'a> Reader<'a> {
    pub(crate) fn open(bytes: &'a [u8]) -> Result<Self, MaxMindDbError> {
        maxminddb::Reader::from_source(bytes).map(Self)
    }

    pub(crate) fn record(&self, address: IpAddr) -> Result<Option<Record>, MaxMindDbError> {
        Ok(self.0.lookup(address)?.decode::<Value>()?.as_ref().and_then(record))
    }
}

fn record(value: &Value) -> Option<Record> {
    let text = |path: &str| value.pointer(path)?.as_str().filter(|text| !text.is_empty());
    let number = |path: &str| {
        let value = value.pointer(path)?;
        value.as_f64().or_else(|| value.as_str()?.parse().ok())
    };
    let codes = ["/country/iso_code", "/country_code", "/registered_country/iso_code"];
    let mut codes = codes.iter().filter_map(|path| Country::parse(text(path)?));
    let country = codes.find(|country| countries::find(*country).is_some());
    let point = |prefix: &str| {
        let latitude = number(&format!("{prefix}/latitude"))? as f32;
        let longitude = number(&format!("{prefix}/longitude"))? as f32;
        Point::new(latitude, longitude)
            .ok()
            .filter(|_| latitude != 0.0 || longitude != 0.0)
    };
    // A point that stands for a whole country is not where its people are.
    let is_country_level = match number("/location/accuracy_radius") {
        Some(radius) => radius >= 500.0 && value.get("city").is_none() && value.get("subdivisions").is_none(),
        None => value.get("city").is_some_and(|city| city == "") && text("/state1").is_none(),
    };
    let middle = country.and_then(countries::find).map(|country| country.point);
    let point = point("/location")
        .or_else(|| point(""))
        .filter(|_| !(is_country_level && country.is_some()));
    Some(Record {
        country,
        point: point.or(middle)?,
    })
}
