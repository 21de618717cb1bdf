//! Plugins that were built for an earlier minor version of the contract, beside their successors.

use super::*;
use crate::hex;
use http::HeaderValue;
use portolan_core::geo::Point;
use proptest::prelude::*;
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

/// Built for 0.1, and never again.
const NEAREST: &[u8] = include_bytes!("../../../../tests/fixtures/contract-0.1/nearest.wasm");
const CANARY: &[u8] = include_bytes!("../../../../tests/fixtures/contract-0.1/canary.wasm");
const HOSTILE_01: &[u8] = include_bytes!("../../../../tests/fixtures/contract-0.1/hostile.wasm");

const SHARE: &str = r#"{"region":"southeastasia","percent":50,"header":"x-canary","cookie":"uid","exclusive":true}"#;

type Pair = [Arc<PluginVersion>; 2];

fn pair(name: &str, config: &str, bytes: [&[u8]; 2]) -> Pair {
    bytes.map(|bytes| load(name, bytes, &settings(config)).unwrap())
}

static NEARESTS: LazyLock<Pair> = LazyLock::new(|| pair("nearests", "{}", [NEAREST, embedded::NEAREST]));
static CANARIES: LazyLock<Pair> = LazyLock::new(|| pair("canaries", SHARE, [CANARY, embedded::CANARY]));

#[test]
fn the_corpus_is_what_was_released() {
    let sums = include_str!("../../../../tests/fixtures/contract-0.1/SHA256SUMS");
    for (name, bytes) in [("nearest", NEAREST), ("canary", CANARY), ("hostile", HOSTILE_01)] {
        let digest = hex::digits(&Sha256::digest(bytes));
        assert!(sums.contains(&format!("{digest}  tests/fixtures/contract-0.1/{name}.wasm")));
    }
}

/// The answers of both, of one worker that serves both by turns.
fn both(client: &Client, pair: &Pair) -> [PluginAnswer; 2] {
    let (mut worker, table) = (worker(), RegionTable::sample());
    let mut services = (0..).map(ServiceId);
    pair.each_ref().map(|version| {
        let service = services.next().unwrap();
        worker.route(version, service, &table, &client.request()).unwrap()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The same plugin in both versions gives the same answers, in one process.
    #[test]
    fn both_versions_answer_alike(
        latitude in -90.0_f32..=90.0,
        longitude in -180.0_f32..=180.0,
        ip: [u8; 4],
        canary in prop::option::of(0_u16..2_000),
        native in Just(vec![0_u8, 1, 2]).prop_shuffle(),
        count in 1_usize..=3,
    ) {
        let mut client = Client {
            point: Point::new(latitude, longitude).ok(),
            ip: ip.into(),
            native: ranking(native.into_iter().take(count)),
            ..Client::default()
        };
        if let Some(canary) = canary {
            client.headers.insert("x-canary", HeaderValue::from(canary));
        }
        for pair in [&*NEARESTS, &*CANARIES] {
            let [old, new] = both(&client, pair);
            prop_assert_eq!(pair[0].reason(old.reason), pair[1].reason(new.reason));
            prop_assert_eq!(old, new);
        }
    }
}

#[test]
fn swapped_from_one_minor_to_the_other_and_back() {
    let (mut worker, table) = (worker(), RegionTable::sample());
    let client = Client::default();
    for round in 0..3 {
        for version in NEARESTS.iter() {
            let answer = worker.route(version, ServiceId(0), &table, &client.request()).unwrap();
            assert_eq!(
                (answer.ranking, answer.remembered),
                (ranking([0, 1, 2]), false),
                "{round}"
            );
        }
    }
}

#[test]
fn what_goes_wrong_in_the_older_one_stays_there() {
    let faulty = |bytes| load("both", bytes, &settings(r#"{"fault":"trap","path":"/boom"}"#)).unwrap();
    let (old, new) = (faulty(HOSTILE_01), faulty(HOSTILE));
    let (mut worker, table) = (worker(), RegionTable::sample());
    let mut ask =
        |path, version, service| worker.route(version, ServiceId(service), &table, &Client::at(path).request());
    assert_eq!(ask("/boom", &old, 0).unwrap_err(), PluginFault::Trap);
    assert_eq!(ask("/", &new, 1).unwrap().ranking, ranking([2, 0, 1]));
    assert_eq!(ask("/boom", &new, 1).unwrap_err(), PluginFault::Trap);
    assert_eq!(ask("/", &old, 0).unwrap().ranking, ranking([2, 0, 1]));
}

#[test]
fn an_order_of_0_1_ends_with_the_eighth_region_and_one_of_0_2_with_the_last() {
    let table = RegionTable::sample().repeated(64);
    let client = Client {
        // The sample's regions in turn: the nearest of them are every third from the first on.
        native: ranking((0..64).rev()),
        ..Client::default()
    };
    let (mut worker, pair) = (worker(), &*NEARESTS);
    let [old, new] = [0, 1].map(|which| {
        let answer = worker
            .route(&pair[which], ServiceId(which as u16), &table, &client.request())
            .unwrap();
        let order = answer.ranking.order().iter().map(|slot| slot.0 % 3);
        order.collect::<Vec<_>>()
    });
    assert_eq!(new[..22], [0; 22], "all regions are ordered");
    assert!(new.is_sorted());
    assert_eq!(old[..3], [0; 3], "the nearest of eight");
    assert_eq!(old[3..8], [1, 1, 2, 2, 2]);
    assert!(!old.is_sorted(), "the others follow in the native order");
}
