//! What a client's verified certificate says, and what a route asks of it.

use crate::route::Wanted;

/// What a client's verified certificate says of its owner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientCertificate {
    /// Its subject, such as `CN=ops, O=Example`: as in the `Subject` of `X-Forwarded-Client-Cert`.
    pub subject: Box<str>,
    /// Its subjectAltName (RFC 5280, section 4.2.1.6).
    pub names: Box<[AltName]>,
}

/// A name of a subjectAltName.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AltName {
    /// A DNS name, in lower case.
    Dns(Box<str>),
    /// A URI, such as one of SPIFFE.
    Uri(Box<str>),
    /// An e-mail or IP address.
    Address(Box<str>),
}

impl AltName {
    /// A name of which only the text is known.
    pub fn guess(text: &str) -> Self {
        if text.contains('@') || text.parse::<std::net::IpAddr>().is_ok() {
            Self::Address(text.into())
        } else if text.contains(':') {
            Self::Uri(text.into())
        } else {
            Self::Dns(text.to_ascii_lowercase().into())
        }
    }

    fn fits(&self, wanted: &Wanted) -> bool {
        match (wanted, self) {
            (Wanted::Any, _) => true,
            (Wanted::Exactly(wanted), Self::Dns(name)) => wanted.eq_ignore_ascii_case(name),
            (Wanted::Exactly(wanted), Self::Uri(name) | Self::Address(name)) => wanted == name,
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
    /// Whether a certificate has all of it.
    pub fn fits(&self, certificate: &ClientCertificate) -> bool {
        let is_subject = |wanted: &Wanted| wanted.fits(certificate.subject.as_bytes());
        let has_name = |wanted: &Wanted| certificate.names.iter().any(|name| name.fits(wanted));
        (self.subjects.is_empty() || self.subjects.iter().any(is_subject))
            && (self.names.is_empty() || self.names.iter().any(has_name))
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
