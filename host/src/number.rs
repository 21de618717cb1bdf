//! Numbers and addresses as text, without what formatting for any width and base costs.

use std::io::Write;
use std::net::IpAddr;
use std::time::Duration;

/// A whole number.
pub(crate) fn integer(to: &mut Vec<u8>, value: u64) {
    to.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// A time in milliseconds to the nearest tenth of a microsecond (nothing here is measured more finely), with a digit after the point
/// at least: readers that go by the first line they meet take it for what it is.
pub(crate) fn millis(to: &mut Vec<u8>, time: Duration) {
    // A request does not last for 58,000 years.
    let tenths = time.as_secs().saturating_mul(10_000_000);
    let tenths = tenths.saturating_add(u64::from((time.subsec_nanos() + 50) / 100));
    integer(to, tenths / 10_000);
    let mut rest = tenths % 10_000;
    let mut digits = *b".0000";
    for digit in digits[1..].iter_mut().rev() {
        *digit += (rest % 10) as u8;
        rest /= 10;
    }
    let zeros = digits[2..].iter().rev().take_while(|digit| **digit == b'0').count();
    to.extend_from_slice(&digits[..digits.len() - zeros]);
}

/// An address, as its `Display` has it, which takes an IPv4 address through the formatting of strings.
pub(crate) fn address(to: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            let mut digits = itoa::Buffer::new();
            for (index, octet) in address.octets().into_iter().enumerate() {
                if index > 0 {
                    to.push(b'.');
                }
                to.extend_from_slice(digits.format(octet).as_bytes());
            }
        }
        IpAddr::V6(address) => {
            // Writing to memory cannot fail.
            let _ = write!(to, "{address}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(time: Duration) -> String {
        let mut to = Vec::new();
        millis(&mut to, time);
        String::from_utf8(to).expect("text")
    }

    #[test]
    fn times_have_the_digits_that_they_need() {
        for (nanos, text) in [
            (0, "0.0"),
            (49, "0.0"),
            (50, "0.0001"),
            (23_100, "0.0231"),
            (500_000, "0.5"),
            (12_000_000, "12.0"),
            (999_999_960, "1000.0"),
            (1_000_100_000, "1000.1"),
        ] {
            assert_eq!(written(Duration::from_nanos(nanos)), text, "{nanos}");
        }
    }

    proptest! {
        #[test]
        fn an_address_is_written_as_it_is_displayed(address in any::<IpAddr>()) {
            let mut to = Vec::new();
            super::address(&mut to, address);
            prop_assert_eq!(String::from_utf8(to).expect("text"), address.to_string());
        }

        #[test]
        fn a_time_is_read_back_to_the_nearest_tenth_of_a_microsecond(nanos in 0u64..1 << 50) {
            let read: f64 = written(Duration::from_nanos(nanos)).parse().expect("a number");
            prop_assert!((read * 1e6 - nanos as f64).abs() <= 50.5, "{nanos}: {read}");
        }
    }
}
