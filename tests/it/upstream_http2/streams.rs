//! Streams share connections: as many as the gateway allows, and none stops another.

use super::client::{read, request};
use super::gateway::{Gateway, Order, Settings};
use super::{SERVICE, Scene, WEST, until};
use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// A gateway that answers when it is allowed to.
async fn gated(max_streams: Option<u32>) -> (Gateway, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let own = Arc::clone(&gate);
    let settings = Settings {
        max_streams,
        ..Settings::default()
    };
    let gateway = Gateway::scripted(settings, move |came| {
        let gate = Arc::clone(&own);
        Box::pin(async move {
            gate.acquire().await.expect("a gate").forget();
            came.ok().await;
        })
    })
    .await;
    (gateway, gate)
}

/// Begins so many requests.
fn gets(scene: &Scene, count: usize) -> JoinSet<Vec<u8>> {
    let mut running = JoinSet::new();
    for number in 0..count {
        let client = scene.client.clone();
        running.spawn(async move { client.get(&format!("/{number}")).await.expect("an answer").body });
    }
    running
}

#[tokio::test]
async fn streams_are_spread_over_connections_at_the_gateways_limit() {
    for (limit, connections) in [(1, 20), (2, 10), (100, 1)] {
        let (gateway, gate) = gated(Some(limit)).await;
        let scene = Scene::of(&gateway).await;
        let running = gets(&scene, 20);
        until("all streams came", || gateway.came() == 20).await;
        assert_eq!(gateway.connections(), (connections, connections), "{limit}");
        assert!(gateway.most() <= limit as usize, "{limit}: {}", gateway.most());
        assert_eq!(scene.metric("portolan_upstream_http2_streams{", "").await, 20);
        assert_eq!(
            scene.metric("portolan_upstream_http2_connections{", "").await,
            connections as u64
        );
        gate.add_permits(20);
        assert!(running.join_all().await.iter().all(|body| body == b"ok"));
        // They are used again.
        gate.add_permits(20);
        gets(&scene, 20).join_all().await;
        assert_eq!(gateway.connections().0, connections, "{limit}");
    }
}

/// Requests that come while the first connection is opened wait for it.
#[tokio::test]
async fn a_burst_opens_one_connection() {
    let gateway = Gateway::start().await;
    let scene = Scene::of(&gateway).await;
    gets(&scene, 90).join_all().await;
    assert_eq!(gateway.connections(), (1, 1));
}

/// More than all connections may carry wait for their turn.
#[tokio::test]
async fn requests_beyond_the_bound_wait() {
    let (gateway, gate) = gated(Some(1)).await;
    let scene = Scene::of(&gateway).await;
    let running = gets(&scene, 100);
    until("as many as may be at a time", || gateway.came() == 64).await;
    assert_eq!(gateway.connections().1, 64);
    gate.add_permits(100);
    assert!(running.join_all().await.iter().all(|body| body == b"ok"));
    assert_eq!((gateway.came(), gateway.connections().0), (100, 64));
}

#[tokio::test]
async fn limits_of_a_connection_replace_it() {
    let gateway = Gateway::start().await;
    let service = SERVICE.replace("protocol: h2", "protocol: h2, max_requests_per_connection: 10");
    let scene = Scene::with(&service, &[(WEST, &gateway)]).await;
    for number in 0..30 {
        scene.client.get(&format!("/{number}")).await.expect("an answer");
    }
    // Ten, less up to a fifth by chance.
    let (accepted, _) = gateway.connections();
    assert!((3..=4).contains(&accepted), "{accepted}");
    until("those that are over are closed", || gateway.connections().1 <= 1).await;

    let gateway = Gateway::start().await;
    let service = SERVICE.replace("protocol: h2", "protocol: h2, reuse: never");
    let scene = Scene::with(&service, &[(WEST, &gateway)]).await;
    gets(&scene, 5).join_all().await;
    assert_eq!(gateway.connections().0, 5);
    until("all are closed", || gateway.connections().1 == 0).await;
    assert_eq!(gateway.most(), 1);

    let gateway = Gateway::start().await;
    let service = SERVICE.replace("protocol: h2", "protocol: h2, idle_timeout: 1s");
    let scene = Scene::with(&service, &[(WEST, &gateway)]).await;
    scene.client.get("/").await.expect("an answer");
    assert_eq!(gateway.connections().1, 1);
    until("it is closed when it was idle", || gateway.connections().1 == 0).await;
}

/// 3 MB each way at once, through windows of 64 KiB.
#[tokio::test]
async fn uploads_and_downloads_run_at_once_with_flow_control() {
    const ALL: usize = 3_000_000;
    let gateway = Gateway::scripted(Settings::default(), |mut came| {
        Box::pin(async move {
            let mut stream = came.answer.send_response(http::Response::new(()), false).expect("open");
            let body = came.request.body_mut();
            while let Some(data) = body.data().await {
                let mut data = data.expect("sent");
                body.flow_control().release_capacity(data.len()).expect("taken");
                while !data.is_empty() {
                    stream.reserve_capacity(data.len());
                    let room = std::future::poll_fn(|context| stream.poll_capacity(context)).await;
                    let room = room.expect("open").expect("open").min(data.len());
                    stream.send_data(data.split_to(room), false).expect("open");
                }
            }
            stream.send_data(Bytes::new(), true).expect("open");
        })
    })
    .await;
    let scene = Scene::of(&gateway).await;
    let (response, mut upload) = scene.client.begin(request("POST", "/"), false).await;
    let sending = tokio::spawn(async move {
        let mut left = ALL;
        while left > 0 {
            upload.reserve_capacity(left.min(64 * 1024));
            let room = std::future::poll_fn(|context| upload.poll_capacity(context)).await;
            let count = room.expect("open").expect("open").min(left);
            left -= count;
            upload.send_data(vec![b'x'; count].into(), left == 0).expect("open");
        }
    });
    let answer = read(response.await.expect("a response")).await.expect("whole");
    sending.await.expect("sent");
    assert_eq!(answer.body.len(), ALL);
}

/// Clients that do not read stop no others that share their connection.
#[tokio::test]
async fn clients_that_do_not_read_stop_no_others() {
    let gateway = Gateway::scripted(Settings::default(), |mut came| {
        Box::pin(async move {
            if came.path() != "/large" {
                return came.ok().await;
            }
            let mut stream = came.answer.send_response(http::Response::new(()), false).expect("open");
            loop {
                stream.reserve_capacity(64 * 1024);
                let room = std::future::poll_fn(|context| stream.poll_capacity(context)).await;
                let Some(Ok(room)) = room else { return };
                let _ = stream.send_data(vec![b'x'; room].into(), false);
            }
        })
    })
    .await;
    let scene = Scene::of(&gateway).await;
    let mut unread = Vec::new();
    for _ in 0..30 {
        // Its window is not opened any more.
        let (response, _upload) = scene.client.begin(request("GET", "/large"), true).await;
        unread.push(response.await.expect("a response"));
    }
    // As much as there is room for is on its way by then.
    for _ in 0..50 {
        assert_eq!(scene.client.get("/").await.expect("an answer").body, b"ok");
    }
    assert_eq!(gateway.connections(), (1, 1));
    drop(unread);
    gateway.order(Order::Cut);
}
