//! What a plugin asks for when it is configured.

use super::contract::{AskedFor, inputs};
use super::error::Problem;
use super::pseudo_fields::PseudoField;
use super::request::RouteRequest;
use http::HeaderName;
use portolan_core::identity::fields::{FieldKind, kind};
use portolan_core::route::HeaderChanges;
use std::sync::Arc;

/// What a plugin asked for when it was configured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Setup {
    /// The inputs it wants, as bits.
    pub needs: u32,
    /// The fields it wants, at most 32.
    pub fields: Vec<Field>,
    /// The inputs its answers depend on, as bits; `None` when answers must not be remembered.
    pub vary: Option<u32>,
    /// Names of its reasons, at most 32.
    pub reasons: Vec<String>,
    /// Names of its counters, at most 16.
    pub counters: Vec<String>,
    /// The request headers it may set for the gateway, at most 4.
    pub request_headers: Vec<HeaderName>,
    /// Removes these headers from what the client sent, where there are any.
    pub(super) without_headers: Option<Arc<HeaderChanges>>,
}

/// A field that a plugin reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    /// A request header.
    Header(HeaderName),
    /// What is not a header.
    Pseudo(PseudoField),
}

impl Setup {
    /// Checks what a plugin asked for.
    pub(super) fn check(asked: impl Into<AskedFor>) -> Result<Self, Problem> {
        let asked: AskedFor = asked.into();
        let refuse = |why: String| Err(Problem::Setup(why));
        if !asked.has_pseudo_fields {
            for (what, bits) in [("needs", asked.needs), ("vary", asked.vary.unwrap_or(0))] {
                if bits & !inputs::V01 != 0 {
                    return refuse(format!("{what} has bits that this Portolan does not know: {bits:#b}"));
                }
            }
        }
        let (fields, most_fields) = if asked.has_pseudo_fields {
            ("fields", 32)
        } else {
            ("headers", 16)
        };
        for (what, names, limit) in [
            (fields, &asked.fields, most_fields),
            ("reasons", &asked.reasons, 32),
            ("counters", &asked.counters, 16),
            ("request headers to set", &asked.request_headers, 4),
        ] {
            if names.len() > limit {
                return refuse(format!("it names {} {what}, and {limit} are allowed", names.len()));
            }
        }
        for name in asked.reasons.iter().chain(&asked.counters) {
            let sound = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
            if !(1..=32).contains(&name.len()) || !name.bytes().all(sound) {
                return refuse(format!(
                    "{name:?} is no name for a reason or counter: 1 to 32 of a-z 0-9 - _"
                ));
            }
        }
        let fields = asked.fields.iter().map(|name| field(name, asked.has_pseudo_fields));
        let request_headers = asked.request_headers.iter().map(|name| settable(name));
        let request_headers = request_headers.collect::<Result<Vec<_>, _>>()?;
        for (place, name) in request_headers.iter().enumerate() {
            if request_headers[..place].contains(name) {
                return refuse(format!("it names the request header {name} twice"));
            }
        }
        let without_headers = (!request_headers.is_empty()).then(|| {
            Arc::new(HeaderChanges {
                remove: request_headers.clone().into(),
                ..HeaderChanges::default()
            })
        });
        Ok(Self {
            needs: asked.needs,
            fields: fields.collect::<Result<_, _>>()?,
            vary: asked.vary,
            reasons: asked.reasons,
            counters: asked.counters,
            request_headers,
            without_headers,
        })
    }

    /// What becomes of the request headers that it may set, when it sets none: what the client sent is removed.
    pub fn without_headers(&self) -> Option<&Arc<HeaderChanges>> {
        self.without_headers.as_ref()
    }

    /// The inputs on which its answers depend, among those it has.
    pub(super) fn varies(&self) -> Option<u32> {
        Some(self.vary? & (self.needs | inputs::ALWAYS))
    }

    /// Appends the values of the declared fields, one per line.
    pub(super) fn write_fields(&self, request: &RouteRequest<'_>, text: &mut String) {
        for (line, field) in self.fields.iter().enumerate() {
            if line > 0 {
                text.push('\n');
            }
            match field {
                Field::Header(name) => request.fields.join(name, text),
                Field::Pseudo(pseudo) => pseudo.write(request, text),
            }
        }
    }
}

/// A field by its name.
fn field(name: &str, has_pseudo_fields: bool) -> Result<Field, Problem> {
    if has_pseudo_fields && name.starts_with(':') {
        return PseudoField::named(name).map(Field::Pseudo).ok_or_else(|| {
            let known = PseudoField::ALL.map(PseudoField::as_str).join(", ");
            Problem::Setup(format!("there is no field {name:?}; those with a colon are {known}"))
        });
    }
    let header = name.parse().map(Field::Header);
    header.map_err(|_| Problem::Setup(format!("{name:?} is no name of a header")))
}

/// A request header that a plugin may set, by its name.
fn settable(name: &str) -> Result<HeaderName, Problem> {
    let refuse = |why: &str| Problem::Setup(format!("it may not set the request header {name:?}: {why}"));
    let header: HeaderName = name.parse().map_err(|_| refuse("that is no name of a header"))?;
    match header.as_str() {
        "connection" | "keep-alive" | "proxy-connection" | "upgrade" | "te" | "trailer" | "http2-settings" => {
            return Err(refuse("it is for one connection"));
        }
        "host" | "via" | "expect" | "max-forwards" | "x-request-id" | "traceparent" | "tracestate" | "proxy"
        | "cookie" => {
            return Err(refuse("it belongs to the request or to proxies"));
        }
        name if name.starts_with("sec-websocket-") => {
            return Err(refuse("client and gateway agree by it on a WebSocket"));
        }
        _ => {}
    }
    match kind(header.as_str()).0 {
        FieldKind::Other => Ok(header),
        FieldKind::Framing => Err(refuse("it delimits the body")),
        FieldKind::Portolan => Err(refuse("Portolan sets it")),
        FieldKind::XForwarded | FieldKind::Forwarded | FieldKind::Azure | FieldKind::Identity => {
            Err(refuse("it says who the client is"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::contract::{v01, v02};
    use crate::plugin::request::tests::Fake;
    use http::HeaderMap;

    fn rejected(setup: v01::Setup) -> String {
        Setup::check(setup).unwrap_err().to_string()
    }

    #[test]
    fn what_cannot_be_is_rejected_with_its_name() {
        let names = |count: usize| vec!["a".to_owned(); count];
        let base = v01::Setup::default;
        for (setup, said) in [
            (
                v01::Setup {
                    needs: 1 << 20,
                    ..base()
                },
                "needs",
            ),
            (
                v01::Setup {
                    vary: Some(1 << 9),
                    ..base()
                },
                "vary",
            ),
            (
                v01::Setup {
                    headers: names(17),
                    ..base()
                },
                "17 headers",
            ),
            (
                v01::Setup {
                    reasons: names(33),
                    ..base()
                },
                "33 reasons",
            ),
            (
                v01::Setup {
                    counters: names(17),
                    ..base()
                },
                "17 counters",
            ),
            (
                v01::Setup {
                    headers: vec!["a b".to_owned()],
                    ..base()
                },
                "a b",
            ),
            (
                v01::Setup {
                    reasons: vec!["Ä".to_owned()],
                    ..base()
                },
                "Ä",
            ),
            (
                v01::Setup {
                    counters: vec![String::new()],
                    ..base()
                },
                "\"\"",
            ),
            (
                v01::Setup {
                    counters: vec!["x".repeat(33)],
                    ..base()
                },
                "xxx",
            ),
        ] {
            let error = rejected(setup.clone());
            assert!(error.contains(said), "{setup:?}: {error}");
        }
        assert!(
            Setup::check(v01::Setup {
                headers: names(16),
                vary: Some(0x1ff),
                ..base()
            })
            .is_ok()
        );
    }

    #[test]
    fn declared_headers_are_one_line_each() {
        let setup = Setup::check(v02::Setup {
            fields: ["x-a", ":path", "x-c", ":tls-server-name", ":http-version"]
                .map(str::to_owned)
                .to_vec(),
            ..v02::Setup::default()
        })
        .unwrap();
        let mut headers = HeaderMap::new();
        headers.append("x-c", "1".parse().unwrap());
        headers.append("x-c", http::HeaderValue::from_bytes(b"\xff").unwrap());
        headers.append("x-c", "2".parse().unwrap());
        headers.append("x-a", "ö".parse().unwrap());
        let fake = Fake {
            headers,
            path: "/p",
            ..Fake::default()
        };
        let mut fields = String::new();
        setup.write_fields(&fake.request(), &mut fields);
        assert_eq!(fields, "ö\n/p\n1, 2\n\n1.1");
    }

    #[test]
    fn names_with_a_colon_are_those_of_0_2() {
        let named = |name: &str| v02::Setup {
            fields: vec![name.to_owned()],
            ..v02::Setup::default()
        };
        for field in PseudoField::ALL {
            assert_eq!(
                Setup::check(named(field.as_str())).unwrap().fields,
                [Field::Pseudo(field)]
            );
            let old = v01::Setup {
                headers: vec![field.as_str().to_owned()],
                ..v01::Setup::default()
            };
            assert!(Setup::check(old).is_err(), "0.1 has no such fields");
        }
        let error = Setup::check(named(":paht")).unwrap_err().to_string();
        assert!(error.contains(":paht") && error.contains(":path"), "{error}");
    }

    #[test]
    fn request_headers_that_a_plugin_may_not_set() {
        let sets = |names: &[&str]| v02::Setup {
            request_headers: names.iter().map(|name| (*name).to_owned()).collect(),
            ..v02::Setup::default()
        };
        for name in [
            "host",
            "connection",
            "content-length",
            "transfer-encoding",
            "x-forwarded-for",
            "X-Forwarded-Proto",
            "forwarded",
            "x-azure-fdid",
            "x-real-ip",
            "x-portolan-region",
            "x_forwarded_for",
            "cookie",
            "sec-websocket-key",
            ":path",
            "a b",
            "",
        ] {
            let error = Setup::check(sets(&[name])).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
        for names in [&["a", "b", "c", "d", "e"][..], &["x-a", "X-A"]] {
            assert!(Setup::check(sets(names)).is_err(), "{names:?}");
        }
        let setup = Setup::check(sets(&["X-Tenant", "x-ring"])).unwrap();
        assert_eq!(setup.request_headers, ["x-tenant", "x-ring"]);
        assert_eq!(setup.without_headers().unwrap().remove.to_vec(), setup.request_headers);
    }
}
