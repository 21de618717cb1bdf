//! Configuration and files replaced under load; the last good one stays.

use portolan::control::status::Kind;
use portolan_core::health::State;
use portolan_core::id::Generation;
use portolan_tests::{Request, Setup, World, from};

fn generation(world: &World) -> Generation {
    world.app().tables().current().generation
}

#[tokio::test]
async fn a_new_configuration_takes_effect_and_health_is_kept() {
    let world = World::start();
    world.until_healthy().await;
    let mut load = world.load(&[from::BRITAIN; 4]);
    load.more(100).await;
    world.reconfigure(|text| text.replace("region: westeurope,", "region: westeurope, priority: 1,"));
    let table = world
        .until("westeurope is a fallback", |table| {
            table.config().services()[0].gateways()[0].priority == 1
        })
        .await;
    assert!(
        table.health.services()[0]
            .gateways()
            .iter()
            .all(|gateway| gateway.state == State::Healthy)
    );
    load.more(100).await;
    let tally = load.stop().await;
    assert!(tally.failures.is_empty(), "{tally:?}");
    assert!(tally.regions.contains_key("eastus2"), "{tally:?}");
}

#[tokio::test]
async fn a_bad_configuration_changes_nothing_and_says_what_is_wrong() {
    let world = World::start();
    let before = generation(&world);
    world.reconfigure(|text| text.replace("policy", "polcy").replace("westeurope", "westeurop"));
    world.until_refused(Kind::Config).await;
    let ready = world.admin(Request::get("/readyz")).await;
    assert_eq!(ready.status, 200);
    assert!(ready.text().contains("westeurop"), "{}", ready.text());
    assert_eq!(world.region_for(from::BRITAIN).await, "westeurope");
    let table = world.app().tables().current();
    assert!(table.generation >= before && table.config().services()[0].slot_of(&"westeurope".into()).is_some());
}

#[tokio::test]
async fn a_hundred_reloads_under_load_lose_nothing() {
    let world = World::start();
    world.until_healthy().await;
    let mut load = world.load(&[from::BRITAIN, from::AMERICA, from::SINGAPORE, from::NOWHERE]);
    for round in 0..100_u32 {
        world.reconfigure(|text| {
            let (head, _) = text.split_once("# round").unwrap_or((&text, ""));
            format!(
                "{}\n# round {round}\nhere: {}\n",
                head.trim_end(),
                ["eastus2", "westeurope"][round as usize % 2]
            )
        });
        let fallback = [-78.0_f32, 4.0][round as usize % 2];
        world
            .until("the round is in force", |table| {
                table
                    .config()
                    .fallback()
                    .is_some_and(|point| (point.longitude() - fallback).abs() < 3.0)
            })
            .await;
    }
    load.more(100).await;
    let tally = load.stop().await;
    assert!(tally.failures.is_empty(), "{tally:?}");
    assert!(tally.answers() > 100, "{tally:?}");
}

#[tokio::test]
async fn a_corrupt_database_is_refused_and_the_old_one_stays() {
    let good = portolan_tests::fixture("maxmind/test-data/GeoLite2-City-Test.mmdb");
    let world = Setup::three_regions()
        .file("city.mmdb", &good)
        .with("geo: { database: city.mmdb }")
        .start();
    assert_eq!(world.region_for("175.16.199.1").await, "southeastasia");
    let mut load = world.load(&["175.16.199.1"; 4]);
    load.more(50).await;
    world.replace("city.mmdb", &good[..good.len() / 2]);
    world.until_refused(Kind::Geo).await;
    load.more(50).await;
    let tally = load.stop().await;
    assert!(tally.failures.is_empty() && tally.regions.len() == 1, "{tally:?}");
    // And a good one is taken again.
    let before = generation(&world);
    world.replace("city.mmdb", &good);
    world
        .until("the database is reloaded", |table| table.generation > before)
        .await;
}

#[tokio::test]
async fn a_database_of_absurd_size_is_refused_unread() {
    let good = portolan_tests::fixture("maxmind/test-data/GeoLite2-City-Test.mmdb");
    let world = Setup::three_regions()
        .file("city.mmdb", &good)
        .with("geo: { database: city.mmdb }")
        .start();
    // Takes no room on the disk, and would take three gigabytes of memory.
    let path = world.folder().join("city.mmdb");
    let file = std::fs::File::options().write(true).open(path).expect("there");
    file.set_len(3 << 30).expect("longer");
    world.until_refused(Kind::Geo).await;
    let ready = world.admin(Request::get("/readyz")).await.text();
    assert!(ready.contains("3221225472 bytes"), "{ready}");
    assert_eq!(world.region_for("175.16.199.1").await, "southeastasia");
}
