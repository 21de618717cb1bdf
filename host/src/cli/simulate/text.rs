//! A simulation, for people.

use crate::rehearse::simulate::{Report, Row};
use std::fmt::Write as _;

/// How many steps are shown: the others are in the JSON and the page.
const ROWS: usize = 30;

pub(super) fn text(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "{} clients, {}; seed {}\n{} decisions, {:.0} in a second\n",
        report.clients, report.population, report.seed, report.decisions, report.decisions_per_second
    );
    let width = |region: &str| region.len().max(8);
    let _ = write!(text, "{:>8}", "at");
    for region in &report.regions {
        let _ = write!(text, "  {region:>0$}", width(region));
    }
    let _ = writeln!(text, "    failed  unserved  overload     mean      p99");
    for row in shown(&report.rows) {
        let _ = write!(text, "{:>7.0}s", row.at_s);
        for (region, answered) in report.regions.iter().zip(&row.answered) {
            let _ = write!(text, "  {answered:>0$.1}", width(region));
        }
        let millis = |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.1} ms"));
        let _ = writeln!(
            text,
            "  {:>8.1}  {:>8.1}  {:>8.1}  {:>7}  {:>7}",
            row.failed,
            row.unserved,
            row.overload.iter().sum::<f64>(),
            millis(row.mean_ms),
            millis(row.p99_ms)
        );
    }
    if !report.changes.is_empty() {
        text.push_str("\nchanges\n");
    }
    for change in &report.changes {
        let _ = writeln!(
            text,
            "{:>7.1}s  {} {}: {} → {} ({})",
            change.at_s, change.service, change.region, change.from, change.to, change.cause
        );
    }
    let totals = &report.totals;
    let _ = writeln!(
        text,
        "\nin all: {:.0} answered, {:.0} unserved, {:.0} beyond capacity, {:.0} attempts failed and were made again elsewhere",
        totals.answered, totals.unserved, totals.overload, totals.failed
    );
    let _ = writeln!(
        text,
        "answered elsewhere than usual: {:.0}, {:.3} GB, cost {:.2}",
        totals.displaced, totals.displaced_gb, totals.cost
    );
    for ((region, peak), capacity) in report.regions.iter().zip(&totals.peak).zip(&report.capacity) {
        if let Some(capacity) = capacity.filter(|capacity| *capacity > 0.0) {
            let _ = writeln!(
                text,
                "{region}: peak {peak:.0}/s of {capacity:.0}/s, {:.0} %",
                100.0 * peak / capacity
            );
        }
    }
    for note in &report.notes {
        let _ = writeln!(text, "note: {note}");
    }
    text
}

/// The steps that differ from the one before, and the last one; at most so many.
fn shown(rows: &[Row]) -> Vec<&Row> {
    let differs = |at: &usize| {
        let (Some(before), Some(row)) = (at.checked_sub(1).and_then(|at| rows.get(at)), rows.get(*at)) else {
            return true;
        };
        let near = |a: f64, b: f64| (a - b).abs() <= 0.005 * a.abs().max(b.abs()).max(1.0);
        let alike = row.answered.iter().zip(&before.answered).all(|(a, b)| near(*a, *b));
        !alike || !near(row.failed, before.failed) || !near(row.unserved, before.unserved) || *at + 1 == rows.len()
    };
    (0..rows.len())
        .filter(differs)
        .filter_map(|at| rows.get(at))
        .take(ROWS)
        .collect()
}
