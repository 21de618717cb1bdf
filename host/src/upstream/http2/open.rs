//! Begins to speak HTTP/2 over a connection.

use super::connection::{Connection, MAX_STREAMS, Terms};
use super::driver::drive;
use super::io::Io;
use crate::upstream::dial::{DialError, Transport};
use crate::upstream::link::Link;
use crate::vitals::Endpoint;
use h2::client;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::task::spawn_local;
use tokio::time::timeout;

/// What a gateway may send of one response ahead of its client: 10 MB/s at a round trip of 100 ms.
const STREAM_WINDOW: u32 = 1 << 20;

/// ... and of all together: more than all streams have, so that clients that do not read stop no others.
const CONNECTION_WINDOW: u32 = (MAX_STREAMS + 1) * STREAM_WINDOW;

/// The largest head that h2 takes, each field with 32 bytes more than it has (RFC 9113, section 6.5.2). Those that are larger than
/// ours without them are rejected as such; of those that are larger than this, h2 does not tell.
const MAX_HEADER_LIST: u32 = 128 * 1024;

/// Most bytes of one request that wait to be written.
const SEND_BUFFER: usize = 64 * 1024;

/// Begins to speak HTTP/2 over a connection, and waits for the gateway to do so within `limit`: a process that hangs accepts
/// connections, and a server of HTTP/1.1 answers in its own way.
pub(in crate::upstream) async fn connect(
    transport: Transport,
    endpoint: Arc<Endpoint>,
    link: Link,
    terms: Terms,
    limit: Duration,
) -> Result<Rc<Connection>, DialError> {
    let (io, wire) = Io::new(transport);
    let address = endpoint.address();
    let broken = |error: h2::Error| DialError::NotHttp2(address, io::Error::other(error));
    let begun = async {
        let (sender, mut driven) = builder().handshake(io).await.map_err(broken)?;
        poll_fn(|context| match Pin::new(&mut driven).poll(context) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(broken(error))),
            Poll::Ready(Ok(())) => {
                let error = io::ErrorKind::UnexpectedEof.into();
                Poll::Ready(Err(DialError::NotHttp2(address, error)))
            }
            Poll::Pending if wire.begins_with_settings() == Some(true) => Poll::Ready(Ok(())),
            Poll::Pending => Poll::Pending,
        })
        .await?;
        Ok((sender, driven))
    };
    let begun = timeout(limit, begun).await;
    let (sender, mut driven) = begun.map_err(|_| DialError::Http2TimedOut(address))??;
    let connection = Connection::new(sender, driven.ping_pong(), Rc::clone(&wire), (endpoint, link), terms);
    spawn_local(drive(driven, Rc::downgrade(&connection)));
    Ok(connection)
}

fn builder() -> client::Builder {
    let mut builder = client::Builder::new();
    builder
        .enable_push(false)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(MAX_HEADER_LIST)
        .max_send_buffer_size(SEND_BUFFER);
    builder
}
