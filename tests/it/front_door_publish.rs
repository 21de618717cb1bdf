//! The publisher as a part of the program, against a fake Azure: its input, its status, and that it restarts,
//! fails and stops without any effect on requests.

use portolan::front_door::view::{FrontDoorView, PublisherView};
use portolan_azure::publisher::status::View;
use portolan_azure_fakes::arm::{Origin, OriginGroup, Profile};
use portolan_azure_fakes::blob::LeaseState;
use portolan_azure_fakes::{Clock, Cloud, entra};
use portolan_tests::{Behaviour, Request, Setup, World, from};
use std::time::Duration;

const REGIONS: [&str; 3] = ["westeurope", "eastus2", "southeastasia"];
const PATIENCE: Duration = Duration::from_secs(30);

/// A Front Door with an origin for every region, and a container to meet in.
async fn azure() -> Cloud {
    let cloud = Cloud::start(&Clock::running()).await.expect("a fake Azure");
    let origin = |region: &str| Origin {
        name: format!("gw-{region}"),
        host_name: format!("gw-{region}.example.net"),
        priority: Some(1),
        weight: Some(50),
        enabled: true,
    };
    cloud.arm.seed(&Profile {
        subscription: "00000000-0000-0000-0000-000000000001".into(),
        resource_group: "edge".into(),
        name: "shop".into(),
        front_door_id: "3b4682da-b3e2-47a1-96ca-08ab3cb7294e".into(),
        groups: vec![OriginGroup {
            name: "storefront".into(),
            routed: true,
            origins: REGIONS.map(origin).to_vec(),
        }],
    });
    cloud.blob.create_container("portolan");
    cloud
}

/// A program whose only vantage is in a hurry.
fn setup(cloud: &Cloud, mode: &str) -> Setup {
    let mut container = cloud.blob.container_url("portolan");
    let signature = container.query().unwrap_or_default().to_owned();
    container.set_query(None);
    let origins = REGIONS.map(|region| format!("    - {{ region: {region}, origin: gw-{region} }}\n"));
    Setup::three_regions()
        .file("ca.pem", cloud.authority.pem())
        .file("secret", entra::CLIENT_SECRET)
        .file("signature", signature)
        .with("here: westeurope")
        .with(&format!(
            "front_door:
  mode: {mode}
  profile: {{ subscription: 00000000-0000-0000-0000-000000000001, resource_group: edge, name: shop, origin_group: storefront }}
  origins:
{}  store: {{ container: \"{container}\", signature_file: signature }}
  credential: {{ client_secret: {{ tenant: {}, client: {}, secret_file: secret }} }}
  cloud: {{ arm: \"{}\", scope: https://management.azure.com/.default, authority: \"{}\", ca_file: ca.pem }}
  timing: {{ sustain: 300ms, restore: 600ms, spacing: 500ms, window: 0s, reconcile: 300ms, poll_least: 50ms, poll_default: 50ms }}
  votes: {{ write: 300ms, read: 100ms, valid_for: 3s }}
  lease: {{ duration: 15s, renew: 400ms }}
  probe: {{ healthy_after: 300ms }}",
            origins.concat(),
            entra::TENANT,
            entra::CLIENT_ID,
            cloud.arm.url(),
            cloud.entra.url(),
        ))
}

/// Asks the administration until its view is like this.
async fn until(world: &World, what: &str, like: impl Fn(&View) -> bool) -> View {
    let mut last = String::new();
    let ask = async {
        loop {
            let answer = world.admin(Request::get("/api/v1/front-door")).await;
            last = answer.text();
            let view: FrontDoorView =
                serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: {last}"));
            let PublisherView::Described { service, view } = view.publisher else {
                panic!("nothing is described: {last}")
            };
            assert_eq!(service, "shop");
            if like(&view) {
                return *view;
            }
            tokio::task::yield_now().await;
        }
    };
    match tokio::time::timeout(PATIENCE, ask).await {
        Ok(view) => view,
        Err(_) => panic!("it never came about that {what}: {last}"),
    }
}

async fn until_leading(world: &World) {
    until(world, "it leads", |view| view.leads && view.plan.is_some()).await;
}

/// Waits until the leader's blob is leased, or is not.
async fn until_lease(cloud: &Cloud, state: LeaseState) {
    let look = async {
        while cloud.blob.blob("portolan", "leader").map(|blob| blob.lease) != Some(state) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, look)
        .await
        .unwrap_or_else(|_| panic!("the lease was never {state:?}"));
}

fn writes(cloud: &Cloud) -> Vec<String> {
    let writes = cloud
        .arm
        .log()
        .into_iter()
        .filter(|request| request.method != http::Method::GET);
    writes.map(|request| request.to_string()).collect()
}

async fn metrics(world: &World) -> String {
    world.admin(Request::get("/metrics")).await.text()
}

#[tokio::test]
async fn a_dry_run_votes_and_plans_and_changes_nothing() {
    let cloud = azure().await;
    let world = setup(&cloud, "dry-run").start();
    world.until_healthy().await;
    until(&world, "all is as configured", |view| {
        view.plan
            .as_deref()
            .is_some_and(|plan| plan.starts_with("nothing to change"))
    })
    .await;
    world.behave("westeurope", Behaviour::Dead);
    let view = until(&world, "a change is planned", |view| {
        view.plan.as_deref().is_some_and(|plan| plan.starts_with("1 change"))
    })
    .await;
    assert!(view.alone && !view.leads && view.votes_live == 1, "{view}");
    let [weu, eus2, _] = view.regions.as_slice() else {
        panic!("{view}")
    };
    assert_eq!((&*weu.intent, &*eus2.intent), ("demoted", "baseline"));
    assert_eq!(weu.desired.and_then(|members| members.priority), Some(5));
    assert_eq!(weu.observed.and_then(|members| members.priority), Some(1));
    assert_eq!(writes(&cloud), Vec::<String>::new());

    let vote = cloud.blob.blob("portolan", "votes/westeurope").expect("a vote").content;
    let vote: serde_json::Value = serde_json::from_slice(&vote).expect("JSON");
    assert_eq!(vote["regions"]["westeurope"]["state"], "unhealthy", "{vote}");
    let evidence = vote["regions"]["westeurope"]["evidence"].as_str().unwrap_or_default();
    assert!(
        evidence.starts_with("probes failed: it ") || evidence == "connect burst",
        "{vote}"
    );
    assert_eq!(vote["regions"]["eastus2"]["state"], "healthy", "{vote}");

    let text = metrics(&world).await;
    for line in [
        "portolan_front_door_mode{mode=\"dry-run\"} 1",
        "portolan_front_door_up 1",
        "portolan_front_door_leads 0",
        "portolan_front_door_votes_live 1",
        "portolan_front_door_votes_needed 1",
        "portolan_front_door_votes{region=\"westeurope\",state=\"unhealthy\"} 1",
        "portolan_front_door_intent{region=\"westeurope\",intent=\"demoted\"} 1",
        "portolan_front_door_origin_priority{region=\"westeurope\",side=\"desired\"} 5",
        "portolan_front_door_origin_priority{region=\"westeurope\",side=\"observed\"} 1",
        "portolan_front_door_origin_enabled{region=\"eastus2\",side=\"observed\"} 1",
        "portolan_front_door_alerts{code=\"no-quorum\"} 0",
        "portolan_front_door_probe_healthy{service=\"shop\",region=\"westeurope\"} 0",
        "portolan_front_door_writes_total 0",
    ] {
        assert!(text.lines().any(|there| there == line), "{line}\n{text}");
    }
    let ready = world.admin(Request::get("/readyz")).await.json();
    assert_eq!(ready["front_door"], serde_json::json!({ "error": null }));
}

#[tokio::test]
async fn the_leader_changes_the_origin_and_restores_it() {
    let cloud = azure().await;
    let world = setup(&cloud, "apply").start();
    world.until_healthy().await;
    until_leading(&world).await;
    world.behave("westeurope", Behaviour::Dead);
    let priority = |cloud: &Cloud| cloud.arm.origin("gw-westeurope").and_then(|origin| origin.priority);
    cloud
        .arm
        .until(PATIENCE, |_| priority(&cloud) == Some(5))
        .await
        .expect("demoted");
    world.behave("westeurope", Behaviour::Serve);
    cloud
        .arm
        .until(PATIENCE, |_| priority(&cloud) == Some(1))
        .await
        .expect("restored");
    until(&world, "both changes are done", |view| {
        view.counters.published.get() == 2
    })
    .await;
    assert_eq!(writes(&cloud).len(), 2, "{:#?}", writes(&cloud));
    let text = metrics(&world).await;
    assert!(
        text.contains("portolan_front_door_leads 1\n") && text.contains("portolan_front_door_epoch 1\n"),
        "{text}"
    );
    assert!(text.contains("portolan_front_door_published_total 2\n"), "{text}");
}

#[tokio::test]
async fn an_instance_that_reaches_no_gateway_abstains() {
    let cloud = azure().await;
    // Without checks a refused connection does not prove that the host is there.
    let world = setup(&cloud, "dry-run").service("health_check: off").start();
    for region in REGIONS {
        world.behave(region, Behaviour::Dead);
    }
    let abstains = || {
        let vote = cloud.blob.blob("portolan", "votes/westeurope")?.content;
        let vote: serde_json::Value = serde_json::from_slice(&vote).ok()?;
        let said = &vote["regions"]["westeurope"];
        let abstains = vote["doubted"] == true && said["state"] == "unknown";
        Some(abstains && said["evidence"] == "this instance reaches no gateway at all")
    };
    let send = async {
        while abstains() != Some(true) {
            let _ = world.try_send(&Request::get("/").from(from::BRITAIN)).await;
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, send).await.expect("it never abstained");
    until(&world, "its vote does not count, and there is an alert", |view| {
        let alert = view.alerts.iter().any(|alert| alert.code == "vantage-doubted");
        view.votes_live == 0 && alert && view.regions.iter().all(|region| region.unhealthy.votes == 0)
    })
    .await;
}

#[tokio::test]
async fn a_reload_starts_it_anew_and_gives_the_lease_back() {
    let cloud = azure().await;
    let world = setup(&cloud, "apply").start();
    world.until_healthy().await;
    until_leading(&world).await;
    until_lease(&cloud, LeaseState::Leased).await;
    // Something else changes: it runs on.
    world.reconfigure(|text| text.replace("workers: 2", "workers: 2\ndrain_time: 7s"));
    world
        .until("the reload is done", |table| {
            table.settings.drain_time == Duration::from_secs(7)
        })
        .await;
    let view = until(&world, "it still leads", |view| view.leads).await;
    assert_eq!(view.counters.terms.get(), 1, "it was never out");

    world.reconfigure(|text| text.replace("mode: apply", "mode: dry-run"));
    // A lease that is not given back expires only after 15 s.
    until_lease(&cloud, LeaseState::Available).await;
    until(&world, "it rehearses", |view| {
        view.mode == "dry-run" && view.plan.is_some()
    })
    .await;

    world.reconfigure(|text| text.replace("mode: dry-run", "mode: apply"));
    until_leading(&world).await;
    world.reconfigure(|text| text.replace("mode: apply", "mode: off"));
    until_lease(&cloud, LeaseState::Available).await;
    let view = until(&world, "it is off", |view| view.mode == "off").await;
    assert!(view.alerts.is_empty(), "{view}");
}

#[tokio::test]
async fn at_the_end_the_lease_is_given_back() {
    let cloud = azure().await;
    let world = setup(&cloud, "apply").start();
    until_leading(&world).await;
    until_lease(&cloud, LeaseState::Leased).await;
    world.app().begin_drain();
    until_lease(&cloud, LeaseState::Available).await;
}

#[tokio::test]
async fn a_publisher_that_cannot_start_is_reported_and_stops_nothing() {
    let cloud = azure().await;
    let setup = setup(&cloud, "apply");
    let world = setup.start();
    until_leading(&world).await;
    world.reconfigure(|text| text.replace("ca_file: ca.pem", "ca_file: none.pem"));
    let view = until(&world, "it is down", |view| {
        view.alerts.iter().any(|alert| alert.code == "publisher-down")
    })
    .await;
    assert!(view.alerts[0].text.contains("none.pem"), "{view}");
    let ready = world.admin(Request::get("/readyz")).await;
    assert_eq!(ready.status, 200, "the proxy is ready all the same");
    let error = ready.json()["front_door"]["error"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    assert!(error.contains("none.pem"), "{error}");
    assert!(metrics(&world).await.contains("portolan_front_door_up 0\n"));
    assert_eq!(world.region_for(from::BRITAIN).await, "westeurope");

    // The missing file is there: no reload is needed.
    world.replace("none.pem", cloud.authority.pem());
    until_leading(&world).await;
    assert_eq!(
        world.admin(Request::get("/readyz")).await.json()["front_door"]["error"],
        serde_json::Value::Null
    );
}
