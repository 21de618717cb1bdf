//! Bytes as hexadecimal digits.

/// The two digits of each byte.
const PAIRS: [[u8; 2]; 256] = {
    let digits = *b"0123456789abcdef";
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    while byte < pairs.len() {
        pairs[byte] = [digits[byte >> 4], digits[byte & 15]];
        byte += 1;
    }
    pairs
};

/// Two digits for each byte, in lower case.
pub(crate) fn digits(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| PAIRS[usize::from(*byte)])
        .map(char::from)
        .collect()
}

/// The sixteen digits of a number, in lower case.
pub(crate) fn number(number: u64) -> [u8; 16] {
    let mut digits = [0; 16];
    for (pair, byte) in digits.as_chunks_mut().0.iter_mut().zip(number.to_be_bytes()) {
        *pair = PAIRS[usize::from(byte)];
    }
    digits
}

/// The thirty-two digits of a number, in lower case.
pub(crate) fn long_number(value: u128) -> [u8; 32] {
    let mut digits = [0; 32];
    let halves = [(value >> 64) as u64, value as u64].map(number);
    digits.copy_from_slice(halves.as_flattened());
    digits
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_byte_has_two_digits() {
        assert_eq!(super::digits(&[0, 0x0f, 0xa5, 0xff]), "000fa5ff");
    }

    #[test]
    fn a_number_has_sixteen_digits() {
        assert_eq!(super::number(0x0123_4567_89ab_cdef), *b"0123456789abcdef");
        assert_eq!(super::number(10), *b"000000000000000a");
        assert_eq!(super::long_number(0xab << 64 | 1), *b"00000000000000ab0000000000000001");
    }
}
