//! Both ends of a tunnel, driven by hand: bytes, heads, and frames of WebSocket.

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use socket2::{SockRef, Socket};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

/// Nothing takes longer than this.
pub(super) const TIMEOUT: Duration = Duration::from_secs(20);

pub(super) const TEXT: u8 = 1;
pub(super) const BINARY: u8 = 2;
pub(super) const CLOSE: u8 = 8;

/// A stream of bytes.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// One end of a connection.
pub(super) struct Peer {
    stream: Box<dyn Stream>,
    /// The same socket, where there is no TLS.
    socket: Option<Socket>,
    read: Vec<u8>,
    /// Whether its frames are masked: those of a client.
    masks: bool,
}

/// A frame of WebSocket.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) opcode: u8,
    pub(super) is_masked: bool,
    pub(super) payload: Vec<u8>,
}

impl Peer {
    /// A client's connection.
    pub(super) async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("connected");
        Self {
            socket: Some(same(&stream)),
            ..Self::client(stream)
        }
    }

    pub(super) fn client(stream: impl Stream + 'static) -> Self {
        Self {
            stream: Box::new(stream),
            socket: None,
            read: Vec::new(),
            masks: true,
        }
    }

    fn gateway(stream: impl Stream + 'static) -> Self {
        Self {
            masks: false,
            ..Self::client(stream)
        }
    }

    pub(super) async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        let written = async {
            self.stream.write_all(bytes.as_ref()).await?;
            self.stream.flush().await
        };
        timeout(TIMEOUT, written).await.expect("in time").expect("written");
    }

    /// Closes its side.
    pub(super) async fn shut(&mut self) {
        timeout(TIMEOUT, self.stream.shutdown())
            .await
            .expect("in time")
            .expect("open");
    }

    /// Resets its connection.
    pub(super) fn reset(self) {
        let socket = self.socket.as_ref().expect("no TLS");
        socket.set_linger(Some(Duration::ZERO)).expect("open");
    }

    /// The next head.
    pub(super) async fn head(&mut self) -> String {
        loop {
            if let Some(at) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                let head: Vec<u8> = self.read.drain(..at + 4).collect();
                return String::from_utf8(head).expect("text");
            }
            assert!(self.more().await.expect("open") > 0, "no head: {:?}", self.read);
        }
    }

    /// The next bytes, which are to be these.
    pub(super) async fn expect(&mut self, bytes: impl AsRef<[u8]>) {
        let expected = bytes.as_ref();
        self.fill(expected.len()).await;
        let came: Vec<u8> = self.read.drain(..expected.len()).collect();
        assert!(
            came == expected,
            "{:?}",
            String::from_utf8_lossy(&came[..came.len().min(200)])
        );
    }

    /// Passes over so many bytes.
    pub(super) async fn skip(&mut self, count: usize) {
        self.fill(count).await;
        self.read.drain(..count);
    }

    /// The end of what the other side sends, and whether it is an orderly one. Nothing may come before.
    pub(super) async fn ends(&mut self) -> bool {
        assert!(self.read.is_empty(), "{:?}", self.read);
        match self.more().await {
            Ok(count) => {
                assert_eq!(count, 0, "{:?}", String::from_utf8_lossy(&self.read));
                true
            }
            Err(_) => false,
        }
    }

    async fn fill(&mut self, count: usize) {
        while self.read.len() < count {
            let more = self.more().await.expect("open");
            assert!(more > 0, "it ended after {:?}", String::from_utf8_lossy(&self.read));
        }
    }

    async fn more(&mut self) -> io::Result<usize> {
        timeout(TIMEOUT, self.stream.read_buf(&mut self.read))
            .await
            .expect("something comes in time")
    }

    pub(super) async fn send(&mut self, opcode: u8, payload: &[u8]) {
        let masks = self.masks;
        self.write(frame(opcode, payload, masks)).await;
    }

    /// The next frame.
    pub(super) async fn frame(&mut self) -> Frame {
        self.fill(2).await;
        let (opcode, is_masked) = (self.read[0] & 0x0f, self.read[1] & 0x80 != 0);
        let (extended, mut length) = match self.read[1] & 0x7f {
            126 => (2, 0),
            127 => (8, 0),
            short => (0, usize::from(short)),
        };
        self.fill(2 + extended).await;
        for byte in &self.read[2..2 + extended] {
            length = length << 8 | usize::from(*byte);
        }
        let from = 2 + extended + if is_masked { 4 } else { 0 };
        self.fill(from + length).await;
        let whole: Vec<u8> = self.read.drain(..from + length).collect();
        let mut payload = whole[from..].to_vec();
        if is_masked {
            let mask = &whole[from - 4..from];
            payload
                .iter_mut()
                .zip(mask.iter().cycle())
                .for_each(|(byte, mask)| *byte ^= mask);
        }
        Frame {
            opcode,
            is_masked,
            payload,
        }
    }

    /// The next frame, which is to be this one of the other side.
    pub(super) async fn expect_frame(&mut self, opcode: u8, payload: &[u8]) {
        let frame = self.frame().await;
        assert_eq!((frame.opcode, frame.is_masked), (opcode, !self.masks));
        assert!(frame.payload == payload, "{} bytes", frame.payload.len());
    }

    /// Expects a Close frame with the status 1001.
    pub(super) async fn expect_going_away(&mut self) {
        self.expect_frame(CLOSE, &1001_u16.to_be_bytes()).await;
    }

    /// Answers a handshake that was read. Gives what it asked for.
    pub(super) async fn accept_websocket(&mut self) -> String {
        let head = self.head().await;
        let key = field(&head, "sec-websocket-key").expect("a key");
        self.write(switched(&accept_of(key), "")).await;
        head
    }
}

fn same(stream: &TcpStream) -> Socket {
    SockRef::from(stream).try_clone().expect("a descriptor")
}

/// A 101 to WebSocket.
pub(super) fn switched(accept: &str, more: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n{more}\r\n"
    )
}

/// What a server answers to a key.
pub(super) fn accept_of(key: &str) -> String {
    let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    STANDARD.encode(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()))
}

/// A field of a head.
pub(super) fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    let mut values = lines
        .filter(|(it, _)| it.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim());
    values.next()
}

/// A frame as it is sent.
pub(super) fn frame(opcode: u8, payload: &[u8], is_masked: bool) -> Vec<u8> {
    let bit = if is_masked { 0x80 } else { 0 };
    let mut frame = vec![0x80 | opcode];
    match payload.len() {
        short @ 0..=125 => frame.push(bit | short as u8),
        middle @ 126..=0xffff => {
            frame.push(bit | 126);
            frame.extend_from_slice(&(middle as u16).to_be_bytes());
        }
        long => {
            frame.push(bit | 127);
            frame.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    match is_masked {
        false => frame.extend_from_slice(payload),
        true => {
            let mask = [0x12, 0x34, 0x56, 0x78];
            frame.extend_from_slice(&mask);
            frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        }
    }
    frame
}

/// A gateway whose connections a test answers by hand.
pub(super) struct Gateway {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
}

impl Gateway {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        Self { listener, tls: None }
    }

    pub(super) async fn start_tls(config: Arc<rustls::ServerConfig>) -> Self {
        Self {
            tls: Some(config.into()),
            ..Self::start().await
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.listener.local_addr().expect("an address")
    }

    /// The next connection.
    pub(super) async fn next(&self) -> Peer {
        let next = async {
            let (stream, _) = self.listener.accept().await.expect("accepted");
            stream.set_nodelay(true).expect("open");
            match &self.tls {
                None => Peer {
                    socket: Some(same(&stream)),
                    ..Peer::gateway(stream)
                },
                Some(tls) => {
                    let stream = tls.accept(stream).await.expect("a handshake");
                    let protocol = stream.get_ref().1.alpn_protocol();
                    assert_eq!(protocol, Some(&b"http/1.1"[..]), "nothing else carries an upgrade");
                    Peer::gateway(stream)
                }
            }
        };
        timeout(TIMEOUT, next).await.expect("a connection comes in time")
    }
}
