//! Regions in which it is working time first: where the people are who look after them.
//!
//! ```json
//! { "from": 8, "until": 18 }
//! ```
//!
//! Hours of the local solar time, which follows from a region's longitude: four minutes for each degree. Regions at work are
//! ordered as Portolan orders them, and the others follow. With `"from": 18, "until": 8` it is the night that comes first, for
//! work that can wait for cheap power.

use portolan_plugin::{Decision, Inputs, Plugin, Reason, Regions, Request, Setup, Slot, export_plugin};
use serde::Deserialize;

const DAY: i32 = 24 * 60;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    from: u8,
    until: u8,
}

struct FollowTheSun {
    from: i32,
    until: i32,
    reason: Reason,
    /// Minutes before UTC, by position.
    offsets: Vec<Option<i32>>,
}

impl Plugin for FollowTheSun {
    fn configure(config: &str, setup: &mut Setup) -> Result<Self, String> {
        let Config { from, until } = serde_json::from_str(config).map_err(|error| error.to_string())?;
        if from > 24 || until > 24 || from == until {
            return Err(format!(
                "from and until are different hours from 0 to 24, got {from} and {until}"
            ));
        }
        setup.needs(Inputs::MINUTE);
        setup.vary(Inputs::MINUTE);
        Ok(Self {
            from: i32::from(from) * 60,
            until: i32::from(until) * 60,
            reason: setup.reason("working-time"),
            offsets: Vec::new(),
        })
    }

    fn update(&mut self, regions: &Regions) {
        let offset = |longitude: f32| (longitude * 4.0) as i32;
        self.offsets.clear();
        self.offsets.extend(
            regions
                .iter()
                .map(|(_, region)| region.point.map(|point| offset(point.longitude))),
        );
    }

    fn route(&self, request: &Request, _regions: &Regions) -> Decision {
        let minute = (request.minute % DAY as u32) as i32;
        let works = |slot: &Slot| match self.offsets.get(usize::from(slot.0)) {
            Some(Some(offset)) => self.is_within((minute + offset).rem_euclid(DAY)),
            _ => false,
        };
        let mut at_work = request.eligible().filter(works).peekable();
        if at_work.peek().is_none() {
            return Decision::no_opinion();
        }
        Decision::order(at_work).because(self.reason)
    }
}

impl FollowTheSun {
    fn is_within(&self, minute: i32) -> bool {
        match self.from < self.until {
            true => (self.from..self.until).contains(&minute),
            false => minute >= self.from || minute < self.until,
        }
    }
}

export_plugin!(FollowTheSun);

#[cfg(test)]
mod tests {
    use super::*;
    use portolan_plugin::Region;

    fn at_work(config: &str, hour: u32) -> Vec<u8> {
        let mut plugin = FollowTheSun::configure(config, &mut Setup::default()).unwrap();
        let regions = Regions::of([
            Region::named("westeurope").at(52.4, 4.9),
            Region::named("eastus2").at(36.7, -78.4),
            Region::named("japaneast").at(35.7, 139.8),
            Region::named("on-prem"),
        ]);
        plugin.update(&regions);
        let mut request = Request::default().with_eligible([3, 2, 1, 0].map(Slot));
        request.minute = 20_000 * 1440 + hour * 60;
        plugin.route(&request, &regions).slots().map(|slot| slot.0).collect()
    }

    #[test]
    fn the_day_goes_around_the_world() {
        for (hour, expected) in [
            (2, [2].as_slice()),
            (8, &[2, 0]),
            (12, &[0]),
            (16, &[1, 0]),
            (20, &[1]),
            (23, &[2, 1]),
        ] {
            assert_eq!(at_work(r#"{"from":8,"until":18}"#, hour), expected, "{hour} UTC");
        }
    }

    #[test]
    fn the_night_does_so_as_well() {
        assert_eq!(at_work(r#"{"from":20,"until":6}"#, 2), [1, 0]);
    }

    #[test]
    fn hours_are_of_the_clock() {
        for config in [r#"{"from":8,"until":25}"#, r#"{"from":8,"until":8}"#, r#"{"from":8}"#] {
            assert!(
                FollowTheSun::configure(config, &mut Setup::default()).is_err(),
                "{config}"
            );
        }
    }
}
