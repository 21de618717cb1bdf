//! The requests to a fake and its answers, and waiting for them.

use std::fmt;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use http::Method;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::Instant;

use super::clock::Clock;
use super::locked;

/// So many requests are kept; when there are more, the older half is forgotten. A demo may run for days.
const MOST_KEPT: usize = 20_000;

/// One request and its answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// When it arrived, by the fake's clock.
    pub at: SystemTime,
    /// The label of the port it came in by.
    pub listener: String,
    /// Its method.
    pub method: Method,
    /// Its path, without the query, which may hold a signature.
    pub path: String,
    /// Its api-version.
    pub api_version: Option<String>,
    /// Its body; secrets of a token request are left out.
    pub body: String,
    /// The status answered; `None` if the request got no answer.
    pub status: Option<u16>,
    /// Where request or answer depart from the contract.
    pub violations: Vec<String>,
}

/// A wait that ended without its condition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("did not come to pass within {0:?}")]
pub struct TooLate(pub Duration);

impl Recorded {
    /// The body as JSON; null if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }
}

impl fmt::Display for Recorded {
    /// One line: time of day, listener, request, status, violations.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let (seconds, millis) = (at.as_secs() % 86_400, at.subsec_millis());
        let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(
            f,
            "{hours:02}:{minutes:02}:{seconds:02}.{millis:03} {:8} {} {}",
            self.listener, self.method, self.path
        )?;
        if let Some(version) = &self.api_version {
            write!(f, " ({version})")?;
        }
        if !self.body.is_empty() {
            write!(f, " {}", self.body)?;
        }
        match self.status {
            Some(status) => write!(f, " -> {status}")?,
            None => write!(f, " -> no answer")?,
        }
        self.violations
            .iter()
            .try_for_each(|violation| write!(f, " !! {violation}"))
    }
}

/// The requests so far, and a mark that moves with every change of a fake's state.
#[derive(Debug)]
pub(super) struct Journal {
    entries: Mutex<Vec<Recorded>>,
    changes: watch::Sender<u64>,
}

impl Journal {
    pub(super) fn new() -> Journal {
        Journal {
            entries: Mutex::default(),
            changes: watch::Sender::new(0),
        }
    }

    pub(super) fn entries(&self) -> Vec<Recorded> {
        locked(&self.entries).clone()
    }

    pub(super) fn record(&self, recorded: Recorded) {
        let mut entries = locked(&self.entries);
        if entries.len() == MOST_KEPT {
            entries.drain(..MOST_KEPT / 2);
        }
        entries.push(recorded);
        drop(entries);
        self.changed();
    }

    /// Wakes all that wait for a state.
    pub(super) fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// Waits until `holds`, for at most `within` of real time. `due` tells when the state next changes by itself.
    pub(super) async fn until(
        &self,
        clock: &Clock,
        within: Duration,
        due: impl Fn() -> Option<SystemTime>,
        mut holds: impl FnMut() -> bool,
    ) -> Result<(), TooLate> {
        let deadline = Instant::now() + within;
        let mut changes = self.changes.subscribe();
        loop {
            changes.mark_unchanged();
            if holds() {
                return Ok(());
            }
            let passage = async {
                match due() {
                    Some(time) => clock.reach(time).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                // The sender lives in `self`, so this cannot fail.
                _ = changes.changed() => {}
                () = passage => {}
                () = tokio::time::sleep_until(deadline) => return Err(TooLate(within)),
            }
        }
    }
}
