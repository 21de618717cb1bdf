//! Where the instance keeps its plugin, and the way between the contract's types and ours. For `export_plugin!`.

use crate::bindings::exports::portolan::routing::plugin as contract;
use crate::bindings::portolan::routing::types;
use crate::decision::unpack;
use crate::geo::Point;
use crate::region::{Country, Region, Regions, State};
use crate::request::{Method, Protocol, Request};
use crate::setup::Setup;
use crate::{Decision, Plugin};
use std::cell::RefCell;

/// The plugin of an instance and the regions it last saw.
pub struct Seat<P>(RefCell<Option<(P, Regions)>>);

impl<P: Plugin> Seat<P> {
    /// An empty seat.
    #[allow(clippy::new_without_default, reason = "a constant for `thread_local!`")]
    pub const fn new() -> Self {
        Self(RefCell::new(None))
    }

    /// Builds the plugin.
    ///
    /// # Errors
    /// What the plugin says of its configuration.
    pub fn configure(&self, config: &str) -> Result<contract::Setup, String> {
        report_panics();
        let mut setup = Setup::default();
        let plugin = P::configure(config, &mut setup)?;
        self.0.replace(Some((plugin, Regions::default())));
        Ok(contract::Setup {
            needs: setup.needs.0,
            headers: setup.headers,
            vary: setup.vary.map(|inputs| inputs.0),
            reasons: setup.reasons,
            counters: setup.counters,
        })
    }

    /// Hands new regions to the plugin. Without a plugin nothing happens: the host configures first.
    pub fn update(&self, snapshot: contract::Snapshot) {
        if let Some((plugin, regions)) = &mut *self.0.borrow_mut() {
            // The old regions give their memory back before the new ones take theirs.
            *regions = Regions::default();
            *regions = Regions::new(
                snapshot.generation,
                snapshot.service,
                snapshot.regions.into_iter().map(region).collect(),
            );
            plugin.update(regions);
        }
    }

    /// Asks the plugin. Without one there is no opinion.
    pub fn route(&self, incoming: contract::Request) -> contract::Decision {
        let decision = match &*self.0.borrow() {
            Some((plugin, regions)) => plugin.route(&request(incoming), regions),
            None => Decision::no_opinion(),
        };
        let (first4, next4, reason, action) = decision.words();
        contract::Decision {
            first4,
            next4,
            reason,
            action,
        }
    }
}

/// Stands for the export in native builds, so that the compiler sees the plugin in use there too.
pub fn keeps_contract<G: contract::Guest>() {}

/// Lets the log say what a panic was about before it becomes a trap.
fn report_panics() {
    #[cfg(target_arch = "wasm32")]
    std::panic::set_hook(Box::new(|panic| {
        crate::host::log(crate::host::Level::Error, &panic.to_string());
    }));
}

fn region(region: types::Region) -> Region {
    Region {
        name: region.name,
        country: Country::from_code(region.country),
        state: State::from_bits(region.state),
        point: Point::new(region.latitude, region.longitude),
        rtt_us: (region.rtt_us > 0).then_some(region.rtt_us),
        share_permille: region.share_permille,
        max_requests: (region.max_requests > 0).then_some(region.max_requests),
        priority: region.priority,
        weight: region.weight,
    }
}

fn request(request: types::Request) -> Request {
    let (native, native_len) = unpack(request.native_first4, request.native_next4);
    Request {
        method: match request.method {
            types::HttpMethod::Get => Method::Get,
            types::HttpMethod::Head => Method::Head,
            types::HttpMethod::Post => Method::Post,
            types::HttpMethod::Put => Method::Put,
            types::HttpMethod::Delete => Method::Delete,
            types::HttpMethod::Options => Method::Options,
            types::HttpMethod::Patch => Method::Patch,
            types::HttpMethod::Other => Method::Other,
        },
        protocol: match request.protocol {
            types::Protocol::Http1 => Protocol::Http1,
            types::Protocol::Http2 => Protocol::Http2,
            types::Protocol::Http3 => Protocol::Http3,
        },
        host: request.host,
        path: request.path,
        country: Country::from_code(request.country),
        asn: request.asn,
        point: Point::new(request.latitude, request.longitude),
        net: request.net,
        roll: request.roll,
        fields: request.fields,
        native,
        native_len,
    }
}

#[cfg(test)]
mod tests;
