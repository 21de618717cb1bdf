//! `policy: { latency: { from: here } }`: regions by the round trips to their gateways.
//!
//! Gateways are behind delays in a network namespace of its own, for which the test runs itself once more in it.

use portolan_core::geo::PlaceId;
use portolan_core::id::Slot;
use portolan_core::rank::native;
use portolan_tests::delays::HERE;
use portolan_tests::{Delays, Gateway, Request, Setup, World, from};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

const REGIONS: [&str; 3] = ["westeurope", "eastus2", "southeastasia"];

/// An address for each region.
const ADDRESSES: [Ipv4Addr; 3] = [
    Ipv4Addr::new(10, 9, 1, 1),
    Ipv4Addr::new(10, 9, 1, 2),
    Ipv4Addr::new(10, 9, 1, 3),
];

/// Round trips to the regions in milliseconds.
fn round_trips(ms: [u32; 3]) -> Vec<(Ipv4Addr, u32)> {
    ADDRESSES.into_iter().zip(ms).collect()
}

/// How many of 300 requests were answered by each region.
async fn answers(world: &World) -> BTreeMap<String, u32> {
    let mut answers = BTreeMap::new();
    for _ in 0..30 {
        let requests = (0..10).map(|_| world.region_for(from::BRITAIN));
        for region in futures(requests).await {
            *answers.entry(region).or_default() += 1;
        }
    }
    answers
}

/// The results of all of these, at once.
async fn futures<T>(all: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut all: Vec<_> = all.map(|it| (Box::pin(it), None)).collect();
    std::future::poll_fn(|context| {
        for (future, result) in all.iter_mut().filter(|it| it.1.is_none()) {
            if let std::task::Poll::Ready(value) = future.as_mut().poll(context) {
                *result = Some(value);
            }
        }
        match all.iter().all(|it| it.1.is_some()) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    all.into_iter().filter_map(|it| it.1).collect()
}

/// How many probes of a region have ended.
fn probes(world: &World, region: &str) -> u64 {
    world.vitals(region).checks.probes().map(|(_, count)| count).sum()
}

/// The region that is tried first by everybody.
fn first(world: &World) -> String {
    let table = world.app().tables().current();
    let service = &table.config().services()[0];
    let row = table.services[0].chart.row(PlaceId::UNKNOWN);
    let gateway = row.first().and_then(|slot| service.gateway(*slot));
    gateway.map_or(String::new(), |gateway| gateway.region.to_string())
}

#[tokio::test]
async fn the_measured_fastest_region_is_chosen_and_a_change_is_followed() {
    const NAME: &str = "closest::the_measured_fastest_region_is_chosen_and_a_change_is_followed";
    let Some(delays) = Delays::of(NAME, &round_trips([40, 10, 70])) else {
        return;
    };
    let gateways = REGIONS.map(|region| Gateway::start(region, (HERE, 0).into()).expect("a free port"));
    let mut setup = Setup::regions(&[]).service(
        "policy: { latency: { from: here } }\nhealth_check: { path: /healthz, interval: 250ms, timeout: 250ms }\n\
         retry: { hedge_after: off }",
    );
    for (address, gateway) in ADDRESSES.into_iter().zip(&gateways) {
        setup = setup.other(gateway.region(), (address, gateway.address().port()).into());
    }
    let world = setup.start();
    world
        .until("the order is that of the delays", |_| first(&world) == "eastus2")
        .await;
    let fastest = answers(&world).await;
    assert!(fastest.get("eastus2") >= Some(&297), "{fastest:?}");

    for (after, changed, region) in [
        ([40, 90, 70], "eastus2", "westeurope"),
        ([40, 90, 10], "southeastasia", "southeastasia"),
    ] {
        // A probe that is under way has the delay before.
        let before = probes(&world, changed) + 1;
        delays.set(&round_trips(after));
        world.until("the change is followed", |_| first(&world) == region).await;
        let intervals = probes(&world, changed) - before;
        println!("after {intervals} probes, {region} is first");
        assert!(
            intervals <= 10,
            "{intervals} probes of {changed} until {region} was first"
        );
        let fastest = answers(&world).await;
        assert!(fastest.get(region) >= Some(&297), "{fastest:?}");
    }

    // What is measured is shown.
    let shown = world.admin(Request::get("/api/v1/regions")).await.json();
    let round_trip = &shown["services"][0]["regions"][0]["round_trip"];
    let measured = round_trip["measured_ms"].as_f64().expect("measured");
    assert!((40.0..60.0).contains(&measured), "{shown}");
    assert_eq!(round_trip["counts"], "measured");
    let path = format!("/api/v1/explain?ip={}&host=shop.example.net&path=/", from::BRITAIN);
    let explained = world.admin(Request::get(&path)).await.json();
    assert_eq!(
        (explained["from"].as_str(), explained["policy"].as_str()),
        (Some("here"), Some("latency from here"))
    );
    let regions = explained["regions"].as_array().expect("regions");
    assert_eq!(regions[0]["region"], "southeastasia");
    assert_eq!(regions[0]["from_here"], "measured");
    assert!(
        regions[0]["round_trip_ms"].as_f64() > Some(100.0),
        "from the client it is far: {explained}"
    );
    let metrics = world.admin(Request::get("/metrics")).await.text();
    let line = "portolan_gateway_round_trip_seconds{service=\"shop\",region=\"westeurope\"} 0.04";
    assert!(metrics.contains(line), "{metrics}");
}

#[tokio::test]
async fn the_order_from_here_is_one_for_all_clients_within_priorities() {
    // On loopback, every gateway is as near as the distance allows: nothing is known of where this is.
    let world = Setup::three_regions()
        .service(
            "policy: { latency: { from: here } }\nhealth_check: { path: /healthz, interval: 100ms, timeout: 100ms }",
        )
        .with("here: southeastasia")
        .start();
    world.until_healthy().await;
    let explain = |ip: &str| {
        let path = format!("/api/v1/explain?ip={ip}&host=shop.example.net&path=/");
        world.admin(Request::get(&path))
    };
    for client in [from::BRITAIN, from::AMERICA, from::SINGAPORE] {
        let answer = world.send(Request::get("/").from(client)).await;
        assert_eq!(answer.region(), "southeastasia", "{client}");
        let reason = answer.header("x-portolan-reason");
        assert!(reason.starts_with("latency; from=here; client="), "{reason}");
    }
    world
        .poll("the gateways have been measured", || {
            let regions = ["westeurope", "eastus2", "southeastasia"].map(|region| world.vitals(region));
            regions
                .iter()
                .all(|it| it.round_trip.measured(std::time::Instant::now()).is_some())
        })
        .await;
    // Handshakes on loopback take less time than light to Europe: something nearer answers them.
    let explained = explain(from::BRITAIN).await.json();
    let of = |index: usize| {
        let region = &explained["regions"][index];
        (
            region["region"].as_str().unwrap_or_default(),
            region["from_here"].as_str().unwrap_or_default(),
        )
    };
    assert_eq!(
        [of(0), of(1), of(2)],
        [
            ("southeastasia", "measured"),
            ("westeurope", "floor"),
            ("eastus2", "floor")
        ]
    );

    // Priorities come first, residency before that.
    world.reconfigure(|text| {
        text.replacen("region: southeastasia, ", "region: southeastasia, priority: 1, ", 1)
            .replacen(
                "    regions:",
                "    residency: [ { countries: [US], regions: [eastus2] } ]\n    regions:",
                1,
            )
    });
    world
        .until("the order is by priority", |_| first(&world) == "westeurope")
        .await;
    assert_eq!(world.region_for(from::SINGAPORE).await, "westeurope");
    assert_eq!(world.region_for(from::AMERICA).await, "eastus2");
    let table = world.app().tables().current();
    let (service, health) = (&table.config().services()[0], &table.health.services()[0]);
    let row = table.services[0].chart.row(PlaceId(17));
    let everywhere = portolan_core::candidates::gather(service, health, Default::default(), Default::default());
    assert_eq!(
        native(service, row, &everywhere, health, 0).order(),
        [Slot(0), Slot(1), Slot(2)]
    );
}
