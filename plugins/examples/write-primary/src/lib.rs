//! Requests that change something go to the primary region, where the database accepts writes; others go where Portolan sends
//! them.
//!
//! ```json
//! { "primary": "eastus2", "strict": true }
//! ```
//!
//! Safe are GET, HEAD and OPTIONS (RFC 9110, section 9.2.1); every other method counts as a write. When the primary region may
//! not answer, writes follow Portolan's order; with `strict` they are rejected with 503, which the route has to allow, and
//! are never tried elsewhere.

use portolan_plugin::{Decision, Inputs, Method, Plugin, Reason, Regions, Request, Setup, Slot, export_plugin};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    primary: String,
    #[serde(default)]
    strict: bool,
}

struct WritePrimary {
    config: Config,
    write: Reason,
    lost: Reason,
    slot: Option<Slot>,
}

impl Plugin for WritePrimary {
    fn configure(config: &str, setup: &mut Setup) -> Result<Self, String> {
        let config: Config = serde_json::from_str(config).map_err(|error| error.to_string())?;
        setup.needs(Inputs::METHOD);
        setup.vary(Inputs::METHOD);
        Ok(Self {
            config,
            write: setup.reason("write"),
            lost: setup.reason("primary-not-available"),
            slot: None,
        })
    }

    fn update(&mut self, regions: &Regions) {
        self.slot = regions.named(&self.config.primary);
    }

    fn route(&self, request: &Request, _regions: &Regions) -> Decision {
        if matches!(request.method, Method::Get | Method::Head | Method::Options) {
            return Decision::no_opinion();
        }
        let primary = self
            .slot
            .filter(|slot| request.eligible().any(|eligible| eligible == *slot));
        match (primary, self.config.strict) {
            (Some(slot), true) => Decision::first(slot).only().because(self.write),
            (Some(slot), false) => Decision::first(slot).because(self.write),
            (None, true) => Decision::reject(503).because(self.lost),
            (None, false) => Decision::no_opinion().because(self.lost),
        }
    }
}

export_plugin!(WritePrimary);

#[cfg(test)]
mod tests {
    use super::*;
    use portolan_plugin::Region;

    fn decide(strict: bool, method: Method, eligible: &[u8]) -> (Decision, WritePrimary) {
        let config = format!(r#"{{"primary":"b","strict":{strict}}}"#);
        let mut plugin = WritePrimary::configure(&config, &mut Setup::default()).unwrap();
        let regions = Regions::of(["a", "b"].map(Region::named));
        plugin.update(&regions);
        let mut request = Request::default().with_eligible(eligible.iter().copied().map(Slot));
        request.method = method;
        (plugin.route(&request, &regions), plugin)
    }

    #[test]
    fn writes_go_to_the_primary_region() {
        for method in [Method::Post, Method::Put, Method::Patch, Method::Delete, Method::Other] {
            let (decision, plugin) = decide(false, method, &[0, 1]);
            assert_eq!(decision, Decision::first(Slot(1)).because(plugin.write), "{method:?}");
        }
        for method in [Method::Get, Method::Head, Method::Options] {
            assert_eq!(decide(true, method, &[0, 1]).0, Decision::no_opinion(), "{method:?}");
        }
    }

    #[test]
    fn without_the_primary_region_a_strict_write_is_rejected() {
        let (decision, plugin) = decide(true, Method::Post, &[0]);
        assert_eq!(decision, Decision::reject(503).because(plugin.lost));
        let (decision, plugin) = decide(false, Method::Post, &[0]);
        assert_eq!(decision, Decision::no_opinion().because(plugin.lost));
    }
}
