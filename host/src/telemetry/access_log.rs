//! The access log: one JSON line per request. A request pays for writing text into memory, and for nothing else.

use super::log_writer::{Buffer, Destination, Lines, LogWriter};
use serde::Serialize;
use std::io;

/// How much a worker's buffer holds before lines are dropped, in bytes: several times what a worker can write while lines
/// gather.
const BUFFER_BYTES: usize = 4 << 20;

/// The running log. Dropping it writes what is left, for a second at most.
#[derive(Debug)]
pub struct AccessLog(LogWriter);

/// One worker's end of the log.
#[derive(Debug)]
pub struct Sink(Buffer);

impl AccessLog {
    /// Opens the destination and starts the writer.
    ///
    /// # Errors
    /// When the destination cannot be opened or the thread not started.
    pub fn start(destination: Destination, workers: usize) -> io::Result<Self> {
        LogWriter::start("access-log", destination, workers, BUFFER_BYTES, None).map(Self)
    }

    /// A worker's end; `None` when there is no such worker.
    pub fn sink(&self, worker: usize) -> Option<Sink> {
        self.0.buffer(worker).map(Sink)
    }

    /// Opens the file again before the next line is written, so that the old one may be moved away.
    pub fn reopen(&self) {
        self.0.reopen();
    }

    /// The line counts so far.
    pub fn lines(&self) -> Lines {
        self.0.lines()
    }
}

impl Sink {
    /// Appends a line, or drops it when the writer is too far behind. Never waits for the destination.
    pub fn write(&self, line: &impl Serialize) {
        self.0.append(|buffer| {
            serde_json::to_writer(&mut *buffer, line)?;
            buffer.push(b'\n');
            Ok::<_, serde_json::Error>(())
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
    fn a_moved_file_is_left_behind_when_the_log_is_reopened() {
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
}
