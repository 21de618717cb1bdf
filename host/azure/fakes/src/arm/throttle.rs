//! Token buckets per client and kind of request, as the resource manager throttles.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use http::{HeaderName, Method};

/// The size of a bucket, and how fast it fills again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bucket {
    /// Requests that fit in.
    pub size: f64,
    /// Requests that it regains per second.
    pub refill_per_s: f64,
}

/// The buckets of one client.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Buckets {
    /// For GET and HEAD.
    pub reads: Bucket,
    /// For PUT, PATCH and POST.
    pub writes: Bucket,
    /// For DELETE.
    pub deletes: Bucket,
}

impl Default for Buckets {
    /// What Azure documents.
    fn default() -> Buckets {
        Buckets {
            reads: Bucket {
                size: 250.0,
                refill_per_s: 25.0,
            },
            writes: Bucket {
                size: 200.0,
                refill_per_s: 10.0,
            },
            deletes: Bucket {
                size: 200.0,
                refill_per_s: 10.0,
            },
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Read,
    Write,
    Delete,
}

/// A request that found its bucket empty, or came before an earlier rejection's time was over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rejected {
    pub(super) retry_after_s: u64,
}

#[derive(Debug, Default)]
pub(super) struct Throttle {
    buckets: Buckets,
    levels: BTreeMap<(String, Kind), Level>,
}

#[derive(Debug)]
struct Level {
    left: f64,
    at: SystemTime,
    /// Requests before this moment are rejected without a look at the bucket.
    closed_until: SystemTime,
}

impl Kind {
    pub(super) fn of(method: &Method) -> Kind {
        match *method {
            Method::GET | Method::HEAD => Kind::Read,
            Method::DELETE => Kind::Delete,
            _ => Kind::Write,
        }
    }

    /// The header that tells how many requests are left.
    pub(super) fn remaining(self) -> HeaderName {
        HeaderName::from_static(match self {
            Kind::Read => "x-ms-ratelimit-remaining-subscription-reads",
            Kind::Write => "x-ms-ratelimit-remaining-subscription-writes",
            Kind::Delete => "x-ms-ratelimit-remaining-subscription-deletes",
        })
    }
}

impl Throttle {
    /// Replaces the buckets by full ones.
    pub(super) fn set(&mut self, buckets: Buckets) {
        *self = Throttle {
            buckets,
            levels: BTreeMap::new(),
        };
    }

    /// Takes one request out of its bucket; how many are left.
    pub(super) fn take(&mut self, client: &str, kind: Kind, now: SystemTime) -> Result<u64, Rejected> {
        let bucket = match kind {
            Kind::Read => self.buckets.reads,
            Kind::Write => self.buckets.writes,
            Kind::Delete => self.buckets.deletes,
        };
        let full = Level {
            left: bucket.size,
            at: now,
            closed_until: now,
        };
        let level = self.levels.entry((client.to_owned(), kind)).or_insert(full);
        let passed = now.duration_since(level.at).unwrap_or_default().as_secs_f64();
        level.left = (level.left + passed * bucket.refill_per_s).min(bucket.size);
        level.at = now;
        if now < level.closed_until || level.left < 1.0 {
            let retry_after_s = seconds_until_one(level.left, bucket.refill_per_s);
            level.closed_until = now + Duration::from_secs(retry_after_s);
            return Err(Rejected { retry_after_s });
        }
        level.left -= 1.0;
        Ok(level.left as u64)
    }
}

/// Whole seconds, at least one; an hour if the bucket does not fill.
fn seconds_until_one(left: f64, refill_per_s: f64) -> u64 {
    let wait = (1.0 - left).max(0.0) / refill_per_s;
    if wait.is_finite() {
        (wait.ceil() as u64).max(1)
    } else {
        3600
    }
}
