//! Who may use a route: by network, country and autonomous system.

use crate::geo::Country;
use crate::networks::Networks;
use std::net::IpAddr;

/// Which clients a route is for. Denying comes before allowing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// These clients are denied.
    pub deny: Clients,
    /// All but these clients are denied. `None`: all others are allowed.
    pub allow: Option<Clients>,
}

/// A set of clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clients {
    /// Those at these addresses.
    pub networks: Networks,
    /// Those in these countries. [`Country::UNKNOWN`]: those whose country is unknown.
    pub countries: Box<[Country]>,
    /// Those in these autonomous systems, by number, 1 and more.
    pub systems: Box<[u32]>,
}

/// Why a client is denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Denied {
    /// Its address is.
    Network,
    /// Its country is.
    Country,
    /// Its autonomous system is.
    System,
    /// It is not among those that are allowed.
    NotAllowed,
}

impl Denied {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 4] = [Self::Network, Self::Country, Self::System, Self::NotAllowed];

    /// Its name in metrics, logs and explanations.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Network => "denied_network",
            Self::Country => "denied_country",
            Self::System => "denied_asn",
            Self::NotAllowed => "not_allowed",
        }
    }
}

impl Access {
    /// Decides about a client. `system` finds the number of its autonomous system, 0 when that is unknown, and is called only where
    /// it matters.
    ///
    /// # Errors
    /// When the client is denied.
    pub fn check(&self, client: IpAddr, country: Country, system: impl Fn() -> u32) -> Result<(), Denied> {
        if let Some(denied) = self.deny.find(client, country, &system) {
            return Err(denied);
        }
        match &self.allow {
            Some(allowed) if allowed.find(client, country, &system).is_none() => Err(Denied::NotAllowed),
            _ => Ok(()),
        }
    }

    /// Whether an autonomous system is among its rules.
    pub fn knows_systems(&self) -> bool {
        let sets = [Some(&self.deny), self.allow.as_ref()];
        sets.into_iter().flatten().any(|clients| !clients.systems.is_empty())
    }
}

impl Clients {
    /// By what a client is among them.
    fn find(&self, client: IpAddr, country: Country, system: impl Fn() -> u32) -> Option<Denied> {
        if self.networks.contains(client) {
            return Some(Denied::Network);
        }
        if self.countries.contains(&country) {
            return Some(Denied::Country);
        }
        let is_system = !self.systems.is_empty() && self.systems.contains(&system());
        is_system.then_some(Denied::System)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clients(networks: &[&str], countries: &[&str], systems: &[u32]) -> Clients {
        Clients {
            networks: networks.iter().map(|it| it.parse().expect("a network")).collect(),
            countries: countries
                .iter()
                .map(|it| Country::parse(it).unwrap_or_default())
                .collect(),
            systems: systems.into(),
        }
    }

    #[track_caller]
    fn check(access: &Access, client: &str, country: &str, system: u32, expected: Result<(), Denied>) {
        let country = Country::parse(country).unwrap_or_default();
        let client = client.parse().expect("an address");
        assert_eq!(access.check(client, country, || system), expected, "{client}");
    }

    #[test]
    fn denying_comes_before_allowing() {
        let access = Access {
            deny: clients(&["192.0.2.0/24", "2001:db8::/32"], &["US"], &[64500]),
            allow: Some(clients(
                &["192.0.2.0/24", "203.0.113.0/24"],
                &["US", "DE", "-"],
                &[64500, 64501],
            )),
        };
        check(&access, "192.0.2.7", "DE", 0, Err(Denied::Network));
        check(&access, "::ffff:192.0.2.7", "DE", 0, Err(Denied::Network));
        check(&access, "2001:db8::1", "DE", 0, Err(Denied::Network));
        check(&access, "203.0.113.1", "US", 0, Err(Denied::Country));
        check(&access, "203.0.113.1", "FR", 64500, Err(Denied::System));
        check(&access, "203.0.113.1", "FR", 0, Ok(()));
        check(&access, "198.51.100.1", "DE", 0, Ok(()));
        check(&access, "198.51.100.1", "-", 0, Ok(()));
        check(&access, "198.51.100.1", "FR", 64501, Ok(()));
        check(&access, "198.51.100.1", "FR", 64502, Err(Denied::NotAllowed));
        check(&access, "198.51.100.1", "FR", 0, Err(Denied::NotAllowed));
    }

    #[test]
    fn without_rules_everybody_is_allowed_and_no_system_is_looked_up() {
        let country = Country::parse("DE").expect("a country");
        let client = "192.0.2.1".parse().expect("an address");
        for access in [
            Access::default(),
            Access {
                allow: Some(clients(&[], &["DE"], &[])),
                ..Access::default()
            },
        ] {
            assert_eq!(access.check(client, country, || panic!("a look-up")), Ok(()));
            assert!(!access.knows_systems());
        }
    }

    #[test]
    fn an_empty_list_of_the_allowed_allows_nobody() {
        let access = Access {
            allow: Some(Clients::default()),
            ..Access::default()
        };
        check(&access, "192.0.2.1", "DE", 1, Err(Denied::NotAllowed));
    }
}
