//! What a replay found, as JSON has it.

use super::tally::{BadLine, Flow, Tally, entries};
use std::collections::BTreeMap;

/// What would move.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Report {
    /// Entries that were decided again.
    pub decided: u64,
    /// Those of them that would go elsewhere.
    pub moved: u64,
    /// Their share, 0 to 1.
    pub share: f64,
    /// By service.
    pub services: Vec<ServiceReport>,
    /// What moves, most first.
    pub moves: Vec<MoveReport>,
    /// Entries that were not decided again.
    pub not_decided: Vec<NotDecided>,
    /// How many lines were no entries.
    pub bad_lines: u64,
    /// The first of them.
    pub first_bad_lines: Vec<BadLine>,
    /// Entries whose client is in another country than the log says.
    pub relocated: u64,
    /// Entries for which the plugin failed, so that the policy `latency` decided.
    pub plugin_faults: u64,
    /// What this replay cannot know.
    pub notes: Vec<String>,
}

/// One service.
#[derive(Clone, Debug, serde::Serialize)]
pub struct ServiceReport {
    /// Its name; empty for what no route leads to.
    pub service: String,
    /// Entries that were decided again.
    pub decided: u64,
    /// Those of them that would go elsewhere.
    pub moved: u64,
    /// Estimated round trips of all of them to the regions they went to.
    pub before: RoundTrips,
    /// The same to the regions they would go to.
    pub after: RoundTrips,
}

/// Estimated round trips in milliseconds; none where no place is known.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct RoundTrips {
    /// Their mean.
    pub mean_ms: Option<f64>,
    /// What 99 of 100 do not exceed.
    pub p99_ms: Option<f64>,
}

/// What moves from one region to another.
#[derive(Clone, Debug, serde::Serialize)]
pub struct MoveReport {
    /// The service.
    pub service: String,
    /// The region, or why there was none.
    pub from: String,
    /// The region, or why there would be none.
    pub to: String,
    /// How many entries.
    pub entries: u64,
    /// Their share of the service, 0 to 1.
    pub share: f64,
    /// The mean of their estimated round trips before; none where a place is not known.
    pub before_ms: Option<f64>,
    /// The same after.
    pub after_ms: Option<f64>,
    /// By country, most first.
    pub countries: Vec<CountryReport>,
}

/// Entries from one country.
#[derive(Clone, Debug, serde::Serialize)]
pub struct CountryReport {
    /// Its two letters, or `unknown`.
    pub country: String,
    /// How many entries.
    pub entries: u64,
    /// The mean of their estimated round trips before.
    pub before_ms: Option<f64>,
    /// The same after.
    pub after_ms: Option<f64>,
}

/// Entries that were not decided again.
#[derive(Clone, Debug, serde::Serialize)]
pub struct NotDecided {
    /// Why.
    pub reason: String,
    /// How many.
    pub entries: u64,
}

impl Flow {
    fn means(self) -> (Option<f64>, Option<f64>) {
        let mean = |sum: u64| (self.estimated > 0).then(|| sum as f64 / self.estimated as f64 / 1e3);
        (mean(self.before), mean(self.after))
    }
}

/// A part of a whole, which may be nothing.
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

impl Report {
    pub(super) fn new(tally: Tally, notes: Vec<String>) -> Self {
        let mut services: Vec<_> = tally.services.iter().collect();
        services.sort_by(|a, b| b.1.decided.cmp(&a.1.decided).then(a.0.cmp(b.0)));
        let (decided, moved) = services
            .iter()
            .fold((0, 0), |sum, (_, it)| (sum.0 + it.decided, sum.1 + it.moved));
        let mut pairs: BTreeMap<_, (Flow, Vec<_>)> = BTreeMap::new();
        for (key, flow) in &tally.moves {
            let (sum, countries) = pairs.entry((&key.service, &key.from, &key.to)).or_default();
            sum.merge(*flow);
            countries.push((key.country, *flow));
        }
        let mut moves: Vec<_> = pairs
            .into_iter()
            .map(|((service, from, to), (sum, mut countries))| {
                countries.sort_by(|a, b| b.1.entries.cmp(&a.1.entries).then(a.0.cmp(&b.0)));
                let (before_ms, after_ms) = sum.means();
                let of_service = tally.services.get(service).map_or(0, |it| it.decided);
                MoveReport {
                    service: service.to_string(),
                    from: from.to_string(),
                    to: to.to_string(),
                    entries: entries(sum.entries),
                    share: share(sum.entries, of_service),
                    before_ms,
                    after_ms,
                    countries: countries
                        .into_iter()
                        .map(|(country, flow)| {
                            let (before_ms, after_ms) = flow.means();
                            CountryReport {
                                country: country.to_string(),
                                entries: entries(flow.entries),
                                before_ms,
                                after_ms,
                            }
                        })
                        .collect(),
                }
            })
            .collect();
        moves.sort_by_key(|it| std::cmp::Reverse(it.entries));
        Self {
            decided: entries(decided),
            moved: entries(moved),
            share: share(moved, decided),
            services: services
                .into_iter()
                .map(|(name, counts)| {
                    let round_trips = |it: &crate::rehearse::estimate::Distribution| RoundTrips {
                        mean_ms: it.mean(),
                        p99_ms: it.quantile(990),
                    };
                    ServiceReport {
                        service: name.to_string(),
                        decided: entries(counts.decided),
                        moved: entries(counts.moved),
                        before: round_trips(&counts.before),
                        after: round_trips(&counts.after),
                    }
                })
                .collect(),
            moves,
            not_decided: tally
                .skipped
                .iter()
                .map(|(skip, count)| NotDecided {
                    reason: skip.to_string(),
                    entries: entries(*count),
                })
                .collect(),
            bad_lines: tally.bad,
            first_bad_lines: tally.bad_lines,
            relocated: entries(tally.relocated),
            plugin_faults: entries(tally.fallbacks),
            notes,
        }
    }
}
