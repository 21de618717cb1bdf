//! The sockets of a demo gateway: how connections are accepted and closed.

use super::Behaviour;
use super::answer::{Script, answer};
use crate::tls::HTTP2;
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use std::io;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::{JoinSet, spawn_local};
use tokio::time::{sleep, timeout};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;
/// A connection to a listener that has room for it comes about sooner.
const KNOCK: Duration = Duration::from_millis(3);
/// So many fill a listener without room, and a few that were under way.
const KNOCKS: usize = 8;
/// How long requests that run have to end when the gateway stops in good order.
const STOPPING: Duration = Duration::from_secs(5);

/// Serves until it is stopped; then drains. When it is dropped, open connections are cut.
pub(super) async fn serve(listener: TcpListener, script: Script, mut stop: watch::Receiver<bool>) {
    let mut behaviour = script.behaviour.clone();
    let mut connections = JoinSet::new();
    let mut before = Behaviour::Serve;
    loop {
        let now = *behaviour.borrow_and_update();
        if now == Behaviour::Disconnect && before != now {
            connections.abort_all();
        }
        before = now;
        if now == Behaviour::Swallow {
            let full = fill_up(&listener).await;
            if let Err(error) = &full {
                tracing::warn!(region = &*script.region, %error, "connections cannot be swallowed");
            }
            tokio::select! {
                _ = behaviour.wait_for(|now| *now != Behaviour::Swallow) => {}
                _ = stop.wait_for(|stop| *stop) => break,
            }
            drop(full);
            let _ = SockRef::from(&listener).listen(BACKLOG);
        }
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            _ = behaviour.changed() => continue,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        match accepted {
            Ok((stream, _)) => {
                connections.spawn_local(accept(stream, script.clone(), stop.clone()));
            }
            // Out of descriptors, most likely: there will be some again.
            Err(_) => sleep(Duration::from_millis(10)).await,
        }
    }
    drop(listener);
    let _ = timeout(STOPPING, connections.join_all()).await;
}

/// Makes a listener swallow connections: with no accept and a full backlog, the system drops what asks for
/// one, as Linux does it: SYN packets are not answered. Lasts as long as the connections that are returned.
async fn fill_up(listener: &TcpListener) -> io::Result<Vec<TcpStream>> {
    SockRef::from(listener).listen(0)?;
    let address = listener.local_addr()?;
    let mut waiting = Vec::new();
    for _ in 0..KNOCKS {
        match timeout(KNOCK, TcpStream::connect(address)).await {
            Ok(stream) => waiting.push(stream?),
            Err(_) => break,
        }
    }
    Ok(waiting)
}

/// Serves one connection to its end, after the handshake where it is over TLS.
async fn accept(stream: TcpStream, script: Script, stop: watch::Receiver<bool>) {
    let _ = stream.set_nodelay(true);
    match script.tls.clone() {
        None if is_http2(&stream).await => streams(stream, |stream| stream, script, stop).await,
        None => converse(stream, |stream| stream, script, stop).await,
        Some(acceptor) => {
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            match stream.get_ref().1.alpn_protocol() == Some(HTTP2) {
                true => streams(stream, |stream| stream.get_ref().0, script, stop).await,
                false => converse(stream, |stream| stream.get_ref().0, script, stop).await,
            }
        }
    }
}

/// Whether a client speaks HTTP/2 without having asked.
async fn is_http2(stream: &TcpStream) -> bool {
    let mut first = [0; 1];
    matches!(stream.peek(&mut first).await, Ok(1) if first == *b"P") && {
        let mut first = [0; 3];
        // POST and PUT begin with the same letter.
        loop {
            match stream.peek(&mut first).await {
                Ok(3) => break first == *b"PRI",
                Ok(1..) => tokio::task::yield_now().await,
                _ => break false,
            }
        }
    }
}

/// Serves a connection of HTTP/2. What breaks it off breaks all of it off.
async fn streams<S>(stream: S, tcp: fn(&S) -> &TcpStream, script: Script, mut stop: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let behaviour = script.behaviour.clone();
    let socket = SockRef::from(tcp(&stream)).try_clone();
    let broken = Rc::new(Notify::new());
    let service = service_fn({
        let broken = Rc::clone(&broken);
        move |request| {
            let (script, broken) = (script.clone(), Rc::clone(&broken));
            async move {
                let answered = answer(script, request).await;
                if answered.is_err() {
                    broken.notify_one();
                    // Nothing is said of this stream before.
                    std::future::pending::<()>().await;
                }
                answered
            }
        }
    });
    let mut connection = http2::Builder::new(Local).serve_connection(TokioIo::new(stream), service);
    let stopped = tokio::select! {
        _ = &mut connection => false,
        () = broken.notified() => false,
        _ = stop.wait_for(|stop| *stop) => true,
    };
    if stopped {
        std::pin::Pin::new(&mut connection).graceful_shutdown();
        let _ = connection.await;
    } else if let Ok(socket) = socket
        && *behaviour.borrow() == Behaviour::Reset
    {
        let _ = socket.set_linger(Some(Duration::ZERO));
    }
}

/// Runs streams on this thread.
#[derive(Clone)]
struct Local;

impl<F: Future<Output = ()> + 'static> Executor<F> for Local {
    fn execute(&self, future: F) {
        spawn_local(future);
    }
}

/// Errors are for the client to notice.
async fn converse<S>(stream: S, tcp: fn(&S) -> &TcpStream, script: Script, mut stop: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let behaviour = script.behaviour.clone();
    let service = service_fn(move |request| answer(script.clone(), request));
    let mut http = http1::Builder::new();
    let http = http.timer(TokioTimer::new());
    let mut connection = http.serve_connection(TokioIo::new(stream), service);
    let ended = tokio::select! {
        ended = &mut connection => Some(ended),
        _ = stop.wait_for(|stop| *stop) => None,
    };
    match ended {
        None => {
            std::pin::Pin::new(&mut connection).graceful_shutdown();
            let _ = connection.await;
        }
        Some(Err(_)) if *behaviour.borrow() == Behaviour::Reset => {
            let stream = connection.into_parts().io.into_inner();
            // What is closed with no time to linger is reset.
            let _ = SockRef::from(tcp(&stream)).set_linger(Some(Duration::ZERO));
        }
        Some(_) => {}
    }
}
