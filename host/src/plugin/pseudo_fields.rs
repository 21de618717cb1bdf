//! What a plugin reads like a header and is none: names that begin with a colon, as in HTTP/2, so that they never meet a header.

use super::request::RouteRequest;
use crate::message;
use http::Version;
use portolan_core::certificate::AltName;

/// A field that is not a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PseudoField {
    /// The method as sent.
    Method,
    /// `http` or `https`.
    Scheme,
    /// The host asked for, in lower case, without port.
    Host,
    /// Without query.
    Path,
    /// Without the question mark.
    Query,
    /// `1.0`, `1.1`, `2` or `3`.
    HttpVersion,
    /// SNI, in lower case.
    TlsServerName,
    /// The subject of the client's verified certificate.
    ClientCertSubject,
    /// The subjectAltName of the client's verified certificate.
    ClientCertNames,
    /// The client's country as two letters.
    ClientCountry,
    /// The service of a call of gRPC.
    GrpcService,
    /// The method of a call of gRPC.
    GrpcMethod,
}

impl PseudoField {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Method,
        Self::Scheme,
        Self::Host,
        Self::Path,
        Self::Query,
        Self::HttpVersion,
        Self::TlsServerName,
        Self::ClientCertSubject,
        Self::ClientCertNames,
        Self::ClientCountry,
        Self::GrpcService,
        Self::GrpcMethod,
    ];

    /// Its name in the contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Method => ":method",
            Self::Scheme => ":scheme",
            Self::Host => ":host",
            Self::Path => ":path",
            Self::Query => ":query",
            Self::HttpVersion => ":http-version",
            Self::TlsServerName => ":tls-server-name",
            Self::ClientCertSubject => ":client-cert-subject",
            Self::ClientCertNames => ":client-cert-names",
            Self::ClientCountry => ":client-country",
            Self::GrpcService => ":grpc-service",
            Self::GrpcMethod => ":grpc-method",
        }
    }

    /// The one of this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.as_str() == name)
    }

    /// Appends its value; nothing where there is none.
    pub(super) fn write(self, request: &RouteRequest<'_>, text: &mut String) {
        let tls = || request.arrival?.tls.as_deref();
        let certificate = || request.fields.client.map(|client| &client.certificate);
        match self {
            Self::Method => text.push_str(request.method.as_str()),
            Self::Scheme => text.push_str(request.arrival.map_or("http", |arrival| arrival.scheme())),
            Self::Host => text.push_str(request.host),
            Self::Path => text.push_str(request.path),
            Self::Query => text.push_str(request.query),
            Self::HttpVersion => text.push_str(version(request.version)),
            Self::TlsServerName => text.push_str(tls().and_then(|tls| tls.server_name.as_deref()).unwrap_or_default()),
            Self::ClientCertSubject => push_line(text, certificate().map_or("", |certificate| &certificate.subject)),
            Self::ClientCertNames => {
                let names = certificate().into_iter().flat_map(|certificate| &certificate.names);
                for (number, AltName::Dns(name) | AltName::Uri(name) | AltName::Address(name)) in names.enumerate() {
                    if number > 0 {
                        text.push_str(", ");
                    }
                    push_line(text, name);
                }
            }
            Self::ClientCountry => text.push_str(request.country.as_str().unwrap_or_default()),
            Self::GrpcService => text.push_str(grpc(request).map_or("", |(service, _)| service)),
            Self::GrpcMethod => text.push_str(grpc(request).map_or("", |(_, method)| method)),
        }
    }
}

/// Appends a text that others wrote, on one line.
fn push_line(text: &mut String, value: &str) {
    match value.contains(char::is_control) {
        false => text.push_str(value),
        true => text.extend(value.chars().map(|c| if c.is_control() { ' ' } else { c })),
    }
}

/// The service and the method of a call (`PROTOCOL-HTTP2.md`: `:path` is `/` service `/` method). `None` for what is no call.
fn grpc<'a>(request: &RouteRequest<'a>) -> Option<(&'a str, &'a str)> {
    if !message::is_grpc(request.version, request.fields.headers) {
        return None;
    }
    request.path.strip_prefix('/')?.rsplit_once('/')
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        Version::HTTP_3 => "3",
        _ => "1.1",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arrival::{Arrival, ListenerId};
    use crate::plugin::fields::VisibleFields;
    use crate::plugin::request::tests::Fake;
    use crate::tls::VerifiedClient;
    use http::{HeaderValue, Method, header};
    use portolan_core::certificate::ClientCertificate;
    use portolan_core::geo::Country;

    fn values<const N: usize>(request: &RouteRequest<'_>, fields: [PseudoField; N]) -> [String; N] {
        fields.map(|field| {
            let mut text = String::new();
            field.write(request, &mut text);
            text
        })
    }

    #[test]
    fn names_are_found() {
        for field in PseudoField::ALL {
            assert!(field.as_str().starts_with(':'));
            assert_eq!(PseudoField::named(field.as_str()), Some(field));
        }
        assert_eq!(PseudoField::named(":authority"), None);
    }

    #[test]
    fn a_request_without_tls() {
        let addr = "192.0.2.1:4711".parse().unwrap();
        let fake = Fake {
            method: Method::from_bytes(b"PROPFIND").unwrap(),
            version: http::Version::HTTP_10,
            path: "/a",
            query: "b=c",
            country: Country::UNKNOWN,
            arrival: Some(Arrival::plain(ListenerId::new("public"), addr, addr)),
            ..Fake::default()
        };
        assert_eq!(
            values(&fake.request(), PseudoField::ALL),
            [
                "PROPFIND",
                "http",
                "shop.example.net",
                "/a",
                "b=c",
                "1.0",
                "",
                "",
                "",
                "",
                "",
                ""
            ]
            .map(str::to_owned)
        );
    }

    #[test]
    fn what_a_certificate_says_stays_on_its_line() {
        let client = VerifiedClient {
            certificate: ClientCertificate {
                subject: "O=a\nb, CN=ops".into(),
                names: ["web.example", "spiffe://prod/web", "192.0.2.7"]
                    .map(AltName::guess)
                    .into(),
            },
            forwarded: HeaderValue::from_static("x"),
        };
        let fake = Fake::default();
        let request = RouteRequest {
            fields: VisibleFields {
                client: Some(&client),
                ..VisibleFields::all(&fake.headers)
            },
            ..fake.request()
        };
        assert_eq!(
            values(
                &request,
                [
                    PseudoField::ClientCertSubject,
                    PseudoField::ClientCertNames,
                    PseudoField::ClientCountry
                ]
            ),
            ["O=a b, CN=ops", "web.example, spiffe://prod/web, 192.0.2.7", "GB"].map(str::to_owned)
        );
    }

    #[test]
    fn only_a_call_has_a_service_and_a_method() {
        let of = |version, content_type: &'static str, path| {
            let mut fake = Fake {
                version,
                path,
                ..Fake::default()
            };
            fake.headers
                .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
            values(&fake.request(), [PseudoField::GrpcService, PseudoField::GrpcMethod])
        };
        let (h2, none) = (http::Version::HTTP_2, ["", ""].map(str::to_owned));
        assert_eq!(
            of(h2, "application/grpc+proto", "/shop.Cart/Add"),
            ["shop.Cart", "Add"].map(str::to_owned)
        );
        assert_eq!(of(h2, "application/json", "/shop.Cart/Add"), none);
        assert_eq!(of(http::Version::HTTP_11, "application/grpc", "/shop.Cart/Add"), none);
        assert_eq!(of(h2, "application/grpc", "/nothing"), none);
    }
}
