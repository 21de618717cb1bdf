//! The token buckets of the clients of a route.

use portolan_core::admission::Rate;
use portolan_core::chance::spread;
use portolan_core::rate_limit::{ClientNetwork, RateLimit};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Buckets in a set, which is a cache line.
const WAYS: usize = 8;

/// Bits of a bucket that hold its time, in microseconds: half a year, and then it begins again.
const TIME_BITS: u32 = 44;
const TIME: u64 = (1 << TIME_BITS) - 1;

/// The buckets of client networks, of all workers, in a fixed piece of memory and without a lock. A network has its place in one of
/// eight buckets of a set; when they all are in use, the one that is full first makes room. A network that loses its bucket so begins
/// with a full one: under an attack from more networks than there are buckets, clients are limited less, never more.
#[derive(Debug)]
pub struct RateBuckets {
    terms: Rate,
    sets: Box<[Set]>,
    /// Mixed into the place of a network, so that nobody can choose networks that share one.
    secret: u64,
    begun: Instant,
    limited: AtomicU64,
    evicted: AtomicU64,
}

/// Each bucket holds a tag of its network in its upper bits and the time at which it is full in the lower ones.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Set([AtomicU64; WAYS]);

impl RateBuckets {
    /// Full buckets. `secret` is a random number.
    pub fn new(terms: Rate, secret: u64) -> Self {
        let sets = (terms.networks as usize).div_ceil(WAYS).next_power_of_two();
        Self {
            terms,
            sets: (0..sets).map(|_| Set::default()).collect(),
            secret,
            begun: Instant::now(),
            limited: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
        }
    }

    /// What they were made for.
    pub fn terms(&self) -> Rate {
        self.terms
    }

    fn limit(&self) -> RateLimit {
        self.terms.limit
    }

    /// Requests that were over the limit.
    pub fn limited(&self) -> u64 {
        self.limited.load(Relaxed)
    }

    /// Buckets that were given to another network before they were full.
    pub fn evicted(&self) -> u64 {
        self.evicted.load(Relaxed)
    }

    /// Takes a token for a request of this network.
    ///
    /// # Errors
    /// The time until there is one.
    pub fn take(&self, network: ClientNetwork, now: Instant) -> Result<(), Duration> {
        let place = spread(network.number(), self.secret);
        // Never 0, which is a bucket that nobody has.
        let tag = (place >> TIME_BITS) | 1;
        // The number of sets is a power of two.
        let Some(Set(set)) = self.sets.get(place as usize & (self.sets.len() - 1)) else {
            return Ok(());
        };
        // At least the refill, so that a bucket that is full lies in the past and not before the beginning.
        let now = now.saturating_duration_since(self.begun).as_micros() as u64 + self.limit().refill_micros();
        loop {
            let (bucket, seen) = self.bucket(set, tag, now);
            let is_own = seen >> TIME_BITS == tag;
            let full = self.full(seen, now);
            let next = self.limit().take(if is_own { full } else { 0 }, now).map_err(|wait| {
                self.limited.fetch_add(1, Relaxed);
                Duration::from_micros(wait)
            })?;
            let wanted = tag << TIME_BITS | (next & TIME);
            if bucket.compare_exchange(seen, wanted, Relaxed, Relaxed).is_ok() {
                if !is_own && full > now {
                    self.evicted.fetch_add(1, Relaxed);
                }
                return Ok(());
            }
        }
    }

    /// The bucket of a network, or the one that makes room for it, and what it holds.
    fn bucket<'a>(&self, set: &'a [AtomicU64; WAYS], tag: u64, now: u64) -> (&'a AtomicU64, u64) {
        let (mut first, mut earliest) = ((&set[0], 0), u64::MAX);
        for bucket in set {
            let seen = bucket.load(Relaxed);
            if seen >> TIME_BITS == tag {
                return (bucket, seen);
            }
            let full = self.full(seen, now);
            if full < earliest {
                (first, earliest) = ((bucket, seen), full);
            }
        }
        first
    }

    /// The time at which a bucket is full. None is full later than in the time of a refill: what looks so is long past.
    fn full(&self, bucket: u64, now: u64) -> u64 {
        if bucket == 0 {
            return 0;
        }
        let ahead = bucket.wrapping_sub(now) & TIME;
        if ahead <= self.limit().refill_micros() {
            now + ahead
        } else {
            0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{IpAddr, Ipv4Addr};

    fn network(number: u32) -> ClientNetwork {
        ClientNetwork::of(IpAddr::V4(Ipv4Addr::from_bits(number)))
    }

    fn buckets(networks: u32, burst: u32) -> RateBuckets {
        let limit = RateLimit::new(1, Duration::from_secs(1), burst).expect("a limit");
        RateBuckets::new(Rate { limit, networks }, 20_261_128)
    }

    #[test]
    fn each_network_has_a_bucket_of_its_own() {
        let buckets = buckets(1024, 3);
        let now = Instant::now();
        for number in 0..100 {
            for _ in 0..3 {
                assert_eq!(buckets.take(network(number), now), Ok(()), "{number}");
            }
            let wait = buckets.take(network(number), now).expect_err("the bucket is empty");
            assert_eq!(wait, Duration::from_secs(1), "{number}");
        }
        assert_eq!((buckets.limited(), buckets.evicted()), (100, 0));
        let later = now + Duration::from_secs(1);
        assert_eq!(buckets.take(network(7), later), Ok(()));
        assert!(buckets.take(network(7), later).is_err());
    }

    /// From more networks than there are buckets: the memory stays, and nobody gets less than the limit.
    #[test]
    fn more_networks_than_buckets_are_limited_less_never_more() {
        let buckets = buckets(64, 2);
        let now = Instant::now();
        for number in 0..10_000 {
            assert_eq!(buckets.take(network(number), now), Ok(()), "{number}");
        }
        assert_eq!(buckets.sets.len() * WAYS, 64);
        assert!(buckets.evicted() > 9_000, "{}", buckets.evicted());
    }

    /// The time that a bucket holds begins again after half a year; what is older than a refill counts as full.
    #[test]
    fn a_bucket_of_long_ago_is_full() {
        let buckets = buckets(8, 2);
        let now = Instant::now();
        let wrap = Duration::from_micros(1 << TIME_BITS);
        for times in 0..4_u32 {
            for part in [0, 1, 2] {
                let at = now + wrap * times + wrap / 3 * part;
                assert_eq!(buckets.take(network(1), at), Ok(()), "{times} {part}");
                assert_eq!(buckets.take(network(1), at), Ok(()), "{times} {part}");
                assert!(buckets.take(network(1), at).is_err(), "{times} {part}");
            }
        }
    }

    #[test]
    fn workers_share_a_bucket() {
        let buckets = buckets(8, 1_000);
        let now = Instant::now();
        let taken: usize = std::thread::scope(|scope| {
            let take = || (0..1_000).filter(|_| buckets.take(network(1), now).is_ok()).count();
            let workers: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
            workers.into_iter().map(|worker| worker.join().expect("no panic")).sum()
        });
        assert_eq!(taken, 1_000);
    }
}
