//! Common mistakes and their messages.

use super::{EXAMPLE, SMALL};
use crate::config::parse;
use std::path::Path;

/// The messages about a file: a line for each mistake, without the file's name.
pub(super) fn messages(text: &str) -> Vec<String> {
    let Err(errors) = parse(text.as_bytes(), Path::new("x.yaml")) else {
        return Vec::new();
    };
    let lines = errors.to_string();
    lines
        .lines()
        .map(|line| line.strip_prefix("x.yaml:").unwrap_or(line).to_owned())
        .collect()
}

/// The messages when part of the small file, which must be there, is replaced.
#[track_caller]
pub(super) fn check(cases: &[(&str, &str, &[&str])]) {
    for (from, to, expected) in cases {
        assert!(SMALL.contains(from), "{from:?} is not there");
        assert_eq!(messages(&SMALL.replacen(from, to, 1)), *expected, "{to}");
    }
}

#[test]
fn five_mistakes_are_five_lines() {
    let text = EXAMPLE
        .replacen("policy: { latency:", "polcy: { latency:", 1)
        .replacen("region: westeurope,", "region: westeurop,", 1)
        .replacen("interval: 1s", "interval: 1", 1)
        .replacen("attempts: 3", "attempts: 0", 1)
        .replacen("service: catalogue", "service: catalog", 1);
    let errors = parse(text.as_bytes(), Path::new("deploy/x.yaml")).unwrap_err();
    assert_eq!(errors.count(), 5);
    let found = [
        (
            "polcy: ",
            ":5: services.storefront.polcy: unknown key — did you mean policy?",
        ),
        (
            "westeurop,",
            ":19: services.storefront.regions[0].region: unknown region \"westeurop\" — did you mean westeurope?",
        ),
        (
            "interval: 1",
            ":17: services.storefront.health_check.interval: wanted a duration such as 500ms or 1m30s (units us, µs, ms, s, m, h, d), got \"1\"",
        ),
        (
            "attempts: 0",
            ":17: services.storefront.retry.attempts: wanted a whole number from 1 to 64, got \"0\"",
        ),
        (
            "catalog }",
            ":58: routes[1].service: unknown service \"catalog\" — did you mean catalogue?",
        ),
    ];
    let lines = found.map(|(words, message)| {
        let line = text.lines().position(|line| line.contains(words)).expect("its line") + 1;
        format!("deploy/x.yaml:{line}{message}")
    });
    assert_eq!(errors.to_string(), lines.join("\n"));
}

#[test]
fn more_mistakes_than_anybody_reads_are_counted() {
    let routes: String = (0..250)
        .map(|number| format!("  - {{ path: /{number}, service: none }}\n"))
        .collect();
    let errors = parse(format!("{SMALL}{routes}").as_bytes(), Path::new("x.yaml")).unwrap_err();
    assert_eq!((errors.count(), errors.mistakes.len()), (250, 100));
    assert!(
        errors.to_string().ends_with("\nx.yaml: and 150 more mistakes"),
        "{errors}"
    );
}

#[test]
fn keys_and_shapes() {
    check(&[
        (
            "listeners:",
            "listners:",
            &["1:1: listners: unknown key — did you mean listeners?"],
        ),
        (
            "    regions:\n      - { region: westeurope",
            "    Regions:\n      - { region: westeurop",
            &[
                "5:5: services.shop.Regions: unknown key — did you mean regions?",
                r#"6:19: services.shop.Regions[0].region: unknown region "westeurop" — did you mean westeurope?"#,
            ],
        ),
        (
            "    regions:",
            "    balance: 1\n    regions:",
            &[
                "5:5: services.shop.balance: unknown key — possible here: regions, policy, steer, health_check, outlier_detection, retry, timeouts, upstream, slow_start, failback, preserve_host, rewrite_responses, pass_interim_responses, spillover, affinity, residency",
            ],
        ),
        (
            "routes:",
            "routes: []\nroutes:",
            &[
                "8:9: routes: at least one is needed",
                "9:1: routes: given twice, first on line 8: remove one",
            ],
        ),
        (", service: shop", "", &["9:5: routes[0]: service is missing"]),
        (
            r#"{ host: "*", path: /, service: shop }"#,
            "shop",
            &[r#"9:5: routes[0]: wanted a mapping with keys such as host, path, methods, headers, …, got "shop""#],
        ),
        (
            "    regions:",
            "    <<: *defaults\n    regions:",
            &["5:5: merge keys (<<) are not part of YAML 1.2: write the keys out"],
        ),
        (
            "    regions:",
            "    policy: &p latency\n    health_check: { path: *p }\n    regions:",
            &[
                r#"6:27: services.shop.health_check.path: wanted a path that begins with /, such as /healthz, got "latency""#,
            ],
        ),
        (
            "shop:",
            r#""my shop":"#,
            &[
                r#"4:3: services."my shop": a name has 1 to 63 letters, digits, - and _ and begins with a letter or digit"#,
                r#"9:36: routes[0].service: unknown service "shop""#,
            ],
        ),
        (
            "shop:\n",
            "shop: latency\n  other:\n",
            &[
                r#"4:9: services.shop: wanted a mapping with keys such as regions, policy, steer, health_check, …, got "latency""#,
            ],
        ),
        (
            "    regions:",
            "    policy:\n    regions:",
            &[
                "5:11: services.shop.policy: wanted latency, distance, priority, weighted or { plugin: NAME }, got nothing",
            ],
        ),
    ]);
}

#[test]
fn routes() {
    check(&[
        (
            "service: shop",
            "service: shopp",
            &[r#"9:36: routes[0].service: unknown service "shopp" — did you mean shop?"#],
        ),
        (
            "service: shop }",
            "service: shop }\n  - { service: shop }",
            &["10:5: routes[1]: never reached: line 9 has a route for the same host and path"],
        ),
        (
            "path: /",
            "path: api",
            &[r#"9:24: routes[0].path: wanted a path that begins with /, without query, got "api""#],
        ),
        (
            "path: /",
            "path: /a?b",
            &[r#"9:24: routes[0].path: wanted a path that begins with /, without query, got "/a?b""#],
        ),
        (
            r#"host: "*""#,
            r#"host: "shop.example.net:8080""#,
            &[
                r#"9:13: routes[0].host: wanted a host without port, such as shop.example.net, "*.example.net" or "*", got "shop.example.net:8080""#,
            ],
        ),
        (
            r#"host: "*""#,
            r#"host: "*.bücher.example""#,
            &[
                r#"9:13: routes[0].host: names are written in ASCII — use *.xn--bcher-kva.example, got "*.bücher.example""#,
            ],
        ),
        (
            r#"host: "*""#,
            "host: *",
            &[
                "9:13: this is not YAML: while scanning an anchor or alias, did not find expected alphabetic or numeric character — a value that begins with * or & must be in quotes",
            ],
        ),
        (
            r#"  - { host: "*", path: /, service: shop }"#,
            "  []",
            &["9:3: routes: at least one is needed"],
        ),
    ]);
}

#[test]
fn resolvers() {
    const WANTED: &str =
        r#"wanted the address of a name server, such as 10.0.0.10, 10.0.0.10:5353 or "[fd00::53]:53", got "#;
    check(&[
        (
            "routes:",
            "resolvers: [dns.example, 10.0.0.10:0, 0.0.0.0, \"[fd00::53\"]\nroutes:",
            &[
                &format!(r#"8:13: resolvers[0]: {WANTED}"dns.example""#),
                &format!(r#"8:26: resolvers[1]: {WANTED}"10.0.0.10:0""#),
                &format!(r#"8:39: resolvers[2]: {WANTED}"0.0.0.0""#),
                &format!(r#"8:48: resolvers[3]: {WANTED}"[fd00::53""#),
            ],
        ),
        (
            "routes:",
            "resolvers: []\nroutes:",
            &["8:12: resolvers: at least one is needed"],
        ),
        (
            "routes:",
            "resolvers: 10.0.0.10\nroutes:",
            &[r#"8:12: resolvers: wanted a list, got "10.0.0.10""#],
        ),
    ]);
}

#[test]
fn listeners() {
    check(&[
        (
            "127.0.0.1:8080",
            "localhost:8080",
            &[
                r#"2:14: listeners[0].address: wanted an address with a port, such as 0.0.0.0:8080 or "[::]:8080", got "localhost:8080""#,
            ],
        ),
        (
            "127.0.0.1:8080",
            ":8080",
            &[
                r#"2:14: listeners[0].address: wanted an address with a port, such as 0.0.0.0:8080 or "[::]:8080", got ":8080""#,
            ],
        ),
        (
            "127.0.0.1:8080",
            "127.0.0.1:80800",
            &[
                r#"2:14: listeners[0].address: wanted an address with a port, such as 0.0.0.0:8080 or "[::]:8080", got "127.0.0.1:80800""#,
            ],
        ),
        (
            "127.0.0.1:8080",
            "127.0.0.1:8080\n  - address: 127.0.0.1:8080",
            &["3:14: listeners[1].address: 127.0.0.1:8080 is already used on line 2"],
        ),
        (
            "127.0.0.1:8080",
            "127.0.0.1:9900\nadmin: { address: 127.0.0.1:9900 }",
            &["3:19: admin.address: 127.0.0.1:9900 is already used on line 2"],
        ),
        (
            "127.0.0.1:8080",
            "127.0.0.1:8080\nadmin: { address: 127.0.0.1:9900, peers: [ { url: edge-2 }, { url: \"http://edge-3:9900/api\" } ] }",
            &[
                r#"3:51: admin.peers[0].url: wanted the URL of an administration, such as http://10.1.2.3:9900, got "edge-2""#,
                r#"3:68: admin.peers[1].url: wanted the URL of an administration, such as http://10.1.2.3:9900, got "http://edge-3:9900/api""#,
            ],
        ),
        (
            "127.0.0.1:8080",
            "127.0.0.1:8080\nmax_shift: 101%",
            &[r#"3:12: max_shift: wanted a percentage from 0 to 100, such as 20 or 20%, got "101%""#],
        ),
        (
            "127.0.0.1:8080",
            "127.0.0.1:8080\nadmin: { address: 0.0.0.0:9900 }",
            &[
                "3:19: admin.address: whoever reaches this address may drain regions: give it a token_file or tls with client_ca, or stay on loopback or a Unix socket and let probes and scrapers use admin.probes",
            ],
        ),
        (
            "127.0.0.1:8080",
            "127.0.0.1:8080\nadmin: { address: 127.0.0.1:9900, read_token_file: token }",
            &["3:52: admin.read_token_file: it separates reading from orders only beside a token_file: give both"],
        ),
        (
            "127.0.0.1:8080",
            "127.0.0.1:8080\nadmin: { address: \"unix:\" }",
            &[
                r#"3:19: admin.address: wanted an address with a port, such as 127.0.0.1:9900, or a Unix socket, such as unix:/run/portolan/admin.sock, got "unix:""#,
            ],
        ),
        (
            "127.0.0.1:8080",
            "127.0.0.1:8080\nadmin: { address: unix:/run/admin.sock, socket_mode: \"0666\", tls: { certificate: a, private_key: b } }",
            &[
                "3:54: admin.socket_mode: everybody on this machine may drain regions: end it with 0, or give a token_file",
                "3:62: admin.tls: a Unix socket has no TLS: its connections do not leave this machine",
            ],
        ),
        (
            "127.0.0.1:8080",
            "127.0.0.1:8080\nadmin: { address: 127.0.0.1:9900, socket_mode: \"0660\" }",
            &["3:48: admin.socket_mode: only the file of a Unix socket has permissions: address: unix:/PATH"],
        ),
        (
            "127.0.0.1:8080",
            "127.0.0.1:8080\nadmin: { address: unix:/run/admin.sock, socket_mode: rw, read_token_file: token }",
            &[
                r#"3:54: admin.socket_mode: wanted permissions in octal, such as "0660", got "rw""#,
                "3:75: admin.read_token_file: it separates reading from orders only beside a token_file: give both",
            ],
        ),
        (
            "127.0.0.1:8080",
            "127.0.0.1:8080\nadmin: { address: 10.0.0.1:9900, tls: { certificate: a, private_key: b } }",
            &[
                "3:19: admin.address: whoever reaches this address may drain regions: give it a token_file or tls with client_ca, or stay on loopback or a Unix socket and let probes and scrapers use admin.probes",
            ],
        ),
        (
            "127.0.0.1:8080",
            "127.0.0.1:8080\nadmin: { address: 10.0.0.1:9900, tls: { certificate: a, private_key: b, client_ca: c } }",
            &[],
        ),
        (
            "127.0.0.1:8080",
            "127.0.0.1:8080\nadmin: { address: 127.0.0.1:9900, tls: { certificate: a, private_key: b, client_ca: c, client_certificate: optional } }",
            &[
                "3:108: admin.tls.client_certificate: without a token_file, clients without a certificate may do everything: give one, or make it required",
            ],
        ),
        (
            "127.0.0.1:8080",
            "127.0.0.1:8080\nadmin: { address: 127.0.0.1:9900, tls: { certificate: a, client_certificate: required } }",
            &[
                "3:40: admin.tls: private_key is missing",
                "3:78: admin.tls.client_certificate: only with client_ca are clients asked for a certificate",
            ],
        ),
        (
            "127.0.0.1:8080",
            "127.0.0.1:8080\n    tls: { certificate: /certs/tls.crt }",
            &["3:5: listeners[0].tls: either certificate and private_key are needed, or certificates, a list of both"],
        ),
        (
            "127.0.0.1:8080",
            "127.0.0.1:8080\n    redirect: https\n    tls: { certificate: a, private_key: b, client_certificate: optional, min_version: 1.1 }",
            &[
                "3:15: listeners[0].redirect: this listener has TLS: only one without can redirect to it",
                "4:64: listeners[0].tls.client_certificate: only with client_ca are clients asked for a certificate",
                r#"4:87: listeners[0].tls.min_version: wanted "1.2" or "1.3", got "1.1""#,
            ],
        ),
        (
            "127.0.0.1:8080",
            "127.0.0.1:8080\n    http2: prior-knowledge\n    tls: { certificate: a, private_key: b }",
            &["3:12: listeners[0].http2: this listener has TLS, which agrees on HTTP/2 with each client: write auto"],
        ),
        (
            "127.0.0.1:8080",
            "127.0.0.1:8080\n    http2: h2c\n    http2_max_streams: 0\n    http2_stream_window: 32KiB",
            &[
                r#"3:12: listeners[0].http2: wanted one of auto, prior-knowledge, off, got "h2c""#,
                r#"4:24: listeners[0].http2_max_streams: wanted a whole number from 1 to 10000, got "0""#,
                r#"5:26: listeners[0].http2_stream_window: from 64KiB to 16MiB is possible, got "32KiB""#,
            ],
        ),
        (
            "127.0.0.1:8080",
            "127.0.0.1:8080\n    max_request_header_size: 8191B\n    max_request_header_count: 9\n    max_request_target_size: 61KiB\n    \
             min_request_body_progress: 0B\n    max_requests_per_connection: 0",
            &[
                r#"3:30: listeners[0].max_request_header_size: from 8KiB to 1MiB is possible, got "8191B""#,
                r#"4:31: listeners[0].max_request_header_count: wanted a whole number from 10 to 1000, got "9""#,
                r#"5:30: listeners[0].max_request_target_size: from 256B to 60KiB is possible, got "61KiB""#,
                r#"6:32: listeners[0].min_request_body_progress: from 1B to 64KiB is possible, got "0B""#,
                r#"7:34: listeners[0].max_requests_per_connection: wanted a whole number from 1 to 4000000000, got "0""#,
            ],
        ),
        (
            "127.0.0.1:8080",
            "127.0.0.1:8080\n    max_request_header_size: 1025KiB\n    max_request_header_count: 1001\n    max_request_target_size: 255B\n    \
             min_request_body_progress: 65KiB\n    max_requests_per_connection: 4000000001",
            &[
                r#"3:30: listeners[0].max_request_header_size: from 8KiB to 1MiB is possible, got "1025KiB""#,
                r#"4:31: listeners[0].max_request_header_count: wanted a whole number from 10 to 1000, got "1001""#,
                r#"5:30: listeners[0].max_request_target_size: from 256B to 60KiB is possible, got "255B""#,
                r#"6:32: listeners[0].min_request_body_progress: from 1B to 64KiB is possible, got "65KiB""#,
                r#"7:34: listeners[0].max_requests_per_connection: wanted a whole number from 1 to 4000000000, got "4000000001""#,
            ],
        ),
        (
            "127.0.0.1:8080",
            "127.0.0.1:8080\n    max_request_header_size: 8KiB\n    max_request_target_size: 9KiB",
            &[
                "4:30: listeners[0].max_request_target_size: a request with so long a target is longer than max_request_header_size",
            ],
        ),
        (
            "127.0.0.1:8080",
            "127.0.0.1:8080\n    redirect: https:0",
            &[r#"3:15: listeners[0].redirect: wanted https, or https and a port, such as https:8443, got "https:0""#],
        ),
        (
            "127.0.0.1:8080",
            "127.0.0.1:8080\n    client_address: { header: x-forwarded-for }",
            &["3:21: listeners[0].client_address: trusted_proxies is missing"],
        ),
        (
            "127.0.0.1:8080",
            "127.0.0.1:8080\n    client_address: { trusted_proxies: [], header: x-real-ip }",
            &[
                "3:40: listeners[0].client_address.trusted_proxies: at least one is needed",
                r#"3:52: listeners[0].client_address.header: wanted one of x-forwarded-for, forwarded, x-azure-socketip, got "x-real-ip""#,
            ],
        ),
        (
            "127.0.0.1:8080",
            "127.0.0.1:8080\n    client_address: { trusted_proxies: [10.0.0.1/8, 10.0.0.0/33], header: forwared }",
            &[
                r#"3:41: listeners[0].client_address.trusted_proxies[0]: "10.0.0.1/8" is one address of a network — did you mean 10.0.0.0/8?"#,
                r#"3:53: listeners[0].client_address.trusted_proxies[1]: wanted a network such as 10.0.0.0/8, or an address, got "10.0.0.0/33""#,
                r#"3:75: listeners[0].client_address.header: "forwared" is not possible — did you mean forwarded?"#,
            ],
        ),
        (
            "127.0.0.1:8080",
            "127.0.0.1:8080\n    client_address: { trusted_proxies: 10.0.0.0/8, header: proxy-protocol }",
            &[
                r#"3:40: listeners[0].client_address.trusted_proxies: wanted a list, got "10.0.0.0/8""#,
                "3:60: listeners[0].client_address.header: the PROXY protocol has no header field: list the proxies in the listener's proxy_protocol",
            ],
        ),
        (
            "127.0.0.1:8080",
            "127.0.0.1:8080\n    client_address: { trusted_proxies: [10.0.0.0/8], header: forwarded, front_door_id: x }",
            &["3:88: listeners[0].client_address.front_door_id: only header: x-azure-socketip has a use for this"],
        ),
        (
            "127.0.0.1:8080",
            "127.0.0.1:8080\n    client_address: { trusted_proxies: [10.0.0.0/8], header: forwarded, pass_headers: [\"a b\", content_length] }",
            &[
                r#"3:88: listeners[0].client_address.pass_headers[0]: wanted the name of a field, such as X-Real-IP, got "a b""#,
                "3:95: listeners[0].client_address.pass_headers[1]: content_length is never passed on: gateways might take it for the length of the body",
            ],
        ),
        (
            "127.0.0.1:8080",
            "127.0.0.1:8080\n    debug_headers: yes",
            &[r#"3:20: listeners[0].debug_headers: wanted true or false, got "yes""#],
        ),
    ]);
}

#[test]
fn plugins() {
    check(&[
        (
            "routes:",
            "plugins: { canary: { source: \"oci://registry.example.net/canary@sha256:0\" } }\nroutes:",
            &[
                "8:30: plugins.canary.source: wanted oci://HOST[:PORT]/REPOSITORY with :TAG or @sha256:DIGEST: a digest by sha256 has 64 digits, 0 to 9 and a to f, got \"oci://registry.example.net/canary@sha256:0\"",
            ],
        ),
        (
            "routes:",
            "plugins: { canary: { source: \"https://registry.example.net/canary.wasm\" } }\nroutes:",
            &[
                "8:30: plugins.canary.source: https:// is not supported: use oci:// and a registry, or fetch the file and give its path",
            ],
        ),
        (
            "routes:",
            "plugins: { canary: { source: ./canary.wasm, poll: 1m, signature: { keys: [team.pub] } } }\nroutes:",
            &[
                "8:45: plugins.canary.poll: is for plugins in a registry (source: oci://…)",
                "8:55: plugins.canary.signature: is for plugins in a registry (source: oci://…)",
            ],
        ),
        (
            "routes:",
            "registries: [ { host: a.example, username: bob }, { host: A.example } ]\nroutes:",
            &[
                "8:44: registries[0].username: password_file is missing, the file with the password of this name",
                "8:59: registries[1].host: this registry is there already",
            ],
        ),
        (
            "routes:",
            "plugins: { canary: { source: \"embedded:canry\" } }\nroutes:",
            &[
                "8:30: plugins.canary.source: no plugin of that name is part of this program, which has canary, nearest — did you mean canary?",
            ],
        ),
        (
            "routes:",
            "plugins: { canary: { sorce: ./a.wasm, deadline: 0ms, memory: 16M, isolation: none, config: .inf } }\nroutes:",
            &[
                "8:22: plugins.canary.sorce: unknown key — did you mean source?",
                r#"8:49: plugins.canary.deadline: from 1ms to 1s is possible, got "0ms""#,
                r#"8:62: plugins.canary.memory: wanted a size such as 64KiB or 16MiB (units B, KiB, MiB, GiB, kB, MB, GB), got "16M""#,
                r#"8:78: plugins.canary.isolation: wanted one of reuse, fresh, got "none""#,
                r#"8:92: plugins.canary.config: wanted a number that JSON has, got ".inf""#,
            ],
        ),
        (
            "routes:",
            "plugins: { canary: { source: \"embedded:canary\", size: huge, limits: { file: 65MiB, compile: 1s } } }\nroutes:",
            &[
                r#"8:55: plugins.canary.size: wanted one of small, large, got "huge""#,
                r#"8:77: plugins.canary.limits.file: from 1KiB to 64MiB is possible, got "65MiB""#,
                "8:84: plugins.canary.limits.compile: unknown key — possible here: file, compile_time, compile_memory, start_time",
            ],
        ),
        (
            "routes:",
            "plugins: { canary: { config: {} } }\nroutes:",
            &["8:20: plugins.canary: source is missing"],
        ),
    ]);
}

#[test]
fn rollouts() {
    let rollout =
        |text: &str| format!("plugins: {{ canary: {{ source: \"embedded:canary\", rollout: {text} }} }}\nroutes:");
    for (text, mistake) in [
        ("{}", "a rollout needs shadow, canary or both"),
        ("{ canary: [] }", "at least one is needed"),
        (
            "{ canary: [10%, 10%] }",
            "every share has to be larger than the one before",
        ),
        (
            "{ canary: [10] }",
            "wanted a percentage from 0.1% to 100%, such as 10% or 0.5%",
        ),
        (
            "{ canary: [0%] }",
            "wanted a percentage from 0.1% to 100%, such as 10% or 0.5%",
        ),
        ("{ shadow: 10ms }", "from 1s to 7d is possible"),
        (
            "{ shadow: 1m, step: never }",
            "wanted a duration such as 500ms or 1m30s",
        ),
        (
            "{ shadow: 1m, rollback: { faults: 0 } }",
            "wanted a whole number from 1 to 1000000",
        ),
        ("{ shadow: 1m, steps: 1m }", "unknown key — did you mean step?"),
    ] {
        let yaml = SMALL.replace("routes:", &rollout(text));
        let errors = messages(&yaml).join("\n");
        assert!(
            errors.contains("plugins.canary.rollout") && errors.contains(mistake),
            "{text}: {errors}"
        );
    }
    let yaml = SMALL.replace(
        "routes:",
        &rollout("{ shadow: 1m, canary: [0.5%, 100%], step: manual, rollback: off }"),
    );
    let settings = parse(yaml.as_bytes(), Path::new("x.yaml")).expect("valid").settings;
    let plan = settings.plugins[&"canary".into()].rollout.clone().expect("a plan");
    assert_eq!(plan.steps.len(), 3);
    assert!(plan.thresholds.is_none() && plan.steps[2].lasts.is_none(), "{plan:?}");
}

#[test]
fn the_rest_of_the_top_level() {
    check(&[
        (
            "routes:",
            "workers: 0\naccess_log: stdot\ndrain_time: 2\nhere: westeurop\nroutes:",
            &[
                r#"8:10: workers: wanted a whole number from 1 to 1024, got "0""#,
                r#"9:13: access_log: "stdot" is not possible — did you mean stdout?"#,
                r#"10:13: drain_time: wanted a duration such as 500ms or 1m30s (units us, µs, ms, s, m, h, d), got "2""#,
                r#"11:7: here: unknown region "westeurop" — did you mean westeurope?"#,
            ],
        ),
        (
            "routes:",
            "here: { latitude: 1 }\naccess_log: { path: a }\ngeo: embedded\nadmin: 9900\nroutes:",
            &[
                "8:7: here: longitude is missing",
                "9:15: access_log.path: unknown key — possible here: file, format, sample, errors",
                r#"10:6: geo: wanted a mapping with keys such as database, asn_database, networks, attribution, …, got "embedded""#,
                r#"11:8: admin: wanted a mapping with keys such as address, socket_mode, tls, token_file, …, got "9900""#,
            ],
        ),
        (
            "routes:",
            "access_log: { format: 'a %REQ(X% b', sample: 0, errors: never }\nroutes:",
            &[
                "8:23: access_log.format: character 3: %REQ(X% lacks a closing parenthesis",
                r#"8:46: access_log.sample: wanted a percentage from 0.1% to 100%, such as 10% or 0.5%, got "0""#,
                r#"8:57: access_log.errors: wanted always or sampled, got "never""#,
            ],
        ),
        (
            "routes:",
            "telemetry: { otlp: { endpoint: localhost:4318, timeout: 0s }, traces: {} }\nroutes:",
            &[
                r#"8:32: telemetry.otlp.endpoint: wanted a URL such as http://127.0.0.1:4318 (it does not begin with http:// or https://), got "localhost:4318""#,
                r#"8:57: telemetry.otlp.timeout: from 1s to 1m is possible, got "0s""#,
                "8:71: telemetry.traces: sample is missing",
            ],
        ),
        (
            "routes:",
            "access_log: { format: common }\nroutes:",
            &[
                "8:23: access_log.format: wanted json, or a template with commands such as %START_TIME%: every line would be the same",
            ],
        ),
        (
            "routes:",
            "geo: { databse: 5 }\nroutes:",
            &[
                "8:8: geo.databse: unknown key — did you mean database?",
                r#"8:17: geo.databse: wanted text (in quotes), got "5""#,
            ],
        ),
    ]);
}

#[test]
fn networks_with_a_place() {
    check(&[
        (
            "routes:",
            "geo: { networks: [{ network: 10.0.0.0/8 }, { network: 10.0.0.1/8, region: westeurop }, { country: unknown }] }\nroutes:",
            &[
                "8:19: geo.networks[0]: wanted country, location, region, or several of them",
                r#"8:55: geo.networks[1].network: "10.0.0.1/8" is one address of a network — did you mean 10.0.0.0/8?"#,
                r#"8:75: geo.networks[1].region: unknown region "westeurop" — did you mean westeurope?"#,
                "8:88: geo.networks[2]: network is missing",
                "8:99: geo.networks[2].country: wanted a country: leave it out to have it from the databases",
            ],
        ),
        (
            "routes:",
            "geo:\n  networks:\n  - { network: 10.0.0.0/8, country: SG }\n  - { network: \"::ffff:10.0.0.0/104\", country: DE }\nroutes:",
            &["11:16: geo.networks[1].network: ::ffff:10.0.0.0/104 has a place on line 10 already"],
        ),
        (
            "routes:",
            "geo: { networks: [{ network: \"64:ff9b::/96\", country: SG, location: { latitude: 91, longitude: 0 } }] }\nroutes:",
            &[r#"8:81: geo.networks[0].location.latitude: wanted degrees from -90 to 90, got "91""#],
        ),
        (
            "routes:",
            "geo: { networks: [{ network: \"64:ff9b::a00:0/104\", country: SG }] }\nroutes:",
            &[
                "8:30: geo.networks[0].network: its clients are looked up by the IPv4 addresses that these carry: give the IPv4 network",
            ],
        ),
    ]);
}
