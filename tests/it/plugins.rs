//! Routing plugins: what they may do, what they cannot do, and how they are swapped.

use portolan::control::status::Kind;
use portolan::plugin::embedded;
use portolan_core::id::PluginName;
use portolan_tests::{Request, Setup, World, fault_count, from, hostile};

fn with_plugin(wasm: &[u8], config: &str) -> Setup {
    Setup::three_regions()
        .service("policy: { plugin: routing }\nhealth_check: { path: /healthz, interval: 100ms, timeout: 100ms }")
        .file("routing.wasm", wasm)
        .with(&format!(
            "plugins:\n  routing: {{ source: ./routing.wasm, config: {config}, deadline: 200ms }}"
        ))
}

fn embedded(name: &str) -> &'static [u8] {
    embedded::find(name).expect("an embedded plugin")
}

fn digest(world: &World) -> String {
    let table = world.app().tables().current();
    table.services[0]
        .plugin
        .as_ref()
        .expect("a plugin")
        .version
        .digest
        .clone()
}

#[tokio::test]
async fn the_nearest_plugin_sends_clients_to_the_nearest_region() {
    let world = with_plugin(embedded("nearest"), "{}").start();
    for (client, region) in [
        (from::BRITAIN, "westeurope"),
        (from::AMERICA, "eastus2"),
        (from::SINGAPORE, "southeastasia"),
    ] {
        let answer = world.send(Request::get("/").from(client)).await;
        assert_eq!(answer.region(), region, "{client}");
        assert!(
            answer.header("x-portolan-reason").starts_with("plugin"),
            "{:?}",
            answer.headers
        );
    }
}

#[tokio::test]
async fn the_canary_plugin_sends_a_steady_share_elsewhere() {
    let config = "{ percent: 25, region: southeastasia, header: x-user }";
    let world = with_plugin(embedded("canary"), config).start();
    world.until_healthy().await;
    let mut canaries = 0;
    for user in 0..200 {
        let request = || {
            Request::get("/")
                .from(from::BRITAIN)
                .header("x-user", &format!("user-{user}"))
        };
        let first = world.send(request()).await.region();
        assert_eq!(
            world.send(request()).await.region(),
            first,
            "the same user, another region"
        );
        canaries += u32::from(first == "southeastasia");
    }
    assert!((30..=70).contains(&canaries), "{canaries} of 200 at 25 %");
}

#[tokio::test]
async fn a_hostile_plugin_is_answered_for_and_counted() {
    for (fault, label) in [
        ("loop", "deadline"),
        ("trap", "trap"),
        ("memory", "memory"),
        ("stack", "stack"),
        ("nonsense", "nonsense"),
    ] {
        let world = with_plugin(hostile(), &format!("{{ fault: {fault}, path: /boom }}")).start();
        for _ in 0..3 {
            let answer = world.send(Request::get("/boom").from(from::BRITAIN)).await;
            assert_eq!(
                (answer.status.as_u16(), answer.region().as_str()),
                (200, "westeurope"),
                "{fault}"
            );
            assert!(
                answer.header("x-portolan-reason").starts_with("fallback; fault="),
                "{fault}: {:?}",
                answer.headers
            );
        }
        let metrics = world.admin(Request::get("/metrics")).await.text();
        assert!(
            fault_count(&metrics, label) > 0,
            "{fault} is not counted as {label}:\n{metrics}"
        );
    }
}

#[tokio::test]
async fn a_plugin_that_cannot_start_is_refused_and_the_old_one_stays() {
    let world = with_plugin(embedded("nearest"), "{ fault: refuse }").start();
    let before = digest(&world);
    world.replace("routing.wasm", hostile());
    world.until_refused(Kind::Plugin).await;
    assert_eq!(digest(&world), before);
    world.replace("routing.wasm", b"(module)");
    world.until_refusals(Kind::Plugin, 2).await;
    assert_eq!(digest(&world), before);
    assert_eq!(world.region_for(from::SINGAPORE).await, "southeastasia");
}

#[tokio::test]
async fn two_hundred_swaps_under_load_lose_nothing() {
    let world = with_plugin(embedded("nearest"), "{ percent: 100, region: eastus2 }").start();
    world.until_healthy().await;
    let mut load = world.load(&[from::BRITAIN; 8]);
    let mut last = digest(&world);
    for swap in 0..200 {
        world.replace("routing.wasm", embedded(["canary", "nearest"][swap % 2]));
        let before = last.clone();
        let table = world
            .until("the other version is in force", move |table| {
                table.services[0]
                    .plugin
                    .as_ref()
                    .is_some_and(|plugin| plugin.version.digest != before)
            })
            .await;
        last = table.services[0]
            .plugin
            .as_ref()
            .expect("a plugin")
            .version
            .digest
            .clone();
        load.more(4).await;
    }
    let tally = load.stop().await;
    assert!(tally.failures.is_empty(), "{tally:?}");
    assert!(
        tally.regions["westeurope"] > 0 && tally.regions["eastus2"] > 0,
        "both versions are seen: {tally:?}"
    );
}

#[tokio::test]
async fn a_plugin_can_be_rolled_back() {
    let world = with_plugin(embedded("nearest"), "{ percent: 100, region: eastus2 }").start();
    let first = digest(&world);
    let roll_back = || Request::new(http::Method::POST, "/api/v1/plugins/routing/rollback");
    assert_eq!(
        world.admin(roll_back()).await.status,
        409,
        "there is nothing to go back to"
    );
    world.replace("routing.wasm", embedded("canary"));
    let plugin = PluginName::from("routing");
    world
        .until("the canary is in force", |table| {
            let entry = table.services[0].plugin.as_ref();
            entry.is_some_and(|entry| entry.version.name == plugin && entry.version.digest != first)
        })
        .await;
    assert_eq!(world.region_for(from::BRITAIN).await, "eastus2");
    let answer = world.admin(roll_back()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    world
        .until("the first version is back", |table| {
            table.services[0]
                .plugin
                .as_ref()
                .is_some_and(|entry| entry.version.digest == first)
        })
        .await;
    assert_eq!(world.region_for(from::BRITAIN).await, "westeurope");
}
