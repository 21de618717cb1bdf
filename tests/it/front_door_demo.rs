//! The demo with a Front Door, as a person would play it, at a faster pace.

use http::Method;
use portolan::demo::{Demo, Pace, Ports};
use portolan_tests::{Answer, Request};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;

/// Every port chosen by the system.
const PORTS: Ports = Ports {
    proxy: 0,
    admin: 0,
    control: 0,
    gateways: 0,
};

/// The lines of the narrator so far, and a bell.
#[derive(Clone)]
struct Lines {
    told: Arc<Mutex<Vec<String>>>,
    bell: watch::Sender<usize>,
}

impl Lines {
    /// Waits for a line that holds all these words, after the line numbered `from`; its number.
    async fn until(&self, from: usize, words: &[&str]) -> usize {
        let mut bell = self.bell.subscribe();
        let wait = async {
            loop {
                bell.borrow_and_update();
                let told = self.told.lock().expect("no panic while it was held").clone();
                let found = (from..told.len()).find(|line| words.iter().all(|word| told[*line].contains(word)));
                if let Some(line) = found {
                    return line;
                }
                bell.changed().await.expect("the narrator lives");
            }
        };
        let found = tokio::time::timeout(Duration::from_secs(60), wait).await;
        found.unwrap_or_else(|_| panic!("no instance says {words:?}:\n{}", self.text()))
    }

    fn text(&self) -> String {
        self.told.lock().expect("no panic while it was held").join("\n")
    }
}

async fn ask(address: SocketAddr, request: Request) -> Answer {
    let request = request.header("host", &address.to_string());
    portolan_tests::send(address, &request).await
}

#[tokio::test]
async fn the_narrator_prints_a_failing_region() {
    let folder = tempfile::tempdir().expect("a folder");
    let lines = Lines {
        told: Arc::default(),
        bell: watch::Sender::default(),
    };
    let told = lines.clone();
    let pace = Pace {
        sustain: Duration::from_secs(2),
        restore: Duration::from_secs(3),
        spacing: Duration::from_secs(1),
        operation: Duration::from_secs(1),
        edges: Duration::from_secs(1),
    };
    let demo = Demo::start_with_front_door(PORTS, folder.path(), pace, move |line| {
        told.told
            .lock()
            .expect("no panic while it was held")
            .push(line.to_owned());
        told.bell.send_modify(|count| *count += 1);
    })
    .unwrap_or_else(|error| panic!("{error}"));
    let (control, admin) = (demo.control(), demo.admin());
    let post = |path: &str| ask(control, Request::new(Method::POST, path));

    let led = lines.until(0, &["leader", "epoch 1"]).await;
    assert_eq!(post("/westeurope/kill").await.status, 200);
    let died = lines.until(led, &["region", "westeurope is dead"]).await;
    for vantage in portolan::demo::REGIONS {
        lines
            .until(died, &["vote", vantage, "finds westeurope unhealthy"])
            .await;
    }
    let convicted = lines.until(died, &["quorum", "find westeurope unhealthy"]).await;
    lines.until(died, &["probe", "of westeurope is answered 503"]).await;
    let planned = lines
        .until(
            convicted,
            &["plan", "demote westeurope (gw-westeurope): priority 1 -> 5"],
        )
        .await;
    let sent = lines
        .until(
            convicted,
            &[
                "PATCH",
                "origins/gw-westeurope",
                r#"{"properties":{"priority":5}} -> 202"#,
            ],
        )
        .await;
    let done = lines.until(planned.max(sent), &["done"]).await;
    lines.until(done, &["edges", "gw-westeurope"]).await;

    assert_eq!(post("/westeurope/heal").await.status, 200);
    lines.until(done, &["probe", "of westeurope is answered 200"]).await;
    let back = lines
        .until(
            done,
            &[
                "PATCH",
                "origins/gw-westeurope",
                r#"{"properties":{"priority":1}} -> 202"#,
            ],
        )
        .await;
    lines.until(back, &["done"]).await;

    let changes = ask(control, Request::get("/azure/changes")).await.text();
    assert_eq!(changes.lines().count(), 2, "one change each way:\n{changes}");
    assert!(!changes.contains("!!"), "all by the contract:\n{changes}");
    let view = ask(admin, Request::get("/api/v1/front-door")).await.json();
    assert_eq!(view["votes_live"], 3);
    assert_eq!(view["regions"][0]["intent"], "baseline");

    // One of three is cut off: nothing changes. Then all of Azure hangs: that is printed, too.
    assert_eq!(post("/vantage/eastus2/cut").await.status, 200);
    lines.until(back, &["alert", "eastus2", "no-quorum"]).await;
    assert_eq!(post("/vantage/nowhere/cut").await.status, 404);
    assert_eq!(post("/azure/heal").await.status, 200);
    let mended = lines.until(back, &["over", "eastus2", "no-quorum"]).await;
    assert_eq!(post("/azure/garbage").await.status, 200);
    lines.until(mended, &["alert", "westeurope", "store-unreachable"]).await;
    let served = Request::get("/").from(portolan_tests::from::BRITAIN);
    assert_eq!(
        portolan_tests::send(demo.app().listeners()[0], &served).await.status,
        200
    );
    assert_eq!(ask(control, Request::get("/azure/changes")).await.text(), changes);
    demo.stop();
}
