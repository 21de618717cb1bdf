//! Keeps tasks running: one that panics or fails is started again after a pause that grows.

use crate::vitals::Counter;
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The pause before the second restart in a row; the first comes at once. It doubles with every further one.
const SHORTEST: Duration = Duration::from_millis(100);
/// The longest pause.
const LONGEST: Duration = Duration::from_secs(10);
/// A task that has run for so long is steady: its next restart comes at once again.
const STEADY: Duration = Duration::from_secs(60);
/// A task that was restarted so often in a row has failed. It is still restarted, and has recovered once it runs steadily.
const FAILED: u32 = 5;

/// All supervised tasks of the program. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Supervisor {
    tasks: Arc<Mutex<Vec<Arc<Task>>>>,
}

/// One task and its restarts.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) name: String,
    /// Written by the thread that runs the task.
    restarts: Counter,
    failed: AtomicBool,
}

impl Supervisor {
    /// The task of this name, a new one where there is none.
    pub(super) fn task(&self, name: impl Into<String>) -> Arc<Task> {
        let name = name.into();
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = tasks.iter().find(|task| task.name == name) {
            return Arc::clone(task);
        }
        let task = Arc::new(Task {
            name,
            restarts: Counter::default(),
            failed: AtomicBool::new(false),
        });
        tasks.push(Arc::clone(&task));
        task
    }

    /// Whether a task fails soon after every restart: a new process may mend it.
    pub(super) fn has_failed(&self) -> bool {
        self.tasks().iter().any(|task| task.has_failed())
    }

    /// All tasks.
    pub(super) fn tasks(&self) -> Vec<Arc<Task>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Task {
    /// How often it was restarted.
    pub(super) fn restarts(&self) -> u64 {
        self.restarts.get()
    }

    /// Whether it ends soon after every restart.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Relaxed)
    }

    /// Runs work until it is done; again whenever it panics or fails. State that outlives a panic must be sound at every
    /// await and at every panic: tasks replace their fields whole.
    pub(super) async fn keep<E: Display>(&self, mut work: impl AsyncFnMut() -> Result<(), E>) {
        let mut pauses = Pauses::default();
        loop {
            let begun = tokio::time::Instant::now();
            let mut running = pin!(unwinding(work()));
            let ended = tokio::select! {
                ended = &mut running => ended,
                () = tokio::time::sleep(STEADY), if self.has_failed() => {
                    self.recovered();
                    running.await
                }
            };
            let Some(pause) = self.ended(ended, begun.elapsed(), &mut pauses) else {
                return;
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// The same for work that has the thread to itself.
    pub(super) fn keep_blocking<E: Display>(&self, mut work: impl FnMut() -> Result<(), E>) {
        let mut pauses = Pauses::default();
        loop {
            let begun = Instant::now();
            let ended = catch_unwind(AssertUnwindSafe(&mut work));
            let ended = ended.map_err(drop);
            let Some(pause) = self.ended(ended, begun.elapsed(), &mut pauses) else {
                return;
            };
            thread::sleep(pause);
        }
    }

    /// Records an end. The pause before the next start; `None` when the work is done.
    fn ended<E: Display>(
        &self,
        ended: Result<Result<(), E>, ()>,
        after: Duration,
        pauses: &mut Pauses,
    ) -> Option<Duration> {
        let task = self.name.as_str();
        let error = match ended {
            Ok(Ok(())) => return None,
            Ok(Err(error)) => error.to_string(),
            // The panic hook has logged it.
            Err(()) => "it panicked".to_owned(),
        };
        let (pause, in_a_row) = pauses.next(after);
        self.restarts.add(1);
        if in_a_row >= FAILED && !self.failed.swap(true, Relaxed) {
            tracing::error!(task, in_a_row, "task keeps failing; /livez answers 503 until it runs");
        }
        tracing::error!(task, error, ?pause, "task ended; restarting it");
        Some(pause)
    }

    fn recovered(&self) {
        self.failed.store(false, Relaxed);
        tracing::info!(task = self.name, "task runs again");
    }
}

/// The pauses between restarts.
#[derive(Debug, Default)]
struct Pauses {
    in_a_row: u32,
}

impl Pauses {
    /// The pause after a run of this length, and how many restarts in a row that makes.
    fn next(&mut self, ran: Duration) -> (Duration, u32) {
        if ran >= STEADY {
            self.in_a_row = 0;
        }
        let pause = match self.in_a_row {
            0 => Duration::ZERO,
            earlier => SHORTEST.saturating_mul(1 << (earlier - 1).min(16)).min(LONGEST),
        };
        self.in_a_row = self.in_a_row.saturating_add(1);
        (pause, self.in_a_row)
    }
}

/// What a future gives, or an error when it panics.
async fn unwinding<T>(future: impl Future<Output = T>) -> Result<T, ()> {
    let mut future = pin!(future);
    std::future::poll_fn(
        |context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(polled) => polled.map(Ok),
            Err(_) => std::task::Poll::Ready(Err(())),
        },
    )
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    #[tokio::test(start_paused = true)]
    async fn a_task_that_panics_runs_again_with_what_it_had() {
        let task = Supervisor::default().task("reloader");
        let mut done = Vec::new();
        let begun = tokio::time::Instant::now();
        task.keep(async || {
            done.push(done.len());
            tokio::task::yield_now().await;
            assert!(done.len() > 2, "not yet");
            Ok::<_, Infallible>(())
        })
        .await;
        assert_eq!(done, [0, 1, 2]);
        assert_eq!((task.restarts(), task.has_failed()), (2, false));
        // The first restart comes at once, the second after a pause.
        assert_eq!(begun.elapsed(), SHORTEST);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_ends_soon_again_and_again_has_failed_until_it_runs_steadily() {
        let task = Supervisor::default().task("publisher");
        let mut runs = 0;
        let kept = task.keep(async || {
            runs += 1;
            if runs <= FAILED {
                return Err("no memory");
            }
            std::future::pending().await
        });
        let mut kept = pin!(kept);
        let for_now = tokio::time::timeout(STEADY - Duration::from_secs(1), &mut kept);
        assert!(for_now.await.is_err());
        assert!(task.has_failed() && task.restarts() == u64::from(FAILED));
        assert!(tokio::time::timeout(STEADY, kept).await.is_err());
        assert!(!task.has_failed());
    }

    #[test]
    fn a_thread_is_restarted_as_well() {
        let task = Supervisor::default().task("worker-0");
        let mut runs = 0;
        task.keep_blocking(|| {
            runs += 1;
            assert!(runs > 1, "the first time");
            Ok::<_, Infallible>(())
        });
        assert_eq!((runs, task.restarts()), (2, 1));
    }

    #[test]
    fn pauses_grow_and_begin_anew_after_a_steady_run() {
        let mut pauses = Pauses::default();
        let soon = Duration::from_secs(1);
        let grown: Vec<_> = (0..10).map(|_| pauses.next(soon).0.as_millis()).collect();
        assert_eq!(grown, [0, 100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
        assert_eq!(pauses.next(STEADY), (Duration::ZERO, 1));
    }

    #[test]
    fn tasks_of_one_name_are_one() {
        let supervisor = Supervisor::default();
        assert!(Arc::ptr_eq(&supervisor.task("worker-0"), &supervisor.task("worker-0")));
        supervisor.task("publisher");
        assert_eq!(supervisor.tasks().len(), 2);
    }
}
