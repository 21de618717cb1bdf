//! The publisher's configuration, as plain values. The host reads them from the `front_door:` section of its file.
//!
//! [`Settings::check`] finds all mistakes at once, each with its path in the section; a publisher does not start with
//! any. [`Settings::warnings`] are for operators.

mod check;
mod cloud;
mod timing;

pub use check::Mistake;
pub use cloud::{Access, Cloud, Credential, SecretSource, StoreSettings};
pub use timing::{LeaseTiming, ProbeTiming, Timing, VoteTiming};

pub(crate) use check::may_be_called;

use crate::names::VantageName;
use crate::origin::Baseline;
use portolan_core::id::RegionName;

/// A publisher's configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whether changes are sent.
    pub mode: Mode,
    /// The Front Door.
    pub front_door: FrontDoorResource,
    /// The origins managed here, one per region.
    pub origins: Vec<Baseline>,
    /// How this instance authenticates to the management API and the store.
    pub credential: Credential,
    /// Where the management API and the authority are.
    pub cloud: Cloud,
    /// This instance's name among the vantages.
    pub vantage: VantageName,
    /// All instances that vote, alive or not: the quorum counts them all.
    pub vantages: Vec<Vantage>,
    /// The shared store. Without one this instance is alone, and its own quorum of one.
    pub store: Option<StoreSettings>,
    /// Limits on changes, whatever the votes are.
    pub caps: Caps,
    /// How long observations must hold, and how often changes may follow one another.
    pub timing: Timing,
    /// How votes are written and read.
    pub votes: VoteTiming,
    /// How one instance at a time is elected leader.
    pub lease: LeaseTiming,
    /// The answers to probes.
    pub probe: ProbeTiming,
}

impl Settings {
    /// Settings with every default: a dry run, alone, with the workload identity of the pod.
    pub fn new(front_door: FrontDoorResource, origins: Vec<Baseline>, vantage: VantageName) -> Self {
        Self {
            mode: Mode::DryRun,
            front_door,
            origins,
            credential: Credential::workload_identity(),
            cloud: Cloud::public(),
            vantages: vec![Vantage::named(vantage.clone())],
            vantage,
            store: None,
            caps: Caps::default(),
            timing: Timing::default(),
            votes: VoteTiming::default(),
            lease: LeaseTiming::default(),
            probe: ProbeTiming::default(),
        }
    }

    /// Whether a region would be demoted if all vantages saw it unhealthy.
    pub fn can_be_demoted(&self, region: &RegionName) -> bool {
        let outside = self.vantages.iter().filter(|vantage| vantage.is_outside(region));
        outside.count() >= outsiders_needed(self.vantages.len())
    }

    /// The origin of a region.
    pub fn origin(&self, region: &RegionName) -> Option<&Baseline> {
        self.origins.iter().find(|origin| &origin.region == region)
    }
}

/// Whether changes are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// No publisher at all. The fast path answers from this instance's own view.
    Off,
    /// Votes, reads and plans, never leads, never writes to Front Door.
    #[default]
    DryRun,
    /// Sends the changes when it leads.
    Apply,
}

impl Mode {
    /// The word for it in configuration, metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::DryRun => "dry-run",
            Self::Apply => "apply",
        }
    }
}

/// The resource in Azure whose origins are ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FrontDoorResource {
    /// Standard or Premium: an origin group of a `Microsoft.Cdn` profile.
    Standard {
        /// The subscription's id.
        subscription: String,
        /// The resource group.
        resource_group: String,
        /// The profile.
        profile: String,
        /// The origin group of the service.
        origin_group: String,
    },
    /// Classic: a backend pool of a `Microsoft.Network` front door. Retires on 2027-03-31.
    Classic {
        /// The subscription's id.
        subscription: String,
        /// The resource group.
        resource_group: String,
        /// The front door.
        front_door: String,
        /// The backend pool of the service.
        backend_pool: String,
    },
}

impl FrontDoorResource {
    /// A name for people: profile and group.
    pub fn name(&self) -> String {
        match self {
            Self::Standard {
                profile, origin_group, ..
            } => format!("{profile}/{origin_group}"),
            Self::Classic {
                front_door,
                backend_pool,
                ..
            } => format!("{front_door}/{backend_pool} (classic)"),
        }
    }
}

/// An instance that votes, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vantage {
    /// Its name.
    pub name: VantageName,
    /// The region it stands in: its view of that region may share the region's faults and weighs less. `None`: outside all.
    pub region: Option<RegionName>,
}

impl Vantage {
    /// Whether it sees the region from outside.
    pub fn is_outside(&self, region: &RegionName) -> bool {
        self.region.as_ref() != Some(region)
    }

    /// A vantage named for the region that it stands in.
    pub fn named(name: VantageName) -> Self {
        let region = Some(RegionName::from(name.as_str()));
        Self { name, region }
    }
}

/// How many vantages outside a region must see it unhealthy before the quorum does. A single vantage is its own
/// quorum of one and has no others.
pub fn outsiders_needed(vantages: usize) -> usize {
    if vantages <= 1 { 0 } else { 2 }
}

/// Limits on changes, whatever the votes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// So many regions stay as configured. Default 1, which leaves no spare: 2 is better with three regions or more.
    pub min_active: usize,
    /// What a drain does.
    pub drain: DrainAction,
}

impl Default for Caps {
    fn default() -> Self {
        Self {
            min_active: 1,
            drain: DrainAction::Disable,
        }
    }
}

/// What publishing a drain does to the origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DrainAction {
    /// Disables it: no request goes there, even if all others fail. Never the last enabled one.
    #[default]
    Disable,
    /// Demotes it, as a failure would.
    Demote,
}

#[cfg(test)]
mod tests;
