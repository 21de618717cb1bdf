//! The council: writes this instance's vote, reads everybody's, counts them. Every instance sits in it, leader or not.

use super::counters::Counters;
use crate::health::RegionHealth;
use crate::ledger::{Ledger, StoreTime};
use crate::names::VantageName;
use crate::probe::QuorumSight;
use crate::quorum::{Electorate, Tally};
use crate::settings::Settings;
use crate::store::{Blob, Found, Store, StoreError};
use crate::vote::{Ballot, Vote};
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
    said: StoreTime,
    at: Instant,
}

impl StoreClock {
    /// What the store's clock shows now.
    pub fn now(&self) -> StoreTime {
        self.said.after(self.at.elapsed())
    }
}

/// What is known of the votes.
#[derive(Clone, Debug)]
pub struct Council {
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
    /// Why the store could not be read or written the last time, if so.
    pub error: Option<String>,
}

impl Council {
    /// What the quorum says of a region, for the fast path. A count older than `stale_after` says nothing.
    pub fn sight(&self, region: &RegionName, now: Instant, stale_after: Duration) -> QuorumSight {
        let stale = now.saturating_duration_since(self.at) > stale_after;
        match self.tally.regions.get(region) {
            Some(said) if self.tally.is_quorate() && !stale => QuorumSight::of(said, self.tally.configured),
            _ => QuorumSight::Lost,
        }
    }
}

/// This instance's seat.
pub(super) struct Seat {
    pub(super) settings: Arc<Settings>,
    pub(super) store: Arc<dyn Store>,
    /// The view to vote by. `None`: it only looks on.
    pub(super) health: Option<watch::Receiver<Vec<RegionHealth>>>,
    pub(super) council: watch::Sender<Arc<Council>>,
    pub(super) counters: Arc<Counters>,
}

#[derive(Default)]
struct Known {
    clock: Option<StoreClock>,
    votes: BTreeMap<VantageName, Kept>,
    ledger: Arc<Ledger>,
}

enum Kept {
    Spoiled(String),
    Vote {
        vote: Vote,
        modified: StoreTime,
        /// When this very vote was first read, by our clock.
        first_read: Instant,
    },
}

impl Seat {
    /// The council before anything was read.
    pub(super) fn empty(settings: &Settings) -> Council {
        count(settings, &Electorate::new(&settings.vantages), &Known::default(), None)
    }

    /// Votes and counts until dropped.
    pub(super) async fn sit(mut self) {
        let electorate = Electorate::new(&self.settings.vantages);
        let timing = self.settings.votes;
        let (mut known, mut seq) = (Known::default(), 0);
        let mut read_due = Instant::now();
        let mut vote_due = self.health.is_some().then_some(read_due);
        loop {
            let due = vote_due.map_or(read_due, |vote| vote.min(read_due));
            let changed = tokio::select! {
                changed = changed(&mut self.health) => changed,
                () = sleep_until(due) => false,
            };
            let now = Instant::now();
            if changed {
                let last = vote_due.map(|due| due - timing.write);
                vote_due = Some(now.max(last.map_or(now, |last| last + LEAST_GAP)));
            }
            let mut errors = Vec::new();
            if vote_due.is_some_and(|due| now >= due) {
                seq += 1;
                let wrote = self.vote(seq, now).await;
                // A vote that was not written is written again soon: it would be counted as silence.
                vote_due = Some(now + if wrote.is_ok() { timing.write } else { timing.read });
                read_due = now;
                errors.extend(wrote.err());
            }
            if now >= read_due {
                errors.extend(self.read(&electorate, &mut known).await.err());
                read_due = Instant::now().max(now + timing.read);
                let error = errors.first().map(ToString::to_string);
                if let Some(error) = &error {
                    self.counters.store_errors.add();
                    tracing::debug!(%error, "the store does not answer");
                }
                self.council
                    .send_replace(Arc::new(count(&self.settings, &electorate, &known, error)));
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

    async fn vote(&mut self, seq: u64, now: Instant) -> Result<(), StoreError> {
        let Some(health) = &mut self.health else {
            return Ok(());
        };
        let settings = &self.settings;
        let written_at = OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default();
        let vote = Vote::of(
            &settings.vantage,
            seq,
            &health.borrow_and_update(),
            now,
            written_at,
            &settings.votes,
        );
        let bytes = serde_json::to_vec(&vote).map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let blob = Blob::Vote(settings.vantage.clone());
        let patience = self.patience();
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
                        said: read.now,
                        at: Instant::now(),
                    });
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
                    Err(error) => Kept::Spoiled(error.to_string()),
                };
                self.votes.insert(vantage, kept);
            }
            (Blob::Leader, found) => {
                let ledger = found.and_then(|found| serde_json::from_slice(&found.bytes).ok());
                self.ledger = Arc::new(ledger.unwrap_or_default());
            }
        }
    }

    /// When this vote was first read: now, unless it is the one that is known already.
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

fn count(settings: &Settings, electorate: &Electorate, known: &Known, error: Option<String>) -> Council {
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
            // It is no younger than since we know it: a store whose clock was set back keeps no dead vantage voting.
            age: clock.now().since(*modified).max(first_read.elapsed()),
        },
        (Some(Kept::Spoiled(why)), _) => Ballot::Spoiled(why.clone()),
        _ => Ballot::Absent,
    };
    let vantages = electorate.vantages().iter();
    let ballots = vantages
        .map(|vantage| (vantage.name.clone(), ballot(&vantage.name)))
        .collect();
    let regions = settings.origins.iter().map(|origin| origin.region.clone());
    Council {
        clock: known.clock,
        tally: electorate.tally(regions, &ballots),
        ballots,
        ledger: known.ledger.clone(),
        at: Instant::now(),
        error,
    }
}

/// Waits for a new view; for ever when there is none to come.
async fn changed(health: &mut Option<watch::Receiver<Vec<RegionHealth>>>) -> bool {
    match health {
        Some(view) => match view.changed().await {
            Ok(()) => true,
            // Whoever knew is gone: nothing more can be vouched for.
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
