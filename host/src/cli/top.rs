//! `portolan top`.

mod instances;

use super::admin_client::{AdminClient, parse};
use super::output::{self, Colour, coloured};
use super::remote;
use crate::admin::view::attention::{Attention, AttentionItem};
use crate::admin::view::instances::Instances;
use crate::admin::view::regions::{Region, Regions, ServiceRegions, Times};
use crate::control::history;
use crate::vitals::RequestOutcome;
use http::Method;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::io::{self, IsTerminal};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

/// How long counters are compared by default.
const INTERVAL: Duration = Duration::from_secs(2);

/// What needs attention is shown up to so many items.
const SHOWN: usize = 8;

/// Which instance, how often, and how to print.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The time between two readings, whose difference is shown; default: 2s
    #[arg(long, value_name = "TIME", value_parser = interval)]
    interval: Option<Duration>,
    /// Show one interval and end; so it is without a terminal, unless --interval is given
    #[arg(long)]
    once: bool,
    /// Print JSON, an interval on each line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    instance: AdminClient,
}

fn interval(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    match time >= Duration::from_millis(100) {
        true => Ok(time),
        false => Err("it has to be at least 100ms".to_owned()),
    }
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let is_live = io::stdout().is_terminal();
    let goes_on = !arguments.once && (is_live || arguments.interval.is_some());
    let pause = arguments.interval.unwrap_or(INTERVAL);
    let mut before = Reading::of(&arguments.instance)?;
    loop {
        thread::sleep(pause);
        let now = Reading::of(&arguments.instance)?;
        let attention = arguments.instance.ask(Method::GET, "/api/v1/attention")?;
        let mut top = Top::of(&before, &now, parse(&attention)?);
        // An instance of an earlier version has no such list.
        if let Ok(answer) = arguments.instance.ask(Method::GET, "/api/v1/instances") {
            top.instances = Some(parse(&answer)?);
        }
        let text = match arguments.json {
            true => format!("{}\n", serde_json::to_string(&top)?),
            false => top.text(),
        };
        match is_live && goes_on && !arguments.json {
            // From the top left; what is too long is cut; what was there before is erased.
            true => output::print(&format!(
                "\x1b[?7l\x1b[H{}\x1b[J\x1b[?7h",
                text.replace('\n', "\x1b[K\n")
            ))?,
            false => output::print(&text)?,
        }
        if !goes_on {
            return Ok(());
        }
        before = now;
    }
}

/// The counters of an instance at one moment.
struct Reading {
    at: Instant,
    regions: Regions,
}

impl Reading {
    fn of(instance: &AdminClient) -> anyhow::Result<Self> {
        let answer = instance.ask(Method::GET, "/api/v1/regions")?;
        Ok(Self {
            at: Instant::now(),
            regions: parse(&answer)?,
        })
    }
}

/// What an instance did in one interval.
#[derive(Debug, Serialize)]
struct Top {
    /// When it ended, as RFC 3339.
    time: String,
    generation: u64,
    requests_per_second: f64,
    /// Of all that ended; `None` without any.
    failed_percent: Option<f64>,
    attention: Vec<AttentionItem>,
    regions: Vec<Row>,
    /// This instance and its peers.
    #[serde(skip_serializing_if = "Option::is_none")]
    instances: Option<Instances>,
}

/// A region of a service.
#[derive(Debug, Serialize)]
struct Row {
    service: String,
    region: String,
    state: String,
    share_percent: f64,
    requests_per_second: f64,
    failed_percent: Option<f64>,
    /// To the heads of its responses, in milliseconds.
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
    in_flight: u32,
    /// Why it is not healthy.
    why: String,
}

/// Requests that ended, and those of them that failed.
#[derive(Clone, Copy, Default)]
struct Ended {
    all: u64,
    failed: u64,
}

impl Ended {
    fn of(counts: &BTreeMap<String, u64>) -> Self {
        let errors = RequestOutcome::ALL.into_iter().filter(|it| history::is_error(*it));
        let failed = errors.filter_map(|outcome| counts.get(outcome.as_str()));
        Self {
            all: counts.values().sum(),
            failed: failed.sum(),
        }
    }

    /// Those since an earlier reading; all when the counters began anew.
    fn since(self, before: Self) -> Self {
        match before.all > self.all {
            true => self,
            false => Self {
                all: self.all - before.all,
                failed: self.failed.saturating_sub(before.failed),
            },
        }
    }

    fn percent(self) -> Option<f64> {
        (self.all > 0).then(|| 100.0 * self.failed as f64 / self.all as f64)
    }
}

impl Top {
    fn of(before: &Reading, now: &Reading, attention: Attention) -> Self {
        let seconds = now.at.saturating_duration_since(before.at).as_secs_f64().max(0.001);
        let known: HashMap<(&str, &str), &Region> = all(&before.regions)
            .map(|(service, region)| ((service.service.as_str(), region.region.as_str()), region))
            .collect();
        let unanswered = |regions: &Regions, service: &str| {
            let found = regions.services.iter().find(|it| it.service == service);
            found.map(|it| Ended::of(&it.unanswered)).unwrap_or_default()
        };
        let mut total = Ended::default();
        let mut add = |ended: Ended| {
            total.all += ended.all;
            total.failed += ended.failed;
        };
        for service in &now.regions.services {
            let before = unanswered(&before.regions, &service.service);
            add(Ended::of(&service.unanswered).since(before));
        }
        let rows = all(&now.regions).map(|(service, region)| {
            let before = known.get(&(service.service.as_str(), region.region.as_str()));
            let ended = Ended::of(&region.answered);
            let ended = ended.since(before.map(|it| Ended::of(&it.answered)).unwrap_or_default());
            add(ended);
            let at = |share| quantile(&region.first_byte, before.map(|it| &it.first_byte), share).map(|it| 1e3 * it);
            Row {
                service: service.service.clone(),
                region: region.region.clone(),
                state: region.state.clone(),
                share_percent: if region.excluded.is_some() {
                    0.0
                } else {
                    100.0 * region.share
                },
                requests_per_second: ended.all as f64 / seconds,
                failed_percent: ended.percent(),
                p50_ms: at(0.5),
                p99_ms: at(0.99),
                in_flight: region.in_flight,
                why: remote::why(region),
            }
        });
        let rows = rows.collect();
        Self {
            time: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            generation: now.regions.generation,
            requests_per_second: total.all as f64 / seconds,
            failed_percent: total.percent(),
            attention: attention.items,
            regions: rows,
            instances: None,
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        let failed = self.failed_percent.map_or("-".to_owned(), |it| format!("{it:.1} %"));
        let attention = match self.attention.len() {
            0 => coloured(Colour::Green, "nothing needs attention"),
            1 => coloured(Colour::Yellow, "1 needs attention"),
            more => coloured(Colour::Yellow, &format!("{more} need attention")),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "portolan  {}  generation {}  {:.1} requests/s  {failed} failed  {attention}",
            self.time, self.generation, self.requests_per_second
        );
        text.push_str(&remote::attention(&self.attention, SHOWN));
        if let Some(instances) = &self.instances {
            text.push_str(&instances::text(instances));
        }
        let widest = |title: &str, of: fn(&Row) -> &String| {
            let widths = self.regions.iter().map(|row| of(row).chars().count());
            widths.max().unwrap_or_default().max(title.len())
        };
        let (service, region) = (
            widest("SERVICE", |row| &row.service),
            widest("REGION", |row| &row.region),
        );
        let _ = writeln!(
            text,
            "\n{:service$}  {:region$}  {:<9} {:>6} {:>9} {:>8} {:>9} {:>9} {:>9}  WHY",
            "SERVICE", "REGION", "STATE", "SHARE", "REQ/S", "FAILED", "P50", "P99", "IN FLIGHT"
        );
        for row in &self.regions {
            let state = coloured(remote::colour(&row.state), &format!("{:<9}", row.state));
            let time = |millis: Option<f64>| millis.map_or("-".to_owned(), |millis| format!("{millis:.1} ms"));
            let failed = row.failed_percent.map_or("-".to_owned(), |it| format!("{it:.1} %"));
            let _ = writeln!(
                text,
                "{:service$}  {:region$}  {state} {:>4.0} % {:>9.1} {failed:>8} {:>9} {:>9} {:>9}  {}",
                row.service,
                row.region,
                row.share_percent,
                row.requests_per_second,
                time(row.p50_ms),
                time(row.p99_ms),
                row.in_flight,
                row.why
            );
        }
        text
    }
}

fn all(regions: &Regions) -> impl Iterator<Item = (&ServiceRegions, &Region)> {
    let services = regions.services.iter();
    services.flat_map(|service| service.regions.iter().map(move |region| (service, region)))
}

/// The duration in seconds that this share of those between two readings did not exceed. `None` without any.
fn quantile(now: &Times, before: Option<&Times>, share: f64) -> Option<f64> {
    // Counters that began anew.
    let before = before.filter(|before| before.count <= now.count && before.buckets.len() == now.buckets.len());
    let earlier = |place: usize| {
        before
            .and_then(|it| it.buckets.get(place))
            .map_or(0, |(_, count)| *count)
    };
    let count = now.count - before.map_or(0, |it| it.count);
    if count == 0 {
        return None;
    }
    let wanted = share * count as f64;
    let (mut below, mut lower) = (0.0, 0.0);
    for (place, (bound, total)) in now.buckets.iter().enumerate() {
        let within = total.saturating_sub(earlier(place)) as f64;
        if within >= wanted {
            return Some(lower + (bound - lower) * (wanted - below) / (within - below).max(1.0));
        }
        (below, lower) = (within, *bound);
    }
    Some(lower)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(counts: &[u64]) -> Times {
        let bounds = [0.001, 0.002, 0.005];
        let so_far = counts.iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        });
        Times {
            count: counts.iter().sum(),
            sum_seconds: 0.0,
            buckets: bounds.into_iter().zip(so_far).collect(),
        }
    }

    #[test]
    fn quantiles_are_of_what_came_between_two_readings() {
        let (before, now) = (times(&[100, 0, 0]), times(&[100, 90, 10]));
        let at = |share| quantile(&now, Some(&before), share).expect("some");
        assert!((at(0.5) - 0.001_555).abs() < 1e-5, "{}", at(0.5));
        assert!((0.002..=0.005).contains(&at(0.99)), "{}", at(0.99));
        assert_eq!(quantile(&now, Some(&now), 0.5), None);
        assert!(
            quantile(&before, Some(&now), 0.5).is_some_and(|it| it <= 0.001),
            "began anew"
        );
    }

    #[test]
    fn failures_are_counted_since_the_reading_before() {
        let counts = |pairs: &[(&str, u64)]| {
            Ended::of(&pairs.iter().map(|(word, count)| ((*word).to_owned(), *count)).collect())
        };
        let (before, now) = (
            counts(&[("2xx", 5), ("5xx", 1)]),
            counts(&[("2xx", 8), ("5xx", 2), ("client_gone", 1)]),
        );
        let ended = now.since(before);
        assert_eq!((ended.all, ended.failed, ended.percent()), (5, 1, Some(20.0)));
        assert_eq!(before.since(now).all, 6, "counters that began anew");
        assert_eq!(now.since(now).percent(), None);
    }
}
