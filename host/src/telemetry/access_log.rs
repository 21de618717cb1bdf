//! The access log: one JSON line per request, written by a thread of its own.
//!
//! Every worker appends to a buffer that only it and the writer touch; the writer takes the buffers away a few times a
//! second and leaves empty ones. So a request pays for writing text into memory, and for nothing else: when the
//! destination is slow, lines are dropped and counted.

use crate::vitals::Counter;
use serde::Serialize;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

/// How much a worker's buffer holds before lines are dropped: several times what a worker can say while lines gather.
const BUFFER_BYTES: usize = 4 << 20;

/// How long the writer lets lines gather once there is one.
const GATHER: Duration = Duration::from_millis(20);

/// Where the lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// The standard output.
    Stdout,
    /// A file that is appended to, made if it is not there.
    File(PathBuf),
}

/// The running log. Dropping it writes what is left.
#[derive(Debug)]
pub struct AccessLog {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
}

/// One worker's end of the log.
#[derive(Debug)]
pub struct Sink {
    shared: Arc<Shared>,
    worker: usize,
    writer: Thread,
}

/// What became of the lines so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// Written.
    pub written: u64,
    /// Dropped because the buffer was full.
    pub dropped: u64,
    /// Lost because the destination refused them.
    pub failed: u64,
}

#[derive(Debug, Default)]
struct Shared {
    shards: Box<[Shard]>,
    written: Counter,
    failed: Counter,
    reopen: AtomicBool,
    stop: AtomicBool,
}

#[derive(Debug, Default)]
struct Shard {
    buffer: Mutex<Vec<u8>>,
    dropped: Counter,
}

impl AccessLog {
    /// Opens the destination and starts the writer.
    ///
    /// # Errors
    /// When the file cannot be opened or the thread not started.
    pub fn start(destination: Destination, workers: usize) -> io::Result<Self> {
        let output = Output::open(&destination)?;
        let shared = Arc::new(Shared {
            shards: (0..workers.max(1)).map(|_| Shard::default()).collect(),
            ..Shared::default()
        });
        let writer = Writer {
            shared: Arc::clone(&shared),
            destination,
            output,
            taken: Vec::new(),
            failing: false,
        };
        let writer = thread::Builder::new()
            .name("access-log".into())
            .spawn(move || writer.run())?;
        Ok(Self {
            shared,
            writer: Some(writer),
        })
    }

    /// A worker's end; `None` when there is no such worker.
    pub fn sink(&self, worker: usize) -> Option<Sink> {
        let writer = self.writer.as_ref()?.thread().clone();
        self.shared.shards.get(worker)?;
        Some(Sink {
            shared: Arc::clone(&self.shared),
            worker,
            writer,
        })
    }

    /// Opens the file anew before the next line is written, so that the old one may be moved away.
    pub fn reopen(&self) {
        self.shared.reopen.store(true, Ordering::Release);
        self.wake();
    }

    /// What became of the lines so far.
    pub fn lines(&self) -> Lines {
        Lines {
            written: self.shared.written.get(),
            dropped: self.shared.shards.iter().map(|shard| shard.dropped.get()).sum(),
            failed: self.shared.failed.get(),
        }
    }

    fn wake(&self) {
        if let Some(writer) = &self.writer {
            writer.thread().unpark();
        }
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.wake();
        if let Some(writer) = self.writer.take() {
            // It only ends early by a panic, which was reported where it happened.
            let _ = writer.join();
        }
    }
}

impl Sink {
    /// Appends a line, or drops it when the writer is too far behind. Never waits for the destination.
    pub fn write(&self, line: &impl Serialize) {
        let Some(shard) = self.shared.shards.get(self.worker) else {
            return;
        };
        if shard.append(line) == Appended::First {
            self.writer.unpark();
        }
    }
}

/// What became of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Appended {
    /// It is the first one of its buffer: the writer may be asleep.
    First,
    Further,
    Dropped,
}

impl Shard {
    fn append(&self, line: &impl Serialize) -> Appended {
        let mut buffer = self.lock();
        let before = buffer.len();
        if before >= BUFFER_BYTES || serde_json::to_writer(&mut *buffer, line).is_err() {
            buffer.truncate(before);
            self.dropped.add(1);
            return Appended::Dropped;
        }
        buffer.push(b'\n');
        if before == 0 {
            Appended::First
        } else {
            Appended::Further
        }
    }

    /// The writer holds it only to exchange the buffer.
    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct Writer {
    shared: Arc<Shared>,
    destination: Destination,
    output: Output,
    taken: Vec<u8>,
    failing: bool,
}

#[derive(Debug)]
enum Output {
    Stdout,
    File(File),
}

impl Output {
    fn open(destination: &Destination) -> io::Result<Self> {
        use std::os::unix::fs::OpenOptionsExt;
        match destination {
            Destination::Stdout => Ok(Self::Stdout),
            // Addresses of clients are not for everybody on the machine.
            Destination::File(path) => OpenOptions::new()
                .append(true)
                .create(true)
                .mode(0o640)
                .open(path)
                .map(Self::File),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(bytes)?;
                stdout.flush()
            }
            Self::File(file) => file.write_all(bytes),
        }
    }
}

impl Writer {
    fn run(mut self) {
        loop {
            thread::park();
            if !self.shared.stop.load(Ordering::Acquire) {
                thread::sleep(GATHER);
            }
            // Read before the buffers are taken: whatever was appended before the stop is among them.
            let stopping = self.shared.stop.load(Ordering::Acquire);
            if self.shared.reopen.swap(false, Ordering::AcqRel) {
                self.reopen();
            }
            self.write_all();
            if stopping {
                return;
            }
        }
    }

    fn write_all(&mut self) {
        let shared = Arc::clone(&self.shared);
        for shard in &shared.shards {
            self.taken.clear();
            std::mem::swap(&mut *shard.lock(), &mut self.taken);
            if !self.taken.is_empty() {
                self.write();
            }
        }
    }

    fn write(&mut self) {
        let lines = self.taken.iter().filter(|byte| **byte == b'\n').count() as u64;
        match self.output.write_all(&self.taken) {
            Ok(()) => {
                self.failing = false;
                self.shared.written.add(lines);
            }
            Err(error) => {
                self.shared.failed.add(lines);
                // Said once, not a hundred times a second; the count goes on in the metrics.
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::error!(%error, destination = ?self.destination, "the access log cannot be written");
                }
            }
        }
    }

    fn reopen(&mut self) {
        match Output::open(&self.destination) {
            Ok(output) => self.output = output,
            Err(error) => {
                tracing::error!(%error, destination = ?self.destination, "the access log cannot be opened again; writing to the old file");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::path::Path;
    use std::time::Instant;

    fn lines_of(path: &Path) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines()
            .map(|line| serde_json::from_str(line).expect("a line of JSON"))
            .collect()
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
        let log = AccessLog::start(Destination::File(path.clone()), 2).expect("started");
        assert!(log.sink(2).is_none());
        thread::scope(|scope| {
            for worker in 0..2 {
                let sink = log.sink(worker).expect("a sink");
                scope.spawn(move || (0..500).for_each(|n| sink.write(&json!({ "worker": worker, "n": n }))));
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
    fn a_moved_file_is_left_behind_when_told_so() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, moved) = (folder.path().join("access.log"), folder.path().join("access.log.1"));
        let log = AccessLog::start(Destination::File(path.clone()), 1).expect("started");
        let sink = log.sink(0).expect("a sink");
        sink.write(&json!("first"));
        wait_until("the first line is written", || log.lines().written == 1);
        std::fs::rename(&path, &moved).expect("moved");
        log.reopen();
        wait_until("the file is there again", || path.exists());
        sink.write(&json!("second"));
        wait_until("the second line is written", || log.lines().written == 2);
        assert_eq!(lines_of(&moved), [json!("first")]);
        assert_eq!(lines_of(&path), [json!("second")]);
    }

    #[test]
    fn a_full_buffer_drops_and_counts() {
        let shard = Shard::default();
        let line = json!("x".repeat(BUFFER_BYTES / 4));
        assert_eq!(shard.append(&line), Appended::First);
        for _ in 0..3 {
            assert_eq!(shard.append(&line), Appended::Further);
        }
        assert_eq!(shard.append(&line), Appended::Dropped);
        assert_eq!(shard.dropped.get(), 1);
        assert!(shard.lock().ends_with(b"\"\n"));
    }

    #[test]
    fn a_line_that_fails_half_way_leaves_nothing() {
        struct Broken;
        impl Serialize for Broken {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut sequence = serializer.serialize_seq(None)?;
                serde::ser::SerializeSeq::serialize_element(&mut sequence, &1)?;
                Err(serde::ser::Error::custom("broken"))
            }
        }
        let shard = Shard::default();
        shard.append(&json!(1));
        assert_eq!(shard.append(&Broken), Appended::Dropped);
        assert_eq!(&*shard.lock(), b"1\n");
    }

    #[test]
    fn a_destination_that_cannot_be_written_costs_lines_not_requests() {
        let log = AccessLog::start(Destination::File("/dev/full".into()), 1).expect("started");
        let sink = log.sink(0).expect("a sink");
        sink.write(&json!("lost"));
        wait_until("the line is given up", || log.lines().failed == 1);
        assert_eq!(log.lines().written, 0);
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_said_at_the_start() {
        let error = AccessLog::start(Destination::File("/dev/null/access.log".into()), 1).expect_err("no such folder");
        assert_eq!(error.kind(), io::ErrorKind::NotADirectory);
    }
}
