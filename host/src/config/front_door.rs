//! The section `front_door`.
//!
//! The publisher's settings check themselves; what they find is reported at its place in the file. So the settings are put
//! together even when parts of them are wrong, with the default in place of such a part, and are discarded then.

mod checked;
mod origins;
mod times;
mod vantages;

use super::azure::{CloudShape, CredentialShape, StoreSection};
use super::compound::{At, Named, NonEmpty};
use super::error::Mistakes;
use super::publication::{FrontDoorSettings, Publication};
use super::regions::Places;
use super::section::section;
use super::services::ServiceSection;
use super::shape::shown;
use super::suggest::did_you_mean;
use super::values::{Whole, words};
use origins::{ClassicSection, OriginSection, ProfileSection};
use portolan_azure::names::VantageName;
use portolan_azure::settings::{Caps, DrainAction, Mode, Settings};
use std::path::Path;
use times::{LeaseSection, ProbeSection, TimingSection, VotesSection};
use vantages::{VantageShape, VantageWord};

section! {
    /// Publishes the regions' health to Azure Front Door: by answers to its probes, and by the priorities of its origins.
    FrontDoorSection {
        /// off: only probes are answered, from what this instance sees. dry-run: it votes and plans, and changes nothing.
        /// apply: the leader changes the origins. Default: dry-run.
        optional mode: ModeWord,
        /// The service whose regions are published. May be left out when there is only one.
        optional service: At<String>,
        /// The Front Door, Standard or Premium.
        optional profile: Option<ProfileSection>,
        /// A Front Door (classic), instead of profile. It retires on 2027-03-31.
        optional classic: At<Option<ClassicSection>>,
        /// The origins that are managed here, as they should be when all regions are healthy. Front Door's own state is never taken over.
        optional origins: Option<At<NonEmpty<OriginSection>>>,
        /// This instance's name among the vantages. Default: the region in here.
        optional vantage: Option<VantageWord>,
        /// All instances that vote, running or not; a bare name stands in the region of that name. Default: this one alone.
        optional vantages: NonEmpty<VantageShape>,
        /// The shared store: a container of a storage account, which must exist. Without one, this instance is alone.
        optional store: Option<StoreSection>,
        /// Who this instance is for Azure: workload-identity, managed-identity, azure-cli, or one of them with its keys.
        /// Default: workload-identity.
        optional credential: CredentialShape,
        /// Which Azure: public, china, us-government, or one of your own. Default: public.
        optional cloud: CloudShape,
        /// Limits on changes, whatever the votes are.
        optional caps: CapsSection,
        /// How long observations must hold, and how often changes may follow one another.
        optional timing: TimingSection,
        /// How votes are written and read.
        optional votes: VotesSection,
        /// How one instance at a time is elected leader.
        optional lease: LeaseSection,
        /// The answers to Front Door's own probes, on every listener.
        optional probe: ProbeSection,
    }
}

words! {
    /// Whether changes are sent.
    ModeWord {
        /// Probes only.
        Off = "off",
        /// Votes and plans.
        DryRun = "dry-run",
        /// Sends changes.
        Apply = "apply",
    }
}

section! {
    /// Limits on changes, whatever the votes are.
    CapsSection {
        /// So many regions stay as configured. Default: 1.
        optional min_active: Whole<1, 64>,
        /// What a drain does to the origin: disable or demote. Default: disable.
        optional drain: DrainWord,
    }
}

words! {
    /// What a drain does.
    DrainWord {
        /// No request goes there.
        Disable = "disable",
        /// It is tried last.
        Demote = "demote",
    }
}

impl FrontDoorSection {
    /// Checks everything. `here` is the region in `here`, if one is named there. `None` only when something has been
    /// reported.
    pub(super) fn settings(
        &self,
        services: Option<&At<Named<ServiceSection>>>,
        here: Option<&At<String>>,
        places: &Places,
        folder: &Path,
        mistakes: &mut Mistakes<'_>,
    ) -> Option<FrontDoorSettings> {
        let is_described = self.profile.is_some() || self.classic.is_some() || self.origins.is_some();
        let publication = if is_described || self.mode() != Mode::Off {
            let service = self.service(services, mistakes);
            let settings = self.publisher(service.and_then(|found| found.1), here, places, folder, mistakes);
            settings.zip(service).map(|(settings, (service, _))| {
                Some(Publication {
                    service: service.into(),
                    settings,
                })
            })
        } else {
            Some(None)
        };
        Some(FrontDoorSettings {
            path: times::path(self.probe.as_ref()),
            probe: times::probe(self.probe.as_ref()),
            explains_probes: self.probe.as_ref().and_then(|probe| probe.explain).unwrap_or(false),
            publication: publication?,
        })
    }

    fn mode(&self) -> Mode {
        match self.mode {
            Some(ModeWord::Off) => Mode::Off,
            Some(ModeWord::DryRun) => Mode::DryRun,
            Some(ModeWord::Apply) => Mode::Apply,
            None => Mode::default(),
        }
    }

    /// The publisher's settings, for the regions of this service if it could be read.
    fn publisher(
        &self,
        service: Option<&ServiceSection>,
        here: Option<&At<String>>,
        places: &Places,
        folder: &Path,
        mistakes: &mut Mistakes<'_>,
    ) -> Option<Settings> {
        let regions = service.and_then(regions);
        let front_door = origins::front_door(self.at, self.profile.as_ref(), self.classic.as_ref(), mistakes);
        let origins = origins::origins(self.origins.as_ref(), regions.as_deref(), mistakes);
        let vantages = self.vantages.as_deref();
        let vantages = vantages.map(|all| vantages::vantages(all, places, mistakes));
        let vantage = self.vantage(here, mistakes);
        // Without a name of its own it is taken for one of the others, so that nothing more is said of it.
        let stand_in = || vantages.as_ref().and_then(|all| Some(all.first()?.name.clone()));
        let name = vantage.clone().or_else(stand_in);
        let mut settings = Settings::new(
            front_door.unwrap_or_else(origins::placeholder),
            origins,
            name.or_else(|| VantageName::new("unnamed").ok())?,
        );
        settings.mode = self.mode();
        settings.vantages = vantages.filter(|all| !all.is_empty()).unwrap_or(settings.vantages);
        let store = self.store.as_ref().and_then(Option::as_ref);
        settings.store = store.and_then(|store| store.settings(folder, mistakes));
        let credential = self.credential.as_ref();
        let credential = credential.and_then(|credential| credential.settings(folder, mistakes));
        settings.credential = credential.unwrap_or(settings.credential);
        let cloud = self.cloud.as_ref().and_then(|cloud| cloud.settings(folder));
        settings.cloud = cloud.unwrap_or(settings.cloud);
        settings.caps = self.caps.as_ref().map_or(settings.caps, CapsSection::settings);
        settings.timing = times::timing(self.timing.as_ref());
        settings.votes = times::votes(self.votes.as_ref());
        settings.lease = times::lease(self.lease.as_ref());
        settings.probe = times::probe(self.probe.as_ref());
        checked::report(&settings, self.at, mistakes);
        vantage.map(|_| settings)
    }

    /// The service whose regions are published, and its section when that could be read.
    fn service<'a>(
        &self,
        services: Option<&'a At<Named<ServiceSection>>>,
        mistakes: &mut Mistakes<'_>,
    ) -> Option<(&'a str, Option<&'a ServiceSection>)> {
        let services = &services?.0;
        let names: Vec<_> = services.iter().map(|(name, _)| name.as_str()).collect();
        let Some(wanted) = &self.service else {
            return match services.as_slice() {
                [(name, service)] => Some((name.as_str(), service.as_ref())),
                [] => None,
                _ => {
                    let message = format!(
                        "service is missing: the regions of {} can be published",
                        names.join(" or ")
                    );
                    mistakes.at(self.at, message);
                    None
                }
            };
        };
        let found = services.iter().find(|(name, _)| name.value == wanted.value);
        if found.is_none() {
            let meant = did_you_mean(wanted, names);
            mistakes.at(wanted.id, format!("unknown service {}{meant}", shown(wanted)));
        }
        found.map(|(name, service)| (name.as_str(), service.as_ref()))
    }

    fn vantage(&self, here: Option<&At<String>>, mistakes: &mut Mistakes<'_>) -> Option<VantageName> {
        if let Some(vantage) = &self.vantage {
            return vantage.as_ref().map(|word| word.0.clone());
        }
        let Some(here) = here else {
            mistakes.at(self.at, "vantage is missing: name this instance, or its region in here");
            return None;
        };
        let name = VantageName::new(here);
        let explain = |error| format!("{error}; or name this instance in front_door.vantage");
        name.map_err(|error| mistakes.at(here.id, explain(error))).ok()
    }
}

impl CapsSection {
    fn settings(&self) -> Caps {
        let default = Caps::default();
        Caps {
            min_active: self.min_active.map_or(default.min_active, |count| count.0 as usize),
            drain: match self.drain {
                Some(DrainWord::Disable) => DrainAction::Disable,
                Some(DrainWord::Demote) => DrainAction::Demote,
                None => default.drain,
            },
        }
    }
}

/// The names of a service's regions; `None` when some of them could not be read.
fn regions(service: &ServiceSection) -> Option<Vec<&str>> {
    let regions = service.regions.as_ref()?.iter();
    regions.map(|region| Some(region.region.as_ref()?.as_str())).collect()
}
