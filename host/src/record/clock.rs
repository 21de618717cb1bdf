//! The time in lines of the access log.

use std::cell::Cell;
use std::time::{Duration, SystemTime};

/// Writes times as RFC 3339 has them, in UTC, and keeps the digits of the last second: the next line mostly has the same.
#[derive(Debug, Default)]
pub(super) struct Clock(Cell<Second>);

/// A second since 1970, and its digits with the point behind them.
#[derive(Clone, Copy, Debug)]
struct Second {
    since_epoch: u64,
    digits: [u8; 20],
}

impl Clock {
    /// With six digits of the second's fraction.
    pub(super) fn micros(&self, to: &mut Vec<u8>, time: SystemTime) {
        let nanos = self.second(to, time);
        fraction::<6>(to, nanos / 1_000);
    }

    /// With three.
    pub(super) fn millis(&self, to: &mut Vec<u8>, time: SystemTime) {
        let nanos = self.second(to, time);
        fraction::<3>(to, nanos / 1_000_000);
    }

    /// Writes the second and the point, and returns the nanoseconds that remain.
    fn second(&self, to: &mut Vec<u8>, time: SystemTime) -> u32 {
        // A clock before 1970 shows that.
        let time = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let mut second = self.0.get();
        if second.since_epoch != time.as_secs() {
            second = Second::of(time.as_secs());
            self.0.set(second);
        }
        to.extend_from_slice(&second.digits);
        time.subsec_nanos()
    }
}

impl Second {
    #[cold]
    fn of(since_epoch: u64) -> Self {
        /// The last that RFC 3339 has digits for.
        const LAST: u64 = 253_402_300_799;
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(since_epoch.min(LAST));
        let text = humantime::format_rfc3339_seconds(time).to_string();
        let mut digits = *b"1970-01-01T00:00:00.";
        for (digit, byte) in digits.iter_mut().zip(text.trim_end_matches('Z').bytes()) {
            *digit = byte;
        }
        Self { since_epoch, digits }
    }
}

impl Default for Second {
    fn default() -> Self {
        Self::of(0)
    }
}

/// Writes the last digits of a number, and the sign of UTC.
fn fraction<const DIGITS: usize>(to: &mut Vec<u8>, mut number: u32) {
    let mut digits = [0; DIGITS];
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
    to.extend_from_slice(&digits);
    to.push(b'Z');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut to = Vec::new();
        write(&mut to);
        String::from_utf8(to).expect("text")
    }

    proptest! {
        #[test]
        fn times_are_written_as_humantime_writes_them(times in prop::collection::vec((0_u64..4, 0_u32..1_000_000_000), 1..9)) {
            let clock = Clock::default();
            for (seconds, nanos) in times {
                let time = SystemTime::UNIX_EPOCH + Duration::new(1_795_912_843 + seconds, nanos);
                prop_assert_eq!(written(|to| clock.micros(to, time)), humantime::format_rfc3339_micros(time).to_string());
                prop_assert_eq!(written(|to| clock.millis(to, time)), humantime::format_rfc3339_millis(time).to_string());
            }
        }
    }

    #[test]
    fn times_that_have_no_digits_become_the_nearest_that_have() {
        let clock = Clock::default();
        let early = SystemTime::UNIX_EPOCH - Duration::from_secs(5);
        assert_eq!(written(|to| clock.millis(to, early)), "1970-01-01T00:00:00.000Z");
        let late = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 40);
        assert_eq!(written(|to| clock.millis(to, late)), "9999-12-31T23:59:59.000Z");
    }
}
