//! The Front Door and its origins that are managed here.

use crate::config::compound::{At, NonEmpty};
use crate::config::document::NodeId;
use crate::config::error::Mistakes;
use crate::config::section::section;
use crate::config::shape::shown;
use crate::config::suggest::did_you_mean;
use crate::config::values::Whole;
use portolan_azure::origin::{Baseline, OriginState, Priority, Weight};
use portolan_azure::settings::FrontDoorResource;

section! {
    /// A Front Door Standard or Premium: an origin group of its profile.
    ProfileSection {
        /// The subscription's id.
        required subscription: String,
        /// The resource group.
        required resource_group: String,
        /// The profile.
        required name: String,
        /// The origin group whose origins are the service's regions.
        required origin_group: String,
    }
}

section! {
    /// A Front Door (classic): one of its backend pools.
    ClassicSection {
        /// The subscription's id.
        required subscription: String,
        /// The resource group.
        required resource_group: String,
        /// The front door.
        required name: String,
        /// The backend pool whose backends are the service's regions.
        required backend_pool: String,
    }
}

section! {
    /// A managed origin, as it should be when its region is healthy.
    OriginSection {
        /// The region of the service that it stands for.
        required region: At<String>,
        /// Its name; for classic, the address of the backend in the pool, as it is written there.
        required origin: String,
        /// Which origins are tried first, 1 to 5. A demoted one has 5. Default: 1.
        optional priority: Whole<1, 5>,
        /// Share among origins of the same priority, 1 to 1000. Default: 50.
        optional weight: Whole<1, 1000>,
        /// Whether it gets traffic at all. Default: true.
        optional enabled: bool,
    }
}

/// The one Front Door. Sections that are there and could not be read are `Some(None)`.
pub(super) fn front_door(
    section: NodeId,
    profile: Option<&Option<ProfileSection>>,
    classic: Option<&At<Option<ClassicSection>>>,
    mistakes: &mut Mistakes<'_>,
) -> Option<FrontDoorResource> {
    match (profile, classic) {
        (None, None) => {
            mistakes.at(
                section,
                "profile is missing: the Front Door whose origins are the regions",
            );
            None
        }
        (Some(profile), None) => profile.as_ref()?.front_door(),
        (None, Some(classic)) => classic.as_ref()?.front_door(),
        (Some(_), Some(classic)) => {
            mistakes.at_key(classic.id, "there is a profile too: keep the one that is meant");
            None
        }
    }
}

impl ProfileSection {
    fn front_door(&self) -> Option<FrontDoorResource> {
        Some(FrontDoorResource::Standard {
            subscription: self.subscription.clone()?,
            resource_group: self.resource_group.clone()?,
            profile: self.name.clone()?,
            origin_group: self.origin_group.clone()?,
        })
    }
}

impl ClassicSection {
    fn front_door(&self) -> Option<FrontDoorResource> {
        Some(FrontDoorResource::Classic {
            subscription: self.subscription.clone()?,
            resource_group: self.resource_group.clone()?,
            front_door: self.name.clone()?,
            backend_pool: self.backend_pool.clone()?,
        })
    }
}

/// Stands for a Front Door whose mistakes have been reported, so that the rest can be checked.
pub(super) fn placeholder() -> FrontDoorResource {
    let any = || "x".to_owned();
    FrontDoorResource::Standard {
        subscription: any(),
        resource_group: any(),
        profile: any(),
        origin_group: any(),
    }
}

/// The origins, for these regions of the service if they are known. What could not be read is left out; that has been
/// reported.
pub(super) fn origins(
    sections: Option<&Option<At<NonEmpty<OriginSection>>>>,
    regions: Option<&[&str]>,
    mistakes: &mut Mistakes<'_>,
) -> Vec<Baseline> {
    let sections = sections.and_then(Option::as_ref);
    let sections = sections.into_iter().flat_map(|sections| sections.iter());
    sections
        .filter_map(|section| section.baseline(regions, mistakes))
        .collect()
}

impl OriginSection {
    fn baseline(&self, regions: Option<&[&str]>, mistakes: &mut Mistakes<'_>) -> Option<Baseline> {
        let region = self.region.as_ref()?;
        if let Some(regions) = regions.filter(|regions| !regions.contains(&region.as_str())) {
            let meant = did_you_mean(region, regions.iter().copied());
            mistakes.at(
                region.id,
                format!("{} is no region of the published service{meant}", shown(region)),
            );
        }
        let default = OriginState::default();
        Some(Baseline {
            region: region.as_str().into(),
            origin: self.origin.clone()?,
            state: OriginState {
                // Their bounds are those of the shapes.
                priority: self
                    .priority
                    .map_or(Some(default.priority), |it| Priority::new(it.0 as u32).ok())?,
                weight: self
                    .weight
                    .map_or(Some(default.weight), |it| Weight::new(it.0 as u32).ok())?,
                enabled: self.enabled.unwrap_or(default.enabled),
            },
        })
    }
}
