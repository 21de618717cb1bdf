//! What tells a route from all others.

use super::{Conditions, HostPattern, Wanted};
use std::fmt::{self, Display, Formatter};

/// What tells a route from all others, also after a reload: which requests it is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RouteKey {
    /// The hosts.
    pub host: HostPattern,
    /// The path prefix.
    pub path: Box<str>,
    /// What a request must have besides.
    pub conditions: Conditions,
}

/// `shop.example.net/api`, and what a request must have besides: `*/ POST x-beta=on ?version=2`. A label of metrics.
impl Display for RouteKey {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let Self { host, path, conditions } = self;
        match host {
            HostPattern::Exact(host) => write!(formatter, "{host}{path}")?,
            HostPattern::Below(host) => write!(formatter, "*.{host}{path}")?,
            HostPattern::Any => write!(formatter, "*{path}")?,
        }
        for (index, method) in conditions.methods.iter().enumerate() {
            write!(formatter, "{}{method}", if index == 0 { ' ' } else { ',' })?;
        }
        for (name, wanted) in &conditions.headers {
            write!(formatter, " {name}={}", text(wanted))?;
        }
        for (name, wanted) in &conditions.query {
            write!(formatter, " ?{name}={}", text(wanted))?;
        }
        if let Some(certificate) = &conditions.certificate {
            for (key, all) in [("subject", &certificate.subjects), ("san", &certificate.names)] {
                for wanted in all {
                    write!(formatter, " {key}=\"{}\"", text(wanted))?;
                }
            }
        }
        Ok(())
    }
}

fn text(wanted: &Wanted) -> &str {
    match wanted {
        Wanted::Any => "*",
        Wanted::Exactly(value) => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::WantedCertificate;
    use http::{HeaderName, Method};

    #[test]
    fn a_route_is_named_by_the_requests_it_is_for() {
        let key = |host: &str, conditions| RouteKey {
            host: HostPattern::parse(host).expect("a pattern"),
            path: "/api".into(),
            conditions,
        };
        assert_eq!(
            key("Shop.example", Conditions::default()).to_string(),
            "shop.example/api"
        );
        assert_eq!(key("*.example", Conditions::default()).to_string(), "*.example/api");
        let conditions = Conditions {
            methods: [Method::GET, Method::POST].into(),
            headers: [(HeaderName::from_static("x-beta"), Wanted::Exactly("on".into()))].into(),
            query: [("v".into(), Wanted::Any)].into(),
            certificate: None,
        };
        assert_eq!(key("*", conditions).to_string(), "*/api GET,POST x-beta=on ?v=*");
        let conditions = Conditions {
            certificate: Some(WantedCertificate {
                subjects: [Wanted::Exactly("CN=ops, O=Example".into())].into(),
                names: [Wanted::Exactly("a.example".into()), Wanted::Any].into(),
            }),
            ..Conditions::default()
        };
        assert_eq!(
            key("*", conditions).to_string(),
            "*/api subject=\"CN=ops, O=Example\" san=\"a.example\" san=\"*\""
        );
    }
}
