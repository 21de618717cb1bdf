//! How many requests a client may send in a time: a token bucket for each client network.
//!
//! A full bucket holds `burst` tokens, a request takes one, and tokens come back evenly. The state is one number, the theoretical
//! arrival time of the generic cell rate algorithm, which is the same as a bucket (ITU-T I.371, annex A): the moment at which the bucket
//! is full again.

use std::net::IpAddr;
use std::time::Duration;

/// The longest that an empty bucket takes to become full.
pub const MAX_REFILL: Duration = Duration::from_secs(24 * 60 * 60);

/// How many requests each client network may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    interval: u64,
    burst: u32,
}

impl RateLimit {
    /// `requests` in each `per`, evenly, and up to `burst` at once; both at least 1. `None` when a request would have less than a
    /// microsecond, or when an empty bucket would take longer than [`MAX_REFILL`] to become full.
    pub fn new(requests: u32, per: Duration, burst: u32) -> Option<Self> {
        // At most MAX_REFILL, checked below: it fits.
        let interval = per.as_micros().checked_div(u128::from(requests))?;
        let refill = interval.checked_mul(u128::from(burst.max(1)))?;
        if interval == 0 || refill > MAX_REFILL.as_micros() {
            return None;
        }
        Some(Self {
            interval: interval as u64,
            burst: burst.max(1),
        })
    }

    /// The time between two requests of a client that sends as many as it may, in microseconds.
    pub fn interval_micros(&self) -> u64 {
        self.interval
    }

    /// How many requests a client may send at once that has sent none lately.
    pub fn burst(&self) -> u32 {
        self.burst
    }

    /// The time that an empty bucket takes to become full, in microseconds.
    pub fn refill_micros(&self) -> u64 {
        self.interval * u64::from(self.burst)
    }

    /// Takes a token at the time `now` from the bucket that is full at the time `full`, both in microseconds. Gives the time at which it
    /// is full then.
    ///
    /// # Errors
    /// The time in microseconds until there is a token.
    pub fn take(&self, full: u64, now: u64) -> Result<u64, u64> {
        let next = full.max(now) + self.interval;
        match (next - now).checked_sub(self.refill_micros()) {
            None | Some(0) => Ok(next),
            Some(wait) => Err(wait),
        }
    }
}

/// The network of a client whose requests are counted together: an IPv4 address, or the /64 of an IPv6 address, which is what one
/// subscriber has at least (RFC 6177), so that changing the lower half gives no new bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientNetwork(u64);

impl ClientNetwork {
    /// The network of an address. That of a v4-mapped address is the IPv4 address.
    pub fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            // The upper half of no IPv6 address in use: they begin with 0.
            IpAddr::V4(v4) => u64::from(v4.to_bits()),
            IpAddr::V6(v6) => (v6.to_bits() >> 64) as u64,
        })
    }

    /// A number of its own.
    pub fn number(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    #[test]
    fn a_burst_at_once_and_then_evenly() {
        let limit = RateLimit::new(10, Duration::from_secs(1), 5).expect("a limit");
        let (mut full, now) = (0, 1_000 * SECOND);
        for request in 0..5 {
            full = limit.take(full, now).unwrap_or_else(|wait| panic!("{request}: {wait}"));
        }
        assert_eq!(limit.take(full, now), Err(SECOND / 10));
        assert_eq!(limit.take(full, now + SECOND / 20), Err(SECOND / 20));
        // A rejected request takes nothing.
        full = limit.take(full, now + SECOND / 10).expect("a token came back");
        assert_eq!(limit.take(full, now + SECOND / 10), Err(SECOND / 10));
        // After a long time no more than the burst.
        let later = now + 1_000 * SECOND;
        let taken = (0..100).scan(full, |full, _| {
            *full = limit.take(*full, later).ok()?;
            Some(())
        });
        assert_eq!(taken.count(), 5);
    }

    /// Whatever the times of its requests, a client gets no more than the burst and what came back meanwhile, and as much if it asks
    /// often enough.
    #[test]
    fn never_more_than_the_rate_and_the_burst() {
        let seed = std::env::var("PORTOLAN_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed: u64 = seed.unwrap_or(20_261_128);
        println!("PORTOLAN_SEED={seed}");
        let mut roll = seed;
        let mut next = |below: u64| {
            roll = crate::chance::spread(roll, 1);
            roll % below
        };
        for _ in 0..200 {
            let (requests, burst) = (1 + next(1_000) as u32, 1 + next(50) as u32);
            let limit = RateLimit::new(requests, Duration::from_secs(1), burst).expect("a limit");
            let (mut full, start) = (0, SECOND);
            let (mut now, mut taken) = (start, 0_u64);
            for _ in 0..2_000 {
                now += next(2 * limit.interval_micros() + 1);
                if let Ok(then) = limit.take(full, now) {
                    (full, taken) = (then, taken + 1);
                }
                let most = u64::from(burst) + (now - start) / limit.interval_micros();
                assert!(taken <= most, "{taken} of {most} at {requests}/s, burst {burst}");
            }
        }
    }

    #[test]
    fn limits_that_cannot_be_kept_are_none() {
        let second = Duration::from_secs(1);
        assert_eq!(RateLimit::new(0, second, 1), None);
        assert_eq!(RateLimit::new(1_000_001, second, 1), None);
        assert_eq!(RateLimit::new(1, Duration::from_secs(3600), 25), None);
        assert!(RateLimit::new(1, Duration::from_secs(3600), 24).is_some());
        assert_eq!(RateLimit::new(1, second, 0).map(|it| it.burst()), Some(1));
    }

    #[test]
    fn what_one_subscriber_has_is_one_network() {
        let of = |text: &str| ClientNetwork::of(text.parse().expect("an address"));
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
    }
}
