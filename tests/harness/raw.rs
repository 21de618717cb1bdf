//! Messages byte by byte: a scripted client and gateway that record what they receive.
//!
//! Both block. Neither is any wiser than it has to be to know where a message ends.

mod gateway;
pub mod http2;

pub use gateway::{RawGateway, Reply};

use socket2::{Domain, Socket, Type};
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// Nothing takes longer than this.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A blocking stream of bytes.
pub trait Stream: Read + Write {
    /// Says that nothing more will be written.
    fn end(&mut self);
}

impl Stream for TcpStream {
    fn end(&mut self) {
        let _ = self.shutdown(Shutdown::Write);
    }
}

/// A client's connection from this address.
pub fn connect(from: IpAddr, to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::new(from, 0).into()).expect("an own address");
    socket.connect(&to.into()).expect("the address accepts connections");
    prepared(socket.into())
}

fn prepared(stream: TcpStream) -> TcpStream {
    stream.set_nodelay(true).expect("an open socket");
    stream.set_read_timeout(Some(TIMEOUT)).expect("an open socket");
    stream
}

/// One end of a connection.
#[derive(Debug)]
pub struct Wire<S = TcpStream> {
    stream: S,
    read: Vec<u8>,
}

/// A message that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The first line and the fields, each with its end, without the empty line.
    pub head: String,
    /// The content, chunks joined.
    pub body: Vec<u8>,
    /// The lines of the trailers.
    pub trailers: String,
    /// Whether it ended as its head says. A close in good order ends a message without framing.
    pub is_whole: bool,
}

impl Wire {
    /// A client's connection.
    pub fn open(address: SocketAddr) -> Self {
        Self::new(TcpStream::connect(address).expect("the address accepts connections"))
    }

    /// A client's connection from this address.
    pub fn open_from(client: IpAddr, address: SocketAddr) -> Self {
        Self::new(connect(client, address))
    }

    fn new(stream: TcpStream) -> Self {
        Self::over(prepared(stream))
    }
}

impl<S: Stream> Wire<S> {
    /// A connection over this stream.
    pub fn over(stream: S) -> Self {
        Self {
            stream,
            read: Vec::new(),
        }
    }

    /// Writes these bytes. The other side may have closed already.
    pub fn write(&mut self, bytes: impl AsRef<[u8]>) {
        let written = self.stream.write_all(bytes.as_ref());
        let _ = written.and_then(|()| self.stream.flush());
    }

    /// Says that nothing more will be written.
    pub fn end(&mut self) {
        self.stream.end();
    }

    /// The next response to a request of this method, interim ones passed over; `None` when the connection ends before.
    pub fn response(&mut self, method: &str) -> Option<Message> {
        loop {
            let head = self.head()?;
            let status = status(&head);
            let has_none = method == "HEAD" || matches!(status, 204 | 304);
            match status {
                100..=199 => {}
                _ if has_none => return Some(Message::new(head)),
                _ => return Some(self.message(head, true)),
            }
        }
    }

    /// Whether the other side closes, without another byte.
    pub fn is_closed(&mut self) -> bool {
        self.read.is_empty() && self.more() != Came::Bytes
    }

    /// Whether the other side closes in good order, without another byte.
    pub fn ends(&mut self) -> bool {
        self.read.is_empty() && self.more() == Came::End
    }

    /// The next head, interim ones included; `None` when the connection ends before.
    pub fn head(&mut self) -> Option<String> {
        loop {
            if let Some(at) = find(&self.read, b"\r\n\r\n") {
                let head = self.take(at + 2);
                self.take(2);
                return Some(String::from_utf8_lossy(&head).into_owned());
            }
            if self.more() != Came::Bytes {
                return None;
            }
        }
    }

    fn message(&mut self, head: String, is_response: bool) -> Message {
        let mut message = Message::new(head);
        if message.field("transfer-encoding").is_some_and(|it| it == "chunked") {
            message.is_whole = self.chunks(&mut message).is_some();
        } else if let Some(length) = message.field("content-length") {
            let length = length.parse().expect("a length");
            while self.read.len() < length && self.more() == Came::Bytes {}
            message.is_whole = self.read.len() >= length;
            message.body = self.take(length.min(self.read.len()));
        } else if is_response {
            let mut came = Came::Bytes;
            while came == Came::Bytes {
                came = self.more();
            }
            message.is_whole = came == Came::End;
            message.body = std::mem::take(&mut self.read);
        }
        message
    }

    fn chunks(&mut self, message: &mut Message) -> Option<()> {
        loop {
            let size = usize::from_str_radix(self.line()?.trim_end(), 16).expect("a size");
            if size == 0 {
                break;
            }
            while self.read.len() < size + 2 {
                if self.more() != Came::Bytes {
                    message.body.append(&mut self.read);
                    return None;
                }
            }
            message.body.extend(self.take(size));
            self.take(2);
        }
        loop {
            match self.line()? {
                end if end == "\r\n" => return Some(()),
                line => message.trailers.push_str(&line),
            }
        }
    }

    fn line(&mut self) -> Option<String> {
        loop {
            if let Some(at) = find(&self.read, b"\r\n") {
                return Some(String::from_utf8_lossy(&self.take(at + 2)).into_owned());
            }
            if self.more() != Came::Bytes {
                return None;
            }
        }
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        self.read.drain(..count).collect()
    }

    fn more(&mut self) -> Came {
        let mut bytes = [0; 16 * 1024];
        match self.stream.read(&mut bytes) {
            Ok(0) => Came::End,
            Ok(count) => {
                self.read.extend_from_slice(&bytes[..count]);
                Came::Bytes
            }
            // A pause of the process.
            Err(error) if error.kind() == ErrorKind::Interrupted => self.more(),
            Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("nothing came: {:?}", self.read),
            Err(_) => Came::Reset,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Came {
    Bytes,
    End,
    Reset,
}

impl Message {
    fn new(head: String) -> Self {
        Self {
            head,
            body: Vec::new(),
            trailers: String::new(),
            is_whole: true,
        }
    }

    /// The status of a response.
    pub fn status(&self) -> u16 {
        status(&self.head)
    }

    /// The first line.
    pub fn line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }

    /// A field's value, of the first line that has it.
    pub fn field<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.fields(name).next()
    }

    /// A field's values, line by line.
    pub fn fields<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines
            .filter(|(it, _)| it.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    }

    /// Whether the one who sent it is going to close.
    pub fn closes(&self) -> bool {
        self.fields("connection").any(|it| it.eq_ignore_ascii_case("close"))
    }
}

fn status(head: &str) -> u16 {
    let status = head.split(' ').nth(1).and_then(|it| it.trim_end().parse().ok());
    status.unwrap_or_else(|| panic!("no response: {head}"))
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
