//! Each tenant to its own region, and the gateway learns which one that is.
//!
//! ```json
//! { "header": "x-tenant", "tenants": { "contoso": "westeurope", "fabrikam": "eastus2" }, "only": true }
//! ```
//!
//! Without `header` the tenant is the first label of the host: `contoso` of contoso.example.net. With `only` no other region is
//! tried; without it the others follow when the tenant's region fails. The region's name goes to the gateway as
//! `x-tenant-home`, a header that clients cannot send themselves.

use portolan_plugin::{
    Decision, Field, Inputs, Plugin, Reason, Regions, Request, RequestHeader, Setup, Slot, export_plugin, field,
};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    header: Option<String>,
    tenants: BTreeMap<String, String>,
    #[serde(default)]
    only: bool,
}

struct Pinning {
    tenants: BTreeMap<String, String>,
    only: bool,
    /// The header, or the host.
    tenant: Field,
    by_host: bool,
    home: RequestHeader,
    pinned: Reason,
    away: Reason,
    /// Where the tenants' regions are among those of the service.
    slots: BTreeMap<String, Slot>,
}

impl Plugin for Pinning {
    fn configure(config: &str, setup: &mut Setup) -> Result<Self, String> {
        let config: Config = serde_json::from_str(config).map_err(|error| error.to_string())?;
        setup.vary(Inputs::FIELDS);
        Ok(Self {
            tenant: setup.field(config.header.as_deref().unwrap_or(field::HOST)),
            by_host: config.header.is_none(),
            tenants: config.tenants,
            only: config.only,
            home: setup.request_header("x-tenant-home"),
            pinned: setup.reason("pinned"),
            away: setup.reason("away-from-home"),
            slots: BTreeMap::new(),
        })
    }

    fn update(&mut self, regions: &Regions) {
        let slot = |(tenant, region): (&String, &String)| Some((tenant.clone(), regions.named(region)?));
        self.slots = self.tenants.iter().filter_map(slot).collect();
    }

    fn route(&self, request: &Request, _regions: &Regions) -> Decision {
        let value = request.field(self.tenant).unwrap_or_default();
        let tenant = match self.by_host {
            true => value.split('.').next().unwrap_or_default(),
            false => value,
        };
        let (Some(slot), Some(region)) = (self.slots.get(tenant), self.tenants.get(tenant)) else {
            return Decision::no_opinion();
        };
        let decision = match request.eligible().any(|eligible| eligible == *slot) {
            true if self.only => Decision::first(*slot).only().because(self.pinned),
            true => Decision::first(*slot).because(self.pinned),
            false => Decision::no_opinion().because(self.away),
        };
        decision.header(self.home, region)
    }
}

export_plugin!(Pinning);

#[cfg(test)]
mod tests {
    use super::*;
    use portolan_plugin::Region;

    fn decide(config: &str, value: &str, eligible: &[u8]) -> (Decision, Pinning) {
        let mut plugin = Pinning::configure(config, &mut Setup::default()).unwrap();
        let regions = Regions::of(["a", "b"].map(Region::named));
        plugin.update(&regions);
        let request = Request::default()
            .with_eligible(eligible.iter().copied().map(Slot))
            .with_field(plugin.tenant, value);
        (plugin.route(&request, &regions), plugin)
    }

    #[test]
    fn tenants_are_found_by_header_or_host() {
        for (config, value) in [
            (
                r#"{"header":"x-tenant","tenants":{"contoso":"b"},"only":true}"#,
                "contoso",
            ),
            (r#"{"tenants":{"contoso":"b"},"only":true}"#, "contoso.example.net"),
        ] {
            let (decision, plugin) = decide(config, value, &[0, 1]);
            let expected = Decision::first(Slot(1))
                .only()
                .because(plugin.pinned)
                .header(plugin.home, "b");
            assert_eq!(decision, expected, "{value}");
        }
    }

    #[test]
    fn others_are_left_to_the_proxy() {
        let config = r#"{"header":"x-tenant","tenants":{"contoso":"b","lost":"nowhere"}}"#;
        for value in ["", "fabrikam", "lost"] {
            assert_eq!(decide(config, value, &[0, 1]).0, Decision::no_opinion(), "{value}");
        }
    }

    #[test]
    fn the_gateway_learns_the_home_of_a_tenant_that_is_away() {
        let (decision, plugin) = decide(r#"{"header":"x-tenant","tenants":{"contoso":"b"}}"#, "contoso", &[0]);
        let expected = Decision::no_opinion().because(plugin.away).header(plugin.home, "b");
        assert_eq!(decision, expected);
    }
}
