//! Restarts that find poisoned input: what was last good serves, and says so.

use portolan::control::status::Kind;
use portolan_core::health::State;
use portolan_core::id::PluginName;
use portolan_tests::{Request, Setup, World, from};

/// What becomes of good files: cut short, written twice, overwritten, emptied.
fn poisons(good: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let garbage = good.iter().map(|byte| byte.wrapping_mul(113) ^ 0xa5).collect();
    vec![
        ("truncated", good[..good.len() / 2].to_vec()),
        ("doubled", good.repeat(2)),
        ("garbage", garbage),
        ("empty", Vec::new()),
    ]
}

fn metric(page: &str, name: &str) -> String {
    let line = page.lines().find(|line| line.starts_with(name));
    line.and_then(|line| line.rsplit(' ').next())
        .unwrap_or_default()
        .to_owned()
}

/// Ready, serving, and loud about it: this kind was restored, or is what it should be.
async fn check_restored(world: &World, what: &str, restored: bool) {
    let ready = world.admin(Request::get("/readyz")).await;
    assert_eq!(ready.status, 200);
    let loads = ready.json()["loads"].clone();
    let load = loads
        .as_array()
        .expect("a list")
        .iter()
        .find(|load| load["what"] == what);
    let load = load.unwrap_or_else(|| panic!("{loads}"));
    assert_eq!(load["restored"].is_string(), restored, "{load}");
    assert_eq!(load["error"].is_string(), restored, "{load}");
    let page = world.admin(Request::get("/metrics")).await.text();
    let value = metric(&page, &format!("portolan_load_restored{{what=\"{what}\"}}"));
    assert_eq!(value, u8::from(restored).to_string(), "{what}");
}

#[tokio::test]
async fn a_poisoned_configuration_is_replaced_by_the_last_good_one() {
    let mut world = Setup::three_regions().keeping().start();
    world.until_kept(1).await;
    let good = std::fs::read(world.config_path()).expect("read");
    for (name, poison) in poisons(&good) {
        world.replace("portolan.yaml", poison);
        world = world.restart().unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(world.region_for(from::AMERICA).await, "eastus2", "{name}");
        check_restored(&world, "config", true).await;
    }
    std::fs::remove_file(world.config_path()).expect("removed");
    world = world.restart().expect("a missing file does not prevent a start");
    check_restored(&world, "config", true).await;

    // The file is watched as usual, and the next good one is accepted and stored.
    let next = String::from_utf8(good)
        .expect("text")
        .replace("region: eastus2,", "region: eastus2, priority: 1,");
    world.replace("portolan.yaml", &next);
    let fallback = |table: &portolan::table::RoutingTable| table.config().services()[0].gateways()[1].priority == 1;
    world.until("eastus2 is a fallback", fallback).await;
    check_restored(&world, "config", false).await;
    world.until_kept(2).await;
    world.replace("portolan.yaml", "listeners: [");
    world = world.restart().expect("the last good one");
    assert!(fallback(&world.app().tables().current()));
}

#[tokio::test]
async fn a_rejected_configuration_is_not_stored_for_the_next_start() {
    let world = Setup::three_regions().keeping().start();
    world.until_kept(1).await;
    world.reconfigure(|text| text.replace("shop", "shop\n   broken"));
    world.until_rejected(Kind::Config).await;
    let world = world.restart().expect("the last good one");
    assert_eq!(world.region_for(from::BRITAIN).await, "westeurope");
    check_restored(&world, "config", true).await;
}

#[tokio::test]
async fn a_bad_plugin_is_replaced_by_the_last_good_one() {
    let (nearest, canary) = (embedded("nearest"), embedded("canary"));
    let mut world = with_plugin(nearest).start();
    world.until_kept(1).await;
    world.replace("routing.wasm", canary);
    world.until_kept(2).await;
    let plugin = PluginName::from("routing");
    let in_force = |world: &World| {
        let table = world.app().tables().current();
        let entry = table.services[0].plugin.clone().expect("a plugin");
        assert_eq!(entry.version.name, plugin);
        entry.version.digest.clone()
    };
    let digest = in_force(&world);
    for (name, poison) in poisons(canary) {
        world.replace("routing.wasm", poison);
        world = world.restart().unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(in_force(&world), digest, "{name}");
        assert_eq!(
            world.region_for(from::BRITAIN).await,
            "eastus2",
            "{name}: as the canary says"
        );
        check_restored(&world, "plugin", true).await;
        check_restored(&world, "config", false).await;
    }
    world.replace("routing.wasm", nearest);
    world
        .until("the new version is active", |table| {
            table.services[0]
                .plugin
                .as_ref()
                .is_some_and(|it| it.version.digest != digest)
        })
        .await;
    check_restored(&world, "plugin", false).await;
}

#[tokio::test]
async fn a_bad_database_is_replaced_by_the_last_good_one() {
    let good = portolan_tests::fixture("maxmind/test-data/GeoLite2-City-Test.mmdb");
    let mut world = Setup::three_regions()
        .file("city.mmdb", &good)
        .with("geo: { database: city.mmdb }")
        .keeping()
        .start();
    world.until_kept(1).await;
    // By the embedded table, this client is somewhere else.
    assert_eq!(world.region_for("175.16.199.1").await, "southeastasia");
    let before = |world: &World| world.app().tables().current().geo.places.info().database.clone();
    let database = before(&world);
    for (name, poison) in poisons(&good) {
        world.replace("city.mmdb", poison);
        world = world.restart().unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(before(&world), database, "{name}");
        assert_eq!(world.region_for("175.16.199.1").await, "southeastasia", "{name}");
        check_restored(&world, "geo", true).await;
    }
}

#[tokio::test]
async fn with_every_file_bad_the_last_good_ones_start() {
    let good = portolan_tests::fixture("maxmind/test-data/GeoLite2-City-Test.mmdb");
    let world = with_plugin(embedded("canary"))
        .file("city.mmdb", &good)
        .with("geo: { database: city.mmdb }")
        .start();
    world.until_kept(1).await;
    for file in ["portolan.yaml", "routing.wasm", "city.mmdb"] {
        world.replace(file, "poison");
    }
    let world = world.restart().expect("as it was");
    assert_eq!(world.region_for("175.16.199.1").await, "eastus2");
    for what in ["config", "plugin", "geo"] {
        check_restored(&world, what, true).await;
    }
}

#[tokio::test]
async fn files_that_were_never_accepted_are_rejected_at_the_start() {
    // For the first time, with a folder to keep things in.
    let first = Setup::three_regions().keeping().file("portolan.yaml", "listeners: 5");
    let error = first.try_start().expect_err("there is no last good one");
    assert!(error.contains("listeners"), "{error}");

    // With one that was good, and no folder.
    let world = Setup::three_regions().start();
    world.replace("portolan.yaml", "listeners: 5");
    let error = world.restart().expect_err("nothing was kept");
    assert!(error.contains("listeners"), "{error}");
}

#[tokio::test]
async fn a_configuration_whose_plugin_was_never_accepted_is_replaced_by_the_one_before() {
    let world = Setup::three_regions().keeping().start();
    world.until_kept(1).await;
    world.replace("routing.wasm", "poison");
    world.reconfigure(|text| {
        let text = text.replace("  shop:\n", "  shop:\n    policy: { plugin: routing }\n");
        format!("{text}plugins: {{ routing: {{ source: ./routing.wasm }} }}\n")
    });
    world.until_rejected(Kind::Config).await;
    let world = world.restart().expect("the configuration before");
    assert!(world.app().tables().current().settings.plugins.is_empty());
    check_restored(&world, "config", true).await;
}

fn with_plugin(wasm: &[u8]) -> Setup {
    Setup::three_regions()
        .service("policy: { plugin: routing }\nhealth_check: { path: /healthz, interval: 100ms, timeout: 100ms }")
        .file("routing.wasm", wasm)
        .with(
            "plugins:\n  routing: { source: ./routing.wasm, config: { percent: 100, region: eastus2 }, deadline: 200ms }",
        )
        .keeping()
}

fn embedded(name: &str) -> &'static [u8] {
    portolan::plugin::embedded::find(name).expect("an embedded plugin")
}

#[tokio::test]
async fn a_drain_outlives_a_restart_until_it_is_ended() {
    let world = Setup::three_regions().keeping().start();
    world.until_kept(1).await;
    let order = |what: &str| Request::new(http::Method::POST, &format!("/api/v1/regions/westeurope/{what}"));
    assert_eq!(world.admin(order("drain")).await.status, 200);
    let mut world = world.restart().expect("started");
    // From the very first request on.
    assert_ne!(world.region_for(from::BRITAIN).await, "westeurope");
    world.until_state("eastus2", State::Healthy).await;
    let regions = world.admin(Request::get("/api/v1/regions")).await.json();
    let region = &regions["services"][0]["regions"][0];
    assert_eq!(
        (&region["region"], &region["state"]),
        (&"westeurope".into(), &"draining".into())
    );
    assert_eq!(region["drained"]["from"], "127.0.0.1", "{region}");
    assert!(region["drained"]["since"].is_string(), "{region}");

    // Also while the configuration does not have the region.
    let text = std::fs::read_to_string(world.config_path()).expect("read");
    let without: String = text
        .lines()
        .filter(|line| !line.contains("westeurope"))
        .map(|line| format!("{line}\n"))
        .collect();
    world.replace("portolan.yaml", &without);
    world = world.restart().expect("started");
    world.replace("portolan.yaml", &text);
    let back = |table: &portolan::table::RoutingTable| table.config().services()[0].gateways().len() == 3;
    let table = world.until("the region is back", back).await;
    assert_eq!(table.health.services()[0].gateways()[0].state, State::Draining);

    assert_eq!(world.admin(order("undrain")).await.status, 200);
    let world = world.restart().expect("started");
    world.until_state("westeurope", State::Healthy).await;
    let regions = world.admin(Request::get("/api/v1/regions")).await.json();
    assert!(regions["services"][0]["regions"][0]["drained"].is_null(), "{regions}");
}
