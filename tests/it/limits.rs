//! Limits of routes and load shedding, before gateways that hold their answers.

mod requests;

use portolan_core::admission::Priority;
use portolan_tests::raw::{Message, RawGateway, Reply, Wire};
use portolan_tests::{Request, Setup, World};
use std::thread;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// One region, whose gateway holds its answers until it is released.
struct Scene {
    world: World,
    gateway: RawGateway,
}

/// A request that was sent on a connection of its own and has not been answered.
type Held = Wire;

impl Scene {
    fn new(routes: &str, rest: &str) -> Self {
        let gateway = RawGateway::start();
        gateway.replies([Reply::Hold(OK.to_vec())]);
        let setup = Setup::regions(&[]).other("westeurope", gateway.address());
        let setup = setup.service("health_check: off").routes(routes).with(rest).logging();
        Self {
            world: setup.start(),
            gateway,
        }
    }

    fn in_flight(&self) -> u32 {
        self.world.app().tables().current().in_flight.total()
    }

    async fn until_in_flight(&self, count: u32) {
        let what = format!("{count} requests are worked on");
        self.world.poll(&what, || self.in_flight() == count).await;
    }

    fn send(&self, path: &str) -> Wire {
        let mut client = Wire::open(self.world.proxy());
        client.write(get(path));
        client
    }

    /// Sends requests that are admitted, one after the other.
    async fn hold(&self, path: &str, count: u32) -> Vec<Held> {
        let mut held = Vec::new();
        for _ in 0..count {
            let before = self.in_flight();
            held.push(self.send(path));
            self.until_in_flight(before + 1).await;
        }
        held
    }

    /// Sends a request that is shed.
    #[track_caller]
    fn shed(&self, path: &str) -> Message {
        let answer = self.send(path).response("GET").expect("an answer");
        check_shed(&answer);
        answer
    }

    /// Answers all that is held.
    async fn release(&self, held: impl IntoIterator<Item = Held>) {
        self.gateway.release();
        for mut held in held {
            assert_eq!(held.response("GET").expect("an answer").status(), 200);
        }
        self.until_in_flight(0).await;
    }

    async fn metric(&self, sample: &str) -> String {
        let metrics = self.world.admin(Request::get("/metrics")).await.text();
        let value = metrics
            .lines()
            .find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("{sample}: {metrics}")).to_owned()
    }

    async fn rejected(&self, reason: &str) -> String {
        self.metric(&format!("portolan_rejected_requests_total{{reason=\"{reason}\"}}"))
            .await
    }

    /// Replaces a part of the configuration, and waits until requests are decided by the new one.
    async fn change(&self, from: &str, to: &str) {
        let before = self.world.app().tables().current().generation;
        self.world.reconfigure(|text| {
            assert!(text.contains(from), "{text}");
            text.replace(from, to)
        });
        let written = self.world.app().tables().current().settings.written.clone();
        self.world
            .until("the new configuration is active", |table| {
                table.generation > before && table.settings.written != written
            })
            .await;
    }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: shop.example\r\n\r\n")
}

#[track_caller]
fn check_shed(answer: &Message) {
    assert_eq!(answer.status(), 503, "{}", answer.head);
    let after = answer.field("retry-after").and_then(|seconds| seconds.parse().ok());
    assert!(
        after.is_some_and(|after: u32| (1..=10).contains(&after)),
        "{}",
        answer.head
    );
    assert!(!answer.closes(), "{}", answer.head);
}

const PRIORITIES: &str =
    "- { path: /low, service: shop, priority: low }\n- { path: /high, service: shop, priority: high }";

#[tokio::test]
async fn overload_sheds_the_lowest_priority_first_and_exactly() {
    let scene = Scene::new(PRIORITIES, "overload: { concurrent_requests: 20 }");
    // Of 20, low priority may use 16, normal 19.
    let mut held = scene.hold("/", 15).await;
    held.extend(scene.hold("/low", 1).await);
    for _ in 0..3 {
        scene.shed("/low");
    }
    held.extend(scene.hold("/", 3).await);
    scene.shed("/");
    scene.shed("/low");
    held.extend(scene.hold("/high", 1).await);
    for path in ["/high", "/", "/low"] {
        scene.shed(path);
    }
    assert_eq!(
        scene.gateway.connections(),
        20,
        "nothing that was shed reached the gateway"
    );
    for (reason, count) in [("overload_low", "5"), ("overload_normal", "2"), ("overload_high", "1")] {
        assert_eq!(scene.rejected(reason).await, count, "{reason}");
    }
    for (priority, limit) in [("low", "16"), ("normal", "19"), ("high", "20")] {
        let sample = format!("portolan_overload_limit{{priority=\"{priority}\"}}");
        assert_eq!(scene.metric(&sample).await, limit);
    }
    assert_eq!(scene.metric("portolan_downstream_in_flight").await, "20");
    let shed = "portolan_requests_total{service=\"shop\",region=\"\",outcome=\"shed\"}";
    assert_eq!(scene.metric(shed).await, "8");
    // Those that run are logged when they end. Each worker writes its own lines.
    let lines = scene.world.until_logged(8).await;
    let mut reasons: Vec<_> = lines
        .iter()
        .map(|line| line["error"].as_str().unwrap_or_default())
        .collect();
    reasons.sort_unstable();
    let expected = [("overload_high", 1), ("overload_low", 5), ("overload_normal", 2)];
    let expected: Vec<_> = expected
        .iter()
        .flat_map(|(reason, count)| vec![*reason; *count])
        .collect();
    assert_eq!(reasons, expected);
    for line in &lines {
        assert_eq!(
            (&line["outcome"], &line["service"]),
            (&"shed".into(), &"shop".into()),
            "{line}"
        );
    }
    scene.release(held).await;
    // All is admitted again.
    for path in ["/low", "/", "/high"] {
        assert_eq!(scene.send(path).response("GET").expect("an answer").status(), 200);
    }
    assert_eq!(scene.metric(shed).await, "8");
}

/// So many clients are not more than the limit of their priority, however their requests follow each other.
#[tokio::test]
async fn nothing_is_shed_below_the_limit() {
    let scene = Scene::new(PRIORITIES, "overload: { concurrent_requests: 10 }");
    scene.gateway.release();
    let proxy = scene.world.proxy();
    let clients = (0..8).map(|_| {
        thread::spawn(move || {
            let mut client = Wire::open(proxy);
            for _ in 0..100 {
                client.write(get("/low"));
                let answer = client.response("GET").expect("an answer");
                assert_eq!(answer.status(), 200, "{}", answer.head);
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.join().expect("no request was shed");
    }
    scene.until_in_flight(0).await;
}

#[tokio::test]
async fn a_connection_goes_on_after_a_request_that_was_shed() {
    let scene = Scene::new("", "overload: { concurrent_requests: 1 }");
    let held = scene.hold("/", 1).await;
    let mut client = scene.send("/");
    check_shed(&client.response("GET").expect("an answer"));
    client.write(get("/"));
    check_shed(&client.response("GET").expect("an answer"));
    scene.release(held).await;
    client.write(get("/"));
    assert_eq!(client.response("GET").expect("an answer").status(), 200);
}

#[tokio::test]
async fn probes_and_administration_are_never_shed() {
    let scene = Scene::new("", "overload: { concurrent_requests: 1 }\nfront_door: { mode: off }");
    let held = scene.hold("/", 1).await;
    scene.shed("/");
    let answer = scene.send("/.portolan/probe/shop").response("GET").expect("an answer");
    assert_eq!(answer.status(), 200, "{}", answer.head);
    for path in ["/livez", "/readyz", "/metrics", "/api/v1/regions"] {
        assert_eq!(scene.world.admin(Request::get(path)).await.status, 200, "{path}");
    }
    scene.release(held).await;
}

#[tokio::test]
async fn a_route_has_no_more_concurrent_requests_than_it_may() {
    let few = "- { path: /few, service: shop, limits: { concurrent_requests: 2 } }";
    let scene = Scene::new(few, "");
    let mut held = scene.hold("/few", 2).await;
    scene.shed("/few/a");
    // Others are not concerned.
    held.extend(scene.hold("/", 3).await);
    assert_eq!(scene.rejected("route_full").await, "1");
    assert_eq!(scene.metric("portolan_route_in_flight{route=\"*/few\"}").await, "2");
    let limit = "portolan_route_concurrent_requests_limit{route=\"*/few\"}";
    assert_eq!(scene.metric(limit).await, "2");
    let line = scene.world.until_logged(1).await.remove(0);
    assert_eq!(
        (&line["error"], &line["outcome"]),
        (&"route_full".into(), &"shed".into())
    );
    // A client that leaves makes room.
    drop(held.remove(0));
    scene.until_in_flight(4).await;
    held.extend(scene.hold("/few", 1).await);
    scene.shed("/few");
    scene.release(held).await;
    assert_eq!(scene.metric("portolan_route_in_flight{route=\"*/few\"}").await, "0");
}

#[tokio::test]
async fn limits_change_under_load() {
    let few = "- { path: /few, service: shop, limits: { concurrent_requests: 3 } }";
    let scene = Scene::new(few, "overload: { concurrent_requests: 100 }");
    let mut held = scene.hold("/few", 3).await;
    scene.shed("/few");
    // More: those that run still count.
    scene.change("concurrent_requests: 3 ", "concurrent_requests: 5 ").await;
    held.extend(scene.hold("/few", 2).await);
    scene.shed("/few");
    // Fewer than run already: those go on.
    scene.change("concurrent_requests: 5 ", "concurrent_requests: 1 ").await;
    scene.shed("/few");
    // The whole instance.
    scene
        .change("concurrent_requests: 100 ", "concurrent_requests: 6 ")
        .await;
    scene.shed("/");
    scene
        .change("concurrent_requests: 6 ", "concurrent_requests: 10 ")
        .await;
    let limits = scene.world.app().tables().current().settings.overload;
    let limits = limits.expect("limits").limit(Priority::Normal);
    held.extend(scene.hold("/", limits - 5).await);
    scene.shed("/");
    // None.
    scene.change("overload: { concurrent_requests: 10 }", "").await;
    scene.change(", limits: { concurrent_requests: 1 }", "").await;
    held.extend(scene.hold("/few", 8).await);
    scene.release(held).await;
    assert_eq!(scene.rejected("route_full").await, "3");
    assert_eq!(scene.rejected("overload_normal").await, "2");
}

const SMALL: &str = "- { path: /small, service: shop, limits: { request_body: 10B } }";

fn post(path: &str, fields: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nhost: shop.example\r\n{fields}\r\n\r\n{body}")
}

#[tokio::test]
async fn a_body_whose_length_is_too_large_reaches_no_gateway() {
    let scene = Scene::new(SMALL, "");
    scene.gateway.release();
    let long = "x".repeat(8_000_000);
    for (fields, body) in [
        ("content-length: 11", "hello world"),
        ("content-length: 8000000", &*long),
        // Asked before it is sent, and not told to send it.
        ("content-length: 11\r\nexpect: 100-continue", ""),
    ] {
        let mut client = Wire::open(scene.world.proxy());
        client.write(post("/small", fields, body));
        let head = client.head().expect("an answer");
        assert!(
            head.starts_with("HTTP/1.1 413 ") && head.contains("connection: close"),
            "{head}"
        );
    }
    assert_eq!(scene.gateway.connections(), 0);
    assert_eq!(scene.rejected("body_too_large").await, "3");
    let line = scene.world.until_logged(1).await.remove(0);
    assert_eq!(
        (&line["error"], &line["outcome"], &line["status"]),
        (&"body_too_large".into(), &"rejected".into(), &413.into())
    );
    for (path, length) in [("/small", "content-length: 10"), ("/", "content-length: 11")] {
        let mut client = Wire::open(scene.world.proxy());
        client.write(post(path, length, &"hello world"[..if path == "/" { 11 } else { 10 }]));
        assert_eq!(client.response("POST").expect("an answer").status(), 200, "{path}");
    }
}

#[tokio::test]
async fn a_body_that_turns_out_too_large_is_cut() {
    let scene = Scene::new(SMALL, "");
    scene.gateway.release();
    let chunked = "transfer-encoding: chunked";
    for body in [
        "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
        "b\r\nhello world\r\n0\r\n\r\n",
    ] {
        let mut client = Wire::open(scene.world.proxy());
        client.write(post("/small", chunked, body));
        let answer = client.response("POST").expect("an answer");
        assert_eq!((answer.status(), answer.closes()), (413, true), "{}", answer.head);
    }
    // Once it has begun to be sent, its connection ends with it.
    let mut client = Wire::open(scene.world.proxy());
    client.write(post("/small", chunked, "5\r\nhello\r\n"));
    scene.world.until_in_flight("westeurope", 1).await;
    client.write("6\r\n world\r\n0\r\n\r\n");
    assert_eq!(client.response("POST").expect("an answer").status(), 413);
    scene.gateway.until_closed(scene.gateway.connections());
    let seen = scene.gateway.seen();
    assert!(seen.iter().all(|it| !it.is_whole && it.body.len() <= 10), "{seen:#?}");
    assert_eq!(scene.rejected("body_too_large").await, "3");
    // Not an error of the gateway.
    let failed = "portolan_upstream_attempts_total{service=\"shop\",region=\"westeurope\",outcome=\"reset\"}";
    assert_eq!(scene.metric(failed).await, "0");
    // The longest that is allowed.
    let mut client = Wire::open(scene.world.proxy());
    client.write(post("/small", chunked, "a\r\nhello worl\r\n0\r\n\r\n"));
    assert_eq!(client.response("POST").expect("an answer").status(), 200);
    assert_eq!(scene.gateway.seen()[0].body, b"hello worl");
}

/// The answer has begun: all that is left is that it does not look whole.
#[tokio::test]
async fn a_body_that_is_too_large_after_the_answer_began_cuts_the_answer() {
    let scene = Scene::new(SMALL, "");
    let early = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nbegun";
    scene.gateway.replies([Reply::SayEarly(early.into())]);
    let mut client = Wire::open(scene.world.proxy());
    client.write(post("/small", "transfer-encoding: chunked", "5\r\nhello\r\n"));
    let head = client.head().expect("an answer");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    client.write("6\r\n world\r\n0\r\n\r\n");
    scene.gateway.until_closed(1);
    let line = scene.world.until_logged(1).await.remove(0);
    assert_eq!(line["outcome"], "cut_short", "{line}");
}

#[tokio::test]
async fn explain_shows_what_applies_on_the_way() {
    let own = "- { path: /own, service: shop, retry: { attempts: 1, hedge_after: off, retry_on: [5xx] }, timeouts: { request: 30s }, \
               limits: { request_body: 10MiB, concurrent_requests: 200, rate: { requests: 300, per: 1m } }, priority: low }";
    let scene = Scene::new(own, "overload: { concurrent_requests: 1000 }");
    let explain = async |path: &str| {
        let path = format!("/api/v1/explain?ip=192.0.2.1&host=a&path={path}");
        scene.world.admin(Request::get(&path)).await.json()["policies"].clone()
    };
    let shown = explain("/own").await;
    let expected = serde_json::json!({
        "retry": { "of": "route", "attempts": 1, "retry_on": ["connect-failure", "reset", "500-599"], "per_try_timeout_ms": null,
                   "hedge_after_ms": null, "non_idempotent": false, "max_replay_body_bytes": 65536, "hold_back_body_bytes": 0 },
        "timeouts": { "of": "route", "connect_ms": 400.0, "request_ms": 30000.0, "idle_ms": 60000.0, "tunnel_ms": 3600000.0,
                      "stream_idle_ms": 300000.0, "total_ms": null },
        "limits": { "request_body_bytes": 10485760, "concurrent_requests": 200, "rate": { "per_second": 5.0, "burst": 300 } },
        "priority": "low",
    });
    assert_eq!(shown, expected);
    let shown = explain("/").await;
    assert_eq!(
        (&shown["retry"]["of"], &shown["timeouts"]["of"]),
        (&"service".into(), &"service".into())
    );
    assert_eq!(
        (&shown["retry"]["hedge_after_ms"], &shown["priority"]),
        (&400.0.into(), &"normal".into())
    );
    let none = serde_json::json!({ "request_body_bytes": null, "concurrent_requests": null, "rate": null });
    assert_eq!(shown["limits"], none);
}

/// The scene with clients by X-Forwarded-For, whose trusted proxy is the test.
fn clients(rate: &str) -> Scene {
    let gateway = RawGateway::start();
    gateway.replies([Reply::Say(OK.to_vec())]);
    let routes = format!("- {{ path: /api, service: shop, limits: {{ rate: {rate} }} }}");
    let setup = Setup::regions(&[]).other("westeurope", gateway.address());
    let setup = setup.service("health_check: off").routes(&routes).logging();
    Scene {
        world: setup.start(),
        gateway,
    }
}

fn ask(client: &mut Wire, path: &str, address: &str) -> Message {
    client.write(format!(
        "GET {path} HTTP/1.1\r\nhost: shop.example\r\nx-forwarded-for: {address}\r\n\r\n"
    ));
    client.response("GET").expect("an answer")
}

#[tokio::test]
async fn each_client_network_has_a_rate_of_its_own() {
    let scene = clients("{ requests: 3, per: 1h }");
    let mut wire = Wire::open(scene.world.proxy());
    for _ in 0..3 {
        assert_eq!(ask(&mut wire, "/api/x", "192.0.2.1").status(), 200);
    }
    let answer = ask(&mut wire, "/api/y", "192.0.2.1");
    assert_eq!(answer.status(), 429, "{}", answer.head);
    assert!(!answer.closes(), "{}", answer.head);
    assert_eq!(answer.field("content-type"), Some("application/problem+json"));
    // A request comes back every twenty minutes.
    let after: u64 = answer.field("retry-after").expect("a time").parse().expect("seconds");
    assert!((1190..=1200).contains(&after), "{after}");
    // The neighbour, and the routes without a limit.
    assert_eq!(ask(&mut wire, "/api/x", "192.0.2.2").status(), 200);
    assert_eq!(ask(&mut wire, "/", "192.0.2.1").status(), 200);
    // A subscriber's IPv6 addresses are one network.
    let statuses = (0..4).map(|host| ask(&mut wire, "/api", &format!("2001:db8:1:2::{host}")).status());
    assert_eq!(statuses.collect::<Vec<_>>(), [200, 200, 200, 429]);
    assert_eq!(ask(&mut wire, "/api", "2001:db8:1:3::1").status(), 200);
    assert_eq!(scene.rejected("rate_limited").await, "2");
    let limited = "portolan_route_rate_limited_requests_total{route=\"*/api\"}";
    assert_eq!(scene.metric(limited).await, "2");
    let lines = scene.world.until_logged(11).await;
    let limited: Vec<_> = lines.iter().filter(|line| line["status"] == 429).collect();
    assert_eq!(limited.len(), 2);
    for line in limited {
        assert_eq!(
            (&line["error"], &line["outcome"]),
            (&"rate_limited".into(), &"rate_limited".into())
        );
    }
}

#[tokio::test]
async fn a_reload_keeps_the_buckets_of_a_limit_that_stays() {
    let scene = clients("{ requests: 1, per: 1h }");
    let mut wire = Wire::open(scene.world.proxy());
    assert_eq!(ask(&mut wire, "/api", "192.0.2.1").status(), 200);
    assert_eq!(ask(&mut wire, "/api", "192.0.2.1").status(), 429);
    scene.change("path: /api,", "path: /api, priority: high,").await;
    assert_eq!(ask(&mut wire, "/api", "192.0.2.1").status(), 429);
    // Another limit begins with full buckets.
    scene.change("requests: 1,", "requests: 2,").await;
    assert_eq!(ask(&mut wire, "/api", "192.0.2.1").status(), 200);
}

/// What is answered without the body that is still coming ends its connection, and says so.
#[tokio::test]
async fn an_error_before_the_body_has_come_announces_the_end() {
    let scene = clients("{ requests: 1, per: 1h, burst: 1 }");
    let denied = |head: &str, body: &str| {
        let mut client = Wire::open(scene.world.proxy());
        client.write(format!(
            "POST /api HTTP/1.1\r\nhost: shop.example\r\nx-forwarded-for: 192.0.2.9\r\n{head}\r\n\r\n{body}"
        ));
        let answer = client.response("POST").expect("an answer");
        (client, answer)
    };
    assert_eq!(denied("content-length: 2", "ok").1.status(), 200);
    // It has come.
    let (mut client, answer) = denied("content-length: 2", "ok");
    assert!(answer.status() == 429 && !answer.closes(), "{}", answer.head);
    assert_eq!(ask(&mut client, "/", "192.0.2.9").status(), 200);
    for head in [
        "content-length: 3",
        "transfer-encoding: chunked",
        "content-length: 2\r\nexpect: 100-continue",
    ] {
        let (mut client, answer) = denied(head, "");
        assert!(answer.status() == 429 && answer.closes(), "{head}: {}", answer.head);
        assert!(client.is_closed(), "{head}");
    }
}

#[tokio::test]
async fn each_client_has_so_many_connections() {
    let items = "- { address: \"127.0.0.1:0\", name: public, max_connections_per_client: 2 }";
    let setup = Setup::regions(&["westeurope"]).service("health_check: off");
    let world = setup.listeners(items).start();
    let client = || {
        let mut client = Wire::open(world.proxy());
        client.write(get("/"));
        let status = client.response("GET").expect("an answer").status();
        (client, status)
    };
    let (first, second, third) = (client(), client(), client());
    assert_eq!((first.1, second.1, third.1), (200, 200, 503));
    let metrics = world.admin(Request::get("/metrics")).await.text();
    for (limit, count) in [("max_connections", 0), ("max_connections_per_client", 1)] {
        let sample =
            format!("portolan_downstream_rejected_connections_total{{listener=\"public\",limit=\"{limit}\"}} {count}");
        assert!(metrics.contains(&sample), "{sample}: {metrics}");
    }
    // Another address of this machine.
    let mut neighbour = Wire::open_from([127, 0, 0, 2].into(), world.proxy());
    neighbour.write(get("/"));
    assert_eq!(neighbour.response("GET").expect("an answer").status(), 200);
    drop(first);
    world.poll("there is room again", || client().1 == 200).await;
}
