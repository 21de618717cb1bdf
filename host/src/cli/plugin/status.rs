//! `portolan plugin status`.

use crate::admin::view::plugins::{Plugin, Plugins};
use crate::admin::view::rollout::{Rollout, Version};
use crate::cli::admin_client::{AdminClient, parse};
use crate::cli::{complete, output};
use anyhow::bail;
use clap_complete::ArgValueCandidates;
use http::Method;
use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

/// Which plugin, and how to print.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Arguments {
    /// Only this plugin
    #[arg(add = ArgValueCandidates::new(complete::plugins))]
    plugin: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    instance: AdminClient,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mut plugins: Plugins = parse(&arguments.instance.ask(Method::GET, "/api/v1/plugins")?)?;
    if let Some(wanted) = &arguments.plugin {
        plugins.plugins.retain(|plugin| plugin.plugin == *wanted);
        if plugins.plugins.is_empty() {
            bail!("there is no plugin {wanted} in the configuration of the instance");
        }
    }
    if arguments.json {
        output::print_json(&plugins)?;
    } else {
        let texts: Vec<_> = plugins.plugins.iter().map(text).collect();
        output::print(&texts.concat())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A plugin, for people.
fn text(plugin: &Plugin) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{}  {}", plugin.plugin, plugin.source);
    let _ = writeln!(text, "  active   {}", plugin.digest);
    if let Some(off) = &plugin.off {
        let _ = writeln!(
            text,
            "  off      since {} by {}: the built-in policy decides",
            off.since, off.from
        );
    }
    for (what, instead) in [("rolled back", &plugin.rolled_back), ("deployed", &plugin.deployed)] {
        if let Some(instead) = instead {
            let ordered = &instead.ordered;
            let _ = writeln!(
                text,
                "  {what} since {} by {}{}; configured is {}",
                ordered.since,
                ordered.from,
                because(&ordered.reason),
                short(&instead.configured)
            );
        }
    }
    if let Some(rollout) = &plugin.rollout {
        text.push_str(&rollout_text(rollout));
    }
    if let Some(earlier) = &plugin.earlier {
        let _ = writeln!(text, "  before   {earlier}");
    }
    for (digest, ordered) in &plugin.suspended {
        let _ = writeln!(
            text,
            "  suspended {} since {}{}",
            short(digest),
            ordered.since,
            because(&ordered.reason)
        );
    }
    text
}

fn rollout_text(rollout: &Rollout) -> String {
    let mut text = String::new();
    let stage = match rollout.stage.as_str() {
        "canary" => format!("canary {} %", rollout.share_percent),
        stage => stage.to_owned(),
    };
    let next = rollout.next.first().map_or("active", String::as_str);
    let until = match rollout.remaining_seconds {
        Some(left) => format!(
            "{next} in {}",
            humantime::format_duration(Duration::from_secs(left as u64))
        ),
        None => format!("{next} by portolan plugin promote"),
    };
    let _ = writeln!(text, "  {stage}  {}  {until}", rollout.digest);
    for (who, version) in [
        ("this version", &rollout.candidate),
        ("the active one", &rollout.active),
    ] {
        let _ = writeln!(text, "    {who:<15} {}", version_text(version));
    }
    if let Some(shadow) = &rollout.shadow {
        let change = shadow.round_trip_change_ms;
        let change = change.map_or(String::new(), |ms| format!(", estimated round trip {ms:+.1} ms"));
        let _ = writeln!(
            text,
            "    {} decisions compared, {:.1} % to another region{change}",
            shadow.compared, shadow.differ_percent
        );
        for (regions, count) in &shadow.changes {
            let _ = writeln!(text, "      {regions}  {count}");
        }
    }
    text
}

fn version_text(version: &Version) -> String {
    let faults = version.faults.iter().map(|(fault, count)| format!(", {count} {fault}"));
    format!(
        "{} calls of {:.1} µs{}; {} requests, {} failed",
        version.calls,
        version.cost_us,
        faults.collect::<String>(),
        version.requests,
        version.failures
    )
}

fn because(reason: &str) -> String {
    match reason {
        "" => String::new(),
        reason => format!(": {reason}"),
    }
}

fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}
