//! Why a request went, or would go, to another region than this one.

use super::candidates::{Candidate, Tried};
use serde::{Deserialize, Serialize};

/// The answer to "why not this region?".
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WhyNot {
    /// The region that was asked about.
    pub region: String,
    /// A word for why: `chosen`, `failed`, `residency`, `draining`, `drill`, `unhealthy`, `full`, `slow_start`, `last_resort`, `session`,
    /// `plugin`, `priority`, `weight`, `learned`, `displaced`, `farther` or `order`.
    pub because: String,
    /// One sentence.
    pub answer: String,
    /// What it rests on.
    pub facts: Vec<String>,
}

/// A decision, as far as the question needs it.
pub(super) struct Circumstances<'a> {
    pub(super) service: &'a str,
    pub(super) policy: &'a str,
    pub(super) by: &'a str,
    /// The line of reasons.
    pub(super) reason: &'a str,
    pub(super) country: Option<&'a str>,
    pub(super) canary: bool,
    pub(super) drill: bool,
    /// The region that answered, of a request that was.
    pub(super) answered_by: Option<&'a str>,
    pub(super) attempts: &'a [Tried],
    pub(super) regions: &'a [Candidate],
}

impl WhyNot {
    /// The answer for a region of the decision's service.
    ///
    /// # Errors
    /// The service's regions, when this is none of them.
    pub(super) fn of(region: &str, circumstances: &Circumstances<'_>) -> Result<Self, Vec<String>> {
        let regions = circumstances.regions;
        let Some(wanted) = regions.iter().find(|it| it.region == region) else {
            return Err(regions.iter().map(|it| it.region.clone()).collect());
        };
        let first = regions.iter().find(|it| it.rank == Some(1));
        let answered = circumstances.answered_by;
        let answered = answered.and_then(|name| regions.iter().find(|it| it.region == name));
        let chosen = answered.or(first);
        let (because, answer) = circumstances.answer(wanted, chosen);
        Ok(Self {
            region: region.to_owned(),
            because: because.to_owned(),
            answer,
            facts: circumstances.facts(wanted, chosen),
        })
    }
}

impl Circumstances<'_> {
    fn answer(&self, wanted: &Candidate, chosen: Option<&Candidate>) -> (&'static str, String) {
        let name = &wanted.region;
        if self.answered_by == Some(name.as_str()) {
            return ("chosen", format!("{name} answered this request."));
        }
        if let Some(tried) = self.attempts.iter().find(|tried| tried.region == *name) {
            return (
                "failed",
                format!("{name} was tried, and that attempt ended with {}.", tried.outcome),
            );
        }
        if let Some(why) = wanted.excluded.as_deref() {
            return self.excluded(wanted, why);
        }
        if let Some(later) = wanted.later.as_deref().filter(|_| wanted.rank != Some(1)) {
            return match later {
                "slow_start" => {
                    let share = wanted.share.unwrap_or_default() * 100.0;
                    let text = format!(
                        "{name} is in slow start with {share:.0} % of its usual share, and this request was not among it."
                    );
                    ("slow_start", text)
                }
                _ => {
                    let text = format!(
                        "{name} has been unhealthy{}, so that it is tried after all others.",
                        since(wanted)
                    );
                    ("last_resort", text)
                }
            };
        }
        let Some(chosen) = chosen else {
            return ("order", format!("No region may answer, {name} included."));
        };
        if chosen.region == *name {
            return ("chosen", format!("{name} is the region that is tried first."));
        }
        self.behind(wanted, chosen)
    }

    /// Why a region may not answer.
    fn excluded(&self, wanted: &Candidate, why: &str) -> (&'static str, String) {
        let name = &wanted.region;
        match why {
            "residency" => {
                let allowed = self
                    .regions
                    .iter()
                    .filter(|it| it.excluded.as_deref() != Some("residency"));
                let allowed: Vec<_> = allowed.map(|it| it.region.as_str()).collect();
                let text = format!(
                    "Residency of service {} keeps clients from {} away from {name}; they may be answered by {}.",
                    self.service,
                    self.country.unwrap_or("an unknown country"),
                    if allowed.is_empty() {
                        "no region".to_owned()
                    } else {
                        allowed.join(", ")
                    }
                );
                ("residency", text)
            }
            "draining" => {
                let text = match &wanted.drained {
                    Some(by) => format!(
                        "{name} has been drained since {} by {}{}.",
                        by.since,
                        by.from,
                        if by.reason.is_empty() {
                            String::new()
                        } else {
                            format!(" ({})", by.reason)
                        }
                    ),
                    None => format!("{name} has been drained{}.", since(wanted)),
                };
                ("draining", text)
            }
            "full" => {
                let limit = wanted.max_requests.map_or("its limit".to_owned(), |limit| {
                    format!("its limit of {limit} concurrent requests from this instance")
                });
                ("full", format!("{name} was at {limit}."))
            }
            _ if self.drill && wanted.state != "unhealthy" => (
                "drill",
                format!(
                    "A drill has lost {name} to this client; for all others it is {}.",
                    wanted.state
                ),
            ),
            _ => ("unhealthy", format!("{name} has been unhealthy{}.", since(wanted))),
        }
    }

    /// Why a region that may answer comes after another one.
    fn behind(&self, wanted: &Candidate, chosen: &Candidate) -> (&'static str, String) {
        let (name, best) = (&wanted.region, &chosen.region);
        if self.reason.contains("; session=kept") {
            return (
                "session",
                format!("The request's session belongs to {best}, not to {name}."),
            );
        }
        if self.by == "plugin" && !self.reason.contains("opinion=none") {
            let plugin = self.policy.split_whitespace().nth(1).unwrap_or("the plugin");
            let version = if self.canary {
                " (the version that is being rolled out)"
            } else {
                ""
            };
            let said = self
                .reason
                .split("because=")
                .nth(1)
                .and_then(|rest| rest.split(';').next());
            let said = said
                .filter(|said| *said != "none")
                .map_or(String::new(), |said| format!(", because of {said:?}"));
            let text = match wanted.rank {
                Some(rank) => format!("Plugin {plugin}{version} put {name} in place {rank}, behind {best}{said}."),
                None => format!("Plugin {plugin}{version} left {name} out and chose {best}{said}."),
            };
            return ("plugin", text);
        }
        if wanted.priority > chosen.priority {
            let text = format!(
                "{name} has failover level {}, and {best} with level {} may answer.",
                wanted.priority, chosen.priority
            );
            return ("priority", text);
        }
        if self.policy.starts_with("weighted") {
            let weights = wanted.weight.zip(chosen.weight);
            let weights = weights.map_or(String::new(), |(own, other)| format!(" (weights {own} and {other})"));
            return ("weight", format!("Chance chose {best}, not {name}{weights}."));
        }
        if matches!(self.by, "learned" | "explored") {
            let text = match self.by {
                "learned" => {
                    format!("Round trips that connections of this client's network measured put {best} before {name}.")
                }
                _ => format!("{best} was tried to learn its round trip."),
            };
            return ("learned", text);
        }
        let from_here = self.policy.ends_with("from here");
        let compared = match from_here {
            true => wanted
                .from_here_ms
                .zip(chosen.from_here_ms)
                .map(|(own, other)| (own - other, "ms farther from here")),
            false => wanted
                .distance_km
                .zip(chosen.distance_km)
                .map(|(own, other)| (own - other, "km farther")),
        };
        match compared {
            Some((more, unit)) if more > 0.0 => {
                let trips = wanted.round_trip_ms.zip(chosen.round_trip_ms).filter(|_| !from_here);
                let trips = trips.map_or(String::new(), |(own, other)| {
                    format!(", with an estimated round trip of {own:.0} ms instead of {other:.0} ms")
                });
                ("farther", format!("{name} is {more:.0} {unit} than {best}{trips}."))
            }
            Some(_) if by_latency(self.policy, wanted, chosen) => {
                let trips = wanted.round_trip_ms.zip(chosen.round_trip_ms).unwrap_or_default();
                let text = format!(
                    "{name} is nearer than {best}, but its estimated round trip is longer: {:.1} ms instead of {:.1} ms.",
                    trips.0, trips.1
                );
                ("farther", text)
            }
            Some((more, _)) if more < 0.0 => {
                let text = format!(
                    "{name} is nearer, but {best} had more room: requests that a full or unhealthy region cannot take are spread by headroom."
                );
                ("displaced", text)
            }
            _ => (
                "order",
                format!("{best} comes before {name} in the order of the policy {}.", self.policy),
            ),
        }
    }

    fn facts(&self, wanted: &Candidate, chosen: Option<&Candidate>) -> Vec<String> {
        let mut facts = vec![described(wanted)];
        let chosen = chosen.filter(|chosen| chosen.region != wanted.region);
        facts.extend(chosen.map(described));
        facts.push(format!(
            "service {} ({}), decided by {}",
            self.service, self.policy, self.by
        ));
        facts.push(format!("reason: {}", self.reason));
        facts
    }
}

/// Whether a policy that counts estimated round trips puts the chosen region first although it is farther.
fn by_latency(policy: &str, wanted: &Candidate, chosen: &Candidate) -> bool {
    let trips = wanted.round_trip_ms.zip(chosen.round_trip_ms);
    !policy.starts_with("distance") && trips.is_some_and(|(own, other)| own > other)
}

/// A region in one line.
fn described(region: &Candidate) -> String {
    let mut parts = vec![match region.rank {
        Some(rank) => format!("{}: place {rank}", region.region),
        None => format!("{}: not in the order", region.region),
    }];
    parts.push(region.state.clone());
    parts.extend(region.excluded.iter().map(|why| format!("excluded: {why}")));
    parts.extend(region.distance_km.map(|km| format!("{km:.0} km")));
    parts.extend(
        region
            .round_trip_ms
            .map(|ms| format!("estimated round trip {ms:.0} ms")),
    );
    parts.extend(
        region
            .learned
            .as_ref()
            .map(|it| format!("measured {:.0} ms", it.round_trip_ms)),
    );
    parts.push(format!("failover level {}", region.priority));
    parts.join(", ")
}

/// How long a region has been in its state, and why, as it goes on in a sentence.
fn since(region: &Candidate) -> String {
    let Some(why) = &region.why else { return String::new() };
    let ago = humantime::format_duration(std::time::Duration::from_secs(why.for_seconds.max(0.0) as u64));
    format!(" for {ago} ({})", why.detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::view::Ordered;
    use crate::admin::view::regions::Why;
    use serde_json::json;

    /// A region as JSON that only says what matters.
    fn region(name: &str, rank: Option<usize>, km: f64, more: serde_json::Value) -> Candidate {
        let mut value = json!({ "region": name, "rank": rank, "excluded": null, "state": "healthy", "distance_km": km,
                                "round_trip_ms": km / 50.0, "priority": 0 });
        let more = more.as_object().expect("an object").clone();
        value.as_object_mut().expect("an object").extend(more);
        serde_json::from_value(value).expect("a region")
    }

    fn asked(policy: &str, by: &str, reason: &str, wanted: Candidate) -> WhyNot {
        let name = wanted.region.clone();
        let regions = [region("westeurope", Some(1), 400.0, json!({})), wanted];
        let circumstances = Circumstances {
            service: "shop",
            policy,
            by,
            reason,
            country: Some("GB"),
            canary: true,
            drill: false,
            answered_by: None,
            attempts: &[],
            regions: &regions,
        };
        WhyNot::of(&name, &circumstances).expect("a region of it")
    }

    #[test]
    fn every_reason_is_one_sentence() {
        let east = |more| region("eastus2", Some(2), 5900.0, more);
        let out = |why: &str, more: serde_json::Value| {
            let mut region = region("eastus2", None, 5900.0, more);
            region.excluded = Some(why.to_owned());
            region
        };
        let why: Why = serde_json::from_value(
            json!({ "cause": "probes_failed", "detail": "2 probes failed", "since": 0.0, "for_seconds": 12.4,
            "ejected_until": null, "ejected_for_seconds": null }),
        )
        .expect("why");
        let mut drained = out("draining", json!({}));
        drained.drained = Some(Ordered {
            since: "2026-11-28T18:00:00Z".into(),
            from: "127.0.0.1 (ops)".into(),
            reason: "upgrade".into(),
        });
        let mut ill = out("unhealthy", json!({ "state": "unhealthy" }));
        ill.why = Some(why);
        for (policy, by, reason, wanted, because, answer) in [
            (
                "latency",
                "policy",
                "latency",
                out("residency", json!({})),
                "residency",
                "Residency of service shop keeps clients from GB away from eastus2; they may be answered by westeurope.",
            ),
            (
                "latency",
                "policy",
                "latency",
                drained,
                "draining",
                "eastus2 has been drained since 2026-11-28T18:00:00Z by 127.0.0.1 (ops) (upgrade).",
            ),
            (
                "latency",
                "policy",
                "latency",
                ill,
                "unhealthy",
                "eastus2 has been unhealthy for 12s (2 probes failed).",
            ),
            (
                "latency",
                "policy",
                "latency",
                out("full", json!({ "max_requests": 100 })),
                "full",
                "eastus2 was at its limit of 100 concurrent requests from this instance.",
            ),
            (
                "latency",
                "policy",
                "latency",
                east(json!({ "later": "slow_start", "share": 0.25 })),
                "slow_start",
                "eastus2 is in slow start with 25 % of its usual share, and this request was not among it.",
            ),
            (
                "latency",
                "policy",
                "latency; session=kept",
                east(json!({})),
                "session",
                "The request's session belongs to westeurope, not to eastus2.",
            ),
            (
                "plugin canary",
                "plugin",
                "plugin; because=percent; client=GB",
                east(json!({})),
                "plugin",
                "Plugin canary (the version that is being rolled out) put eastus2 in place 2, behind westeurope, because of \"percent\".",
            ),
            (
                "priority",
                "policy",
                "priority",
                east(json!({ "priority": 1 })),
                "priority",
                "eastus2 has failover level 1, and westeurope with level 0 may answer.",
            ),
            (
                "weighted",
                "policy",
                "weighted",
                east(json!({})),
                "weight",
                "Chance chose westeurope, not eastus2.",
            ),
            (
                "latency",
                "policy",
                "latency",
                east(json!({})),
                "farther",
                "eastus2 is 5500 km farther than westeurope, with an estimated round trip of 118 ms instead of 8 ms.",
            ),
        ] {
            let told = asked(policy, by, reason, wanted);
            assert_eq!((told.because.as_str(), told.answer.as_str()), (because, answer));
            assert!(told.facts.iter().any(|fact| fact.starts_with("eastus2: ")), "{told:?}");
        }
        let nearer = asked(
            "latency",
            "policy",
            "latency",
            region("eastus2", Some(2), 100.0, json!({})),
        );
        assert_eq!(nearer.because, "displaced", "{nearer:?}");
    }

    #[test]
    fn a_region_that_was_tried_or_is_none_of_them() {
        let regions = [
            region("westeurope", Some(1), 400.0, json!({})),
            region("eastus2", Some(2), 5900.0, json!({})),
        ];
        let attempts = [Tried {
            region: "westeurope".into(),
            outcome: "connect_failed".into(),
        }];
        let circumstances = Circumstances {
            service: "shop",
            policy: "latency",
            by: "policy",
            reason: "latency",
            country: None,
            canary: false,
            drill: false,
            answered_by: Some("eastus2"),
            attempts: &attempts,
            regions: &regions,
        };
        let told = WhyNot::of("westeurope", &circumstances).expect("one of them");
        assert_eq!(
            told.answer,
            "westeurope was tried, and that attempt ended with connect_failed."
        );
        assert_eq!(
            WhyNot::of("eastus2", &circumstances).expect("one of them").because,
            "chosen"
        );
        assert_eq!(
            WhyNot::of("atlantis", &circumstances),
            Err(vec!["westeurope".to_owned(), "eastus2".to_owned()])
        );
    }
}
