//! What the frames of a connection say before h2 answers them: whether a head has begun, and whether control frames are all that
//! comes.
//!
//! h2 ends a connection for streams that are reset at once, for resets that it is made to send, for endless heads and for empty
//! data. It answers every PING and SETTINGS, ignores every PRIORITY, and counts no stream that is reset after it was accepted.

use std::time::{Duration, Instant};

/// The client's preface (RFC 9113, section 3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The length of a frame's header.
const HEADER: usize = 9;

/// Control frames that a client may send within [`WINDOW`] beyond those that come with messages.
const CONTROL_FRAMES: u32 = 1000;

/// The time for that many.
const WINDOW: Duration = Duration::from_secs(10);

/// Bytes sent for which a client may send one control frame: it acknowledges data by WINDOW_UPDATE.
const BYTES_PER_FRAME: usize = 32;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

/// Reads the headers of the frames that a client sends.
#[derive(Debug)]
pub(super) struct FrameWatch {
    header: [u8; HEADER],
    /// How many bytes of the next header are there.
    filled: usize,
    /// How many bytes follow before the next header.
    skipped: usize,
    /// Whether the frame of settings came that follows the preface.
    is_open: bool,
    /// Whether a head has begun and not ended.
    in_head: bool,
    control: u32,
    sent: usize,
    since: Instant,
}

impl FrameWatch {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            header: [0; HEADER],
            filled: 0,
            skipped: PREFACE.len(),
            is_open: false,
            in_head: false,
            control: 0,
            sent: 0,
            since: now,
        }
    }

    /// Bytes came.
    pub(super) fn received(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.skipped > 0 {
                let count = self.skipped.min(bytes.len());
                self.skipped -= count;
                bytes = &bytes[count..];
                continue;
            }
            let count = (HEADER - self.filled).min(bytes.len());
            self.header[self.filled..self.filled + count].copy_from_slice(&bytes[..count]);
            self.filled += count;
            bytes = &bytes[count..];
            if self.filled == HEADER {
                self.filled = 0;
                self.begun();
            }
        }
    }

    /// A frame has begun.
    fn begun(&mut self) {
        let [high, middle, low, kind, flags, ..] = self.header;
        let length = u32::from_be_bytes([0, high, middle, low]);
        self.skipped = length as usize;
        self.is_open = true;
        match kind {
            DATA => self.control = self.control.saturating_sub(u32::from(length > 0)),
            HEADERS | CONTINUATION => self.in_head = flags & END_HEADERS == 0,
            _ => self.control += 1,
        }
    }

    /// Bytes were sent.
    pub(super) fn sent(&mut self, count: usize) {
        self.sent += count;
        let earned = u32::try_from(self.sent / BYTES_PER_FRAME).unwrap_or(u32::MAX);
        self.sent %= BYTES_PER_FRAME;
        self.control = self.control.saturating_sub(earned);
    }

    /// Whether the preface and the first frame came.
    pub(super) fn is_open(&self) -> bool {
        self.is_open
    }

    /// Whether a head has begun and not ended.
    pub(super) fn in_head(&self) -> bool {
        self.in_head
    }

    /// Whether there are more control frames than any use of the protocol needs.
    pub(super) fn is_flooded(&mut self, now: impl FnOnce() -> Instant) -> bool {
        if self.control <= CONTROL_FRAMES {
            return false;
        }
        let now = now();
        let is_flooded = now.duration_since(self.since) < WINDOW;
        (self.control, self.since) = (0, now);
        is_flooded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let mut frame = vec![0, (payload >> 8) as u8, payload as u8, kind, flags, 0, 0, 0, 1];
        frame.resize(HEADER + payload, 0xff);
        frame
    }

    #[test]
    fn frames_are_found_however_their_bytes_are_cut() {
        let bytes = [
            PREFACE.to_vec(),
            frame(4, 0, 18),
            frame(HEADERS, 0, 300),
            frame(CONTINUATION, 0, 0),
            frame(CONTINUATION, END_HEADERS, 5),
        ]
        .concat();
        for step in [1, 2, 7, 9, 10, 64, bytes.len()] {
            let mut watch = FrameWatch::new(Instant::now());
            let mut states = Vec::new();
            for part in bytes.chunks(step) {
                watch.received(part);
                states.push((watch.is_open(), watch.in_head()));
            }
            assert_eq!(states.last(), Some(&(true, false)), "{step}");
            if step < 24 {
                assert_eq!(states[0], (false, false), "{step}");
                assert!(states.contains(&(true, true)), "{step}");
            }
            assert_eq!(watch.control, 1, "the settings, in steps of {step}");
        }
    }

    #[test]
    fn control_frames_are_a_flood_when_nothing_else_comes_or_goes() {
        let begun = Instant::now();
        let open = || {
            let mut watch = FrameWatch::new(begun);
            watch.received(PREFACE);
            watch
        };
        let rounds = 2 * CONTROL_FRAMES;
        // PING, SETTINGS, PRIORITY, RST_STREAM, WINDOW_UPDATE, and one that is not known.
        for kind in [6, 4, 2, 3, 8, 0xbe] {
            let mut watch = open();
            let flooded = (0..rounds).find(|_| {
                watch.received(&frame(kind, 0, 8));
                watch.is_flooded(|| begun + WINDOW / 2)
            });
            assert_eq!(flooded, Some(CONTROL_FRAMES), "{kind}");

            let mut watch = open();
            let is_flooded = (0..rounds).any(|_| {
                watch.received(&frame(kind, 0, 8));
                watch.is_flooded(|| begun + 2 * WINDOW)
            });
            assert!(!is_flooded, "{kind}: over a longer time");

            let mut watch = open();
            let is_flooded = (0..rounds).any(|_| {
                watch.received(&frame(kind, 0, 8));
                watch.sent(BYTES_PER_FRAME);
                watch.is_flooded(|| begun)
            });
            assert!(!is_flooded, "{kind}: for data that was sent");
        }
    }
}
