//! Bytes as hexadecimal digits.

use std::fmt::Write;

/// Two digits for each byte, in lower case.
pub(crate) fn digits(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(2 * bytes.len()), |mut digits, byte| {
            // Writing to a string cannot fail.
            let _ = write!(digits, "{byte:02x}");
            digits
        })
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_byte_has_two_digits() {
        assert_eq!(super::digits(&[0, 0x0f, 0xa5, 0xff]), "000fa5ff");
    }
}
