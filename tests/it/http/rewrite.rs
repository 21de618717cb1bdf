//! What a gateway makes of its own name as Host, and what clients see of it.

use super::{PLAIN, Scene};

/// The fields that may name a gateway, of a gateway that knows itself as this authority.
fn answer(scheme: &str, authority: &str) -> String {
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    format!(
        "HTTP/1.1 302 Found\r\nlocation: {scheme}://{authority}/login?a=b\r\ncontent-location: {scheme}://{authority}/a\r\n\
         refresh: 5; url={scheme}://{authority}/b\r\nset-cookie: id=1; Domain={host}; Path=/\r\nset-cookie: n=2\r\n\
         content-length: 0\r\n\r\n"
    )
}

const FIELDS: [&str; 4] = ["location", "content-location", "refresh", "set-cookie"];

/// The fields of [`answer`] as a client sees them that sends these lines.
#[track_caller]
fn seen(scene: &Scene, scheme: &str, lines: &str) -> Vec<String> {
    scene.gateway.says(answer(scheme, &scene.gateway.address().to_string()));
    let shown = scene.ask(format!("GET / HTTP/1.1\r\n{lines}\r\n\r\n"));
    assert_eq!(shown.fields("set-cookie").nth(1), Some("n=2"), "{}", shown.head);
    FIELDS
        .map(|name| shown.field(name).unwrap_or_default().to_owned())
        .to_vec()
}

fn of(origin: &str, domain: &str) -> Vec<String> {
    vec![
        format!("{origin}/login?a=b"),
        format!("{origin}/a"),
        format!("5; url={origin}/b"),
        format!("id=1; Domain={domain}; Path=/"),
    ]
}

#[test]
fn redirects_and_cookies_of_a_gateway_name_what_the_client_requested() {
    let scene = Scene::new();
    let requested = of("http://shop.example:8080", "shop.example");
    assert_eq!(seen(&scene, "http", "host: shop.example:8080"), requested);
    assert_eq!(seen(&scene, "HTTP", "host: shop.example:8080"), requested);
    // As a trusted proxy says.
    let behind = "host: edge.example\r\nx-forwarded-host: shop.example\r\nx-forwarded-proto: https";
    let requested = of("https://shop.example", "shop.example");
    assert_eq!(seen(&scene, "http", behind), requested);
    assert_eq!(
        seen(&scene, "https", behind),
        requested,
        "it believed X-Forwarded-Proto"
    );
    // Not one host: what the request itself says.
    let listed = "host: edge.example\r\nx-forwarded-host: shop.example, b";
    assert_eq!(seen(&scene, "http", listed), of("http://edge.example", "edge.example"));
}

/// The attribute would name no host, and the path alone is enough.
#[test]
fn a_client_without_host_gets_a_path() {
    let scene = Scene::new();
    scene.gateway.says(answer("http", &scene.gateway.address().to_string()));
    let shown = scene.ask("GET / HTTP/1.0\r\n\r\n");
    let fields = FIELDS.map(|name| shown.field(name).unwrap_or_default());
    assert_eq!(
        fields,
        ["/login?a=b", "/a", "5; url=/b", "id=1; Path=/"],
        "{}",
        shown.head
    );
}

#[test]
fn what_names_another_host_passes() {
    let scene = Scene::new();
    for authority in ["login.example", "shop.example:8080", "127.0.0.1:1"] {
        scene.gateway.says(answer("http", authority));
        let shown = scene.ask("GET / HTTP/1.1\r\nhost: shop.example\r\n\r\n");
        let location = format!("http://{authority}/login?a=b");
        assert_eq!(shown.field("location"), Some(&*location));
    }
}

#[test]
fn responses_are_not_rewritten_where_that_is_switched_off() {
    for keys in ["rewrite_responses: false", "preserve_host: true"] {
        let scene = Scene::of(&format!("{PLAIN}\n{keys}"));
        let own = scene.gateway.address().to_string();
        assert_eq!(
            seen(&scene, "http", "host: shop.example")[0],
            format!("http://{own}/login?a=b"),
            "{keys}"
        );
    }
    let scene = Scene::of(&format!("{PLAIN}\npreserve_host: true\nrewrite_responses: true"));
    assert_eq!(
        seen(&scene, "http", "host: shop.example"),
        of("http://shop.example", "shop.example")
    );
}

/// The route rewrites the prefix, and the gateway names what it sees.
#[test]
fn redirects_and_cookies_of_a_rewritten_path_lead_back_to_the_route() {
    let routes =
        "- { path: /api, service: shop, prefix_rewrite: /v2 }\n- { path: /top/, service: shop, prefix_rewrite: / }";
    let scene = Scene::made(|setup| setup.service(PLAIN).routes(routes));
    let own = scene.gateway.address();
    let answer = |location: &str, path: &str| {
        format!(
            "HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-location: {location}\r\nrefresh: 0; url='{location}'\r\n\
             set-cookie: id=1; Path={path}\r\nset-cookie: n=2\r\ncontent-length: 0\r\n\r\n"
        )
    };
    for (asked, target, (location, path), (expected, expected_path)) in [
        ("/api/a", "/v2/a", ("/v2/b?c=/v2", "/v2"), ("/api/b?c=/v2", "/api")),
        (
            "/api/a",
            "/v2/a",
            (&*format!("http://{own}/v2"), "/v2/"),
            ("http://shop.example/api", "/api/"),
        ),
        (
            "/api",
            "/v2",
            ("http://shop.example/v2/b", "/v1"),
            ("http://shop.example/api/b", "/v1"),
        ),
        ("/top/a", "/a", ("/login", "/admin"), ("/top/login", "/top/admin")),
        // It knows the clients' path, or means the whole host.
        ("/top/a", "/a", ("/top/login", "/"), ("/top/login", "/")),
        ("/top/a", "/a", ("//evil.example/", "/top"), ("//evil.example/", "/top")),
        // Another route.
        ("/v2/a", "/v2/a", ("/v2/b", "/v2"), ("/v2/b", "/v2")),
    ] {
        scene.gateway.says(answer(location, path));
        let shown = scene.ask(format!("GET {asked} HTTP/1.1\r\nhost: shop.example\r\n\r\n"));
        assert!(scene.seen().line().starts_with(&format!("GET {target} ")), "{asked}");
        let fields = FIELDS.map(|name| shown.field(name).unwrap_or_default().to_owned());
        let expected = [
            expected.to_owned(),
            expected.to_owned(),
            format!("0; url='{expected}'"),
            format!("id=1; Path={expected_path}"),
        ];
        assert_eq!(fields, expected, "{asked}");
        assert_eq!(shown.fields("set-cookie").nth(1), Some("n=2"), "{}", shown.head);
    }
}

#[test]
fn a_rewritten_path_stays_where_responses_are_not_rewritten() {
    let routes = "- { path: /api, service: shop, prefix_rewrite: /v2 }";
    let scene = Scene::made(|setup| {
        let service = format!("{PLAIN}\nrewrite_responses: false");
        setup.service(&service).routes(routes)
    });
    scene
        .gateway
        .says("HTTP/1.1 302 Found\r\nlocation: /v2/b\r\ncontent-length: 0\r\n\r\n");
    let shown = scene.ask("GET /api HTTP/1.1\r\nhost: shop.example\r\n\r\n");
    assert_eq!(shown.field("location"), Some("/v2/b"));
}
