//! Commands that talk to a running instance through its administration.

use super::admin_client::{AdminClient, parse};
use super::complete;
use super::output::{self, Colour, coloured};
use super::plugin;
use crate::admin::view::attention::{Attention, AttentionItem};
use crate::admin::view::endpoints::Endpoint;
use crate::admin::view::instances::Instances;
use crate::admin::view::plugins::PluginChange;
use crate::admin::view::regions::{Region, Regions};
use clap_complete::ArgValueCandidates;
use http::Method;
use std::fmt::Write as _;
use std::time::Duration;

/// Which instance, and how to print.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) instance: AdminClient,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// Which region of which instance.
#[derive(Debug, clap::Args)]
pub(super) struct RegionArguments {
    /// The region
    #[arg(add = ArgValueCandidates::new(complete::regions))]
    pub(super) region: String,
    /// Why, for the audit log
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: Option<String>,
    #[command(flatten)]
    pub(super) instance: AdminClient,
}

/// Which plugin of which instance.
#[derive(Debug, clap::Args)]
pub(super) struct RollbackArguments {
    /// The plugin
    #[arg(add = ArgValueCandidates::new(complete::plugins))]
    plugin: String,
    /// End the rollback: the configured version becomes active again
    #[arg(long)]
    end: bool,
    #[command(flatten)]
    instance: AdminClient,
}

/// How to reload which instance.
#[derive(Debug, clap::Args)]
pub(super) struct ReloadArguments {
    /// However many clients it moves to other regions
    #[arg(long)]
    force: bool,
    /// Why, for the audit log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    instance: AdminClient,
}

/// How long an instance may take to load everything.
const RELOADING: Duration = Duration::from_secs(300);

pub(super) fn reload(arguments: &ReloadArguments) -> anyhow::Result<()> {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("force", if arguments.force { "true" } else { "false" });
    if let Some(reason) = &arguments.reason {
        query.append_pair("reason", reason);
    }
    let path = format!("/api/v1/reload?{}", query.finish());
    arguments.instance.ask_within(RELOADING, Method::POST, &path)?;
    output::print("reloaded: the configuration is active\n")?;
    Ok(())
}

pub(super) fn rollback(arguments: &RollbackArguments) -> anyhow::Result<()> {
    let order = if arguments.end { "rollforward" } else { "rollback" };
    let path = format!("/api/v1/plugins/{}/{order}", arguments.plugin);
    let change: PluginChange = parse(&arguments.instance.ask(Method::POST, &path)?)?;
    output::print(&plugin::shown(&change))?;
    Ok(())
}

pub(super) fn regions(arguments: &Arguments) -> anyhow::Result<()> {
    let answer = arguments.instance.ask(Method::GET, "/api/v1/regions")?;
    if arguments.json {
        output::print(&format!("{}\n", String::from_utf8_lossy(&answer).trim_end()))?;
        return Ok(());
    }
    let regions: Regions = parse(&answer)?;
    let mut text = String::new();
    // Writing to a string cannot fail.
    for service in &regions.services {
        let _ = writeln!(text, "{} ({})", service.service, service.policy);
        for region in &service.regions {
            let share = if region.share < 1.0 {
                format!("  share {:.0} %", region.share * 100.0)
            } else {
                String::new()
            };
            let (name, state) = (&region.region, &region.state);
            let why = match why(region) {
                why if why.is_empty() => why,
                why => format!("  {why}"),
            };
            let state = output::coloured(colour(state), &format!("{state:<10}"));
            let _ = writeln!(text, "  {name:<20} {state} {}{share}{why}", region.gateway);
            if let Some(name) = &region.name {
                text.push_str(&name.lines("      "));
            }
            text.push_str(&Endpoint::lines(&region.endpoints, "      "));
        }
    }
    // An instance of an earlier version has no such list.
    if let Ok(answer) = arguments.instance.ask(Method::GET, "/api/v1/attention")
        && let attention = parse::<Attention>(&answer)?
        && !attention.items.is_empty()
    {
        let _ = write!(
            text,
            "needs attention\n{}",
            self::attention(&attention.items, usize::MAX)
        );
    }
    // The same.
    if let Ok(answer) = arguments.instance.ask(Method::GET, "/api/v1/instances") {
        text.push_str(&instances(&parse(&answer)?));
    }
    output::print(&text)?;
    Ok(())
}

/// This instance and its peers, where it has some, and what they see differently.
fn instances(instances: &Instances) -> String {
    let mut text = String::new();
    if instances.instances.len() < 2 {
        return text;
    }
    text.push_str("instances\n");
    for shown in &instances.instances {
        // Writing to a string cannot fail.
        let _ = match (&shown.instance, &shown.error) {
            (_, Some(error)) => writeln!(
                text,
                "  {:<20} {} {error}",
                shown.name,
                coloured(Colour::Red, "no answer")
            ),
            (None, None) => writeln!(text, "  {:<20} not asked yet", shown.name),
            (Some(it), None) => writeln!(
                text,
                "  {:<20} {} {}, started {}, configuration {}, {:.1} requests/s",
                shown.name, it.status, it.version, it.started, it.configuration, it.requests_per_second
            ),
        };
    }
    text.push_str(&disagreements(instances));
    text
}

/// What instances see differently, a line each.
pub(super) fn disagreements(instances: &Instances) -> String {
    let mut text = String::new();
    for difference in &instances.differences {
        let states = difference
            .states
            .iter()
            .map(|(name, state)| format!("{state} to {name}"));
        let states = states.collect::<Vec<_>>().join(", ");
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "  they disagree on {} of {}: {states}",
            difference.region, difference.service
        );
    }
    if instances.configurations > 1 {
        let _ = writeln!(
            text,
            "  there are {} different configurations",
            instances.configurations
        );
    }
    text
}

/// What gets all of its traffic is green, some of it yellow, none of it red.
pub(super) fn colour(state: &str) -> Colour {
    match state {
        "healthy" => Colour::Green,
        "unhealthy" => Colour::Red,
        _ => Colour::Yellow,
    }
}

/// Why a region is not healthy: since when, until when it is ejected, and when it is probed next; from where it was drained. Empty for a
/// healthy one.
pub(super) fn why(region: &Region) -> String {
    if let Some(ordered) = &region.drained {
        let reason = match ordered.reason.as_str() {
            "" => String::new(),
            reason => format!(": {reason}"),
        };
        return format!("drained since {} from {}{reason}", ordered.since, ordered.from);
    }
    let Some(cause) = region.why.as_ref().filter(|_| region.state != "healthy") else {
        return String::new();
    };
    let held = cause.hold_down_for_seconds;
    let held = held.map_or(String::new(), |left| format!(" in {}", span(left)));
    let mut text = format!("{}{held}, for {}", cause.detail, span(cause.for_seconds));
    // Writing to a string cannot fail.
    if let Some(left) = cause.ejected_for_seconds {
        let _ = write!(text, ", ejected for another {}", span(left));
    }
    if let Some(left) = region.next_probe_seconds.filter(|_| region.state == "unhealthy") {
        let _ = write!(text, ", next probe in {}", span(left));
    }
    text
}

/// A time in words, to the second; a short one to the tenth.
fn span(seconds: f64) -> String {
    match seconds < 10.0 {
        true => format!("{seconds:.1} s"),
        false => humantime::format_duration(Duration::from_secs(seconds as u64)).to_string(),
    }
}

/// What needs attention as lines of text, so many at most.
pub(super) fn attention(items: &[AttentionItem], most: usize) -> String {
    let mut text = String::new();
    for item in items.iter().take(most) {
        let colour = if item.is_error() { Colour::Red } else { Colour::Yellow };
        let level = coloured(colour, &format!("{:<7}", item.level));
        // The first line says what it is.
        let what = item.text.lines().next().unwrap_or_default();
        let since = item
            .since
            .as_ref()
            .map_or(String::new(), |since| format!(", since {since}"));
        let _ = writeln!(text, "  {level}  {}: {what}{since}", item.kind);
    }
    if items.len() > most {
        let _ = writeln!(text, "  and {} more", items.len() - most);
    }
    text
}

pub(super) fn undrain(arguments: &RegionArguments) -> anyhow::Result<()> {
    order(arguments, "undrain")
}

pub(super) fn fail_back(arguments: &RegionArguments) -> anyhow::Result<()> {
    order(arguments, "failback")
}

/// Orders something of a region.
pub(super) fn order(arguments: &RegionArguments, order: &str) -> anyhow::Result<()> {
    let reason = arguments.reason.as_deref();
    let reason = reason.map_or(String::new(), |reason| {
        let mut query = form_urlencoded::Serializer::for_suffix(String::from("?"), 1);
        query.append_pair("reason", reason).finish()
    });
    let path = format!("/api/v1/regions/{}/{order}{reason}", arguments.region);
    arguments.instance.ask(Method::POST, &path)?;
    output::print(&format!("{}: {order} done\n", arguments.region))?;
    Ok(())
}
