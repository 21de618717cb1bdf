//! A TCP relay: what a proxy costs that does nothing but pass bytes on.

use std::io;
use std::net::SocketAddr;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

/// Relays until the process is ended.
pub(crate) fn run(listen: SocketAddr, to: SocketAddr) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(listen).await?;
        loop {
            let (downstream, _) = listener.accept().await?;
            tokio::spawn(async move {
                // A connection that breaks ends both sides, which the client sees.
                let _ = relay(downstream, to).await;
            });
        }
    })
}

async fn relay(mut downstream: TcpStream, to: SocketAddr) -> io::Result<()> {
    let mut upstream = TcpStream::connect(to).await?;
    downstream.set_nodelay(true)?;
    upstream.set_nodelay(true)?;
    copy_bidirectional(&mut downstream, &mut upstream).await.map(|_| ())
}
