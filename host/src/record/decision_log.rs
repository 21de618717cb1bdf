//! The decisions of some requests, handed to the control thread for `explain`: one of many at random times, and those that failed or
//! were tried more than once, up to a rate.
//!
//! A bounded queue that is allocated once takes them: a worker that finds it full, or has handed over one just now, does nothing.

use super::{Attempt, RECORDED_ATTEMPTS, RequestData, TableView};
use crate::request_id::RequestId;
use crate::vitals::{Reason, RequestOutcome};
use arrayvec::ArrayVec;
use http::StatusCode;
use portolan_core::config::Config;
use portolan_core::decision::Cause;
use portolan_core::geo::{Country, Point};
use portolan_core::health::{Evidence, HealthView};
use portolan_core::id::{Generation, ServiceId, Slot};
use portolan_core::identity::ClientIdentity;
use portolan_core::plan::GaveUp;
use std::cell::Cell;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant, SystemTime};

/// The shortest time between two ordinary requests of all workers together.
const PAUSE: Duration = Duration::from_millis(40);

/// The same between two that failed or were tried more than once.
const PAUSE_OF_FAILED: Duration = Duration::from_millis(20);

/// How many wait at most. They are collected every second.
const QUEUE: usize = 256;

/// The regions of an order that are kept: no more can be tried.
pub const KEPT_ORDER: usize = RECORDED_ATTEMPTS;

/// What is kept of a request.
#[derive(Clone, Debug)]
pub struct DecisionRecord {
    /// When it had ended.
    pub at: SystemTime,
    /// What tells it from all others.
    pub id: RequestId,
    /// Its client.
    pub client: ClientIdentity,
    /// In which country that is.
    pub country: Country,
    /// And where.
    pub point: Option<Point>,
    /// What was decided; `None` for what was rejected before.
    pub decided: Option<DecidedRecord>,
    /// The attempts in the order in which they ended.
    pub attempts: ArrayVec<(Slot, Evidence), RECORDED_ATTEMPTS>,
    /// The region that answered.
    pub answered_by: Option<Slot>,
    /// Why there was no further attempt.
    pub withheld: Option<GaveUp>,
    /// The status of the response.
    pub status: Option<StatusCode>,
    /// How it ended.
    pub outcome: RequestOutcome,
    /// Why it was rejected, if it was.
    pub reason: Option<Reason>,
    /// From its beginning to the head of its response.
    pub first_byte: Option<Duration>,
    /// From its beginning to its end.
    pub total: Duration,
    /// Whether it failed or was tried more than once.
    pub has_failed: bool,
}

/// A decision as it was made.
#[derive(Clone, Debug)]
pub struct DecidedRecord {
    /// The routing table.
    pub generation: Generation,
    /// The service.
    pub service: ServiceId,
    /// The table's configuration and health, until they are looked up.
    pub under: Option<(Arc<Config>, Arc<HealthView>)>,
    /// Why the regions are in their order.
    pub cause: Cause,
    /// The first regions of the order.
    pub order: ArrayVec<Slot, KEPT_ORDER>,
    /// How long deciding took.
    pub took: Duration,
    /// What was special about its client.
    pub seen_by: SeenBy,
}

/// What is special about a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SeenBy {
    /// It takes part in a drill.
    pub drill: bool,
    /// The plugin version that is being rolled out decides its requests.
    pub canary: bool,
}

/// The queue of all workers' decisions: where they put them, and where they are collected.
pub fn decision_log() -> (SyncSender<DecisionRecord>, Receiver<DecisionRecord>) {
    sync_channel(QUEUE)
}

/// Where a worker puts its decisions.
#[derive(Debug)]
pub struct DecisionSink {
    queue: SyncSender<DecisionRecord>,
    /// How many workers share the rate.
    workers: u32,
    due: Cell<Instant>,
    due_failed: Cell<Instant>,
}

impl DecisionSink {
    /// Of one of so many workers.
    pub fn new(queue: SyncSender<DecisionRecord>, workers: usize, now: Instant) -> Self {
        Self {
            queue,
            workers: u32::try_from(workers).unwrap_or(u32::MAX).max(1),
            due: Cell::new(now),
            due_failed: Cell::new(now),
        }
    }

    /// Keeps the decision of a request that has ended, if one is due.
    #[inline]
    pub(super) fn ended<L: TableView>(
        &self,
        data: &RequestData,
        (outcome, total): (RequestOutcome, Duration),
        table: Option<&L>,
    ) {
        let has_failed = data.attempts.len() > 1 || outcome.is_failure() || data.reason.is_some();
        let (due, pause) = match has_failed {
            true => (&self.due_failed, PAUSE_OF_FAILED),
            false => (&self.due, PAUSE),
        };
        if data.begun >= due.get() {
            due.set(data.begun + pause * self.workers);
            self.keep(data, (outcome, total, has_failed), table);
        }
    }

    #[cold]
    fn keep<L: TableView>(
        &self,
        data: &RequestData,
        (outcome, total, has_failed): (RequestOutcome, Duration, bool),
        table: Option<&L>,
    ) {
        let Some(id) = data.request_id.clone() else { return };
        let decided = data.decided.zip(data.routed).zip(table);
        let decided = decided.map(|((decided, service), table)| DecidedRecord {
            generation: decided.generation,
            service,
            under: Some(table.decided_under()),
            cause: decided.cause,
            order: decided
                .order
                .iter()
                .copied()
                .take(usize::from(decided.ranked))
                .collect(),
            took: decided.took,
            seen_by: table.seen_by(service, data.client.addr),
        });
        let record = DecisionRecord {
            at: SystemTime::now(),
            id,
            client: data.client,
            country: data.country,
            point: data.point,
            decided,
            attempts: data
                .attempts
                .iter()
                .map(|Attempt { slot, evidence }| (*slot, *evidence))
                .collect(),
            answered_by: data.answered_by,
            withheld: data.withheld,
            status: data.status,
            outcome,
            reason: data.reason,
            first_byte: data.first_byte,
            total,
            has_failed,
        };
        // Full, or nobody collects: it is only not explained.
        let _ = self.queue.try_send(record);
    }
}
