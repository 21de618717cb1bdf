//! What a replay found, for people.

use crate::rehearse::replay::{CountryReport, MoveReport, Report, RoundTrips};
use std::fmt::Write as _;

/// How many moves are shown.
const SHOWN: usize = 20;
/// How many countries of each.
const COUNTRIES: usize = 4;

pub(super) fn text(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "{} entries decided again: {} ({:.2} %) would move",
        report.decided,
        report.moved,
        100.0 * report.share
    );
    if !report.services.is_empty() {
        let _ = writeln!(
            text,
            "\nservice                decided       move  estimated round trip, mean (p99)"
        );
    }
    for service in &report.services {
        let name = if service.service.is_empty() {
            "-"
        } else {
            &service.service
        };
        let _ = writeln!(
            text,
            "{name:<20} {:>9} {:>10}  {} → {}",
            service.decided,
            service.moved,
            round_trips(service.before),
            round_trips(service.after)
        );
    }
    if !report.moves.is_empty() {
        let _ = writeln!(
            text,
            "\nfrom                 to                     entries   share  round trip, mean       countries"
        );
    }
    for it in report.moves.iter().take(SHOWN) {
        text.push_str(&moved(it, report.services.len() > 1));
    }
    if let Some(more) = report.moves.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        let _ = writeln!(text, "and {more} more: --json has all");
    }
    let not_decided: u64 = report.not_decided.iter().map(|it| it.entries).sum();
    if not_decided > 0 {
        let _ = writeln!(text, "\nnot decided again: {not_decided}");
        for it in &report.not_decided {
            let _ = writeln!(text, "{:>9}  {}", it.entries, it.reason);
        }
    }
    let counts = [
        (report.bad_lines, "lines are no entries"),
        (report.relocated, "clients are in another country than the log says"),
        (
            report.plugin_faults,
            "times the plugin failed, so that policy latency decided",
        ),
    ];
    for (count, what) in counts.into_iter().filter(|(count, _)| *count > 0) {
        let _ = writeln!(text, "{count} {what}");
    }
    for note in &report.notes {
        let _ = writeln!(text, "note: {note}");
    }
    text
}

fn moved(it: &MoveReport, of_several: bool) -> String {
    let change = match (it.before_ms, it.after_ms) {
        (Some(before), Some(after)) => format!("{before:.0} → {after:.0} ms ({:+.0})", after - before),
        _ => "-".into(),
    };
    let service = if of_several {
        format!("  {}", it.service)
    } else {
        String::new()
    };
    format!(
        "{:<20} {:<20} {:>9} {:>6.2}%  {change:<22} {}{service}\n",
        it.from,
        it.to,
        it.entries,
        100.0 * it.share,
        countries(&it.countries)
    )
}

fn countries(all: &[CountryReport]) -> String {
    let mut shown: Vec<_> = all
        .iter()
        .take(COUNTRIES)
        .map(|it| format!("{} {}", it.country, it.entries))
        .collect();
    let rest: u64 = all.iter().skip(COUNTRIES).map(|it| it.entries).sum();
    if rest > 0 {
        shown.push(format!("others {rest}"));
    }
    shown.join(", ")
}

fn round_trips(it: RoundTrips) -> String {
    match (it.mean_ms, it.p99_ms) {
        (Some(mean), Some(p99)) => format!("{mean:.1} ms ({p99:.0} ms)"),
        _ => "unknown".into(),
    }
}
