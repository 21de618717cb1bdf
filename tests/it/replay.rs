//! An access log of the running proxy, decided again.

use portolan::config;
use portolan::control::load;
use portolan::plugin::PluginEngine;
use portolan::rehearse::Basis;
use portolan::rehearse::replay::{Options, Report, run};
use portolan_core::health::State;
use portolan_tests::{Behaviour, Request, Setup, World, from};
use std::num::NonZeroUsize;
use std::path::Path;
use std::thread;

const CLIENTS: [&str; 4] = [from::BRITAIN, from::AMERICA, from::SINGAPORE, from::NOWHERE];

const CHECK: &str = "health_check: { path: /healthz, interval: 100ms, timeout: 100ms }";

/// On a thread of its own: a basis has a runtime, which may not end within another one.
fn replay(log: &[u8], config: &str, folder: &Path, all_healthy: bool) -> Report {
    let replay = || replayed(log, config, folder, all_healthy);
    thread::scope(|scope| scope.spawn(replay).join().expect("a report"))
}

fn replayed(log: &[u8], config: &str, folder: &Path, all_healthy: bool) -> Report {
    let configuration = config::parse(config.as_bytes(), &folder.join("portolan.yaml"));
    let configuration = configuration.unwrap_or_else(|errors| panic!("{errors}"));
    let engine = PluginEngine::new(1).expect("an engine");
    let load = load::named(configuration, &engine, false).unwrap_or_else(|errors| panic!("{errors}"));
    let options = Options {
        all_healthy,
        threads: NonZeroUsize::new(2).expect("two"),
    };
    let basis = Basis::new(load.loaded, engine).expect("a basis");
    run(log, basis, options, |_, _| {}).expect("read")
}

/// The log of 40 requests of each client, half of them after the region closest to Britain has failed.
async fn logged(setup: Setup) -> (World, Vec<u8>) {
    let world = setup.logging().start();
    world.until_healthy().await;
    for failed in [false, true] {
        if failed {
            world.behave("westeurope", Behaviour::Dead);
            world.until_state("westeurope", State::Unhealthy).await;
        }
        for number in 0..20 {
            for client in CLIENTS {
                let request = Request::get(&format!("/{number}")).from(client);
                assert_eq!(world.send(request).await.status, 200);
            }
        }
    }
    world.until_logged(40 * CLIENTS.len()).await;
    let log = std::fs::read(world.folder().join("access.log")).expect("read");
    (world, log)
}

fn config_of(world: &World) -> String {
    std::fs::read_to_string(world.config_path()).expect("read")
}

#[tokio::test]
async fn a_log_decided_again_by_its_own_configuration_moves_nothing() {
    for policy in ["latency", "weighted", "priority"] {
        let setup = Setup::three_regions().service(&format!("policy: {policy}\n{CHECK}"));
        let (world, log) = logged(setup).await;
        let report = replay(&log, &config_of(&world), world.folder(), false);
        assert_eq!(
            (report.decided, report.moved, report.bad_lines),
            (160, 0, 0),
            "{policy}: {:?}",
            report.moves
        );
        assert!(report.not_decided.is_empty(), "{:?}", report.not_decided);
        // With all regions healthy, what had failed over goes back; how much of it, chance decides where there are weights.
        let report = replay(&log, &config_of(&world), world.folder(), true);
        // With weights, a region more is drawn from, which moves others too.
        let back = |to: &str| policy == "weighted" || to == "westeurope";
        assert!(
            report.moves.iter().all(|it| back(&it.to)),
            "{policy}: {:?}",
            report.moves
        );
        let expected = match policy {
            "latency" => 20..=60,
            "priority" => 80..=80,
            _ => 1..=79,
        };
        assert!(expected.contains(&report.moved), "{policy}: {:?}", report.moves);
    }
}

#[tokio::test]
async fn what_another_configuration_moves_is_told_by_region_and_country() {
    let (world, log) = logged(Setup::three_regions()).await;
    let changed = config_of(&world).replacen("region: eastus2,", "region: eastus2, priority: 1,", 1);
    let report = replay(&log, &changed, world.folder(), false);
    assert_eq!(report.decided, 160);
    let america = report
        .moves
        .iter()
        .find(|it| it.from == "eastus2" && it.to == "westeurope");
    let america = america.unwrap_or_else(|| panic!("{:?}", report.moves));
    assert!(america.entries >= 20, "{america:?}");
    let country = america.countries.iter().find(|it| it.country == "US");
    let country = country.unwrap_or_else(|| panic!("{america:?}"));
    assert_eq!(country.entries, 20, "while it was healthy");
    assert!(country.after_ms > country.before_ms, "it is farther: {country:?}");
    assert!(report.moves.iter().all(|it| it.to != "eastus2"), "{:?}", report.moves);
    let (before, after) = (report.services[0].before.mean_ms, report.services[0].after.mean_ms);
    assert!(after > before, "{before:?} {after:?}");
    // The other region is gone altogether, and a route of another service takes its clients.
    let renamed = config_of(&world)
        .replace("service: shop", "service: store")
        .replace("  shop:", "  store:");
    let report = replay(&log, &renamed, world.folder(), false);
    assert_eq!(
        (report.decided, report.moved, report.services[0].service.as_str()),
        (160, 0, "store")
    );
}

#[test]
fn what_cannot_be_decided_again_is_counted_with_the_reason() {
    let folder = tempfile::tempdir().expect("a folder");
    let setup = Setup::three_regions().routes(
        "- { host: \"*\", path: /beta, headers: { x-beta: \"1\" }, service: shop }\n- { host: \"*\", path: /old, redirect: { path: /new } }",
    );
    let entry = |rest: &str| {
        format!(
            "{{\"client\":\"{}\",\"method\":\"GET\",\"host\":\"a\",\"path\":\"/\",\"service\":\"shop\",{rest}}}\n",
            from::BRITAIN
        )
    };
    let log = [
        entry("\"by\":\"policy\",\"region\":\"eastus2\",\"outcome\":\"2xx\",\"reason\":\"latency\",\"attempts\":[]"),
        entry("\"by\":\"learned\",\"region\":\"eastus2\",\"outcome\":\"2xx\""),
        entry("\"outcome\":\"rate_limited\",\"attempts\":[]"),
        entry("\"by\":\"policy\",\"outcome\":\"client_gone\",\"attempts\":[]"),
        entry("\"by\":\"policy\",\"region\":\"eastus2\"").replace(from::BRITAIN, "somebody"),
        entry("\"by\":\"policy\",\"region\":\"eastus2\"").replace("shop", "unheard"),
        "{\"client\":\"192.0.2.1\"\n".to_owned(),
        "\n".to_owned(),
        "no json\n".to_owned(),
    ]
    .concat();
    let report = replay(log.as_bytes(), &setup.config(), folder.path(), false);
    assert_eq!((report.decided, report.moved), (1, 1), "{report:?}");
    assert_eq!(
        (report.moves[0].from.as_str(), report.moves[0].to.as_str()),
        ("eastus2", "westeurope")
    );
    let reasons: Vec<_> = report
        .not_decided
        .iter()
        .map(|it| (it.reason.as_str(), it.entries))
        .collect();
    let expected = [
        ("no client address", 1),
        ("unknown service unheard", 1),
        ("ended before the decision: rate_limited", 1),
        ("ended before an attempt: client_gone", 1),
        ("decided by learned round trips, which a log does not have", 1),
    ];
    assert_eq!(reasons, expected);
    let places: Vec<_> = report
        .first_bad_lines
        .iter()
        .map(|bad| (bad.line, bad.column))
        .collect();
    assert_eq!((report.bad_lines, places), (2, vec![(7, 21), (9, 2)]));
    assert!(report.notes[0].contains("depend on headers"), "{:?}", report.notes);
}

#[tokio::test]
async fn lines_of_a_sample_count_as_what_they_stand_for() {
    let (world, log) = logged(Setup::three_regions()).await;
    let log = String::from_utf8(log).expect("text");
    let sampled = log.replace("{\"time\"", "{\"weight\":2.5,\"time\"");
    let changed = config_of(&world).replacen("region: eastus2,", "region: eastus2, priority: 1,", 1);
    let all = replay(log.as_bytes(), &changed, world.folder(), false);
    let report = replay(sampled.as_bytes(), &changed, world.folder(), false);
    assert_eq!((all.decided, report.decided, report.bad_lines), (160, 400, 0));
    assert!(
        all.moved > 0 && report.moved == all.moved * 5 / 2,
        "{} {}",
        all.moved,
        report.moved
    );
    assert!((report.share - all.share).abs() < 1e-9);
    assert_eq!(report.moves[0].before_ms, all.moves[0].before_ms);
}
