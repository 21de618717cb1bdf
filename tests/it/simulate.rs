//! Simulations: the same decisions as those of the running proxy, and what follows from them over time.

use portolan::config::{self, Happening, Scenario, ScenarioEvent};
use portolan::control::load;
use portolan::plugin::PluginEngine;
use portolan::rehearse::Basis;
use portolan::rehearse::simulate::{ClientDecision, Options, Population, Report, Simulation};
use portolan_core::geo::Country;
use portolan_core::health::State;
use portolan_tests::raw::Wire;
use portolan_tests::{Behaviour, Setup, World, from};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::path::Path;
use std::thread;
use std::time::{Duration, SystemTime};

const SEED: u64 = 20_261_128;

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn basis(config: &str) -> Basis {
    let configuration = config::parse(config.as_bytes(), Path::new("portolan.yaml"));
    let configuration = configuration.unwrap_or_else(|errors| panic!("{errors}"));
    let engine = PluginEngine::new(1).expect("an engine");
    let load = load::named(configuration, &engine, false).unwrap_or_else(|errors| panic!("{errors}"));
    Basis::new(load.loaded, engine).expect("a basis")
}

fn simulation(config: &str, scenario: Scenario, threads: usize) -> Simulation {
    let basis = basis(config);
    let asked = (scenario.host.as_str(), scenario.path.as_str());
    let clients = scenario.clients;
    let population = Population::synthetic(&basis.table().geo, clients, asked, &scenario.countries, SEED);
    assert_eq!(population.len(), clients);
    let options = Options {
        seed: SEED,
        threads: NonZeroUsize::new(threads).expect("some"),
    };
    let time = SystemTime::UNIX_EPOCH + seconds(1_800_000_000);
    Simulation::new(basis, scenario, population, options, time).unwrap_or_else(|error| panic!("{error}"))
}

fn run(config: &str, scenario: Scenario) -> Report {
    simulation(config, scenario, 2).run(&mut |_, _| {}, None)
}

fn lost(region: &str, from: u64, until: Option<u64>) -> ScenarioEvent {
    ScenarioEvent {
        from: seconds(from),
        until: until.map(seconds),
        what: Happening::Lost(region.into()),
    }
}

/// The region of each client 20 s after these were lost. On a thread of its own: a basis has a runtime, which may not end within
/// another one.
fn simulated(config: &str, regions: &[&str], clients: usize) -> Vec<(IpAddr, String)> {
    thread::scope(|scope| {
        scope
            .spawn(|| decided(config, regions, clients))
            .join()
            .expect("decisions")
    })
}

fn decided(config: &str, regions: &[&str], clients: usize) -> Vec<(IpAddr, String)> {
    let scenario = Scenario {
        clients,
        duration: seconds(21),
        events: regions.iter().map(|region| lost(region, 0, None)).collect(),
        ..Scenario::default()
    };
    let mut decided = Vec::new();
    let mut each = |decision: ClientDecision<'_>| {
        assert_eq!(decision.service, Some("shop"));
        let region = decision.region.map_or("none", |region| region.as_str());
        decided.push((decision.client, region.to_owned()));
    };
    simulation(config, scenario, 2).run(&mut |_, _| {}, Some((seconds(20), &mut each)));
    decided
}

/// The regions that answer clients at these addresses, asked over eight connections.
fn answered(world: &World, clients: &[(IpAddr, String)]) -> Vec<String> {
    let ask = |clients: &[(IpAddr, String)]| -> Vec<String> {
        let mut wire = Wire::open(world.proxy());
        let answer = |(client, _): &(IpAddr, String)| {
            wire.write(format!(
                "GET / HTTP/1.1\r\nhost: localhost\r\nx-forwarded-for: {client}\r\n\r\n"
            ));
            let answer = wire.response("GET").expect("an answer");
            assert_eq!(answer.status(), 200, "{}", answer.head);
            answer.field("x-portolan-region").unwrap_or("none").to_owned()
        };
        clients.iter().map(answer).collect()
    };
    thread::scope(|scope| {
        let parts: Vec<_> = clients
            .chunks(clients.len().div_ceil(8))
            .map(|part| scope.spawn(move || ask(part)))
            .collect();
        parts
            .into_iter()
            .flat_map(|part| part.join().expect("answers"))
            .collect()
    })
}

#[tokio::test]
async fn the_running_proxy_and_a_simulation_agree_on_ten_thousand_clients_one_by_one() {
    let world = Setup::three_regions()
        .service("health_check: { path: /healthz, interval: 100ms, timeout: 100ms }\nslow_start: 0s")
        .start();
    world.until_healthy().await;
    let config = std::fs::read_to_string(world.config_path()).expect("read");
    let phases: [(&[&str], usize); 4] = [
        (&[], 2_000),
        (&["westeurope"], 10_000),
        (&["westeurope", "southeastasia"], 2_000),
        (&["eastus2"], 2_000),
    ];
    let mut before: &[&str] = &[];
    let mut used = BTreeMap::<String, usize>::new();
    for (regions, count) in phases {
        for region in before.iter().filter(|region| !regions.contains(region)) {
            world.behave(region, Behaviour::Serve);
            world.until_state(region, State::Healthy).await;
        }
        for region in regions.iter().filter(|region| !before.contains(region)) {
            world.behave(region, Behaviour::Dead);
            world.until_state(region, State::Unhealthy).await;
        }
        before = regions;
        let simulated = simulated(&config, regions, count);
        assert_eq!(simulated.len(), count);
        let answered = answered(&world, &simulated);
        for ((client, simulated), answered) in simulated.iter().zip(&answered) {
            assert_eq!(simulated, answered, "{client} with {regions:?} lost");
            *used.entry(answered.clone()).or_default() += 1;
        }
    }
    let least = used.values().min().copied().unwrap_or_default();
    assert!(used.len() == 3 && least > 500, "every region answers: {used:?}");
}

#[test]
fn a_lost_region_is_detected_its_load_moves_and_comes_back_step_by_step() {
    let config = Setup::three_regions()
        .service("health_check: { path: /healthz, interval: 1s, timeout: 500ms }\nslow_start: 20s")
        .config();
    let scenario = Scenario {
        clients: 5_000,
        duration: seconds(180),
        step: seconds(1),
        requests_per_second: 1_000.0,
        capacity: vec![("eastus2".into(), 400.0)],
        prices: vec![(None, 0.1)],
        events: vec![lost("westeurope", 60, Some(120))],
        ..Scenario::default()
    };
    let report = run(&config, scenario.clone());
    assert_eq!((report.regions[0].as_str(), report.rows.len()), ("westeurope", 180));
    let europe = |second: usize| report.rows[second - 1].answered[0];
    let all = |second: usize| report.rows[second - 1].answered.iter().sum::<f64>();
    let usual = europe(60);
    assert!(usual > 100.0, "{usual}");
    // No request is lost, whatever happens.
    for second in 1..=180 {
        assert!((all(second) - 1_000.0).abs() < 0.01, "{second}: {}", all(second));
        assert_eq!(report.rows[second - 1].unserved, 0.0);
    }
    let failed: Vec<_> = (1..=180)
        .filter(|second| report.rows[second - 1].failed > 0.0)
        .collect();
    assert!(
        failed.first() == Some(&61) && failed.len() <= 5,
        "detected within seconds: {failed:?}"
    );
    assert_eq!((europe(70), europe(120)), (0.0, 0.0));
    // It comes back within its slow start, and never has more than usual.
    let back: Vec<_> = (121..=180).map(europe).collect();
    assert!(back.windows(2).all(|pair| pair[0] <= pair[1] + 1e-6), "{back:?}");
    let partly = back.iter().filter(|load| **load > 0.0 && **load < usual - 1.0).count();
    assert!((15..=25).contains(&partly), "{back:?}");
    assert!((europe(180) - usual).abs() < 0.01);
    let causes: Vec<_> = report
        .changes
        .iter()
        .map(|change| (change.region.as_str(), change.to))
        .collect();
    let expected = [
        ("westeurope", "unhealthy"),
        ("westeurope", "warming"),
        ("westeurope", "healthy"),
    ];
    assert_eq!(causes, expected, "{:?}", report.changes);
    // Those who are answered elsewhere wait longer, and cost.
    assert!(report.rows[89].mean_ms > report.rows[59].mean_ms);
    assert_eq!((report.rows[59].displaced, report.rows[59].cost), (0.0, 0.0));
    assert!((report.rows[89].displaced - usual).abs() < 0.01);
    let cost = report.rows[89].displaced * 50_000.0 / 1e9 * 0.1;
    assert!((report.rows[89].cost - cost).abs() < 1e-9);
    let beyond = (report.rows[89].answered[1] - 400.0).max(0.0);
    assert!(
        beyond > 0.0 && (report.rows[89].overload[1] - beyond).abs() < 0.01,
        "{:?}",
        report.rows[89]
    );
    // The same seed gives the same, whatever the number of threads.
    let again = simulation(&config, scenario, 1).run(&mut |_, _| {}, None);
    let rows = |report: &Report| serde_json::to_string(&report.rows).expect("JSON");
    assert_eq!(rows(&report), rows(&again));
}

#[test]
fn a_drain_moves_load_without_a_failed_attempt_and_load_events_scale_it() {
    let config = Setup::three_regions().config();
    let event = |what| ScenarioEvent {
        from: seconds(10),
        until: Some(seconds(20)),
        what,
    };
    let scenario = Scenario {
        clients: 2_000,
        duration: seconds(20),
        step: seconds(5),
        events: vec![event(Happening::Drained("eastus2".into())), event(Happening::Load(1.5))],
        ..Scenario::default()
    };
    let report = run(&config, scenario);
    let rows: Vec<_> = report
        .rows
        .iter()
        .map(|row| (row.answered[1] > 0.0, row.answered.iter().sum::<f64>().round()))
        .collect();
    assert_eq!(
        rows,
        [(true, 1_000.0), (true, 1_000.0), (false, 1_500.0), (false, 1_500.0)]
    );
    assert_eq!(report.totals.failed, 0.0);
}

#[test]
fn a_region_with_a_limit_of_requests_passes_the_rest_on() {
    let config = Setup::three_regions().region("westeurope", "max_requests: 5").config();
    let scenario = Scenario {
        clients: 20_000,
        duration: seconds(10),
        requests_per_second: 2_000.0,
        ..Scenario::default()
    };
    let report = run(&config, scenario);
    // Five requests of 50 ms each are a hundred in a second.
    let row = &report.rows[0];
    assert!((50.0..=100.1).contains(&row.answered[0]), "{row:?}");
    assert!((row.answered.iter().sum::<f64>() - 2_000.0).abs() < 0.01, "{row:?}");
}

#[test]
fn clients_are_those_of_countries_or_of_a_trace() {
    let config = Setup::three_regions().config();
    let basis = basis(&config);
    let country = |code: &str| Country::parse(code).expect("a country");
    let scenario = Scenario {
        clients: 4_000,
        duration: seconds(1),
        countries: vec![(country("DE"), 3.0), (country("JP"), 1.0), (country("XX"), 5.0)],
        ..Scenario::default()
    };
    let mut counts = BTreeMap::<String, usize>::new();
    let mut each = |decision: ClientDecision<'_>| {
        let place = basis.table().geo.locate(decision.client).place;
        *counts.entry(place.country.to_string()).or_default() += 1;
    };
    simulation(&config, scenario, 1).run(&mut |_, _| {}, Some((Duration::ZERO, &mut each)));
    assert_eq!(counts.len(), 2, "{counts:?}");
    assert!((2_850..=3_150).contains(&counts["DE"]), "{counts:?}");

    let line = |client: &str, path: &str| {
        format!("{{\"client\":\"{client}\",\"method\":\"GET\",\"host\":\"a\",\"path\":\"{path}\"}}\n")
    };
    let trace = [
        line(from::BRITAIN, "/a"),
        line(from::SINGAPORE, "/b"),
        "nothing\n".to_owned(),
    ]
    .concat();
    let population = Population::of_trace(trace.as_bytes(), 10, SEED).expect("read");
    assert_eq!(population.len(), 2);
    let options = Options {
        seed: SEED,
        threads: NonZeroUsize::MIN,
    };
    let scenario = Scenario {
        duration: seconds(1),
        ..Scenario::default()
    };
    let simulation =
        Simulation::new(basis, scenario, population, options, SystemTime::UNIX_EPOCH).expect("a simulation");
    let mut regions = Vec::new();
    let mut each = |decision: ClientDecision<'_>| regions.push(decision.region.map(ToString::to_string));
    let report = simulation.run(&mut |_, _| {}, Some((Duration::ZERO, &mut each)));
    assert_eq!(
        regions,
        [Some("westeurope".to_owned()), Some("southeastasia".to_owned())]
    );
    assert!(
        report.population.contains("1 lines have no client"),
        "{}",
        report.population
    );
}

#[test]
fn the_scenario_of_the_documentation_can_be_read() {
    let page = include_str!("../../deploy/rehearse.md");
    let (_, block) = page.split_once("```yaml\n").expect("a block");
    let (block, _) = block.split_once("```").expect("its end");
    let scenario =
        config::scenario(block.as_bytes(), Path::new("scenario.yaml")).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(
        (scenario.clients, scenario.host.as_str(), scenario.events.len()),
        (1_000_000, "shop.example.net", 3)
    );
    assert_eq!(scenario.events[0], lost("westeurope", 120, Some(360)));
    assert_eq!(
        scenario.prices,
        [
            (Some("westeurope".into()), f64::from(0.05_f32)),
            (None, f64::from(0.08_f32))
        ]
    );
}
