//! What the program tells of itself: traces and metrics by OTLP, exemplars, and access logs by a template and of a sample.

use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::trace::v1::Span;
use portolan_core::health::State;
use portolan_tests::{Behaviour, Collector, Mood, Request, Setup, World, attributes, from};
use std::time::{Duration, Instant};

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn telemetry(collector: &Collector, sample: &str) -> String {
    format!(
        "telemetry:\n  service_name: edge\n  otlp: {{ endpoint: \"http://{}\", timeout: 1s, metrics: 1s, headers_file: otlp.headers }}\n  \
         traces: {{ sample: {sample} }}",
        collector.address()
    )
}

fn traced(collector: &Collector, sample: &str) -> Setup {
    let setup = Setup::three_regions().file("otlp.headers", "Authorization: Bearer 4711\n");
    setup.with(&telemetry(collector, sample))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn by_kind(spans: Vec<Span>) -> (Vec<Span>, Vec<Span>) {
    spans.into_iter().partition(|span| span.kind == 2)
}

/// Whether it is the span of a request for this path.
fn is_of(span: &Span, path: &str) -> bool {
    attributes(&span.attributes)
        .get("url.path")
        .is_some_and(|it| it == path)
}

async fn metric(world: &World, name: &str) -> f64 {
    let text = world.admin(Request::get("/metrics")).await.text();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name} in {text}"))
        .parse()
        .expect("a number")
}

#[tokio::test]
async fn a_request_that_failed_over_is_a_trace_with_a_span_of_each_attempt() {
    let collector = Collector::start();
    let world = traced(&collector, "0.1%").start();
    world.until_healthy().await;
    world.behave("westeurope", Behaviour::Reset);
    let request = Request::get("/cart?card=4111")
        .from(from::BRITAIN)
        .header("traceparent", PARENT)
        .header("tracestate", "vendor=1")
        .header("user-agent", "test/1");
    let answer = world.send(request).await;
    assert_eq!(answer.status, 200);
    let spans = collector.until_spans(3).await;
    let (resource, _) = &spans[0];
    assert_eq!(
        (resource["service.name"].as_str(), resource["service.instance.id"].len()),
        ("edge", 16)
    );
    let (servers, clients) = by_kind(spans.into_iter().map(|(_, span)| span).collect());
    let [server] = servers.as_slice() else {
        panic!("{servers:?}")
    };
    let [first, second] = clients.as_slice() else {
        panic!("{clients:?}")
    };
    assert_eq!(hex(&server.trace_id), "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(
        (hex(&server.parent_span_id).as_str(), server.trace_state.as_str()),
        ("b7ad6b7169203331", "vendor=1")
    );
    assert_eq!(server.name, "GET /");
    let of = attributes(&server.attributes);
    for (key, value) in [
        ("http.request.method", "GET"),
        ("url.path", "/cart"),
        ("url.scheme", "http"),
        ("server.address", "shop.example.net"),
        ("client.address", from::BRITAIN),
        ("network.peer.address", "127.0.0.1"),
        ("network.protocol.version", "1.1"),
        ("http.response.status_code", "200"),
        ("user_agent.original", "test/1"),
        ("http.route", "/"),
        ("geo.country.iso_code", "GB"),
        ("portolan.service", "shop"),
        ("portolan.outcome", "2xx"),
    ] {
        assert_eq!(of.get(key).map(String::as_str), Some(value), "{key} of {of:?}");
    }
    assert!(!of.contains_key("error.type") && server.status.is_none(), "{of:?}");
    assert!(!format!("{server:?}{clients:?}").contains("4111"), "no query");
    let gateway = |region| world.gateway(region).address().port().to_string();
    for (span, region, error) in [(first, "westeurope", Some("reset")), (second, &answer.region(), None)] {
        let of = attributes(&span.attributes);
        assert_eq!(
            (&span.trace_id, &span.parent_span_id),
            (&server.trace_id, &server.span_id)
        );
        assert_eq!(
            (of["portolan.region"].as_str(), &of["server.port"]),
            (region, &gateway(region))
        );
        assert_eq!(of.get("error.type").map(String::as_str), error, "{of:?}");
        assert_eq!(of["network.peer.address"], "127.0.0.1");
        assert!(span.start_time_unix_nano >= server.start_time_unix_nano);
        assert!(span.end_time_unix_nano <= server.end_time_unix_nano);
        assert!(span.end_time_unix_nano >= span.start_time_unix_nano);
    }
    assert_eq!(attributes(&second.attributes)["http.request.resend_count"], "1");
    // The gateway continues the span of its own attempt.
    let expected = format!("00-0af7651916cd43dd8448eb211c80319c-{}-01", hex(&second.span_id));
    assert_eq!(
        (answer.seen("traceparent"), answer.seen("tracestate").as_str()),
        (expected, "vendor=1")
    );
    let request = &collector.requests()[0];
    assert_eq!(request.headers["content-type"], "application/x-protobuf");
    assert_eq!(request.headers["authorization"], "Bearer 4711");
}

#[tokio::test]
async fn only_trusted_peers_decide_what_is_recorded() {
    let collector = Collector::start();
    let world = traced(&collector, "0.1%").start();
    // A trusted one, which has not recorded its own span.
    let unsampled = PARENT.replace("-01", "-00");
    let answer = world.send(Request::get("/").header("traceparent", &unsampled)).await;
    assert_eq!(answer.seen("traceparent"), unsampled, "it is passed on");
    let trusted = Request::get("/trusted").header("traceparent", PARENT);
    assert_eq!(world.send(trusted).await.status, 200);
    let spans = collector.until_spans(2).await;
    assert!(spans.iter().all(|(_, span)| {
        attributes(&span.attributes)
            .get("url.path")
            .is_none_or(|path| path == "/trusted")
    }));

    let first = world.app().tables().current().generation;
    world.reconfigure(|text| text.replace("trusted_proxies: [127.0.0.0/8]", "trusted_proxies: [192.0.2.0/24]"));
    world.until("nobody is trusted", |table| table.generation > first).await;
    // One of these is recorded in a thousand: its trace goes on, its flag does not.
    for _ in 0..3 {
        let seen = world
            .send(Request::get("/").header("traceparent", PARENT))
            .await
            .seen("traceparent");
        assert!(seen.starts_with("00-0af7651916cd43dd8448eb211c80319c-"), "{seen}");
        assert!(
            !seen.contains("b7ad6b7169203331"),
            "another flag makes another parent: {seen}"
        );
    }
    world.reconfigure(|text| text.replace("sample: 0.1%", "sample: 100%"));
    world
        .until("all are recorded", |table| {
            table
                .settings
                .telemetry
                .sample
                .is_some_and(|sample| sample.as_permille() == 1_000)
        })
        .await;
    let answer = world
        .send(Request::get("/mine").header("traceparent", &unsampled))
        .await;
    assert!(answer.seen("traceparent").ends_with("-01"), "{}", answer.text());
    let answer = world.send(Request::get("/new").header("tracestate", "a=b")).await;
    assert_eq!(
        answer.seen("tracestate"),
        "",
        "a state without its parent means nothing"
    );
    let spans = collector.until_span(|span| is_of(span, "/new")).await;
    let new = spans.iter().map(|(_, span)| span).find(|span| is_of(span, "/new"));
    assert!(
        new.is_some_and(
            |span| span.parent_span_id.is_empty() && hex(&span.trace_id) == answer.seen("traceparent")[3..35]
        )
    );
}

#[tokio::test]
async fn requests_without_a_region_are_spans_with_an_error() {
    let collector = Collector::start();
    let world = traced(&collector, "100%").start();
    for region in ["westeurope", "eastus2", "southeastasia"] {
        world.behave(region, Behaviour::Dead);
    }
    world.until_state("southeastasia", State::Unhealthy).await;
    let answer = world.send(Request::get("/")).await;
    assert!(answer.status.is_server_error(), "{answer:?}");
    let spans = collector.until_spans(2).await;
    let (servers, clients) = by_kind(spans.into_iter().map(|(_, span)| span).collect());
    let of = attributes(&servers[0].attributes);
    assert_eq!(of["http.response.status_code"], answer.status.as_u16().to_string());
    assert!(
        of.contains_key("error.type") && servers[0].status.as_ref().is_some_and(|status| status.code == 2),
        "{of:?}"
    );
    assert!(
        clients
            .iter()
            .all(|span| attributes(&span.attributes)["error.type"].starts_with("connect")),
        "{clients:?}"
    );
}

#[tokio::test]
async fn a_collector_that_hangs_or_is_away_holds_no_request_up() {
    let collector = Collector::start();
    let world = traced(&collector, "100%").start();
    world.until_healthy().await;
    for mood in [
        Mood::Hangs,
        Mood::Refuses(503, "retry-after: 1\r\n"),
        Mood::Refuses(400, ""),
    ] {
        collector.answers(mood);
        let begun = Instant::now();
        let seen = collector.requests().len();
        for _ in 0..20 {
            assert_eq!(world.send(Request::get("/")).await.status, 200);
        }
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "{mood:?} {:?}",
            begun.elapsed()
        );
        collector.until_requests(seen + 1).await;
    }
    collector.answers(Mood::Takes);
    assert_eq!(world.send(Request::get("/last")).await.status, 200);
    collector.until_span(|span| is_of(span, "/last")).await;
    assert!(
        metric(
            &world,
            "portolan_otlp_exports_total{signal=\"traces\",result=\"failure\"}"
        )
        .await
            >= 1.0
    );
    assert!(metric(&world, "portolan_spans_total{result=\"exported\"}").await >= 1.0);
    assert!(metric(&world, "portolan_spans_total{result=\"dropped\"}").await == 0.0);
}

#[tokio::test]
async fn the_last_spans_are_sent_before_the_program_ends() {
    let collector = Collector::start();
    let world = traced(&collector, "100%").start();
    for _ in 0..5 {
        assert_eq!(world.send(Request::get("/")).await.status, 200);
    }
    drop(world);
    assert_eq!(collector.until_spans(10).await.len(), 10);
}

#[tokio::test]
async fn metrics_are_sent_as_scrapers_see_them() {
    let collector = Collector::start();
    let world = traced(&collector, "100%").start();
    for _ in 0..3 {
        assert_eq!(world.send(Request::get("/")).await.status, 200);
    }
    collector.until_spans(6).await;
    let duration = |metrics: &[opentelemetry_proto::tonic::metrics::v1::Metric]| {
        let found = metrics
            .iter()
            .find(|metric| metric.name == "portolan_request_duration_seconds")
            .cloned()?;
        match found.data {
            Some(Data::Histogram(histogram)) => Some((found.unit, histogram)),
            other => panic!("{other:?}"),
        }
    };
    let metrics = collector
        .until_metrics(|metrics| {
            duration(metrics).is_some_and(|(_, histogram)| {
                let [point] = histogram.data_points.as_slice() else {
                    return false;
                };
                point.count == 3 && !point.exemplars.is_empty()
            })
        })
        .await;
    let (unit, histogram) = duration(&metrics).expect("there");
    let point = &histogram.data_points[0];
    assert_eq!((unit.as_str(), histogram.aggregation_temporality), ("s", 2));
    assert_eq!(attributes(&point.attributes)["service"], "shop");
    assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
    assert_eq!(point.bucket_counts.iter().sum::<u64>(), 3);
    let requests = metrics
        .iter()
        .find(|metric| metric.name == "portolan_requests_total")
        .expect("there");
    let Some(Data::Sum(sum)) = &requests.data else {
        panic!("{requests:?}")
    };
    assert!(sum.is_monotonic && sum.aggregation_temporality == 2);

    let scrape =
        Request::get("/metrics").header("accept", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5");
    let answer = world.admin(scrape).await;
    assert!(
        answer
            .header("content-type")
            .starts_with("application/openmetrics-text")
    );
    let text = answer.text();
    assert!(text.ends_with("# EOF\n"));
    let example = text
        .lines()
        .find(|line| line.starts_with("portolan_request_duration_seconds_bucket") && line.contains(" # {trace_id=\""));
    assert!(example.is_some_and(|line| line.contains("request_id=\"")), "{text}");
    let plain = world.admin(Request::get("/metrics")).await;
    assert!(plain.header("content-type").starts_with("text/plain") && !plain.text().contains("trace_id"));
}

#[tokio::test]
async fn stages_add_up_and_overhead_has_no_waits() {
    let world = Setup::three_regions().tls().service("health_check: off").start();
    world.behave("westeurope", Behaviour::Slow);
    for _ in 0..3 {
        assert_eq!(world.send(Request::get("/").from(from::BRITAIN)).await.status, 200);
    }
    let of = |stage: &str, part: &str| format!("portolan_request_{stage}_seconds_{part}{{service=\"shop\"}}");
    for stage in ["identify", "decide", "first_byte", "duration", "overhead"] {
        assert_eq!(metric(&world, &of(stage, "count")).await, 3.0, "{stage}");
    }
    let (total, overhead) = (
        metric(&world, &of("duration", "sum")).await,
        metric(&world, &of("overhead", "sum")).await,
    );
    assert!(
        total >= 0.3 && overhead < total / 5.0 && overhead > 0.0,
        "{overhead} of {total}"
    );
    assert!(overhead >= metric(&world, &of("decide", "sum")).await);
    for stage in ["connect", "tls_handshake"] {
        let name = format!("portolan_upstream_{stage}_seconds_count{{service=\"shop\",region=\"westeurope\"}}");
        assert!(metric(&world, &name).await >= 1.0, "{stage}");
    }
}

#[tokio::test]
async fn a_template_makes_the_lines_of_the_log() {
    let world = Setup::three_regions()
        .logging_as(
            "{ file: access.log, format: '%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% \"%REQ(:METHOD)% %PATH(NQ)% %PROTOCOL%\" \
             %RESPONSE_CODE% \"%REQ(USER-AGENT):6%\" \"%REQ(X-NONE)%\" %RESP(CONTENT-TYPE)% %PORTOLAN(region)% %TRACE_ID%' }",
        )
        .start();
    let request = Request::get("/cart?card=4111").from(from::BRITAIN);
    let request = request.header("user-agent", "a\"b c; d").header("traceparent", PARENT);
    assert_eq!(world.send(request).await.status, 200);
    let log = world.folder().join("access.log");
    let read = || std::fs::read_to_string(&log).unwrap_or_default();
    world.poll("there is a line", || read().ends_with('\n')).await;
    let expected = format!(
        "{} \"GET /cart HTTP/1.1\" 200 \"a\\x22b\" \"-\" application/json westeurope 0af7651916cd43dd8448eb211c80319c\n",
        from::BRITAIN
    );
    assert_eq!(read(), expected);
}

#[tokio::test]
async fn a_sample_has_all_failures_and_tells_what_its_lines_stand_for() {
    let world = Setup::three_regions()
        .service("outlier_detection: { consecutive_failures: 1000000, failure_percent: 0% }\nretry: { retry_on: [connect-failure] }")
        .logging_as("{ file: access.log, sample: 20% }")
        .start();
    world.behave("westeurope", Behaviour::Fail);
    for _ in 0..30 {
        assert_eq!(world.send(Request::get("/").from(from::BRITAIN)).await.status, 503);
    }
    for _ in 0..100 {
        assert_eq!(world.send(Request::get("/").from(from::SINGAPORE)).await.status, 200);
    }
    let lines = world.until_logged(35).await;
    let of = |status: u64| lines.iter().filter(move |line| line["status"] == status);
    assert_eq!(
        (of(503).count(), of(503).filter(|line| line["weight"].is_null()).count()),
        (30, 30)
    );
    let sampled = of(200).count();
    assert!((5..50).contains(&sampled), "{sampled}");
    assert!(of(200).all(|line| line["weight"] == 5.0), "{lines:?}");
}
