//! The results of all loads since the start: for metrics, readiness and the administration API.

use super::overrides::Ordered;
use crate::plugin::Quarantined;
use crate::rollout::Trial;
use portolan_core::id::{PluginName, ServiceName};
use portolan_core::rollout::Plan;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// What is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The configuration file.
    Config,
    /// The location databases.
    Geo,
    /// The files of service tags.
    ServiceTags,
    /// A plugin.
    Plugin,
    /// Certificates, keys and certificate authorities of listeners.
    Tls,
    /// Certificate authorities and client certificates for TLS with gateways.
    UpstreamTls,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 6] = [
        Self::Config,
        Self::Geo,
        Self::ServiceTags,
        Self::Plugin,
        Self::Tls,
        Self::UpstreamTls,
    ];

    /// Its name in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Geo => "geo",
            Self::ServiceTags => "service_tags",
            Self::Plugin => "plugin",
            Self::Tls => "tls",
            Self::UpstreamTls => "upstream_tls",
        }
    }
}

/// One thing that is loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The configuration file, and with it everything it names.
    Config,
    /// The location databases.
    Geo,
    /// The files of service tags.
    ServiceTags,
    /// This plugin.
    Plugin(PluginName),
    /// Certificates, keys and certificate authorities of listeners.
    Tls,
    /// What TLS with the gateways of this service needs.
    UpstreamTls(ServiceName),
}

impl Subject {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Config => Kind::Config,
            Self::Geo => Kind::Geo,
            Self::ServiceTags => Kind::ServiceTags,
            Self::Plugin(_) => Kind::Plugin,
            Self::Tls => Kind::Tls,
            Self::UpstreamTls(_) => Kind::UpstreamTls,
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Config | Self::Geo | Self::ServiceTags | Self::Tls => "",
            Self::Plugin(name) => name.as_str(),
            Self::UpstreamTls(name) => name.as_str(),
        }
    }
}

/// The load results of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loads {
    /// How often it was accepted.
    pub accepted: u64,
    /// How often it was rejected.
    pub rejected: u64,
    /// When it was last accepted.
    pub last_accepted: Option<SystemTime>,
    /// Why what there is now is not active; `None` when it is.
    pub error: Option<String>,
    /// Since when what is active has been good, when it is the last good one of an earlier run: what there was at the
    /// start was rejected, and nothing has been accepted since.
    pub restored: Option<SystemTime>,
}

/// Writes of the last good state to the state directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StateWrites {
    /// Successful writes.
    pub kept: u64,
    /// Failed writes.
    pub failed: u64,
}

/// A version of a plugin that is being rolled out.
#[derive(Clone, Debug)]
pub struct RolloutStatus {
    /// The version, its stage, and what is counted of it.
    pub trial: Arc<Trial>,
    /// All its stages.
    pub plan: Plan,
    /// The index of its stage.
    pub at: usize,
    /// For how long it has been in it.
    pub elapsed: Duration,
    /// Until it goes on; `None`: when an operator promotes it.
    pub remaining: Option<Duration>,
    /// When it began, from where, and why.
    pub ordered: Ordered,
}

/// Versions that were rolled back by themselves since the start, by plugin and by word of the cause.
pub type RolledBack = BTreeMap<(PluginName, &'static str), u64>;
/// What a look at the tag of a plugin in a registry comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PollResult {
    /// The tag names what it named before.
    Unchanged,
    /// It names something else, which was fetched and verified.
    Changed,
    /// The registry failed, or what it has cannot be used.
    Failed,
}

impl PollResult {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Unchanged, Self::Changed, Self::Failed];

    /// Its name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unchanged => "unchanged",
            Self::Changed => "changed",
            Self::Failed => "failed",
        }
    }
}

/// The record of all loads. Shared by the reloader, which writes, and the administration, which reads.
#[derive(Debug, Default)]
pub struct Status(Mutex<Record>);

#[derive(Debug, Default)]
struct Record {
    loads: BTreeMap<Kind, Loads>,
    /// Why something is not active, by kind and name.
    errors: BTreeMap<(Kind, String), String>,
    earlier: BTreeMap<PluginName, String>,
    rollouts: BTreeMap<PluginName, RolloutStatus>,
    rolled_back: RolledBack,
    state_writes: Option<StateWrites>,
    pending_restart: Vec<&'static str>,
    polls: BTreeMap<PollResult, u64>,
    quarantines: BTreeMap<PluginName, Quarantine>,
    active_since: BTreeMap<PluginName, SystemTime>,
}

/// The last quarantine of a plugin: a worker does not call it for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantine {
    /// When it began; of those that followed each other closely, the first one.
    pub since: SystemTime,
    /// When it ends, or ended.
    pub until: SystemTime,
    /// The last fault.
    pub reason: String,
}

/// How soon after its end a quarantine that begins is the same one.
const QUARANTINE_GOES_ON: Duration = Duration::from_secs(60);

impl Status {
    /// Something was loaded and is active. A configuration is with everything it names: no error is left then.
    pub fn accepted(&self, subject: &Subject) {
        let mut record = self.record();
        if *subject == Subject::Config {
            record.errors.clear();
            record.loads.values_mut().for_each(|loads| loads.restored = None);
        }
        let kind = subject.kind();
        record.errors.remove(&(kind, subject.name().to_owned()));
        let loads = record.loads.entry(kind).or_default();
        loads.accepted += 1;
        loads.last_accepted = Some(SystemTime::now());
        loads.restored = None;
    }

    /// Something was rejected; what was active remains active.
    pub fn rejected(&self, subject: &Subject, why: String) {
        let mut record = self.record();
        record.loads.entry(subject.kind()).or_default().rejected += 1;
        record.errors.insert((subject.kind(), subject.name().to_owned()), why);
    }

    /// What was rejected is not there any more, and what is there is active.
    pub fn clear(&self, subject: &Subject) {
        self.record()
            .errors
            .remove(&(subject.kind(), subject.name().to_owned()));
    }

    /// Something was rejected at the start, and what was last good before is active.
    pub fn restored(&self, subject: &Subject, why: String, since: SystemTime) {
        self.rejected(subject, why);
        self.record().loads.entry(subject.kind()).or_default().restored = Some(since);
    }

    /// The load results of one kind so far.
    pub fn of(&self, kind: Kind) -> Loads {
        let record = self.record();
        let errors = record.errors.iter().filter(|((of, _), _)| *of == kind);
        let errors: Vec<_> = errors.map(|(_, error)| error.as_str()).collect();
        Loads {
            error: (!errors.is_empty()).then(|| errors.join("\n")),
            ..record.loads.get(&kind).cloned().unwrap_or_default()
        }
    }

    /// The last good state was written to the state directory, or failed to be.
    pub fn kept(&self, done: bool) {
        let mut record = self.record();
        let writes = record.state_writes.get_or_insert_default();
        writes.kept += u64::from(done);
        writes.failed += u64::from(!done);
    }

    /// Writes of the last good state; `None` without a state directory.
    pub fn state_writes(&self) -> Option<StateWrites> {
        self.record().state_writes
    }

    /// The digest of the version that a plugin had before the current one, which a rollback brings back.
    pub fn earlier(&self, plugin: &PluginName) -> Option<String> {
        self.record().earlier.get(plugin).cloned()
    }

    /// The versions that plugins had before the current ones.
    pub fn set_earlier(&self, earlier: BTreeMap<PluginName, String>) {
        self.record().earlier = earlier;
    }

    /// The versions that are being rolled out.
    pub fn rollouts(&self) -> BTreeMap<PluginName, RolloutStatus> {
        self.record().rollouts.clone()
    }

    /// These versions are being rolled out, and no others.
    pub fn set_rollouts(&self, rollouts: BTreeMap<PluginName, RolloutStatus>) {
        // The ones before may be the last that hold a version, which takes time to drop.
        let before = std::mem::replace(&mut self.record().rollouts, rollouts);
        drop(before);
    }

    /// A version of a plugin was rolled back, because of this.
    pub fn rolled_back(&self, plugin: &PluginName, cause: &'static str) {
        *self.record().rolled_back.entry((plugin.clone(), cause)).or_default() += 1;
    }

    /// The versions that were rolled back by themselves.
    pub fn all_rolled_back(&self) -> RolledBack {
        self.record().rolled_back.clone()
    }

    /// A worker has put a plugin into quarantine.
    pub fn quarantined(&self, quarantined: Quarantined, now: SystemTime) {
        let mut record = self.record();
        let before = record.quarantines.get(&quarantined.plugin);
        let same = before.filter(|before| now < before.until + QUARANTINE_GOES_ON);
        let quarantine = Quarantine {
            since: same.map_or(now, |before| before.since),
            until: same.map_or(now, |before| before.until).max(now + quarantined.rest),
            reason: format!("{}: {}", quarantined.fault, quarantined.detail),
        };
        record.quarantines.insert(quarantined.plugin, quarantine);
    }

    /// The last quarantine of a plugin.
    pub fn quarantine(&self, plugin: &PluginName) -> Option<Quarantine> {
        self.record().quarantines.get(plugin).cloned()
    }

    /// Another version of a plugin is active now.
    pub fn now_active(&self, plugin: &PluginName, now: SystemTime) {
        let mut record = self.record();
        record.active_since.insert(plugin.clone(), now);
        // What was held against the version before.
        record.quarantines.remove(plugin);
    }

    /// Since when the active version of a plugin has been active; `None`: since the start.
    pub fn active_since(&self, plugin: &PluginName) -> Option<SystemTime> {
        self.record().active_since.get(plugin).copied()
    }

    /// The keys whose new values take effect at the next start.
    pub fn pending_restart(&self) -> Vec<&'static str> {
        self.record().pending_restart.clone()
    }

    /// These keys, and no others, have values that take effect at the next start.
    pub fn set_pending_restart(&self, keys: Vec<&'static str>) {
        self.record().pending_restart = keys;
    }

    /// The tag of a plugin in a registry was looked at.
    pub fn polled(&self, result: PollResult) {
        *self.record().polls.entry(result).or_default() += 1;
    }

    /// How often looks at tags came to this.
    pub fn polls(&self, result: PollResult) -> u64 {
        self.record().polls.get(&result).copied().unwrap_or_default()
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_follow_what_is_active() {
        let status = Status::default();
        let plugin = |name: &str| Subject::Plugin(name.into());
        status.rejected(&plugin("a"), "bad a".into());
        status.rejected(&plugin("b"), "bad b".into());
        status.rejected(&Subject::Geo, "bad geo".into());
        assert_eq!(status.of(Kind::Plugin).error.as_deref(), Some("bad a\nbad b"));
        status.accepted(&plugin("b"));
        assert_eq!(
            status.of(Kind::Plugin).error.as_deref(),
            Some("bad a"),
            "a is still bad"
        );
        // A configuration is accepted only with everything it names.
        status.accepted(&Subject::Config);
        for kind in Kind::ALL {
            assert_eq!(status.of(kind).error, None, "{kind:?}");
        }
        assert_eq!(status.of(Kind::Plugin).rejected, 2);
    }
}
