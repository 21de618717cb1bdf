//! `portolan simulate`.

mod text;

use super::config_file::ConfigFile;
use super::progress::Progress;
use super::{offline, output};
use crate::chance::Chance;
use crate::config::{self, Happening, Scenario, ScenarioEvent};
use crate::rehearse::Basis;
use crate::rehearse::simulate::{self, ClientDecision, Options, Population, Simulation};
use anyhow::{Context, anyhow, bail};
use portolan_core::id::RegionName;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

/// What is simulated.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The configuration file; - is the standard input
    #[arg(value_name = "FILE", required_unless_present = "config")]
    file: Option<ConfigFile>,
    /// The same
    #[arg(long, short, value_name = "FILE", conflicts_with = "file")]
    config: Option<ConfigFile>,
    /// What happens, and to which clients: a YAML file with duration, step, clients, requests_per_second, request_time, response_size,
    /// host, path, countries, capacity, prices and events
    #[arg(long, value_name = "FILE")]
    scenario: Option<PathBuf>,
    /// Take the clients of this access log, and what they ask for; - is the standard input. Default: clients drawn from the address
    /// space
    #[arg(long, value_name = "LOG")]
    trace: Option<PathBuf>,
    /// This region cannot be reached from one time to another, as often as needed
    #[arg(long, value_name = "REGION@FROM..TO", value_parser = span)]
    lose: Vec<(RegionName, Span)>,
    /// This region is drained from one time to another, as often as needed
    #[arg(long, value_name = "REGION@FROM..TO", value_parser = span)]
    drain: Vec<(RegionName, Span)>,
    /// How many clients; of a trace, at most so many. Default: 100000, or as in the scenario
    #[arg(long, value_name = "COUNT")]
    clients: Option<NonZeroUsize>,
    /// How long. Default: 10m, or as in the scenario
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    duration: Option<Duration>,
    /// What chance follows from. Default: a random number, which is printed
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Write a page with charts
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write the decision about every client at the time --at, as lines of JSON
    #[arg(long, value_name = "FILE", requires = "at")]
    decisions: Option<PathBuf>,
    /// The time of --decisions, such as 90s
    #[arg(long, value_name = "TIME", requires = "decisions", value_parser = humantime::parse_duration)]
    at: Option<Duration>,
}

/// From one time to another; none: to the end.
type Span = (Duration, Option<Duration>);

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let Some(file) = arguments.file.as_ref().or(arguments.config.as_ref()) else {
        bail!("a configuration is needed");
    };
    let is_input = |path: &Path| path == Path::new("-");
    if file.is_standard_input() && arguments.trace.as_deref().is_some_and(is_input) {
        bail!("only one of the trace and the configuration can be the standard input");
    }
    let scenario = arguments.scenario()?;
    let seed = arguments.seed.unwrap_or_else(|| Chance::new().roll() >> 32);
    let (load, engine) = offline::load(file.load()?, false)?;
    let basis = Basis::new(load.loaded, engine).context("failed to start")?;
    let mut progress = Progress::new();
    progress.show(|| "drawing the clients".into());
    let population = match &arguments.trace {
        None => {
            let asked = (scenario.host.as_str(), scenario.path.as_str());
            Population::synthetic(&basis.table().geo, scenario.clients, asked, &scenario.countries, seed)
        }
        Some(log) => {
            let input: Box<dyn Read> = match is_input(log) {
                true => Box::new(io::stdin().lock()),
                false => Box::new(File::open(log).with_context(|| format!("failed to open {}", log.display()))?),
            };
            let read = Population::of_trace(input, scenario.clients, seed);
            read.with_context(|| format!("failed to read {}", log.display()))?
        }
    };
    let options = Options {
        seed,
        threads: thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
    };
    let whole = scenario.duration;
    let simulation = Simulation::new(basis, scenario, population, options, SystemTime::now())?;
    let mut writer = arguments.decisions.as_deref().map(DecisionsFile::create).transpose()?;
    let mut each = |decision: ClientDecision<'_>| {
        if let Some(writer) = &mut writer {
            writer.write(decision);
        }
    };
    let inspect = arguments
        .at
        .map(|at| (at, &mut each as &mut dyn FnMut(ClientDecision<'_>)));
    let report = simulation.run(
        &mut |now, decisions| {
            progress.show(|| {
                let part = 100.0 * now.as_secs_f64() / whole.as_secs_f64();
                format!("{part:.0} %, {decisions} decisions")
            });
        },
        inspect,
    );
    progress.clear();
    if let Some(writer) = writer {
        writer.done()?;
    }
    if let Some(page) = &arguments.html {
        fs::write(page, simulate::html(&report)).with_context(|| format!("failed to write {}", page.display()))?;
    }
    if arguments.json {
        return output::print_json(&report);
    }
    output::print(&text::text(&report))?;
    Ok(())
}

impl Arguments {
    fn scenario(&self) -> anyhow::Result<Scenario> {
        let mut scenario = match &self.scenario {
            None => Scenario::default(),
            Some(file) => {
                let content = fs::read(file).with_context(|| format!("failed to read {}", file.display()))?;
                config::scenario(&content, file)?
            }
        };
        let lost = self
            .lose
            .iter()
            .map(|(region, span)| (Happening::Lost(region.clone()), *span));
        let drained = self
            .drain
            .iter()
            .map(|(region, span)| (Happening::Drained(region.clone()), *span));
        let events = lost
            .chain(drained)
            .map(|(what, (from, until))| ScenarioEvent { from, until, what });
        scenario.events.extend(events);
        scenario.clients = self.clients.map_or(scenario.clients, NonZeroUsize::get);
        scenario.duration = self.duration.unwrap_or(scenario.duration);
        if let Some(late) = self.at.filter(|at| *at > scenario.duration) {
            bail!("--at {} is after the end", humantime::format_duration(late));
        }
        Ok(scenario)
    }
}

/// Where decisions are written. The first error counts.
struct DecisionsFile {
    path: PathBuf,
    file: BufWriter<File>,
    result: io::Result<()>,
}

impl DecisionsFile {
    fn create(path: &Path) -> anyhow::Result<Self> {
        let file = File::create(path).with_context(|| format!("failed to create {}", path.display()))?;
        Ok(Self {
            path: path.to_owned(),
            file: BufWriter::new(file),
            result: Ok(()),
        })
    }

    fn write(&mut self, decision: ClientDecision<'_>) {
        if self.result.is_ok() {
            let region = decision.region.map(RegionName::as_str);
            let line = serde_json::json!({ "client": decision.client, "service": decision.service, "region": region });
            self.result = writeln!(self.file, "{line}");
        }
    }

    fn done(mut self) -> anyhow::Result<()> {
        let written = self.result.and_then(|()| self.file.flush());
        written.with_context(|| format!("failed to write {}", self.path.display()))
    }
}

/// `REGION@FROM..TO`; without TO, to the end.
fn span(text: &str) -> anyhow::Result<(RegionName, Span)> {
    let wrong = || anyhow!("this is REGION@FROM..TO with times such as 90s; without TO, to the end");
    let (region, times) = text.split_once('@').ok_or_else(wrong)?;
    let (from, until) = times.split_once("..").unwrap_or((times, ""));
    let time = |text: &str| humantime::parse_duration(text).map_err(|error| anyhow!("{text:?} is no time: {error}"));
    let from = time(from)?;
    let until = (!until.is_empty()).then(|| time(until)).transpose()?;
    if region.is_empty() || until.is_some_and(|until| until <= from) {
        return Err(wrong());
    }
    Ok((RegionName::new(region), (from, until)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read() {
        let (region, times) = span("westeurope@90s..4m").expect("a span");
        assert_eq!(region.as_str(), "westeurope");
        assert_eq!(times, (Duration::from_secs(90), Some(Duration::from_secs(240))));
        assert_eq!(span("a@0s").expect("to the end").1, (Duration::ZERO, None));
        assert_eq!(span("a@1s..").expect("to the end").1, (Duration::from_secs(1), None));
        for wrong in ["", "a", "a@", "@1s..2s", "a@2s..1s", "a@1..2", "a@1s..x"] {
            assert!(span(wrong).is_err(), "{wrong}");
        }
    }
}
