//! Where requests of the last minutes came from and where they went, from the workers' samples.

use crate::vitals::{GatewayNumber, Sample, SampledPlace};
use portolan_core::id::PluginName;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long samples are collected in one window.
const WINDOW: Duration = Duration::from_secs(30);

/// How many windows count.
const WINDOWS: usize = 10;

/// Pairs of a place and a gateway, and reasons, in one window at most. Requests beyond them are not shown.
const MOST: usize = 8192;

/// What samples stand for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Requests.
    pub requests: u64,
    /// Of those, the ones whose regions a plugin ordered.
    pub by_plugin: u64,
}

/// Requests by the place of their clients and the gateway that answered them.
pub type Flows = BTreeMap<(SampledPlace, GatewayNumber), Count>;

/// Requests by the plugin that ordered their regions and its reason.
pub type Reasons = BTreeMap<(PluginName, String), u64>;

/// The traffic of the last five minutes. Shared by the task that collects it and the administration.
#[derive(Debug, Default)]
pub struct Traffic(Mutex<VecDeque<Window>>);

#[derive(Debug)]
struct Window {
    begun: Instant,
    flows: Flows,
    reasons: Reasons,
}

/// What was collected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// For how long.
    pub length: Duration,
    /// What came from where, and went where.
    pub flows: Flows,
    /// Why plugins ordered as they did.
    pub reasons: Reasons,
}

impl Traffic {
    /// Adds samples. `reason` gives the plugin of a gateway's service and its name for a reason as they are now: another version may
    /// have other names.
    pub fn add(
        &self,
        samples: &[Sample],
        reason: impl Fn(GatewayNumber, u16) -> Option<(PluginName, String)>,
        now: Instant,
    ) {
        let mut windows = self.windows();
        let is_over = |window: &Window| now.saturating_duration_since(window.begun) >= WINDOW;
        if windows.back().is_none_or(is_over) {
            windows.push_back(Window {
                begun: now,
                flows: Flows::new(),
                reasons: Reasons::new(),
            });
        }
        let oldest = WINDOW * WINDOWS as u32;
        windows.retain(|window| now.saturating_duration_since(window.begun) < oldest);
        let Some(window) = windows.back_mut() else { return };
        for sample in samples {
            let requests = u64::from(sample.requests);
            if let Some(count) = place(&mut window.flows, (sample.place, sample.gateway)) {
                count.requests += requests;
                count.by_plugin += if sample.by_plugin { requests } else { 0 };
            }
            if sample.reason != 0
                && let Some(reason) = reason(sample.gateway, sample.reason)
                && let Some(count) = place(&mut window.reasons, reason)
            {
                *count += requests;
            }
        }
    }

    /// What the windows hold together.
    pub fn collected(&self, now: Instant) -> Collected {
        let windows = self.windows();
        let begun = windows.front().map_or(now, |window| window.begun);
        let mut collected = Collected {
            length: now.saturating_duration_since(begun),
            ..Collected::default()
        };
        for window in &*windows {
            for (key, count) in &window.flows {
                let sum = collected.flows.entry(*key).or_default();
                sum.requests += count.requests;
                sum.by_plugin += count.by_plugin;
            }
            for (key, count) in &window.reasons {
                *collected.reasons.entry(key.clone()).or_default() += count;
            }
        }
        collected
    }

    fn windows(&self) -> MutexGuard<'_, VecDeque<Window>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The count of a key; `None` when there is no room for another one.
fn place<K: Ord, C: Default>(counts: &mut BTreeMap<K, C>, key: K) -> Option<&mut C> {
    if counts.len() >= MOST && !counts.contains_key(&key) {
        return None;
    }
    Some(counts.entry(key).or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vitals::{TrafficSamples, Vitals};

    use portolan_core::decision::{Effects, RankedBy};
    use portolan_core::geo::Point;

    use std::sync::Arc;

    #[test]
    fn flows_of_five_minutes_are_added_up_and_then_forgotten() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let west = Vitals::in_region("westeurope");
        let samples = Arc::new(TrafficSamples::new(1));
        let (sampler, traffic) = (samples.sampler(0, start), Traffic::default());
        let london = Point::new(51.5, -0.1).ok();
        let by_plugin = RankedBy::Plugin {
            reason: 2,
            repaired: false,
            opinion: true,
            effects: Effects::default(),
        };
        for (second, by) in [(0, RankedBy::Policy), (40, by_plugin), (310, RankedBy::Policy)] {
            sampler.answered(at(second), &west, london, by);
            traffic.add(
                &samples.take(),
                |_, number| Some(("canary".into(), number.to_string())),
                at(second),
            );
            if second == 40 {
                let collected = traffic.collected(at(50));
                assert_eq!(collected.length, Duration::from_secs(50));
                let [((place, gateway), count)] = collected.flows.iter().collect::<Vec<_>>()[..] else {
                    panic!("{collected:?}")
                };
                assert_eq!((place.degrees(), *gateway), (Some((51.5, -0.1)), west.number));
                assert_eq!((count.requests, count.by_plugin), (2, 1));
                assert_eq!(collected.reasons[&(PluginName::new("canary"), "2".to_owned())], 1);
            }
        }
        let left: u64 = traffic.collected(at(311)).flows.values().map(|it| it.requests).sum();
        assert_eq!(left, 2, "that of the first window is forgotten");
    }

    #[test]
    fn there_is_an_end_to_what_one_window_holds() {
        let mut counts = BTreeMap::new();
        for key in 0..MOST {
            *place(&mut counts, key).expect("room") += 1;
        }
        assert!(place(&mut counts, MOST).is_none());
        assert_eq!(place(&mut counts, 0), Some(&mut 1));
    }
}
