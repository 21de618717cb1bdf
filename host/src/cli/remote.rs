//! Commands that talk to a running instance through its administration.

use super::admin_client::{AdminClient, parse};
use super::complete;
use super::output::{self, Colour};
use super::plugin;
use crate::admin::view::endpoints::Endpoint;
use crate::admin::view::plugins::PluginChange;
use crate::admin::view::regions::{Region, Regions};
use clap_complete::ArgValueCandidates;
use http::Method;
use std::fmt::Write as _;

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
            let (name, state, why) = (&region.region, &region.state, why(region));
            let drained = region.drained.as_ref().map_or(String::new(), |ordered| {
                format!("  drained since {} from {}", ordered.since, ordered.from)
            });
            let state = output::coloured(colour(state), &format!("{state:<10}"));
            let _ = writeln!(text, "  {name:<20} {state} {}{share}{why}{drained}", region.gateway);
            if let Some(name) = &region.name {
                text.push_str(&name.lines("      "));
            }
            text.push_str(&Endpoint::lines(&region.endpoints, "      "));
        }
    }
    output::print(&text)?;
    Ok(())
}

/// What gets all of its traffic is green, some of it yellow, none of it red.
fn colour(state: &str) -> Colour {
    match state {
        "healthy" => Colour::Green,
        "unhealthy" => Colour::Red,
        _ => Colour::Yellow,
    }
}

/// Why a region is not healthy, for how long, and how long it remains ejected.
fn why(region: &Region) -> String {
    let Some(cause) = region.why.as_ref().filter(|_| region.state != "healthy") else {
        return String::new();
    };
    let ejected = cause.ejected_for_seconds;
    let ejected = ejected.map_or(String::new(), |left| format!(", ejected for another {left:.0} s"));
    let detail = &cause.detail;
    let held = cause.hold_down_for_seconds;
    let held = held.map_or(String::new(), |left| format!(" in {left:.0} s"));
    format!("  {detail}{held}, for {:.0} s{ejected}", cause.for_seconds)
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
