//! A request as each version of the contract hands it over.

use super::contract::{HttpMethod, inputs, v01, v02};
use super::request::{Estimate, RouteRequest};
use super::setup::Setup;
use arrayvec::ArrayVec;
use http::{Method, Version};
use portolan_core::geo::Point;
use portolan_core::slots::Slots;
use std::net::IpAddr;
use std::time::SystemTime;

/// What of a request is written into memory to be handed over. Kept by a worker.
#[derive(Debug, Default)]
pub(super) struct Inputs {
    /// The values of the declared fields, one per line.
    pub(super) fields: String,
    /// One for each eligible region.
    pub(super) estimates: ArrayVec<v02::Estimate, { Slots::MAX }>,
    /// The slots of the eligible regions.
    eligible: ArrayVec<u8, { Slots::MAX }>,
    /// Minutes since 1970.
    pub(super) minute: u32,
}

impl Inputs {
    /// Prepares what a plugin needs of a request and nothing else.
    pub(super) fn prepare(&mut self, request: &RouteRequest<'_>, setup: &Setup) {
        let needs = |bit: u32| setup.needs & bit != 0;
        self.fields.clear();
        if needs(inputs::FIELDS) {
            setup.write_fields(request, &mut self.fields);
        }
        if needs(inputs::ROUND_TRIPS | inputs::LOAD) {
            let eligible = request.native.eligible().iter();
            self.estimates = eligible
                .map(|slot| estimate((request.estimate)(*slot), setup.needs))
                .collect();
        }
        if needs(inputs::MINUTE) {
            self.minute = minute(request.time.unwrap_or_else(SystemTime::now));
        }
    }

    /// The record of 0.1.
    pub(super) fn v01<'r>(&'r self, request: &RouteRequest<'r>, setup: &Setup) -> v01::Request<'r> {
        let needs = |bit: u32| setup.needs & bit != 0;
        let point = request.point.filter(|_| needs(inputs::POINT));
        let (native_first4, native_next4) = v01::pack(request.native.eligible().iter().map(|slot| slot.0));
        v01::Request {
            method: method(request.method),
            protocol: protocol(request.version),
            host: if needs(inputs::HOST) { request.host } else { "" },
            path: if needs(inputs::PATH) { request.path } else { "" },
            fields: &self.fields,
            country: if needs(inputs::COUNTRY) {
                request.country.code()
            } else {
                0
            },
            asn: if needs(inputs::ASN) { request.asn } else { 0 },
            latitude: point.map_or(f32::NAN, Point::latitude),
            longitude: point.map_or(f32::NAN, Point::longitude),
            net: if needs(inputs::NET) { net(request.client) } else { 0 },
            roll: request.roll,
            native_first4,
            native_next4,
        }
    }

    /// The record of 0.2.
    pub(super) fn v02<'r>(&'r mut self, request: &RouteRequest<'r>, setup: &Setup) -> v02::Request<'r> {
        let needs = |bit: u32| setup.needs & bit != 0;
        self.eligible = request.native.eligible().iter().map(|slot| slot.0).collect();
        let point = request.point.filter(|_| needs(inputs::POINT));
        v02::Request {
            method: method(request.method),
            fields: &self.fields,
            eligible: &self.eligible,
            estimates: needs(inputs::ROUND_TRIPS | inputs::LOAD).then_some(&*self.estimates),
            country: if needs(inputs::COUNTRY) {
                request.country.code()
            } else {
                0
            },
            location: point.map(|point| v02::Point {
                latitude: point.latitude(),
                longitude: point.longitude(),
            }),
            asn: if needs(inputs::ASN) { request.asn } else { 0 },
            net: if needs(inputs::NET) { net(request.client) } else { 0 },
            minute: if needs(inputs::MINUTE) { self.minute } else { 0 },
            roll: request.roll,
        }
    }
}

/// What is asked for of an estimate.
fn estimate(of: Estimate, needs: u32) -> v02::Estimate {
    let round_trip = of.round_trip.filter(|_| needs & inputs::ROUND_TRIPS != 0);
    v02::Estimate {
        round_trip_us: round_trip.map_or(0, |it| u32::try_from(it.as_micros()).unwrap_or(u32::MAX)),
        in_flight: if needs & inputs::LOAD != 0 { of.in_flight } else { 0 },
    }
}

/// Minutes since 1970. A clock that is before that is as one that stands at it.
fn minute(time: SystemTime) -> u32 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u32::try_from(since.as_secs() / 60).unwrap_or(u32::MAX)
}

/// The contract's number for a client's network.
pub(super) fn net(client: IpAddr) -> u64 {
    match client.to_canonical() {
        IpAddr::V4(ip) => u64::from(u32::from(ip) & 0xffff_ff00),
        IpAddr::V6(ip) => (u128::from(ip) >> 64) as u64 & !0xffff,
    }
}

pub(super) fn method(method: &Method) -> HttpMethod {
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

pub(super) fn protocol(version: Version) -> v01::Protocol {
    match version {
        Version::HTTP_2 => v01::Protocol::Http2,
        Version::HTTP_3 => v01::Protocol::Http3,
        _ => v01::Protocol::Http1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

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

    #[test]
    fn minutes_since_1970() {
        let at = |seconds| minute(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!((at(0), at(59), at(60), at(86_400 + 3_599)), (0, 0, 1, 1_440 + 59));
        assert_eq!(minute(SystemTime::UNIX_EPOCH - Duration::from_secs(9)), 0);
    }
}
