//! The fields of a request as guests get them.

use crate::tls::VerifiedClient;
use http::{HeaderMap, HeaderName, HeaderValue};
use portolan_core::identity::ClientAddress;

static X_FORWARDED_CLIENT_CERT: HeaderName = HeaderName::from_static("x-forwarded-client-cert");

/// The fields of a request that a plugin may see: a field about the client only from a peer that may write it, as for gateways.
#[derive(Clone, Copy, Debug)]
pub struct VisibleFields<'a> {
    /// All fields that came.
    pub headers: &'a HeaderMap,
    /// Who wrote the fields about the client: the policy of the listener, and whether the peer is a proxy that is believed. `None`
    /// where all of them count, as for a hypothetical request.
    pub trust: Option<(&'a ClientAddress, bool)>,
    /// The client where it has proved by a certificate who it is: its `X-Forwarded-Client-Cert` counts instead of what came.
    pub client: Option<&'a VerifiedClient>,
}

impl<'a> VisibleFields<'a> {
    /// All of these.
    pub fn all(headers: &'a HeaderMap) -> Self {
        Self {
            headers,
            trust: None,
            client: None,
        }
    }

    /// Whether a field that came is visible.
    /// The same fields, copied.
    pub fn to_headers(self) -> HeaderMap {
        self.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    fn shows(&self, name: &HeaderName) -> bool {
        self.trust
            .is_none_or(|(policy, is_trusted)| policy.passes(name.as_str(), is_trusted))
            && !(self.client.is_some() && *name == X_FORWARDED_CLIENT_CERT)
    }

    /// The visible fields.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&'a HeaderName, &'a HeaderValue)> {
        let fields = *self;
        let came = self.headers.iter().filter(move |(name, _)| fields.shows(name));
        came.chain(self.client.map(|client| (&X_FORWARDED_CLIENT_CERT, &client.forwarded)))
    }

    /// Appends the values of a field, joined by `, `. Values that are not text are left out.
    pub(super) fn join(&self, name: &HeaderName, joined: &mut String) {
        if self.shows(name) {
            join_values(self.headers.get_all(name), joined);
        } else if *name == X_FORWARDED_CLIENT_CERT {
            join_values(self.client.map(|client| &client.forwarded), joined);
        }
    }
}

/// Appends values, joined by `, `. Values that are not text are left out.
pub(super) fn join_values<'a>(values: impl IntoIterator<Item = &'a HeaderValue>, joined: &mut String) {
    let values = values.into_iter();
    let texts = values.filter_map(|value| std::str::from_utf8(value.as_bytes()).ok());
    for (number, value) in texts.enumerate() {
        if number > 0 {
            joined.push_str(", ");
        }
        joined.push_str(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portolan_core::certificate::ClientCertificate;
    use portolan_core::identity::ClientHeader;

    #[test]
    fn plugins_see_what_gateways_get() {
        let mut headers = HeaderMap::new();
        for name in ["x-azure-fdid", "x-forwarded-client-cert", "x-forwarded-host", "x-beta"] {
            headers.append(name, HeaderValue::from_static("came"));
        }
        let policy = ClientAddress {
            header: ClientHeader::AzureSocketIp { front_door_id: None },
            ..ClientAddress::default()
        };
        let own = VerifiedClient {
            certificate: ClientCertificate::default(),
            forwarded: HeaderValue::from_static("Subject=\"CN=ops\""),
        };
        for (is_trusted, certificate, expected) in [
            (false, None, &["x-beta"][..]),
            (true, None, &["x-azure-fdid", "x-forwarded-host", "x-beta"]),
            (false, Some(&own), &["x-beta", "x-forwarded-client-cert"]),
        ] {
            let fields = VisibleFields {
                headers: &headers,
                trust: Some((&policy, is_trusted)),
                client: certificate,
            };
            let seen: Vec<_> = fields.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(seen, expected);
            for name in headers.keys() {
                let mut joined = String::new();
                fields.join(name, &mut joined);
                let value = match certificate {
                    Some(own) if name == "x-forwarded-client-cert" => own.forwarded.to_str().expect("text"),
                    _ if expected.contains(&name.as_str()) => "came",
                    _ => "",
                };
                assert_eq!(joined, value, "{name}");
            }
        }
        let fields = VisibleFields {
            client: Some(&own),
            ..VisibleFields::all(&headers)
        };
        let certificates = fields.iter().filter(|(name, _)| *name == "x-forwarded-client-cert");
        assert_eq!(
            certificates.map(|(_, value)| value).collect::<Vec<_>>(),
            [&own.forwarded]
        );
    }
}
