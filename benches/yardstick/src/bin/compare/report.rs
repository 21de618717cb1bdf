//! What was measured, as a table and as JSON.

use crate::load::{Measured, Scenario};
use portolan_yardstick::stats::{Verdict, interval, judge, median};
use serde::Serialize;
use std::fs;
use std::io;
use std::path::Path;

/// The contender that the others are compared with.
pub(crate) const REFERENCE: &str = "portolan";

/// The other proxy that everybody knows.
const NGINX: &str = "nginx";

/// What one contender did in one round.
#[derive(Debug, Serialize)]
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
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    rounds: u32,
    seconds: u64,
    connections: u16,
    scenarios: Vec<Outcome>,
}

/// What came of one scenario.
#[derive(Debug, Serialize)]
struct Outcome {
    scenario: &'static str,
    summary: Vec<Summary>,
    samples: Vec<Sample>,
}

/// One contender over all rounds. Times are CPU per request in microseconds.
#[derive(Debug, Serialize)]
struct Summary {
    contender: String,
    cpu_us: f64,
    cpu_us_min: f64,
    cpu_us_max: f64,
    rate: f64,
    p99_us: f64,
    /// To nginx, when it is compared.
    to_nginx: Option<Ratio>,
    /// To [`REFERENCE`].
    to_portolan: Ratio,
    /// The last ratio in words.
    verdict: String,
}

/// A median of the ratios of all rounds, and its interval.
#[derive(Clone, Copy, Debug, Serialize)]
struct Ratio {
    median: f64,
    interval: Option<(f64, f64)>,
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

impl Report {
    pub(crate) fn new(rounds: u32, seconds: u64, connections: u16) -> Self {
        Self {
            rounds,
            seconds,
            connections,
            scenarios: Vec::new(),
        }
    }

    /// Adds a scenario. `resolution` is the difference that matters (0.02: 2 %).
    pub(crate) fn add(&mut self, scenario: &Scenario, samples: Vec<Sample>, resolution: f64) {
        let of = |name: &str| -> Vec<&Sample> { samples.iter().filter(|sample| sample.contender == name).collect() };
        let mut names: Vec<&str> = samples.iter().map(|sample| sample.contender.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let mut summary: Vec<Summary> = names
            .iter()
            .map(|name| {
                let own = of(name);
                let to = |other: &str| ratios(&own, &of(other));
                let figures =
                    |figure: fn(&Measured) -> f64| own.iter().map(|it| figure(&it.measured)).collect::<Vec<_>>();
                let cpu = figures(|measured| measured.cpu_us);
                let (to_nginx, to_portolan) = (to(NGINX), to(REFERENCE));
                Summary {
                    contender: (*name).to_owned(),
                    cpu_us: median(&cpu),
                    cpu_us_min: cpu.iter().copied().fold(f64::INFINITY, f64::min),
                    cpu_us_max: cpu.iter().copied().fold(0.0, f64::max),
                    rate: median(&figures(|measured| measured.rate)),
                    p99_us: median(&figures(|measured| measured.p99_us)),
                    to_nginx: (!to_nginx.is_empty()).then(|| Ratio::of(&to_nginx)),
                    verdict: verdict(&to_portolan, resolution),
                    to_portolan: Ratio::of(&to_portolan),
                }
            })
            .collect();
        summary.sort_by(|one, other| one.cpu_us.total_cmp(&other.cpu_us));
        self.scenarios.push(Outcome {
            scenario: scenario.name,
            summary,
            samples,
        });
    }

    /// Prints the scenario added last.
    pub(crate) fn print_last(&self) {
        let Some(outcome) = self.scenarios.last() else { return };
        println!(
            "\n{}: CPU per request in microseconds, medians of {} rounds of {} s, {} connections, one worker each",
            outcome.scenario, self.rounds, self.seconds, self.connections
        );
        println!(
            "{:<18} {:>8} {:>8} {:>8} {:>10} {:>9}  {:<22} {:<22}",
            "contender", "CPU", "min", "max", "requests/s", "p99 ms", "to nginx", "to portolan"
        );
        for it in &outcome.summary {
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
        for it in outcome.summary.iter().filter(|it| it.contender != REFERENCE) {
            println!("  {} to {REFERENCE}: {}", it.contender, it.verdict);
        }
    }

    /// Writes everything to a file.
    pub(crate) fn write(&self, file: &Path) -> io::Result<()> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        fs::write(file, text)
    }
}

/// The ratio of CPU per request in each round that has both.
fn ratios(own: &[&Sample], others: &[&Sample]) -> Vec<f64> {
    let of_round = |round| others.iter().find(|other| other.round == round);
    own.iter()
        .filter_map(|it| Some(it.measured.cpu_us / of_round(it.round)?.measured.cpu_us))
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
