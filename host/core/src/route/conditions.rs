//! What a route asks of a request besides host and path.

use crate::certificate::{AltName, ClientCertificate};
use crate::identity::ClientAddress;
use http::{HeaderMap, HeaderName, Method};

/// A request as routes see it, besides host and path.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Its fields.
    pub headers: &'a HeaderMap,
    /// Its query, without the question mark.
    pub query: &'a str,
    /// What the client's verified certificate says. `None` without one.
    pub certificate: Option<&'a ClientCertificate>,
    /// Who wrote the fields about the client: the policy of the listener, and whether the peer is a proxy that is believed. `None`
    /// where all of them count, as for a hypothetical request.
    pub trust: Option<(&'a ClientAddress, bool)>,
}

/// What a request must have. Empty lists ask for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Conditions {
    /// One of these methods.
    pub methods: Box<[Method]>,
    /// All of these fields.
    pub headers: Box<[(HeaderName, Wanted)]>,
    /// All of these parameters of the query.
    pub query: Box<[(Box<str>, Wanted)]>,
    /// A client certificate that says this. `None`: none is asked for.
    pub certificate: Option<WantedCertificate>,
}

/// The value that a field or a parameter must have.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Wanted {
    /// Any.
    Any,
    /// This one.
    Exactly(Box<str>),
}

impl Wanted {
    fn fits(&self, value: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::Exactly(wanted) => wanted.as_bytes() == value,
        }
    }
}

/// What a client must prove by its certificate. An empty list asks for nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct WantedCertificate {
    /// One of these subjects.
    pub subjects: Box<[Wanted]>,
    /// One name of the subjectAltName is one of these.
    pub names: Box<[Wanted]>,
}

impl WantedCertificate {
    fn fits(&self, certificate: &ClientCertificate) -> bool {
        let is_subject = |wanted: &Wanted| wanted.fits(certificate.subject.as_bytes());
        let is_name = |wanted: &Wanted, name: &AltName| match wanted {
            Wanted::Any => true,
            Wanted::Exactly(wanted) => name.is(wanted),
        };
        let has_name = |wanted: &Wanted| certificate.names.iter().any(|name| is_name(wanted, name));
        (self.subjects.is_empty() || self.subjects.iter().any(is_subject))
            && (self.names.is_empty() || self.names.iter().any(has_name))
    }
}

impl Conditions {
    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        self.methods.is_empty() && self.headers.is_empty() && self.query.is_empty() && self.certificate.is_none()
    }

    /// Whether a request has all of it.
    ///
    /// A field about the client that a peer must not write, such as `X-Azure-FDID` from a stranger, is as good as absent.
    pub(super) fn fit(&self, asked: &Asked<'_>) -> bool {
        let counts = |name: &HeaderName| {
            asked
                .trust
                .is_none_or(|(policy, is_trusted)| policy.passes(name.as_str(), is_trusted))
        };
        let has_field = |(name, wanted): &(HeaderName, Wanted)| {
            let mut values = asked.headers.get_all(name).iter();
            counts(name) && values.any(|value| wanted.fits(value.as_bytes()))
        };
        let has_parameter = |(name, wanted): &(Box<str>, Wanted)| {
            let mut parameters = form_urlencoded::parse(asked.query.as_bytes());
            parameters.any(|(own, value)| own == **name && wanted.fits(value.as_bytes()))
        };
        (self.methods.is_empty() || self.methods.contains(asked.method))
            && self.headers.iter().all(has_field)
            && self.query.iter().all(has_parameter)
            && self
                .certificate
                .as_ref()
                .is_none_or(|wanted| asked.certificate.is_some_and(|own| wanted.fits(own)))
    }

    /// How specific they are: with a client certificate, which says who asks; then with methods, with more fields, with more
    /// parameters, as in Kubernetes' Gateway API (`HTTPRouteRule.matches`).
    pub(super) fn specificity(&self) -> (bool, bool, usize, usize) {
        (
            self.certificate.is_some(),
            !self.methods.is_empty(),
            self.headers.len(),
            self.query.len(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(texts: &[&str]) -> Box<[Wanted]> {
        let each = texts.iter().map(|text| match *text {
            "*" => Wanted::Any,
            text => Wanted::Exactly(text.into()),
        });
        each.collect()
    }

    #[test]
    fn subject_and_one_name_must_fit() {
        let names = ["Web.Example.NET", "spiffe://prod/Web", "192.0.2.1", "ops@example.net"];
        let certificate = ClientCertificate {
            subject: "CN=web, O=Example".into(),
            names: names.into_iter().map(AltName::guess).collect(),
        };
        let subject = "CN=web, O=Example";
        for (subjects, names, fits) in [
            (&[subject][..], &[][..], true),
            (&["CN=other", subject], &[], true),
            (&["*"], &["*"], true),
            (&["CN=web"], &[], false),
            (&["cn=web, o=example"], &[], false),
            (&[], &["web.example.net"], true),
            (&[], &["WEB.example.net"], true),
            (&[], &["spiffe://prod/Web"], true),
            (&[], &["spiffe://prod/web"], false),
            (&[], &["192.0.2.1"], true),
            (&[], &["ops@example.net"], true),
            (&[], &["example.net", "other.example.net"], false),
            (&[subject], &["other.example.net"], false),
            (&["CN=other"], &["web.example.net"], false),
        ] {
            let asked = WantedCertificate {
                subjects: wanted(subjects),
                names: wanted(names),
            };
            assert_eq!(asked.fits(&certificate), fits, "{asked:?}");
        }
        let none = ClientCertificate::default();
        let any_name = WantedCertificate {
            names: wanted(&["*"]),
            ..WantedCertificate::default()
        };
        assert!(!any_name.fits(&none), "a certificate without names");
    }
}
