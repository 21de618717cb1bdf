//! The thread that lets time pass for guests.
//!
//! Guests compare a counter with their deadline at every loop and call. The counter grows every [`TICK`] while there are
//! plugins; without plugins the thread sleeps.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread::{self, Thread};
use std::time::Duration;
use wasmtime::{Engine, EngineWeak};

/// Time between two ticks: the grain of deadlines.
pub(super) const TICK: Duration = Duration::from_millis(1);

/// How long the thread sleeps without plugins before it looks whether it is still needed.
const IDLE: Duration = Duration::from_secs(1);

/// The thread. It ends when the engine does.
#[derive(Debug)]
pub(super) struct Ticker {
    users: Arc<AtomicUsize>,
    thread: Thread,
}

/// Keeps the ticker ticking while it lives.
#[derive(Debug)]
pub(super) struct Ticking {
    users: Arc<AtomicUsize>,
}

impl Ticker {
    /// Starts the thread. It does not keep the engine alive.
    pub(super) fn start(engine: &Engine) -> io::Result<Self> {
        let users = Arc::new(AtomicUsize::new(0));
        let (engine, watched) = (engine.weak(), Arc::clone(&users));
        let thread = thread::Builder::new()
            .name("plugin-ticker".to_owned())
            .spawn(move || tick(&engine, &watched))?;
        Ok(Self {
            users,
            thread: thread.thread().clone(),
        })
    }

    /// Lets time pass until the guard is dropped.
    pub(super) fn begin(&self) -> Ticking {
        self.users.fetch_add(1, SeqCst);
        self.thread.unpark();
        Ticking {
            users: Arc::clone(&self.users),
        }
    }
}

impl Drop for Ticking {
    fn drop(&mut self) {
        self.users.fetch_sub(1, SeqCst);
    }
}

fn tick(engine: &EngineWeak, users: &AtomicUsize) {
    // By default Linux adds up to 50 µs to every sleep; deadlines should be sharper than that.
    let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1_000));
    loop {
        if users.load(SeqCst) == 0 {
            // Woken by `begin`; looks by itself now and then whether the engine is gone.
            thread::park_timeout(IDLE);
        } else {
            thread::sleep(TICK);
        }
        match engine.upgrade() {
            Some(engine) => engine.increment_epoch(),
            None => return,
        }
    }
}
