//! Runs the cases of a plugin in the host that requests meet.

use super::compare::differences;
use super::report::{CaseReport, Cost, Report};
use crate::cli::plugin::suite::Suite;
use crate::plugin::{Asked, Failed, PluginAnswer, PluginEngine, PluginSession, PluginVersion, PluginWorker, Problem};
use portolan_core::id::ServiceId;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often a case is repeated to measure it.
const REPEATS: usize = 100;

/// A plugin with one configuration.
struct Loaded {
    version: Arc<PluginVersion>,
    /// Keeps its instance from case to case.
    reused: PluginSession,
    /// Gets a new instance for every call.
    fresh: PluginSession,
}

/// Runs all cases.
pub(super) fn run(suite: &Suite, engine: &PluginEngine) -> Report {
    let start = Instant::now();
    let mut report = Report::of(suite);
    let mut loaded: BTreeMap<&str, Result<Loaded, Problem>> = BTreeMap::new();
    let mut costs = Costs::default();
    for (number, case) in suite.cases.cases.iter().enumerate() {
        let plugin = loaded.entry(&case.config).or_insert_with(|| {
            let version = suite.load(engine, &case.config).map_err(|error| error.problem)?;
            report.load_ms.get_or_insert(start.elapsed().as_millis() as u64);
            Ok(Loaded {
                reused: PluginSession::new(&version),
                fresh: PluginSession::new(&version),
                version,
            })
        });
        let differences = match (plugin, &case.expected.config_error) {
            (Ok(loaded), None) => loaded.case(suite, engine, number, &mut costs),
            (Ok(_), Some(_)) => vec!["config_error: it accepts this configuration".to_owned()],
            (Err(Problem::Rejected(message)), Some(part)) if message.contains(part.as_str()) => Vec::new(),
            (Err(problem), Some(part)) => vec![format!("config_error: expected {part:?}, got: {problem}")],
            (Err(problem), None) => vec![format!("the plugin is rejected: {problem}")],
        };
        let answer = costs.answers.remove(&number);
        report
            .cases
            .push(CaseReport::new(suite, case, answer.as_ref(), differences));
    }
    for loaded in loaded.values_mut().flatten() {
        report.warnings.extend(loaded.cached(suite, engine));
    }
    report.cost = costs.summary();
    report
}

impl Loaded {
    /// What is wrong with the answer to one case.
    fn case(&mut self, suite: &Suite, engine: &PluginEngine, number: usize, costs: &mut Costs) -> Vec<String> {
        let case = &suite.cases.cases[number];
        let before = counts(engine, suite);
        let first = match suite.with(number, |table, request| self.reused.ask(table, request)) {
            Ok(asked) => asked,
            Err(failed) => return vec![failure(&failed)],
        };
        let counted = counts(engine, suite);
        let mut wrong = differences(suite, case, &self.version, &first.answer);
        for (name, expected) in &case.expected.counters {
            let of = |counts: &BTreeMap<String, u64>| counts.get(name).copied().unwrap_or(0);
            let grown = of(&counted) - of(&before);
            if grown != *expected {
                wrong.push(format!(
                    "counters: expected {name} to grow by {expected}, it grew by {grown}"
                ));
            }
        }
        for _ in 0..REPEATS {
            match suite.with(number, |table, request| self.reused.ask(table, request)) {
                Ok(again) if again.answer == first.answer => costs.reused.push(again),
                Ok(again) => {
                    wrong.push(changed("the second time", suite, &first.answer, &again.answer));
                    break;
                }
                Err(failed) => {
                    wrong.push(failure(&failed));
                    break;
                }
            }
        }
        for _ in 0..REPEATS / 10 {
            self.fresh.end_instance();
            match suite.with(number, |table, request| self.fresh.ask(table, request)) {
                Ok(fresh) if fresh.answer == first.answer => costs.fresh.push(fresh),
                Ok(fresh) => {
                    wrong.push(changed("in a fresh instance", suite, &first.answer, &fresh.answer));
                    break;
                }
                Err(failed) => {
                    wrong.push(format!("a fresh instance: {}", failure(&failed)));
                    break;
                }
            }
        }
        costs.answers.insert(number, (first.answer, Arc::clone(&self.version)));
        wrong
    }

    /// Cases that are answered otherwise with the answer cache: their answer depends on something that `vary` leaves out.
    fn cached(&mut self, suite: &Suite, engine: &PluginEngine) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.version.setup.vary.is_none() {
            return wrong;
        }
        let mut worker = PluginWorker::new(engine.clone(), 0, 1);
        for (number, case) in suite.cases.cases.iter().enumerate() {
            if case.config != self.version.settings.config || case.expected.config_error.is_some() {
                continue;
            }
            let cached = suite.with(number, |table, request| {
                worker.route(&self.version, ServiceId(0), table, request)
            });
            let (Ok(cached), Ok(asked)) = (
                cached,
                suite.with(number, |table, request| self.reused.ask(table, request)),
            ) else {
                continue;
            };
            let as_asked = PluginAnswer {
                remembered: false,
                ..cached.clone()
            };
            if cached.remembered && as_asked != asked.answer {
                wrong.push(format!(
                    "{}: the answer of an earlier case is given from the cache ({}), and the plugin answers {}: its answer \
                     depends on an input that `vary` does not name",
                    case.name,
                    order(suite, &cached),
                    order(suite, &asked.answer)
                ));
            }
        }
        wrong
    }
}

/// What the calls cost.
#[derive(Default)]
struct Costs {
    reused: Vec<Asked>,
    fresh: Vec<Asked>,
    answers: BTreeMap<usize, (PluginAnswer, Arc<PluginVersion>)>,
}

impl Costs {
    fn summary(&self) -> Option<Cost> {
        Some(Cost {
            reused_ns: median(&self.reused)?,
            fresh_ns: median(&self.fresh)?,
            memory_fresh: self.fresh.iter().map(|asked| asked.memory).max().unwrap_or_default(),
            memory: self.reused.iter().map(|asked| asked.memory).max().unwrap_or_default(),
        })
    }
}

fn median(calls: &[Asked]) -> Option<u64> {
    let mut times: Vec<Duration> = calls.iter().map(|asked| asked.took).collect();
    times.sort_unstable();
    let median = times.get(times.len() / 2)?;
    Some(u64::try_from(median.as_nanos()).unwrap_or(u64::MAX))
}

fn counts(engine: &PluginEngine, suite: &Suite) -> BTreeMap<String, u64> {
    let readings = engine.counters().into_iter();
    let own = readings.filter(|reading| reading.plugin == suite.name);
    own.map(|reading| (reading.counter, reading.value)).collect()
}

fn failure(failed: &Failed) -> String {
    format!("it failed: {failed}; the proxy would use its own order and count the fault")
}

fn changed(when: &str, suite: &Suite, first: &PluginAnswer, again: &PluginAnswer) -> String {
    format!(
        "not deterministic: {when} it answers {} instead of {}; keep nothing from one call to the next",
        order(suite, again),
        order(suite, first)
    )
}

/// The order of an answer, for messages.
pub(super) fn order(suite: &Suite, answer: &PluginAnswer) -> String {
    let names: Vec<_> = answer.ranking.order().iter().map(|slot| suite.region(*slot)).collect();
    format!("[{}] (reason {})", names.join(", "), answer.reason)
}
