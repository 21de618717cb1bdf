//! Orders about plugins.

use super::Caller;
use super::answer::{Answer, Failure, json};
use super::backend::{AdminBackend, OrderError, PluginAction};
use super::query::parameters;
use super::view::plugins::PluginChange;
use crate::config;
use crate::control::overrides::Ordered;
use crate::control::reload::PluginOrder;
use crate::plugin::PluginLimits;
use http::StatusCode;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use portolan_core::id::PluginName;
use portolan_core::rollout::{Share, Start};
use std::time::Duration;
use tokio::time::timeout;

/// The most bytes of a component; the limit of its plugin, which may be less, holds when it is loaded.
const MAX_FILE: u64 = PluginLimits::MAX_FILE;

/// How long a component may take to come.
const PATIENCE: Duration = Duration::from_secs(60);

/// The longest reason or author, in characters.
const LONGEST: usize = 500;

/// Carries out an order about a plugin.
pub(super) async fn order(
    instance: &dyn AdminBackend,
    caller: &Caller,
    (plugin, action): (PluginName, PluginAction),
    query: &str,
    body: Incoming,
) -> Answer {
    let snapshot = instance.snapshot();
    let mut known = snapshot.plugins.into_iter().map(|plugin| plugin.name);
    if !known.any(|known| known == plugin) {
        let known = instance.snapshot().plugins.into_iter().map(|plugin| plugin.name);
        return Failure::new(format!("there is no plugin {plugin}"))
            .known(known.collect::<Vec<_>>())
            .answer(StatusCode::NOT_FOUND);
    }
    let parsed = Parameters::read(query, action);
    let parameters = match parsed {
        Ok(parameters) => parameters,
        Err(failure) => return failure.answer(StatusCode::BAD_REQUEST),
    };
    let by = Ordered::now(match &parameters.author {
        // What a client says of itself, and what is known of it.
        Some(author) => format!("{author} ({})", caller.name),
        None => caller.name.clone(),
    });
    let by = by.because(parameters.reason);
    let order = match action {
        PluginAction::RollBack => PluginOrder::RollBack,
        PluginAction::RollForward => PluginOrder::RollForward,
        PluginAction::Off => PluginOrder::Off,
        PluginAction::On => PluginOrder::On,
        PluginAction::Promote => PluginOrder::Promote {
            full: parameters.full,
            force: parameters.force,
        },
        PluginAction::Deploy => {
            let too_large = || {
                let failure = Failure::new(format!("a component has at most {MAX_FILE} bytes"));
                failure.answer(StatusCode::PAYLOAD_TOO_LARGE)
            };
            if body.size_hint().lower() > MAX_FILE {
                return too_large();
            }
            let body = match timeout(PATIENCE, Limited::new(body, MAX_FILE as usize).collect()).await {
                Ok(Ok(body)) => body.to_bytes(),
                Ok(Err(error)) if error.is::<LengthLimitError>() => return too_large(),
                Ok(Err(error)) => return Failure::new(error).answer(StatusCode::BAD_REQUEST),
                Err(_) => {
                    let failure = Failure::new("the component did not come in time");
                    return failure.answer(StatusCode::REQUEST_TIMEOUT);
                }
            };
            if body.is_empty() {
                return Failure::new("the component is missing")
                    .hint("send it as the body, as portolan plugin deploy does")
                    .answer(StatusCode::BAD_REQUEST);
            }
            PluginOrder::Deploy(body, parameters.start)
        }
    };
    match instance.order_plugin(plugin.clone(), order, by).await {
        Ok(changed) => json(&PluginChange::of(&plugin, &changed, snapshot.keeps_overrides)),
        Err(error @ OrderError::Rejected(_)) => Failure::new(error)
            .hint("the active version remains active")
            .answer(StatusCode::UNPROCESSABLE_ENTITY),
        Err(error) => Failure::of_order(&error),
    }
}

/// The parameters of an order.
#[derive(Debug, Default)]
struct Parameters {
    start: Start,
    reason: String,
    author: Option<String>,
    full: bool,
    force: bool,
}

impl Parameters {
    fn read(query: &str, action: PluginAction) -> Result<Self, Failure> {
        let known: &[&str] = match action {
            PluginAction::Deploy => &["stage", "share", "reason", "author"],
            PluginAction::Promote => &["full", "force", "reason", "author"],
            PluginAction::RollBack | PluginAction::RollForward | PluginAction::Off | PluginAction::On => {
                &["reason", "author"]
            }
        };
        let (mut read, mut share) = (Self::default(), None);
        for (key, value) in parameters(query) {
            if !known.contains(&&*key) {
                return Err(Failure::new(format!("there is no parameter {key:?}")).known(known));
            }
            match &*key {
                "stage" => read.start = stage(&value)?,
                "share" => {
                    let wrong = || Failure::new(format!("share={value} is not a share; write 10% or 0.5%"));
                    share = Some(config::share(&value).ok_or_else(wrong)?);
                }
                "reason" => read.reason = line(&key, &value)?,
                "author" => read.author = Some(line(&key, &value)?),
                "full" => read.full = flag(&key, &value)?,
                "force" => read.force = flag(&key, &value)?,
                _ => {}
            }
        }
        match (&mut read.start, share) {
            (Start::Canary(of), Some(share)) => *of = share,
            (_, Some(_)) => return Err(Failure::new("a share is for stage=canary")),
            (_, None) => {}
        }
        Ok(read)
    }
}

fn stage(text: &str) -> Result<Start, Failure> {
    let tenth = Share::permille(100).map(Start::Canary);
    match text {
        "shadow" => Ok(Start::Shadow),
        "canary" => Ok(tenth.unwrap_or_default()),
        "active" => Ok(Start::Active),
        _ => Err(Failure::new(format!("stage={text} is not a stage")).known(["shadow", "canary", "active"])),
    }
}

fn flag(key: &str, text: &str) -> Result<bool, Failure> {
    match text {
        "" | "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(Failure::new(format!("{key}={text} is neither true nor false"))),
    }
}

/// A text of one line.
fn line(key: &str, text: &str) -> Result<String, Failure> {
    let text = text.trim();
    if text.chars().count() > LONGEST || text.chars().any(char::is_control) {
        return Err(Failure::new(format!(
            "{key} has to be one line of at most {LONGEST} characters"
        )));
    }
    Ok(text.to_owned())
}
