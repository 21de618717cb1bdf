//! Probes, drains, and the addresses of a gateway's name.

use super::client::request;
use super::gateway::{Gateway, Settings};
use super::{LISTENER, SERVICE, Scene, WEST, until};
use http::StatusCode;
use portolan_core::health::State;
use portolan_tests::{NameServer, Setup};
use std::net::SocketAddr;

#[tokio::test]
async fn probes_speak_it_too() {
    let gateway = Gateway::start().await;
    let service = SERVICE.replace(
        "health_check: off",
        "health_check: { path: /healthz, interval: 50ms, host: probe.example, expect: { body: ok } }",
    );
    let scene = Scene::with(&service, &[(WEST, &gateway)]).await;
    scene.world.until_state(WEST, State::Healthy).await;
    let probe = gateway.seen().remove(0);
    assert_eq!(probe.uri, "http://probe.example/healthz");
    assert_eq!(probe.headers["user-agent"], "portolan-probe");
    assert!(!probe.headers.contains_key("host") && !probe.headers.contains_key("connection"));
    gateway.die();
    scene.world.until_state(WEST, State::Unhealthy).await;
}

#[tokio::test]
async fn a_request_that_runs_is_answered_in_a_drain() {
    let gateway = Gateway::scripted(Settings::default(), |mut came| {
        Box::pin(async move {
            came.read().await;
            let gateway = came.gateway.clone();
            until("the other one is there", move || gateway.seen().len() == 2).await;
            came.say("ok", None);
        })
    })
    .await;
    let setup = Setup::regions(&[]).service(SERVICE).listeners(LISTENER);
    let scene = Scene::start(setup.other(WEST, gateway.address()).with("drain_time: 20s")).await;
    let (first, _) = scene.client.begin(request("GET", "/"), true).await;
    until("it is there", || gateway.seen().len() == 1).await;
    scene.world.app().begin_drain();
    let (second, _) = scene.client.begin(request("GET", "/"), true).await;
    for response in [first, second] {
        assert_eq!(response.await.expect("an answer").status(), StatusCode::OK);
    }
}

/// All addresses of a name get streams, and one that is removed gets no more of them while what runs there ends.
#[tokio::test]
async fn addresses_share_streams_and_one_that_is_removed_gets_none() {
    let script = |mut came: super::gateway::Came| -> super::gateway::Answering {
        Box::pin(async move {
            came.read().await;
            if came.path() == "/slow" {
                let gateway = came.gateway.clone();
                until("it is let go", move || gateway.is_let_go()).await;
            }
            came.say("ok", None);
        })
    };
    let first = Gateway::scripted(Settings::default(), script).await;
    let mut address: SocketAddr = first.address();
    address.set_ip([127, 0, 0, 2].into());
    let second = Gateway::at(address, Settings::default(), script).await;
    let server = NameServer::start();
    server.set("gw.test", 1, &["127.0.0.1", "127.0.0.2"]);
    let setup = Setup::regions(&[]).service(SERVICE).listeners(LISTENER);
    let setup = setup.other(WEST, first.address()).by_name(WEST, "gw.test");
    let scene = Scene::start(setup.with(&format!("resolvers: [\"{}\"]", server.address()))).await;
    let both = async {
        while first.connections().0 == 0 || second.connections().0 == 0 {
            scene.client.get("/").await.expect("an answer");
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(super::TIMEOUT, both)
        .await
        .expect("both have connections");
    // One slow one each.
    let (one, _) = scene.client.begin(request("GET", "/slow"), true).await;
    let (other, _) = scene.client.begin(request("GET", "/slow"), true).await;
    let is_slow = |gateway: &Gateway| gateway.seen().iter().any(|seen| seen.uri.ends_with("/slow"));
    until("both are there", || is_slow(&first) && is_slow(&second)).await;

    server.set("gw.test", 1, &["127.0.0.2"]);
    scene.world.app().reload();
    let vitals = scene.world.vitals(WEST);
    scene
        .world
        .poll("one address is left", || {
            vitals.endpoints.status(std::time::Instant::now()).len() == 1
        })
        .await;
    let before = first.seen().len();
    for _ in 0..10 {
        scene.client.get("/").await.expect("an answer");
    }
    assert_eq!(first.seen().len(), before);
    first.let_go();
    second.let_go();
    for response in [one, other] {
        assert_eq!(response.await.expect("an answer").status(), StatusCode::OK);
    }
    until("its connection is closed", || first.connections().1 == 0).await;
}
