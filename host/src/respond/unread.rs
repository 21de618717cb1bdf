//! Bodies of requests that are answered without them.

use crate::arrival::ClientBody;
use http::header::{CONNECTION, EXPECT, HeaderMap, HeaderValue};
use http_body::Body;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

/// How much of a body is read and thrown away so that its connection can go on.
const MOST: usize = 64 * 1024;

/// Announces the end of a connection on which the rest of a request's body is still to come: nobody reads it, so nothing can follow it
/// (RFC 9112, section 9.6). What has come already is read here, so that small bodies cost no connection.
/// A client that expects 100 Continue gets none: it has not sent its body, and need not.
pub async fn settle(body: ClientBody, request: &HeaderMap, headers: &mut HeaderMap) {
    if body.is_end_stream() {
        return;
    }
    // Reading would tell it to continue.
    if request.contains_key(EXPECT) || !Box::pin(has_come(body)).await {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
}

/// Whether the whole body has come, and is not long.
async fn has_come(mut body: ClientBody) -> bool {
    let mut read = 0;
    poll_fn(|context| {
        loop {
            let frame = match Pin::new(&mut body).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => frame,
                Poll::Ready(None) => return Poll::Ready(true),
                Poll::Ready(Some(Err(_))) | Poll::Pending => return Poll::Ready(false),
            };
            read += frame.data_ref().map_or(0, |data| data.len());
            if read > MOST {
                return Poll::Ready(false);
            }
        }
    })
    .await
}
