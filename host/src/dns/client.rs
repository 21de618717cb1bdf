//! One question to one name server: over UDP, and over TCP where the response does not fit (RFC 7766).
//!
//! Every question has a socket of its own, connected to the server: so its port is a random one (RFC 5452), datagrams of
//! others are not received, and a server that does not listen is known at once. No EDNS: there are servers that answer
//! FORMERR to it, and responses with up to 28 addresses fit without.

use super::family::Family;
use super::reply::{self, Failure, MAX_ALIASES, Reply};
use hickory_proto::op::{Message, MessageType, Query, ResponseCode};
use hickory_proto::rr::Name;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// How a server is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    /// How long a response is waited for.
    pub(super) timeout: Duration,
    /// Over TCP only.
    pub(super) tcp: bool,
}

/// Asks a server for the addresses of a name. Aliases that it leaves to us are followed at the same server.
pub(super) async fn ask(server: SocketAddr, name: &Name, family: Family, manner: Manner) -> Reply {
    let (mut asked, mut least) = (name.clone(), Duration::MAX);
    for _ in 0..=MAX_ALIASES {
        let reply = match exchange(server, &asked, family, manner).await {
            Ok(response) => reply::read(&response, &asked, family),
            Err(failure) => Reply::Failed(failure),
        };
        match reply {
            Reply::Alias { target, ttl } => (asked, least) = (target, least.min(ttl)),
            Reply::Addresses { addresses, ttl } => {
                return Reply::Addresses {
                    addresses,
                    ttl: ttl.min(least),
                };
            }
            reply => return reply,
        }
    }
    Reply::Failed(Failure::TooManyAliases)
}

async fn exchange(server: SocketAddr, name: &Name, family: Family, manner: Manner) -> Result<Message, Failure> {
    let mut query = Message::query();
    query.metadata.recursion_desired = true;
    query.add_query(Query::query(name.clone(), family.record_type()));
    let bytes = query.to_vec().map_err(|_| Failure::Malformed)?;
    if !manner.tcp {
        let response = within(manner.timeout, over_udp(server, &query, &bytes)).await?;
        if !response.metadata.truncation {
            return Ok(response);
        }
    }
    within(manner.timeout, over_tcp(server, &query, &bytes)).await
}

async fn within<T>(time: Duration, exchange: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    timeout(time, exchange).await.unwrap_or(Err(Failure::Timeout))
}

async fn over_udp(server: SocketAddr, query: &Message, bytes: &[u8]) -> Result<Message, Failure> {
    let local: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(local).await?;
    socket.connect(server).await?;
    socket.send(bytes).await?;
    let mut buffer = [0; 4096];
    loop {
        let length = socket.recv(&mut buffer).await?;
        // What does not belong to this question may be forged, and ends nothing.
        if let Some(response) = response_to(query, &buffer[..length]) {
            return response;
        }
    }
}

/// Each message after its length (RFC 1035, section 4.2.2).
async fn over_tcp(server: SocketAddr, query: &Message, bytes: &[u8]) -> Result<Message, Failure> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(bytes.len()).map_err(|_| Failure::Malformed)?;
    stream.write_all(&[&length.to_be_bytes(), bytes].concat()).await?;
    let mut buffer = vec![0; stream.read_u16().await?.into()];
    stream.read_exact(&mut buffer).await?;
    response_to(query, &buffer).unwrap_or(Err(Failure::Malformed))
}

/// The response to a query. `None` when these bytes are not one.
fn response_to(query: &Message, bytes: &[u8]) -> Option<Result<Message, Failure>> {
    if *bytes.first_chunk()? != query.metadata.id.to_be_bytes() {
        return None;
    }
    let Ok(response) = Message::from_vec(bytes) else {
        return Some(Err(Failure::Malformed));
    };
    // Some servers leave the question out where they report an error.
    let is_error = response.metadata.response_code != ResponseCode::NoError;
    let is_same = response.queries == query.queries || is_error && response.queries.is_empty();
    (response.metadata.message_type == MessageType::Response && is_same).then_some(Ok(response))
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Unreachable(error.kind())
    }
}
