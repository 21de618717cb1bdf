//! What the instances under test log is shown when a test fails: it goes where the test's own output goes.

use std::sync::Once;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

static INIT: Once = Once::new();

/// Sets up the log of this process, once. `PORTOLAN_LOG` says what is logged, as for the program; `info` by default.
///
/// The test runner captures what a test prints, on its own thread and on those begun from it, as the instances' are.
pub(crate) fn init() {
    INIT.call_once(|| {
        let filter = EnvFilter::try_from_env(portolan::telemetry::logging::VARIABLE);
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter(filter.unwrap_or_else(|_| EnvFilter::new("info")))
            .with_ansi(false)
            .with_test_writer()
            .finish();
        // A test that has set up a log of its own keeps it.
        let _ = subscriber.try_init();
    });
}
