//! What the examples answer through the host, and what the host does for a guest.

use super::*;
use http::HeaderValue;
use portolan_core::id::Generation;
use proptest::prelude::*;
use std::sync::LazyLock;

static NEAREST: LazyLock<Arc<PluginVersion>> =
    LazyLock::new(|| load("nearest", embedded::NEAREST, &settings("{}")).unwrap());

fn canary(name: &str, config: &str) -> Arc<PluginVersion> {
    load(name, embedded::CANARY, &settings(config)).unwrap()
}

#[test]
fn the_embedded_plugins_are_what_they_say() {
    assert_eq!(embedded::find("nearest"), Some(embedded::NEAREST));
    assert_eq!(embedded::find("nowhere"), None);
    let sums = include_str!("../../../../plugins/prebuilt/SHA256SUMS");
    assert!(sums.contains(&format!("{}  plugins/prebuilt/nearest.wasm", NEAREST.digest)));
    let canary = canary("embedded", r#"{"region":"eastus2","percent":5}"#);
    assert!(sums.contains(&format!("{}  plugins/prebuilt/canary.wasm", canary.digest)));
}

proptest! {
    /// The component orders regions as the decision core measures them.
    #[test]
    fn nearest_is_nearest(latitude in -90.0_f32..=90.0, longitude in -180.0_f32..=180.0) {
        let table = RegionTable::sample();
        let point = Point::new(latitude, longitude).unwrap();
        let client = Client { point: Some(point), ..Client::default() };
        let answer = client.ask(&mut worker(), &NEAREST).unwrap();
        let distances = answer.ranking.order().iter().map(|slot| table.point(slot.index()).unwrap().distance_km(point));
        prop_assert!(distances.clone().is_sorted_by(|a, b| *a <= *b + 0.001), "{:?}", distances.collect::<Vec<_>>());
        prop_assert_eq!((answer.ranking.order().len(), answer.repaired), (3, false));
        prop_assert_eq!(NEAREST.reason(answer.reason), Some("distance"));
    }
}

#[test]
fn a_client_from_nowhere_gets_the_native_order() {
    let client = Client {
        point: None,
        native: ranking([1, 2, 0]),
        ..Client::default()
    };
    let answer = client.ask(&mut worker(), &NEAREST).unwrap();
    assert_eq!(
        (answer.opinion, answer.ranking, answer.reason),
        (false, ranking([1, 2, 0]), 0)
    );
}

#[test]
fn a_canary_moves_its_region_forward() {
    let version = canary(
        "canary-moves",
        r#"{"region":"southeastasia","percent":50,"header":"x-canary","cookie":"uid"}"#,
    );
    let mut worker = worker();
    let mut with = |name: &'static str, value: &'static str| {
        let mut client = Client::default();
        client.headers.insert(name, HeaderValue::from_static(value));
        let answer = client.ask(&mut worker, &version).unwrap();
        let reason = version.reason(answer.reason).map(str::to_owned);
        (answer.ranking, reason)
    };
    assert_eq!(
        with("x-canary", "always"),
        (ranking([2, 0, 1]), Some("canary".to_owned()))
    );
    assert_eq!(with("x-canary", "never"), (ranking([0, 1, 2]), None));
    assert_eq!(
        with("cookie", "uid=1"),
        with("cookie", "a=b; uid=1"),
        "the cookie decides"
    );
}

#[test]
fn about_the_share_is_moved_and_always_the_same() {
    let version = canary("canary-share", r#"{"region":"southeastasia","percent":20}"#);
    let mut workers = [worker(), worker()];
    let mut moved = 0;
    for client in 0..1_000_u32 {
        let client = Client {
            ip: [10, (client >> 8) as u8, client as u8, 1].into(),
            ..Client::default()
        };
        let [first, second] = workers
            .each_mut()
            .map(|worker| client.ask(worker, &version).unwrap().ranking);
        assert_eq!(first, second, "every worker decides alike");
        moved += u32::from(first.first() == Some(Slot(2)));
    }
    assert!((150..250).contains(&moved), "{moved} of 1000");
}

#[test]
fn an_answer_is_remembered_for_the_inputs_it_depends_on() {
    let version = canary("canary-memo", r#"{"region":"southeastasia","percent":50}"#);
    let mut worker = worker();
    let mut remembered = |table: &RegionTable, client: &Client| {
        worker
            .route(&version, ServiceId(0), table, &client.request())
            .unwrap()
            .remembered
    };
    let table = RegionTable::sample();
    let home = Client::default();
    assert!(!remembered(&table, &home));
    assert!(remembered(&table, &home));
    assert!(remembered(&table, &Client::at("/elsewhere")), "the path plays no part");
    assert!(
        !remembered(
            &table,
            &Client {
                ip: [10, 0, 0, 1].into(),
                ..Client::default()
            }
        ),
        "another network"
    );
    assert!(
        !remembered(
            &table,
            &Client {
                native: ranking([1, 0, 2]),
                ..Client::default()
            }
        ),
        "another native order"
    );
    let next = table.of_generation(Generation(2));
    assert!(!remembered(&next, &home), "other regions");
    assert!(remembered(&next, &home));
}

#[test]
fn a_plugin_without_a_promise_is_asked_every_time() {
    let version = load("asked", HOSTILE, &settings(r#"{"fault":"none"}"#)).unwrap();
    let (mut worker, before) = (worker(), counted("asked", "asked"));
    for _ in 0..10 {
        assert!(!Client::default().ask(&mut worker, &version).unwrap().remembered);
    }
    assert_eq!(counted("asked", "asked") - before, 10);
}

#[test]
fn undeclared_headers_are_there_for_the_asking() {
    let version = load("reader", HOSTILE, &settings(r#"{"fault":"reader","path":"/boom"}"#)).unwrap();
    let mut worker = worker();
    let mut client = Client::at("/boom");
    client.headers.insert("x-first", HeaderValue::from_static("1"));
    assert_eq!(client.ask(&mut worker, &version).unwrap().ranking, ranking([1, 0, 2]));
    let without = Client::at("/boom").ask(&mut worker, &version).unwrap();
    assert_eq!(
        (without.opinion, without.ranking),
        (false, ranking([0, 1, 2])),
        "not those of the request before"
    );
}

#[test]
fn long_texts_and_many_regions_arrive() {
    let version = load("long", HOSTILE, &settings(r#"{"fault":"none"}"#)).unwrap();
    let path: &'static str = "/x".repeat(32 << 10).leak();
    let mut worker = worker();
    for _ in 0..3 {
        assert!(Client::at(path).ask(&mut worker, &version).is_ok());
    }
    let table = RegionTable::sample().repeated(64);
    let client = Client {
        native: ranking(0..64),
        ..Client::default()
    };
    let answer = worker.route(&version, ServiceId(1), &table, &client.request()).unwrap();
    assert_eq!(
        (answer.ranking.first(), answer.ranking.order().len()),
        (Some(Slot(63)), 64)
    );
}
