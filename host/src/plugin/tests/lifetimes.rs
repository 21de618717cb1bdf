//! How long instances and versions live.

use super::*;
use portolan_core::id::Generation;
use std::sync::Weak;

/// A canary for a region that the service does not have counts every `update`, and so every instance that is made.
fn counting(name: &str, isolation: Isolation) -> Arc<PluginVersion> {
    let settings = PluginSettings {
        isolation,
        ..settings(r#"{"region":"nowhere","percent":5,"header":"x-roll"}"#)
    };
    load(name, embedded::CANARY, &settings).unwrap()
}

/// Asks so often that nothing can be remembered, and returns how many instances were made for it.
fn instances_for(name: &str, version: &Arc<PluginVersion>, worker: &mut PluginWorker, calls: u32, now: Instant) -> u64 {
    let before = counted(name, "region-missing");
    for call in 0..calls {
        let [_, a, b, c] = call.to_be_bytes();
        let client = Client {
            ip: [10 + a, b, c, 1].into(),
            now,
            ..Client::default()
        };
        client.ask(worker, version).unwrap();
    }
    counted(name, "region-missing") - before
}

#[test]
fn an_instance_serves_thousands_of_requests() {
    let (version, now) = (counting("many", Isolation::Reuse), Instant::now());
    let made: Vec<u64> = (0..8)
        .map(|seed| {
            let mut worker = PluginWorker::new(engine().clone(), 0, seed);
            instances_for("many", &version, &mut worker, 9_000, now)
        })
        .collect();
    assert!(
        made.iter().all(|made| (1..=2).contains(made)),
        "8192 answers, 25 % more or less: {made:?}"
    );
    assert!(
        made.contains(&1) && made.contains(&2),
        "instances of different workers end at different times: {made:?}"
    );
}

#[test]
fn an_instance_grows_no_older_than_a_minute() {
    let (version, mut worker, now) = (counting("old", Isolation::Reuse), worker(), Instant::now());
    let mut made = |after| instances_for("old", &version, &mut worker, 10, now + Duration::from_secs(after));
    // The same networks every time: only what is not remembered reaches an instance.
    assert_eq!((made(0), made(59)), (1, 0));
    let table = RegionTable::sample().of_generation(Generation(5));
    let client = Client {
        now: now + Duration::from_secs(60),
        ..Client::default()
    };
    let before = counted("old", "region-missing");
    worker.route(&version, ServiceId(0), &table, &client.request()).unwrap();
    assert_eq!(
        counted("old", "region-missing") - before,
        1,
        "new regions for a new instance, not for both"
    );
}

#[test]
fn a_fresh_instance_for_every_request() {
    let (version, mut worker) = (counting("fresh", Isolation::Fresh), worker());
    assert_eq!(instances_for("fresh", &version, &mut worker, 50, Instant::now()), 50);
}

#[test]
fn new_regions_are_told_once() {
    let (version, mut worker) = (counting("told", Isolation::Reuse), worker());
    let mut told = |generation| {
        let before = counted("told", "region-missing");
        let table = RegionTable::sample().of_generation(Generation(generation));
        for host in 0..20 {
            let client = Client {
                ip: [10, 0, host, generation as u8].into(),
                ..Client::default()
            };
            worker.route(&version, ServiceId(0), &table, &client.request()).unwrap();
        }
        counted("told", "region-missing") - before
    };
    assert_eq!((told(1), told(1), told(2), told(3)), (1, 0, 1, 1));
}

/// What the engine's pool holds.
fn held(engine: &PluginEngine) -> u64 {
    engine
        .shared
        .engine
        .pooling_allocator_metrics()
        .map_or(0, |pool| pool.component_instances())
}

#[test]
fn versions_go_when_the_next_one_comes() {
    let engine = PluginEngine::new(2).unwrap();
    let name = PluginName::from("swapped");
    let mut workers = [0, 1].map(|worker| PluginWorker::new(engine.clone(), worker, 7));
    let mut before: Vec<Weak<PluginVersion>> = Vec::new();
    for swap in 0..200_u32 {
        // The same file again and again is a new version every time, compiled again.
        let version = engine.load(&name, embedded::NEAREST, &settings("{}"), &[]).unwrap();
        for worker in &mut workers {
            for call in 0..5 {
                assert!(
                    Client::default().ask(worker, &version).is_ok(),
                    "swap {swap}, call {call}"
                );
            }
        }
        assert!(
            before.iter().all(|old| old.strong_count() == 0),
            "swap {swap}: an old version is still held"
        );
        assert!(
            held(&engine) <= 2,
            "swap {swap}: one instance for each worker, not {}",
            held(&engine)
        );
        before = vec![Arc::downgrade(&version)];
    }
    for worker in &mut workers {
        worker.retire(&|_| false);
    }
    assert_eq!(
        (held(&engine), before[0].strong_count()),
        (0, 0),
        "and none when the plugin is gone"
    );
}

#[test]
fn requests_of_two_tables_may_alternate() {
    let versions = ["none", "duplicates"]
        .map(|fault| load("alternating", HOSTILE, &settings(&format!(r#"{{"fault":"{fault}"}}"#))).unwrap());
    let mut worker = worker();
    for call in 0..20 {
        let version = &versions[call % 2];
        assert_eq!(
            Client::default().ask(&mut worker, version).unwrap().repaired,
            call % 2 == 1
        );
    }
}

#[test]
fn what_is_not_kept_is_let_go() {
    let (version, mut worker) = (counting("retired", Isolation::Reuse), worker());
    Client::default().ask(&mut worker, &version).unwrap();
    worker.retire(&|version| version.name.as_str() == "retired");
    assert_eq!(Arc::strong_count(&version), 2);
    worker.retire(&|version| version.name.as_str() != "retired");
    assert_eq!(Arc::strong_count(&version), 1);
}

#[test]
fn the_number_of_instances_is_bounded() {
    let engine = PluginEngine::new(1).unwrap();
    let version = engine
        .load(&PluginName::from("crowd"), embedded::NEAREST, &settings("{}"), &[])
        .unwrap();
    let mut workers: Vec<_> = (0..64)
        .map(|worker| PluginWorker::new(engine.clone(), worker, 1))
        .collect();
    for worker in &mut workers {
        Client::default().ask(worker, &version).unwrap();
    }
    let mut late = PluginWorker::new(engine.clone(), 64, 1);
    assert_eq!(Client::default().ask(&mut late, &version), Err(PluginFault::Capacity));
    workers.pop();
    assert!(
        Client::default().ask(&mut late, &version).is_ok(),
        "a place that became free is taken"
    );
}

#[test]
fn a_plugin_is_loaded_at_normal_priority_when_there_is_no_time_to_spare() {
    let engine = PluginEngine::new(1).unwrap();
    // No patience at all: the gentle load is overdue at once.
    engine.begin_serving();
    engine.shared.patience.set(Duration::ZERO).unwrap();
    let name = PluginName::from("nearest");
    for _ in 0..2 {
        let version = engine.load(&name, embedded::NEAREST, &settings("{}"), &[]).unwrap();
        assert_eq!(version.name, name);
    }
    let error = engine.load(&name, b"no component", &settings("{}"), &[]).unwrap_err();
    assert!(matches!(error.problem, Problem::NotAComponent(_)), "{error}");
}

/// How many instances of a plugin were started for a reason.
fn started(plugin: &str, reason: StartReason) -> u64 {
    let readings = engine().starts().into_iter();
    readings
        .filter(|reading| reading.plugin.as_str() == plugin && reading.reason == reason)
        .map(|reading| reading.count)
        .sum()
}

#[test]
fn memory_may_grow_until_half_of_what_was_left_is_taken() {
    // Every call keeps 64 KiB, of the 2 MiB that it may have.
    let settings = PluginSettings {
        memory: 2 << 20,
        ..settings(r#"{"fault":"grow","path":"/boom"}"#)
    };
    let (version, mut worker) = (load("growing", HOSTILE, &settings).unwrap(), worker());
    let mut ask = |calls| (0..calls).for_each(|_| drop(Client::at("/boom").ask(&mut worker, &version).unwrap()));
    ask(8);
    assert_eq!(
        (
            started("growing", StartReason::First),
            started("growing", StartReason::Growth)
        ),
        (1, 0)
    );
    ask(32);
    let replaced = started("growing", StartReason::Growth);
    assert!((1..=4).contains(&replaced), "{replaced}");
    assert_eq!(started("growing", StartReason::First), 1);
}

#[test]
fn why_instances_are_started_is_counted() {
    let boom = load("counted", HOSTILE, &settings(r#"{"fault":"trap","path":"/boom"}"#)).unwrap();
    let (mut worker, now) = (worker(), Instant::now());
    let mut ask = |path, seconds| {
        let now = now + Duration::from_secs(seconds);
        let client = Client {
            now,
            ..Client::at(path)
        };
        client.ask(&mut worker, &boom).is_ok()
    };
    assert!(ask("/", 0) && !ask("/boom", 0) && ask("/", 0) && ask("/", 60));
    let counts = StartReason::ALL.map(|reason| started("counted", reason));
    assert_eq!(counts, [1, 0, 1, 0, 1, 0], "first, answers, age, growth, fault, fresh");
    let fresh = PluginSettings {
        isolation: Isolation::Fresh,
        ..settings(r#"{"fault":"none"}"#)
    };
    let fresh = load("counted-fresh", HOSTILE, &fresh).unwrap();
    (0..3).for_each(|_| drop(Client::at("/").ask(&mut worker, &fresh).unwrap()));
    assert_eq!(started("counted-fresh", StartReason::Fresh), 3);
}
