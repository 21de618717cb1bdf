//! Where frames of WebSocket end (RFC 6455, section 5.2), so that one can be put between two others.
//!
//! Only their headers are looked at: two bytes of most of them, once for each frame.

/// The longest header: two bytes, a length of eight, a mask of four.
const LONGEST: usize = 14;

const CLOSE: u8 = 8;

/// Follows the frames of one direction.
#[derive(Debug, Default)]
pub(super) struct Frames {
    header: [u8; LONGEST],
    /// How many bytes of the next header are there.
    filled: usize,
    /// How many bytes are left of the current frame's payload.
    left: u64,
    /// Whether a Close frame has begun: no frame may follow it.
    is_closed: bool,
}

impl Frames {
    /// Follows these bytes.
    pub(super) fn follow(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            bytes = &bytes[self.step(bytes)..];
        }
    }

    /// Follows these bytes up to the end of the current frame, and says how many they are.
    pub(super) fn finish(&mut self, bytes: &[u8]) -> usize {
        let mut count = 0;
        while !self.is_between() && count < bytes.len() {
            count += self.step(&bytes[count..]);
        }
        count
    }

    /// Whether the last frame has ended and none has begun.
    pub(super) fn is_between(&self) -> bool {
        self.filled == 0 && self.left == 0
    }

    /// Whether a Close frame has begun.
    pub(super) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Follows a part of these bytes, which are not empty: of a payload, or of a header.
    fn step(&mut self, bytes: &[u8]) -> usize {
        if self.left > 0 {
            let count = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
            self.left -= count as u64;
            return count;
        }
        self.header[self.filled] = bytes[0];
        self.filled += 1;
        if self.filled >= 2 && self.filled == self.length() {
            self.left = self.payload();
            self.is_closed |= self.header[0] & 0x0f == CLOSE;
            self.filled = 0;
        }
        1
    }

    /// The length of the header whose first two bytes are there.
    fn length(&self) -> usize {
        let extended = match self.header[1] & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mask = if self.header[1] & 0x80 == 0 { 0 } else { 4 };
        2 + extended + mask
    }

    /// The length of the payload.
    fn payload(&self) -> u64 {
        let [_, length, extended @ ..] = self.header;
        let [a, b, c, d, e, f, g, h, ..] = extended;
        match length & 0x7f {
            126 => u64::from(u16::from_be_bytes([a, b])),
            127 => u64::from_be_bytes([a, b, c, d, e, f, g, h]),
            short => u64::from(short),
        }
    }
}

/// A Close frame with the status 1001, "going away". `mask`: that of a client's frame.
pub(super) fn going_away(mask: Option<[u8; 4]>) -> Vec<u8> {
    const STATUS: [u8; 2] = 1001_u16.to_be_bytes();
    match mask {
        None => vec![0x80 | CLOSE, 2, STATUS[0], STATUS[1]],
        Some([a, b, c, d]) => vec![0x80 | CLOSE, 0x82, a, b, c, d, STATUS[0] ^ a, STATUS[1] ^ b],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(opcode: u8, length: usize, is_masked: bool) -> Vec<u8> {
        let mask = if is_masked { 0x80 } else { 0 };
        let mut frame = vec![0x80 | opcode];
        match length {
            0..=125 => frame.push(mask | length as u8),
            126..=0xffff => {
                frame.push(mask | 126);
                frame.extend_from_slice(&(length as u16).to_be_bytes());
            }
            _ => {
                frame.push(mask | 127);
                frame.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        frame.extend_from_slice(&[9; 4][..if is_masked { 4 } else { 0 }]);
        frame.resize(frame.len() + length, 0x88);
        frame
    }

    #[test]
    fn frames_end_where_they_end_however_their_bytes_are_cut() {
        for is_masked in [false, true] {
            let lengths = [0, 1, 125, 126, 127, 300, 65_535, 65_536, 70_000, 0, 5];
            let frames = lengths.map(|length| frame(2, length, is_masked));
            let bytes = frames.concat();
            let mut ends = vec![0];
            ends.extend(frames.iter().scan(0, |end, frame| {
                *end += frame.len();
                Some(*end)
            }));
            for step in [1, 2, 3, 7, 1000, 65_536, bytes.len()] {
                let (mut watch, mut at) = (Frames::default(), 0);
                for part in bytes.chunks(step) {
                    watch.follow(part);
                    at += part.len();
                    assert_eq!(watch.is_between(), ends.contains(&at), "{at} in steps of {step}");
                }
            }
            // From anywhere within, up to the next end.
            for at in [1, 3, 130, 500, 66_000, 140_000] {
                let mut watch = Frames::default();
                watch.follow(&bytes[..at]);
                let end = ends.iter().find(|end| **end >= at).expect("an end");
                assert_eq!(at + watch.finish(&bytes[at..]), *end, "{at}");
                assert_eq!(watch.finish(b"more"), 0, "it is between two frames");
            }
        }
    }

    #[test]
    fn a_close_frame_is_the_last_one() {
        let mut watch = Frames::default();
        watch.follow(&frame(1, 200, true));
        watch.follow(&frame(9, 3, true));
        assert!(!watch.is_closed());
        watch.follow(&going_away(None)[..2]);
        assert!(watch.is_closed() && !watch.is_between());
        for mask in [None, Some([1, 2, 3, 4])] {
            let close = going_away(mask);
            let mut watch = Frames::default();
            watch.follow(&close);
            assert!(watch.is_between() && watch.is_closed());
            let key = mask.unwrap_or_default();
            let at = close.len() - 2;
            assert_eq!([close[at] ^ key[0], close[at + 1] ^ key[1]], [0x03, 0xe9]);
        }
    }
}
