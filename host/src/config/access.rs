//! Who may use a route.

use super::compound::At;
use super::document::Node;
use super::error::Mistakes;
use super::listeners::Network;
use super::residency::CountryCode;
use super::section::section;
use super::shape::{Shape, wanted};
use super::values::scalar;
use ipnet::IpNet;
use portolan_core::access::{Access, Clients};
use portolan_core::geo::Country;
use serde_json::{Value, json};

section! {
    /// Who may use a route: networks and addresses, two-letter country codes (ISO 3166-1; unknown for clients whose country is not
    /// known), and autonomous systems such as AS64500, which need geo.asn_database. Others get 403.
    AccessSection {
        /// These clients are denied, also where allow has them.
        optional deny: Vec<At<Client>>,
        /// Only these clients are allowed. Default: all.
        optional allow: At<Vec<At<Client>>>,
    }
}

impl AccessSection {
    /// The rules. `has_systems`: whether the autonomous systems of clients are looked up.
    pub(super) fn settings(&self, has_systems: bool, mistakes: &mut Mistakes<'_>) -> Access {
        if self.deny.is_none() && self.allow.is_none() {
            mistakes.at(self.at, "wanted deny, allow, or both");
        }
        if let Some(allow) = self.allow.as_ref().filter(|allow| allow.is_empty()) {
            mistakes.warn(allow.id, "nobody is allowed");
        }
        let lists = self
            .deny
            .iter()
            .flatten()
            .chain(self.allow.iter().flat_map(|allow| &allow.value));
        for item in lists.filter(|item| !has_systems && matches!(item.value, Client::System(_))) {
            mistakes.at(item.id, "autonomous systems need geo.asn_database");
        }
        Access {
            deny: clients(self.deny.as_deref().unwrap_or_default()),
            allow: self.allow.as_ref().map(|allow| clients(allow)),
        }
    }
}

fn clients(list: &[At<Client>]) -> Clients {
    let each = || list.iter().map(|item| item.value);
    Clients {
        networks: each().filter_map(Client::network).collect(),
        countries: each().filter_map(Client::country).collect(),
        systems: each().filter_map(Client::system).collect(),
    }
}

/// Some clients.
#[derive(Clone, Copy, Debug)]
pub(super) enum Client {
    Network(IpNet),
    Country(Country),
    System(u32),
}

impl Client {
    fn network(self) -> Option<IpNet> {
        match self {
            Self::Network(network) => Some(network),
            Self::Country(_) | Self::System(_) => None,
        }
    }

    fn country(self) -> Option<Country> {
        match self {
            Self::Country(country) => Some(country),
            Self::Network(_) | Self::System(_) => None,
        }
    }

    fn system(self) -> Option<u32> {
        match self {
            Self::System(number) => Some(number),
            Self::Network(_) | Self::Country(_) => None,
        }
    }
}

impl Shape for Client {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        let text = scalar(node).unwrap_or_default();
        if text.contains(['.', ':', '/']) {
            return Network::read(node, mistakes).map(|network| Self::Network(network.0));
        }
        if text == "unknown" || text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_alphabetic()) {
            return CountryCode::read(node, mistakes).map(|country| Self::Country(country.0));
        }
        let digits = text
            .strip_prefix("AS")
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
        match digits
            .and_then(|digits| digits.parse().ok())
            .filter(|number| *number > 0)
        {
            Some(number) => Some(Self::System(number)),
            None => wanted(
                node,
                "a network, a two-letter country code, unknown, or an autonomous system such as AS64500",
                mistakes,
            ),
        }
    }

    fn schema() -> Value {
        json!({ "type": "string", "pattern": "^([0-9A-Fa-f]*[.:][0-9A-Fa-f:.]*(/[0-9]{1,3})?|AS[0-9]{1,10}|[A-Za-z]{2}|unknown)$" })
    }
}
