//! Connections that change to another protocol, such as WebSocket.

mod drain;
mod handshake;
mod http2;
mod peer;
mod relay;

use peer::{Gateway, Peer, accept_of, switched};
use portolan_tests::{Request, Setup, World};
use serde_json::Value;
use std::time::Duration;

/// Nothing but what a test sends reaches the gateways, the first one first.
const PLAIN: &str = "health_check: off\npolicy: priority";

/// The key of RFC 6455, section 1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// A handshake of WebSocket.
fn handshake() -> String {
    asks("Upgrade", "websocket")
}

/// A handshake with these values of `Connection` and `Upgrade`.
fn asks(connection: &str, upgrade: &str) -> String {
    format!(
        "GET /chat?room=1 HTTP/1.1\r\nHost: shop.example\r\nConnection: {connection}\r\nUpgrade: {upgrade}\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Extensions: permessage-deflate; \
         client_max_window_bits\r\nSec-WebSocket-Protocol: chat, superchat\r\n\r\n"
    )
}

/// The proxy in front of one region.
struct Scene {
    world: World,
    gateway: Gateway,
}

impl Scene {
    async fn new() -> Self {
        Self::made(|setup| setup).await
    }

    async fn made(setup: impl FnOnce(Setup) -> Setup) -> Self {
        Self::with_service("", setup).await
    }

    /// With more lines of the service.
    async fn with_service(lines: &str, setup: impl FnOnce(Setup) -> Setup) -> Self {
        let gateway = Gateway::start().await;
        let plain = Setup::regions(&[]).other("westeurope", gateway.address());
        let plain = plain.service(&format!("{PLAIN}\n{lines}")).logging();
        Self {
            world: setup(plain).start(),
            gateway,
        }
    }

    /// A tunnel of WebSocket: the client and the gateway.
    async fn websocket(&self) -> (Peer, Peer) {
        let mut client = Peer::open(self.world.proxy()).await;
        client.write(handshake()).await;
        let mut gateway = self.gateway.next().await;
        gateway.head().await;
        gateway.write(switched(&accept_of(KEY), "")).await;
        assert!(client.head().await.starts_with("HTTP/1.1 101 "));
        (client, gateway)
    }

    /// A tunnel of another protocol.
    async fn custom(&self) -> (Peer, Peer) {
        let mut client = Peer::open(self.world.proxy()).await;
        client.write(asks("upgrade", "custom/1")).await;
        let mut gateway = self.gateway.next().await;
        gateway.head().await;
        gateway
            .write("HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: custom/1\r\n\r\n")
            .await;
        assert!(client.head().await.starts_with("HTTP/1.1 101 "));
        (client, gateway)
    }

    /// A metric, by the beginning of its line.
    async fn metric(&self, sample: &str) -> u64 {
        metric(&self.world, sample).await
    }

    /// Waits until so many tunnels have ended like this.
    async fn until_ended(&self, end: &str, count: u64) {
        let sample =
            format!("portolan_upstream_tunnels_ended_total{{service=\"shop\",region=\"westeurope\",end=\"{end}\"}}");
        let reached = async {
            while self.metric(&sample).await != count {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        if tokio::time::timeout(peer::TIMEOUT, reached).await.is_err() {
            let text = self.world.admin(Request::get("/metrics")).await.text();
            let ends: Vec<_> = text.lines().filter(|line| line.contains("tunnels")).collect();
            panic!("{count} ended with {end}: {ends:#?}");
        }
    }

    /// The lines of the access log, when there are so many.
    async fn logged(&self, count: usize) -> Vec<Value> {
        self.world.until_logged(count).await
    }
}

async fn metric(world: &World, sample: &str) -> u64 {
    let text = world.admin(Request::get("/metrics")).await.text();
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    let value = value.unwrap_or_else(|| panic!("{sample}: {text}"));
    value.parse().expect("a number")
}
