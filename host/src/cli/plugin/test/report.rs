//! The result of a plugin's cases, for people and programs.

use crate::cli::output::{self, Colour};
use crate::cli::plugin::file;
use crate::cli::plugin::suite::Suite;
use crate::config::PluginCase;
use crate::plugin::{Description, PluginAnswer, PluginVersion};
use serde::Serialize;
use std::fmt::Write as _;
use std::sync::Arc;

/// The result.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) file: String,
    pub(super) digest: String,
    pub(super) contract: Option<String>,
    pub(super) size: u64,
    /// How long it took to load: to check, compile, configure and try it.
    pub(super) load_ms: Option<u64>,
    pub(super) cases: Vec<CaseReport>,
    /// Mistakes that are not of one case alone.
    pub(super) warnings: Vec<String>,
    pub(super) cost: Option<Cost>,
}

/// The result of one case.
#[derive(Debug, Serialize)]
pub(super) struct CaseReport {
    pub(super) name: String,
    pub(super) line: usize,
    /// The regions in the order in which they are tried; none when there was no answer.
    pub(super) order: Option<Vec<String>>,
    pub(super) reason: Option<String>,
    /// What is not as expected.
    pub(super) differences: Vec<String>,
}

/// What a call costs.
#[derive(Debug, Serialize)]
pub(super) struct Cost {
    /// Median wall time of a call of an instance that is kept.
    pub(super) reused_ns: u64,
    /// The same with the start of an instance.
    pub(super) fresh_ns: u64,
    /// Linear memory of a fresh instance after one call, in bytes.
    pub(super) memory_fresh: usize,
    /// Linear memory of an instance after all cases.
    pub(super) memory: usize,
}

impl Report {
    pub(super) fn of(suite: &Suite) -> Self {
        let description = Description::of(&suite.bytes);
        Self {
            file: suite.file.display().to_string(),
            digest: description.digest,
            contract: description.contract,
            size: description.size,
            load_ms: None,
            cases: Vec::new(),
            warnings: Vec::new(),
            cost: None,
        }
    }

    pub(super) fn is_passed(&self) -> bool {
        self.warnings.is_empty() && self.cases.iter().all(|case| case.differences.is_empty())
    }

    /// For people.
    pub(super) fn text(&self, suite: &Suite) -> String {
        let contract = self.contract.as_deref().unwrap_or("unknown contract");
        let mut text = format!("{}: {contract}, {}", self.file, file::size(self.size));
        // Writing to a string cannot fail.
        if let Some(load) = self.load_ms {
            let _ = write!(text, ", loaded in {load} ms");
        }
        text.push('\n');
        for case in &self.cases {
            case.write(suite, &mut text);
        }
        for warning in &self.warnings {
            let _ = writeln!(text, "{} {warning}", output::coloured(Colour::Red, "failed"));
        }
        let passed = self.cases.iter().filter(|case| case.differences.is_empty()).count();
        let _ = writeln!(text, "{passed} of {} cases passed", self.cases.len());
        if let Some(cost) = &self.cost {
            let micros = |ns: u64| ns as f64 / 1000.0;
            let _ = writeln!(
                text,
                "cost of a call (median): {:.2} µs, with a fresh instance {:.1} µs; memory {}, after all cases {}",
                micros(cost.reused_ns),
                micros(cost.fresh_ns),
                file::size(cost.memory_fresh as u64),
                file::size(cost.memory as u64)
            );
        }
        text
    }
}

impl CaseReport {
    pub(super) fn new(
        suite: &Suite,
        case: &PluginCase,
        answer: Option<&(PluginAnswer, Arc<PluginVersion>)>,
        differences: Vec<String>,
    ) -> Self {
        let order = answer.map(|(answer, _)| {
            let slots = answer.ranking.order().iter();
            slots.map(|slot| suite.region(*slot).to_owned()).collect()
        });
        Self {
            name: case.name.clone(),
            line: case.line,
            order,
            reason: answer.and_then(|(answer, version)| version.reason(answer.reason).map(str::to_owned)),
            differences,
        }
    }

    fn write(&self, suite: &Suite, text: &mut String) {
        if self.differences.is_empty() {
            let _ = writeln!(text, "{}     {}", output::coloured(Colour::Green, "ok"), self.name);
            return;
        }
        let failed = output::coloured(Colour::Red, "failed");
        let _ = writeln!(
            text,
            "{failed} {} ({}:{})",
            self.name,
            suite.cases_file.display(),
            self.line
        );
        for difference in &self.differences {
            let _ = writeln!(text, "         {difference}");
        }
    }
}
