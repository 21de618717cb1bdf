//! What needs an operator's attention.

use crate::admin::backend::{PluginStatus, StatusSnapshot};
use crate::tls::{Pair, Validity};
use crate::vitals::Vitals;
use portolan_core::endpoint::EndpointState;
use portolan_core::health::{ServiceHealth, State};
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant, SystemTime};

/// How long after its end a quarantine still counts: one that keeps beginning anew is shown without a break.
const QUARANTINE_COUNTS: Duration = Duration::from_secs(60);

/// How long a suspended version counts that is not the configured one.
const SUSPENSION_COUNTS: Duration = Duration::from_secs(24 * 60 * 60);

/// `GET /api/v1/attention`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attention {
    /// What needs attention, errors first. Empty when nothing does.
    pub items: Vec<AttentionItem>,
}

/// Something that needs attention.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttentionItem {
    /// What: `config_rejected`, `geo_rejected`, `service_tags_rejected`, `plugin_rejected`, `tls_rejected`, `upstream_tls_rejected`
    /// and the same with `_restored`; `isolated`, `panic_mode`, `region_unhealthy`, `region_without_endpoint`, `plugin_suspended`,
    /// `plugin_quarantined`, `geo_stale`, `certificate_expiring`, `certificate_expired`, `task_failing`, `front_door_failing`,
    /// `restart_pending`.
    pub kind: String,
    /// `error`: requests fail, or are about to; `warning`: they are answered.
    pub level: String,
    /// What it is about: a service, a region, a plugin, a name. Empty where there is only one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subject: String,
    /// What it is, in a sentence.
    pub text: String,
    /// Since when, as RFC 3339, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
}

impl AttentionItem {
    fn new(level: &str, kind: impl Into<String>, subject: impl ToString, text: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            level: level.into(),
            subject: subject.to_string(),
            text: text.into(),
            since: None,
        }
    }

    fn error(kind: impl Into<String>, subject: impl ToString, text: impl Into<String>) -> Self {
        Self::new("error", kind, subject, text)
    }

    fn warning(kind: impl Into<String>, subject: impl ToString, text: impl Into<String>) -> Self {
        Self::new("warning", kind, subject, text)
    }

    fn since(mut self, since: SystemTime) -> Self {
        self.since = Some(humantime::format_rfc3339_seconds(since).to_string());
        self
    }

    /// Whether requests fail because of it, or are about to.
    pub fn is_error(&self) -> bool {
        self.level == "error"
    }
}

impl Attention {
    /// As things stand, by both clocks.
    pub fn of(snapshot: &StatusSnapshot, now: Instant, time: SystemTime) -> Self {
        let mut items = Vec::new();
        services(&mut items, snapshot, now, time);
        loads(&mut items, snapshot);
        for plugin in &snapshot.plugins {
            of_plugin(&mut items, plugin, time);
        }
        for (listener, tls) in &*snapshot.tls {
            for pair in tls.certificates.pairs() {
                items.extend(certificate(&format!("listener {}", listener.as_str()), pair, time));
            }
        }
        if let Some(tls) = &snapshot.admin_tls {
            for pair in tls.context().certificates.pairs() {
                items.extend(certificate("the administration", pair, time));
            }
        }
        for task in snapshot.tasks.iter().filter(|task| task.failed) {
            let text = format!("task {} keeps failing: what it makes is stale", task.name);
            items.push(AttentionItem::error("task_failing", &task.name, text));
        }
        if let Some(trouble) = snapshot
            .front_door
            .as_ref()
            .and_then(|it| it.trouble().map(str::to_owned))
        {
            let text = format!("nothing is published to Front Door: {trouble}");
            items.push(AttentionItem::warning("front_door_failing", "", text));
        }
        if !snapshot.pending_restart.is_empty() {
            let keys = snapshot.pending_restart.join(", ");
            let text = format!("new values take effect at the next start: {keys}");
            items.push(AttentionItem::warning("restart_pending", "", text));
        }
        items.sort_by_key(|item| !item.is_error());
        Self { items }
    }
}

fn services(items: &mut Vec<AttentionItem>, snapshot: &StatusSnapshot, now: Instant, time: SystemTime) {
    if snapshot.health.is_isolated() {
        let text = "no gateway of any service can be reached: this instance's own network has probably failed";
        items.push(AttentionItem::error("isolated", "", text));
    }
    for (index, (service, shown)) in snapshot.config.services().iter().zip(&snapshot.services).enumerate() {
        let unknown = ServiceHealth::unknown(service.gateways().len());
        let health = snapshot.health.services().get(index).unwrap_or(&unknown);
        if super::regions::is_panic(service, health) {
            let text = format!("{}: all regions are unhealthy, so that health is ignored", service.name);
            items.push(AttentionItem::error("panic_mode", &service.name, text));
        }
        let gateways = service.gateways().iter().zip(&shown.gateways);
        for ((gateway, vitals), health) in gateways.zip(health.gateways()) {
            let subject = format!("{}/{}", service.name, gateway.region);
            let item = match health.state {
                State::Unhealthy => {
                    let cause = health.why.cause.map_or(String::new(), |cause| format!(": {cause}"));
                    let text = format!("{} is unhealthy for {}{cause}", gateway.region, service.name);
                    AttentionItem::warning("region_unhealthy", subject, text)
                }
                State::Draining => continue,
                _ if is_without_endpoint(vitals, now) => {
                    let text = format!("{} has no healthy endpoint for {}", gateway.region, service.name);
                    AttentionItem::warning("region_without_endpoint", subject, text)
                }
                _ => continue,
            };
            let ago = health.why.since.map(|since| now.saturating_duration_since(since));
            let since = ago.and_then(|ago| time.checked_sub(ago));
            items.push(match since {
                Some(since) => item.since(since),
                None => item,
            });
        }
    }
}

/// Whether a gateway has several endpoints, and none of them is available. A single one is as healthy as its gateway.
fn is_without_endpoint(vitals: &Vitals, now: Instant) -> bool {
    let endpoints = vitals.endpoints.status(now);
    endpoints.len() > 1 && endpoints.iter().all(|it| it.state != EndpointState::Available)
}

fn loads(items: &mut Vec<AttentionItem>, snapshot: &StatusSnapshot) {
    for load in &snapshot.loads {
        if let Some(error) = &load.standing_error {
            let text = format!(
                "{} was rejected, the one before is active: {error}",
                described(load.what)
            );
            items.push(AttentionItem::warning(format!("{}_rejected", load.what), "", text));
        }
        if let Some(restored) = load.restored {
            let text = format!(
                "{}: the last good one of an earlier run is active",
                described(load.what)
            );
            items.push(AttentionItem::warning(format!("{}_restored", load.what), "", text).since(restored));
        }
    }
    if snapshot.geo.stale {
        let text = format!("location database {} is older than 30 days", snapshot.geo.database);
        let item = AttentionItem::warning("geo_stale", "", text);
        items.push(match snapshot.geo.built {
            Some(built) => item.since(built),
            None => item,
        });
    }
}

fn described(what: &str) -> &str {
    match what {
        "config" => "the configuration",
        "geo" => "a location database",
        "service_tags" => "a file of service tags",
        "plugin" => "a plugin",
        "tls" => "a certificate",
        "upstream_tls" => "a certificate for gateways",
        other => other,
    }
}

fn of_plugin(items: &mut Vec<AttentionItem>, plugin: &PluginStatus, time: SystemTime) {
    let short = |digest: &str| digest.get(..12).unwrap_or(digest).to_owned();
    for (digest, ordered) in &plugin.suspended {
        let is_configured = plugin
            .pinned
            .as_ref()
            .is_some_and(|(_, configured, _)| configured == digest);
        let age = time.duration_since(ordered.since).unwrap_or_default();
        if is_configured || age < SUSPENSION_COUNTS {
            let text = format!(
                "version {} of plugin {} is suspended: {}",
                short(digest),
                plugin.name,
                ordered.reason
            );
            items.push(AttentionItem::warning("plugin_suspended", &plugin.name, text).since(ordered.since));
        }
    }
    if let Some(quarantine) = &plugin.quarantine
        && time < quarantine.until + QUARANTINE_COUNTS
    {
        let text = format!(
            "plugin {} keeps failing ({}): it is not called for a while, and the built-in policy decides",
            plugin.name, quarantine.reason
        );
        items.push(AttentionItem::warning("plugin_quarantined", &plugin.name, text).since(quarantine.since));
    }
}

fn certificate(user: &str, pair: &Pair, time: SystemTime) -> Option<AttentionItem> {
    let name = pair.names.first().map_or("", |name| &**name);
    let at = humantime::format_rfc3339_seconds(pair.not_after);
    match pair.validity(time) {
        Validity::ExpiresSoon(left) => {
            let days = left.as_secs() / 86_400;
            let text = format!("the certificate for {name} of {user} expires in {days} days, at {at}");
            Some(AttentionItem::warning("certificate_expiring", name, text))
        }
        Validity::Expired => {
            let text = format!("the certificate for {name} of {user} expired at {at}");
            Some(AttentionItem::error("certificate_expired", name, text))
        }
        Validity::NotYet | Validity::Valid => None,
    }
}
