//! Clients that attack: each costs its own connection, and no other.

use super::{Client, Scene, request};
use portolan_tests::raw::Reply;
use portolan_tests::raw::http2::{Frames, block, frame, get, kind};
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// More than any limit.
const MANY: u32 = 20_000;

/// Sends rounds until the proxy ends the connection, while a neighbour goes on.
async fn attack(scene: &Scene, round: impl Fn(u32) -> Vec<u8> + Send + 'static) {
    let mut neighbour = scene.client().await;
    assert_eq!(neighbour.get("/").await.expect("an answer").status, 200);
    let address = scene.world.proxy();
    let attacker = tokio::task::spawn_blocking(move || {
        let mut client = Frames::open(address, &[]);
        // The proxy reads on for a while, so that its client sees why.
        let _ended = (0..MANY).any(|number| !client.write(round(number)));
        client.end();
    });
    while !attacker.is_finished() {
        assert_eq!(neighbour.get("/").await.expect("a neighbour goes on").status, 200);
    }
    attacker.await.expect("no panic");
}

fn reset(stream: u32) -> Vec<u8> {
    frame(kind::RST_STREAM, 0, stream, &8_u32.to_be_bytes())
}

/// CVE-2023-44487.
#[tokio::test]
async fn streams_that_are_reset_at_once_end_their_connection() {
    let scene = Scene::new();
    attack(&scene, |number| {
        let round = (0..50).flat_map(|index| {
            let stream = 2 * (50 * number + index) + 1;
            [get(stream, "/attack"), reset(stream)].concat()
        });
        round.collect()
    })
    .await;
    scene.until_closed_for("flood").await;
    let reached = scene.gateway.seen();
    let reached = reached
        .iter()
        .filter(|seen| seen.head.starts_with("GET /attack"))
        .count();
    assert!(reached < 500, "{reached} requests reached the gateway");
}

/// The same, slowly enough that every stream is accepted first.
#[tokio::test]
async fn streams_that_are_reset_after_they_began_end_their_connection() {
    let scene = Scene::new();
    scene.gateway.replies([
        Reply::Say(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_vec()),
        Reply::Hang,
    ]);
    let mut neighbour = scene.client().await;
    assert_eq!(neighbour.get("/").await.expect("an answer").status, 200);
    let address = scene.world.proxy();
    let attacker = tokio::task::spawn_blocking(move || {
        let mut client = Frames::open(address, &[]);
        let begun = (0..MANY).find(|number| {
            let stream = 2 * number + 1;
            let is_open = client.write(get(stream, "/"));
            // The answer to a ping tells that the stream was looked at.
            client.write(frame(kind::PING, 0, 0, &stream.to_be_bytes().repeat(2)));
            let ended = loop {
                match client.read() {
                    None => break true,
                    Some(frame) if frame.kind == kind::PING => break false,
                    Some(frame) => client.acknowledge(&frame),
                }
            };
            ended || !is_open || !client.write(reset(stream))
        });
        begun.unwrap_or(MANY)
    });
    let begun = attacker.await.expect("no panic");
    assert!(begun < 3000, "{begun} streams");
    scene.until_closed_for("control_frame_flood").await;
}

/// CVE-2024-27316.
#[tokio::test]
async fn an_endless_head_ends_its_connection() {
    let scene = Scene::new();
    attack(&scene, |number| match number {
        0 => frame(kind::HEADERS, kind::END_STREAM, 1, &[0x82]),
        _ => frame(kind::CONTINUATION, 0, 1, &block(&[("x-long", &[b'a'; 1000])])),
    })
    .await;
    scene.until_closed_for("flood").await;
}

/// CVE-2025-8671: frames that are errors of their stream make the server reset it.
#[tokio::test]
async fn provoked_resets_end_their_connection() {
    let scene = Scene::new();
    scene.gateway.says("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    attack(&scene, |number| {
        let round = (0..20).flat_map(|index| {
            let stream = 2 * (20 * number + index) + 1;
            [
                get(stream, "/"),
                // Beyond the largest window.
                frame(kind::WINDOW_UPDATE, 0, stream, &[0x7f, 0xff, 0xff, 0xff]),
            ]
            .concat()
        });
        round.collect()
    })
    .await;
    // Whichever limit is reached first.
    let mut counts = Vec::new();
    for reason in ["flood", "control_frame_flood", "protocol"] {
        let label = format!("reason=\"{reason}\"");
        counts.push(scene.metric("portolan_downstream_http2_errors_total", &label).await);
    }
    assert!(counts == [1, 0, 0] || counts == [0, 1, 0], "{counts:?}");
}

#[tokio::test]
async fn control_frames_alone_end_their_connection() {
    let frames = [
        ("PING", frame(kind::PING, 0, 0, &[7; 8])),
        ("SETTINGS", frame(kind::SETTINGS, 0, 0, &[])),
        ("PRIORITY", frame(kind::PRIORITY, 0, 1, &[0, 0, 0, 3, 16])),
        ("WINDOW_UPDATE", frame(kind::WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes())),
        ("an unknown one", frame(0xbe, 0, 0, &[7; 8])),
    ];
    for (name, bytes) in frames {
        let scene = Scene::new();
        attack(&scene, move |_| bytes.repeat(100)).await;
        println!("{name}");
        scene.until_closed_for("control_frame_flood").await;
    }
}

#[tokio::test]
async fn data_without_data_ends_its_connection() {
    let scene = Scene::new();
    scene
        .gateway
        .replies([Reply::Say(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_vec())]);
    let head = block(&[
        (":method", b"POST"),
        (":scheme", b"http"),
        (":authority", b"a"),
        (":path", b"/"),
    ]);
    attack(&scene, move |number| match number {
        0 => frame(kind::HEADERS, kind::END_HEADERS, 1, &head),
        _ => frame(kind::DATA, 0, 1, &[]).repeat(100),
    })
    .await;
    scene.until_closed_for("flood").await;
}

/// A head over the limit is answered; the connection goes on.
#[tokio::test]
async fn a_large_head_costs_its_stream() {
    let scene = Scene::new();
    let mut client = scene.client().await;
    let long = "a".repeat(66_000);
    let answer = client.ask(request("GET", "/").header("x-long", long), None).await;
    assert_eq!(answer.expect("an answer").status, 431);
    let many = (0..300).fold(request("GET", "/"), |get, number| {
        get.header(format!("x-{number}"), "1")
    });
    assert_eq!(client.ask(many, None).await.expect("an answer").status, 431);
    assert_eq!(client.get("/").await.expect("the connection goes on").status, 200);
    assert_eq!(scene.gateway.seen().len(), 1);
}

/// A gateway that answers with as much as is taken, and counts it.
fn endless(taken: Arc<AtomicU64>, is_over: Arc<AtomicBool>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let (taken, is_over) = (Arc::clone(&taken), Arc::clone(&is_over));
            std::thread::spawn(move || {
                let chunk = [b'z'; 64 * 1024];
                stream.set_write_timeout(Some(Duration::from_millis(100)))?;
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n")?;
                while !is_over.load(Relaxed) {
                    match stream.write(&chunk) {
                        Ok(count) => taken.fetch_add(count as u64, Relaxed),
                        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => 0,
                        Err(error) => return Err(error),
                    };
                }
                Ok(())
            });
        }
    });
    address
}

/// The memory of this process.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("a file of the system");
    let pages: u64 = statm.split(' ').nth(1).expect("a number").parse().expect("a number");
    pages * 4096
}

/// Alone in a process, whose memory is looked at.
#[test]
fn responses_that_nobody_takes_are_not_kept() {
    let output = Command::new(std::env::current_exe().expect("this program has a file"))
        .args(["--exact", "http2::floods::many_streams_take_nothing", "--ignored"])
        .output()
        .expect("this program runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

/// Clients that open many streams and take nothing of the responses, or one byte of each.
#[tokio::test]
#[ignore = "it is run by the test above"]
async fn many_streams_take_nothing() {
    const CONNECTIONS: usize = 4;
    const STREAMS: u32 = 100;
    for window in [0_u32, 1] {
        let (taken, is_over) = (Arc::default(), Arc::default());
        let address = endless(Arc::clone(&taken), Arc::clone(&is_over));
        let world = portolan_tests::Setup::regions(&[])
            .other("westeurope", address)
            .service(super::PLAIN)
            .listeners(super::LISTENER)
            .start();
        let proxy = world.proxy();
        let before = resident();
        let clients: Vec<Frames> = (0..CONNECTIONS)
            .map(|_| {
                // SETTINGS_INITIAL_WINDOW_SIZE.
                let mut client = Frames::open(proxy, &[(4, window)]);
                (0..STREAMS).for_each(|number| assert!(client.write(get(2 * number + 1, "/"))));
                client
            })
            .collect();
        let mut last = u64::MAX;
        while last != taken.load(Relaxed) {
            last = taken.load(Relaxed);
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        let grown = resident().saturating_sub(before);
        println!("window {window}: {grown} bytes, {last} taken");
        let bound = (CONNECTIONS as u64) * u64::from(STREAMS) * 192 * 1024;
        assert!(
            grown < bound,
            "{grown} bytes for {} streams",
            CONNECTIONS as u32 * STREAMS
        );
        let neighbour = Client::connect(proxy).await;
        let get = request("GET", "/");
        let asked = async {
            let mut requests = neighbour.requests.clone().ready().await.expect("open");
            let (answer, _) = requests
                .send_request(get.body(()).expect("a request"), true)
                .expect("sent");
            let mut body = answer.await.expect("an answer").into_body();
            let mut count = 0;
            while count < 4 << 20 {
                let data = body.data().await.expect("more").expect("data");
                body.flow_control().release_capacity(data.len()).expect("released");
                count += data.len();
            }
        };
        tokio::time::timeout(super::TIMEOUT, asked)
            .await
            .expect("a neighbour goes on");
        neighbour.connection.abort();
        is_over.store(true, Relaxed);
        drop(clients);
    }
}
