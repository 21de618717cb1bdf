//! Rollouts of plugin versions: shadow, canary, roll-back by themselves, and what operators order.

use http::Method;
use portolan::plugin::embedded;
use portolan_tests::{Behaviour, Load, Request, Setup, World, from, hostile};
use serde_json::Value;
use std::time::{Duration, Instant};

fn embedded(name: &str) -> &'static [u8] {
    embedded::find(name).expect("an embedded plugin")
}

fn sha256(component: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(component)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Three regions and a plugin that begins as `nearest`, with this configuration and these keys. A region that fails one request of ten
/// is not ejected: there would be nothing left to judge a version by.
fn with_plugin(config: &str, keys: &str) -> Setup {
    Setup::three_regions()
        .service("policy: { plugin: routing }\nhealth_check: { path: /healthz, interval: 100ms, timeout: 100ms }\noutlier_detection: { failure_percent: 50% }")
        .file("routing.wasm", embedded("nearest"))
        .with(&format!(
            "plugins:\n  routing: {{ source: ./routing.wasm, config: {config}, deadline: 200ms{keys} }}"
        ))
}

async fn order(world: &World, what: &str, component: &[u8]) -> Value {
    let path = format!("/api/v1/plugins/routing/{what}");
    let answer = world.admin(Request::post(&path, component.to_vec())).await;
    assert_eq!(answer.status, 200, "{what}: {}", answer.text());
    answer.json()
}

async fn shown(world: &World) -> Value {
    world.admin(Request::get("/api/v1/plugins")).await.json()["plugins"][0].clone()
}

/// Waits for an event of this kind after a number, and gives it.
async fn event(world: &World, since: u64, kind: &str) -> Value {
    let (begun, mut since) = (Instant::now(), since);
    loop {
        let page = world
            .admin(Request::get(&format!("/api/v1/events?since={since}&wait=10s")))
            .await
            .json();
        let events = page["events"].as_array().expect("a list");
        if let Some(found) = events.iter().find(|event| event["kind"] == kind) {
            return found.clone();
        }
        since = page["latest"].as_u64().expect("a number");
        assert!(begun.elapsed() < Duration::from_secs(60), "no {kind}: {page}");
    }
}

fn number(event: &Value) -> u64 {
    event["number"].as_u64().expect("a number")
}

/// Why a request goes where it goes.
async fn reason(world: &World) -> String {
    let answer = world.send(Request::get("/").from(from::BRITAIN)).await;
    answer.header("x-portolan-reason").to_owned()
}

async fn active(world: &World, version: &str) {
    world
        .until("this version is active", |table| {
            let entry = table.services[0].plugin.as_ref();
            entry.is_some_and(|entry| entry.version.digest == version)
        })
        .await;
}

/// Eight clients of as many networks each as there are paths, over and over.
fn fleet(world: &World, paths: &[&str]) -> Load {
    let clients = (0..8_u8).map(|client| {
        let requests = paths.iter().enumerate().map(|(number, path)| {
            let network = format!("{}.{}.{}.7", 81 + client, number / 256, number % 256);
            Request::get(path).from(&network)
        });
        requests.collect()
    });
    Load::start_with(world.proxy(), clients.collect())
}

/// So many paths, of which every hundredth is this one.
fn one_of_hundred(path: &'static str) -> Vec<&'static str> {
    (0..1_000)
        .map(|number| if number % 100 == 7 { path } else { "/" })
        .collect()
}

/// For what is rolled back because of something else: on a busy machine the hostile plugin's calls take longer as well.
const WHATEVER_IT_COSTS: &str = ", rollout: { canary: [10%], step: manual, rollback: { cost: 1s } }";

/// Deploys the hostile plugin as a canary of 10 % under load, and waits until it is rolled back by itself.
async fn degraded((config, keys): (&str, &str), paths: &[&str], region: Option<(&str, Behaviour)>) -> String {
    let world = with_plugin(config, keys).start();
    world.until_healthy().await;
    let mut load = fleet(&world, paths);
    load.more(500).await;
    if let Some((region, behaviour)) = region {
        world.behave(region, behaviour);
    }
    order(&world, "deploy?stage=canary&share=10%25&reason=test", hostile()).await;
    let begun = Instant::now();
    let event = event(&world, 0, "plugin_rolled_back").await;
    println!("{config}: {} after {:?}", event["reason"], begun.elapsed());
    let (good, bad) = (sha256(embedded("nearest")), sha256(hostile()));
    assert_eq!(event["digest"], bad.as_str(), "{event}");
    active(&world, &good).await;
    load.more(500).await;
    let tally = load.stop().await;
    assert!(tally.failures.is_empty(), "no request is spoiled: {tally:?}");
    let plugin = shown(&world).await;
    assert!(plugin["rollout"].is_null(), "{plugin}");
    assert!(plugin["suspended"][&bad].is_object(), "{plugin}");
    let metrics = world.admin(Request::get("/metrics")).await.text();
    let rolled_back = "portolan_plugin_rollbacks_total{plugin=\"routing\",cause=";
    assert!(metrics.contains(rolled_back), "{metrics}");
    event["reason"].as_str().expect("a reason").to_owned()
}

#[tokio::test]
async fn a_canary_that_traps_is_rolled_back() {
    let reason = degraded(
        ("{ fault: trap, path: /boom }", WHATEVER_IT_COSTS),
        &one_of_hundred("/boom"),
        None,
    )
    .await;
    assert!(
        reason.starts_with("canary 10 %: ") && reason.ends_with("calls failed"),
        "{reason}"
    );
}

#[tokio::test]
async fn a_canary_that_is_two_milliseconds_slower_is_rolled_back() {
    let reason = degraded(("{ fault: slow, path: /slow }", ""), &["/slow"; 1_000], None).await;
    assert!(reason.contains("a call takes"), "{reason}");
}

#[tokio::test]
async fn a_canary_that_exceeds_its_deadline_is_rolled_back() {
    let reason = degraded(
        ("{ fault: loop, path: /loop }", WHATEVER_IT_COSTS),
        &one_of_hundred("/loop"),
        None,
    )
    .await;
    assert!(reason.ends_with("exceeded the deadline"), "{reason}");
}

#[tokio::test]
async fn a_canary_that_sends_clients_to_a_failing_region_is_rolled_back() {
    let region = Some(("southeastasia", Behaviour::Flaky));
    let reason = degraded(("{ fault: none }", WHATEVER_IT_COSTS), &["/"; 1_000], region).await;
    assert!(reason.contains("requests that it decided failed"), "{reason}");
}

#[tokio::test]
async fn a_new_file_passes_through_the_stages_by_itself() {
    let rollout = ", rollout: { shadow: 1s, canary: [10%, 50%], step: 1s }";
    let world = with_plugin("{ percent: 100, region: eastus2 }", rollout)
        .keeping()
        .start();
    world.until_healthy().await;
    let load = fleet(&world, &["/"; 1_000]);
    world.replace("routing.wasm", embedded("canary"));
    let mut since = 0;
    let canary = sha256(embedded("canary"));
    for (kind, reason) in [
        ("plugin_shadow", "shadow: its file changed"),
        ("plugin_canary", "canary 10 %"),
        ("plugin_canary", "canary 50 %"),
        ("plugin_active", ""),
    ] {
        let event = event(&world, since, kind).await;
        assert_eq!(event["digest"], canary.as_str(), "{event}");
        assert!(
            event["reason"].as_str().is_some_and(|it| it.starts_with(reason)),
            "{event}"
        );
        since = number(&event);
    }
    active(&world, &canary).await;
    let tally = load.stop().await;
    assert!(tally.failures.is_empty(), "{tally:?}");
    let plugin = shown(&world).await;
    assert!(
        plugin["rolled_back"].is_null() && plugin["deployed"].is_null(),
        "{plugin}"
    );
    world.until_kept(2).await;
    let world = world.restart().expect("started");
    active(&world, &canary).await;
}

#[tokio::test]
async fn a_canary_decides_for_whole_networks_and_a_steady_share() {
    let world = with_plugin("{ percent: 100, region: eastus2 }", "").start();
    world.until_healthy().await;
    let change = order(&world, "deploy?stage=canary&share=25%25", embedded("canary")).await;
    assert_eq!(
        (change["state"].as_str(), change["share"].as_str()),
        (Some("canary"), Some("25 %"))
    );
    assert_eq!(change["kept"], false, "there is no state directory");
    let mut canaries = 0;
    for network in 0..120 {
        let region = |host: u8| {
            let address = format!("81.2.{network}.{host}");
            let request = Request::get("/").from(&address);
            async { world.send(request).await.region() }
        };
        let first = region(1).await;
        assert_eq!(region(200).await, first, "one network, two versions");
        canaries += u32::from(first == "eastus2");
    }
    assert!((12..=50).contains(&canaries), "{canaries} of 120 at 25 %");
    let plugin = shown(&world).await;
    assert_eq!(plugin["rollout"]["stage"], "canary", "{plugin}");
    assert_eq!(plugin["rollout"]["candidate"]["calls"], 2 * canaries, "{plugin}");
    assert_eq!(
        plugin["rollout"]["active"]["requests"],
        2 * (120 - canaries),
        "{plugin}"
    );
    let metrics = world.admin(Request::get("/metrics")).await.text();
    assert!(
        metrics.contains("portolan_plugin_canary_ratio{plugin=\"routing\"} 0.25"),
        "{metrics}"
    );
    order(&world, "promote?full=true", b"").await;
    assert_eq!(world.region_for("81.2.0.1").await, "eastus2");
    assert_eq!(shown(&world).await["digest"], sha256(embedded("canary")));
}

#[tokio::test]
async fn a_shadow_changes_no_answer_and_shows_what_it_would() {
    let world = with_plugin("{ percent: 100, region: eastus2 }", "").start();
    world.until_healthy().await;
    order(&world, "deploy?stage=shadow", embedded("canary")).await;
    for _ in 0..20 {
        assert_eq!(world.region_for(from::BRITAIN).await, "westeurope");
        assert_eq!(world.region_for(from::AMERICA).await, "eastus2");
    }
    let is_done = |plugin: &Value| plugin["rollout"]["shadow"]["compared"] == 40;
    let begun = Instant::now();
    let plugin = loop {
        let plugin = shown(&world).await;
        if is_done(&plugin) {
            break plugin;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{plugin}");
        tokio::task::yield_now().await;
    };
    let shadow = &plugin["rollout"]["shadow"];
    assert_eq!(shadow["differ_percent"], 50.0, "{shadow}");
    assert_eq!(shadow["countries"]["GB"], 100.0, "{shadow}");
    assert_eq!(shadow["countries"]["US"], 0.0, "{shadow}");
    assert_eq!(shadow["changes"]["westeurope → eastus2"], 20, "{shadow}");
    assert!(
        shadow["round_trip_change_ms"].as_f64().is_some_and(|ms| ms > 10.0),
        "{shadow}"
    );
    assert_eq!(plugin["rollout"]["candidate"]["calls"], 40, "{plugin}");
    let metrics = world.admin(Request::get("/metrics")).await.text();
    let different = "portolan_plugin_shadow_decisions_total{plugin=\"routing\",result=\"different\"} 20";
    assert!(metrics.contains(different), "{metrics}");
    // Without times in the configuration, it stays until it is promoted.
    order(&world, "promote", b"").await;
    assert_eq!(world.region_for(from::BRITAIN).await, "eastus2");
}

#[tokio::test]
async fn a_rollout_goes_on_after_a_restart() {
    let rollout = ", rollout: { shadow: 1h, canary: [100%], step: manual }";
    let world = with_plugin("{ percent: 100, region: eastus2 }", rollout)
        .keeping()
        .start();
    world.until_kept(1).await;
    let (nearest, canary) = (sha256(embedded("nearest")), sha256(embedded("canary")));
    world.replace("routing.wasm", embedded("canary"));
    event(&world, 0, "plugin_shadow").await;
    let change = order(&world, "promote", b"").await;
    assert_eq!(
        (change["state"].as_str(), change["kept"].as_bool()),
        (Some("canary"), Some(true))
    );

    let world = world.restart().expect("started");
    event(&world, 0, "plugin_canary").await;
    world.until_healthy().await;
    let plugin = shown(&world).await;
    assert_eq!(plugin["digest"], nearest.as_str(), "{plugin}");
    assert_eq!(plugin["rollout"]["digest"], canary.as_str(), "{plugin}");
    world
        .until("the canary decides", |table| {
            table.services[0]
                .plugin
                .as_ref()
                .is_some_and(|entry| entry.trial.is_some())
        })
        .await;
    assert_eq!(
        world.region_for(from::BRITAIN).await,
        "eastus2",
        "the canary has everyone"
    );
    // A reload of the configuration changes nothing of it.
    world.reconfigure(|text| text.replace("deadline: 200ms", "deadline: 300ms"));
    event(&world, 0, "config_accepted").await;
    let plugin = shown(&world).await;
    assert_eq!(plugin["rollout"]["digest"], canary.as_str(), "{plugin}");
    assert_eq!(plugin["digest"], nearest.as_str(), "{plugin}");

    order(&world, "promote", b"").await;
    active(&world, &canary).await;
    let world = world.restart().expect("started");
    active(&world, &canary).await;
    assert!(shown(&world).await["rollout"].is_null());
}

#[tokio::test]
async fn a_version_that_was_rolled_back_does_not_come_back_by_itself() {
    let rollout = ", rollout: { canary: [100%], step: 1h }";
    let world = with_plugin("{ fault: trap, path: /boom }", rollout).keeping().start();
    world.until_healthy().await;
    let (nearest, bad) = (sha256(embedded("nearest")), sha256(hostile()));
    world.replace("routing.wasm", hostile());
    event(&world, 0, "plugin_canary").await;
    world
        .until("the canary decides", |table| {
            table.services[0]
                .plugin
                .as_ref()
                .is_some_and(|entry| entry.trial.is_some())
        })
        .await;
    for _ in 0..5 {
        let answer = world.send(Request::get("/boom").from(from::BRITAIN)).await;
        assert_eq!((answer.status.as_u16(), answer.region().as_str()), (200, "westeurope"));
    }
    event(&world, 0, "plugin_suspended").await;
    assert_eq!(shown(&world).await["rolled_back"]["configured"], bad.as_str());

    // Neither a restart, nor another version in between, brings it back.
    let world = world.restart().expect("started");
    active(&world, &nearest).await;
    let third: Vec<u8> = [embedded("nearest"), &[0, 5, 4, b'n', b'o', b't', b'e']].concat();
    world.replace("routing.wasm", &third);
    let canary = event(&world, 0, "plugin_canary").await;
    assert_eq!(canary["digest"], sha256(&third));
    order(&world, "promote", b"").await;
    active(&world, &sha256(&third)).await;
    world.replace("routing.wasm", hostile());
    let rejected = event(&world, number(&canary), "plugin_rejected").await;
    assert!(
        rejected["reason"].as_str().is_some_and(|it| it.contains("suspended")),
        "{rejected}"
    );
    active(&world, &sha256(&third)).await;
    let world = world.restart().expect("started");
    active(&world, &sha256(&third)).await;

    // An operator may want it.
    let refused = world.admin(Request::post("/api/v1/plugins/routing/promote", "")).await;
    assert_eq!(refused.status, 409, "{}", refused.text());
    order(&world, "promote?force=true", b"").await;
    active(&world, &bad).await;
    assert_eq!(shown(&world).await["suspended"], serde_json::json!({}));
}

#[tokio::test]
async fn what_operators_order_survives_reloads_and_restarts() {
    let world = with_plugin("{ percent: 100, region: eastus2 }", "").keeping().start();
    world.until_healthy().await;
    let (nearest, canary) = (sha256(embedded("nearest")), sha256(embedded("canary")));
    let path = "deploy?stage=active&reason=nearer%20to%20us&author=alice";
    assert_eq!(order(&world, path, embedded("canary")).await["kept"], true);
    let event = event(&world, 0, "plugin_active").await;
    assert_eq!(
        (event["reason"].as_str(), event["author"].as_str()),
        (Some("nearer to us"), Some("alice (127.0.0.1)"))
    );
    world.reconfigure(|text| text.replace("deadline: 200ms", "deadline: 300ms"));
    world
        .until("the configuration is reloaded", |table| {
            let entry = table.services[0].plugin.as_ref();
            entry.is_some_and(|entry| entry.version.settings.deadline == Duration::from_millis(300))
        })
        .await;
    let world = world.restart().expect("started");
    let plugin = shown(&world).await;
    assert_eq!(plugin["digest"], canary.as_str(), "{plugin}");
    assert_eq!(plugin["deployed"]["configured"], nearest.as_str(), "{plugin}");

    assert_eq!(order(&world, "off?reason=enough", b"").await["state"], "off");
    world.until_healthy().await;
    let said = reason(&world).await;
    assert!(said.starts_with("plugin; not asked"), "{said}");
    let world = world.restart().expect("started");
    world.until_healthy().await;
    assert_eq!(shown(&world).await["off"]["reason"], "enough");
    let said = reason(&world).await;
    assert!(said.starts_with("plugin; not asked"), "{said}");
    let again = world.admin(Request::post("/api/v1/plugins/routing/off", "")).await;
    assert_eq!(again.status, 409, "{}", again.text());
    order(&world, "on", b"").await;
    let said = reason(&world).await;
    assert!(said.starts_with("plugin; because="), "{said}");

    // Back to what is configured.
    order(&world, "rollforward", b"").await;
    active(&world, &nearest).await;
    assert!(shown(&world).await["deployed"].is_null());
}

#[tokio::test]
async fn orders_that_cannot_be_carried_out_say_why() {
    let world = with_plugin("{}", "").start();
    for (path, body, status, why) in [
        ("nothing/deploy", embedded("canary"), 404, "there is no plugin nothing"),
        ("routing/deploy", b"", 400, "the component is missing"),
        ("routing/deploy?stage=all", embedded("canary"), 400, "stage=all"),
        (
            "routing/deploy?stage=canary&share=10",
            embedded("canary"),
            400,
            "share=10",
        ),
        (
            "routing/deploy?share=10%25",
            embedded("canary"),
            400,
            "a share is for stage=canary",
        ),
        (
            "routing/deploy?why=so",
            embedded("canary"),
            400,
            "there is no parameter",
        ),
        ("routing/deploy", b"(component)", 422, "plugin routing"),
        ("routing/deploy", embedded("nearest"), 409, "is active already"),
        (
            "routing/promote",
            b"",
            409,
            "no version of plugin routing is being rolled out",
        ),
        ("routing/rollback", b"", 409, "no other version"),
        ("routing/on", b"", 409, "is on already"),
    ] {
        let request = Request::post(&format!("/api/v1/plugins/{path}"), body.to_vec());
        let answer = world.admin(request).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        let error = answer.json()["error"].as_str().unwrap_or_default().to_owned();
        assert!(error.contains(why), "{path}: {error}");
    }
    let get = world
        .admin(Request::new(Method::GET, "/api/v1/plugins/routing/deploy"))
        .await;
    assert_eq!(get.status, 405);
    let events = world.admin(Request::get("/api/v1/events?since=x")).await;
    assert_eq!(events.status, 400, "{}", events.text());
}

#[tokio::test]
async fn a_quarantine_is_an_event() {
    let world = with_plugin("{ fault: trap, path: /boom }", "").start();
    order(&world, "deploy?stage=active", hostile()).await;
    // Of one worker at least.
    for _ in 0..60 {
        world.send(Request::get("/boom").from(from::BRITAIN)).await;
    }
    let event = event(&world, 0, "plugin_quarantined").await;
    assert_eq!(event["digest"], sha256(hostile()));
    assert!(
        event["reason"].as_str().is_some_and(|it| it.starts_with("trap: ")),
        "{event}"
    );
}

/// Three hundred by default; `PORTOLAN_SWAPS` says how many. Prints the memory of this process during each tenth.
#[tokio::test]
async fn hundreds_of_swaps_under_load_lose_nothing() {
    let swaps = std::env::var("PORTOLAN_SWAPS")
        .ok()
        .and_then(|swaps| swaps.parse().ok());
    let swaps: usize = swaps.unwrap_or(300);
    let world = with_plugin("{ percent: 100, region: eastus2 }", "").start();
    world.until_healthy().await;
    let mut load = world.load(&[from::BRITAIN; 8]);
    let mut memory = Vec::new();
    for swap in 0..swaps {
        order(&world, "deploy?stage=active", embedded(["canary", "nearest"][swap % 2])).await;
        load.more(4).await;
        memory.push(resident());
    }
    let tally = load.stop().await;
    assert!(tally.failures.is_empty(), "{tally:?}");
    assert!(
        tally.regions["westeurope"] > 0 && tally.regions["eastus2"] > 0,
        "{tally:?}"
    );
    let mean = |part: &[usize]| part.iter().sum::<usize>() as f64 / part.len() as f64 / f64::from(1 << 20);
    let tenths: Vec<_> = memory
        .chunks(swaps.div_ceil(10))
        .map(|part| format!("{:.1}", mean(part)))
        .collect();
    println!(
        "{swaps} swaps, {} requests, memory by tenths in MiB: {}",
        tally.answers(),
        tenths.join(" ")
    );
}

/// The memory of this process, in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("memory");
    let kib: usize = line
        .split_whitespace()
        .nth(1)
        .and_then(|kib| kib.parse().ok())
        .expect("a number");
    kib * 1024
}

/// The commands, against the same instance.
#[tokio::test]
async fn commands_deploy_promote_and_roll_back() {
    let world = with_plugin("{ percent: 100, region: eastus2 }", "")
        .file("canary.wasm", embedded("canary"))
        .start();
    world.until_healthy().await;
    let admin = format!("http://{}", world.app().admin());
    let file = world.folder().join("canary.wasm").display().to_string();
    let run = async |arguments: &[&str]| {
        let mut line = vec!["portolan", "plugin"];
        line.extend(arguments);
        line.extend(["--admin", &admin]);
        let line: Vec<_> = line.into_iter().map(std::ffi::OsString::from).collect();
        let ended = tokio::task::spawn_blocking(move || portolan::cli::run(line)).await;
        format!("{:?}", ended.expect("it ends"))
    };
    let success = format!("{:?}", std::process::ExitCode::SUCCESS);
    let stage = async || shown(&world).await["rollout"]["stage"].as_str().map(ToOwned::to_owned);
    assert_eq!(
        run(&["deploy", "routing", &file, "--shadow", "--reason", "a test"]).await,
        success
    );
    assert_eq!(stage().await.as_deref(), Some("shadow"));
    assert_eq!(run(&["status"]).await, success);
    assert_eq!(run(&["status", "routing", "--json"]).await, success);
    assert_ne!(run(&["status", "other"]).await, success);
    assert_eq!(run(&["rollback", "routing"]).await, success);
    assert_eq!(stage().await, None);
    assert_eq!(run(&["deploy", "routing", &file, "--canary", "10%"]).await, success);
    assert_eq!(stage().await.as_deref(), Some("canary"));
    assert_eq!(run(&["promote", "routing"]).await, success);
    active(&world, &sha256(embedded("canary"))).await;
    assert_eq!(run(&["off", "routing"]).await, success);
    assert_eq!(run(&["on", "routing"]).await, success);
    assert_eq!(run(&["rollback", "routing", "--author", "bob"]).await, success);
    active(&world, &sha256(embedded("nearest"))).await;
    assert_ne!(run(&["rollback", "routing"]).await, success);
    let events = world.admin(Request::get("/api/v1/events")).await.json();
    let last = events["events"]
        .as_array()
        .and_then(|events| events.iter().rfind(|event| event["kind"] == "plugin_active"))
        .expect("an event");
    assert_eq!(last["author"].as_str(), Some("bob (127.0.0.1)"));
    // The order that was refused is an action too.
    let audited = events["events"].as_array().and_then(|events| events.last());
    assert_eq!(audited.expect("an event")["kind"], "operator_action");
}
