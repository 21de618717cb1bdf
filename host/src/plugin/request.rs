//! A request as the host knows it, and as the contract hands it over.

use super::contract::{HttpMethod, Protocol, Request, inputs, pack};
use super::fields::VisibleFields;
use super::setup::Setup;
use http::{Method, Version};
use portolan_core::geo::{Country, Point};
use portolan_core::rank::Ranking;
use std::net::IpAddr;
use std::time::Instant;

/// The inputs of a plugin from a request. Nothing is read that the plugin did not ask for.
#[derive(Clone, Copy, Debug)]
pub struct RouteRequest<'a> {
    /// Its method.
    pub method: &'a Method,
    /// The protocol it came by.
    pub version: Version,
    /// The host it is for, lower case, without port.
    pub host: &'a str,
    /// Its path, without query.
    pub path: &'a str,
    /// Its fields.
    pub fields: VisibleFields<'a>,
    /// The client's address.
    pub client: IpAddr,
    /// The client's country.
    pub country: Country,
    /// Where the client is.
    pub point: Option<Point>,
    /// The number of the client's autonomous system; 0 is unknown.
    pub asn: u32,
    /// Chance.
    pub roll: u32,
    /// The regions that may answer, in the order that holds without the plugin.
    pub native: &'a Ranking,
    /// When it is.
    pub now: Instant,
}

impl<'a> RouteRequest<'a> {
    /// The record of the contract, with what the plugin needs and nothing else. `fields` takes the declared headers.
    pub(super) fn record<'r>(&self, setup: &Setup, fields: &'r mut String) -> Request<'r>
    where
        'a: 'r,
    {
        let needs = |bit: u32| setup.needs & bit != 0;
        fields.clear();
        if needs(inputs::FIELDS) {
            setup.write_fields(self.fields, fields);
        }
        let point = self.point.filter(|_| needs(inputs::POINT));
        let (native_first4, native_next4) = pack(self.native.first_eight());
        Request {
            method: method(self.method),
            protocol: protocol(self.version),
            host: if needs(inputs::HOST) { self.host } else { "" },
            path: if needs(inputs::PATH) { self.path } else { "" },
            fields,
            country: if needs(inputs::COUNTRY) { self.country.code() } else { 0 },
            asn: if needs(inputs::ASN) { self.asn } else { 0 },
            latitude: point.map_or(f32::NAN, Point::latitude),
            longitude: point.map_or(f32::NAN, Point::longitude),
            net: if needs(inputs::NET) { net(self.client) } else { 0 },
            roll: self.roll,
            native_first4,
            native_next4,
        }
    }
}

/// The contract's number for a client's network.
fn net(client: IpAddr) -> u64 {
    match client.to_canonical() {
        IpAddr::V4(ip) => u64::from(u32::from(ip) & 0xffff_ff00),
        IpAddr::V6(ip) => (u128::from(ip) >> 64) as u64 & !0xffff,
    }
}

fn method(method: &Method) -> HttpMethod {
    match *method {
        Method::GET => HttpMethod::Get,
        Method::HEAD => HttpMethod::Head,
        Method::POST => HttpMethod::Post,
        Method::PUT => HttpMethod::Put,
        Method::DELETE => HttpMethod::Delete,
        Method::OPTIONS => HttpMethod::Options,
        Method::PATCH => HttpMethod::Patch,
        _ => HttpMethod::Other,
    }
}

fn protocol(version: Version) -> Protocol {
    match version {
        Version::HTTP_2 => Protocol::Http2,
        Version::HTTP_3 => Protocol::Http3,
        _ => Protocol::Http1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_as_numbers() {
        for (client, expected) in [
            ("81.2.69.142", 0x5102_4500),
            ("::ffff:81.2.69.142", 0x5102_4500),
            ("2001:db8:1234:5678::1", 0x2001_0db8_1234_0000),
            ("::1", 0),
        ] {
            assert_eq!(net(client.parse().unwrap()), expected, "{client}");
        }
    }
}
