//! The request, as [`Plugin::route`](crate::Plugin::route) receives it.

use crate::geo::Point;
use crate::region::{Country, Slot};
use crate::setup::Field;

/// One request. What [`Setup`](crate::Setup) did not ask for is empty, unknown or 0. Its default is a `GET` without
/// regions, for tests to start from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The client's country.
    pub country: Country,
    /// The number of the client's autonomous system; 0 is unknown.
    pub asn: u32,
    /// Where the client is.
    pub point: Option<Point>,
    /// The client's network: the first 48 bits of an IPv6 address, the first 24 of an IPv4 address. 0 is unknown.
    pub net: u64,
    /// Minutes since 1970-01-01T00:00Z: the remainder by 1440 is the minute of the day in UTC.
    pub minute: u32,
    /// A random number, new for every request; the same for all requests of a session. A plugin that uses it must not promise
    /// [`Setup::vary`](crate::Setup::vary).
    pub roll: u32,
    pub(crate) fields: String,
    pub(crate) eligible: Vec<u8>,
    pub(crate) estimates: Vec<Estimate>,
}

/// What is estimated of a region for a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    /// Round trip from the client to the region, in microseconds.
    pub round_trip_us: Option<u32>,
    /// Requests of this proxy instance that the region is working on now.
    pub in_flight: u32,
}

impl Request {
    /// The value of a declared field; `None` when it is missing, empty or not text.
    pub fn field(&self, field: Field) -> Option<&str> {
        self.fields
            .split('\n')
            .nth(field.0.into())
            .filter(|value| !value.is_empty())
    }

    /// The regions that may answer, in the order the host would use.
    pub fn eligible(&self) -> impl ExactSizeIterator<Item = Slot> {
        self.eligible.iter().copied().map(Slot)
    }

    /// The same with what is estimated of each; nothing unless [`Inputs::ROUND_TRIPS`](crate::Inputs::ROUND_TRIPS) or
    /// [`Inputs::LOAD`](crate::Inputs::LOAD) was asked for.
    pub fn estimates(&self) -> impl ExactSizeIterator<Item = (Slot, Estimate)> {
        self.eligible().zip(self.estimates.iter().copied())
    }

    /// The same request, with this value of a declared field.
    #[must_use]
    pub fn with_field(mut self, field: Field, value: &str) -> Self {
        let mut lines: Vec<&str> = self.fields.split('\n').collect();
        lines.resize(lines.len().max(usize::from(field.0) + 1), "");
        lines[usize::from(field.0)] = value;
        self.fields = lines.join("\n");
        self
    }

    /// The same request, with these regions that may answer, in the host's order.
    #[must_use]
    pub fn with_eligible(mut self, order: impl IntoIterator<Item = Slot>) -> Self {
        self.eligible = order.into_iter().map(|slot| slot.0).collect();
        self
    }

    /// The same request, with these regions that may answer and what is estimated of them, in the host's order.
    #[must_use]
    pub fn with_estimates(mut self, estimates: impl IntoIterator<Item = (Slot, Estimate)>) -> Self {
        (self.eligible, self.estimates) = estimates.into_iter().map(|(slot, estimate)| (slot.0, estimate)).unzip();
        self
    }

    /// The same request, from a client at this place. Coordinates that are no place mean that nobody knows.
    #[must_use]
    pub fn from_place(mut self, latitude: f32, longitude: f32) -> Self {
        self.point = Point::new(latitude, longitude);
        self
    }
}

/// A request method.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    #[default]
    /// `GET`.
    Get,
    /// `HEAD`.
    Head,
    /// `POST`.
    Post,
    /// `PUT`.
    Put,
    /// `DELETE`.
    Delete,
    /// `OPTIONS`.
    Options,
    /// `PATCH`.
    Patch,
    /// Any other.
    Other,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::{Setup, field};

    #[test]
    fn declared_fields_are_read_by_handle() {
        let mut setup = Setup::default();
        let (first, second, third) = (setup.field("X-A"), setup.field(field::PATH), setup.field("x-c"));
        let request = Request::default().with_field(second, "/two");
        assert_eq!(
            [first, second, third].map(|field| request.field(field)),
            [None, Some("/two"), None]
        );
    }

    #[test]
    fn regions_come_with_their_estimates() {
        let slots = || (0..64).rev().map(Slot);
        let request = Request::default().with_eligible(slots());
        assert_eq!(request.eligible().collect::<Vec<_>>(), slots().collect::<Vec<_>>());
        assert_eq!(request.estimates().len(), 0, "none was asked for");
        let estimate = Estimate {
            round_trip_us: Some(9_000),
            in_flight: 2,
        };
        let request = request.with_estimates([(Slot(3), estimate), (Slot(1), Estimate::default())]);
        assert_eq!(
            request.estimates().collect::<Vec<_>>(),
            [(Slot(3), estimate), (Slot(1), Estimate::default())]
        );
    }
}
