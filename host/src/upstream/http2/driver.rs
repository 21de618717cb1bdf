//! The task that reads and writes a connection.

use super::connection::Connection;
use super::io::Io;
use bytes::Bytes;
use h2::client;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Weak;
use std::task::Poll;

/// Drives a connection to its end: its own, or when it is given up. It ends by itself when nobody holds it and its streams are over.
pub(super) async fn drive(mut driven: client::Connection<Io, Bytes>, connection: Weak<Connection>) {
    let ended = poll_fn(|context| {
        let ended = Pin::new(&mut driven).poll(context);
        match (connection.upgrade(), ended) {
            (_, Poll::Ready(ended)) => Poll::Ready(Some(ended)),
            (Some(connection), Poll::Pending) => connection.poll(context).map(|()| None),
            (None, Poll::Pending) => Poll::Pending,
        }
    });
    let ended = ended.await;
    if let Some(connection) = connection.upgrade() {
        connection.ended(ended);
    }
    // Dropped now, it fails the streams that it still has.
}
