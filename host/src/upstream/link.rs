//! A connection to a gateway apart from its protocol: to which endpoint, for how long, and how it may be used again.

use crate::vitals::Endpoint;
use portolan_core::chance::{part, spread};
use portolan_core::config::Upstream;
use portolan_core::reuse::IdleLimit;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// After a response without a body a gateway may send one all the same, a little later than its head. For this time, beyond
/// a round trip, such a connection is not used for what cannot be repeated.
const STRAY: Duration = Duration::from_millis(50);

/// Nothing is concluded from a response that has not come for less than this.
const LONG: Duration = Duration::from_millis(250);

/// A connection apart from its protocol. Counted as open until it is dropped.
#[derive(Debug)]
pub(super) struct Link {
    endpoint: Arc<Endpoint>,
    worker: usize,
    /// When it carries no new request any more; `None`: never.
    retires_at: Option<Instant>,
    /// How many more requests it may carry.
    requests_left: u32,
    /// The shortest time from a request to the head of its response: messages take no longer.
    round_trip: Option<Duration>,
    /// When the head of its last response came. The gateway may have ended the response right after it, and counts from
    /// there, while a slow client is still being sent what was under way.
    answered_at: Instant,
    /// When it was last given back.
    idle_since: Instant,
    /// The idle time-out that the gateway announced on it.
    announced: Option<Duration>,
    /// Whether the last response had no body whatever its fields say.
    is_bodiless: bool,
}

impl Link {
    /// A connection that is open now. `roll` decides the jitter of its limits.
    pub(super) fn new(endpoint: Arc<Endpoint>, worker: usize, upstream: &Upstream, roll: u64, now: Instant) -> Self {
        endpoint.opened(worker);
        let part = |stream| part(spread(roll, stream));
        let age = upstream.max_connection_age.map(|age| age.mul_f64(part(0)));
        let requests = upstream.max_requests_per_connection;
        Self {
            endpoint,
            worker,
            retires_at: age.map(|age| now + age),
            requests_left: requests.map_or(u32::MAX, |count| (f64::from(count) * part(1)).ceil() as u32),
            round_trip: None,
            answered_at: now,
            idle_since: now,
            announced: None,
            is_bodiless: false,
        }
    }

    /// The other end.
    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Whether the last response had no body whatever its fields say: one to `HEAD`, a 204, a 304.
    pub(super) fn is_bodiless(&self) -> bool {
        self.is_bodiless
    }

    /// The head of a response came, so long after the request was begun. `announced`: the time-out in its `Keep-Alive`.
    pub(super) fn answered(&mut self, now: Instant, after: Duration, is_bodiless: bool, announced: Option<Duration>) {
        self.answered_at = now;
        self.is_bodiless = is_bodiless;
        self.round_trip = Some(self.round_trip.map_or(after, |known| known.min(after)));
        if announced.is_some() {
            self.announced = announced;
        }
    }

    /// It carried a request. Returns whether it may carry another.
    pub(super) fn give_back(&mut self, now: Instant) -> bool {
        self.requests_left = self.requests_left.saturating_sub(1);
        self.idle_since = now;
        self.requests_left > 0 && self.may_stay(now)
    }

    /// It begins to carry a request beside others. Returns whether it may carry another.
    pub(super) fn carries_another(&mut self) -> bool {
        self.requests_left = self.requests_left.saturating_sub(1);
        self.requests_left > 0
    }

    /// It carries none any more.
    pub(super) fn rests(&mut self, now: Instant) {
        self.idle_since = now;
    }

    /// How long a response takes at most, as far as is known: twice the shortest time that one took.
    pub(super) fn usual_wait(&self) -> Duration {
        (self.round_trip.unwrap_or_default() * 2).max(LONG)
    }

    /// Whether it may carry another request, as far as its age and its endpoint are concerned.
    pub(super) fn may_stay(&self, now: Instant) -> bool {
        self.endpoint.is_in() && self.retires_at.is_none_or(|at| now < at)
    }

    /// For how long it has been idle.
    pub(super) fn idle_for(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.idle_since)
    }

    /// Whether the gateway does not close it soon, as far as is known, so that a request that cannot be repeated may take it.
    pub(super) fn is_safe(&self, limit: &IdleLimit, now: Instant) -> bool {
        let age = now.saturating_duration_since(self.answered_at);
        let round_trip = self.round_trip.unwrap_or_default();
        let may_have_more = self.is_bodiless && age < round_trip + STRAY;
        !may_have_more && limit.allows(age, round_trip, self.announced)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.endpoint.closed(self.worker);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vitals::Vitals;

    #[test]
    fn a_response_that_took_long_to_send_on_may_have_left_the_gateway_long_ago() {
        let vitals = Vitals::in_region("westeurope");
        vitals.endpoints.set(&[([192, 0, 2, 1], 80).into()]);
        let now = Instant::now();
        let endpoint = vitals.endpoints.candidates(0, now).remove(0);
        let mut link = Link::new(endpoint, 0, &Upstream::default(), 0, now);
        let five = Some(Duration::from_secs(5));
        link.answered(now, Duration::from_millis(20), false, five);
        let later = now + Duration::from_secs(6);
        assert!(link.give_back(later));
        // It has only just been given back.
        assert!(!link.is_safe(&IdleLimit::default(), later));
        assert_eq!(link.idle_for(later), Duration::ZERO);
    }
}
