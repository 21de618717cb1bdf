//! What a plugin asks for when it is configured.

use super::contract::{self, inputs};
use super::error::Problem;
use super::fields::VisibleFields;
use http::HeaderName;

/// What a plugin asked for when it was configured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Setup {
    /// The inputs it wants, as bits of the contract.
    pub needs: u32,
    /// The headers it wants, at most 16.
    pub headers: Vec<HeaderName>,
    /// The inputs its answers depend on, as bits of the contract; `None` when answers must not be remembered.
    pub vary: Option<u32>,
    /// Names of its reasons, at most 32.
    pub reasons: Vec<String>,
    /// Names of its counters, at most 16.
    pub counters: Vec<String>,
}

impl Setup {
    /// Checks what a plugin asked for.
    pub(super) fn check(setup: contract::Setup) -> Result<Self, Problem> {
        let refuse = |why: String| Err(Problem::Setup(why));
        for (what, bits) in [("needs", setup.needs), ("vary", setup.vary.unwrap_or(0))] {
            if bits & !inputs::ALL != 0 {
                return refuse(format!("{what} has bits that this Portolan does not know: {bits:#b}"));
            }
        }
        for (what, names, limit) in [
            ("headers", &setup.headers, 16),
            ("reasons", &setup.reasons, 32),
            ("counters", &setup.counters, 16),
        ] {
            if names.len() > limit {
                return refuse(format!("it names {} {what}, and {limit} are allowed", names.len()));
            }
        }
        for name in setup.reasons.iter().chain(&setup.counters) {
            let sound = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
            if !(1..=32).contains(&name.len()) || !name.bytes().all(sound) {
                return refuse(format!(
                    "{name:?} is no name for a reason or counter: 1 to 32 of a-z 0-9 - _"
                ));
            }
        }
        let headers = setup.headers.iter().map(|name| {
            name.parse()
                .map_err(|_| Problem::Setup(format!("{name:?} is no name of a header")))
        });
        Ok(Self {
            needs: setup.needs,
            headers: headers.collect::<Result<_, _>>()?,
            vary: setup.vary,
            reasons: setup.reasons,
            counters: setup.counters,
        })
    }

    /// Appends the values of the declared headers, one per line.
    pub(super) fn write_fields(&self, request: VisibleFields<'_>, fields: &mut String) {
        for (line, name) in self.headers.iter().enumerate() {
            if line > 0 {
                fields.push('\n');
            }
            request.join(name, fields);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;

    fn rejected(setup: contract::Setup) -> String {
        Setup::check(setup).unwrap_err().to_string()
    }

    #[test]
    fn what_cannot_be_is_rejected_with_its_name() {
        let names = |count: usize| vec!["a".to_owned(); count];
        let base = contract::Setup::default;
        for (setup, said) in [
            (
                contract::Setup {
                    needs: 1 << 20,
                    ..base()
                },
                "needs",
            ),
            (
                contract::Setup {
                    vary: Some(1 << 9),
                    ..base()
                },
                "vary",
            ),
            (
                contract::Setup {
                    headers: names(17),
                    ..base()
                },
                "17 headers",
            ),
            (
                contract::Setup {
                    reasons: names(33),
                    ..base()
                },
                "33 reasons",
            ),
            (
                contract::Setup {
                    counters: names(17),
                    ..base()
                },
                "17 counters",
            ),
            (
                contract::Setup {
                    headers: vec!["a b".to_owned()],
                    ..base()
                },
                "a b",
            ),
            (
                contract::Setup {
                    reasons: vec!["Ä".to_owned()],
                    ..base()
                },
                "Ä",
            ),
            (
                contract::Setup {
                    counters: vec![String::new()],
                    ..base()
                },
                "\"\"",
            ),
            (
                contract::Setup {
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
            Setup::check(contract::Setup {
                headers: names(16),
                vary: Some(0x1ff),
                ..base()
            })
            .is_ok()
        );
    }

    #[test]
    fn declared_headers_are_one_line_each() {
        let setup = Setup {
            headers: ["x-a", "x-b", "x-c"].map(HeaderName::from_static).to_vec(),
            ..Setup::default()
        };
        let mut headers = HeaderMap::new();
        headers.append("x-c", "1".parse().unwrap());
        headers.append("x-c", http::HeaderValue::from_bytes(b"\xff").unwrap());
        headers.append("x-c", "2".parse().unwrap());
        headers.append("x-a", "ö".parse().unwrap());
        let mut fields = String::new();
        setup.write_fields(VisibleFields::all(&headers), &mut fields);
        assert_eq!(fields, "ö\n\n1, 2");
    }
}
