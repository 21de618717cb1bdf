//! How names of gateways are resolved.

use crate::dns::{FamilyStatus, Name};
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::net::IpAddr;
use std::time::Duration;
use tokio::time::Instant;

/// A name, with the addresses it has now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResolvedName {
    /// The name.
    pub name: String,
    /// The addresses that are used.
    pub addresses: Vec<IpAddr>,
    /// What is known of each address family.
    pub families: Vec<ResolvedFamily>,
}

/// The look-ups of one address family.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResolvedFamily {
    /// `ipv4` or `ipv6`.
    pub family: String,
    /// The addresses of the last good answer.
    pub addresses: Vec<IpAddr>,
    /// Those of them that are not used, because this machine has no route to them.
    pub without_route: Vec<IpAddr>,
    /// Seconds since that answer; `None` when there was none.
    pub age_seconds: Option<f64>,
    /// Seconds for which that answer was good.
    pub ttl_seconds: Option<f64>,
    /// A word for why the last look-up gave no addresses, such as `timeout`, `servfail` or `nxdomain`; `None` when it did.
    pub error_reason: Option<String>,
    /// What each name server said then.
    pub error: Option<String>,
}

impl ResolvedName {
    /// A name as it stands now.
    pub(in crate::admin) fn of(name: &Name) -> Self {
        Self {
            name: name.as_str().to_owned(),
            addresses: name.current().to_vec(),
            families: name.status(Instant::now().into_std()).map(Into::into).to_vec(),
        }
    }

    /// Lines of text for people, each after an indentation.
    pub fn lines(&self, indent: &str) -> String {
        let mut text = String::new();
        for family in &self.families {
            let age = family.age_seconds.map(|age| Duration::from_secs(age as u64));
            let age = age.map_or("no answer yet".into(), |age| {
                format!("answer {} old", humantime::format_duration(age))
            });
            let ttl = family.ttl_seconds.map_or(String::new(), |ttl| format!(", TTL {ttl} s"));
            let addresses: Vec<_> = family.addresses.iter().map(ToString::to_string).collect();
            if addresses.is_empty() && family.error.is_none() && !self.addresses.is_empty() {
                continue;
            }
            let shown = match addresses.is_empty() {
                true => "no addresses".to_owned(),
                false => addresses.join(", "),
            };
            let route = match family.without_route.is_empty() {
                true => "",
                false => ", without a route",
            };
            let error = family
                .error
                .as_ref()
                .map_or(String::new(), |error| format!("; last error: {error}"));
            // Writing to a String does not fail.
            let _ = writeln!(text, "{indent}{}: {shown} ({age}{ttl}{route}{error})", family.family);
        }
        text
    }
}

impl From<FamilyStatus> for ResolvedFamily {
    fn from(status: FamilyStatus) -> Self {
        Self {
            family: status.family.as_str().to_owned(),
            addresses: status.addresses,
            without_route: status.without_route,
            age_seconds: status.age.map(|age| age.as_secs_f64()),
            ttl_seconds: status.ttl.map(|ttl| ttl.as_secs_f64()),
            error_reason: status.problem.as_ref().map(|problem| problem.reason.to_owned()),
            error: status.problem.map(|problem| problem.text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn family(family: &str, addresses: &[&str], error: Option<&str>) -> ResolvedFamily {
        let addresses: Vec<_> = addresses.iter().map(|text| text.parse().expect("an address")).collect();
        ResolvedFamily {
            family: family.into(),
            age_seconds: (!addresses.is_empty()).then_some(75.4),
            ttl_seconds: (!addresses.is_empty()).then_some(60.0),
            addresses,
            without_route: Vec::new(),
            error_reason: error.map(|_| "servfail".into()),
            error: error.map(str::to_owned),
        }
    }

    fn lines(families: Vec<ResolvedFamily>) -> String {
        let addresses = families.iter().flat_map(|family| family.addresses.clone()).collect();
        let name = "gw.test".into();
        ResolvedName {
            name,
            addresses,
            families,
        }
        .lines("  ")
    }

    #[test]
    fn people_see_addresses_age_ttl_and_the_last_error() {
        let error = Some("192.0.2.53: SERVFAIL");
        assert_eq!(
            lines(vec![
                family("ipv4", &["192.0.2.1", "192.0.2.2"], error),
                family("ipv6", &[], None)
            ]),
            "  ipv4: 192.0.2.1, 192.0.2.2 (answer 1m 15s old, TTL 60 s; last error: 192.0.2.53: SERVFAIL)\n"
        );
        assert_eq!(
            lines(vec![family("ipv4", &[], error), family("ipv6", &[], None)]),
            "  ipv4: no addresses (no answer yet; last error: 192.0.2.53: SERVFAIL)\n  ipv6: no addresses (no answer yet)\n"
        );
        let mut unreachable = family("ipv6", &["2001:db8::1"], None);
        unreachable.without_route = unreachable.addresses.clone();
        assert_eq!(
            lines(vec![unreachable]),
            "  ipv6: 2001:db8::1 (answer 1m 15s old, TTL 60 s, without a route)\n"
        );
    }
}
