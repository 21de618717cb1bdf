//! What the host offers: the log, undeclared headers, counters.
//!
//! In native tests these are replaced by the thread's [`Recorded`].

use crate::setup::Counter;

/// How important a line of the log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Every step.
    Trace,
    /// For whoever looks for a mistake.
    Debug,
    /// Worth knowing.
    Info,
    /// Something is wrong, and the plugin copes.
    Warn,
    /// Something is wrong.
    Error,
}

/// Writes a line to Portolan's log. A plugin that writes much loses lines.
pub fn log(level: Level, message: &str) {
    platform::log(level, message);
}

/// A request header that was not declared; see [`Setup::field`](crate::Setup::field) for the cheaper way. `None` when it
/// is missing, not text, or no request is being routed.
pub fn header(name: &str) -> Option<String> {
    platform::header(name)
}

pub(crate) fn count(counter: Counter, delta: u32) {
    platform::count(counter, delta);
}

#[cfg(not(target_arch = "wasm32"))]
pub use platform::{Recorded, record};

#[cfg(not(target_arch = "wasm32"))]
mod platform {
    use super::{Counter, Level};
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    /// What a plugin said to the host on this thread, and what the host answers, in native tests.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct Recorded {
        /// Lines of the log.
        pub lines: Vec<(Level, String)>,
        /// Sums of the counters, by the order in which they were named.
        pub counts: BTreeMap<u32, u64>,
        /// What [`header`](super::header) answers, by name.
        pub headers: BTreeMap<String, String>,
    }

    thread_local! {
        static RECORDED: RefCell<Recorded> = RefCell::default();
    }

    /// Replaces what was recorded on this thread, and hands it out.
    pub fn record(next: Recorded) -> Recorded {
        RECORDED.replace(next)
    }

    pub(super) fn log(level: Level, message: &str) {
        RECORDED.with_borrow_mut(|recorded| recorded.lines.push((level, message.to_owned())));
    }

    pub(super) fn header(name: &str) -> Option<String> {
        RECORDED.with_borrow(|recorded| recorded.headers.get(name).cloned())
    }

    pub(super) fn count(counter: Counter, delta: u32) {
        RECORDED.with_borrow_mut(|recorded| *recorded.counts.entry(counter.0).or_default() += u64::from(delta));
    }
}

#[cfg(target_arch = "wasm32")]
mod platform {
    use super::{Counter, Level};
    use crate::bindings::portolan::routing::host;

    pub(super) fn log(level: Level, message: &str) {
        let level = match level {
            Level::Trace => host::Level::Trace,
            Level::Debug => host::Level::Debug,
            Level::Info => host::Level::Info,
            Level::Warn => host::Level::Warn,
            Level::Error => host::Level::Error,
        };
        host::log(level, message);
    }

    pub(super) fn header(name: &str) -> Option<String> {
        host::header(name)
    }

    pub(super) fn count(counter: Counter, delta: u32) {
        host::count(counter.0, delta);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn native_tests_see_what_was_said() {
        record(Recorded {
            headers: BTreeMap::from([("x-a".to_owned(), "1".to_owned())]),
            ..Recorded::default()
        });
        log(Level::Warn, "odd");
        Counter(3).add(2);
        Counter(3).add(1);
        assert_eq!((header("x-a").as_deref(), header("x-b")), (Some("1"), None));
        let recorded = record(Recorded::default());
        assert_eq!(recorded.lines, [(Level::Warn, "odd".to_owned())]);
        assert_eq!(recorded.counts, BTreeMap::from([(3, 3)]));
    }
}
