//! What is done before a connection is closed: its client is read from for a while, and ignored.

use crate::server::accepted::ClientStream;
use crate::server::registry::Entry;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncWriteExt, ReadBuf};
use tokio::time::timeout;

/// How long a connection that is closed before its client has sent everything is read from and ignored, in all and without
/// a byte (nginx: `lingering_time`, `lingering_timeout`). Closing it at once would reset it, and the client might lose the
/// response that it has not read yet: some send all of an upload first.
const LINGER: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(5));

/// The same in all when it begins during a drain.
const LINGER_DRAINING: Duration = Duration::from_secs(1);

/// Writes an answer, if there is one, and closes our side; then reads until the client closes and ignores what it reads, for a bounded time.
pub(in crate::server) async fn linger(stream: &mut impl ClientStream, answer: &[u8], entry: &Entry) {
    let (total, silence) = LINGER;
    let total = if entry.is_draining() { LINGER_DRAINING } else { total };
    let scratch = entry.scratch();
    let exchange = async {
        // A client that is gone reads nothing any more.
        if stream.write_all(answer).await.is_err() || stream.shutdown().await.is_err() {
            return;
        }
        loop {
            let read = poll_fn(|context| {
                let mut scratch = scratch.borrow_mut();
                let mut ignored = ReadBuf::new(&mut scratch);
                ready!(Pin::new(&mut *stream).poll_read(context, &mut ignored))?;
                Poll::Ready(Ok::<_, io::Error>(ignored.filled().len()))
            });
            let Ok(Ok(1..)) = timeout(silence, read).await else {
                return;
            };
        }
    };
    // When the time is over, the connection is closed all the same.
    let _ = timeout(total, exchange).await;
}
