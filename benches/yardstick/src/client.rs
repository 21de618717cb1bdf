//! A blocking HTTP/1.1 client that keeps its connection. It reads responses that announce their length.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::str;
use std::time::Duration;

/// How long a response may take before the client gives up.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A client with one connection.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    read: Vec<u8>,
}

/// A whole response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Bytes of the body.
    pub body_bytes: usize,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// When nothing listens at the address.
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        Ok(Self {
            stream,
            read: vec![0; 16 * 1024],
        })
    }

    /// Sends a request, as text with its body, and reads the whole response.
    ///
    /// # Errors
    /// When the connection ends early, or the response has no `Content-Length`.
    pub fn send(&mut self, request: &[u8]) -> io::Result<Response> {
        self.stream.write_all(request)?;
        let mut filled = 0;
        loop {
            if filled == self.read.len() {
                self.read.resize(filled * 2, 0);
            }
            let count = self.stream.read(&mut self.read[filled..])?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            filled += count;
            if let Some(response) = whole(&self.read[..filled])? {
                return Ok(response);
            }
        }
    }
}

/// The response, once all of it has been read.
fn whole(read: &[u8]) -> io::Result<Option<Response>> {
    let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let invalid = || {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "a response without a status or Content-Length",
        )
    };
    let head = str::from_utf8(&read[..end]).map_err(io::Error::other)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let mut fields = head.lines().filter_map(|line| line.split_once(": "));
    let length = fields.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let body_bytes = length.and_then(|(_, value)| value.parse::<usize>().ok());
    let (Some(status), Some(body_bytes)) = (status, body_bytes) else {
        return Err(invalid());
    };
    let is_whole = read.len() >= end + 4 + body_bytes;
    Ok(is_whole.then_some(Response { status, body_bytes }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_whole_when_its_body_is() {
        let text = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
        for end in 0..text.len() {
            assert_eq!(whole(&text[..end]).ok().flatten(), None, "{end}");
        }
        let all = Response {
            status: 200,
            body_bytes: 5,
        };
        assert_eq!(whole(text).ok().flatten(), Some(all));
        assert!(whole(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
