//! Configuration and files replaced under load; the active one is kept when the new one is rejected.

use portolan::control::status::Kind;
use portolan_core::health::State;
use portolan_core::id::Generation;
use portolan_tests::{Request, Setup, World, from};
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;
use tokio::sync::oneshot;

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
async fn a_bad_configuration_is_rejected_with_its_errors() {
    let world = World::start();
    let before = generation(&world);
    world.reconfigure(|text| text.replace("policy", "polcy").replace("westeurope", "westeurop"));
    world.until_rejected(Kind::Config).await;
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
            .until("the round is active", |table| {
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
async fn a_corrupt_database_is_rejected_and_the_active_one_kept() {
    let good = portolan_tests::fixture("maxmind/test-data/GeoLite2-City-Test.mmdb");
    let world = Setup::three_regions()
        .file("city.mmdb", &good)
        .with("geo: { database: city.mmdb }")
        .start();
    assert_eq!(world.region_for("175.16.199.1").await, "southeastasia");
    let mut load = world.load(&["175.16.199.1"; 4]);
    load.more(50).await;
    world.replace("city.mmdb", &good[..good.len() / 2]);
    world.until_rejected(Kind::Geo).await;
    load.more(50).await;
    let tally = load.stop().await;
    assert!(tally.failures.is_empty() && tally.regions.len() == 1, "{tally:?}");
    // A good one is accepted again.
    let before = generation(&world);
    world.replace("city.mmdb", &good);
    world
        .until("the database is reloaded", |table| table.generation > before)
        .await;
}

#[tokio::test]
async fn a_database_over_the_size_limit_is_rejected_unread() {
    let good = portolan_tests::fixture("maxmind/test-data/GeoLite2-City-Test.mmdb");
    let world = Setup::three_regions()
        .file("city.mmdb", &good)
        .with("geo: { database: city.mmdb }")
        .start();
    // Takes no room on the disk, and would take three gigabytes of memory.
    let path = world.folder().join("city.mmdb");
    let file = std::fs::File::options().write(true).open(path).expect("there");
    file.set_len(3 << 30).expect("longer");
    world.until_rejected(Kind::Geo).await;
    let ready = world.admin(Request::get("/readyz")).await.text();
    assert!(ready.contains("3221225472 bytes"), "{ready}");
    assert_eq!(world.region_for("175.16.199.1").await, "southeastasia");
}

/// A file that is as slow to read as a test wants it to be: a pipe, whose reader waits for the writer.
struct SlowFile {
    path: PathBuf,
}

/// A reader of a [`SlowFile`], who waits for its content.
struct Reader(Sender<Vec<u8>>);

impl SlowFile {
    fn new(folder: &Path, name: &str) -> Self {
        let path = folder.join(name);
        let made = Command::new("mkfifo").arg(&path).status().expect("mkfifo runs");
        assert!(made.success());
        Self { path }
    }

    /// Waits until it is read.
    async fn read_by(&self) -> Reader {
        let (opened, is_open) = oneshot::channel();
        let (content, contents): (_, Receiver<Vec<u8>>) = channel();
        let path = self.path.clone();
        // Not a task: a thread that waits for ever is left behind when the test fails.
        thread::spawn(move || {
            let mut pipe = OpenOptions::new().write(true).open(path).expect("a pipe");
            let _ = opened.send(());
            let content = contents.recv().expect("a content");
            pipe.write_all(&content).expect("read");
        });
        let opened = tokio::time::timeout(Duration::from_secs(20), is_open).await;
        opened.expect("it is read").expect("its thread lives");
        Reader(content)
    }
}

impl Reader {
    fn gets(self, content: &[u8]) {
        self.0.send(content.to_vec()).expect("it waits");
    }
}

fn city() -> Vec<u8> {
    portolan_tests::fixture("maxmind/test-data/GeoLite2-City-Test.mmdb")
}

fn with_priority(text: &str, priority: u8) -> String {
    text.replace("region: eastus2,", &format!("region: eastus2, priority: {priority},"))
}

async fn until_priority(world: &World, priority: u8) {
    let what = format!("eastus2 has priority {priority}");
    let has = |table: &portolan::table::RoutingTable| table.config().services()[0].gateways()[1].priority == priority;
    world.until(&what, has).await;
}

#[tokio::test]
async fn a_configuration_written_during_a_slow_load_is_not_lost() {
    for content in [city(), b"no database".to_vec()] {
        let world = World::start();
        let slow = SlowFile::new(world.folder(), "slow.mmdb");
        let text = std::fs::read_to_string(world.config_path()).expect("read");
        world.replace("portolan.yaml", format!("{text}geo: {{ database: slow.mmdb }}\n"));
        let reader = slow.read_by().await;
        world.replace("portolan.yaml", with_priority(&text, 2));
        reader.gets(&content);
        until_priority(&world, 2).await;
        world.until_no_error(Kind::Config).await;
    }
}

#[tokio::test]
async fn a_configuration_written_during_a_slow_start_is_not_lost() {
    let setup = Setup::three_regions().with("geo: { database: slow.mmdb }");
    let (folder, text) = (setup.folder().to_owned(), setup.config());
    let slow = SlowFile::new(&folder, "slow.mmdb");
    let start = thread::spawn(move || setup.start());
    let reader = slow.read_by().await;
    let text = text.replace("geo: { database: slow.mmdb }", "");
    std::fs::write(folder.join("next.yaml"), with_priority(&text, 2)).expect("written");
    std::fs::rename(folder.join("next.yaml"), folder.join("portolan.yaml")).expect("renamed");
    reader.gets(&city());
    let world = start.join().expect("started");
    until_priority(&world, 2).await;
}

#[tokio::test]
async fn a_database_and_a_plugin_written_during_a_slow_load_are_not_lost() {
    let embedded = |name| portolan::plugin::embedded::find(name).expect("embedded");
    let world = Setup::three_regions()
        .service("policy: { plugin: routing }\nhealth_check: { path: /healthz, interval: 100ms, timeout: 100ms }")
        .file("routing.wasm", embedded("nearest"))
        .file("city.mmdb", city())
        .with("plugins: { routing: { source: ./routing.wasm, config: { percent: 100, region: eastus2 }, deadline: 200ms } }")
        .start();
    assert_eq!(world.region_for(from::BRITAIN).await, "westeurope");
    let slow = SlowFile::new(world.folder(), "slow.wasm");
    world.reconfigure(|text| {
        let text = text.replace("plugins: {", "plugins: { slow: { source: ./slow.wasm },");
        format!("{text}geo: {{ database: city.mmdb }}\n")
    });
    // By now the other files have been read.
    let reader = slow.read_by().await;
    world.replace("city.mmdb", city());
    world.replace("routing.wasm", embedded("canary"));
    reader.gets(embedded("nearest"));
    let canary = world.until("the new version is active", |table| {
        let entry = table.services[0].plugin.as_ref();
        entry.is_some_and(|entry| entry.version.setup.reasons.contains(&"canary".to_owned()))
    });
    canary.await;
    world
        .poll("the new database is loaded", || {
            world.app().status().of(Kind::Geo).accepted > 0
        })
        .await;
    assert_eq!(world.region_for(from::BRITAIN).await, "eastus2");
}

fn load_failing(page: &str, what: &str) -> bool {
    let name = format!("portolan_load_failing{{what=\"{what}\"}} ");
    let line = page.lines().find_map(|line| line.strip_prefix(&name));
    line.unwrap_or_else(|| panic!("{name}: {page}")) == "1"
}

#[tokio::test]
async fn a_rejected_configuration_is_tried_again_when_what_it_names_appears_or_is_mended() {
    let plugin = portolan::plugin::embedded::find("nearest").expect("embedded");
    let (city, policy) = (city(), "    policy: { plugin: late }\n");
    let cases: [(&str, &str, &str, &[u8]); 2] = [
        (
            "late.wasm",
            policy,
            "plugins: { late: { source: ./late.wasm, deadline: 200ms } }",
            plugin,
        ),
        ("late.mmdb", "", "geo: { database: late.mmdb }", &city),
    ];
    for (file, policy, keys, good) in cases {
        let world = World::start();
        world.reconfigure(|text| {
            let text = with_priority(&text, 2).replace("  shop:\n", &format!("  shop:\n{policy}"));
            format!("{text}{keys}\n")
        });
        world.until_rejected(Kind::Config).await;
        let page = world.admin(Request::get("/metrics")).await.text();
        assert!(load_failing(&page, "config"), "{file}");
        // Not good at first, and mended then.
        world.replace(file, "broken");
        world.until_rejections(Kind::Config, 2).await;
        world.replace(file, good);
        until_priority(&world, 2).await;
        world.until_no_error(Kind::Config).await;
        let page = world.admin(Request::get("/metrics")).await.text();
        for what in ["config", "geo", "plugin"] {
            assert!(!load_failing(&page, what), "{file}: {what}");
        }
    }
}

#[tokio::test]
async fn a_new_plugin_is_tried_with_the_configuration_that_came_with_it() {
    let embedded = |name| portolan::plugin::embedded::find(name).expect("embedded");
    let world = Setup::three_regions()
        .service("policy: { plugin: routing }")
        .file("routing.wasm", embedded("canary"))
        .with("plugins: { routing: { source: ./routing.wasm, config: { percent: 100, region: eastus2 }, deadline: 200ms } }")
        .start();
    // The old version does not understand it; the new one comes a moment later.
    world.reconfigure(|text| text.replace("percent: 100,", "for_the_new_version: true,"));
    world.until_rejected(Kind::Config).await;
    world.replace("routing.wasm", embedded("nearest"));
    let table = world
        .until("the new version is active", |table| {
            let entry = table.services[0].plugin.as_ref();
            entry.is_some_and(|entry| !entry.version.setup.reasons.contains(&"canary".to_owned()))
        })
        .await;
    let version = &table.services[0].plugin.as_ref().expect("a plugin").version;
    assert!(
        version.settings.config.contains("for_the_new_version"),
        "{:?}",
        version.settings
    );
    world.until_no_error(Kind::Config).await;
    assert_eq!(world.app().status().of(Kind::Plugin).rejected, 0);
}

#[tokio::test]
async fn settings_that_need_a_restart_are_reported_until_they_are_reverted() {
    let world = World::start();
    let pending = async || {
        let ready = world.admin(Request::get("/readyz")).await;
        assert_eq!(ready.status, 200);
        ready.json()["pending_restart"].clone()
    };
    assert_eq!(pending().await, serde_json::json!([]));
    for priority in [2, 3] {
        world
            .reconfigure(|text| with_priority(&text, priority).replace("workers: 2\n", "workers: 3\ndrain_time: 1s\n"));
        until_priority(&world, priority).await;
        assert_eq!(pending().await, serde_json::json!(["workers"]));
        assert_eq!(
            world.app().tables().current().settings.drain_time,
            Duration::from_secs(1)
        );
        world.reconfigure(|text| text.replace(&format!(" priority: {priority},"), ""));
        until_priority(&world, 0).await;
    }
    world.reconfigure(|text| text.replace("workers: 3\ndrain_time: 1s\n", "workers: 2\n"));
    world
        .until("drain_time is the default again", |table| {
            table.settings.drain_time == Duration::from_secs(30)
        })
        .await;
    assert_eq!(pending().await, serde_json::json!([]));
}

/// A service with the one gateway of a world, and a route to it.
fn part(world: &World, name: &str) -> String {
    let table = world.app().tables().current();
    let address = table.config().services()[0].gateways()[0].address.authority();
    format!(
        "services:\n  {name}:\n    health_check: off\n    regions: [{{ region: westeurope, gateway: \"http://{address}\" }}]\n\
         routes: [{{ host: {name}.example, service: {name} }}]\n"
    )
}

async fn until_services(world: &World, expected: &[&str]) {
    let what = format!("the services are {expected:?}");
    let names = |table: &portolan::table::RoutingTable| {
        let services = table.config().services().iter();
        services.map(|it| it.name.to_string()).collect::<Vec<_>>() == expected
    };
    world.until(&what, names).await;
}

#[tokio::test]
async fn included_files_are_watched_and_new_ones_too() {
    let world = World::start();
    let folder = world.folder().join("conf.d");
    std::fs::create_dir(&folder).expect("made");
    world.reconfigure(|text| format!("{text}include: [conf.d/*.yaml]\n"));
    world
        .until("the pattern is active", |table| {
            !table.settings.sources.included().is_empty()
        })
        .await;

    // A new file, and one that is replaced.
    world.replace("conf.d/a.yaml", part(&world, "blog"));
    until_services(&world, &["shop", "blog"]).await;
    let host = Request::get("/").header("host", "blog.example");
    assert_eq!(world.send(host).await.status, 200);
    world.replace("conf.d/a.yaml", part(&world, "wiki"));
    until_services(&world, &["shop", "wiki"]).await;

    // As Kubernetes mounts a ConfigMap: files are links to a folder that a link names, which is replaced.
    for (version, name) in [("..1", "docs"), ("..2", "help")] {
        std::fs::create_dir(folder.join(version)).expect("made");
        std::fs::write(folder.join(version).join("b.yaml"), part(&world, name)).expect("written");
    }
    let link = |version: &str| {
        symlink(version, folder.join("..new")).expect("linked");
        std::fs::rename(folder.join("..new"), folder.join("..data")).expect("renamed");
    };
    link("..1");
    symlink("..data/b.yaml", folder.join("b.yaml")).expect("linked");
    until_services(&world, &["shop", "wiki", "docs"]).await;
    link("..2");
    until_services(&world, &["shop", "wiki", "help"]).await;

    // A part that is rejected leaves all as it is, says where, and is tried again when it changes.
    world.replace("conf.d/a.yaml", part(&world, "shop"));
    world.until_rejected(Kind::Config).await;
    let ready = world.admin(Request::get("/readyz")).await.text();
    assert!(
        ready.contains("conf.d/a.yaml:2:3: services.shop: given twice"),
        "{ready}"
    );
    until_services(&world, &["shop", "wiki", "help"]).await;
    std::fs::remove_file(folder.join("a.yaml")).expect("removed");
    until_services(&world, &["shop", "help"]).await;
}

#[tokio::test]
async fn the_last_good_configuration_has_its_included_files() {
    let setup = Setup::three_regions().keeping().with("include: \"*.part\"\n");
    std::fs::write(setup.folder().join("z.part"), "").expect("written");
    let world = setup.start();
    world.until_kept(1).await;
    world.replace("a.part", part(&world, "blog"));
    until_services(&world, &["shop", "blog"]).await;
    world.until_kept(2).await;
    world.replace("a.part", "services: [");
    std::fs::remove_file(world.folder().join("z.part")).expect("removed");
    let world = world.restart().expect("the last good one");
    until_services(&world, &["shop", "blog"]).await;
    world.replace("a.part", part(&world, "wiki"));
    until_services(&world, &["shop", "wiki"]).await;
}
