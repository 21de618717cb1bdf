//! One connection to a gateway. It has no task of its own: whoever uses it drives it.
//!
//! A request therefore runs as one task from the client's socket to the gateway's and back. Nothing is handed from task
//! to task, and dropping the request drops the connection: a client that goes away takes its upstream request along.

use super::replay::RequestBody;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Instant;
use tokio::net::TcpStream;
use tokio::task::coop::unconstrained;

/// Bytes of a response's head, and of a body read at a time.
const BUFFER_BYTES: usize = 64 * 1024;

/// A connection to a gateway.
pub(super) struct Connection {
    sender: SendRequest<RequestBody>,
    driver: http1::Connection<TokioIo<TcpStream>, RequestBody>,
    /// When it was last given back.
    pub(super) idle_since: Instant,
}

/// Why a connection brought no response.
#[derive(Debug)]
pub(super) enum ExchangeError {
    /// Nothing of the request was sent; here it is again.
    Unsent(Box<Request<RequestBody>>),
    /// The connection broke, or what came was no response. Something may have arrived.
    Broken(hyper::Error),
}

impl Connection {
    /// Speaks HTTP/1.1 on a connected socket.
    pub(super) async fn new(stream: TcpStream) -> Result<Self, hyper::Error> {
        let mut builder = http1::Builder::new();
        builder.max_buf_size(BUFFER_BYTES);
        let (sender, driver) = builder.handshake(TokioIo::new(stream)).await?;
        Ok(Self {
            sender,
            driver,
            idle_since: Instant::now(),
        })
    }

    /// Whether a request can be sent: the gateway has not closed the connection, as far as is known by now, and nothing
    /// is under way on it.
    ///
    /// Afterwards nobody is woken for this connection until it is driven again.
    pub(super) fn is_usable(&mut self) -> bool {
        let mut nobody = Context::from_waker(Waker::noop());
        self.drive(&mut nobody).is_pending() && self.sender.is_ready()
    }

    /// Moves bytes. Ready when the connection is over.
    pub(super) fn drive(&mut self, context: &mut Context<'_>) -> Poll<()> {
        // Its errors reach the request and its bodies as well.
        Pin::new(&mut self.driver).poll(context).map(drop)
    }

    /// Whether the last exchange is over and left the connection clean.
    pub(super) fn is_clean(&self) -> bool {
        self.sender.is_ready()
    }

    /// Sends a request and waits for the head of its response.
    pub(super) async fn exchange(
        &mut self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, ExchangeError> {
        let response = self.sender.try_send_request(request);
        // The response comes out of the driver, which is polled right before: nobody has to be woken for it. It must
        // not be subject to the task's budget, since then it might be left unnoticed.
        let mut response = pin!(unconstrained(response));
        let mut nobody = Context::from_waker(Waker::noop());
        let answer = poll_fn(|context| {
            let over = self.drive(context).is_ready();
            let answer = response.as_mut().poll(&mut nobody);
            debug_assert!(
                answer.is_ready() || !over,
                "a connection is not over before it has answered"
            );
            answer
        });
        answer.await.map_err(|mut error| match error.take_message() {
            Some(request) => ExchangeError::Unsent(Box::new(request)),
            None => ExchangeError::Broken(error.into_error()),
        })
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("idle_since", &self.idle_since)
            .finish_non_exhaustive()
    }
}
