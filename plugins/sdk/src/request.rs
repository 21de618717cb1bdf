//! The request, as [`Plugin::route`](crate::Plugin::route) receives it.

use crate::decision::ranks;
use crate::geo::Point;
use crate::region::{Country, Slot};
use crate::setup::Header;

/// One request. What [`Setup`](crate::Setup) did not ask for is empty, unknown or 0. Its default is a `GET` without
/// regions, for tests to start from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The protocol the client spoke.
    pub protocol: Protocol,
    /// Lower case, without port.
    pub host: String,
    /// Without query.
    pub path: String,
    /// The client's country.
    pub country: Country,
    /// The number of the client's autonomous system; 0 is unknown.
    pub asn: u32,
    /// Where the client is.
    pub point: Option<Point>,
    /// The client's network: the first 48 bits of an IPv6 address, the first 24 of an IPv4 address. 0 is unknown.
    pub net: u64,
    /// A random number, new for every request. A plugin that uses it must not promise
    /// [`Setup::vary`](crate::Setup::vary).
    pub roll: u32,
    pub(crate) fields: String,
    pub(crate) native: [u8; 8],
    pub(crate) native_len: u8,
}

impl Request {
    /// The value of a declared header; `None` when it is missing, empty or not text.
    pub fn header(&self, header: Header) -> Option<&str> {
        self.fields
            .split('\n')
            .nth(header.0.into())
            .filter(|value| !value.is_empty())
    }

    /// The regions that may answer, in the order the host would use: at most eight. With more regions than that, others
    /// may be eligible too; the host drops from an answer what is not.
    pub fn offered(&self) -> impl ExactSizeIterator<Item = Slot> {
        self.native.into_iter().take(self.native_len.into()).map(Slot)
    }

    /// The same request, with this value of a declared header.
    #[must_use]
    pub fn with_header(mut self, header: Header, value: &str) -> Self {
        let mut lines: Vec<&str> = self.fields.split('\n').collect();
        lines.resize(lines.len().max(usize::from(header.0) + 1), "");
        lines[usize::from(header.0)] = value;
        self.fields = lines.join("\n");
        self
    }

    /// The same request, with these regions in the host's order; the first eight count.
    #[must_use]
    pub fn offering(mut self, order: impl IntoIterator<Item = Slot>) -> Self {
        (self.native, self.native_len) = ranks(order);
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

/// The protocol a client speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    #[default]
    /// HTTP/1.0 or HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
    /// HTTP/3.
    Http3,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::Setup;

    #[test]
    fn declared_headers_are_read_by_handle() {
        let mut setup = Setup::default();
        let (first, second, third) = (setup.header("X-A"), setup.header("x-b"), setup.header("x-c"));
        let request = Request::default().with_header(second, "two");
        assert_eq!(
            [first, second, third].map(|header| request.header(header)),
            [None, Some("two"), None]
        );
    }

    #[test]
    fn eight_regions_are_offered_at_most() {
        let request = Request::default().offering((0..12).rev().map(Slot));
        assert_eq!(
            request.offered().collect::<Vec<_>>(),
            (4..12).rev().map(Slot).collect::<Vec<_>>()
        );
        assert_eq!(Request::default().offered().len(), 0);
    }
}
