//! One operation with a registry, off the request path: on a runtime of its own, within a time limit.

use super::error::OciError;
use super::reference::Registry;
use std::thread;
use std::time::Duration;
use tokio::runtime::Builder;
use tokio::time::timeout;

/// Runs an operation to its end, on a thread of its own: the one that waits for it may drive a runtime.
///
/// # Errors
/// The operation's own, and when it does not end in time.
pub fn run<T: Send>(
    registry: &Registry,
    limit: Duration,
    operation: impl Future<Output = Result<T, OciError>> + Send,
) -> Result<T, OciError> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let outcome = thread::scope(|scope| {
        let waiting = scope.spawn(|| runtime.block_on(async { timeout(limit, operation).await }));
        waiting.join()
    });
    // Its look-ups go on for as long as they have a runtime.
    runtime.shutdown_background();
    match outcome {
        Ok(outcome) => outcome.unwrap_or_else(|_| Err(OciError::TimedOut(registry.clone(), limit))),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}
