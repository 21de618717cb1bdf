//! Clients of some countries stay in some regions, for some paths.
//!
//! ```json
//! { "rules": [ { "countries": ["DE", "FR"], "paths": ["/records"], "regions": ["westeurope", "francecentral"] } ], "status": 451 }
//! ```
//!
//! The first rule that fits decides. Its regions are tried in Portolan's order, and no other one. When none of them may answer,
//! the request is rejected with `status` (default: 451, unavailable for legal reasons), which the route has to allow. What
//! holds for a whole service is better said in its configuration (`residency`): Portolan keeps it without a plugin too.

use portolan_plugin::{Decision, Field, Inputs, Plugin, Reason, Regions, Request, Setup, Slot, export_plugin, field};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    rules: Vec<Rule>,
    #[serde(default = "unavailable_for_legal_reasons")]
    status: u16,
}

fn unavailable_for_legal_reasons() -> u16 {
    451
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    countries: Vec<String>,
    /// Prefixes of paths; none means all.
    #[serde(default)]
    paths: Vec<String>,
    regions: Vec<String>,
    /// Where the regions are among those of the service.
    #[serde(skip)]
    slots: Vec<Slot>,
}

struct Residency {
    rules: Vec<Rule>,
    status: u16,
    path: Field,
    resident: Reason,
    nowhere: Reason,
}

impl Plugin for Residency {
    fn configure(config: &str, setup: &mut Setup) -> Result<Self, String> {
        let config: Config = serde_json::from_str(config).map_err(|error| error.to_string())?;
        if let Some(country) = config
            .rules
            .iter()
            .flat_map(|rule| &rule.countries)
            .find(|it| it.len() != 2)
        {
            return Err(format!("{country:?} is no country: two letters such as DE"));
        }
        setup.needs(Inputs::COUNTRY);
        let path = setup.field(field::PATH);
        setup.vary(Inputs::COUNTRY | Inputs::FIELDS);
        Ok(Self {
            rules: config.rules,
            status: config.status,
            path,
            resident: setup.reason("resident"),
            nowhere: setup.reason("no-resident-region"),
        })
    }

    fn update(&mut self, regions: &Regions) {
        for rule in &mut self.rules {
            rule.slots = rule.regions.iter().filter_map(|name| regions.named(name)).collect();
        }
    }

    fn route(&self, request: &Request, _regions: &Regions) -> Decision {
        let (Some(country), path) = (request.country.as_str(), request.field(self.path).unwrap_or_default()) else {
            return Decision::no_opinion();
        };
        let fits = |rule: &&Rule| {
            rule.countries.iter().any(|it| it.eq_ignore_ascii_case(country))
                && (rule.paths.is_empty() || rule.paths.iter().any(|prefix| path.starts_with(prefix)))
        };
        let Some(rule) = self.rules.iter().find(fits) else {
            return Decision::no_opinion();
        };
        let mut allowed = request.eligible().filter(|slot| rule.slots.contains(slot)).peekable();
        if allowed.peek().is_none() {
            return Decision::reject(self.status).because(self.nowhere);
        }
        Decision::order(allowed).only().because(self.resident)
    }
}

export_plugin!(Residency);

#[cfg(test)]
mod tests {
    use super::*;
    use portolan_plugin::Region;

    fn decide(country: &str, path: &str, eligible: &[u8]) -> Decision {
        let config = r#"{"rules":[{"countries":["de"],"paths":["/records"],"regions":["b","c"]}]}"#;
        let mut plugin = Residency::configure(config, &mut Setup::default()).unwrap();
        let regions = Regions::of(["a", "b", "c"].map(Region::named));
        plugin.update(&regions);
        let mut request = Request::default()
            .with_eligible(eligible.iter().copied().map(Slot))
            .with_field(plugin.path, path);
        request.country = country.parse().unwrap_or_default();
        plugin.route(&request, &regions)
    }

    #[test]
    fn a_rule_keeps_clients_in_its_regions() {
        let slots = |decision: Decision| decision.slots().collect::<Vec<_>>();
        assert_eq!(slots(decide("DE", "/records/1", &[2, 0, 1])), [Slot(2), Slot(1)]);
        for (country, path) in [("US", "/records"), ("DE", "/"), ("", "/records")] {
            assert_eq!(
                decide(country, path, &[0, 1, 2]),
                Decision::no_opinion(),
                "{country} {path}"
            );
        }
    }

    #[test]
    fn without_an_allowed_region_the_request_is_rejected() {
        assert_ne!(decide("DE", "/records", &[0]), Decision::no_opinion());
        assert_eq!(decide("DE", "/records", &[0]).slots().len(), 0);
    }

    #[test]
    fn a_country_has_two_letters() {
        let config = r#"{"rules":[{"countries":["Germany"],"regions":["a"]}]}"#;
        assert!(
            Residency::configure(config, &mut Setup::default())
                .err()
                .unwrap()
                .contains("Germany")
        );
    }
}
