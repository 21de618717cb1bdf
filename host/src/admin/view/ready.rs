//! Whether this instance should get traffic.

use crate::admin::backend::{GeoStatus, LoadStatus, Readiness, StatusSnapshot, TaskStatus};
use serde::{Deserialize, Serialize};
use std::time::SystemTime;

/// `GET /readyz`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ready {
    /// Whether this instance should get traffic.
    pub ready: bool,
    /// `ready`, `lame_duck` (about to stop, still answering) or `draining`.
    pub status: String,
    /// The number of the routing table.
    pub generation: u64,
    /// The load results; after a rejection the last good one is active.
    pub loads: Vec<Load>,
    /// The tasks that were restarted since the start: while one of them fails, what it makes is stale.
    pub tasks: Vec<Task>,
    /// The keys of the configuration whose new values take effect at the next start.
    #[serde(default)]
    pub pending_restart: Vec<String>,
    /// The active location table.
    pub geo: Geo,
    /// The publishing to Front Door; null when none is configured.
    pub front_door: Option<FrontDoor>,
}

/// A supervised task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Its name.
    pub task: String,
    /// How often it was restarted.
    pub restarts: u64,
    /// Whether it keeps failing; then `/livez` answers 503.
    pub failed: bool,
}

/// Whether publishing works. It does not decide whether this instance should get traffic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrontDoor {
    /// Why the publisher does not run, though it should.
    pub error: Option<String>,
}

/// The load results of one kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// `config`, `geo` or `plugin`.
    pub what: String,
    /// How often it was accepted.
    pub accepted: u64,
    /// How often it was rejected.
    pub rejected: u64,
    /// When it was last accepted.
    pub last_accepted: Option<String>,
    /// Why it was rejected, as long as nothing was accepted since.
    pub error: Option<String>,
    /// Since when what is active has been good, when it was restored at the start because what there was had been rejected.
    pub restored: Option<String>,
}

/// The location table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Geo {
    /// The name in the database's metadata.
    pub database: String,
    /// When it was built.
    pub built: Option<String>,
    /// How many networks of it have a place.
    pub networks: u64,
    /// Of those, the IPv4 ones.
    #[serde(default)]
    pub ipv4_networks: u64,
    /// Of those, the IPv6 ones.
    #[serde(default)]
    pub ipv6_networks: u64,
    /// How many places the table has.
    #[serde(default)]
    pub places: usize,
    /// The family, `IPv4` or `IPv6`, that the databases have no place for, so that the embedded table is used.
    #[serde(default)]
    pub filled: Option<String>,
    /// Whether a database is older than 30 days.
    #[serde(default)]
    pub stale: bool,
    /// What its licence asks to be shown.
    pub attribution: Option<String>,
}

impl Ready {
    pub(in crate::admin) fn of(snapshot: &StatusSnapshot, readiness: Readiness) -> Self {
        Self {
            ready: readiness == Readiness::Ready,
            status: readiness.as_str().into(),
            generation: snapshot.generation.0,
            loads: snapshot.loads.iter().map(Load::from).collect(),
            tasks: snapshot
                .tasks
                .iter()
                .filter(|task| task.restarts > 0)
                .map(Task::from)
                .collect(),
            pending_restart: snapshot.pending_restart.iter().map(ToString::to_string).collect(),
            geo: Geo::from(&snapshot.geo),
            front_door: snapshot.front_door.as_ref().map(|notice| FrontDoor {
                error: notice.trouble().map(Into::into),
            }),
        }
    }
}

impl From<&TaskStatus> for Task {
    fn from(task: &TaskStatus) -> Self {
        Self {
            task: task.name.clone(),
            restarts: task.restarts,
            failed: task.failed,
        }
    }
}

impl From<&LoadStatus> for Load {
    fn from(load: &LoadStatus) -> Self {
        Self {
            what: load.what.into(),
            accepted: load.accepted,
            rejected: load.rejected,
            last_accepted: load.last_accepted.map(timestamp),
            error: load.standing_error.clone(),
            restored: load.restored.map(timestamp),
        }
    }
}

impl From<&GeoStatus> for Geo {
    fn from(geo: &GeoStatus) -> Self {
        Self {
            database: geo.database.clone(),
            built: geo.built.map(timestamp),
            networks: geo.networks,
            ipv4_networks: geo.ipv4_networks,
            ipv6_networks: geo.ipv6_networks,
            places: geo.places,
            filled: geo.filled.map(Into::into),
            stale: geo.stale,
            attribution: geo.attribution.clone(),
        }
    }
}

fn timestamp(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}
