//! Learned round trips.

use super::compound::{At, NonEmpty};
use super::error::Mistakes;
use super::listeners::Network;
use super::quantities::{H, MIN, Time};
use super::section::section;
use super::settings::LearnedSettings;
use super::values::{Percent, Whole};
use std::time::Duration;

const DEFAULT_MAX_PREFIXES: u64 = 65_536;
const DEFAULT_HALF_LIFE: Duration = Duration::from_secs(24 * 3600);
/// More would send too many requests to regions that are likely to be far.
const MOST_EXPLORED: u8 = 10;

section! {
    /// Learned round trips: where connections of clients measured that another region is faster than geography says, policy
    /// latency follows them.
    LearnedSection {
        /// How many client prefixes (/24, /48) are remembered, 184 bytes each. The ones with the least evidence make
        /// room. Default: 65536.
        optional max_prefixes: Whole<8, 4_194_304>,
        /// The time in which evidence loses half of its weight. Default: 24h.
        optional half_life: Time<MIN, { 90 * 24 * H }>,
        /// The share of GET and HEAD requests, at most 10 %, that goes to a region of which nothing is known, where what was
        /// measured contradicts geography. Of use only where clients connect to the region themselves. Default: 0.
        optional explore: At<Percent>,
        /// Networks that are not learned: relays, VPNs and others whose addresses say little of where clients are.
        optional exclude: NonEmpty<Network>,
    }
}

impl LearnedSection {
    /// `None` only when something has been reported. `has_region`: whether this instance's own region is known.
    pub(super) fn settings(&self, has_region: bool, mistakes: &mut Mistakes<'_>) -> Option<LearnedSettings> {
        if !has_region {
            let message =
                "no region is named by here: connections are not measured, only what others report is learned";
            mistakes.warn(self.at, message);
        }
        let explore = self.explore.as_ref().map_or(0, |percent| percent.0);
        if let Some(at) = self.explore.as_ref().filter(|_| explore > MOST_EXPLORED) {
            mistakes.at(at.id, format!("at most {MOST_EXPLORED}% is possible, got {explore}%"));
            return None;
        }
        Some(LearnedSettings {
            max_prefixes: self.max_prefixes.map_or(DEFAULT_MAX_PREFIXES, |count| count.0) as usize,
            half_life: self.half_life.map_or(DEFAULT_HALF_LIFE, |time| time.0),
            explore: f64::from(explore) / 100.0,
            exclude: self.exclude.iter().flat_map(|all| all.iter()).map(|it| it.0).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::config::parse;
    use std::path::Path;

    const START: &str = "listeners: [ { address: 127.0.0.1:8080 } ]\n\
                         services: { shop: { regions: [ { region: westeurope, gateway: \"http://gw.example.net\" } ] } }\n\
                         routes: [ { host: \"*\", service: shop } ]\n";

    #[test]
    fn defaults_and_a_warning_where_nothing_can_be_measured() {
        let parsed = |lines: &str| parse(format!("{START}{lines}").as_bytes(), Path::new("x.yaml")).expect("valid");
        assert!(parsed("here: westeurope\n").settings.learned.is_none());
        let on = parsed("here: westeurope\ngeo: { learned: {} }\n");
        let learned = on.settings.learned.expect("on");
        assert_eq!((learned.max_prefixes, learned.half_life.as_secs()), (65_536, 86_400));
        assert!(learned.explore == 0.0 && learned.exclude.is_empty());
        assert_eq!(on.warnings, []);
        let nowhere = parsed("geo: { learned: {} }\n").warnings;
        assert!(
            nowhere.len() == 1 && nowhere[0].to_string().contains("here"),
            "{nowhere:?}"
        );
        let at_a_point = parsed("here: { latitude: 50, longitude: 8 }\ngeo: { learned: {} }\n").warnings;
        assert_eq!(at_a_point.len(), 1);
    }

    #[test]
    fn mistakes_say_what_is_possible() {
        for (keys, why) in [
            ("explore: 11%", "at most 10% is possible, got 11%"),
            ("max_prefixes: 1", "8"),
            ("half_life: 1s", "from 1m"),
            ("exclude: []", "at least one"),
            ("exclude: [10.0.0.1/8]", "10.0.0.0/8"),
            ("max_prefix: 100", "max_prefixes"),
        ] {
            let text = format!("{START}here: westeurope\ngeo: {{ learned: {{ {keys} }} }}\n");
            let errors = parse(text.as_bytes(), Path::new("x.yaml")).expect_err(keys).to_string();
            assert!(errors.contains(why) && errors.lines().count() == 1, "{keys}: {errors}");
        }
    }
}
