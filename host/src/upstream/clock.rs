//! The clock of the upstream side: the runtime's, so that tests can pause it. Reading it costs as much as a hundred instructions, so that what
//! happens in one turn of a request happens at one time: when the request was woken.

use std::cell::Cell;
use std::time::Instant;

thread_local! {
    /// When the request was woken that is polled now, if that is known.
    static WOKEN: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// The time: within [`turn`], when that began. In a test with a paused runtime, the runtime's.
pub(super) fn now() -> Instant {
    WOKEN.get().unwrap_or_else(read)
}

/// Polls a request that was woken just now, if that is known.
pub fn turn<T>(woken: Option<Instant>, poll: impl FnOnce() -> T) -> T {
    /// The turn ends, by a panic too.
    struct End;
    impl Drop for End {
        fn drop(&mut self) {
            WOKEN.set(None);
        }
    }
    WOKEN.set(woken);
    let _end = End;
    poll()
}

/// The time, read.
pub fn read() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::time::Duration;

    #[test]
    fn a_turn_happens_at_one_time() {
        let woken = read() - Duration::from_secs(1);
        assert_eq!(turn(Some(woken), || (now(), now())), (woken, woken));
        assert!(now() > woken, "it is over");
        assert!(turn(None, now) > woken);
    }

    #[test]
    fn a_panic_ends_a_turn() {
        let woken = read() - Duration::from_secs(1);
        let panicked = catch_unwind(AssertUnwindSafe(|| turn(Some(woken), || panic!("of a request"))));
        assert!(panicked.is_err() && now() > woken);
    }
}
