//! `portolan plugin deploy`, `promote`, `rollback`, `off` and `on`: orders to a running instance.

use crate::admin::view::plugins::PluginChange;
use crate::cli::admin_client::{AdminClient, parse};
use crate::cli::{complete, output};
use anyhow::{Context, bail};
use bytes::Bytes;
use clap_complete::ArgValueCandidates;
use form_urlencoded::Serializer;
use http::Method;
use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// How long an instance may take to compile and try a component.
const PATIENCE: Duration = Duration::from_secs(120);

/// Which plugin of which instance, who orders it, and why.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Order {
    /// The plugin
    #[arg(add = ArgValueCandidates::new(complete::plugins))]
    plugin: String,
    /// Why, for the events of the instance
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Who, for the events of the instance, besides what it knows of this client; default: the user's name
    #[arg(long, value_name = "NAME")]
    author: Option<String>,
    #[command(flatten)]
    instance: AdminClient,
}

/// A component, and how it is rolled out.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Deploy {
    #[command(flatten)]
    order: Order,
    /// Its component, such as target/canary.wasm
    file: PathBuf,
    /// Begin in shadow: it decides copies of requests, and its decisions are compared
    #[arg(long, conflicts_with_all = ["canary", "active"])]
    shadow: bool,
    /// Begin as a canary for this share of the clients, such as 10%
    #[arg(long, value_name = "SHARE", conflicts_with = "active")]
    canary: Option<String>,
    /// Make it active at once
    #[arg(long)]
    active: bool,
}

/// Which stages end.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Promote {
    #[command(flatten)]
    order: Order,
    /// Make it active, without the stages that are left
    #[arg(long)]
    full: bool,
    /// Make the configured version active also when it is suspended because it was rolled back
    #[arg(long)]
    force: bool,
}

/// Back to the version before, or to the configured one.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Rollback {
    #[command(flatten)]
    order: Order,
    /// End the rollback: the configured version becomes active again
    #[arg(long)]
    end: bool,
}

pub(super) fn deploy(arguments: &Deploy) -> anyhow::Result<ExitCode> {
    let Deploy { order, file, .. } = arguments;
    let component = fs::read(file).with_context(|| format!("failed to read {}", file.display()))?;
    let mut query = order.query();
    if arguments.shadow {
        query.append_pair("stage", "shadow");
    }
    if arguments.active {
        query.append_pair("stage", "active");
    }
    if let Some(share) = &arguments.canary {
        query.append_pair("stage", "canary").append_pair("share", share);
    }
    order.send("deploy", query, component.into())
}

pub(super) fn promote(arguments: &Promote) -> anyhow::Result<ExitCode> {
    let mut query = arguments.order.query();
    for (flag, is_set) in [("full", arguments.full), ("force", arguments.force)] {
        if is_set {
            query.append_pair(flag, "true");
        }
    }
    arguments.order.send("promote", query, Bytes::new())
}

pub(super) fn rollback(arguments: &Rollback) -> anyhow::Result<ExitCode> {
    let order = if arguments.end { "rollforward" } else { "rollback" };
    arguments.order.send(order, arguments.order.query(), Bytes::new())
}

pub(super) fn switch(order: &Order, word: &str) -> anyhow::Result<ExitCode> {
    order.send(word, order.query(), Bytes::new())
}

impl Order {
    /// Who orders it, and why.
    fn query(&self) -> Serializer<'static, String> {
        let mut query = Serializer::new(String::new());
        let user = || env::var("USER").or_else(|_| env::var("LOGNAME")).ok();
        let author = self.author.clone().or_else(user);
        if let Some(author) = author.filter(|author| !author.is_empty()) {
            query.append_pair("author", &author);
        }
        if let Some(reason) = &self.reason {
            query.append_pair("reason", reason);
        }
        query
    }

    fn send(&self, word: &str, mut query: Serializer<'static, String>, body: Bytes) -> anyhow::Result<ExitCode> {
        let plugin = &self.plugin;
        if plugin.contains(['/', '?', '#', '%']) {
            bail!("{plugin:?} is not the name of a plugin");
        }
        let path = format!("/api/v1/plugins/{plugin}/{word}?{}", query.finish());
        let change: PluginChange = parse(&self.instance.send(PATIENCE, Method::POST, &path, body)?)?;
        output::print(&shown(&change))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// What an order has changed, for people.
pub(in crate::cli) fn shown(change: &PluginChange) -> String {
    let PluginChange {
        plugin,
        digest,
        state,
        share,
        kept,
    } = change;
    let state = match (state.as_str(), share) {
        ("off", _) => "off: the built-in policy decides".to_owned(),
        ("canary", Some(share)) => format!("version {digest} decides for {share} of the clients"),
        ("shadow", _) => format!("version {digest} is in shadow"),
        (state, _) => format!("version {digest} is {state}"),
    };
    let note = match kept {
        true => "",
        false => "  (until the next start: the instance has no state directory, --state DIR)\n",
    };
    format!("{plugin}: {state}\n{note}")
}
