//! Clients in given shares, and each client always in the same region.
//!
//! ```json
//! { "shares": { "westeurope": 70, "northeurope": 30 } }
//! ```
//!
//! Shares are relative to each other. A client is known by its network. When a region may not answer, its clients are spread
//! over the others in proportion and all other clients stay where they are (weighted rendezvous hashing).

use portolan_plugin::{Decision, Inputs, Plugin, Reason, Regions, Request, Setup, Slot, export_plugin};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    shares: BTreeMap<String, f64>,
}

struct Split {
    shares: BTreeMap<String, f64>,
    reason: Reason,
    /// For each region of the service its share, and a number of its own.
    regions: Vec<Option<(f64, u64)>>,
}

impl Plugin for Split {
    fn configure(config: &str, setup: &mut Setup) -> Result<Self, String> {
        let config: Config = serde_json::from_str(config).map_err(|error| error.to_string())?;
        for (region, share) in &config.shares {
            if !(*share > 0.0 && share.is_finite()) {
                return Err(format!("the share of {region} must be more than 0, got {share}"));
            }
        }
        setup.needs(Inputs::NET);
        setup.vary(Inputs::NET);
        Ok(Self {
            shares: config.shares,
            reason: setup.reason("share"),
            regions: Vec::new(),
        })
    }

    fn update(&mut self, regions: &Regions) {
        let share = |name: &String| Some((*self.shares.get(name)?, hash(0, name.as_bytes())));
        self.regions = regions.iter().map(|(_, region)| share(&region.name)).collect();
    }

    fn route(&self, request: &Request, _regions: &Regions) -> Decision {
        let mut best: Option<(f64, Slot)> = None;
        for slot in request.eligible() {
            let Some(Some((share, salt))) = self.regions.get(usize::from(slot.0)) else {
                continue;
            };
            // A number in (0, 1] that belongs to this client and this region.
            let number = (hash(*salt, &request.net.to_le_bytes()) >> 11) as f64 + 1.0;
            let score = -share / (number / (1_u64 << 53) as f64).ln();
            if best.is_none_or(|(highest, _)| score > highest) {
                best = Some((score, slot));
            }
        }
        best.map_or_else(Decision::no_opinion, |(_, slot)| {
            Decision::first(slot).because(self.reason)
        })
    }
}

/// FNV-1a (draft-eastlake-fnv) with the finaliser of SplitMix64, so that all bits are good.
fn hash(salt: u64, bytes: &[u8]) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325 ^ salt;
    let hash = bytes.iter().fold(start, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

export_plugin!(Split);

#[cfg(test)]
mod tests {
    use super::*;
    use portolan_plugin::Region;

    fn split() -> (Split, Regions) {
        let mut plugin = Split::configure(r#"{"shares":{"a":70,"b":20,"c":10}}"#, &mut Setup::default()).unwrap();
        let regions = Regions::of(["a", "b", "c", "d"].map(Region::named));
        plugin.update(&regions);
        (plugin, regions)
    }

    fn first(plugin: &Split, regions: &Regions, net: u64, eligible: &[u8]) -> Option<Slot> {
        let mut request = Request::default().with_eligible(eligible.iter().copied().map(Slot));
        request.net = net << 8;
        plugin.route(&request, regions).slots().next()
    }

    #[test]
    fn clients_are_split_by_the_shares() {
        let (plugin, regions) = split();
        let mut counts = [0; 4];
        for net in 0..20_000 {
            counts[usize::from(first(&plugin, &regions, net, &[3, 2, 1, 0]).unwrap().0)] += 1;
        }
        // Four standard deviations of a binomial.
        for (count, expected) in counts.into_iter().zip([14_000, 4_000, 2_000, 0]) {
            assert!(i32::abs(count - expected) <= 260, "{counts:?}");
        }
    }

    #[test]
    fn only_the_clients_of_a_lost_region_move() {
        let (plugin, regions) = split();
        for net in 0..1_000 {
            let before = first(&plugin, &regions, net, &[0, 1, 2]);
            let after = first(&plugin, &regions, net, &[0, 2]);
            assert!(
                before == after || before == Some(Slot(1)),
                "{net}: {before:?} {after:?}"
            );
        }
    }

    #[test]
    fn regions_without_a_share_get_no_one() {
        let (plugin, regions) = split();
        assert_eq!(first(&plugin, &regions, 1, &[3]), None);
    }

    #[test]
    fn a_share_is_more_than_nothing() {
        for share in ["0", "-1"] {
            let config = format!(r#"{{"shares":{{"a":{share}}}}}"#);
            assert!(Split::configure(&config, &mut Setup::default()).is_err(), "{share}");
        }
    }
}
