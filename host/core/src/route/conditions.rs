//! What a route asks of a request besides host and path.

use crate::certificate::{ClientCertificate, WantedCertificate};
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
    pub(crate) fn fits(&self, value: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::Exactly(wanted) => wanted.as_bytes() == value,
        }
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
            && self.certificate.as_ref().is_none_or(|wanted| asked.certificate.is_some_and(|own| wanted.fits(own)))
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
