//! Requests with the header `x-canary: always` go to one region first.
//!
//! Configuration: `{ "region": "eastus2" }`.

use portolan_plugin::{Counter, Decision, Field, Inputs, Plugin, Reason, Regions, Request, Setup, Slot, export_plugin};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    region: String,
}

struct Canary {
    region: String,
    header: Field,
    reason: Reason,
    missing: Counter,
    /// The position of the region among those of the service.
    slot: Option<Slot>,
}

impl Plugin for Canary {
    fn configure(config: &str, setup: &mut Setup) -> Result<Self, String> {
        let config: Config = serde_json::from_str(config).map_err(|error| error.to_string())?;
        // The answer depends on the header alone, so that the proxy may cache it.
        setup.vary(Inputs::FIELDS);
        Ok(Self {
            region: config.region,
            header: setup.field("x-canary"),
            reason: setup.reason("canary"),
            missing: setup.counter("region-missing"),
            slot: None,
        })
    }

    fn update(&mut self, regions: &Regions) {
        self.slot = regions.named(&self.region);
    }

    fn route(&self, request: &Request, _regions: &Regions) -> Decision {
        if request.field(self.header) != Some("always") {
            return Decision::no_opinion();
        }
        let Some(slot) = self.slot else {
            self.missing.add(1);
            return Decision::no_opinion();
        };
        if request.eligible().any(|eligible| eligible == slot) {
            Decision::first(slot).because(self.reason)
        } else {
            Decision::no_opinion()
        }
    }
}

export_plugin!(Canary);

#[cfg(test)]
mod tests {
    use super::*;
    use portolan_plugin::Region;

    #[test]
    fn the_header_decides() {
        let mut plugin = Canary::configure(r#"{"region":"b"}"#, &mut Setup::default()).unwrap();
        let regions = Regions::of(["a", "b"].map(Region::named));
        plugin.update(&regions);
        let request = Request::default().with_eligible([0, 1].map(Slot));
        assert_eq!(plugin.route(&request, &regions), Decision::no_opinion());
        let request = request.with_field(plugin.header, "always");
        assert_eq!(
            plugin.route(&request, &regions),
            Decision::first(Slot(1)).because(plugin.reason)
        );
    }

    #[test]
    fn a_mistake_in_the_configuration_is_named() {
        let error = Canary::configure(r#"{"regoin":"b"}"#, &mut Setup::default())
            .err()
            .unwrap();
        assert!(error.contains("regoin"), "{error}");
    }
}
