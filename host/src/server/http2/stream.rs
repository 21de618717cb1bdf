//! One stream of a connection: the body of its response, and what bounds its time.

use crate::server::registry::{Activity, Exchange};
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use std::cell::Cell;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Most bytes of a response that hyper gets at once: the largest frame. It would buffer whatever it gets when the client takes
/// the first byte.
const PIECE: usize = 16 * 1024;

/// How far the response of a stream is.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pieces: Cell<u64>,
    /// Whether a piece waits for the client to take it.
    is_offered: Cell<bool>,
}

/// The exchange of a stream, ended when dropped.
#[derive(Debug)]
pub(super) struct StreamExchange {
    exchange: Option<Exchange>,
    activity: Rc<Activity>,
}

/// A response's body, with which its exchange ends.
#[derive(Debug)]
pub(super) struct StreamBody<B> {
    /// `None` where the response has no body.
    body: Option<B>,
    /// What is left of the last data.
    rest: Bytes,
    progress: Rc<Progress>,
    _exchange: StreamExchange,
}

impl StreamExchange {
    pub(super) fn begin(activity: &Rc<Activity>) -> Self {
        Self {
            exchange: Some(activity.begin()),
            activity: Rc::clone(activity),
        }
    }
}

impl Drop for StreamExchange {
    fn drop(&mut self) {
        self.exchange = None;
        // The connection may have waited for it. A stream that its client has reset leaves it nothing to send.
        if !self.activity.runs_exchanges() {
            self.activity.wake();
        }
    }
}

/// A response as HTTP/2 has it. A body where there is none (RFC 9110, section 6.4.1) would be sent, and clients would take it for an
/// error.
pub(super) fn framed<B: Body>(
    mut response: Response<B>,
    is_head: bool,
    progress: Rc<Progress>,
    exchange: StreamExchange,
) -> Response<StreamBody<B>> {
    let status = response.status();
    // A stream ends by itself.
    response.headers_mut().remove(header::CONNECTION);
    if is_head && let Some(length @ 1..) = response.body().size_hint().exact() {
        let length = HeaderValue::from(length);
        response.headers_mut().entry(header::CONTENT_LENGTH).or_insert(length);
    }
    if status == StatusCode::NO_CONTENT {
        response.headers_mut().remove(header::CONTENT_LENGTH);
    }
    let has_none = is_head || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    response.map(|body| StreamBody {
        body: (!has_none).then_some(body),
        rest: Bytes::new(),
        progress,
        _exchange: exchange,
    })
}

impl<B: Body<Data = Bytes> + Unpin> Body for StreamBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = &mut *self;
        this.progress.is_offered.set(false);
        if this.rest.is_empty() {
            let Some(body) = &mut this.body else {
                return Poll::Ready(None);
            };
            match Pin::new(body).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => this.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                polled => return polled,
            }
        }
        let piece = this.rest.split_to(this.rest.len().min(PIECE));
        this.progress.pieces.set(this.progress.pieces.get() + 1);
        this.progress.is_offered.set(true);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let body = self
            .body
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), Body::size_hint);
        match (self.rest.len() as u64, body.exact()) {
            (0, _) => body,
            (rest, Some(length)) => SizeHint::with_exact(rest + length),
            (_, None) => SizeHint::default(),
        }
    }
}

/// Runs a stream to its end, or until its client has taken nothing of its response for too long. Dropped, it is reset.
pub(super) async fn unless_stalled(stream: impl Future<Output = ()>, progress: Rc<Progress>, limit: Duration) {
    let mut stream = pin!(stream);
    let mut waiting: Option<(u64, Pin<Box<tokio::time::Sleep>>)> = None;
    poll_fn(|context| {
        if stream.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        if !progress.is_offered.get() {
            return Poll::Pending;
        }
        let piece = progress.pieces.get();
        let (last, timer) = waiting.get_or_insert_with(|| (piece, Box::pin(sleep(limit))));
        if *last != piece {
            *last = piece;
            timer.as_mut().reset(Instant::now() + limit);
        }
        let stalled = timer.as_mut().poll(context);
        if stalled.is_ready() {
            tracing::debug!("stream reset: the client does not read its response");
        }
        stalled
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::Limits;
    use crate::server::registry::ConnectionRegistry;
    use http_body_util::{BodyExt, Full};

    fn exchange() -> StreamExchange {
        StreamExchange::begin(&ConnectionRegistry::new(Limits::default()).enter().activity)
    }

    fn response(status: u16, body: &'static [u8], is_head: bool) -> Response<StreamBody<Full<Bytes>>> {
        let mut response = Response::new(Full::from(body));
        *response.status_mut() = StatusCode::from_u16(status).expect("a status");
        framed(response, is_head, Rc::default(), exchange())
    }

    #[test]
    fn a_response_without_a_body_has_none() {
        for (status, is_head, expected) in [
            (200, true, Some("4")),
            (204, false, None),
            (304, false, None),
            (404, true, Some("4")),
        ] {
            let response = response(status, b"body", is_head);
            assert!(response.body().is_end_stream(), "{status}");
            let length = response.headers().get(header::CONTENT_LENGTH);
            assert_eq!(
                length.map(HeaderValue::as_bytes),
                expected.map(str::as_bytes),
                "{status}"
            );
        }
        assert!(!response(200, b"body", false).body().is_end_stream());
    }

    #[tokio::test]
    async fn a_body_comes_in_pieces_and_whole() {
        const LONG: &[u8] = &[7; 3 * PIECE + 5];
        let mut body = response(200, LONG, false).into_body();
        let (mut lengths, mut left) = (Vec::new(), LONG.len() as u64);
        while !body.is_end_stream() {
            assert_eq!(body.size_hint().exact(), Some(left));
            let data = body
                .frame()
                .await
                .expect("more")
                .expect("good")
                .into_data()
                .expect("data");
            left -= data.len() as u64;
            lengths.push(data.len());
        }
        assert_eq!(lengths, [PIECE, PIECE, PIECE, 5]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_has_its_time_for_every_piece() {
        let limit = Duration::from_secs(60);
        let progress = Rc::<Progress>::default();
        let offers = Rc::clone(&progress);
        let stream = async move {
            for _ in 0..5 {
                offers.pieces.set(offers.pieces.get() + 1);
                offers.is_offered.set(true);
                sleep(limit * 3 / 4).await;
                offers.is_offered.set(false);
                // The gateway takes its time: that is not the client's.
                sleep(limit * 3).await;
            }
            offers.pieces.set(offers.pieces.get() + 1);
            offers.is_offered.set(true);
            std::future::pending().await
        };
        let begun = Instant::now();
        unless_stalled(stream, progress, limit).await;
        assert_eq!(begun.elapsed().as_secs(), (limit * 15 / 4 * 5 + limit).as_secs());
    }
}
