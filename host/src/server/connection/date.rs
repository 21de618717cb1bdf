//! The `Date` of responses whose gateway sent none, and of our own.

use std::cell::Cell;
use std::io::Write;
use std::time::{Duration, SystemTime};

/// How long a date is as text (RFC 9110, section 5.6.7).
const LENGTH: usize = "Sun, 06 Nov 1994 08:49:37 GMT".len();

thread_local! {
    /// The second that was written last, and how.
    static LAST: Cell<(u64, [u8; LENGTH])> = const { Cell::new((0, *b"Thu, 01 Jan 1970 00:00:00 GMT")) };
}

/// Appends the date of now.
pub(super) fn write(to: &mut Vec<u8>) {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    to.extend_from_slice(&text(now));
}

/// A second since 1970 as text. Making it costs more than the rest of a head: it is made once a second.
fn text(second: u64) -> [u8; LENGTH] {
    let (last, mut text) = LAST.get();
    if second != last {
        let date = httpdate::HttpDate::from(SystemTime::UNIX_EPOCH + Duration::from_secs(second));
        // It is always as long as the text.
        let _ = write!(&mut text[..], "{date}");
        LAST.set((second, text));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_as_http_has_it() {
        for (second, date) in [
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (4_102_444_799, "Thu, 31 Dec 2099 23:59:59 GMT"),
        ] {
            assert_eq!(text(second), date.as_bytes());
        }
    }
}
