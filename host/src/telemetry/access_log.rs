//! The access log: a line per request, JSON or what a template makes. A request pays for writing text into memory, and for nothing
//! else.

use super::log_writer::{Buffer, Destination, Lines, LogWriter};
use super::template::Template;
use crate::chance::Chance;
use portolan_core::rollout::Share;
use std::io;
use std::sync::Arc;

/// How much a worker's buffer holds before lines are dropped, in bytes: several times what a worker can write while lines
/// gather.
const BUFFER_BYTES: usize = 4 << 20;

/// Which requests are logged, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// What lines look like. `None`: JSON.
    pub template: Option<Arc<Template>>,
    /// The share of requests that are logged. `None`: all.
    pub sample: Option<Share>,
    /// Whether those that failed are logged whatever the sample.
    pub errors: Errors,
}

/// Requests that failed, when there is a sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Errors {
    /// All are logged.
    #[default]
    Always,
    /// They are part of the sample, as all requests are.
    Sampled,
}

/// The running log. Dropping it writes what is left, for a second at most.
#[derive(Debug)]
pub struct AccessLog {
    writer: LogWriter,
    rules: Rules,
}

/// One worker's end of the log.
#[derive(Debug)]
pub struct Sink {
    buffer: Buffer,
    rules: Rules,
    chance: Chance,
}

impl AccessLog {
    /// Opens the destination and starts the writer.
    ///
    /// # Errors
    /// When the destination cannot be opened or the thread not started.
    pub fn start(destination: Destination, rules: Rules, workers: usize) -> io::Result<Self> {
        let writer = LogWriter::start("access-log", destination, workers, BUFFER_BYTES, None)?;
        Ok(Self { writer, rules })
    }

    /// A worker's end; `None` when there is no such worker.
    pub fn sink(&self, worker: usize) -> Option<Sink> {
        Some(Sink {
            buffer: self.writer.buffer(worker)?,
            rules: self.rules.clone(),
            chance: Chance::new(),
        })
    }

    /// Opens the file again before the next line is written, so that the old one may be moved away.
    pub fn reopen(&self) {
        self.writer.reopen();
    }

    /// The line counts so far.
    pub fn lines(&self) -> Lines {
        self.writer.lines()
    }
}

impl Sink {
    /// What lines look like; `None` for JSON.
    #[inline]
    pub fn template(&self) -> Option<&Template> {
        self.rules.template.as_deref()
    }

    /// How many requests the line of a request stands for, in thousandths. `None`: it gets none.
    #[inline]
    pub fn admits(&self, is_failure: bool) -> Option<u32> {
        match self.rules.sample {
            Some(_) if is_failure && self.rules.errors == Errors::Always => Some(1_000),
            Some(share) => (self.chance.roll() <= share.bound()).then(|| 1_000_000 / u32::from(share.as_permille())),
            None => Some(1_000),
        }
    }

    /// Appends a line that `write` puts at the buffer's end, or drops it when the writer is too far behind. Never waits for the
    /// destination.
    pub fn append(&self, write: impl FnOnce(&mut Vec<u8>)) {
        self.buffer.append(|buffer| {
            write(buffer);
            buffer.push(b'\n');
            Ok::<_, std::convert::Infallible>(())
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::path::Path;
    use std::thread;
    use std::time::{Duration, Instant};

    fn lines_of(path: &Path) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines()
            .map(|line| serde_json::from_str(line).expect("a line of JSON"))
            .collect()
    }

    fn write(sink: &Sink, line: &serde_json::Value) {
        sink.append(|buffer| serde_json::to_writer(buffer, line).expect("written"));
    }

    #[track_caller]
    fn wait_until(what: &str, mut is: impl FnMut() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !is() {
            assert!(Instant::now() < deadline, "still waiting until {what}");
            thread::yield_now();
        }
    }

    #[test]
    fn lines_of_all_workers_are_written_whole_and_in_order() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("access.log");
        let log = AccessLog::start(Destination::File(path.clone()), Rules::default(), 2).expect("started");
        assert!(log.sink(2).is_none());
        thread::scope(|scope| {
            for worker in 0..2 {
                let sink = log.sink(worker).expect("a sink");
                let line = move |n| json!({ "worker": worker, "n": n });
                scope.spawn(move || (0..500).for_each(|n| write(&sink, &line(n))));
            }
        });
        drop(log);
        let lines = lines_of(&path);
        for worker in 0..2 {
            let of_worker = lines.iter().filter(|line| line["worker"] == worker);
            let numbers: Vec<_> = of_worker.map(|line| line["n"].as_u64().expect("a number")).collect();
            assert_eq!(numbers, (0..500).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_moved_file_is_left_behind_when_the_log_is_reopened() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, moved) = (folder.path().join("access.log"), folder.path().join("access.log.1"));
        let log = AccessLog::start(Destination::File(path.clone()), Rules::default(), 1).expect("started");
        let sink = log.sink(0).expect("a sink");
        write(&sink, &json!("first"));
        wait_until("the first line is written", || log.lines().written == 1);
        std::fs::rename(&path, &moved).expect("moved");
        log.reopen();
        wait_until("the file is there again", || path.exists());
        write(&sink, &json!("second"));
        wait_until("the second line is written", || log.lines().written == 2);
        assert_eq!(lines_of(&moved), [json!("first")]);
        assert_eq!(lines_of(&path), [json!("second")]);
    }

    #[test]
    fn a_sample_is_of_the_share_that_was_asked_for_and_has_all_failures() {
        let folder = tempfile::tempdir().expect("a folder");
        let start = |errors, permille| {
            let rules = Rules {
                sample: Share::permille(permille),
                errors,
                ..Rules::default()
            };
            let destination = Destination::File(folder.path().join("log"));
            AccessLog::start(destination, rules, 1)
                .expect("started")
                .sink(0)
                .expect("a sink")
        };
        let sink = start(Errors::Always, 300);
        let logged: Vec<_> = (0..10_000).filter_map(|_| sink.admits(false)).collect();
        assert!((2_700..3_300).contains(&logged.len()), "{}", logged.len());
        assert!(logged.iter().all(|weight| *weight == 3_333));
        assert!((0..1_000).all(|_| sink.admits(true) == Some(1_000)));
        let sink = start(Errors::Sampled, 1);
        let logged = (0..100_000).filter_map(|_| sink.admits(true)).count();
        assert!((40..180).contains(&logged), "{logged}");
        let sink = start(Errors::Sampled, 1_000);
        assert!((0..1_000).all(|_| sink.admits(false) == Some(1_000)), "all of them");
    }
}
