//! Gateways that send frames as a test says, right or wrong.

use super::client::{read, request};
use super::{LISTENER, SERVICE, Scene, WEST, until};
use bytes::Bytes;
use http::StatusCode;
use portolan::vitals::UpstreamError;
use portolan_tests::Setup;
use portolan_tests::raw::Wire;
use portolan_tests::raw::http2::{Frame, Frames, block, frame, kind};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const ALL: u8 = kind::END_HEADERS | kind::END_STREAM;

/// A gateway that answers the head of each request with what a script makes of it. It notes every frame that comes.
struct Scripted {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    came: Arc<Mutex<Vec<Frame>>>,
}

/// The head of a request that came, and where to answer.
struct Came<'a> {
    /// Its connection, from 0.
    connection: usize,
    stream: u32,
    frames: &'a mut Frames,
    /// Whether the connection is closed then.
    is_over: bool,
}

impl Came<'_> {
    fn head(&mut self, flags: u8, fields: &[(&str, &[u8])]) -> bool {
        let head = frame(kind::HEADERS, flags, self.stream, &block(fields));
        self.frames.write(head)
    }

    fn ok(&mut self) {
        self.head(ALL, &[(":status", b"200")]);
    }
}

impl Scripted {
    fn start(settings: &'static [u8], script: impl Fn(&mut Came<'_>) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let started = Self {
            address: listener.local_addr().expect("an address"),
            connections: Arc::default(),
            came: Arc::default(),
        };
        let (connections, came, script) = (
            Arc::clone(&started.connections),
            Arc::clone(&started.came),
            Arc::new(script),
        );
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let connection = connections.fetch_add(1, Relaxed);
                let (came, script) = (Arc::clone(&came), Arc::clone(&script));
                std::thread::spawn(move || {
                    let Some(mut frames) = Frames::accepted(stream) else {
                        return;
                    };
                    frames.write(frame(kind::SETTINGS, 0, 0, settings));
                    while let Some(next) = frames.read() {
                        frames.acknowledge(&next);
                        came.lock().expect("a list").push(next.clone());
                        if next.kind == kind::HEADERS {
                            let mut head = Came {
                                connection,
                                stream: next.stream,
                                frames: &mut frames,
                                is_over: false,
                            };
                            script(&mut head);
                            if head.is_over {
                                frames.close();
                            }
                        }
                    }
                });
            }
        });
        started
    }

    fn count(&self, kind: u8) -> usize {
        let came = self.came.lock().expect("a list");
        came.iter()
            .filter(|frame| frame.kind == kind && (kind != kind::PING || frame.flags & kind::ACK == 0))
            .count()
    }

    async fn scene(&self, service: &str) -> Scene {
        let setup = Setup::regions(&[]).service(service).listeners(LISTENER);
        Scene::start(setup.other(WEST, self.address)).await
    }
}

/// What is wrong with one response, and whether the connection survives it.
#[tokio::test]
async fn malformed_responses_are_errors_of_their_own_kind() {
    type Fields = &'static [(&'static str, &'static [u8])];
    let wrong: [(Fields, bool); 7] = [
        (&[(":status", b"200"), ("X-Upper", b"1")], false),
        (&[(":status", b"200"), ("connection", b"close")], true),
        (&[(":status", b"200"), ("transfer-encoding", b"chunked")], true),
        (&[(":status", b"200"), ("content-length", b"5")], true),
        (&[(":status", b"200"), ("content-length", b"five")], true),
        (&[("x-own", b"1")], true),
        (&[(":status", b"101")], true),
    ];
    for (fields, survives) in wrong {
        let gateway = Scripted::start(&[], move |came| match (came.connection, came.stream) {
            (0, 1) => drop(came.head(ALL, fields)),
            _ => came.ok(),
        });
        let scene = gateway.scene(SERVICE).await;
        let answer = scene.client.get("/").await.expect("an answer");
        assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{fields:?}");
        let errors = scene.world.vitals(WEST).errors();
        assert_eq!(errors[UpstreamError::Malformed as usize], 1, "{fields:?}");
        assert_eq!(
            scene.client.get("/").await.expect("an answer").status,
            StatusCode::OK,
            "{fields:?}"
        );
        let connections = gateway.connections.load(Relaxed);
        assert_eq!(connections, if survives { 1 } else { 2 }, "{fields:?}");
        let events = scene
            .metric("portolan_upstream_http2_events_total", "protocol_error")
            .await;
        assert_eq!(events, u64::from(!survives), "{fields:?}");
    }
}

/// A stream above the last one of a GOAWAY was not processed.
#[tokio::test]
async fn streams_above_the_last_of_a_goaway_are_sent_again() {
    let posts = Arc::new(AtomicUsize::new(0));
    let own = Arc::clone(&posts);
    let gateway = Scripted::start(&[], move |came| match (came.connection, came.stream) {
        (0, 3) => {
            let last: [u8; 4] = 1_u32.to_be_bytes();
            came.frames.write(frame(kind::GOAWAY, 0, 0, &[last, [0; 4]].concat()));
        }
        (0, 1) => came.ok(),
        _ => {
            own.fetch_add(1, Relaxed);
            came.ok();
        }
    });
    let scene = gateway.scene(SERVICE).await;
    scene.client.get("/").await.expect("an answer");
    let answer = scene.client.post("/").await.expect("an answer");
    assert_eq!((answer.status, posts.load(Relaxed)), (StatusCode::OK, 1));
    assert_eq!(gateway.connections.load(Relaxed), 2);
    assert_eq!(scene.world.vitals(WEST).errors().iter().sum::<u64>(), 0);
    assert_eq!(scene.metric("portolan_upstream_http2_events_total", "go_away").await, 1);
}

/// GOAWAY and the end come together, as from Node.
#[tokio::test]
async fn a_goaway_with_the_end_of_its_connection_is_seen() {
    let gateway = Scripted::start(&[], |came| {
        let head = frame(kind::HEADERS, ALL, came.stream, &block(&[(":status", b"200")]));
        let last = came.stream.to_be_bytes();
        let away = frame(kind::GOAWAY, 0, 0, &[last, [0; 4]].concat());
        came.frames.write([head, away].concat());
        came.is_over = true;
    });
    let scene = gateway.scene(SERVICE).await;
    for number in 1..=3 {
        let answer = scene.client.post("/").await.expect("an answer");
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(gateway.connections.load(Relaxed), number);
    }
    let seen = async {
        while scene.metric("portolan_upstream_http2_events_total", "go_away").await < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(super::TIMEOUT, seen).await.expect("all are seen");
}

/// A connection that ends is replaced when a request needs another, not by the one look of a second at where connections lead.
#[tokio::test]
async fn a_connection_that_ends_is_not_replaced_before_a_request_needs_another() {
    let gateway = Scripted::start(&[], |came| {
        let last = came.stream.to_be_bytes();
        came.frames.write(frame(kind::GOAWAY, 0, 0, &[last, [0; 4]].concat()));
        // Two of those looks.
        std::thread::sleep(Duration::from_millis(2200));
        came.ok();
    });
    let scene = gateway.scene(SERVICE).await;
    for number in 1..=2 {
        let answer = scene.client.get("/").await.expect("an answer");
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(gateway.connections.load(Relaxed), number);
    }
}

/// Servers count PING frames: a silent connection is asked once.
#[tokio::test]
async fn a_silent_connection_is_asked_once() {
    let gateway = Scripted::start(&[], |came| {
        if came.stream == 1 {
            came.ok();
        }
    });
    let scene = gateway.scene(SERVICE).await;
    scene.client.get("/").await.expect("an answer");
    let client = scene.client.clone();
    let waiting = tokio::spawn(async move { client.get("/").await });
    until("it is asked", || gateway.count(kind::PING) == 1).await;
    // For as long as it took, and again.
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(gateway.count(kind::PING), 1);
    assert_eq!(
        scene
            .metric("portolan_upstream_http2_events_total", "ping_timeout")
            .await,
        0
    );
    waiting.abort();
}

/// A gateway that allows no streams for now is not asked for more connections.
#[tokio::test]
async fn a_limit_of_no_streams_is_waited_for() {
    const NONE: &[u8] = &[0, 3, 0, 0, 0, 0];
    let gateway = Scripted::start(NONE, |came| came.ok());
    let service = format!("{SERVICE}\ntimeouts: {{ request: 500ms }}");
    let scene = gateway.scene(&service).await;
    for _ in 0..3 {
        let answer = scene.client.get("/").await.expect("an answer");
        assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT);
    }
    assert_eq!(
        (gateway.connections.load(Relaxed), gateway.count(kind::HEADERS)),
        (1, 0)
    );
}

#[tokio::test]
async fn interim_responses_pass_where_they_are_wanted() {
    let gateway = Scripted::start(&[], |came| {
        came.head(kind::END_HEADERS, &[(":status", b"100")]);
        came.head(kind::END_HEADERS, &[(":status", b"103"), ("link", b"</a>")]);
        came.ok();
    });
    for (passes, expected) in [
        (true, "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n"),
        (false, "HTTP/1.1 200 OK\r\n"),
    ] {
        let scene = gateway
            .scene(&format!("{SERVICE}\npass_interim_responses: {passes}"))
            .await;
        let proxy = scene.world.proxy();
        let first = tokio::task::spawn_blocking(move || {
            let mut client = Wire::open(proxy);
            client.write("GET / HTTP/1.1\r\nhost: shop.example\r\n\r\n");
            client.head().expect("a head")
        });
        let first = first.await.expect("no panic");
        assert!(first.starts_with(expected), "{first}");
    }
}

/// An answer before the end of an upload is the answer.
#[tokio::test]
async fn an_early_answer_ends_an_upload() {
    let gateway = Scripted::start(&[], |came| {
        came.head(ALL, &[(":status", b"413")]);
        let no_error = 0_u32.to_be_bytes();
        came.frames.write(frame(kind::RST_STREAM, 0, came.stream, &no_error));
    });
    let scene = gateway.scene(SERVICE).await;
    let (response, mut upload) = scene.client.begin(request("POST", "/"), false).await;
    upload
        .send_data(Bytes::from(vec![b'x'; 32 * 1024]), false)
        .expect("sent");
    let answer = read(response.await.expect("a response")).await.expect("whole");
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(gateway.connections.load(Relaxed), 1);
}
