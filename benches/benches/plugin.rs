//! The cost of a routing plugin: one answer from a reused instance, from a fresh one, and from the cache, in both versions of the
//! contract; what inputs cost; and loading.
//!
//! `cargo bench -p portolan-benches --bench plugin`

use criterion::{Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderValue, Method, Version};
use portolan::plugin::embedded;
use portolan::plugin::{
    Estimate, Isolation, PluginEngine, PluginSettings, PluginVersion, PluginWorker, RegionTable, RouteRequest,
    VisibleFields,
};
use portolan_core::geo::{Country, Point};
use portolan_core::id::{PluginName, ServiceId, Slot};
use portolan_core::rank::Ranking;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Plugins that were built for the contract 0.1.
const NEAREST_01: &[u8] = include_bytes!("../../tests/fixtures/contract-0.1/nearest.wasm");
const CANARY_01: &[u8] = include_bytes!("../../tests/fixtures/contract-0.1/canary.wasm");
const HOSTILE_01: &[u8] = include_bytes!("../../tests/fixtures/contract-0.1/hostile.wasm");

const PSEUDO_FIELDS: &str = r#","fields":[":scheme",":tls-server-name",":grpc-method"]"#;
const HEADERS: &str = r#","fields":["x-canary","accept","user-agent"]"#;

/// A worker with one plugin, and a request that changes every time.
struct Bench {
    worker: PluginWorker,
    version: Arc<PluginVersion>,
    table: RegionTable,
    headers: HeaderMap,
    native: Ranking,
    now: Instant,
    call: u32,
}

impl Bench {
    fn new(engine: &PluginEngine, component: &[u8], config: &str, isolation: Isolation) -> Self {
        let settings = PluginSettings {
            config: config.to_owned(),
            deadline: Duration::from_millis(20),
            isolation,
            ..PluginSettings::default()
        };
        let name = PluginName::from("bench");
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("accept", "*/*"),
            ("accept-language", "en-GB"),
            ("user-agent", "bench/1.0"),
            ("cookie", "lang=en; uid=6f1c2b7a; theme=dark"),
            ("x-canary", "6f1c2b7a"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        Self {
            worker: PluginWorker::new(engine.clone(), 0, 1),
            version: engine
                .load(&name, component, &settings, &[])
                .expect("the embedded plugins load"),
            table: RegionTable::sample(),
            headers,
            native: (0..3).map(Slot).collect(),
            now: Instant::now(),
            call: 0,
        }
    }

    /// Calls the plugin for a new client each time when `moving`, else for the same one.
    fn ask(&mut self, moving: bool) {
        if moving {
            self.call = self.call.wrapping_add(1);
        }
        let step = (self.call % 100_000) as f32;
        let request = RouteRequest {
            method: &Method::GET,
            version: Version::HTTP_11,
            host: "shop.example.net",
            path: "/catalogue/items/4711",
            query: "",
            fields: VisibleFields::all(&self.headers),
            arrival: None,
            client: (self.call << 8).to_be_bytes().into(),
            country: Country::parse("GB").unwrap_or_default(),
            point: Point::new(51.5 - step / 2_000.0, step / 1_000.0).ok(),
            asn: 2856,
            roll: self.call,
            native: &self.native,
            estimate: &|_| Estimate::default(),
            statuses: &[],
            now: self.now,
            time: None,
        };
        let answer = self
            .worker
            .route(&self.version, ServiceId(0), &self.table, black_box(&request));
        black_box(answer).expect("the embedded plugins answer");
    }
}

fn answers(criterion: &mut Criterion) {
    let engine = PluginEngine::new(1).expect("an engine");
    let canary = r#"{"region":"eastus2","percent":5,"header":"x-canary","cookie":"uid"}"#;
    let mut group = criterion.benchmark_group("plugin");
    for (name, component, config) in [
        ("nearest", embedded::NEAREST, "{}"),
        ("nearest of 0.1", NEAREST_01, "{}"),
        ("canary", embedded::CANARY, canary),
        ("canary of 0.1", CANARY_01, canary),
    ] {
        let mut reused = Bench::new(&engine, component, config, Isolation::Reuse);
        group.bench_function(format!("{name}/instance in use"), |bencher| {
            bencher.iter(|| reused.ask(true))
        });
        group.bench_function(format!("{name}/remembered"), |bencher| {
            bencher.iter(|| reused.ask(false))
        });
        let mut fresh = Bench::new(&engine, component, config, Isolation::Fresh);
        group.bench_function(format!("{name}/fresh instance"), |bencher| {
            bencher.iter(|| fresh.ask(true))
        });
    }
    group.finish();
}

/// What is handed over: a plugin that answers the same whatever it reads.
fn inputs(criterion: &mut Criterion) {
    let engine = PluginEngine::new(1).expect("an engine");
    let mut group = criterion.benchmark_group("plugin/inputs");
    for (name, component, more) in [
        ("host and path of 0.1", HOSTILE_01, ""),
        ("host and path", portolan_tests::hostile(), ""),
        ("and three pseudo-fields", portolan_tests::hostile(), PSEUDO_FIELDS),
        ("and three headers", portolan_tests::hostile(), HEADERS),
        ("and estimates", portolan_tests::hostile(), r#","estimates":true"#),
    ] {
        let config = format!(r#"{{"fault":"none","path":"/boom"{more}}}"#);
        let mut bench = Bench::new(&engine, component, &config, Isolation::Reuse);
        group.bench_function(name, |bencher| bencher.iter(|| bench.ask(true)));
    }
    group.finish();
}

fn loading(criterion: &mut Criterion) {
    let engine = PluginEngine::new(1).expect("an engine");
    let canary = PluginSettings {
        config: r#"{"region":"eastus2","percent":5}"#.to_owned(),
        ..PluginSettings::default()
    };
    let mut group = criterion.benchmark_group("plugin/load");
    group.sample_size(10);
    for (name, component, settings) in [
        ("nearest", embedded::NEAREST, PluginSettings::default()),
        ("canary", embedded::CANARY, canary),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                engine
                    .load(&PluginName::from(name), component, &settings, &[])
                    .expect("it loads")
            });
        });
    }
    group.finish();
}

criterion_group!(benches, answers, inputs, loading);
criterion_main!(benches);
