//! What has happened to this instance, as a list: the last events, each with a number, for operators and their tools.

use crate::plugin::Quarantined;
use crate::vitals::GatewayKey;
use portolan_core::health::transition::Transition;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::sync::watch;
use tokio::time::timeout;

/// How many events are kept: the last ones.
const KEPT: usize = 1_000;

/// What kind of event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// A configuration is active.
    ConfigAccepted,
    /// A configuration was rejected; the one before remains active.
    ConfigRejected,
    /// Location databases are active.
    GeoAccepted,
    /// Location databases were rejected; those before remain active.
    GeoRejected,
    /// Files of service tags are active.
    ServiceTagsAccepted,
    /// Files of service tags were rejected; those before remain active.
    ServiceTagsRejected,
    /// Certificates and keys of listeners are active.
    TlsAccepted,
    /// A certificate or a key of a listener was rejected; the one before remains active.
    TlsRejected,
    /// What TLS with the gateways of a service needs is active.
    UpstreamTlsAccepted,
    /// What TLS with the gateways of a service needs was rejected; what was active before remains active.
    UpstreamTlsRejected,
    /// A certificate ends within 30 days.
    CertificateExpiring,
    /// A certificate has ended.
    CertificateExpired,
    /// A location database is older than 30 days.
    GeoStale,
    /// The state of a gateway changed.
    HealthChanged,
    /// All regions of a service are unhealthy: health is ignored.
    PanicBegan,
    /// A region of a service is healthy again: health counts.
    PanicEnded,
    /// An operator drained a region.
    RegionDrained,
    /// An operator ended the drain of a region.
    RegionUndrained,
    /// An operator ordered a region back that had recovered and waited.
    RegionFailedBack,
    /// A drill began: a region is going to be lost to a share of the clients.
    DrillBegan,
    /// A drill ended.
    DrillEnded,
    /// An operator asked for something: the audit log. The subject is what, the author who.
    OperatorAction,
    /// A component was fetched from a registry and verified.
    PluginFetched,
    /// A version of a plugin was compiled and tried: it can be used.
    PluginTried,
    /// A version of a plugin was rejected; the active one remains active.
    PluginRejected,
    /// A version of a plugin decides copies of requests.
    PluginShadow,
    /// A version of a plugin decides for a share of the clients.
    PluginCanary,
    /// A version of a plugin is active.
    PluginActive,
    /// A version of a plugin was rolled back: the one before is active.
    PluginRolledBack,
    /// A version of a plugin is not activated again unless an operator orders it.
    PluginSuspended,
    /// A worker does not call a plugin for a while, because of repeated faults.
    PluginQuarantined,
    /// An operator switched a plugin off: the built-in policy decides.
    PluginOff,
    /// An operator switched a plugin on again.
    PluginOn,
}

/// An event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its number, from 1 since the start of the program.
    pub number: u64,
    /// When, as RFC 3339.
    pub time: String,
    /// What happened.
    pub kind: EventKind,
    /// To what: the plugin, the region, or the service and region of a gateway.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub subject: String,
    /// The digest of the version of a plugin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Why, or what exactly.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The operator; `None` where the instance itself did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// What became of an operator's action: `done`, or `refused: ` and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

impl EventKind {
    /// An event of this kind, about this.
    pub fn of(self, subject: impl fmt::Display) -> Event {
        Event {
            number: 0,
            time: String::new(),
            kind: self,
            subject: subject.to_string(),
            digest: None,
            reason: String::new(),
            author: None,
            result: None,
        }
    }
}

impl Event {
    /// About this version.
    pub fn digest(mut self, digest: impl Into<String>) -> Self {
        self.digest = Some(digest.into());
        self
    }

    /// For this reason.
    pub fn reason(mut self, reason: impl fmt::Display) -> Self {
        self.reason = reason.to_string();
        self
    }

    /// With this result.
    pub fn result(mut self, result: impl Into<String>) -> Self {
        self.result = Some(result.into());
        self
    }

    /// Ordered by this operator.
    pub fn author(mut self, author: Option<&str>) -> Self {
        self.author = author.map(ToOwned::to_owned);
        self
    }
}

/// The last events of an instance.
#[derive(Debug)]
pub struct Events {
    kept: Mutex<VecDeque<Event>>,
    /// The number of the latest one.
    latest: watch::Sender<u64>,
}

impl Default for Events {
    fn default() -> Self {
        Self {
            kept: Mutex::default(),
            latest: watch::Sender::new(0),
        }
    }
}

impl Events {
    /// Adds an event, with its number and the time.
    pub fn add(&self, event: Event) {
        let mut kept = self.kept();
        let number = *self.latest.borrow() + 1;
        if kept.len() >= KEPT {
            kept.pop_front();
        }
        kept.push_back(Event {
            number,
            time: humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
            ..event
        });
        drop(kept);
        self.latest.send_replace(number);
    }

    /// Adds events, each with its number and the time.
    pub fn extend(&self, events: impl IntoIterator<Item = Event>) {
        events.into_iter().for_each(|event| self.add(event));
    }

    /// A worker has put a plugin into quarantine.
    pub fn quarantined(&self, quarantined: &Quarantined) {
        let Quarantined {
            plugin,
            digest,
            fault,
            detail,
            rest,
        } = quarantined;
        let reason = format!("{fault}: {detail}; not called for {} s", rest.as_secs());
        self.add(EventKind::PluginQuarantined.of(plugin).digest(digest).reason(reason));
    }

    /// The state of a gateway changed.
    pub fn health_changed(&self, gateway: &GatewayKey, transition: &Transition) {
        let subject = format!("{}/{}", gateway.service, gateway.region);
        let Transition { from, to, cause, .. } = transition;
        let reason = match from == to {
            true => cause.to_string(),
            false => format!("{} → {}: {cause}", from.as_str(), to.as_str()),
        };
        self.add(EventKind::HealthChanged.of(subject).reason(reason));
    }

    /// The events after this number that are still kept, and the number of the latest.
    pub fn since(&self, number: u64) -> (Vec<Event>, u64) {
        let kept = self.kept();
        let after = kept.iter().filter(|event| event.number > number);
        (after.cloned().collect(), *self.latest.borrow())
    }

    /// The same, waited for as long as there are none.
    pub async fn wait_since(&self, number: u64, patience: Duration) -> (Vec<Event>, u64) {
        let mut latest = self.latest.subscribe();
        // The sender lives as long as this.
        let _ = timeout(patience, latest.wait_for(|latest| *latest > number)).await;
        self.since(number)
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<Event>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_events_are_kept_with_their_numbers() {
        let events = Events::default();
        for region in 0..KEPT + 10 {
            events.add(EventKind::RegionDrained.of(region).author(Some("alice")));
        }
        let (all, latest) = events.since(0);
        assert_eq!((all.len(), latest), (KEPT, KEPT as u64 + 10));
        assert_eq!((all[0].number, all[0].subject.as_str()), (11, "10"));
        let (after, _) = events.since(latest - 2);
        assert_eq!(
            after.iter().map(|it| it.number).collect::<Vec<_>>(),
            [latest - 1, latest]
        );
        assert!(events.since(latest + 5).0.is_empty());
    }

    #[tokio::test]
    async fn whoever_waits_gets_the_next_one() {
        let events = Events::default();
        events.add(EventKind::ConfigAccepted.of(""));
        let (none, _) = events.wait_since(1, Duration::ZERO).await;
        assert!(none.is_empty());
        let wait = events.wait_since(1, Duration::from_secs(60));
        let add = async { events.add(EventKind::PluginActive.of("p").digest("d").reason("r")) };
        let ((new, latest), ()) = tokio::join!(wait, add);
        assert_eq!((new.len(), latest), (1, 2));
        let json = serde_json::to_value(&new[0]).expect("JSON");
        assert_eq!(json["kind"], "plugin_active");
        assert!(json.get("author").is_none(), "{json}");
        assert_eq!(serde_json::from_value::<Event>(json).expect("an event"), new[0]);
    }
}
