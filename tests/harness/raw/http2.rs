//! One side of HTTP/2, frame by frame. It sends what it is told, right or wrong.

use super::{TIMEOUT, prepared};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

/// The preface of a client.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Kinds of frames, and the flags that matter (RFC 9113, section 6).
pub mod kind {
    #![allow(missing_docs, reason = "the names of the RFC")]
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PUSH_PROMISE: u8 = 5;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
    pub const END_STREAM: u8 = 1;
    pub const ACK: u8 = 1;
    pub const END_HEADERS: u8 = 4;
    pub const PADDED: u8 = 8;
}

/// A frame that came.
#[derive(Clone, Debug)]
pub struct Frame {
    /// Its kind.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// Its stream; 0 for the connection.
    pub stream: u32,
    /// What it holds.
    pub payload: Vec<u8>,
}

/// What comes of a stream in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A whole response with this status.
    Status(u16),
    /// The stream was reset with this code.
    Reset(u32),
    /// The connection was ended with this code.
    GoAway(u32),
    /// The connection was closed without a word.
    Closed,
}

/// A connection of HTTP/2.
#[derive(Debug)]
pub struct Frames {
    stream: TcpStream,
    bytes: Vec<u8>,
}

/// A frame as it is sent.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a length").to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// Fields as literals that are not indexed (RFC 7541, section 6.2.2).
pub fn block(fields: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        for text in [name.as_bytes(), value] {
            text_of(text, &mut bytes);
        }
    }
    bytes
}

fn text_of(text: &[u8], to: &mut Vec<u8>) {
    match text.len() {
        short @ 0..=126 => to.push(short as u8),
        mut rest => {
            to.push(127);
            rest -= 127;
            while rest >= 128 {
                to.push((rest % 128) as u8 | 128);
                rest /= 128;
            }
            to.push(rest as u8);
        }
    }
    to.extend_from_slice(text);
}

/// The fields of a request of this method and path for `shop.example`.
pub fn request(method: &str, path: &str) -> Vec<u8> {
    block(&[
        (":method", method.as_bytes()),
        (":scheme", b"http"),
        (":authority", b"shop.example"),
        (":path", path.as_bytes()),
    ])
}

/// The frame of a whole request without a body.
pub fn get(stream: u32, path: &str) -> Vec<u8> {
    let flags = kind::END_STREAM | kind::END_HEADERS;
    frame(kind::HEADERS, flags, stream, &request("GET", path))
}

impl Frames {
    /// A connection, with nothing sent on it.
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the address accepts connections");
        stream.set_write_timeout(Some(TIMEOUT)).expect("an open socket");
        Self {
            stream: prepared(stream),
            bytes: Vec::new(),
        }
    }

    /// A gateway's side of a connection that it has accepted, after the preface. `None` when none came.
    pub fn accepted(stream: TcpStream) -> Option<Self> {
        let mut stream = prepared(stream);
        let mut preface = [0; PREFACE.len()];
        stream.read_exact(&mut preface).ok()?;
        Some(Self {
            stream,
            bytes: Vec::new(),
        })
    }

    /// A connection with the preface and these settings.
    pub fn open(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let mut client = Self::connect(address);
        let payload: Vec<u8> = settings
            .iter()
            .flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
            .collect();
        client.write([PREFACE, &frame(kind::SETTINGS, 0, 0, &payload)].concat());
        client
    }

    /// Writes these bytes; whether the other side still took them.
    pub fn write(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    /// The next frame; `None` when the connection ends.
    ///
    /// # Panics
    /// When nothing comes for a long time.
    pub fn read(&mut self) -> Option<Frame> {
        loop {
            if let Some((header, rest)) = self.bytes.split_at_checked(9) {
                let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
                if rest.len() >= length {
                    let frame = Frame {
                        kind: header[3],
                        flags: header[4],
                        stream: u32::from_be_bytes([header[5], header[6], header[7], header[8]]) & (u32::MAX >> 1),
                        payload: rest[..length].to_vec(),
                    };
                    self.bytes.drain(..9 + length);
                    return Some(frame);
                }
            }
            let mut bytes = [0; 16 * 1024];
            match self.stream.read(&mut bytes) {
                Ok(0) => return None,
                Ok(count) => self.bytes.extend_from_slice(&bytes[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                // A pause of the process.
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => panic!("nothing comes: {error}"),
            }
        }
    }

    /// What comes of a stream. Settings and pings are acknowledged meanwhile.
    pub fn outcome(&mut self, stream: u32) -> Outcome {
        let mut status = 0;
        while let Some(frame) = self.read() {
            self.acknowledge(&frame);
            match frame.kind {
                kind::GOAWAY => return Outcome::GoAway(code(&frame.payload[4..])),
                kind::RST_STREAM if frame.stream == stream => return Outcome::Reset(code(&frame.payload)),
                kind::HEADERS if frame.stream == stream && status == 0 => status = frame.status(),
                _ => {}
            }
            let ends = matches!(frame.kind, kind::HEADERS | kind::DATA) && frame.flags & kind::END_STREAM != 0;
            if frame.stream == stream && ends {
                return Outcome::Status(status);
            }
        }
        Outcome::Closed
    }

    /// Whether the other side ends the connection, and with which code of GOAWAY, if it says one.
    pub fn end(&mut self) -> Option<u32> {
        let mut last = None;
        while let Some(frame) = self.read() {
            self.acknowledge(&frame);
            if frame.kind == kind::GOAWAY {
                last = Some(code(&frame.payload[4..]));
            }
        }
        last
    }

    /// Closes this side. A socket that is dropped with bytes unread resets its connection, and the other side may not see what was
    /// written last.
    pub fn close(&mut self) {
        // One that the other side has reset is closed.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Acknowledges settings and pings.
    pub fn acknowledge(&mut self, frame: &Frame) {
        if matches!(frame.kind, kind::SETTINGS | kind::PING) && frame.flags & kind::ACK == 0 {
            let payload = if frame.kind == kind::PING { &*frame.payload } else { &[] };
            self.write(self::frame(frame.kind, kind::ACK, 0, payload));
        }
    }
}

impl Frame {
    /// The status of a response's head, as h2 encodes it: indexed, or a literal in Huffman's code.
    ///
    /// # Panics
    /// When there is another field first.
    pub fn status(&self) -> u16 {
        const INDEXED: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
        let mut payload = self.payload.as_slice();
        // An update of the table's size may come before.
        while payload[0] & 0xe0 == 0x20 {
            payload = &payload[1..];
        }
        match payload {
            [first @ 0x88..=0x8e, ..] => INDEXED[usize::from(first - 0x88)],
            [0x48 | 0x08 | 0x18, 3, digits @ ..] => {
                digits[..3].iter().fold(0, |all, it| all * 10 + u16::from(it - b'0'))
            }
            [0x48 | 0x08 | 0x18, length, digits @ ..] if length & 0x80 != 0 => {
                huffman(&digits[..usize::from(length & 0x7f)])
            }
            _ => panic!("no status first: {payload:x?}"),
        }
    }
}

/// Three digits in Huffman's code (RFC 7541, appendix B): 0 to 2 have five bits, the others six.
fn huffman(bytes: &[u8]) -> u16 {
    let bits = bytes.iter().fold(0_u32, |all, byte| all << 8 | u32::from(*byte));
    let mut left = 8 * bytes.len() as u32;
    (0..3).fold(0, |all, _| {
        let short = bits >> (left - 5) & 0x1f;
        let digit = if short < 3 {
            left -= 5;
            short
        } else {
            left -= 6;
            (bits >> left & 0x3f) - 0x19 + 3
        };
        all * 10 + digit as u16
    })
}

fn code(payload: &[u8]) -> u32 {
    u32::from_be_bytes([payload[0], payload[1], payload[2], payload[3]])
}
