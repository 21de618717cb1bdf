//! A client's end of a tunnel in a stream of HTTP/2.

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::task::{AbortHandle, spawn_local};
use tokio::time::timeout;

/// How long a client may take to read the last bytes of a tunnel. Then its stream is reset.
const LAST_BYTES: Duration = Duration::from_secs(5);

/// The task of hyper that sends a tunnel's bytes.
#[derive(Debug, Default)]
pub(super) struct Sender {
    task: RefCell<Option<AbortHandle>>,
    is_over: Cell<bool>,
    over: Notify,
}

/// The client.
#[derive(Debug)]
pub(super) struct Client {
    stream: TokioIo<Upgraded>,
    sender: Rc<Sender>,
    /// Whether the sender's task has had its turn after the end of what is read.
    has_yielded: bool,
    /// Whether our side is closed.
    is_shut: bool,
}

impl Sender {
    /// Runs the task.
    pub(super) fn run(self: Rc<Self>, task: impl Future<Output = ()> + 'static) {
        let sender = Rc::clone(&self);
        let task = spawn_local(async move {
            task.await;
            sender.is_over.set(true);
            sender.over.notify_one();
        });
        *self.task.borrow_mut() = Some(task.abort_handle());
    }

    /// Waits until everything is sent, for a bounded time.
    pub(super) async fn finish(&self) {
        if !self.is_over.get()
            && timeout(LAST_BYTES, self.over.notified()).await.is_err()
            && let Some(task) = self.task.take()
        {
            task.abort();
        }
    }
}

impl Client {
    pub(super) fn new(upgraded: Upgraded, sender: Rc<Sender>) -> Self {
        Self {
            stream: TokioIo::new(upgraded),
            sender,
            has_yielded: false,
            is_shut: false,
        }
    }
}

impl AsyncRead for Client {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if !self.has_yielded {
            ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
            if buffer.filled().len() > before {
                return Poll::Ready(Ok(()));
            }
            // The end, or a stream that was reset with CANCEL, which hyper does not distinguish here. Its task does: it ends.
            self.has_yielded = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.sender.is_over.get() && !self.is_shut {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Client {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    /// Does not wait until everything is sent: see [`Sender::finish`].
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.is_shut = true;
        // Closes the channel to its task, and waits for that.
        let _ = Pin::new(&mut self.stream).poll_shutdown(context);
        Poll::Ready(Ok(()))
    }
}
