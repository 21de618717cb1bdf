//! The last hour.

use crate::control::history::{INTERVAL, Quantiles, RegionSample, Sample, ServiceSample};
use serde::{Deserialize, Serialize};
use std::time::SystemTime;

/// `GET /api/v1/history`: what came in each interval of the last hour. All lists have one entry for each interval; it is null where a
/// service or region was not there, and where nothing was measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HistoryView {
    /// How long an interval is, in seconds.
    pub interval_seconds: f64,
    /// The number of the last interval: what to ask for next is `since` this.
    pub latest: u64,
    /// The ends of the intervals in seconds since 1970, the earliest first.
    pub times: Vec<f64>,
    /// How long each was, in seconds.
    pub seconds: Vec<f64>,
    /// The services.
    pub services: Vec<ServiceHistory>,
}

/// The last hour of a service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServiceHistory {
    /// The service.
    pub service: String,
    /// Its requests, those that no region answered among them.
    pub requests: Vec<Option<u32>>,
    /// Those that failed, other than by their clients.
    pub errors: Vec<Option<u32>>,
    /// Further attempts after failed or slow ones.
    pub retries: Vec<Option<u32>>,
    /// Decisions of the built-in policy because the plugin failed.
    pub fallbacks: Vec<Option<u32>>,
    /// From requests to the ends of their responses.
    pub total_ms: Spread,
    /// From requests to the choice of their regions, the plugin included.
    pub decide_ms: Spread,
    /// Its regions.
    pub regions: Vec<RegionHistory>,
}

/// The last hour of a region of a service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RegionHistory {
    /// The region.
    pub region: String,
    /// Requests that it answered.
    pub requests: Vec<Option<u32>>,
    /// Those that failed, other than by their clients.
    pub errors: Vec<Option<u32>>,
    /// From the beginning of attempts to the heads of their responses.
    pub first_byte_ms: Spread,
    /// Its state at the end of each interval.
    pub states: Vec<Option<String>>,
}

/// Quantiles of durations in milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Half of them took no longer.
    pub p50: Vec<Option<f64>>,
    /// 95 in 100 took no longer.
    pub p95: Vec<Option<f64>>,
    /// 99 in 100 took no longer.
    pub p99: Vec<Option<f64>>,
}

impl Spread {
    fn push(&mut self, quantiles: Quantiles) {
        let [p50, p95, p99] = match quantiles {
            Some(seconds) => seconds.map(|seconds| Some(millis(seconds))),
            None => [None; 3],
        };
        self.p50.push(p50);
        self.p95.push(p95);
        self.p99.push(p99);
    }
}

impl HistoryView {
    /// Of samples, the earliest first. `since`: the number that was asked for, which stays the latest where there are none.
    pub(in crate::admin) fn of(samples: &[Sample], since: u64) -> Self {
        let mut view = Self {
            interval_seconds: INTERVAL.as_secs_f64(),
            latest: samples.last().map_or(since, |last| last.number),
            ..Self::default()
        };
        for sample in samples {
            let time = sample.time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            view.times.push(time.as_secs_f64());
            view.seconds.push(sample.length.as_secs_f64());
            view.add(sample);
        }
        view
    }

    fn add(&mut self, sample: &Sample) {
        let count = self.times.len();
        let mut regions = sample.regions.iter();
        for ((service, names), of_service) in sample.names.0.iter().zip(&sample.services) {
            let found = self.services.iter().position(|it| it.service == service.as_str());
            let place = found.unwrap_or_else(|| {
                self.services.push(ServiceHistory {
                    service: service.to_string(),
                    ..ServiceHistory::default()
                });
                self.services.len() - 1
            });
            let Some(history) = self.services.get_mut(place) else {
                continue;
            };
            history.fill(count - 1);
            history.push(of_service);
            for (region, sample) in names.iter().zip(regions.by_ref()) {
                let found = history.regions.iter().position(|it| it.region == region.as_str());
                let place = found.unwrap_or_else(|| {
                    history.regions.push(RegionHistory {
                        region: region.to_string(),
                        ..RegionHistory::default()
                    });
                    history.regions.len() - 1
                });
                if let Some(history) = history.regions.get_mut(place) {
                    history.fill(count - 1);
                    history.push(sample);
                }
            }
        }
        // Those that are not there any more.
        for service in &mut self.services {
            service.fill(count);
            service.regions.iter_mut().for_each(|region| region.fill(count));
        }
    }
}

impl ServiceHistory {
    fn push(&mut self, sample: &ServiceSample) {
        self.requests.push(Some(sample.requests));
        self.errors.push(Some(sample.errors));
        self.retries.push(Some(sample.retries));
        self.fallbacks.push(Some(sample.fallbacks));
        self.total_ms.push(sample.total);
        self.decide_ms.push(sample.decide);
    }

    /// Adds empty entries until there are so many.
    fn fill(&mut self, count: usize) {
        while self.requests.len() < count {
            for counts in [
                &mut self.requests,
                &mut self.errors,
                &mut self.retries,
                &mut self.fallbacks,
            ] {
                counts.push(None);
            }
            self.total_ms.push(None);
            self.decide_ms.push(None);
        }
    }
}

impl RegionHistory {
    fn push(&mut self, sample: &RegionSample) {
        self.requests.push(Some(sample.requests));
        self.errors.push(Some(sample.errors));
        self.first_byte_ms.push(sample.first_byte);
        self.states.push(Some(sample.state.as_str().into()));
    }

    /// Adds empty entries until there are so many.
    fn fill(&mut self, count: usize) {
        while self.requests.len() < count {
            self.requests.push(None);
            self.errors.push(None);
            self.first_byte_ms.push(None);
            self.states.push(None);
        }
    }
}

/// Milliseconds to three digits after the point: no quantile of buckets is better.
fn millis(seconds: f32) -> f64 {
    (f64::from(seconds) * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::history::Names;
    use std::sync::Arc;
    use std::time::Duration;

    #[test]
    fn services_and_regions_come_and_go() {
        let sample = |number: u64, regions: &[&str]| Sample {
            number,
            time: SystemTime::UNIX_EPOCH + Duration::from_secs(10 * number),
            length: INTERVAL,
            names: Arc::new(Names(vec![(
                "shop".into(),
                regions.iter().map(|region| (*region).into()).collect(),
            )])),
            services: vec![ServiceSample {
                requests: 4,
                decide: Some([1e-6, 2e-6, 3.25e-6]),
                ..ServiceSample::default()
            }],
            regions: vec![
                RegionSample {
                    requests: 2,
                    ..RegionSample::default()
                };
                regions.len()
            ],
        };
        let samples = [sample(5, &["a"]), sample(6, &["b", "a"]), sample(7, &["b"])];
        let view = HistoryView::of(&samples, 4);
        assert_eq!((view.latest, view.times.as_slice()), (7, &[50.0, 60.0, 70.0][..]));
        let [shop] = view.services.as_slice() else {
            panic!("{view:?}")
        };
        assert_eq!(shop.requests, [Some(4); 3]);
        assert_eq!(shop.decide_ms.p99, [Some(0.003); 3]);
        assert_eq!(shop.total_ms.p50, [None; 3]);
        let of = |name: &str| shop.regions.iter().find(|it| it.region == name).expect("known");
        assert_eq!(of("a").requests, [Some(2), Some(2), None]);
        assert_eq!(of("b").requests, [None, Some(2), Some(2)]);
        assert_eq!(of("b").states[1].as_deref(), Some("unknown"));
        assert_eq!(HistoryView::of(&[], 7).latest, 7);
    }
}
