//! `steer`: clients that are sent to the regions' own endpoints.

use crate::tls::client::{Authority, setup};
use http::Method;
use portolan_core::health::State;
use portolan_tests::{Behaviour, Request, Setup, World, from};

const CHECK: &str = "health_check: { path: /healthz, interval: 100ms, timeout: 100ms }\n";

fn redirecting() -> Setup {
    Setup::three_regions()
        .service(&format!(
            "{CHECK}steer: redirect\nresidency: [ {{ countries: [SG], regions: [eastus2] }} ]"
        ))
        .region("westeurope", "public: \"https://weu.example.net\"")
        .region("eastus2", "public: \"https://eus2.example.net:8443/\"")
        .region("southeastasia", "public: \"http://[2001:db8::1]:8080\"")
        .logging()
}

async fn location(world: &World, request: Request) -> Option<String> {
    let answer = world.send(request).await;
    let location = answer.headers.get("location")?.to_str().expect("text").to_owned();
    assert_eq!(answer.status, 307);
    assert_eq!(answer.header("cache-control"), "no-store");
    assert!(answer.body.is_empty());
    Some(location)
}

#[tokio::test]
async fn clients_are_redirected_to_the_endpoint_of_their_region() {
    let world = redirecting().start();
    world.until_healthy().await;
    for (client, path, expected) in [
        (
            from::BRITAIN,
            "/a%2Fb/?q=1&q=%20",
            "https://weu.example.net/a%2Fb/?q=1&q=%20",
        ),
        (from::AMERICA, "/", "https://eus2.example.net:8443/"),
        // Residency holds.
        (from::SINGAPORE, "/", "https://eus2.example.net:8443/"),
    ] {
        let to = location(&world, Request::get(path).from(client)).await;
        assert_eq!(to.as_deref(), Some(expected), "{client}");
    }
    let head = Request::new(Method::HEAD, "/x").from(from::BRITAIN);
    assert_eq!(
        location(&world, head).await.as_deref(),
        Some("https://weu.example.net/x")
    );
    let answer = world.send(Request::get("/").from(from::BRITAIN)).await;
    assert_eq!(answer.header("x-portolan-region"), "westeurope");
    assert!(answer.header("x-portolan-reason").starts_with("latency; client=GB"));

    let lines = world.until_logged(5).await;
    let all = lines
        .iter()
        .all(|line| line["outcome"] == "redirected" && line["status"] == 307);
    assert!(all, "{lines:?}");
    assert_eq!(lines.iter().filter(|line| line["region"] == "westeurope").count(), 3);
    let metrics = world.admin(Request::get("/metrics")).await.text();
    for (region, count) in [("westeurope", 3), ("eastus2", 2), ("southeastasia", 0)] {
        let line =
            format!("portolan_requests_total{{service=\"shop\",region=\"{region}\",outcome=\"redirected\"}} {count}\n");
        assert!(metrics.contains(&line), "{line}{metrics}");
    }
    for region in ["westeurope", "eastus2"] {
        let attempts: u64 = world.vitals(region).totals().iter().map(|(_, count)| count).sum();
        assert_eq!(attempts, 0, "{region} got a request");
    }
}

#[tokio::test]
async fn what_cannot_be_redirected_is_served_through_the_proxy() {
    let world = redirecting().start();
    world.until_healthy().await;
    let get = || Request::get("/").from(from::BRITAIN);
    for (what, request) in [
        ("a POST", Request::post("/", "x").from(from::BRITAIN)),
        ("a DELETE", Request::new(Method::DELETE, "/").from(from::BRITAIN)),
        (
            "a WebSocket",
            get().header("connection", "upgrade").header("upgrade", "websocket"),
        ),
        ("one that was redirected here", get().header("host", "WEU.example.net.")),
        ("the same with a port", get().header("host", "weu.example.net:443")),
        (
            "the same for another region",
            get().header("host", "eus2.example.net:8443"),
        ),
    ] {
        let answer = world.send(request).await;
        assert_eq!(answer.status, 200, "{what}");
        assert_eq!(answer.region(), "westeurope", "{what}");
    }
    assert!(
        location(&world, get().header("host", "eus2.example.net"))
            .await
            .is_some(),
        "another port"
    );
}

#[tokio::test]
async fn clients_are_not_redirected_to_a_region_that_is_unhealthy_or_drained() {
    let world = redirecting().start();
    world.until_healthy().await;
    let get = || Request::get("/").from(from::BRITAIN);
    world.admin(Request::post("/api/v1/regions/westeurope/drain", "")).await;
    world.until_state("westeurope", State::Draining).await;
    assert_eq!(
        location(&world, get()).await.as_deref(),
        Some("https://eus2.example.net:8443/")
    );
    world.behave("eastus2", Behaviour::Dead);
    world.until_state("eastus2", State::Unhealthy).await;
    assert_eq!(
        location(&world, get()).await.as_deref(),
        Some("http://[2001:db8::1]:8080/")
    );
    // All are: a request has more chances than a redirect.
    world.behave("southeastasia", Behaviour::Dead);
    world.until_state("southeastasia", State::Unhealthy).await;
    let answer = world.send(get()).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(location(&world, get().from(from::SINGAPORE)).await, None);
}

#[tokio::test]
async fn explain_says_where_a_client_is_sent() {
    let world = redirecting().start();
    world.until_healthy().await;
    let explain = |query: &str| {
        let path = format!("/api/v1/explain?ip={}&host=shop.example.net{query}", from::BRITAIN);
        world.admin(Request::get(&path))
    };
    let steer = explain("&path=/a%3Fb%3Dc").await.json()["steer"].clone();
    assert_eq!(
        (steer["by"].as_str(), steer["location"].as_str()),
        (Some("redirect"), Some("https://weu.example.net/a?b=c"))
    );
    let steer = explain("&path=/&method=POST").await.json()["steer"].clone();
    assert_eq!(steer["location"].as_str(), None);
    assert!(
        steer["proxied"].as_str().expect("a reason").contains("GET and HEAD"),
        "{steer}"
    );
    let regions = world.admin(Request::get("/api/v1/regions")).await.json();
    assert_eq!(
        regions["services"][0]["regions"][1]["public"],
        "https://eus2.example.net:8443"
    );
}

/// The `Alt-Svc` of a response.
fn alt_svc(response: &str) -> Option<&str> {
    let line = response.lines().find_map(|line| line.strip_prefix("alt-svc: "));
    line.map(str::trim_end)
}

#[tokio::test]
async fn responses_over_tls_advertise_the_region_that_answers_until_it_must_not_be_used() {
    let authority = Authority::new("Root");
    let world = setup(&authority.issue(&["shop.example"]), "")
        .service(&format!(
            "{CHECK}slow_start: 0s\nsteer: {{ alt-svc: {{ max_age: 30s, protocols: [h2, http/1.1] }} }}"
        ))
        .region("westeurope", "public: \"https://weu.example.net\"")
        .start();
    world.until_healthy().await;
    let client = authority.client();
    let get = async || {
        client
            .get(world.proxy(), "shop.example", "shop.example")
            .await
            .expect("answered")
    };
    let advertised = r#"h2="weu.example.net:443"; ma=30, http%2F1.1="weu.example.net:443"; ma=30"#;
    let response = get().await;
    assert_eq!((response.status(), alt_svc(&response.text)), ("200", Some(advertised)));

    world.admin(Request::post("/api/v1/regions/westeurope/drain", "")).await;
    world.until_state("westeurope", State::Draining).await;
    let response = get().await;
    assert_eq!((response.status(), alt_svc(&response.text)), ("503", Some("clear")));
    world
        .admin(Request::post("/api/v1/regions/westeurope/undrain", ""))
        .await;
    world.until_state("westeurope", State::Healthy).await;
    assert_eq!(alt_svc(&get().await.text), Some(advertised));

    world.behave("westeurope", Behaviour::Dead);
    world.until_state("westeurope", State::Unhealthy).await;
    let response = get().await;
    assert_eq!((response.status(), alt_svc(&response.text)), ("503", Some("clear")));

    let metrics = world.admin(Request::get("/metrics")).await.text();
    let line = "portolan_alt_svc_total{service=\"shop\",region=\"westeurope\",value=\"advertised\"} 2";
    assert!(metrics.contains(line), "{metrics}");
    let explained = world
        .admin(Request::get("/api/v1/explain?ip=192.0.2.1&host=shop.example&path=/"))
        .await
        .json();
    assert_eq!(
        (
            explained["steer"]["by"].as_str(),
            explained["steer"]["alt_svc"].as_str()
        ),
        (Some("alt-svc"), Some("clear"))
    );
}

#[tokio::test]
async fn another_regions_answer_replaces_what_was_advertised_and_plain_connections_advertise_nothing() {
    let authority = Authority::new("Root");
    let pair = authority.issue(&["shop.example"]);
    let world = Setup::regions(&["westeurope", "eastus2"])
        .file("tls.crt", &pair.0)
        .file("tls.key", &pair.1)
        .listeners(
            "- { address: 127.0.0.1:0, name: plain }\n- address: 127.0.0.1:0\n  name: secure\n  tls: { certificate: tls.crt, private_key: tls.key }\n",
        )
        .service(&format!("{CHECK}policy: priority\nsteer: alt-svc"))
        .region("westeurope", "public: \"https://weu.example.net\"")
        .start();
    world.until_healthy().await;
    let secure = world.app().listeners()[1];
    let client = authority.client();
    let get = async || {
        client
            .get(secure, "shop.example", "shop.example")
            .await
            .expect("answered")
    };
    assert_eq!(alt_svc(&get().await.text), Some(r#"h2="weu.example.net:443"; ma=10"#));
    assert_eq!(
        world.send(Request::get("/")).await.header("alt-svc"),
        "",
        "it may not be advertised without TLS"
    );
    // The other one has no endpoint of its own.
    world.behave("westeurope", Behaviour::Dead);
    world.until_state("westeurope", State::Unhealthy).await;
    let response = get().await;
    assert_eq!((response.status(), alt_svc(&response.text)), ("200", Some("clear")));
}
