//! The accepted counts.

use crate::scenario::{Count, Counts};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

/// More than this above its baseline is a failure, in percent. Repeated counts of one build differ by up to 9 % on a busy
/// machine: how often a worker polls for a response depends on how fast it comes. Other processors copy memory by other
/// instructions.
const TOLERANCE: f64 = 10.0;

/// The committed counts.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Baseline {
    /// On what the counts depend besides the code.
    made_by: Origin,
    tolerance_percent: f64,
    /// Instructions per request by scenario.
    instructions: BTreeMap<String, u64>,
    /// Allocations per request by scenario. One more is a failure.
    allocations: BTreeMap<String, u64>,
}

/// On what counts depend besides the code: other ones cannot be compared.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Origin {
    build: String,
    rustc: String,
    valgrind: String,
    /// Whether the C library can use AVX2 for copying and searching memory.
    avx2: bool,
}

impl Origin {
    fn here(build: &str) -> Self {
        Self {
            build: build.to_owned(),
            rustc: version("rustc"),
            valgrind: version("valgrind"),
            avx2: has_avx2(),
        }
    }
}

#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    std::arch::is_x86_feature_detected!("avx2")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_avx2() -> bool {
    false
}

/// What a program says of its version; empty when it is not there.
fn version(program: &str) -> String {
    let output = Command::new(program).arg("--version").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.unwrap_or_default()
}

impl Baseline {
    /// These counts, as they are here and now.
    pub(crate) fn new(build: &str, counts: &Counts) -> Self {
        Self {
            made_by: Origin::here(build),
            tolerance_percent: TOLERANCE,
            instructions: by_scenario(counts, |count| count.instructions),
            allocations: by_scenario(counts, |count| count.allocations),
        }
    }

    pub(crate) fn read(file: &Path) -> Result<Self> {
        let text = fs::read_to_string(file).with_context(|| format!("failed to read {}", file.display()))?;
        serde_json::from_str(&text).with_context(|| format!("failed to parse {}", file.display()))
    }

    pub(crate) fn write(&self, file: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        fs::write(file, text).with_context(|| format!("failed to write {}", file.display()))
    }

    /// Holds counts against this baseline, and prints what moved.
    pub(crate) fn check(&self, build: &str, counts: &Counts, file: &Path) -> ExitCode {
        let here = Origin::here(build);
        if self.made_by != here {
            println!(
                "NOT JUDGED: {} was made by {:?}, and here is {here:?}",
                file.display(),
                self.made_by
            );
            return ExitCode::SUCCESS;
        }
        let mut code = ExitCode::SUCCESS;
        for (scenario, count) in counts {
            let (Some(instructions), Some(allocations)) =
                (self.instructions.get(scenario), self.allocations.get(scenario))
            else {
                println!("FAILED: {scenario} has no baseline");
                code = ExitCode::FAILURE;
                continue;
            };
            let now = count.instructions;
            let change = (now as f64 / *instructions as f64 - 1.0) * 100.0;
            if change > self.tolerance_percent {
                println!(
                    "FAILED: {scenario} takes {now} instructions per request, {change:+.2} % to the baseline of {instructions}; \
                     {} % are tolerated",
                    self.tolerance_percent
                );
                code = ExitCode::FAILURE;
            } else if change < -self.tolerance_percent {
                println!(
                    "better: {scenario} takes {now} instructions per request, {change:+.2} % to the baseline of {instructions}; \
                     record it with benches/instructions.sh --update"
                );
            } else {
                println!("{scenario}: {change:+.2} % to the baseline");
            }
            let now = count.allocations;
            if now > *allocations {
                println!("FAILED: {scenario} allocates {now} times per request; the baseline is {allocations}");
                code = ExitCode::FAILURE;
            } else if now < *allocations {
                println!(
                    "better: {scenario} allocates {now} times per request; the baseline is {allocations}; record it with \
                     benches/instructions.sh --update"
                );
            }
        }
        if code != ExitCode::SUCCESS {
            println!(
                "If the cost is worth it, run benches/instructions.sh --update and commit {} with the reason.\n\
                 What costs it: callgrind_annotate, see benches/README.md.",
                file.display()
            );
        }
        code
    }
}

fn by_scenario(counts: &Counts, figure: impl Fn(&Count) -> u64) -> BTreeMap<String, u64> {
    let figures = counts.iter().map(|(scenario, count)| (scenario.clone(), figure(count)));
    figures.collect()
}
