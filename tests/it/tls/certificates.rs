//! Client certificates in routes, plugins and explanations.

use super::client::{Authority, Client, setup};
use portolan::plugin::embedded;
use portolan_tests::{Request, Setup, World};
use rcgen::string::Ia5String;
use rcgen::{DnType, SanType};

/// A client's certificate with this common name, these DNS names, and a URI.
fn issue(clients: &Authority, name: &str, names: &[&str], uri: &str) -> (String, String) {
    clients.issue_with(names, |params| {
        params.distinguished_name.push(DnType::CommonName, name);
        let uri = Ia5String::try_from(uri).expect("ASCII");
        params.subject_alt_names.push(SanType::URI(uri));
    })
}

/// A world whose routes are these, before the one for everything.
fn begun(setup: Setup, routes: &str) -> World {
    let config = setup.config().replace("routes:\n", &format!("routes:\n{routes}"));
    std::fs::write(setup.folder().join("portolan.yaml"), config).expect("written");
    setup.try_start().unwrap_or_else(|error| panic!("{error}"))
}

/// The path that the gateway sees.
async fn path(world: &World, client: &Client) -> String {
    let response = client.get(world.proxy(), "shop.example", "shop.example").await;
    let text = response.expect("answered").text;
    let path = text.split("\"path\":").nth(1).and_then(|rest| rest.split('"').nth(1));
    path.unwrap_or_else(|| panic!("no path in {text}")).to_owned()
}

#[tokio::test]
async fn routes_ask_for_certificates() {
    let (authority, clients) = (Authority::new("Root"), Authority::new("Clients"));
    let keys = ", client_ca: ca.pem, client_certificate: optional";
    let setup = setup(&authority.issue(&["shop.example"]), keys).file("ca.pem", clients.pem());
    let world = begun(
        setup,
        "  - { service: shop, methods: GET, prefix_rewrite: /get }\n  \
           - { service: shop, client_certificate: { subject: \"CN=ops\" }, prefix_rewrite: /ops }\n  \
           - { service: shop, client_certificate: { subject: \"*\", san: [Web.Example, \"spiffe://prod/web\"] }, prefix_rewrite: /web }\n",
    );
    let versions = [&rustls::version::TLS12, &rustls::version::TLS13];
    for version in versions {
        for (name, names, uri, expected) in [
            ("ops", &["a.example"][..], "spiffe://prod/a", "/ops/"),
            ("other", &["web.example"], "spiffe://prod/a", "/web/"),
            ("other", &["a.example"], "spiffe://prod/web", "/web/"),
            ("other", &["a.example"], "spiffe://prod/WEB", "/get/"),
        ] {
            let pair = issue(&clients, name, names, uri);
            let client = authority.client_of(&[version], Some(&pair));
            assert_eq!(path(&world, &client).await, expected, "{name} {names:?} {uri}");
            // A resumed session knows of the certificate as well.
            assert_eq!(path(&world, &client).await, expected, "{name} {names:?} {uri}");
        }
        let stranger = authority.client_of(&[version], None);
        assert_eq!(path(&world, &stranger).await, "/get/");
    }

    // The same decisions, explained.
    let explained = async |more: &str| {
        let target = format!("/api/v1/explain?ip=192.0.2.1&host=shop.example&path=/{more}");
        let answer = world.admin(Request::get(&target)).await.json();
        answer["rewritten"].as_str().expect("rewritten").to_owned()
    };
    assert_eq!(explained("").await, "/get/");
    assert_eq!(explained("&certificate_subject=CN%3Dops").await, "/ops/");
    assert_eq!(
        explained("&certificate_san=a.example&certificate_san=WEB.example").await,
        "/web/"
    );
}

/// The canary plugin moves every client to eastus2 but those whose header says never.
#[tokio::test]
async fn plugins_read_the_verified_certificate_and_never_what_a_client_says_of_it() {
    let (authority, clients) = (Authority::new("Root"), Authority::new("Clients"));
    let world = |header: &str, percent: u32| {
        let pair = authority.issue(&["shop.example"]);
        Setup::regions(&["westeurope", "eastus2"])
            .file("tls.crt", &pair.0)
            .file("tls.key", &pair.1)
            .file("ca.pem", clients.pem())
            .file("canary.wasm", embedded::CANARY)
            .listeners(
                "- address: 127.0.0.1:0\n  debug_headers: true\n  tls: { certificate: tls.crt, private_key: tls.key, client_ca: \
                 ca.pem, client_certificate: optional }\n",
            )
            .service("policy: { plugin: canary }\nhealth_check: off")
            .with(&format!(
                "plugins: {{ canary: {{ source: ./canary.wasm, deadline: 200ms, config: {{ region: eastus2, percent: {percent}, \
                 header: {header} }} }} }}"
            ))
            .start()
    };
    let is_moved = async |world: &World, client: &Client, field: &str| {
        let response = client
            .get_with(world.proxy(), "shop.example", "shop.example", field)
            .await;
        let text = response.expect("answered").text;
        assert!(text.contains("x-portolan-reason: plugin"), "{text}");
        text.contains("x-portolan-region: eastus2")
    };
    let stranger = authority.client();
    for (header, field) in [
        ("x-forwarded-client-cert", "x-forwarded-client-cert: never\r\n"),
        ("x-azure-fdid", "x-azure-fdid: never\r\n"),
        ("x-fd-healthprobe", "x-fd-healthprobe: never\r\n"),
    ] {
        let world = world(header, 100);
        assert!(is_moved(&world, &stranger, field).await, "{field}");
    }
    let open = world("x-beta", 100);
    assert!(!is_moved(&open, &stranger, "x-beta: never\r\n").await);

    // Half of all values are moved: with so many certificates, some are and some are not. Whatever else the client sends.
    let half = world("x-forwarded-client-cert", 50);
    let mut moved = Vec::new();
    for number in 0..32 {
        let pair = issue(&clients, &format!("client {number}"), &[], "spiffe://prod/web");
        let client = authority.client_of(rustls::DEFAULT_VERSIONS, Some(&pair));
        let first = is_moved(&half, &client, "").await;
        let field = "x-forwarded-client-cert: always\r\n";
        assert_eq!(is_moved(&half, &client, field).await, first, "client {number}");
        moved.push(first);
    }
    assert!(moved.contains(&true) && moved.contains(&false), "{moved:?}");
}

/// The plugin sends what it read to the gateway, which answers with what it got.
#[tokio::test]
async fn plugins_read_what_the_handshake_settled() {
    let (authority, clients) = (Authority::new("Root"), Authority::new("Clients"));
    let pair = authority.issue(&["shop.example"]);
    let fields = r#"[":scheme", ":tls-server-name", ":client-cert-subject", ":client-cert-names"]"#;
    let world = Setup::regions(&["westeurope"])
        .file("tls.crt", &pair.0)
        .file("tls.key", &pair.1)
        .file("ca.pem", clients.pem())
        .file("echo.wasm", portolan_tests::hostile())
        .listeners(
            "- address: 127.0.0.1:0\n  tls: { certificate: tls.crt, private_key: tls.key, client_ca: ca.pem, \
             client_certificate: optional }\n",
        )
        .service("policy: { plugin: echo }\nhealth_check: off")
        .with(&format!(
            "plugins: {{ echo: {{ source: ./echo.wasm, deadline: 200ms, config: {{ fault: echo, fields: {fields} }} }} }}"
        ))
        .start();
    let read = async |client: &Client| {
        let response = client.get(world.proxy(), "shop.example", "shop.example").await;
        let text = response.expect("answered").text;
        let value = text
            .split("\"x-tenant\":")
            .nth(1)
            .and_then(|rest| rest.split('"').nth(1));
        value.unwrap_or_else(|| panic!("no x-tenant in {text}")).to_owned()
    };
    assert_eq!(read(&authority.client()).await, "https|shop.example|-|-;0;");
    let pair = issue(&clients, "ops", &["a.example"], "spiffe://prod/a");
    let client = authority.client_of(rustls::DEFAULT_VERSIONS, Some(&pair));
    let read = read(&client).await;
    assert!(read.starts_with("https|shop.example|CN=ops|"), "{read}");
    assert!(read.contains("a.example") && read.contains("spiffe://prod/a"), "{read}");
}
