//! `portolan drill`.

use super::admin_client::{AdminClient, parse};
use super::complete;
use super::{code, output};
use crate::control::drills::{DrillReport, PhaseReport};
use clap_complete::ArgValueCandidates;
use form_urlencoded::Serializer;
use http::Method;
use std::fmt::Write as _;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

/// The exit code of a drill that ended early.
const ENDED_EARLY: u8 = 3;

/// How often the instance is asked, which also keeps the drill going.
const LOOK: Duration = Duration::from_millis(500);

/// What is drilled, in which instance.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The region that is lost
    #[arg(long, value_name = "REGION", add = ArgValueCandidates::new(complete::regions))]
    lose: String,
    /// To which share of the clients, by their networks
    #[arg(long, default_value = "10%")]
    share: String,
    /// For how long
    #[arg(long = "for", value_name = "TIME", default_value = "1m")]
    lasts: String,
    /// What ends it early: error_rate > 1%, p99 > 500ms, of those clients in the last 10 seconds
    #[arg(long, value_name = "CONDITION")]
    abort_if: Option<String>,
    /// How long those clients are counted before and after
    #[arg(long, value_name = "TIME", default_value = "10s")]
    baseline: String,
    /// Serving regions that must be left in each service
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    min_regions: u32,
    /// Why, for the audit log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    instance: AdminClient,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    code(drill(arguments))
}

fn drill(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mut query = Serializer::new(String::new());
    query
        .append_pair("lose", &arguments.lose)
        .append_pair("share", &arguments.share)
        .append_pair("for", &arguments.lasts)
        .append_pair("baseline", &arguments.baseline)
        .append_pair("min_regions", &arguments.min_regions.to_string());
    for (key, value) in [("abort_if", &arguments.abort_if), ("reason", &arguments.reason)] {
        if let Some(value) = value {
            query.append_pair(key, value);
        }
    }
    let path = format!("/api/v1/drill?{}", query.finish());
    let mut report: DrillReport = parse(&arguments.instance.ask(Method::POST, &path)?)?;
    let mut shown = String::new();
    while !report.is_over() {
        if !arguments.json && report.phase != shown {
            shown.clone_from(&report.phase);
            output::print(&format!("{}\n", progress(&report)))?;
        }
        thread::sleep(LOOK);
        report = parse(&arguments.instance.ask(Method::POST, "/api/v1/drill/renew")?)?;
    }
    output::print(&match arguments.json {
        true => format!("{}\n", serde_json::to_string_pretty(&report)?),
        false => text(&report),
    })?;
    Ok(match report.result.as_str() {
        "completed" => ExitCode::SUCCESS,
        _ => ExitCode::from(ENDED_EARLY),
    })
}

fn progress(report: &DrillReport) -> String {
    let DrillReport { region, share, .. } = report;
    match report.phase.as_str() {
        "before" => format!("counting {share} of the clients"),
        "during" => format!("{region} is lost to them; to end it: Ctrl-C"),
        _ => format!("{region} is back"),
    }
}

fn text(report: &DrillReport) -> String {
    let mut text = format!("{}: {}\n", report.region, report.result);
    let time = |seconds: Option<f64>| seconds.map_or("not".to_owned(), |seconds| format!("after {seconds:.3} s"));
    // Writing to a string cannot fail.
    let _ = writeln!(text, "  detected       {}", time(report.seconds_to_detect));
    let _ = writeln!(text, "  last tried     {}", time(report.seconds_to_shift));
    let _ = writeln!(
        text,
        "  {:<8} {:>9} {:>7} {:>8} {:>9} {:>9}",
        "", "requests", "errors", "retried", "p50", "p99"
    );
    for (phase, counts) in [
        ("before", &report.before),
        ("during", &report.during),
        ("after", &report.after),
    ] {
        let PhaseReport {
            requests,
            errors,
            retried,
            p50_ms,
            p99_ms,
        } = counts;
        let millis = |millis: &Option<f64>| millis.map_or("-".to_owned(), |millis| format!("{millis:.1} ms"));
        let (p50, p99) = (millis(p50_ms), millis(p99_ms));
        let _ = writeln!(
            text,
            "  {phase:<8} {requests:>9} {errors:>7} {retried:>8} {p50:>9} {p99:>9}"
        );
    }
    text
}
