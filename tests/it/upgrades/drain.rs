//! Tunnels when their listener, or the program, ends.

use super::peer::{CLOSE, Peer, TEXT, frame};
use super::{Scene, handshake};
use std::time::{Duration, Instant};

async fn draining() -> Scene {
    Scene::made(|setup| setup.with("drain_time: 4s")).await
}

#[tokio::test]
async fn a_websocket_gets_a_goodbye_between_two_frames_shortly_before_the_end() {
    let scene = draining().await;
    let (mut client, mut gateway) = scene.websocket().await;
    scene.world.app().begin_drain();
    let begun = Instant::now();
    // It goes on for most of the time.
    client.send(TEXT, b"hello").await;
    gateway.expect_frame(TEXT, b"hello").await;
    // A frame is not interrupted.
    let message = frame(TEXT, &[b'x'; 1000], false);
    let (half, rest) = message.split_at(500);
    gateway.write(half).await;
    client.expect(half).await;
    gateway.expect_going_away().await;
    assert!(begun.elapsed() >= Duration::from_millis(2900), "{:?}", begun.elapsed());
    gateway.write(rest).await;
    client.expect(rest).await;
    client.expect_going_away().await;
    for end in [&mut client, &mut gateway] {
        assert!(end.ends().await);
        // The answer to it is not an error.
        end.send(CLOSE, &1001_u16.to_be_bytes()).await;
        end.shut().await;
    }
    let line = &scene.logged(1).await[0];
    assert_eq!(line["tunnel_end"], "draining", "{line}");
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn other_protocols_are_closed_in_the_last_part_of_a_drain() {
    let scene = draining().await;
    let mut tunnels = Vec::new();
    for _ in 0..6 {
        tunnels.push(scene.custom().await);
    }
    scene.world.app().begin_drain();
    let begun = Instant::now();
    let mut ends = Vec::new();
    for (client, gateway) in &mut tunnels {
        assert!(client.ends().await && gateway.ends().await);
        ends.push(begun.elapsed());
    }
    assert!(ends[0] >= Duration::from_millis(2900), "{ends:?}");
    assert!(*ends.last().expect("six") < Duration::from_secs(5), "{ends:?}");
}

/// Neither end reads or answers.
#[tokio::test]
async fn a_drain_ends_in_time_whatever_the_ends_of_a_tunnel_do() {
    let scene = draining().await;
    let (mut client, mut gateway) = scene.websocket().await;
    // Within a frame, so that no goodbye can be said.
    gateway.write(&frame(TEXT, &[b'x'; 1000], false)[..500]).await;
    client.write(&frame(TEXT, &[b'x'; 1000], true)[..500]).await;
    let (other, behind) = scene.websocket().await;
    scene.world.app().begin_drain();
    let begun = Instant::now();
    let lines = scene.logged(2).await;
    assert!(lines.iter().all(|line| line["tunnel_end"] == "draining"), "{lines:?}");
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    drop((other, behind));
}

/// A listener that a reload removes ends its own tunnels.
#[tokio::test]
async fn a_removed_listener_ends_its_tunnels_and_no_others() {
    let listeners = "- { name: one, address: 127.0.0.1:0 }\n- { name: two, address: 127.0.0.1:0 }";
    let scene = Scene::made(|setup| setup.listeners(listeners).with("drain_time: 1s")).await;
    let addresses = scene.world.until_listeners(2).await;
    let mut tunnels = Vec::new();
    for address in addresses {
        let mut client = Peer::open(address).await;
        client.write(handshake()).await;
        let mut gateway = scene.gateway.next().await;
        gateway.accept_websocket().await;
        assert!(client.head().await.starts_with("HTTP/1.1 101 "));
        tunnels.push((client, gateway));
    }
    scene
        .world
        .reconfigure(|text| text.replace("  - { name: two, address: 127.0.0.1:0 }\n", ""));
    let (client, gateway) = &mut tunnels[1];
    client.expect_going_away().await;
    gateway.expect_going_away().await;
    assert!(client.ends().await);
    let (client, gateway) = &mut tunnels[0];
    client.send(TEXT, b"still here").await;
    gateway.expect_frame(TEXT, b"still here").await;
}
