//! The body of a request, as it is sent on a stream.

use super::decode;
use crate::upstream::replay::RequestBody;
use bytes::Bytes;
use h2::SendStream;
use std::task::{Context, Poll};

/// The part of a request that is still to be sent.
pub(super) struct Upload {
    stream: SendStream<Bytes>,
    body: RequestBody,
    state: State,
    /// Whether something was sent since [`Upload::has_moved`] was asked.
    has_moved: bool,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The body goes on.
    Reading,
    /// All of it was read from the body.
    Read,
    /// The client's body failed.
    Abandoned,
    /// The gateway takes no more of it.
    Stopped,
}

impl std::fmt::Debug for Upload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upload")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

impl Upload {
    /// After a head that was the end where there is no body.
    pub(super) fn new(stream: SendStream<Bytes>, body: RequestBody) -> Self {
        Self {
            stream,
            state: match body {
                RequestBody::Empty => State::Read,
                RequestBody::Streaming(_) => State::Reading,
            },
            body,
            has_moved: false,
        }
    }

    /// Whether all of it was sent.
    pub(super) fn is_done(&self) -> bool {
        self.state == State::Read
    }

    /// Whether the client's body failed: not an error of the gateway.
    pub(super) fn is_abandoned(&self) -> bool {
        self.state == State::Abandoned
    }

    /// Whether more of it was sent since this was last asked.
    pub(super) fn has_moved(&mut self) -> bool {
        std::mem::take(&mut self.has_moved)
    }

    /// Sends what the gateway takes. Whether it was reset shows in the response.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) {
        while self.state == State::Reading {
            if self.stream.capacity() == 0 {
                // Data is read from the client when the gateway takes some: so far its window reaches back.
                self.stream.reserve_capacity(1);
                match self.stream.poll_capacity(context) {
                    Poll::Ready(Some(Ok(_))) => continue,
                    Poll::Ready(Some(Err(_)) | None) => return self.close(State::Stopped),
                    Poll::Pending => return,
                }
            }
            match self.body.poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => self.send(data),
                    Err(frame) => {
                        let sent = frame.into_trailers().map(decode::trailers);
                        let sent = sent.map(|trailers| self.stream.send_trailers(trailers));
                        self.close(match sent {
                            Ok(Ok(())) => State::Read,
                            _ => State::Stopped,
                        });
                    }
                },
                Poll::Ready(Some(Err(_))) => {
                    self.stream.send_reset(h2::Reason::CANCEL);
                    self.close(State::Abandoned);
                }
                Poll::Ready(None) => self.send_last(Bytes::new()),
                Poll::Pending => return,
            }
        }
    }

    fn send(&mut self, data: Bytes) {
        if self.body.is_end_stream() {
            self.send_last(data);
        } else if !data.is_empty() {
            self.has_moved = true;
            if self.stream.send_data(data, false).is_err() {
                self.close(State::Stopped);
            }
        }
    }

    fn send_last(&mut self, data: Bytes) {
        self.has_moved = true;
        let state = match self.stream.send_data(data, true) {
            Ok(()) => State::Read,
            Err(_) => State::Stopped,
        };
        self.close(state);
    }

    /// The body was read to its end: the reader is released.
    fn close(&mut self, state: State) {
        self.body = RequestBody::Empty;
        self.state = state;
    }
}
