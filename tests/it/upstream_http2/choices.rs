//! Which version of HTTP a gateway is spoken to in.

use super::gateway::{Gateway, Order, Settings};
use super::{EAST, LISTENER, Scene, WEST, until};
use http::StatusCode;
use portolan::vitals::UpstreamError;
use portolan_tests::Setup;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use std::sync::{Arc, Mutex};
use tokio::task::JoinSet;

const BOTH: &[&str] = &["h2", "http/1.1"];

/// A gateway over TLS that agrees to these protocols, of which the certificate is to be trusted.
struct Choosing {
    gateway: Gateway,
    config: Arc<Mutex<Arc<ServerConfig>>>,
    ca: String,
}

impl Choosing {
    async fn start(protocols: &[&str]) -> Self {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).expect("a certificate");
        let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .expect("a certificate with its key");
        let config = Arc::new(Mutex::new(Arc::new(config)));
        let settings = Settings {
            tls: Some(Arc::clone(&config)),
            ..Settings::default()
        };
        let started = Self {
            gateway: Gateway::scripted(settings, |came| Box::pin(came.ok())).await,
            config,
            ca: cert.pem(),
        };
        started.agrees_to(protocols);
        started
    }

    /// From the next connection on.
    fn agrees_to(&self, protocols: &[&str]) {
        let mut config = self.config.lock().expect("a configuration");
        let mut changed = ServerConfig::clone(&config);
        changed.alpn_protocols = protocols.iter().map(|it| it.as_bytes().to_vec()).collect();
        *config = Arc::new(changed);
    }

    fn url(&self) -> String {
        format!("https://{}", self.gateway.address())
    }

    async fn scene(&self, protocol: &str) -> Scene {
        Scene::start(self.setup(protocol)).await
    }

    fn setup(&self, protocol: &str) -> Setup {
        let service = format!(
            "health_check: off\npolicy: priority\nretry: {{ hedge_after: off }}\nupstream: {{ protocol: {protocol}, tls: {{ ca: ca.pem }} }}"
        );
        let setup = Setup::regions(&[]).service(&service).listeners(LISTENER);
        setup.file("ca.pem", &self.ca).gateway(WEST, self.url())
    }
}

async fn spoken(scene: &Scene) -> String {
    let answer = scene.client.get("/").await.expect("an answer");
    let spoken = answer
        .headers
        .get("x-gateway")
        .map(|it| it.to_str().expect("text").to_owned());
    spoken.unwrap_or_else(|| answer.status.to_string())
}

#[tokio::test]
async fn a_gateway_chooses_by_alpn() {
    for (protocol, agreed, expected) in [
        ("h1", BOTH, "h1"),
        ("auto", BOTH, "h2"),
        ("auto", &["http/1.1"], "h1"),
        ("auto", &[], "h1"),
        ("auto", &["h2"], "h2"),
        ("h2", BOTH, "h2"),
        ("h2", &["h2"], "h2"),
    ] {
        let gateway = Choosing::start(agreed).await;
        let scene = gateway.scene(protocol).await;
        for _ in 0..3 {
            assert_eq!(spoken(&scene).await, expected, "{protocol}, {agreed:?}");
        }
        let connections = (gateway.gateway.connections().0, gateway.gateway.connections_of_http1());
        let expected = if expected == "h2" { (1, 0) } else { (0, 1) };
        assert_eq!(connections, expected, "{protocol}, {agreed:?}");
    }
}

#[tokio::test]
async fn a_gateway_without_http2_is_a_failed_handshake_of_its_own_kind() {
    for (protocol, agreed) in [("h2", &["http/1.1"][..]), ("h2", &[]), ("h1", &["h2"])] {
        let gateway = Choosing::start(agreed).await;
        let second = Choosing::start(BOTH).await;
        let setup = gateway
            .setup(protocol)
            .file("ca.pem", format!("{}{}", gateway.ca, second.ca));
        let scene = Scene::start(setup.gateway(EAST, second.url())).await;
        let answer = scene.client.post("/").await.expect("an answer");
        assert_eq!(answer.status, StatusCode::OK, "{protocol}, {agreed:?}");
        let errors = scene.world.vitals(WEST).errors();
        assert_eq!(errors[UpstreamError::TlsProtocol as usize], 1, "{protocol}, {agreed:?}");
    }
}

/// What a gateway speaks is learned anew from each connection.
#[tokio::test]
async fn a_gateway_may_change_its_mind() {
    let gateway = Choosing::start(BOTH).await;
    let scene = gateway.scene("auto").await;
    for (agreed, expected) in [
        (BOTH, "h2"),
        (&["http/1.1"], "h1"),
        (BOTH, "h2"),
        (&[], "h1"),
        (&["h2"], "h2"),
    ] {
        gateway.agrees_to(agreed);
        gateway.gateway.order(Order::Cut);
        until("all are closed", || gateway.gateway.connections().1 == 0).await;
        for _ in 0..3 {
            assert_eq!(spoken(&scene).await, expected, "{agreed:?}");
        }
    }
    assert_eq!(scene.world.vitals(WEST).errors().iter().sum::<u64>(), 0);
}

/// The first handshake decides for all that wait.
#[tokio::test]
async fn a_burst_at_the_start_waits_for_the_first_handshake() {
    let gateway = Choosing::start(BOTH).await;
    let scene = gateway.scene("auto").await;
    let mut running = JoinSet::new();
    for _ in 0..50 {
        let client = scene.client.clone();
        running.spawn(async move { client.get("/").await.expect("an answer").body });
    }
    assert!(running.join_all().await.iter().all(|body| body == b"ok"));
    assert_eq!(gateway.gateway.connections().0, 1);
}
