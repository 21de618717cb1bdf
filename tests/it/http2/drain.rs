//! How connections end: idle ones, and at a drain.

use super::{Scene, until};
use portolan_tests::raw::Reply;
use portolan_tests::raw::http2::{Frames, Outcome, PREFACE, frame, get, kind};
use std::time::{Duration, Instant};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// Whether the program has no connection left.
async fn until_none_is_open(scene: &Scene) {
    let reached = async {
        while scene.metric("portolan_downstream_connections{", "web").await > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(super::TIMEOUT, reached).await.expect("closed");
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_its_time() {
    let scene = Scene::made(|setup| setup.listeners(&format!("{}\n  keep_alive_timeout: 1s", super::LISTENER)));
    let mut client = scene.client().await;
    assert_eq!(client.get("/").await.expect("an answer").status, 200);
    let begun = Instant::now();
    client.end().await.expect("a polite end");
    assert!(begun.elapsed() >= Duration::from_millis(900), "{:?}", begun.elapsed());
    // Pings do not count, and a connection that never asks for anything is idle as well.
    let mut pinging = Frames::open(scene.world.proxy(), &[]);
    let (ended, ()) = tokio::join!(
        tokio::task::spawn_blocking(move || {
            while pinging.write(frame(kind::PING, 0, 0, b"12345678")) {
                std::thread::sleep(Duration::from_millis(100));
            }
        }),
        async {}
    );
    ended.expect("no panic");
    until_none_is_open(&scene).await;
}

#[tokio::test]
async fn a_request_that_runs_keeps_its_connection_and_is_answered_in_a_drain() {
    let scene = Scene::made(|setup| setup.with("drain_time: 20s"));
    scene.gateway.replies([Reply::Hold(OK.to_vec())]);
    let mut idle = scene.client().await;
    let client = scene.client().await;
    let mut requests = client.requests.clone().ready().await.expect("open");
    let request = |path| super::request("GET", path).body(()).expect("a request");
    let (first, _) = requests.send_request(request("/first"), true).expect("sent");
    until("the gateway has it", || !scene.gateway.seen().is_empty()).await;
    scene.world.app().begin_drain();
    let begun = Instant::now();
    idle.connection = {
        let connection = std::mem::replace(&mut idle.connection, tokio::spawn(async { Ok(()) }));
        tokio::time::timeout(Duration::from_secs(5), connection)
            .await
            .expect("the idle one is closed")
            .expect("no panic")
            .expect("a polite end");
        tokio::spawn(async { Ok(()) })
    };
    assert!(
        begun.elapsed() >= Duration::from_millis(200),
        "it has a little time for a request"
    );
    // No GOAWAY yet: some clients would give up the first one.
    let mut requests = client.requests.clone().ready().await.expect("no GOAWAY");
    let (second, _) = requests.send_request(request("/second"), true).expect("sent");
    until("the gateway has it", || !scene.gateway.seen().is_empty()).await;
    scene.gateway.release();
    for answer in [first, second] {
        let answer = super::read(answer.await.expect("an answer")).await.expect("all of it");
        assert_eq!(answer.body, b"ok");
    }
    drop(requests);
    let ended = Instant::now();
    client.end().await.expect("a polite end");
    assert!(
        ended.elapsed() < Duration::from_secs(3),
        "closed when the last one is answered"
    );
}

/// A connection that is never idle is told half the way.
#[tokio::test]
async fn a_busy_connection_is_told_late_to_go_away() {
    let scene = Scene::made(|setup| setup.with("drain_time: 4s"));
    scene.gateway.replies([Reply::Hold(OK.to_vec())]);
    let address = scene.world.proxy();
    let mut client = Frames::open(address, &[]);
    client.write(get(1, "/"));
    until("the gateway has it", || !scene.gateway.seen().is_empty()).await;
    scene.world.app().begin_drain();
    let begun = Instant::now();
    let told = tokio::task::spawn_blocking(move || {
        loop {
            let frame = client.read().expect("it goes on");
            client.acknowledge(&frame);
            if frame.kind == kind::GOAWAY {
                return (client, begun.elapsed());
            }
        }
    });
    let (mut client, told) = told.await.expect("no panic");
    assert!(
        told >= Duration::from_millis(1900) && told < Duration::from_millis(3500),
        "{told:?}"
    );
    // What came before it is answered.
    client.write(get(3, "/late"));
    scene.gateway.release();
    let outcomes = tokio::task::spawn_blocking(move || {
        let mut statuses = Vec::new();
        while let Some(frame) = client.read() {
            client.acknowledge(&frame);
            if frame.kind == kind::HEADERS {
                statuses.push((frame.stream, frame.status()));
            }
        }
        statuses
    });
    let outcomes = outcomes.await.expect("no panic");
    assert!(outcomes.contains(&(1, 200)), "{outcomes:?}");
}

#[tokio::test]
async fn a_client_has_its_time_to_begin_and_no_more() {
    let scene = Scene::new();
    let begun = Instant::now();
    // Half a preface, and half a head. Both run at once: ten seconds each.
    let address = scene.world.proxy();
    let halves = [PREFACE[..20].to_vec(), {
        let mut open = [PREFACE, &frame(kind::SETTINGS, 0, 0, &[])].concat();
        open.extend(frame(kind::HEADERS, kind::END_STREAM, 1, &[0x82]));
        open
    }];
    let ends = halves.map(|bytes| {
        tokio::task::spawn_blocking(move || {
            let mut client = Frames::connect(address);
            client.write(bytes);
            // Nothing is acknowledged: that would go into the middle.
            while client.read().is_some() {}
        })
    });
    for end in ends {
        end.await.expect("no panic");
        assert!(begun.elapsed() > Duration::from_secs(8), "{:?}", begun.elapsed());
    }
    let late = scene.metric("portolan_rejected_requests_total", "head_timeout").await;
    assert_eq!(late, 1, "the half head");
}

#[tokio::test]
async fn a_whole_exchange_frame_by_frame() {
    let scene = Scene::new();
    let mut client = Frames::open(scene.world.proxy(), &[]);
    client.write(get(1, "/"));
    let outcome = tokio::task::spawn_blocking(move || client.outcome(1))
        .await
        .expect("no panic");
    assert_eq!(outcome, Outcome::Status(200));
}
