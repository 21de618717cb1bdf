//! Connections that gateways close while they are idle, in paused time: gateways in memory, with a way between.

use super::super::dial::{Connect, Connecting, Transport};
use super::super::progress::{AttemptProgress, Progress};
use super::super::request::Outbound;
use super::*;
use crate::dns::Resolver;
use crate::upstream::request::tests::untrusted;
use crate::vitals::GatewayKey;
use http::{Method, Request};
use http_body_util::BodyExt;
use portolan_core::chance::spread;
use portolan_core::config::{Gateway, GatewayAddress, Service, ServiceParts, Upstream};
use portolan_core::geo::Point;
use portolan_core::id::Slot;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc};
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{sleep, sleep_until, timeout};

const MS: Duration = Duration::from_millis(1);

/// From one end of the way to the other.
const WAY: Duration = Duration::from_millis(20);

/// A gateway that closes idle connections.
#[derive(Debug)]
struct Closing {
    /// After a time between these, by chance.
    after: (Duration, Duration),
    /// What it says of it.
    says: &'static str,
    rolls: AtomicU64,
    /// How it was asked, for each request.
    requests: Mutex<Vec<String>>,
}

impl Closing {
    fn new(from: Duration, to: Duration, says: &'static str) -> Arc<Self> {
        Arc::new(Self {
            after: (from, to),
            says,
            rolls: AtomicU64::new(0),
            requests: Mutex::default(),
        })
    }

    fn idle_timeout(&self) -> Duration {
        let (from, to) = self.after;
        between(from, to, self.rolls.fetch_add(1, Relaxed))
    }

    async fn serve(self: Arc<Self>, mut stream: DuplexStream) {
        let mut read = Vec::new();
        loop {
            let head = async {
                while !read.ends_with(b"\r\n\r\n") {
                    if stream.read_buf(&mut read).await.unwrap_or(0) == 0 {
                        return false;
                    }
                }
                true
            };
            if timeout(self.idle_timeout(), head).await != Ok(true) {
                return;
            }
            let request = String::from_utf8(std::mem::take(&mut read)).expect("text");
            self.requests.lock().expect("a list").push(request);
            let answer = format!("HTTP/1.1 200 OK\r\n{}content-length: 2\r\n\r\nok", self.says);
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

/// A gateway behind a way.
#[derive(Debug)]
struct Far(Arc<Closing>);

impl Connect for Far {
    fn connect(&self, _: SocketAddr) -> Connecting<'_> {
        Box::pin(async move {
            sleep(2 * WAY).await;
            let (ours, near) = tokio::io::duplex(64 * 1024);
            let (far, theirs) = tokio::io::duplex(64 * 1024);
            tokio::spawn(Arc::clone(&self.0).serve(theirs));
            let ((from_us, to_us), (from_them, to_them)) = (tokio::io::split(near), tokio::io::split(far));
            tokio::spawn(carry(from_us, to_them));
            tokio::spawn(carry(from_them, to_us));
            Ok(Transport::Memory(ours))
        })
    }
}

/// Carries bytes, and their end, to the other side, where they arrive later.
async fn carry(mut from: ReadHalf<DuplexStream>, mut to: WriteHalf<DuplexStream>) {
    let (sent, mut under_way) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some((at, bytes)) = under_way.recv().await {
            sleep_until(at).await;
            let bytes: Vec<u8> = bytes;
            if bytes.is_empty() || to.write_all(&bytes).await.is_err() {
                let _ = to.shutdown().await;
                return;
            }
        }
    });
    loop {
        let mut bytes = Vec::new();
        let count = from.read_buf(&mut bytes).await.unwrap_or(0);
        if sent.send((tokio::time::Instant::now() + WAY, bytes)).is_err() || count == 0 {
            return;
        }
    }
}

fn between(from: Duration, to: Duration, roll: u64) -> Duration {
    from + (to - from).mul_f64(spread(roll, 0) as f64 / u64::MAX as f64)
}

/// One worker before one gateway.
struct Scene {
    gateway: Arc<Closing>,
    target: Arc<GatewayTarget>,
    connections: Rc<Connections>,
}

impl Scene {
    fn new(gateway: Arc<Closing>, upstream: Upstream) -> Rc<Self> {
        let configured = Gateway::new(
            "westeurope".into(),
            Point::new(0.0, 0.0).expect("on the globe"),
            GatewayAddress::http(Ipv4Addr::LOCALHOST, 80),
        );
        let parts = ServiceParts {
            upstream,
            ..ServiceParts::new("shop", vec![configured.clone()])
        };
        let service = Service::new(parts).expect("a service");
        let key = GatewayKey::of(&service.name, &configured);
        let vitals = Arc::new(Vitals::new(key, 1, Arc::new(Notify::new())));
        let resolver = Resolver::system(Handle::current());
        Rc::new(Self {
            target: GatewayTarget::new(&configured, &service, None, vitals, &resolver),
            connections: Connections::new(0, Dialer::new(Arc::new(Far(Arc::clone(&gateway))))),
            gateway,
        })
    }

    /// Whether a request is answered.
    async fn send(&self, method: Method) -> Result<(), AttemptError> {
        let parts = Request::builder()
            .method(method.clone())
            .uri("/")
            .header("host", "a")
            .body(());
        let parts = parts.expect("a request").into_parts().0;
        let body = ReplayBody::Empty;
        let outbound = Outbound::new(&parts, "a", untrusted(), body.framing(&parts.headers));
        let (progress, now) = (Progress::default(), clock::now());
        let terms = Terms {
            began: now,
            deadline: now + Duration::from_secs(15),
            connect: Duration::from_secs(1),
            idle: Duration::from_secs(60),
            may_repeat: method != Method::POST,
            progress: AttemptProgress {
                slot: Slot(0),
                all: &progress,
            },
        };
        let pool = self.connections.pool(&self.target);
        let response = pool.exchange(&self.target, &outbound, &body, terms).await?;
        response.into_body().collect().await.expect("a whole body");
        Ok(())
    }

    /// Several clients each send a `GET`, and a `POST` a little before or after the gateway gives up their connections.
    /// Returns how many `POST`s were lost.
    async fn round(self: &Rc<Self>, clients: u64, seed: u64) -> usize {
        let (from, to) = self.gateway.after;
        let mut running = JoinSet::new();
        for client in 0..clients {
            let scene = Rc::clone(self);
            running.spawn_local(async move {
                scene.send(Method::GET).await.expect("a GET is never lost");
                sleep(between(from - 150 * MS, to + 150 * MS, seed ^ client)).await;
                scene.send(Method::POST).await.is_err()
            });
        }
        running.join_all().await.into_iter().filter(|is_lost| *is_lost).count()
    }

    fn opened(&self) -> u64 {
        self.target.vitals.endpoints.opened_connections()
    }
}

/// Runs a test on a worker's kind of runtime.
async fn on_a_worker(test: impl Future<Output = ()>) {
    LocalSet::new().run_until(test).await;
}

/// The servers that were measured, by the time after which they close idle connections; some with jitter, which announce a
/// time or do not.
#[tokio::test(start_paused = true)]
async fn no_post_of_a_thousand_is_lost_around_the_idle_timeouts_of_gateways() {
    on_a_worker(async {
        let servers = [
            ("Starman", 1_000, 1_000, ""),
            ("gunicorn", 2_000, 2_000, ""),
            ("actix-web", 4_600, 4_600, ""),
            ("uvicorn, Hypercorn, Varnish", 5_000, 5_040, ""),
            ("Apache", 5_030, 5_030, "keep-alive: timeout=5, max=100\r\n"),
            ("lighttpd", 5_000, 6_000, ""),
            ("Node", 6_000, 6_030, "Keep-Alive: timeout=5\r\n"),
            ("h2o, HAProxy, cheroot", 10_000, 10_000, ""),
            ("Puma, Tomcat", 20_000, 20_300, "keep-alive: timeout=20\r\n"),
            ("Granian, thin, WEBrick", 30_000, 30_600, ""),
            ("Twisted, Daphne", 60_000, 60_000, ""),
            ("much jitter", 4_000, 8_000, ""),
            ("a middlebox before Fastify", 3_000, 3_100, "keep-alive: timeout=72\r\n"),
        ];
        for (server, from, to, says) in servers {
            let scene = Scene::new(Closing::new(from * MS, to * MS, says), Upstream::default());
            let seed = u64::from(from ^ to);
            let mut lost = scene.round(10, seed).await;
            let first = lost;
            for turn in 1..=33 {
                lost += scene.round(30, seed + 1_000 * turn).await;
            }
            let stale = scene.target.vitals.stale_connections();
            println!(
                "{server}: {first} of the first 10 and {} of 990 lost; {stale:?} stale",
                lost - first
            );
            assert_eq!(lost, first, "{server}, seed {seed}");
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_post_uses_a_connection_that_is_well_inside_the_limit() {
    on_a_worker(async {
        let scene = Scene::new(Closing::new(5_000 * MS, 5_000 * MS, ""), Upstream::default());
        scene.send(Method::GET).await.expect("answered");
        // Nothing is known yet but that connections are not closed at once.
        sleep(100 * MS).await;
        scene.send(Method::POST).await.expect("answered");
        assert_eq!(scene.opened(), 1);
        sleep(3_000 * MS).await;
        scene.send(Method::POST).await.expect("answered");
        assert_eq!(scene.opened(), 2, "it was not seen idle for longer");
        // Both end. It takes some more to be sure that the gateway never closes them much earlier.
        for _ in 0..30 {
            sleep(10_000 * MS).await;
            scene.send(Method::GET).await.expect("answered");
        }
        let opened = scene.opened();
        for _ in 0..20 {
            sleep(4_300 * MS).await;
            scene.send(Method::POST).await.expect("answered");
        }
        assert_eq!(scene.opened(), opened);
        let limit = scene.target.vitals.keep_alive.limit();
        // Noticed when it happens, a way later; the age counts from when the response was here.
        assert!(
            limit.closed.is_some_and(|age| age.abs_diff(4_900 * MS) <= 20 * MS),
            "{limit:?}"
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_announced_time_out_is_asked_for_and_honoured() {
    on_a_worker(async {
        let gateway = Closing::new(5_000 * MS, 5_000 * MS, "keep-alive: max=100, Timeout=4\r\n");
        let scene = Scene::new(gateway, Upstream::default());
        scene.send(Method::GET).await.expect("answered");
        sleep(3_400 * MS).await;
        scene.send(Method::POST).await.expect("answered");
        assert_eq!(scene.opened(), 1);
        sleep(3_800 * MS).await;
        scene.send(Method::POST).await.expect("answered");
        assert_eq!(scene.opened(), 2);
        let requests = scene.gateway.requests.lock().expect("a list");
        let asks: Vec<_> = requests
            .iter()
            .map(|it| it.contains("\r\nconnection: keep-alive\r\n"))
            .collect();
        assert_eq!(asks, [true, false, true], "the first on each connection");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn reuse_is_as_configured() {
    on_a_worker(async {
        for (reuse, opened) in [(Reuse::Always, 1), (Reuse::Safe, 3), (Reuse::Never, 5)] {
            let upstream = Upstream {
                reuse,
                ..Upstream::default()
            };
            let scene = Scene::new(Closing::new(5_000 * MS, 5_000 * MS, ""), upstream);
            for method in [Method::GET, Method::POST, Method::GET, Method::POST, Method::GET] {
                scene.send(method).await.expect("answered");
            }
            assert_eq!(scene.opened(), opened, "{reuse:?}");
            let requests = scene.gateway.requests.lock().expect("a list");
            let closes = requests.iter().all(|it| it.contains("\r\nconnection: close\r\n"));
            assert_eq!(closes, reuse == Reuse::Never);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn connections_end_at_their_age_and_their_number_of_requests() {
    on_a_worker(async {
        let upstream = Upstream {
            max_connection_age: Some(10_000 * MS),
            ..Upstream::default()
        };
        let scene = Scene::new(Closing::new(50_000 * MS, 50_000 * MS, ""), upstream);
        for _ in 0..1_000 {
            scene.send(Method::GET).await.expect("answered");
            sleep(60 * MS).await;
        }
        // 100 s, in pieces of 8 to 10 s.
        assert!((10..=13).contains(&scene.opened()), "{}", scene.opened());

        let upstream = Upstream {
            max_requests_per_connection: Some(50),
            ..Upstream::default()
        };
        let scene = Scene::new(Closing::new(50_000 * MS, 50_000 * MS, ""), upstream);
        for _ in 0..1_000 {
            scene.send(Method::GET).await.expect("answered");
        }
        // In pieces of 40 to 50.
        assert!((20..=25).contains(&scene.opened()), "{}", scene.opened());

        let upstream = Upstream {
            idle_timeout: 3_000 * MS,
            ..Upstream::default()
        };
        let scene = Scene::new(Closing::new(50_000 * MS, 50_000 * MS, ""), upstream);
        for idle in [1_500, 4_500, 0] {
            scene.send(Method::GET).await.expect("answered");
            sleep(idle * MS).await;
        }
        assert_eq!(scene.opened(), 2);
    })
    .await;
}
