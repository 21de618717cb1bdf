//! Where and when a measurement was made, and of what.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

/// A machine at a time, and the programs on it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Machine {
    /// In UTC, to the minute.
    date: String,
    cpu: String,
    cores: usize,
    kernel: String,
    /// The commit of the working folder.
    commit: String,
    /// What each program says of its version.
    versions: BTreeMap<String, String>,
}

impl Machine {
    /// This one, now.
    pub(crate) fn this() -> Self {
        let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let cpu = cpu
            .lines()
            .find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let versions = [
            ("nginx", "-v"),
            ("haproxy", "-v"),
            ("envoy", "--version"),
            ("wrk", "-v"),
            ("h2load", "--version"),
            ("rustc", "--version"),
        ];
        Self {
            date: said("date", &["-u", "+%Y-%m-%d %H:%M"]),
            cpu: cpu.map(|(_, model)| model.to_owned()).unwrap_or_default(),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            kernel: said("uname", &["-sr"]),
            commit: said("git", &["rev-parse", "--short", "HEAD"]),
            versions: versions
                .into_iter()
                .map(|(program, argument)| (program.to_owned(), said(program, &[argument])))
                .filter(|(_, version)| !version.is_empty())
                .collect(),
        }
    }

    /// In one line.
    pub(crate) fn text(&self) -> String {
        let Self {
            date,
            cpu,
            cores,
            kernel,
            commit,
            ..
        } = self;
        format!("{date} UTC, commit {commit}, {cores} cores of {cpu}, {kernel}")
    }
}

/// The first line that a program prints, on either output; nothing when it is not there. Some begin it with the path that they were
/// started by, which is this machine's alone.
fn said(program: &str, arguments: &[&str]) -> String {
    let Ok(output) = Command::new(program).args(arguments).output() else {
        return String::new();
    };
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let words = lines.next().unwrap_or_default().split_whitespace();
    words
        .filter(|word| !word.starts_with('/'))
        .collect::<Vec<_>>()
        .join(" ")
}
