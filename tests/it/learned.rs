//! Learned round trips: what is measured and reported changes the order of regions for a client prefix, and for no other.

use portolan_tests::{Delays, Request, Setup, World, from};
use serde_json::{Value, json};
use std::path::Path;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Reports round trips of a client to regions, twenty connections each.
async fn report(world: &World, client: &str, regions: &[(&str, f64)]) -> portolan_tests::Answer {
    let round_trips: Vec<_> = regions
        .iter()
        .map(|(region, ms)| json!({ "client": client, "region": region, "ms": ms, "connections": 20 }))
        .collect();
    let body = json!({ "round_trips": round_trips }).to_string();
    world.admin(Request::post("/api/v1/round-trips", body)).await
}

async fn explained(world: &World, client: &str) -> Value {
    let path = format!("/api/v1/explain?ip={client}&host=shop.example.net&path=/");
    world.admin(Request::get(&path)).await.json()
}

/// What connections of a client's prefix measured to a region.
fn measured<'a>(explained: &'a Value, region: &str) -> &'a Value {
    let mut regions = explained["regions"].as_array().expect("regions").iter();
    &regions.find(|it| it["region"] == region).expect("a region")["learned"]
}

async fn until_learned(world: &World) {
    let has_orders = |table: &portolan::table::RoutingTable| table.services[0].learned().is_some();
    world.until("an order is learned", has_orders).await;
}

/// Learns, except for a network; for a part of another one, the configuration names the region.
const GEO: &str =
    "geo: { networks: [ { network: 81.2.71.128/25, region: eastus2 } ], learned: { exclude: [23.128.64.0/24] } }";

#[tokio::test]
async fn reported_round_trips_change_the_order_of_one_prefix_and_outlive_a_restart() {
    let setup = Setup::three_regions().keeping().logging();
    let world = setup.with("here: westeurope").with(GEO).start();
    world.until_healthy().await;
    assert_eq!(world.region_for(from::BRITAIN).await, "westeurope");
    let absurd = [("westeurope", 300.0), ("southeastasia", 12.0)];
    let answer = report(&world, from::BRITAIN, &absurd).await;
    assert_eq!(
        (answer.status.as_u16(), answer.json()["accepted"].as_u64()),
        (200, Some(2))
    );
    assert_eq!(
        report(&world, from::AMERICA, &absurd).await.json()["accepted"],
        0,
        "excluded"
    );
    // What agrees with geography changes nothing.
    report(&world, from::SINGAPORE, &[("southeastasia", 9.0), ("eastus2", 240.0)]).await;
    // So does nothing where the configuration says which region clients prefer.
    report(&world, "81.2.71.1", &absurd).await;
    until_learned(&world).await;

    let answer = world.send(Request::get("/").from(from::BRITAIN)).await;
    assert_eq!(answer.region(), "southeastasia");
    let reason = answer.header("x-portolan-reason");
    assert!(reason.starts_with("latency; learned; client=GB"), "{reason}");
    for (client, region) in [
        ("81.2.70.1", "westeurope"),
        ("81.2.71.1", "westeurope"),
        ("81.2.71.129", "eastus2"),
        (from::AMERICA, "eastus2"),
        (from::SINGAPORE, "southeastasia"),
    ] {
        let answer = world.send(Request::get("/").from(client)).await;
        assert_eq!(answer.region(), region, "{client}");
        assert!(!answer.header("x-portolan-reason").contains("learned"), "{client}");
    }
    let explanation = explained(&world, from::BRITAIN).await;
    assert_eq!(
        (&explanation["chosen"], &explanation["by"]),
        (&json!("southeastasia"), &json!("learned"))
    );
    let learned = measured(&explanation, "southeastasia");
    assert_eq!(
        (learned["round_trip_ms"].as_f64(), learned["connections"].as_f64()),
        (Some(12.0), Some(20.0))
    );
    assert!(
        explanation["regions"][0]["round_trip_ms"].as_f64() > Some(100.0),
        "geography is shown too"
    );
    assert!(measured(&explanation, "eastus2").is_null());
    let metrics = world.admin(Request::get("/metrics")).await.text();
    for line in [
        "portolan_learned_prefixes 3",
        "portolan_learned_samples_total{source=\"report\"} 6",
        "portolan_learned_orders{service=\"shop\"} 1",
        "portolan_decisions_total{service=\"shop\",by=\"learned\"} 1",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }

    let world = world.restart().expect("started");
    until_learned(&world).await;
    assert_eq!(world.region_for(from::BRITAIN).await, "southeastasia");

    // A bad file is ignored.
    let kept = world.config_path().with_file_name("state").join("round-trips.json");
    let before = std::fs::read_to_string(&kept).expect("kept");
    assert!(before.contains("southeastasia"), "{before}");
    let world = restarted_with(world, &kept, "{\"version\":1,\"regions\":").await;
    assert_eq!(world.region_for(from::BRITAIN).await, "westeurope");
    assert!(measured(&explained(&world, from::BRITAIN).await, "westeurope").is_null());
}

/// Ends the program, which keeps what it has learned, then starts it with something else in its file.
async fn restarted_with(world: World, kept: &Path, content: &str) -> World {
    let path = kept.to_owned();
    // Without the feature, nothing is written at the end.
    world.reconfigure(|text| text.replace(GEO, "# off"));
    world
        .until("orders are gone", |table| table.settings.learned.is_none())
        .await;
    std::fs::write(&path, content).expect("written");
    let config = world.config_path().to_owned();
    let text = std::fs::read_to_string(&config).expect("read");
    std::fs::write(&config, text.replace("# off", "geo: { learned: {} }")).expect("written");
    let world = world.restart().expect("started");
    let bad = std::fs::read_to_string(&path).expect("read");
    assert_eq!(bad, content);
    world
}

#[tokio::test]
async fn reports_are_rejected_where_nothing_is_learned_or_something_is_wrong() {
    let world = Setup::three_regions().start();
    let answer = report(&world, from::BRITAIN, &[("westeurope", 20.0)]).await;
    assert_eq!(answer.status, 409);
    assert!(answer.text().contains("geo.learned"), "{}", answer.text());
    drop(world);

    let world = Setup::three_regions().with("geo: { learned: {} }").start();
    for (body, status, why) in [
        (
            r#"{"round_trips":[{"client":"10.0.0.1","region":"westeurope","ms":1}]}"#,
            400,
            "globally unique",
        ),
        (
            r#"{"round_trips":[{"client":"81.2.69.1","region":"mars","ms":1}]}"#,
            400,
            "mars",
        ),
        (
            r#"{"round_trips":[{"client":"81.2.69.1","region":"westeurope"}]}"#,
            400,
            "ms",
        ),
        ("nothing", 400, "203.0.113.7"),
    ] {
        let answer = world.admin(Request::post("/api/v1/round-trips", body)).await;
        assert_eq!(answer.status, status, "{body}");
        assert!(answer.text().contains(why), "{body}: {}", answer.text());
    }
    let long = world
        .admin(Request::post("/api/v1/round-trips", vec![b' '; (1 << 20) + 1]))
        .await;
    assert_eq!(long.status, 413);
    assert_eq!(world.admin(Request::get("/api/v1/round-trips")).await.status, 405);
    assert!(explained(&world, from::BRITAIN).await["regions"][0]["learned"].is_null());
}

/// Two clients of different networks: far from this instance, and near.
const FAR: &str = "203.0.113.1";
const NEAR: &str = "192.0.2.1";

/// A connection of a client, after one exchange on it: it, and the region that answered.
async fn connection(world: &World, client: &str) -> (TcpStream, String) {
    let port = world.app().listeners()[0].port();
    let mut stream = TcpStream::connect((client, port)).await.expect("connected");
    let request = b"GET / HTTP/1.1\r\nHost: shop.example.net\r\n\r\n";
    stream.write_all(request).await.expect("sent");
    let mut head = String::new();
    while !head.contains("\r\n\r\n") {
        let mut bytes = [0; 4096];
        let count = stream.read(&mut bytes).await.expect("an answer");
        assert!(count > 0, "{head}");
        head.push_str(&String::from_utf8_lossy(&bytes[..count]));
    }
    let head = head.to_ascii_lowercase();
    let region = head.lines().find_map(|line| line.strip_prefix("x-portolan-region: "));
    (stream, region.expect("a region").to_owned())
}

#[tokio::test]
async fn round_trips_of_real_connections_are_learned_by_prefix() {
    const NAME: &str = "learned::round_trips_of_real_connections_are_learned_by_prefix";
    let clients = [(FAR, 180), (NEAR, 8)].map(|(client, ms)| (client.parse().expect("an address"), ms));
    let Some(_delays) = Delays::of(NAME, &clients) else {
        return;
    };
    let world = Setup::three_regions()
        .listeners("- address: 198.51.100.1:0\n  debug_headers: true")
        .with("here: westeurope\ngeo: { learned: {} }")
        .start();
    world.until_healthy().await;
    // Another region is nearer to the far client, and no nearer to the near one.
    for client in [FAR, NEAR] {
        report(&world, client, &[("southeastasia", 5.0)]).await;
    }
    let mut connections = Vec::new();
    // The near one first: when the far one's are seen, so have its been.
    for client in [NEAR, FAR] {
        for round in 0..6 {
            let (stream, region) = connection(&world, client).await;
            // Three connections are enough to change the order of the far one.
            assert!(
                region == "westeurope" || client == FAR && round >= 3,
                "{client}: {region}"
            );
            connections.push(stream);
        }
    }
    until_learned(&world).await;
    let (far, near) = (explained(&world, FAR).await, explained(&world, NEAR).await);
    println!("{far}\n{near}");
    let ms = |explained: &Value| {
        measured(explained, "westeurope")["round_trip_ms"]
            .as_f64()
            .expect("measured")
    };
    assert!((180.0..230.0).contains(&ms(&far)), "{far}");
    assert!((8.0..40.0).contains(&ms(&near)), "{near}");
    assert_eq!(connection(&world, FAR).await.1, "southeastasia");
    assert_eq!(connection(&world, NEAR).await.1, "westeurope");
    let metrics = world.admin(Request::get("/metrics")).await.text();
    let line = "portolan_learned_samples_total{source=\"connection\"} 1";
    assert!(metrics.contains(line), "{metrics}");
}
