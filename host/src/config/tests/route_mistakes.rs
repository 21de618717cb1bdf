//! Mistakes in routes and in who may use them.

use super::mistakes::check;
use super::{SMALL, configuration};

const ROUTE: &str = r#"  - { host: "*", path: /, service: shop }"#;

#[test]
fn conditions_of_routes() {
    check(&[
        (
            ROUTE,
            "  - { service: shop, methods: get }",
            &["9:31: routes[0].methods: \"get\" is not possible — did you mean GET?"],
        ),
        (
            ROUTE,
            "  - { service: shop, methods: [\"G T\"] }",
            &["9:32: routes[0].methods[0]: wanted a method such as GET, got \"G T\""],
        ),
        (
            ROUTE,
            "  - { service: shop, headers: { \"x y\": a, Host: b, x-n: 1 } }",
            &[
                "9:33: routes[0].headers.\"x y\": \"x y\" is not the name of a field",
                "9:43: routes[0].headers.Host: a route has a key of its own for the host: host",
                "9:57: routes[0].headers.x-n: wanted text (in quotes), got \"1\"",
            ],
        ),
        (
            ROUTE,
            "  - { service: shop, query: [v] }",
            &["9:29: routes[0].query: wanted a mapping from names to values, got a list"],
        ),
        (
            ROUTE,
            "  - { service: shop, methods: GET }\n  - { service: shop, methods: [GET] }",
            &["10:5: routes[1]: never reached: line 9 has a route for the same requests"],
        ),
        (
            ROUTE,
            "  - { service: shop, client_certificate: {} }",
            &[
                "9:22: routes[0].client_certificate: never reached: no listener has tls.client_ca",
                "9:42: routes[0].client_certificate: wanted subject, san, or both; \"*\" is any",
            ],
        ),
        (
            ROUTE,
            "  - { service: shop, client_certificate: { subject: [CN=a, CN=b], sans: x } }",
            &[
                "9:22: routes[0].client_certificate: never reached: no listener has tls.client_ca",
                "9:67: routes[0].client_certificate.sans: unknown key — did you mean san?",
            ],
        ),
        (
            ROUTE,
            "  - { service: shop, prefix_rewrite: v2 }",
            &["9:38: routes[0].prefix_rewrite: wanted a path that begins with /, without query, got \"v2\""],
        ),
        (
            ROUTE,
            "  - { service: shop }\n  - { service: shop, query: { v: \"2\" } }",
            &[],
        ),
    ]);
}

#[test]
fn access() {
    check(&[
        (
            ROUTE,
            "  - { service: shop, access: {} }",
            &["9:30: routes[0].access: wanted deny, allow, or both"],
        ),
        (
            ROUTE,
            "  - { service: shop, access: { denny: [DE] } }",
            &["9:32: routes[0].access.denny: unknown key — did you mean deny?"],
        ),
        (
            ROUTE,
            "  - { service: shop, access: { deny: [10.0.0.1/8, UK, AS64500, AS0, ASX, 7, Germany] } }",
            &[
                "9:39: routes[0].access.deny[0]: \"10.0.0.1/8\" is one address of a network — did you mean 10.0.0.0/8?",
                "9:51: routes[0].access.deny[1]: \"UK\" is no country code — did you mean GB?",
                "9:55: routes[0].access.deny[2]: autonomous systems need geo.asn_database",
                "9:64: routes[0].access.deny[3]: wanted a network, a two-letter country code, unknown, or an autonomous system such as AS64500, got \"AS0\"",
                "9:69: routes[0].access.deny[4]: wanted a network, a two-letter country code, unknown, or an autonomous system such as AS64500, got \"ASX\"",
                "9:74: routes[0].access.deny[5]: wanted a network, a two-letter country code, unknown, or an autonomous system such as AS64500, got \"7\"",
                "9:77: routes[0].access.deny[6]: wanted a network, a two-letter country code, unknown, or an autonomous system such as AS64500, got \"Germany\"",
            ],
        ),
        (
            ROUTE,
            "  - { service: shop, access: { allow: [DE, as, 10.0.0.1, \"::1\", unknown] } }",
            &[],
        ),
    ]);
}

#[test]
fn policies_of_routes() {
    check(&[
        (
            ROUTE,
            "  - { service: shop, retry: { budget: { percent: 5% } } }",
            &["9:31: routes[0].retry.budget: the retry budget is that of the service"],
        ),
        (
            ROUTE,
            "  - { service: shop, retry: { per_try_timeout: 20s } }",
            &[
                "9:48: routes[0].retry.per_try_timeout: longer than timeouts.request, 15s, in which all attempts must fit",
            ],
        ),
        (
            ROUTE,
            "  - { service: shop, timeouts: { request: 20s }, retry: { per_try_timeout: 20s } }",
            &[],
        ),
    ]);
}

#[test]
fn limits_and_priorities() {
    let overload = "routes:\n";
    check(&[
        (
            ROUTE,
            "  - { service: shop, limits: { request_boddy: 1MiB, concurrent_requests: 0 } }",
            &[
                "9:32: routes[0].limits.request_boddy: unknown key — did you mean request_body?",
                "9:74: routes[0].limits.concurrent_requests: wanted a whole number from 1 to 1000000, got \"0\"",
            ],
        ),
        (
            ROUTE,
            "  - { service: shop, limits: { rate: { requests: 1, per: 1h, burst: 25 } } }",
            &[
                "9:50: routes[0].limits.rate.requests: an empty bucket would take longer than a day to become full: wanted a smaller burst, or more requests",
            ],
        ),
        (
            ROUTE,
            "  - { service: shop, limits: { rate: { per: 100ms } } }",
            &[
                "9:38: routes[0].limits.rate: requests is missing",
                "9:45: routes[0].limits.rate.per: from 1s to 1h is possible, got \"100ms\"",
            ],
        ),
        (
            ROUTE,
            "  - { service: shop, limits: { rate: { requests: 10, per: 1m, burst: 20, networks: 4096 } } }",
            &[],
        ),
        (
            ROUTE,
            "  - { service: shop, limits: { request_body: 10 } }",
            &[
                "9:46: routes[0].limits.request_body: wanted a size such as 64KiB or 16MiB (units B, KiB, MiB, GiB, kB, MB, GB), got \"10\"",
            ],
        ),
        (
            ROUTE,
            "  - { service: shop, priority: hihg }",
            &["9:32: routes[0].priority: \"hihg\" is not possible — did you mean high?"],
        ),
        (
            overload,
            "overload: {}\nroutes:\n",
            &["8:11: overload: concurrent_requests is missing"],
        ),
        (
            overload,
            "overload: { concurrent_requests: 0 }\nroutes:\n",
            &["8:34: overload.concurrent_requests: wanted a whole number from 1 to 10000000, got \"0\""],
        ),
        (
            ROUTE,
            "  - { service: shop, priority: low, limits: { request_body: 0B, concurrent_requests: 1 } }\noverload: { concurrent_requests: 1 }",
            &[],
        ),
    ]);
}

#[test]
fn a_priority_without_load_shedding_is_warned_of() {
    let text = SMALL.replacen(ROUTE, "  - { service: shop, priority: low }", 1);
    let warnings = configuration(&text).warnings;
    let lines: Vec<_> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        ["9:22: routes[0].priority: has no effect without overload.concurrent_requests"]
    );
    let text = format!("{text}overload: {{ concurrent_requests: 100 }}\n");
    assert_eq!(configuration(&text).warnings, []);
}

#[test]
fn front_door_and_the_proxy_protocol() {
    let address = "127.0.0.1:8080";
    check(&[
        (
            "    regions:",
            "    upstream: { reuse: always, proxy_protocol: v2 }\n    regions:",
            &[
                "5:24: services.shop.upstream.reuse: with proxy_protocol a connection is one client's and carries one request: only never is possible",
            ],
        ),
        (
            "    regions:",
            "    upstream: { protocol: h2, proxy_protocol: v2 }\n    regions:",
            &[
                "5:27: services.shop.upstream.protocol: with proxy_protocol a connection is one client's and carries one request: only h1 is possible",
            ],
        ),
        (
            "    regions:",
            "    upstream: { protocol: h1, reuse: never, proxy_protocol: v2 }\n    regions:",
            &[],
        ),
        (
            address,
            "127.0.0.1:8080\n    proxy_protocol: { trusted: [] }",
            &["3:32: listeners[0].proxy_protocol.trusted: at least one is needed"],
        ),
        (
            address,
            "127.0.0.1:8080\n    proxy_protocol: true",
            &["3:21: listeners[0].proxy_protocol: wanted a mapping with keys such as trusted, got \"true\""],
        ),
        (
            address,
            "127.0.0.1:8080\n    client_address: { header: x-forwarded-for }",
            &["3:21: listeners[0].client_address: trusted_proxies is missing"],
        ),
        (
            address,
            "127.0.0.1:8080\n    client_address: { header: x-azure-socketip, service_tags: tags.json }",
            &[
                "3:63: listeners[0].client_address.service_tags: front_door_id is missing: the addresses are those of every tenant's Front Door",
            ],
        ),
        (
            address,
            "127.0.0.1:8080\n    client_address: { header: forwarded, trusted_proxies: [10.0.0.1], service_tags: tags.json }",
            &["3:85: listeners[0].client_address.service_tags: only header: x-azure-socketip has a use for this"],
        ),
    ]);
}

#[test]
fn affinity_is_by_a_cookie_or_a_field() {
    let with = |lines: &str| {
        let text = SMALL.replacen("    regions:\n", &format!("    affinity: {lines}\n    regions:\n"), 1);
        assert!(text.contains("affinity"), "{text}");
        text
    };
    let warned = |text: &str| {
        let warnings = configuration(text).warnings;
        warnings.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let without_keys = "its cookies are signed with a key of this process, which other instances and the next start do not know: set affinity_keys";
    let warnings = warned(&with("{ cookie: {} }"));
    assert!(
        warnings.len() == 1 && warnings[0].ends_with(without_keys),
        "{warnings:?}"
    );
    assert_eq!(
        warned(&format!("{}affinity_keys: keys\n", with("{ cookie: {} }"))),
        [""; 0]
    );
    assert_eq!(warned(&with("{ header: X-Tenant-Id }")), [""; 0]);
    let warnings = warned(&format!("{}affinity_keys: keys\n", with("{ header: X-Tenant-Id }")));
    assert!(
        warnings.len() == 1 && warnings[0].contains("has no effect"),
        "{warnings:?}"
    );
    for (lines, mistake) in [
        ("{}", "cookie or header is missing"),
        ("{ cookie: {}, header: a }", "cookie or header, not both"),
        ("{ header: a, failover: sticky }", "failover: sticky needs a cookie"),
        ("{ header: \"a b\" }", "wanted the name of a field"),
        ("{ cookie: { name: \"a=b\" } }", "wanted the name of a cookie"),
        ("{ cookie: { path: x } }", "wanted a path that begins with /"),
    ] {
        let error = crate::config::parse(with(lines).as_bytes(), std::path::Path::new("p.yaml")).expect_err(lines);
        assert!(error.to_string().contains(mistake), "{lines}: {error}");
    }
}
