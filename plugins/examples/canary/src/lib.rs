//! A share of the clients to one region first, and always the same clients.
//!
//! ```json
//! { "region": "eastus2", "percent": 5, "header": "x-canary", "cookie": "uid", "exclusive": true }
//! ```
//!
//! | key | meaning |
//! |---|---|
//! | `region` | the region that gets the share |
//! | `percent` | the share, 0 to 100, in steps of 0.01 |
//! | `header` | a request header that decides: `always` and `never` at once, any other value by its hash |
//! | `cookie` | a cookie whose value decides by its hash, when the header is missing |
//! | `exclusive` | whether everybody else gets the region last instead of in Portolan's order (default: false) |
//!
//! Without header and cookie the client's network decides. As a client keeps what is hashed, it keeps its region; raising
//! the share adds clients and moves none back. When the region may not answer, Portolan's order holds.

mod share;

use portolan_plugin::{Counter, Decision, Field, Inputs, Plugin, Reason, Regions, Request, Setup, Slot, export_plugin};
use serde::Deserialize;
use share::Share;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    region: String,
    percent: f64,
    header: Option<String>,
    cookie: Option<String>,
    #[serde(default)]
    exclusive: bool,
}

struct Canary {
    region: String,
    share: Share,
    exclusive: bool,
    header: Option<Field>,
    /// The `cookie` header, and the name of the cookie in it.
    cookie: Option<(Field, String)>,
    chosen: Reason,
    spared: Reason,
    missing: Counter,
    /// Where the region is among the regions of the service.
    slot: Option<Slot>,
}

impl Plugin for Canary {
    fn configure(config: &str, setup: &mut Setup) -> Result<Self, String> {
        let config: Config = serde_json::from_str(config).map_err(|error| error.to_string())?;
        setup.needs(Inputs::NET);
        let header = config.header.as_deref().map(|name| setup.field(name));
        let cookie = config.cookie.map(|name| (setup.field("cookie"), name));
        setup.vary(Inputs::NET | Inputs::FIELDS);
        Ok(Self {
            share: Share::new(&config.region, config.percent)?,
            region: config.region,
            exclusive: config.exclusive,
            header,
            cookie,
            chosen: setup.reason("canary"),
            spared: setup.reason("not-canary"),
            missing: setup.counter("region-missing"),
            slot: None,
        })
    }

    fn update(&mut self, regions: &Regions) {
        self.slot = regions.named(&self.region);
        if self.slot.is_none() {
            self.missing.add(1);
        }
    }

    fn route(&self, request: &Request, _regions: &Regions) -> Decision {
        let Some(slot) = self
            .slot
            .filter(|slot| request.eligible().any(|eligible| eligible == *slot))
        else {
            return Decision::no_opinion();
        };
        if self.chooses(request) {
            Decision::first(slot).because(self.chosen)
        } else if self.exclusive {
            let others = request.eligible().filter(|other| *other != slot);
            Decision::order(others.chain([slot])).because(self.spared)
        } else {
            Decision::no_opinion()
        }
    }
}

impl Canary {
    /// Whether the client is among the share.
    fn chooses(&self, request: &Request) -> bool {
        if let Some(value) = self.header.and_then(|header| request.field(header)) {
            return match value {
                "always" => true,
                "never" => false,
                value => self.share.holds(value.as_bytes()),
            };
        }
        let cookie = self
            .cookie
            .as_ref()
            .and_then(|(header, name)| cookie(request.field(*header)?, name));
        match cookie {
            Some(value) => self.share.holds(value.as_bytes()),
            None => self.share.holds(&request.net.to_le_bytes()),
        }
    }
}

/// The value of a cookie in a `Cookie` header (RFC 6265 section 4.2.1). The host joins several headers by `, `.
fn cookie<'a>(header: &'a str, name: &str) -> Option<&'a str> {
    header
        .split([';', ','])
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
        .filter(|value| !value.is_empty())
}

export_plugin!(Canary);

#[cfg(test)]
mod tests;
