//! Routing plugins: what they can do, their limits, and hot swaps.

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
async fn requests_are_answered_when_a_plugin_fails_and_its_faults_are_counted() {
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
async fn a_plugin_that_fails_to_start_is_rejected_and_the_active_one_kept() {
    let world = with_plugin(embedded("nearest"), "{ fault: refuse }").start();
    let before = digest(&world);
    world.replace("routing.wasm", hostile());
    world.until_rejected(Kind::Plugin).await;
    assert_eq!(digest(&world), before);
    world.replace("routing.wasm", b"(module)");
    world.until_rejections(Kind::Plugin, 2).await;
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
            .until("the other version is active", move |table| {
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
        .until("the canary is active", |table| {
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

/// The world of a canary that was rolled back to the plugin before it.
async fn rolled_back() -> World {
    let setup = with_plugin(embedded("nearest"), "{ percent: 100, region: eastus2 }").keeping();
    let world = setup.start();
    let first = digest(&world);
    world.replace("routing.wasm", embedded("canary"));
    world
        .until("the canary is active", |table| {
            table.services[0]
                .plugin
                .as_ref()
                .is_some_and(|entry| entry.version.digest != first)
        })
        .await;
    let answer = world.admin(order("rollback")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(digest(&world), first);
    world
}

fn order(what: &str) -> Request {
    Request::new(http::Method::POST, &format!("/api/v1/plugins/routing/{what}"))
}

async fn shown(world: &World) -> serde_json::Value {
    world.admin(Request::get("/api/v1/plugins")).await.json()["plugins"][0].clone()
}

fn sha256(of: &str) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(embedded(of))
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[tokio::test]
async fn a_roll_back_outlives_reloads_and_restarts_until_it_is_ended() {
    let world = rolled_back().await;
    let (nearest, canary) = (sha256("nearest"), sha256("canary"));
    assert_eq!(world.admin(order("rollback")).await.status, 409, "once is enough");
    world.reconfigure(|text| text.replace("region: eastus2,", "region: eastus2, priority: 1,"));
    world
        .until("the configuration is reloaded", |table| {
            table.config().services()[0].gateways()[1].priority == 1
        })
        .await;
    assert_eq!(digest(&world), nearest);
    // The same file again is not another version.
    let before = world.app().status().of(Kind::Plugin).accepted;
    world.replace("routing.wasm", embedded("canary"));
    world
        .poll("the file is loaded again", || {
            world.app().status().of(Kind::Plugin).accepted > before
        })
        .await;
    assert_eq!(digest(&world), nearest);

    let world = world.restart().expect("started");
    assert_eq!(digest(&world), nearest);
    let plugin = shown(&world).await;
    assert_eq!(plugin["digest"], nearest.as_str(), "{plugin}");
    assert_eq!(plugin["rolled_back"]["configured"], canary.as_str(), "{plugin}");
    assert_eq!(plugin["rolled_back"]["from"], "127.0.0.1", "{plugin}");
    assert!(plugin["rolled_back"]["since"].is_string(), "{plugin}");

    let answer = world.admin(order("rollforward")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(digest(&world), canary);
    let plugin = shown(&world).await;
    assert!(
        plugin["rolled_back"].is_null() && plugin["earlier"] == nearest.as_str(),
        "{plugin}"
    );
    assert_eq!(world.admin(order("rollforward")).await.status, 409);
    let world = world.restart().expect("started");
    assert_eq!(digest(&world), canary);
}

#[tokio::test]
async fn a_roll_back_ends_when_the_configured_version_changes() {
    let world = rolled_back().await;
    let mut third = embedded("canary").to_vec();
    // An empty custom section makes another component of it.
    third.extend([0, 5, 4, b'n', b'o', b't', b'e']);
    world.replace("routing.wasm", &third);
    let nearest = sha256("nearest");
    world
        .until("the third version is active", |table| {
            table.services[0]
                .plugin
                .as_ref()
                .is_some_and(|entry| entry.version.digest != nearest)
        })
        .await;
    assert!(shown(&world).await["rolled_back"].is_null());
    let third = digest(&world);
    let world = world.restart().expect("started");
    assert_eq!(digest(&world), third);
}

#[tokio::test]
async fn a_removed_plugin_is_gone_from_every_worker() {
    let world = with_plugin(embedded("nearest"), "{}").start();
    world.until_healthy().await;
    let mut load = world.load(&[from::BRITAIN; 8]);
    load.more(100).await;
    let tally = load.stop().await;
    assert!(tally.failures.is_empty(), "{tally:?}");
    let version = {
        let table = world.app().tables().current();
        std::sync::Arc::downgrade(&table.services[0].plugin.as_ref().expect("a plugin").version)
    };
    // No request comes after this.
    world.reconfigure(|text| {
        let (head, _) = text.split_once("plugins:").expect("plugins");
        head.replace("policy: { plugin: routing }", "policy: latency")
    });
    world
        .poll("the version is dropped", || version.strong_count() == 0)
        .await;
}

/// A plugin that does this at `/boom`, behind a route that allows these statuses.
fn with_effect(fault: &str, statuses: &str, service: &str) -> Setup {
    with_plugin(hostile(), &format!("{{ fault: {fault}, path: /boom }}"))
        .service(&format!(
            "policy: {{ plugin: routing }}\nhealth_check: {{ path: /healthz, interval: 100ms, timeout: 100ms }}\n{service}"
        ))
        .routes(&format!(
            "- {{ path: /boom, service: shop, plugin_statuses: [{statuses}], request_headers: {{ set: {{ X-Env: prod }} }} }}"
        ))
}

#[tokio::test]
async fn a_plugin_rejects_requests_with_a_status_that_the_route_allows() {
    let world = with_effect("reject", "403, 451", "").start();
    let asked = |path| Request::get(path).from(from::BRITAIN);
    let answer = world.send(asked("/boom")).await;
    assert_eq!(answer.status, 451);
    assert_eq!(answer.json()["reason"], "plugin");
    let reason = answer.header("x-portolan-reason");
    assert!(reason.starts_with("plugin; because=polite; rejects=451"), "{reason}");
    assert_eq!(world.send(asked("/")).await.status, 200, "others are sent on");
    let metrics = world.admin(Request::get("/metrics")).await.text();
    for (answer, count) in [("reject", 1), ("order", 1), ("no_opinion", 0)] {
        let labels = format!(r#"{{service="shop",plugin="routing",answer="{answer}"}}"#);
        let sample = format!("portolan_plugin_answers_total{labels} {count}");
        assert!(metrics.contains(&sample), "{sample}: {metrics}");
    }
}

#[tokio::test]
async fn a_status_that_the_route_does_not_allow_is_a_fault_and_the_request_is_sent_on() {
    let world = with_effect("reject", "403", "").start();
    let answer = world.send(Request::get("/boom").from(from::BRITAIN)).await;
    assert_eq!((answer.status.as_u16(), answer.region().as_str()), (200, "westeurope"));
    let reason = answer.header("x-portolan-reason");
    assert!(reason.starts_with("fallback; fault=status"), "{reason}");
    let metrics = world.admin(Request::get("/metrics")).await.text();
    assert!(fault_count(&metrics, "status") > 0, "{metrics}");
}

#[tokio::test]
async fn gateways_get_a_plugins_request_headers_and_not_the_clients() {
    let world = with_effect("tenant", "403", "").start();
    let asked = |path| Request::get(path).from(from::BRITAIN).header("x-tenant", "forged");
    let answer = world.send(asked("/boom").header("x-first", "acme")).await;
    assert_eq!(answer.seen("x-tenant"), "acme");
    assert_eq!(answer.seen("x-env"), "prod", "with what the route sets");
    assert!(
        answer.header("x-portolan-reason").contains("opinion=none; headers=1"),
        "{:?}",
        answer.headers
    );
    // One it does not set, and one where its answer is invalid.
    assert_eq!(world.send(asked("/")).await.seen("x-tenant"), "");
    let smuggler = with_effect("smuggle", "403", "").start();
    let answer = smuggler.send(asked("/boom")).await;
    assert!(
        answer
            .header("x-portolan-reason")
            .starts_with("fallback; fault=nonsense"),
        "{:?}",
        answer.headers
    );
    assert_eq!(
        (answer.seen("x-tenant").as_str(), answer.seen("x-admin").as_str()),
        ("", "")
    );
}

#[tokio::test]
async fn a_plugin_turns_session_affinity_off_and_on() {
    // At /boom, and elsewhere, where the plugin says nothing about it.
    for (fault, when, at_boom, elsewhere) in [
        ("affinity-off", "always", false, true),
        ("affinity-on", "plugin", true, false),
        ("none", "plugin", false, false),
    ] {
        let world = with_effect(fault, "403", &format!("affinity: {{ cookie: {{}}, when: {when} }}")).start();
        for (path, has_session) in [("/boom", at_boom), ("/", elsewhere)] {
            let answer = world.send(Request::get(path).from(from::BRITAIN)).await;
            assert_eq!(
                answer.headers.contains_key("set-cookie"),
                has_session,
                "{fault} {when} {path}"
            );
        }
    }
}

/// Waits until another version than this is active.
async fn until_other_than(world: &World, before: &str) {
    let before = before.to_owned();
    world
        .until("another version is active", move |table| {
            let entry = table.services[0].plugin.as_ref();
            entry.is_some_and(|entry| entry.version.digest != before)
        })
        .await;
}

#[tokio::test]
async fn plugins_of_both_minor_versions_run_in_one_process_and_replace_each_other() {
    let old = include_bytes!("../fixtures/contract-0.1/nearest.wasm");
    let world = with_plugin(old, "{}").start();
    let before = digest(&world);
    assert_eq!(world.region_for(from::SINGAPORE).await, "southeastasia");
    world.replace("routing.wasm", embedded("nearest"));
    until_other_than(&world, &before).await;
    assert_eq!(world.region_for(from::SINGAPORE).await, "southeastasia");
    let newer = digest(&world);
    world.replace("routing.wasm", old);
    until_other_than(&world, &newer).await;
    assert_eq!(
        (digest(&world), world.region_for(from::AMERICA).await),
        (before, "eastus2".to_owned())
    );
}

#[tokio::test]
async fn a_plugin_orders_by_the_round_trip_of_each_client() {
    let world = with_plugin(hostile(), "{ fault: shortest, estimates: true }").start();
    world.until_healthy().await;
    for (client, region) in [
        (from::BRITAIN, "westeurope"),
        (from::AMERICA, "eastus2"),
        (from::SINGAPORE, "southeastasia"),
    ] {
        assert_eq!(world.region_for(client).await, region, "{client}");
    }
}

#[tokio::test]
async fn plugins_read_what_is_not_a_header() {
    let config = r#"{ fault: echo, path: /boom, fields: [":method", ":scheme", ":host", ":query", ":http-version", ":client-country"] }"#;
    let world = with_plugin(hostile(), config).start();
    let answer = world.send(Request::get("/boom?a=b").from(from::BRITAIN)).await;
    let seen = answer.seen("x-tenant");
    let (fields, _) = seen.split_once(';').expect("fields");
    let host = fields.split('|').nth(2).expect("a host");
    assert_eq!(fields, format!("GET|http|{host}|a=b|1.1|GB"));
    assert!(!host.is_empty() && !host.contains(':'), "{host}");
}
