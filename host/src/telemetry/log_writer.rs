//! Writes log lines on a thread of its own, so that no other thread waits for the destination.
//!
//! Lines are appended to bounded buffers; the thread takes the buffers away a few times a second and leaves empty ones. When
//! the destination is slow or does not take anything at all (a full pipe whose reader has stopped), lines are dropped and
//! counted. At the end, what is left is written for a bounded time.

use crate::vitals::Counter;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::Duration;

/// How long the writer lets lines gather once there is one.
const GATHER: Duration = Duration::from_millis(20);

/// How long dropping a writer waits for what is left to be written.
const EXIT_WAIT: Duration = Duration::from_secs(1);

/// How long the writer pauses when a destination that does not block is full.
const FULL_PAUSE: Duration = Duration::from_millis(10);

/// Where the lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// The standard output.
    Stdout,
    /// The standard error.
    Stderr,
    /// A file that is appended to, created if it does not exist.
    File(PathBuf),
}

/// The line counts so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// Written.
    pub written: u64,
    /// Dropped because the buffer was full.
    pub dropped: u64,
    /// Lost because the destination failed.
    pub failed: u64,
}

/// A running writer. Dropping it writes what is left, for a second at most.
#[derive(Debug)]
pub struct LogWriter {
    shared: Arc<Shared>,
    thread: Thread,
    ended: Mutex<Receiver<()>>,
}

/// One appender's buffer. Appenders that are busy at the same time should have one each.
#[derive(Clone, Debug)]
pub struct Buffer {
    shared: Arc<Shared>,
    shard: usize,
    thread: Thread,
}

#[derive(Debug)]
struct Shared {
    shards: Box<[Shard]>,
    /// In bytes: what a buffer holds before lines are dropped.
    capacity: usize,
    written: Counter,
    failed: Counter,
    reopen: AtomicBool,
    stop: AtomicBool,
}

#[derive(Debug, Default)]
struct Shard {
    batch: Mutex<Batch>,
    dropped: Counter,
}

/// Lines that are written at once.
#[derive(Debug, Default)]
struct Batch {
    text: Vec<u8>,
    lines: u64,
}

/// Writes a notice about lines that were dropped; `None` when none is wanted.
pub type DropNotice = Option<fn(u64) -> String>;

impl LogWriter {
    /// Opens the destination and starts the thread, with this many buffers of `capacity` bytes. `notice` makes the line that
    /// reports dropped lines once lines are written again.
    ///
    /// # Errors
    /// When the destination cannot be opened or the thread not started.
    pub fn start(
        name: &str,
        destination: Destination,
        shards: usize,
        capacity: usize,
        notice: DropNotice,
    ) -> io::Result<Self> {
        let output = open(&destination)?;
        let shared = Arc::new(Shared {
            shards: (0..shards.max(1)).map(|_| Shard::default()).collect(),
            capacity,
            written: Counter::default(),
            failed: Counter::default(),
            reopen: AtomicBool::new(false),
            stop: AtomicBool::new(false),
        });
        let (end, ended) = channel();
        let writer = Writer {
            shared: Arc::clone(&shared),
            destination,
            output,
            batch: Batch::default(),
            failing: false,
            notice,
            noticed: 0,
        };
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || writer.run(&end))?;
        Ok(Self {
            shared,
            thread: thread.thread().clone(),
            ended: Mutex::new(ended),
        })
    }

    /// One of the buffers; `None` when there are fewer.
    pub fn buffer(&self, shard: usize) -> Option<Buffer> {
        self.shared.shards.get(shard)?;
        Some(Buffer {
            shared: Arc::clone(&self.shared),
            shard,
            thread: self.thread.clone(),
        })
    }

    /// Opens a file again before the next line is written, so that the old one may be moved away.
    pub fn reopen(&self) {
        self.shared.reopen.store(true, Ordering::Release);
        self.thread.unpark();
    }

    /// The line counts so far.
    pub fn lines(&self) -> Lines {
        Lines {
            written: self.shared.written.get(),
            dropped: self.shared.dropped(),
            failed: self.shared.failed.get(),
        }
    }

    /// Writes what is left and ends the thread, within `EXIT_WAIT`. Lines that are appended later are lost.
    pub fn finish(&self) {
        self.shared.stop.store(true, Ordering::Release);
        self.thread.unpark();
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        // An error means that it has ended. A thread that is stuck in a write ends with the process.
        let _ = ended.recv_timeout(EXIT_WAIT);
    }
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        self.finish();
    }
}

impl Buffer {
    /// Appends a line that `write` makes, or drops it: when the buffer is full or `write` fails. Never waits for the
    /// destination.
    pub fn append<E>(&self, write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) {
        let Some(shard) = self.shared.shards.get(self.shard) else {
            return;
        };
        if shard.append(self.shared.capacity, write) == Appended::First {
            self.thread.unpark();
        }
    }
}

impl Shared {
    fn dropped(&self) -> u64 {
        self.shards.iter().map(|shard| shard.dropped.get()).sum()
    }
}

/// The result of appending a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Appended {
    /// It is the first one of its buffer: the writer may be asleep.
    First,
    Further,
    Dropped,
}

impl Shard {
    fn append<E>(&self, capacity: usize, write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Appended {
        let mut batch = self.lock();
        let before = batch.text.len();
        if before >= capacity || write(&mut batch.text).is_err() {
            batch.text.truncate(before);
            // Under the lock, so that the counter has one writer at a time.
            self.dropped.add(1);
            return Appended::Dropped;
        }
        batch.lines += 1;
        if before == 0 {
            Appended::First
        } else {
            Appended::Further
        }
    }

    /// The writer holds it only to exchange the batch.
    fn lock(&self) -> MutexGuard<'_, Batch> {
        self.batch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct Writer {
    shared: Arc<Shared>,
    destination: Destination,
    output: File,
    batch: Batch,
    failing: bool,
    notice: DropNotice,
    /// Dropped lines that a notice has reported.
    noticed: u64,
}

fn open(destination: &Destination) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    match destination {
        // Descriptors of our own: std's locks would be held for as long as a write blocks, and the exit takes them.
        Destination::Stdout => io::stdout().as_fd().try_clone_to_owned().map(File::from),
        Destination::Stderr => io::stderr().as_fd().try_clone_to_owned().map(File::from),
        // Client addresses must not be readable by every user of the machine.
        Destination::File(path) => OpenOptions::new().append(true).create(true).mode(0o640).open(path),
    }
}

impl Writer {
    fn run(mut self, _end: &Sender<()>) {
        loop {
            thread::park();
            if !self.shared.stop.load(Ordering::Acquire) {
                thread::sleep(GATHER);
            }
            // Read before the batches are taken: whatever was appended before the stop is among them.
            let stopping = self.shared.stop.load(Ordering::Acquire);
            if self.shared.reopen.swap(false, Ordering::AcqRel) {
                self.reopen();
            }
            self.write_buffers();
            if stopping {
                return;
            }
        }
    }

    fn write_buffers(&mut self) {
        let shared = Arc::clone(&self.shared);
        for shard in &shared.shards {
            self.batch.text.clear();
            self.batch.lines = 0;
            std::mem::swap(&mut *shard.lock(), &mut self.batch);
            if self.batch.lines > 0 {
                self.write();
            }
        }
        let dropped = shared.dropped();
        if let Some(notice) = self.notice.filter(|_| dropped > self.noticed) {
            let line = notice(dropped - self.noticed);
            if self.write_all(line.as_bytes()).is_ok() {
                self.noticed = dropped;
            }
        }
    }

    fn write(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        match self.write_all(&batch.text) {
            Ok(()) => {
                self.failing = false;
                self.shared.written.add(batch.lines);
            }
            Err(error) => {
                self.shared.failed.add(batch.lines);
                // Once, not with every line; the counter goes on. A log that fails does not report itself.
                let first = !std::mem::replace(&mut self.failing, true);
                if first && self.destination != Destination::Stderr {
                    tracing::error!(%error, destination = ?self.destination, "failed to write log lines");
                }
            }
        }
        self.batch = batch;
    }

    fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.output.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Another process made the shared descriptor non-blocking.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(FULL_PAUSE),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn reopen(&mut self) {
        if !matches!(self.destination, Destination::File(_)) {
            return;
        }
        match open(&self.destination) {
            Ok(output) => self.output = output,
            Err(error) => {
                let destination = &self.destination;
                tracing::error!(%error, ?destination, "failed to reopen the log; lines still go to the old file");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;
    use std::os::fd::OwnedFd;
    use std::time::Instant;

    const CAPACITY: usize = 4 << 10;

    fn line(text: &str) -> impl FnOnce(&mut Vec<u8>) -> Result<(), Infallible> {
        move |buffer| {
            buffer.extend(text.as_bytes());
            buffer.push(b'\n');
            Ok(())
        }
    }

    #[track_caller]
    fn wait_until(what: &str, mut is: impl FnMut() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !is() {
            assert!(Instant::now() < deadline, "still waiting until {what}");
            thread::yield_now();
        }
    }

    /// A pipe as a file that can be opened: what is written to the path can be read here.
    fn pipe() -> (OwnedFd, io::PipeReader, PathBuf) {
        use std::os::fd::AsRawFd;
        let (reader, writer) = io::pipe().expect("a pipe");
        let writer = OwnedFd::from(writer);
        let path = format!("/proc/self/fd/{}", writer.as_raw_fd()).into();
        (writer, reader, path)
    }

    #[test]
    fn a_full_buffer_drops_and_counts() {
        let shard = Shard::default();
        let text = "x".repeat(CAPACITY / 4);
        assert_eq!(shard.append(CAPACITY, line(&text)), Appended::First);
        for _ in 0..3 {
            assert_eq!(shard.append(CAPACITY, line(&text)), Appended::Further);
        }
        assert_eq!(shard.append(CAPACITY, line(&text)), Appended::Dropped);
        assert_eq!(shard.dropped.get(), 1);
        assert!(shard.lock().text.ends_with(b"x\n"));
    }

    #[test]
    fn a_line_that_fails_half_way_leaves_nothing() {
        let shard = Shard::default();
        shard.append(CAPACITY, line("1"));
        let broken = |buffer: &mut Vec<u8>| {
            buffer.extend(b"half");
            Err(())
        };
        assert_eq!(shard.append(CAPACITY, broken), Appended::Dropped);
        let batch = shard.lock();
        assert_eq!((batch.text.as_slice(), batch.lines), (&b"1\n"[..], 1));
    }

    #[test]
    fn a_full_pipe_costs_lines_and_neither_appenders_nor_the_end_wait_for_it() {
        let (_writer, reader, path) = pipe();
        let writer = LogWriter::start("test", Destination::File(path), 1, CAPACITY, None).expect("started");
        let buffer = writer.buffer(0).expect("a buffer");
        let text = "x".repeat(1000);
        wait_until("lines are dropped", || {
            buffer.append(line(&text));
            writer.lines().dropped > 1000
        });
        let begun = Instant::now();
        drop(writer);
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        drop(reader);
    }

    #[test]
    fn what_was_dropped_is_reported_when_the_reader_is_back() {
        use std::io::{BufRead, BufReader};
        let (_writer, reader, path) = pipe();
        let notice: DropNotice = Some(|count| format!("{count} dropped\n"));
        let writer = LogWriter::start("test", Destination::File(path), 1, CAPACITY, notice).expect("started");
        let buffer = writer.buffer(0).expect("a buffer");
        let text = "x".repeat(1000);
        wait_until("lines are dropped", || {
            buffer.append(line(&text));
            writer.lines().dropped > 0
        });
        let mut lines = BufReader::new(reader).lines();
        let found = lines.find(|line| line.as_ref().is_ok_and(|line| line.ends_with(" dropped")));
        assert!(found.is_some());
    }

    #[test]
    fn a_destination_that_fails_costs_lines() {
        let writer = LogWriter::start("test", Destination::File("/dev/full".into()), 1, CAPACITY, None);
        let writer = writer.expect("started");
        writer.buffer(0).expect("a buffer").append(line("lost"));
        wait_until("the line is given up", || writer.lines().failed == 1);
        assert_eq!(writer.lines().written, 0);
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_an_error_at_the_start() {
        let destination = Destination::File("/dev/null/access.log".into());
        let error = LogWriter::start("test", destination, 1, CAPACITY, None).expect_err("no such folder");
        assert_eq!(error.kind(), io::ErrorKind::NotADirectory);
    }
}
