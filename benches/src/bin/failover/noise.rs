//! Scheduling noise of the machine: the delays of a thread that only waits for the clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

const STEP: Duration = Duration::from_millis(1);

/// A thread that looks at the clock every millisecond.
#[derive(Debug)]
pub(crate) struct Noise {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Duration>,
}

impl Noise {
    pub(crate) fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut worst = Duration::ZERO;
            while !stopped.load(Relaxed) {
                let begun = Instant::now();
                thread::sleep(STEP);
                worst = worst.max(begun.elapsed().saturating_sub(STEP));
            }
            worst
        });
        Self { stop, thread }
    }

    /// The longest it was late.
    pub(crate) fn stop(self) -> Duration {
        self.stop.store(true, Relaxed);
        self.thread.join().expect("it only looks at the clock")
    }
}

/// The system's load average of the last minute.
pub(crate) fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("?").to_owned()
}
