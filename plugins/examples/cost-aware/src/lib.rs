//! The cheapest of the regions that are near enough.
//!
//! ```json
//! { "slower_ms": 30 }
//! ```
//!
//! Near enough are the regions whose estimated round trip is at most `slower_ms` longer than the shortest. They are ordered by
//! their `cost` in the configuration, the cheapest first; one without a cost is the dearest. The others follow in Portolan's
//! order. Where nothing is known of the client's round trips, Portolan's order holds.

use portolan_plugin::{Decision, Inputs, Plugin, Reason, Regions, Request, Setup, Slot, export_plugin};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    slower_ms: u32,
}

struct CostAware {
    slower_us: u32,
    reason: Reason,
    /// By position.
    costs: Vec<f32>,
}

impl Plugin for CostAware {
    fn configure(config: &str, setup: &mut Setup) -> Result<Self, String> {
        let config: Config = serde_json::from_str(config).map_err(|error| error.to_string())?;
        let slower_us = config
            .slower_ms
            .checked_mul(1_000)
            .ok_or("slower_ms is longer than an hour")?;
        // Estimates change all the time: there is nothing to cache.
        setup.needs(Inputs::ROUND_TRIPS);
        Ok(Self {
            slower_us,
            reason: setup.reason("cost"),
            costs: Vec::new(),
        })
    }

    fn update(&mut self, regions: &Regions) {
        self.costs.clear();
        self.costs
            .extend(regions.iter().map(|(_, region)| region.cost.unwrap_or(f32::INFINITY)));
    }

    fn route(&self, request: &Request, _regions: &Regions) -> Decision {
        let known = |(slot, estimate): (Slot, portolan_plugin::Estimate)| Some((slot, estimate.round_trip_us?));
        let Some(shortest) = request.estimates().filter_map(known).map(|(_, time)| time).min() else {
            return Decision::no_opinion();
        };
        let limit = shortest.saturating_add(self.slower_us);
        let near = request.estimates().filter_map(known).filter(|(_, time)| *time <= limit);
        let cost = |slot: &Slot| self.costs.get(usize::from(slot.0)).copied().unwrap_or(f32::INFINITY);
        let mut near: Vec<Slot> = near.map(|(slot, _)| slot).collect();
        // Stable: equally dear regions stay in Portolan's order.
        near.sort_by(|a, b| cost(a).total_cmp(&cost(b)));
        Decision::order(near).because(self.reason)
    }
}

export_plugin!(CostAware);

#[cfg(test)]
mod tests {
    use super::*;
    use portolan_plugin::{Estimate, Region};

    fn decide(estimates: &[(u8, Option<u32>)]) -> (Vec<u8>, CostAware) {
        let mut plugin = CostAware::configure(r#"{"slower_ms":30}"#, &mut Setup::default()).unwrap();
        let regions = Regions::of([
            Region::named("dear").costing(2.0),
            Region::named("cheap").costing(0.5),
            Region::named("unknown"),
            Region::named("far").costing(0.1),
        ]);
        plugin.update(&regions);
        let estimates = estimates.iter().map(|(slot, round_trip_us)| {
            let estimate = Estimate {
                round_trip_us: *round_trip_us,
                in_flight: 0,
            };
            (Slot(*slot), estimate)
        });
        let request = Request::default().with_estimates(estimates);
        let order = plugin.route(&request, &regions).slots().map(|slot| slot.0).collect();
        (order, plugin)
    }

    #[test]
    fn the_cheapest_of_the_near_ones_is_first() {
        let near = [
            (2, Some(10_000)),
            (0, Some(12_000)),
            (1, Some(40_000)),
            (3, Some(40_001)),
        ];
        assert_eq!(decide(&near).0, [1, 0, 2]);
    }

    #[test]
    fn what_is_not_known_is_left_to_the_proxy() {
        assert_eq!(decide(&[(0, None), (1, None)]).0, [0_u8; 0]);
        assert_eq!(decide(&[(0, None), (2, Some(9))]).0, [2]);
    }
}
