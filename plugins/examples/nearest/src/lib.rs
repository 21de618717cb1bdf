//! The nearest region first, by great-circle distance.
//!
//! Orders the regions that Portolan offers by their distance from the client. A region whose place is not known comes
//! after the others; a client whose place is not known is left to Portolan. Whatever configuration it is given is left
//! unread, so that it can take another plugin's place in a deployment that has one.

use portolan_plugin::geo::Direction;
use portolan_plugin::{Decision, Inputs, Plugin, Reason, Regions, Request, Setup, Slot, export_plugin};

struct Nearest {
    reason: Reason,
    /// Where each region is, by position.
    directions: Vec<Option<Direction>>,
}

impl Plugin for Nearest {
    fn configure(_config: &str, setup: &mut Setup) -> Result<Self, String> {
        setup.needs(Inputs::POINT);
        setup.vary(Inputs::POINT);
        Ok(Self {
            reason: setup.reason("distance"),
            directions: Vec::new(),
        })
    }

    fn update(&mut self, regions: &Regions) {
        self.directions.clear();
        self.directions.extend(
            regions
                .iter()
                .map(|(_, region)| region.point.map(|point| point.direction())),
        );
    }

    fn route(&self, request: &Request, _regions: &Regions) -> Decision {
        let Some(client) = request.point else {
            return Decision::no_opinion();
        };
        let client = client.direction();
        let distance = |slot: Slot| {
            let region = self.directions.get(usize::from(slot.0)).copied().flatten();
            region.map_or(f64::INFINITY, |region| client.chord_squared(region))
        };
        let mut ranked: Vec<(f64, Slot)> = request.eligible().map(|slot| (distance(slot), slot)).collect();
        // A stable sort by hand: few entries, mostly in order, and no code of the general one in the component.
        for end in 1..ranked.len() {
            let mut at = end;
            while at > 0 && ranked[at - 1].0 > ranked[at].0 {
                ranked.swap(at - 1, at);
                at -= 1;
            }
        }
        Decision::order(ranked.iter().map(|(_, slot)| *slot)).because(self.reason)
    }
}

export_plugin!(Nearest);

#[cfg(test)]
mod tests {
    use super::*;
    use portolan_plugin::Region;

    fn plugin(regions: &Regions) -> (Nearest, Reason) {
        let mut plugin = Nearest::configure("{}", &mut Setup::default()).unwrap();
        plugin.update(regions);
        let reason = plugin.reason;
        (plugin, reason)
    }

    fn world() -> Regions {
        Regions::of([
            Region::named("eastus2").at(36.67, -78.39),
            Region::named("on-prem"),
            Region::named("southeastasia").at(1.28, 103.83),
            Region::named("westeurope").at(52.37, 4.9),
        ])
    }

    fn order(slots: &[u8]) -> impl Iterator<Item = Slot> {
        slots.iter().copied().map(Slot)
    }

    #[test]
    fn clients_get_the_nearest_of_what_is_offered() {
        let regions = world();
        let (plugin, reason) = plugin(&regions);
        for (place, (latitude, longitude), offered, expected) in [
            ("London", (51.5, -0.1), [0, 1, 2, 3].as_slice(), [3, 0, 2, 1].as_slice()),
            ("New York", (40.7, -74.0), &[3, 2, 0], &[0, 3, 2]),
            ("Sydney", (-33.9, 151.2), &[0, 1, 2, 3], &[2, 0, 3, 1]),
            ("London without Europe", (51.5, -0.1), &[2, 0], &[0, 2]),
            ("across the date line", (-17.7, 178.0), &[0, 2, 3], &[2, 0, 3]),
            ("nothing offered", (51.5, -0.1), &[], &[]),
        ] {
            let request = Request::default()
                .from_place(latitude, longitude)
                .with_eligible(order(offered));
            let decision = plugin.route(&request, &regions);
            assert_eq!(decision, Decision::order(order(expected)).because(reason), "{place}");
        }
    }

    #[test]
    fn a_client_without_a_place_is_left_to_the_host() {
        let regions = world();
        let request = Request::default().with_eligible(order(&[0, 1, 2, 3]));
        assert_eq!(plugin(&regions).0.route(&request, &regions), Decision::no_opinion());
    }

    #[test]
    fn equally_far_regions_keep_the_order_of_the_host() {
        let regions = Regions::of([Region::named("a").at(10.0, 10.0), Region::named("b").at(10.0, 10.0)]);
        let (plugin, reason) = plugin(&regions);
        let request = Request::default().from_place(0.0, 0.0).with_eligible(order(&[1, 0]));
        assert_eq!(
            plugin.route(&request, &regions),
            Decision::order(order(&[1, 0])).because(reason)
        );
    }

    #[test]
    fn it_takes_another_plugins_place() {
        assert!(Nearest::configure(r#"{"percent": 5}"#, &mut Setup::default()).is_ok());
    }
}
