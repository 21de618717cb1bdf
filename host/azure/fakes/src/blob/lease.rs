//! The lease on a blob: a state machine over (available, leased, expired, breaking, broken).
//!
//! The transitions are those of the blob service's documentation ("Lease Blob", outcomes by lease state); the codes are
//! those measured with Azurite 3.35.

use std::time::{Duration, SystemTime};

use super::errors::*;

/// How long a lease lasts: 15 to 60 of the store's seconds, or until released.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Term {
    Seconds(u32),
    Infinite,
}

/// The lease of one blob.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Lease(Option<Held>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Held {
    id: String,
    phase: Phase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Leased { term: Term, until: Option<SystemTime> },
    Breaking { until: SystemTime },
    Broken,
}

/// What a lease is at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseState {
    /// No client holds it.
    Available,
    /// A client holds it.
    Leased,
    /// It expired; its last holder may still renew it.
    Expired,
    /// It was broken and runs out.
    Breaking,
    /// It was broken.
    Broken,
}

impl LeaseState {
    /// As in the header `x-ms-lease-state`.
    pub(super) fn text(self) -> &'static str {
        match self {
            LeaseState::Available => "available",
            LeaseState::Leased => "leased",
            LeaseState::Expired => "expired",
            LeaseState::Breaking => "breaking",
            LeaseState::Broken => "broken",
        }
    }

    /// Whether writes need the lease's id.
    pub(super) fn is_locked(self) -> bool {
        matches!(self, LeaseState::Leased | LeaseState::Breaking)
    }
}

impl Term {
    /// From the header `x-ms-lease-duration`: 15 to 60, or -1.
    pub(super) fn parse(text: &str) -> Result<Term, StorageError> {
        match text.parse::<i32>() {
            Ok(-1) => Ok(Term::Infinite),
            Ok(seconds @ 15..=60) => Ok(Term::Seconds(seconds.unsigned_abs())),
            Ok(_) | Err(_) => Err(INVALID_HEADER),
        }
    }

    fn until(self, now: SystemTime, second: Duration) -> Option<SystemTime> {
        match self {
            Term::Seconds(seconds) => Some(now + second * seconds),
            Term::Infinite => None,
        }
    }
}

impl Lease {
    pub(super) fn state(&self, now: SystemTime) -> LeaseState {
        match self.0.as_ref().map(|held| held.phase) {
            None => LeaseState::Available,
            Some(Phase::Leased { until, .. }) if until.is_none_or(|until| now < until) => LeaseState::Leased,
            Some(Phase::Leased { .. }) => LeaseState::Expired,
            Some(Phase::Breaking { until }) if now < until => LeaseState::Breaking,
            Some(Phase::Breaking { .. } | Phase::Broken) => LeaseState::Broken,
        }
    }

    /// The id, while it means anything.
    pub(super) fn id(&self) -> Option<&str> {
        self.0.as_ref().map(|held| held.id.as_str())
    }

    /// As in the header `x-ms-lease-duration` of a leased blob.
    pub(super) fn kind(&self) -> Option<&'static str> {
        match self.0.as_ref()?.phase {
            Phase::Leased {
                term: Term::Infinite, ..
            } => Some("infinite"),
            Phase::Leased { .. } => Some("fixed"),
            Phase::Breaking { .. } | Phase::Broken => None,
        }
    }

    /// When it runs out.
    pub(super) fn ends(&self) -> Option<SystemTime> {
        match self.0.as_ref()?.phase {
            Phase::Leased { until, .. } => until,
            Phase::Breaking { until } => Some(until),
            Phase::Broken => None,
        }
    }

    /// `second` is the length of one of the lease's seconds.
    pub(super) fn acquire(
        &mut self,
        id: String,
        term: Term,
        now: SystemTime,
        second: Duration,
    ) -> Result<(), StorageError> {
        let mine = self.id() == Some(&id);
        match self.state(now) {
            LeaseState::Leased if !mine => return Err(LEASE_ALREADY_PRESENT),
            LeaseState::Breaking if mine => return Err(LEASE_BREAKING_NOT_ACQUIRED),
            LeaseState::Breaking => return Err(LEASE_ALREADY_PRESENT),
            LeaseState::Available | LeaseState::Leased | LeaseState::Expired | LeaseState::Broken => {}
        }
        self.0 = Some(Held {
            id,
            phase: Phase::Leased {
                term,
                until: term.until(now, second),
            },
        });
        Ok(())
    }

    pub(super) fn renew(&mut self, id: &str, now: SystemTime, second: Duration) -> Result<(), StorageError> {
        match &mut self.0 {
            Some(held) if held.id == id => match &mut held.phase {
                Phase::Leased { term, until } => {
                    *until = term.until(now, second);
                    Ok(())
                }
                Phase::Breaking { .. } | Phase::Broken => Err(LEASE_BROKEN_NOT_RENEWED),
            },
            Some(_) | None => Err(LEASE_ID_MISMATCH),
        }
    }

    pub(super) fn change(&mut self, id: &str, proposed: String, now: SystemTime) -> Result<(), StorageError> {
        let state = self.state(now);
        let Some(held) = &mut self.0 else {
            return Err(LEASE_NOT_PRESENT);
        };
        match state {
            LeaseState::Leased if held.id == id || held.id == proposed => {
                held.id = proposed;
                Ok(())
            }
            LeaseState::Breaking if held.id == id => Err(LEASE_BREAKING_NOT_CHANGED),
            LeaseState::Leased | LeaseState::Breaking => Err(LEASE_ID_MISMATCH),
            LeaseState::Available | LeaseState::Expired | LeaseState::Broken => Err(LEASE_NOT_PRESENT),
        }
    }

    pub(super) fn release(&mut self, id: &str) -> Result<(), StorageError> {
        if self.id() != Some(id) {
            return Err(LEASE_ID_MISMATCH);
        }
        self.0 = None;
        Ok(())
    }

    /// Breaks it after `period` of the lease's seconds, or when it would have ended; the seconds left then.
    pub(super) fn break_off(
        &mut self,
        period: Option<u32>,
        now: SystemTime,
        second: Duration,
    ) -> Result<u64, StorageError> {
        if period.is_some_and(|seconds| seconds > 60) {
            return Err(INVALID_HEADER);
        }
        let (state, ends) = (self.state(now), self.ends());
        let Some(held) = &mut self.0 else {
            return Err(LEASE_NOT_PRESENT);
        };
        let asked = period.map(|seconds| now + second * seconds);
        let until = match state {
            LeaseState::Leased => asked.into_iter().chain(ends).min(),
            LeaseState::Breaking => asked.into_iter().chain(ends).min(),
            LeaseState::Available | LeaseState::Expired | LeaseState::Broken => None,
        };
        let until = until.filter(|until| *until > now);
        held.phase = until.map_or(Phase::Broken, |until| Phase::Breaking { until });
        let left = until
            .and_then(|until| until.duration_since(now).ok())
            .unwrap_or_default();
        Ok(left.as_nanos().div_ceil(second.as_nanos().max(1)) as u64)
    }

    /// Whether a write that names this lease id, or none, may go on. A write ends what is left of an expired lease.
    pub(super) fn allow_write(&mut self, id: Option<&str>, now: SystemTime) -> Result<(), StorageError> {
        let state = self.state(now);
        match id {
            None if state.is_locked() => return Err(LEASE_ID_MISSING),
            Some(_) if !state.is_locked() => return Err(LEASE_LOST),
            Some(id) if !self.is(id) => return Err(LEASE_ID_MISMATCH_WITH_BLOB),
            None | Some(_) => {}
        }
        if !state.is_locked() {
            self.0 = None;
        }
        Ok(())
    }

    /// Whether a read that names this lease id, or none, may go on.
    pub(super) fn allow_read(&self, id: Option<&str>, now: SystemTime) -> Result<(), StorageError> {
        match id {
            Some(_) if !self.state(now).is_locked() => Err(LEASE_LOST),
            Some(id) if !self.is(id) => Err(LEASE_ID_MISMATCH_WITH_BLOB),
            None | Some(_) => Ok(()),
        }
    }

    fn is(&self, id: &str) -> bool {
        self.id().is_some_and(|held| held.eq_ignore_ascii_case(id))
    }
}

#[cfg(test)]
mod tests;
