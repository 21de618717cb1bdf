//! The plugin of an instance, and the conversion between the contract's types and ours. For `export_plugin!`.

use crate::bindings::exports::portolan::routing::plugin as contract;
use crate::bindings::portolan::routing::types;
use crate::decision::Affinity;
use crate::geo::Point;
use crate::region::{Country, Region, Regions, State};
use crate::request::{Estimate, Method, Request};
use crate::setup::{Inputs, Setup};
use crate::{Decision, Plugin};
use std::cell::RefCell;

/// The plugin of an instance and the regions it last saw.
pub struct Instance<P>(RefCell<Option<(P, Regions)>>);

impl<P: Plugin> Instance<P> {
    /// Without a plugin yet.
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
            needs: inputs(setup.needs),
            fields: setup.fields,
            vary: setup.vary.map(inputs),
            reasons: setup.reasons,
            counters: setup.counters,
            request_headers: setup.request_headers,
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
        contract::Decision {
            order: decision.order,
            only: decision.only,
            reject: decision.reject,
            affinity: match decision.affinity {
                Affinity::Configured => types::Affinity::Configured,
                Affinity::Off => types::Affinity::Off,
                Affinity::On => types::Affinity::On,
            },
            headers: decision.headers.into_iter().map(header).collect(),
            reason: decision.reason,
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

/// The bits of [`Inputs`] are those of the contract.
fn inputs(inputs: Inputs) -> types::Inputs {
    types::Inputs::from_bits_truncate(inputs.0)
}

fn header((header, value): (crate::setup::RequestHeader, String)) -> types::HeaderValue {
    types::HeaderValue {
        header: header.0,
        value,
    }
}

fn point(point: types::Point) -> Option<Point> {
    Point::new(point.latitude, point.longitude)
}

fn region(region: types::Region) -> Region {
    Region {
        name: region.name,
        country: Country::from_code(region.country),
        state: match region.health {
            types::Health::Unknown => State::Unknown,
            types::Health::Healthy => State::Healthy,
            types::Health::Warming => State::Warming,
            types::Health::Unhealthy => State::Unhealthy,
            types::Health::Draining => State::Draining,
        },
        point: region.location.and_then(point),
        rtt_us: region.round_trip_us,
        share_permille: region.share_permille,
        max_requests: region.max_requests,
        priority: region.priority,
        weight: region.weight,
        cost: region.cost,
        tags: region.tags,
    }
}

fn request(request: types::Request) -> Request {
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
        country: Country::from_code(request.country),
        asn: request.asn,
        point: request.location.and_then(point),
        net: request.net,
        minute: request.minute,
        roll: request.roll,
        fields: request.fields,
        eligible: request.eligible,
        estimates: request
            .estimates
            .unwrap_or_default()
            .into_iter()
            .map(estimate)
            .collect(),
    }
}

fn estimate(estimate: types::Estimate) -> Estimate {
    Estimate {
        round_trip_us: (estimate.round_trip_us > 0).then_some(estimate.round_trip_us),
        in_flight: estimate.in_flight,
    }
}

#[cfg(test)]
mod tests;
