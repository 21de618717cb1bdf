//! A plugin version that is not active yet, as requests meet it: it decides for a share of the clients, or copies of requests in
//! shadow. What becomes of it is decided in [`portolan_core::rollout`].

mod shadow;
mod version_vitals;

pub use shadow::{Countries, Shadow, ShadowReading};
pub use version_vitals::VersionVitals;

use crate::plugin::{PluginEngine, PluginVersion};
use portolan_core::id::PluginName;
use portolan_core::rollout::{Evidence, Stage, client_hash};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

/// What operators and rollouts change about plugins, besides which version is active.
#[derive(Clone, Debug, Default)]
pub struct Rollouts {
    /// The plugins that are off: the built-in policy decides.
    pub off: BTreeSet<PluginName>,
    /// The versions that are being rolled out.
    pub trials: BTreeMap<PluginName, Arc<Trial>>,
}

/// A version in one stage of its rollout.
#[derive(Debug)]
pub struct Trial {
    /// The version.
    pub version: Arc<PluginVersion>,
    /// Its stage.
    pub stage: Stage,
    /// What is counted of it and of the active version, since its rollout began.
    pub vitals: Arc<TrialVitals>,
    /// Where copies of requests go, in shadow.
    pub shadow: Option<Arc<Shadow>>,
    salt: u64,
    /// Clients whose hash is below this have their requests decided by it; 0 in shadow.
    bound: u64,
}

/// What is counted of both versions of a plugin while one is rolled out.
#[derive(Debug)]
pub struct TrialVitals {
    /// Of the version that is rolled out.
    pub candidate: VersionVitals,
    /// Of the active one, in the same time.
    pub active: VersionVitals,
}

impl TrialVitals {
    /// Counters for this many workers.
    pub fn new(workers: usize) -> Self {
        Self {
            // One more, for the thread of the shadow.
            candidate: VersionVitals::new(workers + 1),
            active: VersionVitals::new(workers),
        }
    }

    /// What was counted so far.
    pub fn evidence(&self) -> Evidence {
        Evidence {
            candidate: self.candidate.counts(),
            active: self.active.counts(),
        }
    }
}

impl Trial {
    /// A version in a stage. In shadow, `engine` runs it on a thread of its own until the last copy of this is dropped.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn new(
        version: Arc<PluginVersion>,
        stage: Stage,
        vitals: Arc<TrialVitals>,
        engine: &PluginEngine,
    ) -> io::Result<Self> {
        let shadow = match stage {
            Stage::Shadow => Some(Arc::new(Shadow::start(&version, &vitals, engine)?)),
            Stage::Canary(_) => None,
        };
        Ok(Self {
            salt: salt(&version.digest),
            version,
            stage,
            vitals,
            shadow,
            bound: match stage {
                Stage::Shadow => 0,
                Stage::Canary(share) => share.bound(),
            },
        })
    }

    /// Whether it decides the requests of a client.
    #[inline]
    pub fn decides(&self, client: IpAddr) -> bool {
        self.bound > 0 && client_hash(client, self.salt) < self.bound
    }

    /// The counters of the version that decides the requests of a client.
    pub fn vitals_for(&self, client: IpAddr) -> &VersionVitals {
        match self.decides(client) {
            true => &self.vitals.candidate,
            false => &self.vitals.active,
        }
    }
}

/// A number that differs from version to version.
fn salt(digest: &str) -> u64 {
    let digits = digest.get(..16).unwrap_or_default();
    u64::from_str_radix(digits, 16).unwrap_or(0)
}
