//! CRC-32C (RFC 3720, appendix B.4; Castagnoli's polynomial, reflected).

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut value = index as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 {
                value >> 1 ^ 0x82F6_3B78
            } else {
                value >> 1
            };
            bit += 1;
        }
        table[index] = value;
        index += 1;
    }
    table
};

/// The checksum of these parts, one after the other.
pub(super) fn crc32c<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> u32 {
    let bytes = parts.into_iter().flatten();
    !bytes.fold(!0, |sum: u32, byte| {
        let index = (sum ^ u32::from(*byte)) & 0xFF;
        sum >> 8 ^ TABLE[index as usize]
    })
}

#[cfg(test)]
mod tests {
    use super::crc32c;

    /// The check value of the catalogue of CRC algorithms, and an example of RFC 3720, appendix B.4.
    #[test]
    fn known_sums() {
        assert_eq!(crc32c([&b"1234"[..], b"56789"]), 0xE306_9283);
        assert_eq!(crc32c([&[0; 32][..]]), 0x8A91_36AA);
    }
}
