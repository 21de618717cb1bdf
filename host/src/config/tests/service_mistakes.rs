//! Common mistakes in services and their messages.

use super::SMALL;
use super::mistakes::{check, messages};
use std::path::Path;

/// The messages when the small file's service has one more key.
#[track_caller]
fn check_service(cases: &[(&str, &[&str])]) {
    for (line, expected) in cases {
        let text = SMALL.replacen("    regions:", &format!("    {line}\n    regions:"), 1);
        assert_eq!(messages(&text), *expected, "{line}");
    }
}

#[test]
fn regions() {
    check(&[
        (
            "    regions:",
            "    policy: weighted\n    regions: [{ region: eastus, gateway: \"http://gw\", weight: 0 }]\n    regoins:",
            &[
                "6:14: services.shop.regions: with policy: weighted, at least one region needs a weight above 0",
                "7:5: services.shop.regoins: unknown key — possible here: regions, policy, steer, health_check, outlier_detection, retry, timeouts, upstream, slow_start, failback, preserve_host, rewrite_responses, pass_interim_responses, spillover, affinity, residency",
            ],
        ),
        (
            "region: westeurope,",
            "",
            &["6:9: services.shop.regions[0]: region is missing"],
        ),
        (
            r#"http://gw-eus2.example.net" }"#,
            "http://gw\" }\n      - { region: mine, location: { latitude: 1, longitude: 2 }, gateway: \"http://gw2\" }\n  other:\n    regions:\n      - { region: mine, location: { latitude: 1, longitude: 3 }, gateway: \"http://gw3\" }",
            &["11:35: services.other.regions[0].location: mine is somewhere else on line 8"],
        ),
        (
            "westeurope",
            "westeurop",
            &[r#"6:19: services.shop.regions[0].region: unknown region "westeurop" — did you mean westeurope?"#],
        ),
        (
            "westeurope",
            "West Europe",
            &[
                r#"6:19: services.shop.regions[0].region: "West Europe" is no region name: letters, digits, - and _ — did you mean westeurope?"#,
            ],
        ),
        (
            "westeurope",
            "on-prem-fra",
            &[
                r#"6:19: services.shop.regions[0].region: unknown region "on-prem-fra" — a place of your own needs location: { latitude: …, longitude: … }"#,
            ],
        ),
        (
            "westeurope",
            "eastus2",
            &[r#"7:19: services.shop.regions[1].region: "eastus2" is already a region of this service, on line 6"#],
        ),
        (
            "westeurope",
            "123",
            &[r#"6:19: services.shop.regions[0].region: wanted text (in quotes), got "123""#],
        ),
        (
            "region: westeurope",
            "region: mine, location: { latitude: 91, longitude: x }",
            &[
                r#"6:47: services.shop.regions[0].location.latitude: wanted degrees from -90 to 90, got "91""#,
                r#"6:62: services.shop.regions[0].location.longitude: wanted degrees from -180 to 180, got "x""#,
            ],
        ),
        (
            "region: westeurope",
            "region: mine, location: { latitude: 1 }",
            &["6:35: services.shop.regions[0].location: longitude is missing"],
        ),
        (
            "region: westeurope",
            "region: mine, location: 50.1",
            &[
                r#"6:35: services.shop.regions[0].location: wanted a mapping with keys such as latitude, longitude, got "50.1""#,
            ],
        ),
        (
            "region: westeurope",
            "region: westeurope, priority: -1, weight: 70000, max_requests: 0",
            &[
                r#"6:41: services.shop.regions[0].priority: wanted a whole number from 0 to 255, got "-1""#,
                r#"6:53: services.shop.regions[0].weight: wanted a whole number from 0 to 65535, got "70000""#,
                r#"6:74: services.shop.regions[0].max_requests: wanted a whole number from 1 to 4294967295, got "0""#,
            ],
        ),
        (
            "region: westeurope",
            r#"region: westeurope, priority: "1", weight: ten"#,
            &[
                r#"6:41: services.shop.regions[0].priority: wanted a whole number from 0 to 255 without quotes, got "1""#,
                r#"6:54: services.shop.regions[0].weight: wanted a whole number from 0 to 65535, got "ten""#,
            ],
        ),
        (
            "      - { region: westeurope, gateway: \"http://gw-weu.example.net\" }\n      - { region: eastus2, gateway: \"http://gw-eus2.example.net\" }",
            "      []",
            &["6:7: services.shop.regions: at least one is needed"],
        ),
    ]);
}

#[test]
fn gateways() {
    check(&[
        (
            "http://gw-weu.example.net",
            "https://-gw.example.net",
            &[
                r#"6:40: services.shop.regions[0].gateway: no certificate can be for this host, got "https://-gw.example.net""#,
            ],
        ),
        (
            "http://gw-weu.example.net",
            "gw-weu.example.net:8080",
            &[
                r#"6:40: services.shop.regions[0].gateway: wanted a URL such as http://gateway.example.net, got "gw-weu.example.net:8080""#,
            ],
        ),
        (
            "http://gw-weu.example.net",
            "http://gw-weu.example.net/api",
            &[
                r#"6:40: services.shop.regions[0].gateway: a gateway has no path or query: the request's own is sent, got "http://gw-weu.example.net/api""#,
            ],
        ),
        (
            "http://gw-weu.example.net",
            "http://user@gw",
            &[r#"6:40: services.shop.regions[0].gateway: a gateway has no user name, got "http://user@gw""#],
        ),
        (
            "http://gw-weu.example.net",
            "http://gw:0",
            &[r#"6:40: services.shop.regions[0].gateway: a port is a number from 1 to 65535, got "http://gw:0""#],
        ),
        (
            "http://gw-weu.example.net",
            "http://gw:99999",
            &[r#"6:40: services.shop.regions[0].gateway: a port is a number from 1 to 65535, got "http://gw:99999""#],
        ),
        (
            "http://gw-weu.example.net",
            "http://10.0.0.256",
            &[
                r#"6:40: services.shop.regions[0].gateway: the host of a gateway is a DNS name or an address, got "http://10.0.0.256""#,
            ],
        ),
        (
            "http://gw-weu.example.net",
            "http://[::1",
            &[
                r#"6:40: services.shop.regions[0].gateway: the host of a gateway is a DNS name or an address, got "http://[::1""#,
            ],
        ),
        (
            "http://gw-weu.example.net",
            "http://",
            &[
                r#"6:40: services.shop.regions[0].gateway: the host of a gateway is a DNS name or an address, got "http://""#,
            ],
        ),
        (
            "http://gw-weu.example.net",
            "http://gw-weu.example.net..",
            &[
                r#"6:40: services.shop.regions[0].gateway: the host of a gateway is a DNS name or an address, got "http://gw-weu.example.net..""#,
            ],
        ),
        (
            "http://gw-weu.example.net",
            "http://10.0.0.1.",
            &[
                r#"6:40: services.shop.regions[0].gateway: the host of a gateway is a DNS name or an address, got "http://10.0.0.1.""#,
            ],
        ),
        (
            "http://gw-weu.example.net",
            "http://gw.München.example:8080",
            &[
                r#"6:40: services.shop.regions[0].gateway: names are written in ASCII — use gw.xn--mnchen-3ya.example, got "http://gw.München.example:8080""#,
            ],
        ),
    ]);
}

#[test]
fn policies_of_a_service() {
    check_service(&[
        (
            "policy: nearest",
            &[
                r#"5:13: services.shop.policy: wanted latency, distance, priority, weighted or { plugin: NAME }, got "nearest""#,
            ],
        ),
        (
            "policy: latnecy",
            &[r#"5:13: services.shop.policy: "latnecy" is not possible — did you mean latency?"#],
        ),
        (
            "policy: [latency]",
            &[
                "5:13: services.shop.policy: wanted latency, distance, priority, weighted or { plugin: NAME }, got a list",
            ],
        ),
        (
            "policy: { plugin: canary }",
            &[
                r#"5:23: services.shop.policy.plugin: unknown plugin "canary" — define it: plugins: { canary: { source: "embedded:canary" } }"#,
            ],
        ),
        (
            "policy: { plugin: mine }",
            &[r#"5:23: services.shop.policy.plugin: unknown plugin "mine" — define it under plugins"#],
        ),
        (
            "policy: { plgin: mine, percent: 5 }",
            &[
                "5:15: services.shop.policy.plgin: unknown key — did you mean plugin?",
                r#"5:22: services.shop.policy.plgin: unknown plugin "mine" — define it under plugins"#,
                "5:28: services.shop.policy.percent: unknown key — possible here: plugin, from, latency, weighted",
            ],
        ),
        (
            "policy: {}",
            &["5:13: services.shop.policy: one of plugin, latency, weighted is needed"],
        ),
        (
            "policy: { from: here }",
            &["5:13: services.shop.policy: one of plugin, latency, weighted is needed"],
        ),
        (
            "policy: { latency: { from: hear } }",
            &[r#"5:32: services.shop.policy.latency.from: wanted one of client, here, got "hear""#],
        ),
        (
            "policy: { latency: {}, weighted: {} }",
            &["5:13: services.shop.policy: only one of plugin, latency, weighted is possible"],
        ),
        (
            "policy: { weighted: {}, from: here }",
            &["5:29: services.shop.policy.from: belongs one level deeper: { latency: { from: … } }"],
        ),
        (
            "health_check: { interval: 5, timeout: 0s, healthy_threshold: 0, unhealthy_threshold: 1.5 }",
            &[
                r#"5:31: services.shop.health_check.interval: wanted a duration such as 500ms or 1m30s (units us, µs, ms, s, m, h, d), got "5""#,
                r#"5:43: services.shop.health_check.timeout: from 1ms to 1h is possible, got "0s""#,
                r#"5:66: services.shop.health_check.healthy_threshold: wanted a whole number from 1 to 100, got "0""#,
                r#"5:90: services.shop.health_check.unhealthy_threshold: wanted a whole number from 1 to 100, got "1.5""#,
            ],
        ),
        (
            "health_check: { probe: tcp, path: /healthz, expect: { body: up } }",
            &[
                "5:39: services.shop.health_check.path: a tcp probe asks for no path: remove this key or the probe",
                "5:57: services.shop.health_check.expect: a tcp probe asks for no response: remove this key or the probe",
            ],
        ),
        (
            "health_check: { host: \"shop.example.net/x\", method: get, port: 0, expect: { statuses: [99, 2xx, 299-200] } }",
            &[
                r#"5:27: services.shop.health_check.host: wanted a host such as shop.example.net or shop.example.net:8080, got "shop.example.net/x""#,
                r#"5:57: services.shop.health_check.method: "get" is not possible — did you mean GET?"#,
                r#"5:68: services.shop.health_check.port: wanted a whole number from 1 to 65535, got "0""#,
                r#"5:92: services.shop.health_check.expect.statuses[0]: wanted statuses from 200 to 599, such as 200, 200-399 or 2xx, got "99""#,
                r#"5:101: services.shop.health_check.expect.statuses[2]: wanted statuses from 200 to 599, such as 200, 200-399 or 2xx, got "299-200""#,
            ],
        ),
        (
            "health_check: { host: bücher.example, expect: { statuses: [] } }",
            &[
                r#"5:27: services.shop.health_check.host: names are written in ASCII — use xn--bcher-kva.example, got "bücher.example""#,
                "5:63: services.shop.health_check.expect.statuses: at least one is needed",
            ],
        ),
        (
            "health_check: { headers: { Host: a, content-length: 1, x y: b, X-A: [1], x-b: 1, X-B: 2 } }",
            &[
                "5:32: services.shop.health_check.headers.Host: host is set by the probe: use health_check.host",
                "5:41: services.shop.health_check.headers.content-length: content-length is set by the probe",
                "5:60: services.shop.health_check.headers.\"x y\": \"x y\" is no name of a field",
                "5:73: services.shop.health_check.headers.X-A: wanted a line of text",
                "5:86: services.shop.health_check.headers.X-B: this field is already set",
            ],
        ),
        (
            "health_check: { method: HEAD, expect: { body: ready } }",
            &["5:51: services.shop.health_check.expect.body: a response to HEAD has no body: use another method"],
        ),
        (
            "health_check: { probe: icmp, path: healthz }",
            &[
                r#"5:28: services.shop.health_check.probe: wanted one of http, grpc, tcp, got "icmp""#,
                r#"5:40: services.shop.health_check.path: wanted a path that begins with /, such as /healthz, got "healthz""#,
            ],
        ),
        (
            "health_check: { probe: grpc, path: /x, method: GET, expect: { body: up }, host: a.example, headers: { x-a: 1 } }",
            &[
                "5:40: services.shop.health_check.path: a grpc probe asks for no path: remove this key or the probe",
                "5:52: services.shop.health_check.method: a grpc probe asks for no method: remove this key or the probe",
                "5:65: services.shop.health_check.expect: a grpc probe asks for no response: remove this key or the probe",
            ],
        ),
        (
            "health_check: { grpc_service: shop.v1.Cart }",
            &[
                "5:35: services.shop.health_check.grpc_service: an http probe asks for no service of gRPC: remove this key or the probe",
            ],
        ),
        (
            "health_check: none",
            &[
                r#"5:19: services.shop.health_check: wanted a mapping with keys such as probe, path, method, host, …, got "none""#,
            ],
        ),
        (
            "outlier_detection: { consecutive_failures: 0, failure_percent: 101, max_ejection_percent: 0.5, window: 1ms }",
            &[
                r#"5:48: services.shop.outlier_detection.consecutive_failures: wanted a whole number from 1 to 1000000, got "0""#,
                r#"5:68: services.shop.outlier_detection.failure_percent: wanted a percentage from 0 to 100, such as 20 or 20%, got "101""#,
                r#"5:95: services.shop.outlier_detection.max_ejection_percent: wanted a percentage from 0 to 100, such as 20 or 20%, got "0.5""#,
                r#"5:108: services.shop.outlier_detection.window: from 100ms to 1h is possible, got "1ms""#,
            ],
        ),
        (
            "outlier_detection: { base_ejection_time: 10m, max_ejection_time: 1m }",
            &["5:70: services.shop.outlier_detection.max_ejection_time: shorter than base_ejection_time, 10m"],
        ),
        (
            "retry: { attempts: 0, budget: { percent: 120%, min_per_second: -3 }, max_replay_body: 1GiB }",
            &[
                r#"5:24: services.shop.retry.attempts: wanted a whole number from 1 to 64, got "0""#,
                r#"5:46: services.shop.retry.budget.percent: wanted a percentage from 0 to 100, such as 20 or 20%, got "120%""#,
                r#"5:68: services.shop.retry.budget.min_per_second: wanted a whole number from 0 to 1000000, got "-3""#,
                r#"5:91: services.shop.retry.max_replay_body: from 0B to 16MiB is possible, got "1GiB""#,
            ],
        ),
        (
            "retry: { retry_on: [connect_failure, refused-stream, 302, 502] }",
            &[
                r#"5:25: services.shop.retry.retry_on[0]: "connect_failure" is not possible — did you mean connect-failure?"#,
                r#"5:42: services.shop.retry.retry_on[1]: wanted connect-failure, reset, gateway-error, 5xx, retriable-4xx, a status of gRPC such as unavailable, or a status from 400 to 599, got "refused-stream""#,
                r#"5:58: services.shop.retry.retry_on[2]: wanted connect-failure, reset, gateway-error, 5xx, retriable-4xx, a status of gRPC such as unavailable, or a status from 400 to 599, got "302""#,
            ],
        ),
        (
            "retry: { retry_on: 503 }",
            &[r#"5:24: services.shop.retry.retry_on: wanted a list, got "503""#],
        ),
        (
            "retry: { per_try_timeout: 20s }",
            &[
                "5:31: services.shop.retry.per_try_timeout: longer than timeouts.request, 15s, in which all attempts must fit",
            ],
        ),
        (
            "timeouts: { connect: 1 s, request: forever, idle: 1ms }",
            &[
                r#"5:26: services.shop.timeouts.connect: wanted a duration such as 500ms or 1m30s (units us, µs, ms, s, m, h, d), got "1 s""#,
                r#"5:40: services.shop.timeouts.request: wanted a duration such as 500ms or 1m30s (units us, µs, ms, s, m, h, d), got "forever""#,
                r#"5:55: services.shop.timeouts.idle: from 10ms to 1d is possible, got "1ms""#,
            ],
        ),
        (
            "upstream: { protocol: http2 }",
            &[r#"5:27: services.shop.upstream.protocol: wanted one of auto, h1, h2, got "http2""#],
        ),
        (
            "upstream: { reuse: sometimes, idle_timeout: 0s, max_connection_age: never, max_requests_per_connection: 0 }",
            &[
                r#"5:24: services.shop.upstream.reuse: wanted one of always, safe, never, got "sometimes""#,
                r#"5:49: services.shop.upstream.idle_timeout: from 1s to 1d is possible, got "0s""#,
                r#"5:73: services.shop.upstream.max_connection_age: wanted a duration such as 500ms or 1m30s (units us, µs, ms, s, m, h, d), got "never""#,
                r#"5:109: services.shop.upstream.max_requests_per_connection: wanted a whole number from 1 to 4000000000, got "0""#,
            ],
        ),
        (
            "failback: { gate: { url: \"http://a/b\", ca: a.pem } }",
            &[
                "5:48: services.shop.failback.gate.ca: has no effect with an http:// URL: remove it, or ask over https://",
            ],
        ),
        (
            "failback: { gate: { url: \"http://a b/\" } }",
            &[
                r#"5:30: services.shop.failback.gate.url: wanted a URL such as http://127.0.0.1:9100/failback/{region}, got "http://a b/""#,
            ],
        ),
        (
            "failback: { gate: operater }",
            &[r#"5:23: services.shop.failback.gate: "operater" is not possible — did you mean operator?"#],
        ),
        (
            "slow_start: 2h",
            &[r#"5:17: services.shop.slow_start: from 0s to 1h is possible, got "2h""#],
        ),
        (
            r#"preserve_host: "true""#,
            &[r#"5:20: services.shop.preserve_host: wanted true or false without quotes, got "true""#],
        ),
        (
            "residency: [ { countries: [DE, UK, EU, Germany], regions: [westeurop, eastus2] } ]",
            &[
                r#"5:36: services.shop.residency[0].countries[1]: "UK" is no country code — did you mean GB?"#,
                r#"5:40: services.shop.residency[0].countries[2]: wanted a two-letter country code (ISO 3166-1) or unknown, got "EU""#,
                r#"5:44: services.shop.residency[0].countries[3]: wanted a two-letter country code (ISO 3166-1) or unknown, got "Germany""#,
                r#"5:64: services.shop.residency[0].regions[0]: "westeurop" is no region of this service — did you mean westeurope?"#,
            ],
        ),
        (
            "residency: [ { countries: [], regions: [] } ]",
            &["5:31: services.shop.residency[0].countries: at least one is needed"],
        ),
        (
            "residency: [ { countries: [DE], regions: [westeurope] }, { countries: [FR, DE], regions: [eastus2] } ]",
            &["5:62: services.shop.residency[1]: no region is left for DE: an earlier rule allows only others"],
        ),
        (
            "residency: { countries: [DE], regions: [westeurope] }",
            &["5:16: services.shop.residency: wanted a list, got a mapping"],
        ),
    ]);
}

#[test]
fn steering() {
    let missing =
        "public is missing: with steer: redirect, clients are sent there, such as public: \"https://weu.example.net\"";
    check_service(&[
        (
            "steer: away",
            &[r#"5:12: services.shop.steer: wanted proxy, redirect, alt-svc or { alt-svc: { … } }, got "away""#],
        ),
        (
            "steer: {}",
            &["5:12: services.shop.steer: wanted { alt-svc: { … } }, got a mapping"],
        ),
        (
            "steer: { alt-svc: { max_age: 1500ms, protocols: [] } }",
            &[
                "5:34: services.shop.steer.alt-svc.max_age: whole seconds are possible, got 1500ms",
                "5:53: services.shop.steer.alt-svc.protocols: at least one is needed",
            ],
        ),
        (
            "steer: redirect",
            &[
                &format!("7:9: services.shop.regions[0]: {missing}"),
                &format!("8:9: services.shop.regions[1]: {missing}"),
            ],
        ),
    ]);
}

/// The small file with this steering, public endpoints, and routes.
fn steered(steer: &str, public: [&str; 2], routes: &str) -> String {
    let text = SMALL.replacen("    regions:", &format!("    steer: {steer}\n    regions:"), 1);
    let gateways = ["gw-weu.example.net", "gw-eus2.example.net"];
    let text = gateways.iter().zip(public).fold(text, |text, (gateway, public)| {
        text.replacen(
            &format!("{gateway}\""),
            &format!("{gateway}\", public: \"{public}\""),
            1,
        )
    });
    let (before, _) = text.split_once("routes:").expect("routes");
    format!("{before}routes:\n{routes}")
}

#[test]
fn public_endpoints_that_lead_back() {
    let all = "  - { service: shop }\n";
    let other = ["https://weu.example.net", "https://eus.example.net"];
    assert_eq!(messages(&steered("redirect", other, all)), [""; 0]);
    let route = "  - { host: weu.example.net, service: shop }\n";
    let [message] = &messages(&steered("redirect", other, route))[..] else {
        panic!("one message")
    };
    assert!(
        message
            .ends_with("regions[0].public: a route is for weu.example.net: clients would be sent to this proxy again"),
        "{message}"
    );
    let ours = ["http://127.0.0.1:8080", "https://eus.example.net"];
    let [message] = &messages(&steered("redirect", ours, all))[..] else {
        panic!("one message")
    };
    assert!(message.contains("this is a listener of this proxy"), "{message}");
    let plain = ["http://weu.example.net", "https://eus.example.net"];
    let [message] = &messages(&steered("alt-svc", plain, all))[..] else {
        panic!("one message")
    };
    assert!(message.contains("reached over TLS"), "{message}");
}

#[test]
fn steering_that_is_probably_not_meant_is_warned_of() {
    let public = ["https://weu.example.net", "https://eus.example.net"];
    let warnings = |text: &str| {
        let configuration = crate::config::parse(text.as_bytes(), Path::new("x.yaml")).expect("no errors");
        configuration
            .warnings
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    let of = |steer: &str, routes: &str| warnings(&steered(steer, public, routes));
    assert_eq!(of("redirect", "  - { service: shop }\n"), [""; 0]);
    for (steer, routes, expected) in [
        (
            "redirect",
            "  - { path: /a, service: shop, prefix_rewrite: / }\n",
            "ask for the path as it was",
        ),
        (
            "redirect",
            "  - { host: \"*.example.net\", service: shop }\n",
            "if weu.example.net leads to this proxy",
        ),
        (
            "redirect\n    health_check: off",
            "  - { service: shop }\n",
            "with health_check: off",
        ),
    ] {
        let warnings = of(steer, routes);
        assert!(
            warnings.iter().any(|it| it.contains(expected)),
            "{expected}: {warnings:?}"
        );
    }
    let unprobed = "    policy: { latency: { from: here } }\n    health_check: off\n    regions:";
    let found = warnings(&SMALL.replacen("    regions:", unprobed, 1));
    assert!(
        found[0].contains("only regions that get traffic are measured"),
        "{found:?}"
    );
    let bare = SMALL.replacen("    regions:", "    steer: alt-svc\n    regions:", 1);
    assert!(
        warnings(&bare)[0].contains("public is missing"),
        "{:?}",
        warnings(&bare)
    );
    let shared = bare.replacen(
        "services:\n",
        "services:\n  other: { regions: [ { region: eastus, gateway: \"http://gw\" } ] }\n",
        1,
    ) + "  - { path: /other, service: other }\n";
    let warnings = warnings(&shared);
    assert!(
        warnings.iter().any(|it| it.contains("* has routes to other services")),
        "{warnings:?}"
    );
}
