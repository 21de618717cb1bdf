//! What a route asks of a request besides host and path.

use super::compound::{ByName, OneOrMore};
use super::document::Node;
use super::error::Mistakes;
use super::section::section;
use super::shape::{Shape, all, shown, wanted};
use super::values::scalar;
use http::{HeaderName, Method};
use portolan_core::route::{Conditions, Wanted, WantedCertificate};
use serde_json::{Value, json};

/// The conditions of a route.
pub(super) fn settings(
    methods: Option<&OneOrMore<MethodWord>>,
    headers: Option<&ByName<WantedValue>>,
    query: Option<&ByName<WantedValue>>,
    certificate: Option<&CertificateSection>,
    mistakes: &mut Mistakes<'_>,
) -> Option<Conditions> {
    let methods = methods.iter().flat_map(|methods| &methods.0);
    let values = |values: Option<&ByName<WantedValue>>| {
        let values = values.map_or(&[][..], |it| &it.0).to_vec();
        values.into_iter().map(|(name, value)| (name, value.0))
    };
    let headers = all(values(headers).map(|(name, value)| {
        let field = HeaderName::try_from(name.as_str()).ok();
        match field.filter(|field| field != http::header::HOST) {
            Some(field) => Some((field, value)),
            None if field_is_host(&name) => {
                mistakes.at_key(name.id, "a route has a key of its own for the host: host");
                None
            }
            None => {
                mistakes.at_key(name.id, format!("{} is not the name of a field", shown(&name)));
                None
            }
        }
    }));
    let query = values(query).map(|(name, value)| (name.value.into(), value));
    Some(Conditions {
        methods: methods.map(|method| method.0.clone()).collect(),
        headers: headers?.into(),
        query: query.collect(),
        certificate: certificate.map(|section| section.settings(mistakes)),
    })
}

fn field_is_host(name: &str) -> bool {
    name.eq_ignore_ascii_case("host")
}

section! {
    /// What a client's certificate must say, which a listener with tls.client_ca has verified.
    CertificateSection {
        /// Its subject, or one of several, as X-Forwarded-Client-Cert has it: "CN=ops, O=Example", with commas in values as \,. "*" is any.
        optional subject: OneOrMore<String>,
        /// A name of its subjectAltName, or one of several: a DNS name, a URI, an e-mail or IP address. "*" is any.
        optional san: OneOrMore<String>,
    }
}

impl CertificateSection {
    fn settings(&self, mistakes: &mut Mistakes<'_>) -> WantedCertificate {
        if self.subject.is_none() && self.san.is_none() {
            mistakes.at(self.at, "wanted subject, san, or both; \"*\" is any");
        }
        let all = |values: &Option<OneOrMore<String>>| {
            let values = values.iter().flat_map(|values| &values.0);
            values.map(|value| wanted_value(value)).collect()
        };
        WantedCertificate {
            subjects: all(&self.subject),
            names: all(&self.san),
        }
    }
}

/// `*` is any value.
fn wanted_value(text: &str) -> Wanted {
    match text {
        "*" => Wanted::Any,
        text => Wanted::Exactly(text.into()),
    }
}

/// A method. Methods are case-sensitive (RFC 9110, section 9.1).
#[derive(Clone, Debug)]
pub(super) struct MethodWord(Method);

impl Shape for MethodWord {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        let text = scalar(node).unwrap_or_default();
        let is_upper = !text.bytes().any(|byte| byte.is_ascii_lowercase());
        match Method::from_bytes(text.as_bytes()) {
            Ok(method) if is_upper => Some(Self(method)),
            Ok(_) => {
                let upper = text.to_ascii_uppercase();
                mistakes.at(
                    node.id(),
                    format!("{} is not possible — did you mean {upper}?", shown(text)),
                );
                None
            }
            Err(_) => wanted(node, "a method such as GET", mistakes),
        }
    }

    fn schema() -> Value {
        json!({ "type": "string", "pattern": "^[!#$%&'*+.^_`|~0-9A-Z-]+$" })
    }
}

/// A value; `*` is any.
#[derive(Clone, Debug)]
pub(super) struct WantedValue(Wanted);

impl Shape for WantedValue {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        String::read(node, mistakes).map(|value| Self(wanted_value(&value)))
    }

    fn schema() -> Value {
        String::schema()
    }
}
