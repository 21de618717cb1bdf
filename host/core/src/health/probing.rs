//! Active health checks: when a gateway is probed, and the results.

use super::later;
use crate::chance::spread;
use crate::config::HealthCheck;
use crate::grpc::GrpcStatus;
use crate::round_trip::median;
use crate::tls::TlsFailure;
use arrayvec::ArrayVec;
use std::fmt;
use std::time::{Duration, Instant};

/// A suspected gateway is probed at this part of the interval...
const HURRY: u32 = 4;
/// ... but not more often than this, unless the interval itself is shorter...
const HURRY_MIN: Duration = Duration::from_millis(50);
/// ... and no gateway ever more often than this.
const PACE_MIN: Duration = Duration::from_millis(5);

/// How many of the latest successful probes make up the usual round trip.
const USUAL: usize = 7;

/// An unanswered probe confirms a stall after this many times the usual round trip.
const STALL_ROUND_TRIPS: u32 = 4;
/// ... and not before this time.
const STALL_MIN: Duration = Duration::from_millis(150);

/// Why a probe failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProbeFailure {
    /// No address, no route, or no connection in time.
    Unreachable,
    /// The host refused the connection.
    Refused,
    /// The connection broke, or the answer was not HTTP.
    Broken,
    /// Connected, but the answer timed out.
    TimedOut,
    /// An answer with this status, which is not an expected one.
    Status(u16),
    /// An answer without the expected text in its body.
    Body,
    /// The TLS handshake failed, or the gateway rejects this proxy's certificate.
    Tls(TlsFailure),
    /// The call of the health service ended with this status.
    Grpc(GrpcStatus),
    /// The health service answered, and not with `SERVING`.
    NotServing(Serving),
}

/// What the health service of gRPC says of a service that is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Serving {
    /// `UNKNOWN`.
    Unknown,
    /// `NOT_SERVING`.
    NotServing,
    /// `SERVICE_UNKNOWN`.
    ServiceUnknown,
    /// A number that is none of its words.
    Other(u64),
}

impl ProbeFailure {
    /// The reasons in metrics and logs, in the order of [`ProbeFailure::index`].
    pub const WORDS: [&str; 9] = [
        "unreachable",
        "refused",
        "protocol_error",
        "timeout",
        "bad_status",
        "bad_body",
        "tls_error",
        "bad_grpc_status",
        "not_serving",
    ];

    /// The reason in metrics and logs.
    pub fn as_str(self) -> &'static str {
        Self::WORDS[self.index()]
    }

    /// Its kind as a number, below 9.
    pub fn index(self) -> usize {
        match self {
            Self::Unreachable => 0,
            Self::Refused => 1,
            Self::Broken => 2,
            Self::TimedOut => 3,
            Self::Status(_) => 4,
            Self::Body => 5,
            Self::Tls(_) => 6,
            Self::Grpc(_) => 7,
            Self::NotServing(_) => 8,
        }
    }

    /// Whether the gateway answered.
    pub fn is_answer(self) -> bool {
        matches!(self, Self::Status(_) | Self::Body | Self::Grpc(_) | Self::NotServing(_))
    }
}

impl fmt::Display for ProbeFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "status {status}"),
            Self::Body => f.write_str("the expected text is not in the body"),
            Self::Tls(failure) => write!(f, "TLS: {failure}"),
            Self::Grpc(GrpcStatus::NotFound) => {
                f.write_str("grpc-status 5: the health service does not know this service")
            }
            Self::Grpc(GrpcStatus::Unimplemented) => {
                f.write_str("grpc-status 12: the gateway has no health service (grpc.health.v1.Health)")
            }
            Self::Grpc(status) => write!(f, "grpc-status {} ({})", status.code(), status.as_str()),
            Self::NotServing(serving) => write!(f, "the health service answers {serving}"),
            Self::Unreachable => f.write_str("unreachable"),
            Self::Refused => f.write_str("connection refused"),
            Self::Broken => f.write_str("connection broken or not HTTP"),
            Self::TimedOut => f.write_str("no answer in time"),
        }
    }
}

impl fmt::Display for Serving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("UNKNOWN"),
            Self::NotServing => f.write_str("NOT_SERVING"),
            Self::ServiceUnknown => f.write_str("SERVICE_UNKNOWN"),
            Self::Other(number) => write!(f, "{number}, which it does not define"),
        }
    }
}

/// How long a successful probe took, or why it failed.
pub type ProbeResult = Result<Duration, ProbeFailure>;

/// A change of state caused by a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// The unhealthy threshold is reached.
    Down(ProbeFailure),
    /// The healthy threshold is reached after a failure.
    Up,
}

/// The probes of one gateway.
#[derive(Clone, Debug)]
pub(super) struct Probing {
    /// Consecutive successes, and when the first of them ended.
    passed: u32,
    passing_since: Option<Instant>,
    /// Consecutive failures.
    failed: u32,
    /// How the last probe failed, since the unhealthy threshold was reached.
    down: Option<ProbeFailure>,
    /// What the latest successful probes took, the newest last.
    took: ArrayVec<Duration, USUAL>,
    due: Instant,
    last: Option<Instant>,
    ticket: Option<u64>,
    /// How many more probes use the short interval.
    hurry: u32,
}

impl Probing {
    /// The first probe is due at once.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            passed: 0,
            passing_since: None,
            failed: 0,
            down: None,
            took: ArrayVec::new(),
            due: now,
            last: None,
            ticket: None,
            hurry: 0,
        }
    }

    pub(super) fn is_down(&self) -> bool {
        self.down.is_some()
    }

    /// How the last probe failed, when the gateway is unhealthy by its probes.
    pub(super) fn down(&self) -> Option<ProbeFailure> {
        self.down
    }

    /// The median of what the latest successful probes took: single slow ones do not move it.
    pub(super) fn round_trip(&self) -> Option<Duration> {
        median(&self.took)
    }

    /// Successes in a row.
    pub(super) fn passed(&self) -> u32 {
        self.passed
    }

    /// When the first of the successes in a row ended.
    pub(super) fn passing_since(&self) -> Option<Instant> {
        self.passing_since
    }

    /// Whether enough probes in a row have passed for a gateway to be healthy by them.
    pub(super) fn is_passing(&self, check: &HealthCheck) -> bool {
        !self.is_down() && self.passed >= check.healthy_threshold.max(1)
    }

    /// Whether the gateway is healthy by its probes. A single failed one, as after a pause of this process, changes nothing.
    pub(super) fn is_up(&self) -> bool {
        !self.is_down() && !self.took.is_empty()
    }

    /// Only probes that end from now on count.
    pub(super) fn restart_count(&mut self) {
        self.passed = 0;
        self.passing_since = None;
    }

    /// When the next probe begins; `None` while one is in flight.
    pub(super) fn due(&self) -> Option<Instant> {
        self.ticket.is_none().then_some(self.due)
    }

    /// Nobody waits for the probe in flight: the next one is due at once.
    pub(super) fn lapse(&mut self, now: Instant) {
        self.ticket = None;
        self.due = now;
    }

    /// Whether this probe is the one in flight.
    pub(super) fn holds(&self, ticket: u64) -> bool {
        self.ticket == Some(ticket)
    }

    /// A probe begins. The next one follows after the interval, or after a part of it when `pressed` or suspected; a
    /// tenth more or less, so that the replicas of this proxy do not probe in step.
    pub(super) fn begin(&mut self, ticket: u64, check: &HealthCheck, pressed: bool, seed: u64, now: Instant) {
        let pace = if pressed || self.hurry > 0 {
            fast(check)
        } else {
            check.interval.max(PACE_MIN)
        };
        let jitter = (spread(seed, ticket) % 201) as u32;
        self.ticket = Some(ticket);
        self.last = Some(now);
        self.due = later(now, pace.saturating_mul(900 + jitter) / 1000);
    }

    /// The probe in flight ended.
    pub(super) fn end(&mut self, result: ProbeResult, check: &HealthCheck, now: Instant) -> Option<Turn> {
        self.ticket = None;
        match result {
            Ok(took) => {
                if self.took.is_full() {
                    self.took.remove(0);
                }
                self.took.push(took);
                self.failed = 0;
                self.passed = self.passed.saturating_add(1);
                self.passing_since = self.passing_since.or(Some(now));
                self.hurry = self.hurry.saturating_sub(1);
                self.down?;
                if self.passed < check.healthy_threshold.max(1) {
                    self.hurry(check.healthy_threshold, check, now);
                    return None;
                }
                self.down = None;
                Some(Turn::Up)
            }
            Err(failure) => {
                self.restart_count();
                self.failed = self.failed.saturating_add(1);
                if self.is_down() {
                    self.down = Some(failure);
                    self.hurry = 0;
                    return None;
                }
                if self.failed < check.unhealthy_threshold.max(1) {
                    self.hurry(check.unhealthy_threshold, check, now);
                    return None;
                }
                self.hurry = 0;
                self.down = Some(failure);
                Some(Turn::Down(failure))
            }
        }
    }

    /// The gateway is suspected: probe now, and send this many probes at the short interval.
    pub(super) fn hurry(&mut self, count: u32, check: &HealthCheck, now: Instant) {
        self.hurry = self.hurry.max(count);
        let soonest = self.last.map_or(now, |last| later(last, fast(check)).max(now));
        self.due = self.due.min(soonest);
    }

    /// The moment from which the probe in flight, unanswered, confirms that a stalled gateway hangs.
    pub(super) fn confirms_stall(&self, check: &HealthCheck) -> Option<Instant> {
        let begun = self.last.filter(|_| self.ticket.is_some())?;
        let usual = self.took.last()?.saturating_mul(STALL_ROUND_TRIPS);
        Some(later(begun, usual.max(STALL_MIN).min(check.timeout)))
    }

    /// Applies another health check. Without one, earlier probes no longer count.
    pub(super) fn reconfigure(&mut self, check: Option<&HealthCheck>, now: Instant) {
        self.due = now;
        if check.is_none() {
            *self = Self::new(now);
        }
    }
}

fn fast(check: &HealthCheck) -> Duration {
    (check.interval / HURRY)
        .max(HURRY_MIN)
        .min(check.interval)
        .max(PACE_MIN)
}
