//! How long a header is waited for.

use super::*;
use crate::arrival::ListenerId;
use crate::server::Limits;
use crate::server::registry::ConnectionRegistry;
use crate::vitals::OpenListeners;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, LocalSet, spawn_local, yield_now};

const TICK: Duration = Duration::from_secs(1);

/// A connection on which a header is waited for, and the proxy's end of it.
struct Waiting {
    registry: Rc<ConnectionRegistry>,
    proxy: TcpStream,
    received: JoinHandle<(Option<Header>, [u64; ProxyHeader::ALL.len()])>,
}

async fn waiting() -> Waiting {
    let registry = ConnectionRegistry::new(Limits {
        header_timeout: 2 * TICK,
        ..Limits::default()
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let proxy = TcpStream::connect(listener.local_addr().expect("an address"));
    let (proxy, accepted) = tokio::join!(proxy, listener.accept());
    let (mut stream, peer) = accepted.expect("a connection");
    let entry = registry.enter();
    let received = spawn_local(async move {
        let vitals = OpenListeners::default().open(&ListenerId::new("public"));
        let header = receive(&mut stream, peer, &entry, &vitals).await;
        (header, vitals.proxy_headers())
    });
    // It waits.
    yield_now().await;
    Waiting {
        registry,
        proxy: proxy.expect("a connection"),
        received,
    }
}

#[tokio::test]
async fn a_header_has_its_time_and_no_more() {
    let run = async {
        let mut waiting = waiting().await;
        waiting.proxy.write_all(b"PROXY TCP4").await.expect("written");
        for _ in 0..2 {
            waiting.registry.tick(TICK);
            yield_now().await;
            assert!(!waiting.received.is_finished());
        }
        waiting.registry.tick(TICK);
        let (header, counts) = waiting.received.await.expect("it ends");
        assert_eq!((header, counts[ProxyHeader::Timeout as usize]), (None, 1));
        assert_eq!(counts.iter().sum::<u64>(), 1);
    };
    LocalSet::new().run_until(run).await;
}

#[tokio::test]
async fn a_drain_ends_what_waits_for_a_header_and_does_not_count_it() {
    let run = async {
        let waiting = waiting().await;
        waiting.registry.begin_drain();
        waiting.registry.end_idle();
        let (header, counts) = waiting.received.await.expect("it ends");
        assert_eq!((header, counts.iter().sum::<u64>()), (None, 0));
        waiting.registry.empty().await;
        drop(waiting.proxy);
    };
    LocalSet::new().run_until(run).await;
}
