//! The administration over a real socket, before an instance made up for the purpose.

mod fake;
mod strict;

use super::backend::Readiness;
use super::view::attention::Attention;
use super::view::events::EventList;
use super::view::explain::Explain;
use super::view::history::HistoryView;
use super::view::map::Map;
use super::view::plugins::{PluginChange, Plugins};
use super::view::ready::Ready;
use super::view::regions::Regions;
use super::view::traffic::{TrafficCell, TrafficView};
use super::{Access, Tokens};
use crate::control::events::EventKind;
use crate::vitals::RequestOutcome;
use fake::Fake;
use http::StatusCode;
use portolan_core::health::State;
use portolan_core::rollout::Start;
use serde::de::DeserializeOwned;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

struct Admin {
    address: SocketAddr,
    fake: Arc<Fake>,
}

#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: String,
    body: String,
}

impl Admin {
    async fn start() -> Self {
        Self::start_with(|address| Access::whole(address, &[])).await
    }

    async fn start_with(access: impl FnOnce(SocketAddr) -> Access) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("bound");
        let address = listener.local_addr().expect("an address");
        let fake = Arc::new(Fake::default());
        tokio::spawn(super::serve(
            super::Listener::Tcp(listener),
            Arc::new(access(address)),
            Arc::clone(&fake) as Arc<dyn super::backend::AdminBackend>,
        ));
        Self { address, fake }
    }

    async fn ask(&self, method: &str, target: &str, headers: &str) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.expect("connected");
        let host = if headers.contains("Host:") {
            String::new()
        } else {
            format!("Host: {}\r\n", self.address)
        };
        let request = format!("{method} {target} HTTP/1.1\r\n{host}{headers}Connection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut text = String::new();
        stream.read_to_string(&mut text).await.expect("an answer");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let (status, headers) = head.split_once("\r\n").expect("a status line");
        Answer {
            status: status.split(' ').nth(1).expect("a status").parse().expect("a status"),
            headers: headers.to_ascii_lowercase(),
            body: body.to_owned(),
        }
    }

    async fn get(&self, target: &str) -> Answer {
        self.ask("GET", target, "").await
    }

    #[track_caller]
    fn read<T: DeserializeOwned>(answer: &Answer) -> T {
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.headers.contains("content-type: application/json"), "{answer:?}");
        serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{error}: {}", answer.body))
    }
}

#[tokio::test]
async fn it_is_alive_and_ready_and_says_what_was_rejected() {
    let admin = Admin::start().await;
    let alive = admin.get("/livez").await;
    assert_eq!((alive.status, alive.body.as_str()), (StatusCode::OK, "ok\n"));
    let ready: Ready = Admin::read(&admin.get("/readyz").await);
    assert!(ready.ready && ready.status == "ready" && ready.generation == 7);
    let [reloader] = ready.tasks.as_slice() else {
        panic!("{ready:?}")
    };
    assert_eq!((reloader.task.as_str(), reloader.restarts), ("reloader", 3));
    let config = ready.loads.iter().find(|load| load.what == "config").expect("config");
    assert_eq!((config.accepted, config.rejected), (2, 1));
    assert!(
        config.error.as_deref().is_some_and(|why| why.contains("line 3")),
        "{config:?}"
    );
    assert_eq!(config.last_accepted.as_deref(), Some("2026-11-01T00:00:00Z"));
    assert_eq!(
        (ready.geo.database.as_str(), ready.geo.networks),
        ("DB-IP City Lite", 2_072_014)
    );
    assert_eq!(ready.geo.attribution.as_deref(), Some("IP Geolocation by DB-IP"));
}

#[tokio::test]
async fn an_instance_that_is_about_to_stop_is_alive_and_not_ready() {
    let admin = Admin::start().await;
    for (readiness, word) in [(Readiness::LameDuck, "lame_duck"), (Readiness::Draining, "draining")] {
        *admin.fake.readiness.lock().expect("not poisoned") = readiness;
        let answer = admin.get("/readyz").await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        let ready: Ready = serde_json::from_str(&answer.body).expect("JSON");
        assert_eq!((ready.ready, ready.status.as_str()), (false, word));
        assert_eq!(admin.get("/livez").await.status, 200, "alive all the same");
    }
}

#[tokio::test]
async fn a_task_that_keeps_failing_ends_liveness_and_not_readiness() {
    let admin = Admin::start().await;
    admin.fake.failed.store(true, std::sync::atomic::Ordering::Relaxed);
    let answer = admin.get("/livez").await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (StatusCode::SERVICE_UNAVAILABLE, "task reloader keeps failing\n")
    );
    assert_eq!(admin.get("/readyz").await.status, 200);
}

#[tokio::test]
async fn the_probes_socket_is_read_only() {
    let admin = Admin::start_with(|_| Access::probes(&["edge.example.net".into()])).await;
    for target in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(admin.get(target).await.status, 200, "{target}");
        let named = admin.ask("GET", target, "Host: edge.example.net:9901\r\n").await;
        assert_eq!(named.status, 200, "{target}");
        let foreign = admin.ask("GET", target, "Host: evil.example\r\n").await;
        assert_eq!(foreign.status, StatusCode::FORBIDDEN, "{target}");
        assert!(foreign.body.contains("admin.hosts"), "{foreign:?}");
    }
    for (method, target) in [
        ("GET", "/"),
        ("GET", "/api/v1/config"),
        ("GET", "/api/v1/regions"),
        ("POST", "/api/v1/regions/westeurope/drain"),
    ] {
        let answer = admin.ask(method, target, "").await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{method} {target}");
        assert!(!answer.body.contains("GET /api"), "{answer:?}");
    }
    assert!(admin.fake.orders().is_empty());
}

#[tokio::test]
async fn regions_are_shown_with_what_they_do_and_what_stands_against_them() {
    let admin = Admin::start().await;
    let regions: Regions = Admin::read(&admin.get("/api/v1/regions").await);
    let [storefront, _] = regions.services.as_slice() else {
        panic!("{regions:?}")
    };
    assert_eq!(storefront.policy, "plugin canary");
    assert_eq!(storefront.unanswered["residency"], 2);
    assert_eq!(storefront.decisions["fallback"], 1);
    assert_eq!(storefront.retries["attempted"], 1);
    let [west, east, south] = storefront.regions.as_slice() else {
        panic!("{storefront:?}")
    };
    assert_eq!(
        (west.state.as_str(), west.excluded.as_deref()),
        ("unhealthy", Some("unhealthy"))
    );
    assert_eq!((east.state.as_str(), east.share), ("warming", 0.25));
    assert_eq!((east.answered["2xx"], east.attempts["success"]), (3, 3));
    assert_eq!((east.first_byte.count, east.probe_ms), (3, Some(81.5)));
    assert_eq!((south.in_flight, south.excluded.as_deref()), (1, Some("full")));
}

#[tokio::test]
async fn plugins_are_shown_with_their_faults() {
    let admin = Admin::start().await;
    let plugins: Plugins = Admin::read(&admin.get("/api/v1/plugins").await);
    let [canary] = plugins.plugins.as_slice() else {
        panic!("{plugins:?}")
    };
    assert_eq!(
        (canary.plugin.as_str(), canary.digest.as_str()),
        ("canary", "sha256:77c0")
    );
    assert_eq!(canary.services, ["storefront"]);
    assert_eq!((canary.answers, canary.repaired, canary.faults["trap"]), (2, 1, 1));
}

#[tokio::test]
async fn plugins_are_shown_with_their_cost_reasons_and_counters() {
    let admin = Admin::start().await;
    let plugins: Plugins = Admin::read(&admin.get("/api/v1/plugins").await);
    let canary = &plugins.plugins[0];
    assert_eq!(canary.since, "2026-11-01T00:00:00Z");
    assert_eq!(canary.reasons, [("pinned".to_owned(), 2)].into());
    assert_eq!(canary.counters, [("pinned".to_owned(), 12)].into());
    let share = canary.share_percent.expect("there were decisions");
    assert!((share - 200.0 / 3.0).abs() < 0.1, "{share}");
    let cost = canary.cost.as_ref().expect("there were calls");
    assert_eq!(cost.calls, 2);
    assert!((cost.mean_us - 15.0).abs() < 1e-6, "{cost:?}");
    assert!((10.0..=20.0).contains(&cost.p99_us), "{cost:?}");
    let quarantine = canary.quarantine.as_ref().expect("a quarantine");
    assert_eq!(quarantine.reason, "trap: unreachable");
}

#[tokio::test]
async fn the_last_hour_is_read_from_a_number_on() {
    let admin = Admin::start().await;
    let answer = admin.get("/api/v1/history").await;
    let history: HistoryView = Admin::read(&answer);
    assert_eq!((history.latest, history.times.len()), (1, 1));
    let storefront = &history.services[0];
    assert_eq!(
        (storefront.service.as_str(), storefront.requests[0]),
        ("storefront", Some(5))
    );
    assert_eq!((storefront.retries[0], storefront.fallbacks[0]), (Some(1), Some(1)));
    assert!(
        storefront.total_ms.p99[0].is_some_and(|it| (50.0..=100.0).contains(&it)),
        "{answer:?}"
    );
    let decide = storefront.decide_ms.p50[0];
    assert!(decide.is_some_and(|it| it <= 0.001), "{decide:?}");
    assert_eq!(storefront.regions[1].requests, [Some(3)]);
    let none: HistoryView = Admin::read(&admin.get("/api/v1/history?since=1").await);
    assert_eq!((none.latest, none.times.len()), (1, 0));
    for query in ["?since=x", "?from=1"] {
        assert_eq!(
            admin.get(&format!("/api/v1/history{query}")).await.status,
            400,
            "{query}"
        );
    }
}

#[tokio::test]
async fn traffic_is_shown_by_where_it_came_from_and_where_it_went() {
    let admin = Admin::start().await;
    let traffic: TrafficView = Admin::read(&admin.get("/api/v1/traffic?service=storefront").await);
    assert_eq!((traffic.requests, traffic.by_plugin, traffic.without_place), (4, 2, 1));
    let of_regions: Vec<_> = traffic.regions.iter().map(|it| (it.requests, it.by_plugin)).collect();
    assert_eq!(of_regions, [(0, 0), (2, 0), (2, 2)]);
    assert_eq!(traffic.cells, [TrafficCell(51.5, -0.1, vec![(1, 1), (2, 2)])]);
    let other: TrafficView = Admin::read(&admin.get("/api/v1/traffic?service=images").await);
    assert_eq!(other.requests, 0, "it has gateways of its own");
    assert_eq!(admin.get("/api/v1/traffic?service=nowhere").await.status, 404);
}

#[tokio::test]
async fn what_needs_attention_is_listed_errors_first() {
    let admin = Admin::start().await;
    let attention: Attention = Admin::read(&admin.get("/api/v1/attention").await);
    let kinds: Vec<_> = attention.items.iter().map(|it| it.kind.as_str()).collect();
    assert_eq!(
        kinds,
        [
            "region_unhealthy",
            "config_rejected",
            "config_restored",
            "geo_stale",
            "plugin_quarantined",
            "restart_pending"
        ]
    );
    let of = |kind: &str| attention.items.iter().find(|it| it.kind == kind).expect("listed");
    assert_eq!(of("region_unhealthy").subject, "storefront/westeurope");
    assert!(of("config_rejected").text.contains("line 3"), "{attention:?}");
    assert_eq!(of("geo_stale").since.as_deref(), Some("2026-11-01T00:00:00Z"));
    assert!(
        of("plugin_quarantined").text.contains("trap: unreachable"),
        "{attention:?}"
    );
}

#[tokio::test]
async fn the_dashboard_is_small_and_complete() {
    let admin = Admin::start().await;
    let page = admin.get("/").await;
    assert!(page.body.len() < 300_000, "{} bytes", page.body.len());
    // What its scripts look up is there.
    for script in page.body.split("byId(\"").skip(1) {
        let id = script.split('"').next().expect("an id");
        let found = page.body.contains(&format!("id=\"{id}\""));
        assert!(found, "the page has no element {id}");
    }
}

#[tokio::test]
async fn a_map_shows_which_place_goes_where() {
    let admin = Admin::start().await;
    let map: Map = Admin::read(&admin.get("/api/v1/map").await);
    assert_eq!((map.service.as_str(), map.places.len()), ("storefront", 2));
    // London and Singapore: westeurope is unhealthy, so London goes to the next nearest.
    let first: Vec<_> = map.places.iter().map(|(_, _, region)| *region).collect();
    assert_eq!(first, [Some(1), Some(2)]);
    let answer = admin.get("/api/v1/map?service=nowhere").await;
    assert_eq!(answer.status, 404);
    assert!(answer.body.contains("storefront"), "{answer:?}");
}

#[tokio::test]
async fn a_decision_is_explained() {
    let admin = Admin::start().await;
    let target = "/api/v1/explain?ip=81.2.69.142&host=shop.example.net&path=/cart&method=POST&header=Cookie:%20a=b&header=x-a:1\
         &certificate_subject=CN%3Dops&certificate_san=a.example";
    let explain: Explain = Admin::read(&admin.get(target).await);
    assert_eq!(
        (explain.by.as_str(), explain.fault.as_deref()),
        ("fallback", Some("trap"))
    );
    assert_eq!((explain.chosen.as_deref(), explain.generation), (Some("eastus2"), 7));
    assert_eq!(
        (explain.client.country.as_deref(), explain.client.source.as_str()),
        (Some("GB"), "peer")
    );
    assert_eq!(
        (explain.request.method.as_str(), explain.request.path.as_str()),
        ("POST", "/cart")
    );
    let policies = explain.policies.as_ref().expect("policies");
    assert_eq!((&*policies.retry.of, &*policies.priority), ("service", "high"));
    assert_eq!(
        (policies.limits.request_body_bytes, policies.limits.concurrent_requests),
        (Some(1 << 20), Some(200))
    );
    let rate = policies.limits.rate.as_ref().expect("a rate limit");
    assert_eq!((rate.per_second, rate.burst), (50.0, 100));
    let [east, south, west] = explain.regions.as_slice() else {
        panic!("{explain:?}")
    };
    assert_eq!((east.rank, east.region.as_str()), (Some(1), "eastus2"));
    assert_eq!((south.rank, south.excluded.as_deref()), (Some(2), None));
    assert_eq!((west.rank, west.excluded.as_deref()), (None, Some("unhealthy")));
    let asked = admin.fake.asked();
    assert_eq!(
        (asked.headers["cookie"].as_bytes(), asked.headers.len()),
        (&b"a=b"[..], 2)
    );
    let certificate = asked.certificate.expect("a certificate");
    assert_eq!((&*certificate.subject, certificate.names.len()), ("CN=ops", 1));
}

#[tokio::test]
async fn a_question_that_is_none_is_told_what_to_do() {
    let admin = Admin::start().await;
    for (query, says) in [
        ("", "ip, the client's address, is missing"),
        ("?ip=one.two", "ip=one.two is not an address"),
        ("?ip=::1&method=G%20T", "method=G T is not a method"),
        ("?ip=::1&header=nothing", "name: value"),
        ("?ip=::1&adress=x", "no parameter \\\"adress\\\""),
    ] {
        let answer = admin.get(&format!("/api/v1/explain{query}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
        assert!(
            answer.body.contains(says) && answer.body.contains("\"hint\""),
            "{answer:?}"
        );
    }
    let answer = admin.get("/api/v1/explain?ip=::1&host=other.example").await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert!(answer.body.contains("no route is for host"), "{answer:?}");
}

#[tokio::test]
async fn operators_drain_and_bring_back() {
    let admin = Admin::start().await;
    for (order, drained) in [("drain", true), ("undrain", false)] {
        let answer = admin
            .ask("POST", &format!("/api/v1/regions/westeurope/{order}"), "")
            .await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(admin.fake.orders().pop(), Some(("westeurope".into(), drained)));
    }
    let answer = admin.ask("POST", "/api/v1/regions/westeurop/drain", "").await;
    assert_eq!(answer.status, 404);
    assert!(answer.body.contains("\"westeurope\""), "what there is: {answer:?}");
    assert_eq!(admin.fake.orders().len(), 2);
}

#[tokio::test]
async fn operators_roll_plugins_back() {
    let admin = Admin::start().await;
    let answer = admin.ask("POST", "/api/v1/plugins/canary/rollback", "").await;
    assert!(
        answer.status == 200 && answer.body.contains("sha256:0123"),
        "{answer:?}"
    );
    let answer = admin.ask("POST", "/api/v1/plugins/canary/rollback", "").await;
    assert_eq!(
        answer.status,
        StatusCode::CONFLICT,
        "there is only one version before: {answer:?}"
    );
    let answer = admin.ask("POST", "/api/v1/plugins/canari/rollback", "").await;
    assert!(answer.status == 404 && answer.body.contains("\"canary\""), "{answer:?}");
}

#[tokio::test]
async fn a_component_comes_as_the_body_of_an_order() {
    let admin = Admin::start().await;
    let deploy = async |length: usize, body: &str| {
        let target = "/api/v1/plugins/canary/deploy?stage=shadow&reason=why&author=alice";
        // What is written after it belongs to the body.
        let head = format!("Connection: close\r\nContent-Length: {length}\r\n\r\n{body}");
        admin.ask("POST", target, &head).await
    };
    let answer = deploy(9, "component").await;
    let change: PluginChange = Admin::read(&answer);
    assert_eq!((change.state.as_str(), change.kept), ("shadow", true));
    let deployed = admin.fake.deployed();
    assert!(deployed.len() == 1 && &*deployed[0].0 == b"component", "{deployed:?}");
    assert_eq!(deployed[0].1, Start::Shadow);
    let too_long = usize::try_from(crate::plugin::PluginLimits::MAX_FILE).expect("fits") + 1;
    let answer = deploy(too_long, "component").await;
    assert_eq!(answer.status, 413, "{answer:?}");
    assert_eq!(admin.fake.deployed().len(), 1);
}

#[tokio::test]
async fn events_are_read_from_a_number_on() {
    let admin = Admin::start().await;
    for region in ["westeurope", "eastus2"] {
        admin
            .fake
            .events
            .add(EventKind::RegionDrained.of(region).author(Some("alice")));
    }
    let list: EventList = Admin::read(&admin.get("/api/v1/events?since=1").await);
    assert_eq!((list.latest, list.events.len()), (2, 1));
    assert_eq!(list.events[0].subject, "eastus2");
    let list: EventList = Admin::read(&admin.get("/api/v1/events?since=1&wait=60s").await);
    assert_eq!(list.events.len(), 1, "there is one already");
    for query in ["?since=-1", "?wait=5", "?from=1"] {
        assert_eq!(
            admin.get(&format!("/api/v1/events{query}")).await.status,
            400,
            "{query}"
        );
    }
}

#[tokio::test]
async fn a_web_page_elsewhere_can_neither_read_nor_order() {
    let admin = Admin::start().await;
    let order = "/api/v1/regions/westeurope/drain";
    for (method, target, headers) in [
        ("POST", order, "Origin: http://evil.example\r\n"),
        ("POST", order, "Sec-Fetch-Site: cross-site\r\n"),
        ("POST", order, "Host: evil.example\r\nOrigin: http://evil.example\r\n"),
        ("GET", "/api/v1/config", "Host: evil.example:9900\r\n"),
    ] {
        let answer = admin.ask(method, target, headers).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{headers}: {answer:?}");
    }
    assert!(admin.fake.orders().is_empty());
    let own = format!("Origin: http://{}\r\nSec-Fetch-Site: same-origin\r\n", admin.address);
    assert_eq!(admin.ask("POST", order, &own).await.status, 200);
}

#[tokio::test]
async fn what_is_not_there_and_what_does_not_fit_is_said() {
    let admin = Admin::start().await;
    let answer = admin.get("/metrik").await;
    assert!(
        answer.status == 404 && answer.body.contains("GET /metrics"),
        "{answer:?}"
    );
    for path in [
        "//",
        "/api/v1/regions/a/b/drain",
        "/api/v1/regions/",
        "/api/v1/regions/a/drain/x",
    ] {
        assert_eq!(admin.get(path).await.status, 404, "{path}");
    }
    let answer = admin.ask("POST", "/metrics", "").await;
    assert!(
        answer.status == 405 && answer.headers.contains("allow: get, head"),
        "{answer:?}"
    );
    let answer = admin.get("/api/v1/regions/westeurope/drain").await;
    assert!(
        answer.status == 405 && answer.headers.contains("allow: post"),
        "{answer:?}"
    );
    assert!(admin.fake.orders().is_empty());
}

#[tokio::test]
async fn head_is_get_without_a_body() {
    let admin = Admin::start().await;
    for target in [
        "/",
        "/livez",
        "/readyz",
        "/metrics",
        "/api/v1/regions",
        "/api/v1/plugins",
        "/api/v1/config",
    ] {
        let (get, head) = (admin.get(target).await, admin.ask("HEAD", target, "").await);
        assert_eq!((head.status, get.status), (StatusCode::OK, StatusCode::OK), "{target}");
        assert!(head.body.is_empty() && !get.body.is_empty(), "{target}");
        assert!(head.headers.contains("content-length: "), "{target}: {head:?}");
    }
}

/// The words of a list or the keys of an object of the dashboard's script.
fn words_of(name: &str) -> Vec<String> {
    let script = include_str!("../dashboard/regions.js");
    let (_, after) = script.split_once(&format!("const {name} = ")).expect("it is there");
    let (list, _) = after.split_once(';').expect("its end");
    let entries = list.split(|letter| "[]{},".contains(letter));
    let words = entries.map(|entry| entry.split(':').next().unwrap_or_default().trim().trim_matches('"'));
    words.filter(|word| !word.is_empty()).map(Into::into).collect()
}

#[test]
fn the_dashboard_knows_the_outcomes_and_states_by_their_names() {
    let outcomes = RequestOutcome::ALL.map(RequestOutcome::as_str);
    let (failed, ours) = (words_of("FAILED"), words_of("OURS"));
    for word in failed.iter().chain(&ours) {
        assert!(outcomes.contains(&&**word), "{word}");
    }
    // What a gateway failed to answer, or the proxy did not let it.
    let failures = [
        RequestOutcome::Full,
        RequestOutcome::Draining,
        RequestOutcome::Shed,
        RequestOutcome::AttemptsExhausted,
        RequestOutcome::RequestTimeout,
        RequestOutcome::Unresponsive,
        RequestOutcome::Internal,
    ];
    for outcome in failures.map(RequestOutcome::as_str) {
        assert!(ours.iter().any(|word| word == outcome), "{outcome}");
    }
    let (mut tones, mut states) = (words_of("TONES"), State::ALL.map(State::as_str).map(String::from));
    tones.sort_unstable();
    states.sort_unstable();
    assert_eq!(tones, states);
}

#[tokio::test]
async fn the_dashboard_is_one_page_that_loads_nothing_from_elsewhere() {
    let admin = Admin::start().await;
    let page = admin.get("/").await;
    assert_eq!(page.status, 200);
    assert!(page.headers.contains("frame-ancestors 'none'") && page.headers.contains("connect-src 'self'"));
    assert!(
        page.body.contains("<a href=\"https://db-ip.com\""),
        "the attribution its licence asks for"
    );
    let own = ["https://db-ip.com", "http://www.w3.org/2000/svg"];
    let rest = own
        .iter()
        .fold(page.body.clone(), |rest, known| rest.replace(known, ""));
    for outside in ["http:", "https:", "src=", "@import", "url(", "innerHTML", "eval("] {
        assert!(!rest.contains(outside), "{outside}");
    }
}

#[tokio::test]
async fn metrics_are_in_the_format_and_tell_what_was_counted() {
    let admin = Admin::start().await;
    let answer = admin.get("/metrics").await;
    assert!(
        answer.headers.contains("content-type: text/plain; version=0.0.4"),
        "{}",
        answer.headers
    );
    let samples = strict::parse(&answer.body);
    for (sample, value) in [
        (
            r#"portolan_requests_total{service="storefront",region="eastus2",outcome="2xx"}"#,
            3.0,
        ),
        (
            r#"portolan_requests_total{service="storefront",region="",outcome="residency"}"#,
            2.0,
        ),
        (
            r#"portolan_requests_total{service="",region="",outcome="no_route"}"#,
            4.0,
        ),
        (
            r#"portolan_upstream_attempts_total{service="storefront",region="westeurope",outcome="connect_failed"}"#,
            1.0,
        ),
        (r#"portolan_rejected_requests_total{reason="no_route"}"#, 4.0),
        (r#"portolan_rejected_requests_total{reason="head_too_large"}"#, 0.0),
        (r#"portolan_downstream_in_flight"#, 3.0),
        (r#"portolan_overload_limit{priority="low"}"#, 800.0),
        (r#"portolan_route_in_flight{route="shop.example.net/"}"#, 2.0),
        (
            r#"portolan_route_concurrent_requests_limit{route="shop.example.net/"}"#,
            200.0,
        ),
        (
            r#"portolan_route_rate_limited_requests_total{route="shop.example.net/"}"#,
            1.0,
        ),
        (
            r#"portolan_route_rate_limit_evictions_total{route="shop.example.net/"}"#,
            0.0,
        ),
        (r#"portolan_downstream_connections{listener="public"}"#, 0.0),
        (
            r#"portolan_downstream_accepted_connections_total{listener="public"}"#,
            1.0,
        ),
        (
            r#"portolan_downstream_rejected_connections_total{listener="public",limit="max_connections"}"#,
            1.0,
        ),
        (
            r#"portolan_upstream_in_flight{service="storefront",region="southeastasia"}"#,
            1.0,
        ),
        (
            r#"portolan_upstream_first_byte_seconds_count{service="storefront",region="eastus2"}"#,
            3.0,
        ),
        (
            r#"portolan_upstream_first_byte_seconds_bucket{service="storefront",region="eastus2",le="0.1"}"#,
            3.0,
        ),
        (r#"portolan_decisions_total{service="storefront",by="fallback"}"#, 1.0),
        (r#"portolan_retries_total{service="storefront"}"#, 1.0),
        (
            r#"portolan_retries_skipped_total{service="storefront",reason="request_timeout"}"#,
            0.0,
        ),
        (r#"portolan_request_decide_seconds_count{service="storefront"}"#, 3.0),
        (
            r#"portolan_request_decide_seconds_bucket{service="storefront",le="0.000001"}"#,
            3.0,
        ),
        (
            r#"portolan_plugin_faults_total{service="storefront",plugin="canary",fault="trap"}"#,
            1.0,
        ),
        (
            r#"portolan_plugin_repairs_total{service="storefront",plugin="canary"}"#,
            1.0,
        ),
        (
            r#"portolan_plugin_info{plugin="canary",version="active",digest="sha256:77c0"}"#,
            1.0,
        ),
        (
            r#"portolan_gateway_state{service="storefront",region="westeurope",state="unhealthy"}"#,
            1.0,
        ),
        (
            r#"portolan_gateway_state{service="storefront",region="westeurope",state="healthy"}"#,
            0.0,
        ),
        (r#"portolan_gateway_share{service="storefront",region="eastus2"}"#, 0.25),
        (r#"portolan_config_reloads_total{result="rejected"}"#, 1.0),
        (r#"portolan_load_failing{what="config"}"#, 1.0),
        (r#"portolan_access_log_lines_total{result="dropped"}"#, 5.0),
        (r#"portolan_event_log_lines_total{result="dropped"}"#, 2.0),
        (
            r#"portolan_plugin_counter_total{plugin="canary",counter="pinned"}"#,
            12.0,
        ),
        (
            r#"portolan_plugin_instances_started_total{plugin="canary",reason="answers"}"#,
            3.0,
        ),
        (r#"portolan_task_restarts_total{task="reloader"}"#, 3.0),
        (r#"portolan_task_failed{task="reloader"}"#, 0.0),
        ("portolan_ready", 1.0),
        ("portolan_table_generation", 7.0),
        ("portolan_table_build_seconds_total", 0.000_25),
        ("portolan_geo_database_stale", 1.0),
        ("portolan_geo_places", 4_242.0),
        (r#"portolan_geo_networks{family="ipv4"}"#, 1_742_274.0),
        (r#"portolan_geo_networks{family="ipv6"}"#, 329_740.0),
        (r#"portolan_geo_family_filled{family="ipv4"}"#, 0.0),
        (r#"portolan_geo_family_filled{family="ipv6"}"#, 1.0),
    ] {
        assert_eq!(samples.get(sample), Some(&value), "{sample} in\n{}", answer.body);
    }
    let at_least = [
        ("process_cpu_seconds_total", 0.0),
        ("process_resident_memory_bytes", 1e6),
        ("process_open_fds", 3.0),
        ("process_start_time_seconds", 1e9),
        ("portolan_geo_database_build_timestamp_seconds", 1e9),
        ("portolan_geo_database_age_seconds", 0.0),
    ];
    for (sample, least) in at_least {
        assert!(samples.get(sample).is_some_and(|value| *value >= least), "{sample}");
    }
    assert_eq!(
        samples.get(&format!(
            "portolan_build_info{{version=\"{}\"}}",
            env!("CARGO_PKG_VERSION")
        )),
        Some(&1.0)
    );
}

#[tokio::test]
async fn tokens_are_asked_for_except_by_probes_and_the_page() {
    let folder = tempfile::tempdir().expect("a folder");
    let (all, read) = (folder.path().join("all"), folder.path().join("read"));
    std::fs::write(&all, "all-of-it-0123456789\n").expect("written");
    std::fs::write(&read, "read-only-0123456789\n").expect("written");
    let tokens = Tokens::read(&all, Some(&read)).expect("tokens");
    let admin = Admin::start_with(|address| Access::whole(address, &[]).with_tokens(Some(tokens))).await;
    let drain = "/api/v1/regions/westeurope/drain";
    let open = [("GET", "/livez"), ("GET", "/readyz"), ("GET", "/")];
    let reads = [
        ("GET", "/metrics"),
        ("GET", "/api/v1/regions"),
        ("HEAD", "/api/v1/config"),
    ];
    let status = async |(method, target): (&str, &str), token: &str| {
        let header = match token {
            "" => String::new(),
            token => format!("Authorization: Bearer {token}\r\n"),
        };
        let answer = admin.ask(method, target, &header).await;
        if answer.status == 401 {
            assert!(
                answer.headers.contains("www-authenticate: bearer"),
                "{}",
                answer.headers
            );
            assert!(!answer.body.contains(token) || token.is_empty(), "{}", answer.body);
        }
        answer.status.as_u16()
    };
    for asked in open {
        assert_eq!(status(asked, "").await, 200, "{asked:?}");
    }
    for asked in reads {
        for (token, expected) in [
            ("", 401),
            ("wrong-0123456789abc", 401),
            ("read-only-0123456789", 200),
            ("all-of-it-0123456789", 200),
        ] {
            assert_eq!(status(asked, token).await, expected, "{asked:?} {token}");
        }
    }
    let order = ("POST", drain);
    assert_eq!(status(order, "").await, 401);
    assert_eq!(status(order, "read-only-0123456789").await, 403);
    assert_eq!(status(order, "all-of-it-0123456789").await, 200);
}
