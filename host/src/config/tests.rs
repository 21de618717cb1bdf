//! Configuration files: what they set, and what is reported of them.

mod dialects;
#[cfg(feature = "azure")]
mod front_door;
mod hostile;
mod mistakes;
mod plugin_keys;
mod route_answers;
mod route_mistakes;
mod schema;
mod service_mistakes;
mod sources;
mod upstream_tls;

use super::*;
use crate::arrival::RequestLimits;
use crate::config::Settings;
use crate::telemetry::access_log::Errors;
use crate::telemetry::otlp::target::Collector;
use http::{HeaderMap, Method};
use portolan_core::config::{
    Failback, Gate, GatewayHost, GrpcProbe, HttpProbe, Policy, Probe, Protocol, Reuse, Spillover, Upstream,
};
use portolan_core::geo::{Country, Point};
use portolan_core::grpc::GrpcStatus;
use portolan_core::identity::ClientHeader;
use portolan_core::rollout::Share;
use portolan_core::route::Asked;
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

/// A small file without mistakes.
const SMALL: &str = r#"listeners:
  - address: 127.0.0.1:8080
services:
  shop:
    regions:
      - { region: westeurope, gateway: "http://gw-weu.example.net" }
      - { region: eastus2, gateway: "http://gw-eus2.example.net" }
routes:
  - { host: "*", path: /, service: shop }
"#;

/// The example that is shipped.
const EXAMPLE: &str = include_str!("../../../deploy/portolan.yaml");

/// The same with its commented section active.
static EXAMPLE_WITH_FRONT_DOOR: LazyLock<String> = LazyLock::new(|| {
    let (head, rest) = EXAMPLE.split_once("# front_door:").expect("a section");
    let (section, rest) = rest.split_once("\n\n").expect("its end");
    format!("{head}front_door:{}\n\n{rest}", section.replace("\n# ", "\n"))
});

#[track_caller]
fn configuration(text: &str) -> Configuration {
    parse(text.as_bytes(), Path::new("conf/x.yaml")).unwrap_or_else(|errors| panic!("{errors}\n{text}"))
}

#[track_caller]
fn settings(text: &str) -> Settings {
    configuration(text).settings
}

#[test]
fn the_shipped_example_is_fine_and_says_the_defaults() {
    let Configuration {
        fixed,
        settings: example,
        warnings,
    } = configuration(EXAMPLE);
    assert_eq!(warnings, []);
    let [storefront, _] = example.routing.services() else {
        panic!("{example:?}")
    };
    let Configuration {
        fixed: default,
        settings: small,
        ..
    } = configuration(SMALL);
    let [shop] = small.routing.services() else {
        panic!("{small:?}")
    };
    assert_eq!(storefront.policy, shop.policy);
    assert_eq!(storefront.health_check, shop.health_check);
    assert_eq!(storefront.outlier_detection, shop.outlier_detection);
    assert_eq!(storefront.retry, shop.retry);
    assert_eq!(storefront.timeouts, shop.timeouts);
    assert_eq!(storefront.upstream, shop.upstream);
    assert_eq!(storefront.slow_start, shop.slow_start);
    assert_eq!(storefront.preserve_host, shop.preserve_host);
    assert_eq!(storefront.rewrite_responses, shop.rewrite_responses);
    assert_eq!(storefront.pass_interim_responses, shop.pass_interim_responses);
    assert_eq!(storefront.gateways()[2].weight, shop.gateways()[0].weight);
    assert_eq!(
        (&fixed.admin, &fixed.access_log, example.lame_duck, example.drain_time),
        (&default.admin, &default.access_log, small.lame_duck, small.drain_time)
    );
    let bare = "plugins: { canary: { source: \"embedded:canary\", config: { percent: 5 }, rollout: { shadow: 5m, canary: [1%, 10%, 50%] } } }";
    let mut bare = settings(&format!("{SMALL}{bare}")).plugins;
    for plugin in bare.values_mut() {
        // Those of a small plugin, written out.
        plugin.deployment.limits = crate::plugin::PluginLimits {
            file: Some(plugin.deployment.file()),
            compile_time: Some(Duration::from_millis(1_900)),
            compile_memory: Some(256 << 20),
            start_time: Some(plugin.deployment.start_time()),
        };
    }
    assert_eq!(example.plugins, bare);
}

#[test]
fn all_keys_take_effect() {
    let text = r#"
listeners:
  - address: 0.0.0.0:8080
    client_address: { trusted_proxies: [127.0.0.0/8, "::1"], header: x-forwarded-for }
    debug_headers: true
    http2: prior-knowledge
    http2_max_streams: 10
    http2_stream_window: 1MiB
    max_request_header_size: 1MiB
    max_request_header_count: 1000
    max_request_target_size: 60KiB
    min_request_body_progress: 2KiB
    max_requests_per_connection: 5000
  - { address: "[::]:8081", client_address: { trusted_proxies: [10.0.0.0/8], header: x-azure-socketip, front_door_id: ab-cd,
                                           pass_headers: [X-Real-IP] } }
admin: { address: 10.0.0.1:9900, probes: 0.0.0.0:9901, hosts: [edge.example.net], token_file: secrets/admin }
workers: 3
here: on-prem-fra
via: edge-weu.1
resolvers: [10.0.0.10, "10.0.0.11:5353", "[fd00::53]:53", "fd00::54"]
geo:
  database: [v4.mmdb, /var/v6.mmdb]
  asn_database: ../asn.mmdb
  attribution: By Acme
  allow_coverage_loss: true
  learned: { max_prefixes: 1000, half_life: 1h30m, explore: 2%, exclude: [172.224.0.0/12, 192.0.2.7] }
  networks:
    - { network: 10.1.0.0/16, country: sg, location: { latitude: 1.35, longitude: 103.8 }, region: southeastasia }
    - { network: "::ffff:10.1.2.0/120", region: on-prem-fra }
    - { network: "fd00::1", country: DE }
services:
  storefront:
    policy: { plugin: ours }
    regions:
      - { region: westeurope,    gateway: "http://127.0.0.1:9001" }
      - { region: eastus2,       gateway: "http://GW-eus2.example.net/", priority: 1, weight: 7, max_requests: 2000 }
      - { region: on-prem-fra, location: { latitude: 50.1, longitude: 8.7 }, gateway: "http://[::1]:8080" }
    health_check: { probe: tcp, port: 81, interval: 1s, timeout: 1m30s, healthy_threshold: 4, unhealthy_threshold: 5 }
    outlier_detection: { consecutive_failures: 6, failure_percent: 7, min_requests: 8, window: 9s, base_ejection_time: 10m,
                         max_ejection_percent: 11% }
    retry: { attempts: 4, per_try_timeout: 250ms, non_idempotent: true, max_replay_body: 1MiB,
             budget: { percent: 30, min_per_second: 0 } }
    timeouts: { connect: 100ms, request: 1h, idle: 2m, tunnel: 2h }
    upstream: { protocol: auto, reuse: safe, idle_timeout: 4s, max_connection_age: off, max_requests_per_connection: 100,
                load_report: orca }
    slow_start: 0s
    failback: { hold_down: 30s, gate: { url: "http://127.0.0.1:9100/ok/{region}?a", interval: 3s } }
    spillover: nearest
    preserve_host: true
    rewrite_responses: true
    pass_interim_responses: true
    residency: [ { countries: [DE, fr], regions: [westeurope, on-prem-fra] }, { countries: [unknown], regions: [] } ]
  quiet:
    policy: weighted
    regions: [{ region: on-prem-fra, location: { latitude: 50.1, longitude: 8.7 }, gateway: "http://Gw.svc.:8080" }]
    health_check: off
    rewrite_responses: false
routes:
  - { host: shop.example.net, path: /api, service: quiet }
  - service: storefront
plugins:
  ours: { source: ./ours.wasm, config: { percent: 5, on: [true, null, 0x1f, -1.5, "1"] }, deadline: 2ms, memory: 1MiB,
          isolation: fresh, size: large, limits: { file: 20MiB, compile_time: 1m, compile_memory: 1GiB, start_time: 20ms } }
access_log: { file: access.log, format: "%START_TIME% %REQ(X-A)%", sample: 2.5%, errors: sampled }
telemetry:
  service_name: edge
  otlp: { endpoint: "https://otel.example.net/in", headers_file: otlp.headers, ca: ca.pem, timeout: 5s, metrics: off }
  traces: { sample: 0.5% }
lame_duck: 0s
drain_time: 5s
"#;
    let Configuration {
        fixed,
        settings,
        warnings,
    } = configuration(text);
    assert_eq!(warnings, []);
    assert_eq!(settings.listeners[0].address, "0.0.0.0:8080".parse().unwrap());
    assert_eq!(settings.listeners[0].client_address.header, ClientHeader::XForwardedFor);
    assert!(
        settings.listeners[0]
            .client_address
            .trusted
            .contains("::1".parse().unwrap())
    );
    assert!(settings.listeners[0].debug_headers && !settings.listeners[1].debug_headers);
    let http2 = |index: usize| {
        let listener = &settings.listeners[index];
        (listener.http2, listener.http2_max_streams, listener.http2_stream_window)
    };
    assert_eq!(http2(0), (Http2::PriorKnowledge, 10, 1 << 20));
    assert_eq!(http2(1), (Http2::Auto, 128, 256 << 10));
    let limits = RequestLimits {
        header_bytes: 1 << 20,
        header_count: 1000,
        target_bytes: 60 << 10,
        body_progress: 2048,
        per_connection: Some(5000),
    };
    assert_eq!(settings.listeners[0].requests, limits);
    assert_eq!(settings.listeners[1].requests, RequestLimits::default());
    let front_door_id = Some("ab-cd".into());
    assert_eq!(
        settings.listeners[1].client_address.header,
        ClientHeader::AzureSocketIp { front_door_id }
    );
    assert_eq!(*settings.listeners[1].client_address.pass_headers, ["x-real-ip".into()]);
    assert_eq!(
        settings.written["plugins"]["ours"]["config"],
        serde_json::json!({ "percent": "[redacted]", "on": "[redacted]" })
    );
    assert_eq!(
        fixed.admin,
        Admin {
            address: AdminAddress::Tcp("10.0.0.1:9900".parse().unwrap()),
            socket_mode: 0o600,
            tls: None,
            probes: Some("0.0.0.0:9901".parse().unwrap()),
            hosts: vec!["edge.example.net".into()],
            token_file: Some("conf/secrets/admin".into()),
            read_token_file: None,
        }
    );
    assert_eq!(fixed.workers.map(usize::from), Some(3));
    assert_eq!(settings.here, Some("on-prem-fra".into()));
    assert_eq!(
        settings.geo.databases,
        [Path::new("conf/v4.mmdb"), Path::new("/var/v6.mmdb")]
    );
    assert_eq!(settings.geo.asn_databases, [Path::new("conf/../asn.mmdb")]);
    assert_eq!(settings.geo.attribution.as_deref(), Some("By Acme"));
    assert!(settings.geo.allow_coverage_loss);
    let place = |network: &str, country: Option<&str>, point: Option<(f32, f32)>, region: Option<&str>| GeoNetwork {
        network: network.parse().unwrap(),
        country: country.and_then(Country::parse),
        point: point.map(|(latitude, longitude)| Point::new(latitude, longitude).unwrap()),
        region: region.map(Into::into),
    };
    assert_eq!(
        settings.geo.networks,
        [
            place("10.1.0.0/16", Some("SG"), Some((1.35, 103.8)), Some("southeastasia")),
            // What it does not give is as in the network around it.
            place("10.1.2.0/24", Some("SG"), Some((50.1, 8.7)), Some("on-prem-fra")),
            place("fd00::1/128", Some("DE"), None, None),
        ]
    );
    let learned = settings.learned.as_deref().unwrap();
    assert_eq!(
        (learned.max_prefixes, learned.half_life),
        (1000, Duration::from_secs(5400))
    );
    assert_eq!(learned.explore, 0.02);
    assert!(learned.exclude.contains("172.225.1.1".parse().unwrap()) && !learned.exclude.is_empty());
    assert_eq!(fixed.access_log.to, LogDestination::File("conf/access.log".into()));
    let rules = &fixed.access_log.rules;
    assert_eq!((rules.sample, rules.errors), (Share::permille(25), Errors::Sampled));
    assert_eq!(rules.template.as_ref().map(|it| it.request_fields.len()), Some(1));
    let telemetry = &settings.telemetry;
    assert_eq!(telemetry.sample, Share::permille(5));
    assert_eq!(telemetry.service_name.as_deref(), Some("edge"));
    let collector = Collector {
        endpoint: Some(http::Uri::from_static("https://otel.example.net/in")),
        headers_file: Some("conf/otlp.headers".into()),
        ca: Some("conf/ca.pem".into()),
        timeout: Duration::from_secs(5),
        metrics: None,
    };
    assert_eq!(telemetry.collector.as_deref(), Some(&collector));
    assert_eq!(settings.lame_duck, Duration::ZERO);
    assert_eq!(settings.drain_time, Duration::from_secs(5));

    let resolvers = settings
        .resolvers
        .iter()
        .flat_map(|all| &**all)
        .map(ToString::to_string);
    assert_eq!(
        resolvers.collect::<Vec<_>>(),
        ["10.0.0.10:53", "10.0.0.11:5353", "[fd00::53]:53", "[fd00::54]:53"]
    );

    let routing = &settings.routing;
    let [storefront, quiet] = routing.services() else {
        panic!("{routing:?}")
    };
    assert_eq!(routing.fallback(), Some(storefront.gateways()[2].point));
    assert_eq!(storefront.policy, Policy::Plugin("ours".into()));
    let [weu, eus2, fra] = storefront.gateways() else {
        panic!("{storefront:?}")
    };
    assert_eq!(
        (
            weu.address.authority().as_str(),
            weu.priority,
            weu.weight,
            weu.max_requests
        ),
        ("127.0.0.1:9001", 0, 100, None)
    );
    assert_eq!(eus2.address.host, GatewayHost::Name("gw-eus2.example.net".into()));
    assert_eq!(
        (eus2.address.port, eus2.priority, eus2.weight, eus2.max_requests),
        (80, 1, 7, Some(2000))
    );
    assert_eq!(fra.address.authority(), "[::1]:8080");
    assert!((fra.point.latitude() - 50.1).abs() < 1e-4 && (fra.point.longitude() - 8.7).abs() < 1e-4);

    // A final dot is for the resolver alone.
    let as_written = &quiet.gateways()[0].address;
    assert_eq!(as_written.host, GatewayHost::Name("gw.svc.".into()));
    assert_eq!(as_written.authority(), "gw.svc:8080");

    let check = storefront.health_check.as_ref().unwrap();
    assert_eq!(check.probe, Probe::Tcp);
    assert_eq!(
        (check.port, check.interval, check.timeout),
        (Some(81), Duration::from_secs(1), Duration::from_secs(90))
    );
    assert_eq!((check.healthy_threshold, check.unhealthy_threshold), (4, 5));
    assert!(quiet.health_check.is_none());
    let outlier = &storefront.outlier_detection;
    assert_eq!(
        (
            outlier.consecutive_failures,
            outlier.failure_percent,
            outlier.min_requests
        ),
        (6, 7, 8)
    );
    assert_eq!(
        (outlier.window, outlier.max_ejection_percent),
        (Duration::from_secs(9), 11)
    );
    // A base longer than the default maximum raises it.
    assert_eq!(
        (outlier.base_ejection_time, outlier.max_ejection_time),
        (Duration::from_secs(600), Duration::from_secs(600))
    );
    let retry = &storefront.retry;
    assert_eq!(
        (retry.attempts, retry.per_try_timeout, retry.non_idempotent),
        (4, Some(Duration::from_millis(250)), true)
    );
    assert_eq!(
        (
            retry.max_replay_bytes,
            retry.budget.percent,
            retry.budget.min_per_second
        ),
        (1 << 20, 30, 0)
    );
    let timeouts = &storefront.timeouts;
    assert_eq!(
        (timeouts.connect, timeouts.idle, timeouts.tunnel),
        (
            Duration::from_millis(100),
            Duration::from_secs(120),
            Duration::from_secs(7200)
        )
    );
    assert_eq!(
        (timeouts.request, storefront.slow_start),
        (Duration::from_secs(3600), Duration::ZERO)
    );
    let upstream = Upstream {
        protocol: Protocol::Auto,
        reuse: Reuse::Safe,
        idle_timeout: Duration::from_secs(4),
        max_connection_age: None,
        max_requests_per_connection: Some(100),
        load_report: true,
        ..Upstream::default()
    };
    assert_eq!((storefront.upstream, quiet.upstream), (upstream, Upstream::default()));
    let Some(Gate::Check(check)) = &storefront.failback.gate else {
        panic!("{:?}", storefront.failback)
    };
    assert_eq!(
        (check.address.authority().as_str(), check.path.as_str(), check.interval),
        ("127.0.0.1:9100", "/ok/{region}?a", Duration::from_secs(3))
    );
    assert_eq!(storefront.failback.hold_down, Duration::from_secs(30));
    assert_eq!(quiet.failback, Failback::default());
    assert_eq!(
        (storefront.spillover, quiet.spillover),
        (Spillover::Nearest, Spillover::Headroom)
    );
    assert!(storefront.preserve_host && !quiet.preserve_host);
    assert_eq!(settings.via.as_deref(), Some("edge-weu.1"));
    assert!(storefront.rewrite_responses && !quiet.rewrite_responses);
    assert!(storefront.pass_interim_responses && !quiet.pass_interim_responses);
    let france = storefront.allowed(Country::parse("FR").unwrap());
    assert_eq!(france, [0, 2].into_iter().map(portolan_core::id::Slot).collect());
    assert!(storefront.allowed(Country::UNKNOWN).is_empty());

    let headers = HeaderMap::new();
    let asked = Asked {
        method: &Method::GET,
        headers: &headers,
        query: "",
        certificate: None,
        trust: None,
    };
    for (path, service) in [("/api/x", 1), ("/", 0)] {
        let route = routing.routes().find("shop.example.net", path, &asked);
        assert_eq!(route.map(|route| route.service().index()), Some(service), "{path}");
    }
    let ours = &settings.plugins[&"ours".into()];
    assert_eq!(ours.source, PluginSource::File("conf/./ours.wasm".into()));
    assert_eq!(ours.deployment.config, r#"{"on":[true,null,31,-1.5,"1"],"percent":5}"#);
    assert_eq!(
        (ours.deployment.deadline, ours.deployment.memory),
        (Duration::from_millis(2), 1 << 20)
    );
    assert_eq!(ours.deployment.isolation, crate::plugin::Isolation::Fresh);
    let limits = crate::plugin::PluginLimits {
        file: Some(20 << 20),
        compile_time: Some(Duration::from_secs(60)),
        compile_memory: Some(1 << 30),
        start_time: Some(Duration::from_millis(20)),
    };
    assert_eq!(
        (ours.deployment.size, ours.deployment.limits),
        (crate::plugin::PluginSize::Large, limits)
    );
}

#[test]
fn retry_on_takes_envoys_words() {
    let of = |list: &str| {
        let text = SMALL.replacen(
            "    regions:",
            &format!("    retry: {{ retry_on: {list} }}\n    regions:"),
            1,
        );
        assert!(schema::agrees(&text));
        let retry_on = settings(&text).routing.services()[0].retry.retry_on.clone();
        let statuses =
            (400..=599).filter(|status| retry_on.has_status(http::StatusCode::from_u16(*status).expect("a status")));
        (retry_on.connect_failure, retry_on.reset, statuses.collect::<Vec<u16>>())
    };
    let gateway_errors = (true, true, vec![502, 503, 504]);
    assert_eq!(of("[connect-failure, reset, 502, 503, 504]"), gateway_errors);
    assert_eq!(of("[gateway-error]"), gateway_errors);
    let retry_on = settings(SMALL).routing.services()[0].retry.retry_on.clone();
    assert_eq!(retry_on, portolan_core::config::RetryOn::default());
    assert_eq!(of("[]"), (false, false, vec![]));
    assert_eq!(
        of("[connect-failure, retriable-4xx, \"429\"]"),
        (true, false, vec![409, 429])
    );
    assert_eq!(of("[5xx]"), (true, true, (500..=599).collect()));
    assert_eq!(of("[unavailable]"), (false, false, vec![]));
    let text = SMALL.replacen(
        "    regions:",
        "    retry: { retry_on: [unavailable, cancelled, deadline-exceeded, internal, resource-exhausted] }\n    regions:",
        1,
    );
    let retry_on = settings(&text).routing.services()[0].retry.retry_on.clone();
    let codes = GrpcStatus::ALL.into_iter().filter(|status| retry_on.has_grpc(*status));
    assert_eq!(codes.map(GrpcStatus::code).collect::<Vec<_>>(), [1, 4, 8, 13, 14]);
}

#[test]
fn a_health_check_may_call_the_health_service_of_grpc() {
    let probe = |keys: &str| {
        let text = SMALL.replacen(
            "    regions:",
            &format!("    health_check: {{ probe: grpc{keys} }}\n    regions:"),
            1,
        );
        assert!(schema::agrees(&text));
        let check = settings(&text).routing.services()[0].health_check.clone();
        match check.expect("a check").probe {
            Probe::Grpc(probe) => *probe,
            other => panic!("another probe: {other:?}"),
        }
    };
    assert_eq!(probe(""), GrpcProbe::default());
    let own = probe(", grpc_service: shop.v1.Cart, host: Shop.example, headers: { x-key: a }");
    assert_eq!(own.service, "shop.v1.Cart");
    assert_eq!(own.host.as_ref().unwrap(), "shop.example");
    assert_eq!(own.fields["x-key"], "a");
}

#[test]
fn streams_have_time_bounds_of_their_own() {
    let timeouts = |keys: &str| {
        let text = SMALL.replacen("    regions:", &format!("    timeouts: {{ {keys} }}\n    regions:"), 1);
        assert!(schema::agrees(&text));
        settings(&text).routing.services()[0].timeouts.clone()
    };
    let default = timeouts("request: 15s");
    assert_eq!(
        (default.stream_idle, default.total),
        (Some(Duration::from_secs(300)), None)
    );
    assert_eq!(default.idle_of(true), Duration::from_secs(300));
    assert_eq!(default.idle_of(false), default.idle);
    let own = timeouts("stream_idle: off, total: 1h");
    assert_eq!((own.stream_idle, own.total), (None, Some(Duration::from_secs(3600))));
    assert!(own.idle_of(true) > Duration::from_secs(24 * 3600));
    assert_eq!(
        timeouts("stream_idle: 2s, total: off").stream_idle,
        Some(Duration::from_secs(2))
    );
}

/// The HTTP probe of the first service, and the warnings.
fn http_probe(text: &str) -> (HttpProbe, Vec<String>) {
    let configuration = configuration(text);
    let warnings = configuration.warnings.iter().map(ToString::to_string).collect();
    match &configuration.settings.routing.services()[0]
        .health_check
        .as_ref()
        .expect("a check")
        .probe
    {
        Probe::Http(probe) => ((**probe).clone(), warnings),
        other => panic!("another probe: {other:?}"),
    }
}

#[test]
fn probes_ask_and_expect_as_configured() {
    let check = "health_check: { method: POST, path: /ready?x, host: \"Shop.Example.net.:8080\", headers: { X-Forwarded-Proto: \
                 https, authorization: Basic c2VjcmV0 }, expect: { statuses: [200, 2xx, \"300-399\", 401], body: ready } }";
    let text = SMALL.replacen("    regions:", &format!("    {check}\n    regions:"), 1);
    assert!(schema::agrees(&text));
    let (probe, _) = http_probe(&text);
    assert_eq!((probe.method.as_str(), probe.path.as_str()), ("POST", "/ready?x"));
    assert_eq!(probe.host.as_ref().unwrap(), "shop.example.net:8080");
    assert_eq!(probe.fields["x-forwarded-proto"], "https");
    assert_eq!(probe.statuses, [200..=200, 200..=299, 300..=399, 401..=401]);
    assert_eq!(probe.body.as_deref(), Some("ready"));
    let written = settings(&text).written.to_string();
    assert!(
        !written.contains("c2VjcmV0") && written.contains("authorization"),
        "{written}"
    );
}

#[test]
fn probes_ask_for_the_host_that_requests_have() {
    let with = |routes: &str, check: &str| {
        let keys = format!("    preserve_host: true\n    health_check: {{ {check} }}\n    regions:");
        let text = SMALL.replacen("    regions:", &keys, 1);
        let (head, _) = text.split_once("routes:").expect("routes");
        let (probe, warnings) = http_probe(&format!("{head}routes:\n{routes}"));
        (probe.host.map(|host| host.to_str().expect("text").to_owned()), warnings)
    };
    let route = |host: &str, path: &str| format!("  - {{ host: \"{host}\", path: {path}, service: shop }}\n");
    let shop = route("Shop.example.net", "/") + &route("shop.example.net", "/api");
    let found = (Some("shop.example.net".to_owned()), vec![]);
    assert_eq!(with(&shop, ""), found);
    assert_eq!(
        with(&(shop.clone() + &route("*", "/") + &route("*.example.org", "/")), ""),
        found
    );
    assert_eq!(
        with(&(shop.clone() + &route("b.example.net", "/")), "host: shop.example.net"),
        found
    );
    assert_eq!(with(&shop, "host: other.example").0.as_deref(), Some("other.example"));
    let (host, warnings) = with(&(shop + &route("b.example.net", "/")), "");
    assert_eq!(host, None);
    assert_eq!(
        warnings,
        [
            "5:5: services.shop.preserve_host: routes name 2 hosts of this service, so probes ask for the gateway's own name \
          and not for the one that requests have: set health_check.host"
        ]
    );
    let (host, warnings) = with(&route("*", "/"), "");
    assert!(
        host.is_none() && warnings[0].contains("no route names one host of this service"),
        "{warnings:?}"
    );
    // Without preserve_host, requests carry the gateway's own name too.
    let (own, warnings) = http_probe(&SMALL.replacen("\"*\"", "shop.example.net", 1));
    assert!(own.host.is_none() && warnings.is_empty());
}

#[test]
fn json_is_yaml_too() {
    let json = "{\n\t\"listeners\": [{\"address\": \"127.0.0.1:8080\"}],\n\t\"services\": {\"shop\": {\"regions\": \
                [{\"region\": \"westeurope\", \"gateway\": \"http://gw\"}]}},\n\t\"routes\": [{\"service\": \"shop\"}]\n}";
    assert_eq!(settings(json).routing.services().len(), 1);
    // As some editors write it.
    assert_eq!(settings(&format!("\u{feff}{SMALL}")).routing.services().len(), 1);
    assert_eq!(settings(&SMALL.replace('\n', "\r\n")).routing.services().len(), 1);
}

#[test]
fn a_place_may_be_given_instead_of_a_region() {
    let here = settings(&format!("{SMALL}here: {{ latitude: -33.9, longitude: 151.2 }}\n"));
    assert!(here.here.is_none());
    assert!(here.routing.fallback().is_some_and(|point| point.latitude() < -33.0));
    assert!(settings(SMALL).routing.fallback().is_none());
}

#[cfg(not(feature = "azure"))]
#[test]
fn without_azure_the_section_is_rejected() {
    let messages = mistakes::messages(&format!("{SMALL}front_door: {{ mode: off }}\n"));
    assert_eq!(
        messages,
        [
            "10:1: front_door: this program was built without Azure: remove the section, or use a build with the cargo feature azure"
        ]
    );
}

#[test]
fn what_needs_a_restart_is_named() {
    let before = configuration(SMALL).fixed;
    let changed = SMALL.replace("eastus2", "eastus") + "workers: 5\naccess_log: off\nadmin: { address: 127.0.0.1:1 }\n";
    let after = configuration(&changed).fixed;
    assert_eq!(before.changed_keys(&after), ["admin", "workers", "access_log"]);
    let after = configuration(&(SMALL.replace("eastus2", "eastus") + "drain_time: 1s\n")).fixed;
    assert!(before.changed_keys(&after).is_empty());
}

#[test]
fn what_is_probably_not_meant_is_warned_of() {
    let text = r#"
listeners:
  - address: 127.0.0.1:8080
    client_address: { trusted_proxies: [0.0.0.0/0], header: x-azure-socketip }
services:
  shop:
    regions:
      - { region: westeurope, gateway: "http://gw" }
      - { region: eastus2, gateway: "http://gw:80" }
  spare: { regions: [{ region: westeurope, gateway: "http://spare" }] }
routes: [{ service: shop }]
plugins: { canary: { source: "embedded:canary" } }
"#;
    let warnings: Vec<_> = configuration(text).warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "4:5: listeners[0].client_address: without front_door_id, any tenant's Front Door is trusted",
            "4:23: listeners[0].client_address.trusted_proxies: everybody is trusted: every client can claim any address",
            "9:28: services.shop.regions[1].gateway: the same gateway as on line 8: they will fail together",
            "10:3: services.spare: no route leads to this service",
            "12:12: plugins.canary: no service's policy names this plugin",
        ]
    );
}

#[test]
fn files_are_read_from_disk() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("portolan.yaml");
    let missing = load(&path).unwrap_err();
    assert!(
        missing
            .to_string()
            .starts_with(&format!("{}: cannot be read: ", path.display())),
        "{missing}"
    );
    assert!(load(folder.path()).is_err());
    std::fs::write(&path, format!("{SMALL}geo: {{ database: city.mmdb }}\n")).unwrap();
    assert_eq!(
        load(&path).unwrap().settings.geo.databases,
        [folder.path().join("city.mmdb")]
    );
    std::fs::write(&path, format!("{SMALL}#{}", "x".repeat(4 << 20))).unwrap();
    assert_eq!(
        load(&path).unwrap_err().to_string(),
        format!("{}: is larger than 4 MiB", path.display())
    );
}
