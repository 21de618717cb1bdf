//! A gateway in this process: it answers every request alike, on connections that stay open.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::str;
use std::thread;

/// What it answers. It announces for how long it keeps connections: without that, requests that cannot be repeated get new ones
/// as soon as the machine is slow, and counts depend on its load.
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nServer: backend\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\
    Keep-Alive: timeout=600\r\nContent-Type: text/plain\r\nCache-Control: no-store\r\nContent-Length: 23\r\n\r\n\
    hello from the backend\n";

/// Starts it on a free port of loopback. It ends with the process.
///
/// # Errors
/// When there is no port.
pub fn start() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A connection that breaks is the proxy's to notice.
            thread::spawn(move || serve(stream));
        }
    });
    Ok(address)
}

fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut read = Vec::new();
    let mut room = [0; 16 * 1024];
    loop {
        let count = stream.read(&mut room)?;
        if count == 0 {
            return Ok(());
        }
        read.extend_from_slice(&room[..count]);
        if let Some(end) = request_end(&read)? {
            read.drain(..end);
            stream.write_all(RESPONSE)?;
        }
    }
}

/// Where the first request ends, once it is whole.
fn request_end(read: &[u8]) -> io::Result<Option<usize>> {
    let Some(head) = read.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let text = str::from_utf8(&read[..head]).map_err(io::Error::other)?;
    let mut fields = text.lines().filter_map(|line| line.split_once(": "));
    let length = fields.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length = length.map_or(Ok(0), |(_, value)| value.parse::<usize>().map_err(io::Error::other))?;
    let end = head + 4 + length;
    Ok((read.len() >= end).then_some(end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Client;

    #[test]
    fn it_answers_one_request_after_another() {
        let mut client = Client::connect(start().expect("a port")).expect("it listens");
        for request in [
            &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        ] {
            let response = client.send(request).expect("a response");
            assert_eq!((response.status, response.body_bytes), (200, 23));
        }
    }
}
