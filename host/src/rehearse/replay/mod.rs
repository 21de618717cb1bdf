//! Replay: the entries of an access log decided again by another configuration, plugin or location database.
//!
//! A decision is made under the conditions that the log tells of: regions that were drained, unhealthy, full or held back then are
//! so again, and chance has the number that was drawn. What a log does not have (fields, queries, certificates, cookies) is absent.
//!
//! | module | what it does |
//! |---|---|
//! | `conditions` | the health that an entry tells of |
//! | `worker` | decides the entries of one thread |
//! | `tally`, [`Report`] | what is counted, and how it is told |

mod conditions;
mod report;
mod tally;
mod worker;

pub use report::{CountryReport, MoveReport, NotDecided, Report, RoundTrips, ServiceReport};
pub use tally::BadLine;

use super::blocks::{Block, Blocks};
use crate::control::basis::Basis;
use portolan_core::config::Policy;
use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;
use tally::Tally;
use thiserror::Error;
use worker::Worker;

/// How blocks of gzip begin (RFC 1952, section 2.3.1).
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// How entries are decided.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// All regions are taken for healthy, instead of as they were when an entry was logged.
    pub all_healthy: bool,
    /// How many threads decide.
    pub threads: NonZeroUsize,
}

/// Why a log could not be replayed.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// It could not be read to its end.
    #[error("failed to read the log: {0}")]
    Read(#[from] io::Error),
    /// It is compressed.
    #[error("the log is compressed: decompress it first, as in `zcat LOG | portolan replay - --config FILE`")]
    Compressed,
}

/// Decides the entries of a log again by a basis. `progress` is called with the lines and bytes that were read so far.
///
/// # Errors
/// When the log cannot be read.
pub fn run(
    log: impl Read,
    basis: Basis,
    options: Options,
    mut progress: impl FnMut(u64, u64),
) -> Result<Report, ReplayError> {
    let notes = notes(&basis);
    let now = Instant::now();
    let basis = Mutex::new(basis);
    let (sender, receiver) = sync_channel(2 * options.threads.get());
    let receiver = Mutex::new(receiver);
    let mut blocks = Blocks::new(log);
    let mut tally = thread::scope(|scope| {
        let workers: Vec<_> = (0..options.threads.get())
            .map(|_| scope.spawn(|| work(Worker::new(&basis, options.all_healthy, now), &receiver)))
            .collect();
        let mut bytes = 0;
        let read = loop {
            let block: Block = match blocks.next() {
                Ok(Some(block)) => block,
                Ok(None) => break Ok(()),
                Err(error) => break Err(error.into()),
            };
            if block.first == 1 && block.bytes.starts_with(&GZIP) {
                break Err(ReplayError::Compressed);
            }
            bytes += block.bytes.len() as u64;
            let first = block.first;
            // The workers live as long as the sender.
            let _ = sender.send(block);
            progress(first, bytes);
        };
        drop(sender);
        let mut all = Tally::default();
        for worker in workers {
            match worker.join() {
                Ok(tally) => all.merge(tally),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        read.map(|()| all)
    })?;
    for line in blocks.long {
        tally.bad(BadLine {
            line,
            column: 1,
            message: "the line is longer than 1 MiB".into(),
        });
    }
    Ok(Report::new(tally, notes))
}

fn work(mut worker: Worker<'_>, blocks: &Mutex<Receiver<Block>>) -> Tally {
    loop {
        let next = blocks.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match next {
            Ok(Block { first, bytes }) => worker.block(first, &bytes),
            Err(_) => return worker.tally,
        }
    }
}

/// What a replay by this basis cannot know.
fn notes(basis: &Basis) -> Vec<String> {
    let table = basis.table();
    let mut notes = Vec::new();
    let mut routes = table.config().routes().entries();
    if routes.any(|(_, route)| route.depends_on_fields()) {
        notes.push(
            "routes depend on headers, queries or certificates, which the log does not have: the service is the logged one".into(),
        );
    }
    for (service, entry) in table.config().services().iter().zip(&table.services) {
        if let (Policy::Plugin(name), Some(plugin)) = (&service.policy, &entry.plugin)
            && plugin.version.reads_fields()
        {
            notes.push(format!(
                "service {}: plugin {name} reads headers, which the log does not have: it is asked without them",
                service.name
            ));
        }
    }
    notes
}
