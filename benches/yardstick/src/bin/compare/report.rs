//! What was measured, as a table and as JSON, and beside what was measured before.

use crate::load::{Measured, Scenario};
use crate::machine::Machine;
use anyhow::{Context, Result};
use portolan_yardstick::stats::{Verdict, interval, judge, median};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;

/// The contender that the others are compared with.
pub(crate) const REFERENCE: &str = "portolan";

/// The other proxy that everybody knows.
const NGINX: &str = "nginx";

/// What one contender did in one round. Round 0 warms up: of its figures only memory counts, since what was used once is not returned.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Sample {
    round: u32,
    contender: String,
    #[serde(flatten)]
    measured: Measured,
}

impl Sample {
    pub(crate) fn new(round: u32, contender: &str, measured: Measured) -> Self {
        Self {
            round,
            contender: contender.to_owned(),
            measured,
        }
    }
}

/// Everything.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) rounds: u32,
    seconds: u64,
    connections: u16,
    pub(crate) scenarios: Vec<Outcome>,
}

/// What came of one scenario.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) scenario: String,
    /// Requests per second, where they are sent at a constant rate. Ratios are of the 99th percentile of latency then, and of CPU per request
    /// otherwise.
    pace: Option<f64>,
    pub(crate) summary: Vec<Summary>,
    samples: Vec<Sample>,
}

/// One contender over all rounds. Times are medians in microseconds.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Summary {
    pub(crate) contender: String,
    cpu_us: f64,
    cpu_us_min: f64,
    cpu_us_max: f64,
    rate: f64,
    p50_us: f64,
    p99_us: f64,
    p999_us: Option<f64>,
    /// Bytes of memory for each idle connection, where there are some.
    idle_bytes: Option<f64>,
    /// To nginx, when it is compared.
    pub(crate) to_nginx: Option<Ratio>,
    /// Median latency to that of nginx, where requests are sent at a constant rate.
    p50_to_nginx: Option<Ratio>,
    /// To [`REFERENCE`].
    to_portolan: Ratio,
    /// The last ratio in words.
    verdict: String,
}

/// A median of the ratios of all rounds, and its interval.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Ratio {
    pub(crate) median: f64,
    pub(crate) interval: Option<(f64, f64)>,
}

impl Ratio {
    fn of(ratios: &[f64]) -> Self {
        Self {
            median: median(ratios),
            interval: interval(ratios),
        }
    }

    fn text(self) -> String {
        match self.interval {
            Some((low, high)) => format!("{:.3} [{low:.3}, {high:.3}]", self.median),
            None => format!("{:.3}", self.median),
        }
    }
}

impl Outcome {
    /// Makes it of all samples. `resolution` is the difference that matters (0.02: 2 %).
    fn new(scenario: &Scenario, all: Vec<Sample>, pace: f64, resolution: f64) -> Self {
        let idle = |name: &str| {
            let of = all.iter().filter(|sample| sample.contender == name);
            of.filter_map(|it| it.measured.idle_bytes).reduce(f64::max)
        };
        let samples: Vec<&Sample> = all.iter().filter(|sample| sample.round > 0).collect();
        let judged: Figure = match scenario.is_paced() {
            true => |measured| measured.p99_us,
            false => |measured| measured.cpu_us,
        };
        let of = |name: &str| -> Vec<&Sample> { samples.iter().copied().filter(|it| it.contender == name).collect() };
        let mut names: Vec<&str> = samples.iter().map(|sample| sample.contender.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let mut summary: Vec<Summary> = names
            .iter()
            .map(|name| {
                let own = of(name);
                let to = |other: &str, figure: Figure| ratios(&own, &of(other), figure);
                let figures = |figure: Figure| own.iter().map(|it| figure(&it.measured)).collect::<Vec<_>>();
                let (cpu, p999) = (figures(|it| it.cpu_us), figures(|it| it.p999_us.unwrap_or(f64::NAN)));
                let (to_nginx, to_portolan) = (to(NGINX, judged), to(REFERENCE, judged));
                let p50_to_nginx = to(NGINX, |it| it.p50_us);
                Summary {
                    contender: (*name).to_owned(),
                    cpu_us: median(&cpu),
                    cpu_us_min: cpu.iter().copied().fold(f64::INFINITY, f64::min),
                    cpu_us_max: cpu.iter().copied().fold(0.0, f64::max),
                    rate: median(&figures(|it| it.rate)),
                    p50_us: median(&figures(|it| it.p50_us)),
                    p99_us: median(&figures(|it| it.p99_us)),
                    p999_us: Some(median(&p999)).filter(|it| it.is_finite()),
                    idle_bytes: idle(name),
                    to_nginx: (!to_nginx.is_empty()).then(|| Ratio::of(&to_nginx)),
                    p50_to_nginx: (scenario.is_paced() && !p50_to_nginx.is_empty()).then(|| Ratio::of(&p50_to_nginx)),
                    verdict: verdict(&to_portolan, resolution),
                    to_portolan: Ratio::of(&to_portolan),
                }
            })
            .collect();
        summary.sort_by(|one, other| match scenario.is_paced() {
            true => one.p99_us.total_cmp(&other.p99_us),
            false => one.cpu_us.total_cmp(&other.cpu_us),
        });
        Self {
            scenario: scenario.name.to_owned(),
            pace: scenario.is_paced().then_some(pace),
            summary,
            samples: all,
        }
    }

    /// The figure of a contender, in words.
    pub(crate) fn figure(&self, summary: &Summary) -> String {
        match self.pace {
            Some(_) => format!("p99 {:.2} ms", summary.p99_us / 1e3),
            None => format!("{:.1} µs CPU", summary.cpu_us),
        }
    }

    fn print_cpu(&self) {
        println!(
            "{:<18} {:>8} {:>8} {:>8} {:>10} {:>9}  {:<22} {:<22}",
            "contender", "CPU", "min", "max", "requests/s", "p99 ms", "to nginx", "to portolan"
        );
        for it in &self.summary {
            println!(
                "{:<18} {:>8.2} {:>8.2} {:>8.2} {:>10.0} {:>9.2}  {:<22} {:<22}",
                it.contender,
                it.cpu_us,
                it.cpu_us_min,
                it.cpu_us_max,
                it.rate,
                it.p99_us / 1e3,
                it.to_nginx.map(Ratio::text).unwrap_or_default(),
                it.to_portolan.text()
            );
        }
        for it in &self.summary {
            if let Some(bytes) = it.idle_bytes {
                println!(
                    "  {}: {bytes:.0} bytes of memory for each idle connection",
                    it.contender
                );
            }
        }
    }

    fn print_latency(&self) {
        println!(
            "{:<18} {:>8} {:>8} {:>9} {:>8}  {:<22} {:<22}",
            "contender", "p50 ms", "p99 ms", "p99.9 ms", "CPU", "p50 to nginx", "p99 to nginx"
        );
        let text = |ratio: Option<Ratio>| ratio.map(Ratio::text).unwrap_or_default();
        for it in &self.summary {
            println!(
                "{:<18} {:>8.3} {:>8.3} {:>9.3} {:>8.2}  {:<22} {:<22}",
                it.contender,
                it.p50_us / 1e3,
                it.p99_us / 1e3,
                it.p999_us.unwrap_or(f64::NAN) / 1e3,
                it.cpu_us,
                text(it.p50_to_nginx),
                text(it.to_nginx),
            );
        }
    }
}

impl Report {
    pub(crate) fn new(rounds: u32, seconds: u64, connections: u16) -> Self {
        Self {
            machine: Machine::this(),
            rounds,
            seconds,
            connections,
            scenarios: Vec::new(),
        }
    }

    /// Reads one that was written before.
    pub(crate) fn read(file: &Path) -> Result<Self> {
        let text = fs::read(file).with_context(|| format!("failed to read {}", file.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("{} is not a report of this program", file.display()))
    }

    /// Adds a scenario. `pace` counts only where requests are sent at a constant rate.
    pub(crate) fn add(&mut self, scenario: &Scenario, samples: Vec<Sample>, pace: f64, resolution: f64) {
        self.scenarios.push(Outcome::new(scenario, samples, pace, resolution));
    }

    /// Prints the scenario added last.
    pub(crate) fn print_last(&self, before: Option<&Self>) {
        let Some(outcome) = self.scenarios.last() else { return };
        let what = match outcome.pace {
            Some(pace) => format!("latency at {pace:.0} requests per second, from when each was due"),
            None => "CPU per request in microseconds".to_owned(),
        };
        println!(
            "\n{}: {what}, medians of {} rounds of {} s, {} connections, one worker each",
            outcome.scenario, self.rounds, self.seconds, self.connections
        );
        match outcome.pace {
            Some(_) => outcome.print_latency(),
            None => outcome.print_cpu(),
        }
        for it in outcome.summary.iter().filter(|it| it.contender != REFERENCE) {
            println!("  {} to {REFERENCE}: {}", it.contender, it.verdict);
        }
        if let Some(before) = before {
            before.compare(outcome);
        }
    }

    /// Prints how contenders stand to nginx now and then.
    fn compare(&self, now: &Outcome) {
        let then = self.scenarios.iter().find(|it| it.scenario == now.scenario);
        let then = then.map_or(&[][..], |it| &it.summary);
        for summary in &now.summary {
            let of_then = then.iter().find(|it| it.contender == summary.contender);
            let (Some(then), Some(now)) = (of_then.and_then(|it| it.to_nginx), summary.to_nginx) else {
                continue;
            };
            let change = match (then.interval, now.interval) {
                (Some((_, high)), Some((low, _))) if low > high => "WORSE",
                (Some((low, _)), Some((_, high))) if high < low => "better",
                (Some(_), Some(_)) => "no difference",
                _ => "too few rounds",
            };
            println!(
                "  {} to nginx: {} then, {} now: {change}",
                summary.contender,
                then.text(),
                now.text()
            );
        }
    }

    /// Writes everything to a file, and a picture of it beside.
    pub(crate) fn write(&self, file: &Path) -> Result<()> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        let write = |file: &Path, text: &str| {
            fs::write(file, text).with_context(|| format!("failed to write {}", file.display()))
        };
        write(file, &text)?;
        write(&file.with_extension("svg"), &crate::chart::svg(self))
    }
}

/// A figure of a measurement.
type Figure = fn(&Measured) -> f64;

/// The ratio of a figure in each round that has both.
fn ratios(own: &[&Sample], others: &[&Sample], figure: Figure) -> Vec<f64> {
    let of_round = |round| others.iter().find(|other| other.round == round);
    own.iter()
        .filter_map(|it| Some(figure(&it.measured) / figure(&of_round(it.round)?.measured)))
        .collect()
}

fn verdict(ratios: &[f64], resolution: f64) -> String {
    let percent = |ratio: f64| format!("{:.1} %", ratio * 100.0);
    let change = median(ratios) - 1.0;
    match judge(ratios, resolution) {
        Verdict::TooFewRounds => "too few rounds: 6 or more are needed".to_owned(),
        Verdict::Differs if change > 0.0 => format!("{} more", percent(change)),
        Verdict::Differs => format!("{} less", percent(-change)),
        Verdict::SameWithin(reach) => format!("no difference, within {}", percent(reach)),
        Verdict::TooNoisy(reach) => format!(
            "TOO NOISY to resolve {}: the interval reaches {} from 1; take more rounds, or a quieter machine",
            percent(resolution),
            percent(reach)
        ),
    }
}
