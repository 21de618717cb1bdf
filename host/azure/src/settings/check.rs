//! All mistakes of the settings, each with its path.

use super::{Access, Cloud, Credential, FrontDoorResource, Settings, StoreSettings, VoteTiming};
use crate::origin::Priority;
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;
use url::{Host, Url};

/// A mistake in the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Where, below `front_door`: `timing.sustain`.
    pub path: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "front_door.{}: {}", self.path, self.message)
    }
}

#[derive(Default)]
struct Mistakes(Vec<Mistake>);

impl Mistakes {
    fn unless(&mut self, good: bool, path: &str, message: impl Into<String>) {
        if !good {
            self.0.push(Mistake {
                path: path.to_owned(),
                message: message.into(),
            });
        }
    }
}

impl Settings {
    /// All mistakes. A publisher does not start with any.
    pub fn check(&self) -> Vec<Mistake> {
        let mut found = Mistakes::default();
        check_front_door(&self.front_door, &mut found);
        check_cloud(&self.cloud, &mut found);
        if let Some(store) = &self.store {
            check_store(store, &mut found);
        }
        self.check_origins(&mut found);
        self.check_vantages(&mut found);
        self.check_times(&mut found);
        if let Credential::ClientSecret { tenant, client, .. } = &self.credential {
            found.unless(!tenant.is_empty(), "credential.client_secret.tenant", "is empty");
            found.unless(!client.is_empty(), "credential.client_secret.client", "is empty");
        }
        found.0
    }

    /// Settings that are allowed and probably not meant.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if matches!(self.front_door, FrontDoorResource::Classic { .. }) {
            warnings.push(
                "Front Door (classic) retires on 2027-03-31: after that day neither its API nor its data path answers; move to Standard or Premium"
                    .to_owned(),
            );
        }
        match (&self.store, self.vantages.len()) {
            (None, _) => warnings.push(
                "no store: this instance is its own quorum of one, so what it alone believes is published; name a store and at least 3 vantages"
                    .to_owned(),
            ),
            (Some(_), 1) => warnings.push("a store with one vantage: it is its own quorum of one; name at least 3 vantages".to_owned()),
            (Some(_), 2) => warnings.push(
                "two vantages can hardly agree: nothing is published while either does not vote; name at least 3".to_owned(),
            ),
            (Some(_), _) => {}
        }
        for origin in &self.origins {
            if !self.can_be_demoted(&origin.region) {
                warnings.push(format!(
                    "region {} can never be demoted: fewer than 2 vantages stand outside it",
                    origin.region
                ));
            }
            if origin.state.priority == Priority::LAST {
                warnings.push(format!(
                    "origin {} has priority 5 already, so demoting it changes nothing",
                    origin.origin
                ));
            }
        }
        if self.caps.min_active < 2 && self.origins.len() > 2 {
            warnings.push("min_active is under 2: a single region may be left to carry all traffic".to_owned());
        }
        warnings
    }

    fn check_origins(&self, found: &mut Mistakes) {
        found.unless(
            !self.origins.is_empty(),
            "origins",
            "is missing: which origin stands for which region",
        );
        let (mut regions, mut origins) = (BTreeSet::new(), BTreeSet::new());
        for origin in &self.origins {
            let path = format!("origins.{}", origin.region);
            found.unless(is_segment(&origin.origin), &path, "has no usable origin name");
            found.unless(regions.insert(&origin.region), &path, "is there twice");
            found.unless(
                origins.insert(origin.origin.to_ascii_lowercase()),
                &path,
                format!("origin {} stands for another region already", origin.origin),
            );
        }
        let enabled = self.origins.iter().filter(|origin| origin.state.enabled).count();
        found.unless(
            enabled > 0 || self.origins.is_empty(),
            "origins",
            "all are disabled: Front Door would reject",
        );
        found.unless(
            enabled == 0 || (1..=enabled).contains(&self.caps.min_active),
            "min_active",
            format!(
                "is {}, it must be 1 to the {enabled} enabled regions",
                self.caps.min_active
            ),
        );
    }

    fn check_vantages(&self, found: &mut Mistakes) {
        let mut names = BTreeSet::new();
        for vantage in &self.vantages {
            found.unless(
                names.insert(&vantage.name),
                "vantages",
                format!("{} is there twice", vantage.name),
            );
        }
        found.unless(
            names.contains(&self.vantage),
            "vantage",
            format!("{} is not among the vantages", self.vantage),
        );
        found.unless(
            self.store.is_some() || self.vantages.len() == 1,
            "store",
            "is missing: several vantages need a shared store",
        );
    }

    fn check_times(&self, found: &mut Mistakes) {
        let (timing, votes, lease) = (&self.timing, &self.votes, &self.lease);
        for (path, time) in [
            ("timing.spacing", timing.spacing),
            ("timing.reconcile", timing.reconcile),
            ("timing.poll_least", timing.poll_least),
            ("timing.operation_deadline", timing.operation_deadline),
            ("timing.request_timeout", timing.request_timeout),
            ("timing.retry_least", timing.retry_least),
            ("votes.write", votes.write),
            ("votes.read", votes.read),
            ("lease.renew", lease.renew),
        ] {
            found.unless(time > Duration::ZERO, path, "must be more than zero");
        }
        found.unless(
            self.probe.stale_after > votes.read,
            "probe.stale_after",
            "must be longer than votes.read: what the vantages say would be too old most of the time",
        );
        found.unless(
            timing.restore >= timing.sustain,
            "timing.restore",
            "is shorter than sustain: regions would come back faster than they go",
        );
        found.unless(
            timing.poll_least <= timing.poll_default && timing.poll_default <= timing.poll_most,
            "timing.poll_default",
            "is not between poll_least and poll_most",
        );
        found.unless(
            timing.retry_least <= timing.retry_most,
            "timing.retry_most",
            "is less than retry_least",
        );
        found.unless(
            votes.valid_for > votes.write && votes.valid_for <= VoteTiming::LONGEST_VALIDITY,
            "votes.valid_for",
            "must be longer than votes.write and at most 10 min",
        );
        found.unless(
            (15..=60).contains(&lease.duration.as_secs()) && lease.duration.subsec_nanos() == 0,
            "lease.duration",
            "must be 15 s to 60 s, in whole seconds",
        );
        found.unless(
            lease.renew + lease.margin < lease.duration,
            "lease.renew",
            "renew and margin together must be shorter than the lease",
        );
    }
}

fn check_front_door(front_door: &FrontDoorResource, found: &mut Mistakes) {
    let (kind, parts) = match front_door {
        FrontDoorResource::Standard {
            subscription,
            resource_group,
            profile,
            origin_group,
        } => (
            "standard",
            [
                ("subscription", subscription),
                ("resource_group", resource_group),
                ("profile", profile),
                ("origin_group", origin_group),
            ],
        ),
        FrontDoorResource::Classic {
            subscription,
            resource_group,
            front_door,
            backend_pool,
        } => (
            "classic",
            [
                ("subscription", subscription),
                ("resource_group", resource_group),
                ("front_door", front_door),
                ("backend_pool", backend_pool),
            ],
        ),
    };
    for (name, value) in parts {
        found.unless(
            is_segment(value),
            &format!("{kind}.{name}"),
            "is empty or no part of a URL path",
        );
    }
}

fn check_cloud(cloud: &Cloud, found: &mut Mistakes) {
    found.unless(
        may_be_called(&cloud.arm),
        "cloud.arm",
        "must be https (plain http only on loopback)",
    );
    found.unless(
        cloud.arm.path() == "/" && cloud.arm.query().is_none(),
        "cloud.arm",
        "must be the root of its host",
    );
    if let Some(authority) = &cloud.authority {
        found.unless(authority.scheme() == "https", "cloud.authority", "must be https");
    }
    found.unless(!cloud.scope.is_empty(), "cloud.scope", "is empty");
}

fn check_store(store: &StoreSettings, found: &mut Mistakes) {
    let url = &store.container;
    found.unless(
        may_be_called(url),
        "store.container",
        "must be https (plain http only on loopback)",
    );
    found.unless(
        store.access != Access::Identity || url.scheme() == "https",
        "store.access",
        "without a signature it needs https",
    );
    found.unless(
        url.query().is_none(),
        "store.container",
        "carries a signature: give it in a file or a variable of its own",
    );
    found.unless(
        url.path().trim_matches('/').len() >= 3,
        "store.container",
        "names no container (3 characters or more)",
    );
    found.unless(
        store.prefix.is_empty() || is_segment(&store.prefix),
        "store.prefix",
        "use letters, digits, hyphens, dots and underscores",
    );
}

/// Names go into URL paths as they are: nothing in them may end a segment or need an escape.
fn is_segment(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'(' | b')');
    !name.is_empty() && name != "." && name != ".." && name.bytes().all(plain)
}

/// A token may travel over TLS, or not leave the machine: loopback, and link-local where the machine's own identity
/// endpoint (169.254.169.254) is.
pub(crate) fn may_be_called(url: &Url) -> bool {
    let near = match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback() || ip.is_link_local(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    match url.scheme() {
        "https" => url.host().is_some(),
        "http" => near,
        _ => false,
    }
}
