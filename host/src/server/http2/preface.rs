//! Which version of HTTP a client speaks that was told nothing by TLS (prior knowledge: RFC 9113, section 3.3).

use crate::server::connection::unless_over;
use crate::server::registry::Entry;
use std::pin::pin;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::sleep;

/// Bytes that decide: no method of HTTP/1.1 is called PRI.
const BEGIN: &[u8] = b"PRI ";

/// Between two looks at a beginning that decides nothing yet, such as the P of POST.
const PAUSE: Duration = Duration::from_millis(10);

/// Whether a client begins with the preface of HTTP/2; nothing is read. `None`: the connection is to end before it is known.
pub(super) async fn is_begun(stream: &TcpStream, entry: &Entry) -> Option<bool> {
    std::future::poll_fn(|context| {
        entry.activity.belongs_to(context.waker());
        std::task::Poll::Ready(())
    })
    .await;
    unless_over(&entry.activity, pin!(looked(stream))).await
}

async fn looked(stream: &TcpStream) -> bool {
    loop {
        let mut first = [0; BEGIN.len()];
        match stream.peek(&mut first).await {
            Ok(count @ 1..) if count < BEGIN.len() && BEGIN.starts_with(&first[..count]) => sleep(PAUSE).await,
            Ok(count) => return count > 0 && first == BEGIN,
            // For the one who reads.
            Err(_) => return false,
        }
    }
}
