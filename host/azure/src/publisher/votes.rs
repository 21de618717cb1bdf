//! Writes this instance's vote, reads those of all instances and counts them. Every instance does, leader or not.

use super::counters::Counters;
use crate::desired::suspended;
use crate::doubt::Doubt;
use crate::health::LocalView;
use crate::ledger::Ledger;
use crate::names::VantageName;
use crate::probe::QuorumVerdict;
use crate::quorum::{Electorate, Tally};
use crate::settings::Settings;
use crate::store::{Blob, Found, Store, StoreError};
use crate::store_time::StoreTime;
use crate::vote::{Ballot, Seen, Vote};
use futures::future::join_all;
use portolan_core::id::RegionName;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

/// A view that changes all the time is written no more often than this.
const LEAST_GAP: Duration = Duration::from_millis(250);

/// The store's clock, carried on by ours: no setting of either moves it by more than one reading.
#[derive(Clone, Copy, Debug)]
pub struct StoreClock {
    read: StoreTime,
    at: Instant,
}

impl StoreClock {
    /// What the store's clock shows now.
    pub fn now(&self) -> StoreTime {
        self.read.after(self.at.elapsed())
    }
}

/// The votes as last read and counted.
#[derive(Clone, Debug)]
pub struct Votes {
    /// The store's clock. `None` until it answered once.
    pub clock: Option<StoreClock>,
    /// What was found of each vantage.
    pub ballots: BTreeMap<VantageName, Ballot>,
    /// The count.
    pub tally: Tally,
    /// What the leader has written.
    pub ledger: Arc<Ledger>,
    /// When the votes were counted.
    pub at: Instant,
    /// How long the quorum must have called a region unhealthy for a verdict.
    settle: Duration,
    /// Whether an instance holds the leader's lease. `None` when that could not be read for as long as a lease lasts.
    pub led: Option<bool>,
    /// Since when no instance holds it, if none does.
    pub unled_since: Option<Instant>,
    /// Why the store could not be read or written the last time, if so.
    pub error: Option<StoreError>,
}

impl Votes {
    /// The quorum's verdict on a region, for the answers to probes. A count older than `stale_after` gives none.
    pub fn verdict(&self, region: &RegionName, now: Instant, stale_after: Duration) -> QuorumVerdict {
        let stale = now.saturating_duration_since(self.at) > stale_after;
        match self.tally.regions.get(region) {
            Some(count) if self.tally.is_quorate() && !stale => {
                QuorumVerdict::of(count, self.tally.configured, self.settle)
            }
            _ => QuorumVerdict::Unknown,
        }
    }
}

/// This instance as a voter.
pub(super) struct Voter {
    pub(super) settings: Arc<Settings>,
    pub(super) store: Arc<dyn Store>,
    /// The view to vote by. `None`: it only reads.
    pub(super) health: Option<watch::Receiver<LocalView>>,
    pub(super) votes: watch::Sender<Arc<Votes>>,
    pub(super) counters: Arc<Counters>,
}

/// What was read so far.
#[derive(Default)]
struct Known {
    clock: Option<StoreClock>,
    votes: BTreeMap<VantageName, Kept>,
    ledger: Arc<Ledger>,
    /// Whether the leader's blob is leased, and when that was read.
    lease: Option<(bool, Instant)>,
    unled_since: Option<Instant>,
}

enum Kept {
    Invalid(String),
    Vote {
        vote: Vote,
        modified: StoreTime,
        /// When this very vote was first read, by our clock.
        first_read: Instant,
    },
}

impl Voter {
    /// The votes before anything was read.
    pub(super) fn none_read(settings: &Settings) -> Votes {
        count(settings, &electorate(settings), &Known::default(), None)
    }

    /// Votes and counts until dropped.
    pub(super) async fn run(mut self) {
        let electorate = electorate(&self.settings);
        let timing = self.settings.votes;
        let (mut known, mut seq) = (Known::default(), 0);
        let mut doubt = Doubt::default();
        let mut settled_since = None;
        let mut read_due = Instant::now();
        let mut vote_due = self.health.is_some().then_some(read_due);
        loop {
            let due = vote_due.map_or(read_due, |vote| vote.min(read_due));
            let changed = tokio::select! {
                changed = changed(&mut self.health) => changed,
                () = sleep_until(due) => false,
            };
            let now = Instant::now();
            if let Some(health) = &self.health
                && doubt.update(&health.borrow(), now)
            {
                match doubt.is_doubted() {
                    true => tracing::warn!("most regions look unhealthy from here: this instance's vote abstains"),
                    false => tracing::info!("most regions look healthy again: this instance's vote counts"),
                }
            }
            if changed {
                let last = vote_due.map(|due| due - timing.write);
                vote_due = Some(now.max(last.map_or(now, |last| last + LEAST_GAP)));
            }
            let mut errors = Vec::new();
            if vote_due.is_some_and(|due| now >= due) {
                seq += 1;
                let settled_for = settled_since.map(|since| now.saturating_duration_since(since));
                let wrote = self.vote(seq, doubt, settled_for, now).await;
                // A vote that was not written is written again soon: a missing vote does not count.
                vote_due = Some(now + if wrote.is_ok() { timing.write } else { timing.read });
                read_due = now;
                errors.extend(wrote.err());
            }
            if now >= read_due {
                errors.extend(self.read(&electorate, &mut known).await.err());
                read_due = Instant::now().max(now + timing.read);
                let error = errors.into_iter().next();
                if let Some(error) = &error {
                    self.counters.store_errors.add();
                    tracing::debug!(%error, "failed to reach the store");
                }
                let votes = count(&self.settings, &electorate, &known, error);
                let settled = suspended(&self.settings.origins, &votes.tally).is_none();
                if settled != settled_since.is_some() {
                    settled_since = settled.then_some(votes.at);
                    // The vote reports it to the other vantages.
                    vote_due = vote_due.map(|due| due.min(votes.at));
                }
                self.votes.send_replace(Arc::new(votes));
            }
        }
    }

    /// No call to the store may take so long that votes grow old behind it.
    fn patience(&self) -> Duration {
        self.settings
            .timing
            .request_timeout
            .min(self.settings.votes.valid_for / 3)
    }

    async fn vote(
        &mut self,
        seq: u64,
        doubt: Doubt,
        settled_for: Option<Duration>,
        now: Instant,
    ) -> Result<(), StoreError> {
        let patience = self.patience();
        let Some(health) = &mut self.health else {
            return Ok(());
        };
        let settings = &self.settings;
        let written_at = OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default();
        let view = health.borrow_and_update().clone();
        let seen = Seen {
            view: &view,
            doubt,
            settled_for,
        };
        let vote = Vote::of(&settings.vantage, seq, seen, now, written_at, &settings.votes);
        let bytes = serde_json::to_vec(&vote).map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let blob = Blob::Vote(settings.vantage.clone());
        timeout(patience, self.store.write(&blob, bytes, None))
            .await
            .unwrap_or_else(|_| Err(slow(patience)))?;
        self.counters.votes_written.add();
        Ok(())
    }

    async fn read(&self, electorate: &Electorate, known: &mut Known) -> Result<(), StoreError> {
        let patience = self.patience();
        let votes = electorate
            .vantages()
            .iter()
            .map(|vantage| Blob::Vote(vantage.name.clone()));
        let reads = votes.chain([Blob::Leader]).map(|blob| async move {
            let read = timeout(patience, self.store.read(&blob)).await;
            (blob, read.unwrap_or_else(|_| Err(slow(patience))))
        });
        let mut failed = None;
        for (blob, read) in join_all(reads).await {
            match read {
                Ok(read) => {
                    known.clock = Some(StoreClock {
                        read: read.now,
                        at: Instant::now(),
                    });
                    if blob == Blob::Leader {
                        known.keep_lease(read.leased);
                    }
                    known.keep(blob, read.found);
                }
                // What was read before grows old by the clock, and stops counting.
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(()), Err)
    }
}

impl Known {
    fn keep_lease(&mut self, leased: bool) {
        let now = Instant::now();
        self.lease = Some((leased, now));
        self.unled_since = (!leased).then(|| self.unled_since.unwrap_or(now));
    }

    fn keep(&mut self, blob: Blob, found: Option<Found>) {
        match (blob, found) {
            (Blob::Vote(vantage), None) => {
                self.votes.remove(&vantage);
            }
            (Blob::Vote(vantage), Some(found)) => {
                let modified = found.modified;
                let kept = match Vote::parse(&vantage, &found.bytes) {
                    Ok(vote) => Kept::Vote {
                        first_read: self.first_read(&vantage, &vote, modified),
                        vote,
                        modified,
                    },
                    Err(error) => Kept::Invalid(error.to_string()),
                };
                self.votes.insert(vantage, kept);
            }
            // Not read here.
            (Blob::RoundTrips(_), _) => {}
            (Blob::Leader, found) => {
                let ledger = found.and_then(|found| serde_json::from_slice(&found.bytes).ok());
                self.ledger = Arc::new(ledger.unwrap_or_default());
            }
        }
    }

    /// When this vote was first read: now, unless it has been read before.
    fn first_read(&self, vantage: &VantageName, read: &Vote, at: StoreTime) -> Instant {
        match self.votes.get(vantage) {
            Some(Kept::Vote {
                vote,
                modified,
                first_read,
            }) if *modified == at && vote.seq == read.seq => *first_read,
            _ => Instant::now(),
        }
    }
}

fn electorate(settings: &Settings) -> Electorate {
    Electorate::new(&settings.vantages, settings.timing.sustain)
}

fn count(settings: &Settings, electorate: &Electorate, known: &Known, error: Option<StoreError>) -> Votes {
    let ballot = |vantage: &VantageName| match (known.votes.get(vantage), known.clock) {
        (
            Some(Kept::Vote {
                vote,
                modified,
                first_read,
            }),
            Some(clock),
        ) => Ballot::Cast {
            vote: vote.clone(),
            // It is at least as old as the time since it was first read: a store whose clock was set back keeps no dead vantage voting.
            age: clock.now().since(*modified).max(first_read.elapsed()),
        },
        (Some(Kept::Invalid(why)), _) => Ballot::Invalid(why.clone()),
        _ => Ballot::Absent,
    };
    let vantages = electorate.vantages().iter();
    let ballots = vantages
        .map(|vantage| (vantage.name.clone(), ballot(&vantage.name)))
        .collect();
    let regions = settings.origins.iter().map(|origin| origin.region.clone());
    let lease = known.lease.filter(|(_, at)| at.elapsed() <= settings.lease.duration);
    Votes {
        clock: known.clock,
        tally: electorate.tally(regions, &ballots),
        ballots,
        ledger: known.ledger.clone(),
        at: Instant::now(),
        settle: settings.votes.settle,
        led: lease.map(|(leased, _)| leased),
        unled_since: known.unled_since.filter(|_| lease.is_some()),
        error,
    }
}

/// Waits for a new view; for ever when there is none to come.
async fn changed(health: &mut Option<watch::Receiver<LocalView>>) -> bool {
    match health {
        Some(view) => match view.changed().await {
            Ok(()) => true,
            // The source of the view is gone: there is nothing to vote by any more.
            Err(_) => {
                *health = None;
                false
            }
        },
        None => std::future::pending().await,
    }
}

fn slow(patience: Duration) -> StoreError {
    StoreError::Unavailable(format!("no answer within {patience:?}"))
}
