//! TLS towards clients, with rustls as the client.

mod certificates;
pub(crate) mod client;

use client::{Authority, der, setup};
use portolan_tests::{Request, Setup, World};
use rustls::AlertDescription;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::symlink;
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const TICKET_KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n";

/// The alert that ended a handshake.
fn alert(error: &io::Error) -> Option<AlertDescription> {
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::AlertReceived(alert) => Some(*alert),
        _ => None,
    }
}

/// A metric of the TLS listener.
async fn metric(world: &World, name: &str, labels: &str) -> u64 {
    let text = world.admin(Request::get("/metrics")).await.text();
    let line = text
        .lines()
        .find(|line| line.starts_with(name) && line.contains(labels));
    let line = line.unwrap_or_else(|| panic!("no {name} with {labels} in {text}"));
    line.rsplit_once(' ').expect("a value").1.parse().expect("a number")
}

async fn failures(world: &World, reason: &str) -> u64 {
    let name = "portolan_downstream_tls_handshake_failures_total{";
    metric(world, name, &format!("reason=\"{reason}\"")).await
}

/// Waits until so many handshakes have failed like this: the client may know it first.
async fn until_failures(world: &World, reason: &str, count: u64) {
    let reached = async {
        while failures(world, reason).await != count {
            tokio::task::yield_now().await;
        }
    };
    let reached = tokio::time::timeout(Duration::from_secs(20), reached).await;
    reached.unwrap_or_else(|_| panic!("{count} handshakes that fail with {reason}"));
}

#[tokio::test]
async fn requests_over_both_versions_reach_gateways_as_https() {
    let authority = Authority::new("Root");
    let world = setup(
        &authority.issue(&["shop.example"]),
        ", hsts: { max_age: 365d, include_subdomains: true }",
    )
    .start();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let client = authority.client_of(&[version], None);
        let response = client
            .get(world.proxy(), "shop.example", "shop.example")
            .await
            .expect("answered");
        assert_eq!(response.status(), "200", "{response:?}");
        let text = response.text.to_lowercase();
        assert!(
            text.contains("\"x-forwarded-proto\":\"https\"") || text.contains("\"x-forwarded-proto\": \"https\""),
            "{text}"
        );
        assert!(
            text.contains("strict-transport-security: max-age=31536000; includesubdomains"),
            "{text}"
        );
        assert!(
            !text.contains("by=me"),
            "what a client says of its certificate goes nowhere: {text}"
        );
        assert!(response.ended_well, "close_notify");
    }
    for (version, count) in [("1.2", 1), ("1.3", 1)] {
        let labels = format!("listener=\"secure\",version=\"{version}\",session=\"full\"");
        assert_eq!(
            metric(&world, "portolan_downstream_tls_handshakes_total{", &labels).await,
            count
        );
    }
    let expiry = metric(
        &world,
        "portolan_downstream_tls_certificate_expiry_timestamp_seconds{",
        "name=\"shop.example\"",
    );
    assert!(expiry.await > 1_700_000_000);
}

#[tokio::test]
async fn an_oldest_version_of_1_3_ends_others() {
    let authority = Authority::new("Root");
    let world = setup(&authority.issue(&["shop.example"]), ", min_version: \"1.3\"").start();
    let old = authority.client_of(&[&rustls::version::TLS12], None);
    let error = old
        .get(world.proxy(), "shop.example", "shop.example")
        .await
        .expect_err("an alert");
    assert_eq!(alert(&error), Some(AlertDescription::ProtocolVersion), "{error}");
    until_failures(&world, "version", 1).await;
    authority
        .client()
        .get(world.proxy(), "shop.example", "shop.example")
        .await
        .expect("answered");
}

/// As OpenSSL 3 sends it with `-tls1_1`: without signature algorithms.
#[tokio::test]
async fn a_client_of_tls_1_1_is_counted_by_its_version() {
    let authority = Authority::new("Root");
    let world = setup(&authority.issue(&["shop.example"]), "").start();
    for version in [1, 2] {
        let mut hello = vec![3, version];
        hello.extend([7; 32]);
        // No session; two cipher suites; no compression; the groups and the point formats.
        hello.extend([0, 0, 4, 0xc0, 0x09, 0xc0, 0x13, 1, 0, 0, 14]);
        hello.extend([0, 10, 0, 4, 0, 2, 0, 29, 0, 11, 0, 2, 1, 0]);
        let length = u8::try_from(hello.len()).expect("short");
        let mut stream = TcpStream::connect(world.proxy()).await.expect("connected");
        let record = [&[22, 3, 1, 0, length + 4, 1, 0, 0, length][..], &hello].concat();
        stream.write_all(&record).await.expect("sent");
        let mut alert = Vec::new();
        stream.read_to_end(&mut alert).await.expect("an alert, and the end");
        assert_eq!(alert.first(), Some(&21), "{alert:?}");
        until_failures(&world, "version", u64::from(version)).await;
    }
}

#[tokio::test]
async fn protocols_are_agreed_upon_or_the_handshake_ends() {
    let authority = Authority::new("Root");
    let world = setup(&authority.issue(&["shop.example"]), "").start();
    for (offered, chosen) in [(&["spdy/3", "http/1.1"][..], Some(&b"http/1.1"[..])), (&[], None)] {
        let client = authority.client().offering(offered);
        let stream = client.connect(world.proxy(), "shop.example").await.expect("agreed");
        assert_eq!(stream.get_ref().1.alpn_protocol(), chosen);
    }
    let client = authority.client().offering(&["spdy/3"]);
    let error = client
        .connect(world.proxy(), "shop.example")
        .await
        .expect_err("nothing in common");
    assert_eq!(alert(&error), Some(AlertDescription::NoApplicationProtocol), "{error}");
    until_failures(&world, "alpn", 1).await;
}

#[tokio::test]
async fn certificates_are_chosen_by_name_and_misdirected_requests_told_so() {
    let authority = Authority::new("Root");
    let pairs = [&["shop.example", "www.shop.example"][..], &["*.wild.example"]].map(|names| authority.issue(names));
    let mut setup = Setup::regions(&["westeurope"]).listeners(
        "- address: 127.0.0.1:0\n  tls:\n    certificates:\n    - { certificate: 0.crt, private_key: 0.key }\n    \
         - { certificate: 1.crt, private_key: 1.key }\n",
    );
    for (index, (certificate, key)) in pairs.iter().enumerate() {
        setup = setup
            .file(&format!("{index}.crt"), certificate)
            .file(&format!("{index}.key"), key);
    }
    let world = setup.start();
    let [shop, wild] = pairs.each_ref().map(|(certificate, _)| der(certificate));
    let client = authority.client();
    for (name, host, certificate, status) in [
        ("shop.example", "shop.example", &shop, "200"),
        ("SHOP.example", "Shop.Example:443", &shop, "200"),
        // One certificate for both: browsers use one connection.
        ("shop.example", "www.shop.example", &shop, "200"),
        ("a.wild.example", "a.wild.example", &wild, "200"),
        ("a.wild.example", "b.wild.example", &wild, "200"),
        ("a.wild.example", "shop.example", &wild, "421"),
        ("shop.example", "a.wild.example", &shop, "421"),
        // Hosts that no certificate has get the first one.
        ("shop.example", "other.example", &shop, "200"),
    ] {
        let response = client.get(world.proxy(), name, host).await.expect("answered");
        assert_eq!(
            (&response.certificate, response.status()),
            (certificate, status),
            "{name} {host}"
        );
    }
    // Without a name there is no other certificate to have asked for.
    let nameless = client.clone().without_server_name();
    let response = nameless
        .get(world.proxy(), "shop.example", "a.wild.example")
        .await
        .expect("answered");
    assert_eq!((&response.certificate, response.status()), (&shop, "200"));
    // A wildcard is for one label.
    client
        .get(world.proxy(), "a.b.wild.example", "x")
        .await
        .expect_err("another certificate");
    assert_eq!(
        metric(&world, "portolan_rejected_requests_total{", "misdirected").await,
        2
    );
}

#[tokio::test]
async fn what_is_not_tls_is_answered_counted_and_named() {
    let authority = Authority::new("Root");
    let world = setup(&authority.issue(&["shop.example"]), "").start();
    for (sent, reason, answer) in [
        (
            &b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"[..],
            "plain_http",
            "HTTP/1.1 400 Bad Request\r\n",
        ),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", "proxy_header", ""),
        (b"\r\n\r\n\0\r\nQUIT\n\x21\x11", "proxy_header", ""),
        (b"\x80\x2e\x01\x03\x01", "not_tls", ""),
        (b"", "disconnected", ""),
        (b"\x16\x03\x01\x00\x05\x01\x00", "disconnected", ""),
    ] {
        let before = failures(&world, reason).await;
        let mut stream = TcpStream::connect(world.proxy()).await.expect("connected");
        stream.write_all(sent).await.expect("sent");
        if reason == "disconnected" {
            stream.shutdown().await.expect("closed");
        }
        let mut text = String::new();
        // A reset is an end, too.
        let _ = stream.read_to_string(&mut text).await;
        assert!(
            text.starts_with(answer) && text.is_empty() == answer.is_empty(),
            "{reason}: {text}"
        );
        while failures(&world, reason).await == before {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn a_replaced_pair_is_served_and_a_bad_one_is_not() {
    let authority = Authority::new("Root");
    let (first, second) = (authority.issue(&["shop.example"]), authority.issue(&["shop.example"]));
    let world = setup(&first, "").start();
    let client = authority.client();
    let served = async || {
        let response = client
            .get(world.proxy(), "shop.example", "shop.example")
            .await
            .expect("answered");
        (response.certificate, response.resumed)
    };
    assert_eq!(served().await, (der(&first.0), false));
    let expired = authority.issue_with(&["shop.example"], |params| {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    });
    let cut_off = (second.0[..second.0.len() - 60].to_owned(), second.1.clone());
    let mismatch = (second.0.clone(), authority.issue(&["shop.example"]).1);
    for (what, pair) in [("does not match", mismatch), ("cut off", cut_off), ("expired", expired)] {
        let rejected = rejections(&world).await;
        world.replace("tls.crt", &pair.0);
        world.replace("tls.key", &pair.1);
        while rejections(&world).await == rejected {
            tokio::task::yield_now().await;
        }
        let ready = world.admin(Request::get("/readyz")).await.text();
        assert!(ready.contains("listeners[0].tls"), "{what}: {ready}");
        assert_eq!(served().await.0, der(&first.0), "{what}");
    }
    world.replace("tls.crt", &second.0);
    world.replace("tls.key", &second.1);
    // Sessions go on under the new certificate, which a resumed handshake does not show.
    let fresh = async || {
        // Without a session.
        let client = authority.client();
        let response = client.get(world.proxy(), "shop.example", "shop.example").await;
        response.expect("answered").certificate
    };
    while fresh().await != der(&second.0) {
        tokio::task::yield_now().await;
    }
    assert!(served().await.1, "resumed");
}

#[tokio::test]
async fn a_certificate_near_its_end_needs_attention_until_it_is_replaced() {
    let authority = Authority::new("Root");
    let soon = authority.issue_with(&["shop.example"], |params| {
        params.not_after = (SystemTime::now() + Duration::from_secs(10 * 24 * 60 * 60)).into();
    });
    let world = setup(&soon, "").start();
    let attention = world.admin(Request::get("/api/v1/attention")).await.json();
    assert_eq!(attention["items"][0]["kind"], "certificate_expiring", "{attention}");
    assert_eq!(attention["items"][0]["subject"], "shop.example", "{attention}");
    let text = attention["items"][0]["text"].as_str().unwrap_or_default().to_owned();
    assert!(text.contains("expires in 9 days"), "{text}");
    let until = async |kind: &str| {
        let mut since = 0;
        let happened = async {
            loop {
                let path = format!("/api/v1/events?since={since}&wait=5s");
                let page = world.admin(Request::get(&path)).await.json();
                let events = page["events"].as_array().expect("a list");
                if let Some(found) = events.iter().find(|event| event["kind"] == kind) {
                    return found.clone();
                }
                since = page["latest"].as_u64().expect("a number");
            }
        };
        let happened = tokio::time::timeout(Duration::from_secs(20), happened).await;
        happened.unwrap_or_else(|_| panic!("no event {kind}"))
    };
    let expiring = until("certificate_expiring").await;
    assert_eq!(expiring["subject"], "shop.example", "{expiring}");
    world.replace("tls.crt", "no certificate");
    let rejected = until("tls_rejected").await;
    assert!(
        rejected["reason"].as_str().is_some_and(|it| it.contains("tls.crt")),
        "{rejected}"
    );
    let fresh = authority.issue(&["shop.example"]);
    world.replace("tls.crt", &fresh.0);
    world.replace("tls.key", &fresh.1);
    until("tls_accepted").await;
    let gone = async {
        loop {
            let attention = world.admin(Request::get("/api/v1/attention")).await.json();
            if attention["items"].as_array().is_some_and(Vec::is_empty) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    let gone = tokio::time::timeout(Duration::from_secs(20), gone).await;
    gone.expect("nothing needs attention any more");
}

async fn rejections(world: &World) -> u64 {
    metric(world, "portolan_tls_reloads_total{", "result=\"rejected\"").await
}

#[tokio::test]
async fn tickets_of_a_shared_key_resume_after_a_restart() {
    let authority = Authority::new("Root");
    for (keys, resumes) in [(", ticket_keys: tickets", true), ("", false)] {
        let world = setup(&authority.issue(&["shop.example"]), keys)
            .file("tickets", TICKET_KEY)
            .start();
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            let client = authority.client_of(&[version], None);
            let resumed = async |world: &World| {
                let response = client
                    .get(world.proxy(), "shop.example", "shop.example")
                    .await
                    .expect("answered");
                response.resumed
            };
            assert!(!resumed(&world).await);
            // Every worker knows the keys.
            for _ in 0..8 {
                assert!(resumed(&world).await, "{keys} {version:?}");
            }
        }
        let client = authority.client();
        client
            .get(world.proxy(), "shop.example", "shop.example")
            .await
            .expect("answered");
        let world = world.restart().expect("started again");
        let again = client
            .get(world.proxy(), "shop.example", "shop.example")
            .await
            .expect("answered");
        assert_eq!(again.resumed, resumes, "{keys}");
    }
}

#[tokio::test]
async fn client_certificates_are_required_optional_or_rejected() {
    let (authority, clients, others) = (
        Authority::new("Root"),
        Authority::new("Clients"),
        Authority::new("Others"),
    );
    let own = clients.issue_with(&["client.example"], |params| {
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, "Client \"1\"");
    });
    let foreign = others.issue(&["client.example"]);
    let versions = [&rustls::version::TLS12, &rustls::version::TLS13];
    for (word, without) in [("required", false), ("optional", true)] {
        let keys = format!(", client_ca: ca.pem, client_certificate: {word}, forward_client_certificate: true");
        let world = setup(&authority.issue(&["shop.example"]), &keys)
            .file("ca.pem", clients.pem())
            .start();
        for version in versions {
            let get = async |pair| {
                let client = authority.client_of(&[version], pair);
                client.get(world.proxy(), "shop.example", "shop.example").await
            };
            let response = get(Some(&own)).await.expect("answered");
            let expected = r#"Subject=\"CN=Client \\\\\\\"1\\\\\\\"\";DNS=\"client.example\""#;
            assert!(
                response.text.contains(expected) && !response.text.contains("By=me"),
                "{response:?}"
            );
            assert_eq!(get(None).await.is_ok(), without, "{word} {version:?}");
            get(Some(&foreign)).await.expect_err("an unknown issuer");
        }
        until_failures(&world, "client_certificate_missing", if without { 0 } else { 2 }).await;
        until_failures(&world, "client_certificate_invalid", 2).await;
    }
}

#[tokio::test]
async fn a_session_without_a_certificate_is_not_resumed_where_one_is_required() {
    let (authority, clients) = (Authority::new("Root"), Authority::new("Clients"));
    let pair = authority.issue(&["shop.example"]);
    let listener = |name: &str, more: &str| {
        format!(
            "- address: 127.0.0.1:0\n  name: {name}\n  tls: {{ certificate: tls.crt, private_key: tls.key{more} }}\n"
        )
    };
    let world = Setup::regions(&["westeurope"])
        .file("tls.crt", &pair.0)
        .file("tls.key", &pair.1)
        .file("ca.pem", clients.pem())
        .listeners(&(listener("open", "") + &listener("closed", ", client_ca: ca.pem")))
        .start();
    let [open, closed] = world.app().listeners()[..] else {
        panic!("two listeners")
    };
    let client = authority.client();
    client
        .get(open, "shop.example", "shop.example")
        .await
        .expect("answered");
    assert!(
        client
            .get(open, "shop.example", "shop.example")
            .await
            .expect("answered")
            .resumed
    );
    client
        .get(closed, "shop.example", "shop.example")
        .await
        .expect_err("a certificate is required");
}

#[tokio::test]
async fn a_plain_listener_redirects_to_https() {
    let world = Setup::regions(&["westeurope"])
        .listeners("- address: 127.0.0.1:0\n  redirect: https:8443\n")
        .start();
    let answer = world
        .send(Request::get("/a?b=c").header("host", "shop.example:8080"))
        .await;
    assert_eq!(answer.status, 308);
    assert_eq!(answer.headers["location"], "https://shop.example:8443/a?b=c");
}

#[tokio::test]
async fn an_idle_connection_is_ended_with_close_notify_in_a_drain() {
    let authority = Authority::new("Root");
    let world = setup(&authority.issue(&["shop.example"]), "").start();
    let mut stream = authority
        .client()
        .connect(world.proxy(), "shop.example")
        .await
        .expect("connected");
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: shop.example\r\n\r\n")
        .await
        .expect("sent");
    let mut bytes = [0; 4096];
    assert!(stream.read(&mut bytes).await.expect("a response") > 0);
    world.app().begin_drain();
    let mut rest = Vec::new();
    // Without close_notify this is an error.
    stream.read_to_end(&mut rest).await.expect("close_notify");
}

#[tokio::test]
async fn links_that_move_replace_both_files_at_once() {
    let authority = Authority::new("Root");
    let pairs = [authority.issue(&["shop.example"]), authority.issue(&["shop.example"])];
    let setup = Setup::regions(&["westeurope"])
        .listeners("- address: 127.0.0.1:0\n  name: secure\n  tls: { certificate: tls.crt, private_key: tls.key }\n");
    let folder = setup.folder().to_owned();
    for (index, (certificate, key)) in pairs.iter().enumerate() {
        let version = folder.join(format!("..{index}"));
        fs::create_dir(&version).expect("made");
        for (name, content) in [("tls.crt", certificate), ("tls.key", key)] {
            let mut file = fs::File::create(version.join(name)).expect("made");
            file.write_all(content.as_bytes()).expect("written");
        }
    }
    symlink("..0", folder.join("..data")).expect("linked");
    for name in ["tls.crt", "tls.key"] {
        symlink(format!("..data/{name}"), folder.join(name)).expect("linked");
    }
    let world = setup.start();
    let served = async || {
        let client = authority.client();
        let response = client
            .get(world.proxy(), "shop.example", "shop.example")
            .await
            .expect("answered");
        response.certificate
    };
    assert_eq!(served().await, der(&pairs[0].0));
    symlink("..1", folder.join("..next")).expect("linked");
    fs::rename(folder.join("..next"), folder.join("..data")).expect("renamed");
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while served().await != der(&pairs[1].0) {
        assert!(tokio::time::Instant::now() < deadline, "the new pair is not served");
    }
    assert_eq!(rejections(&world).await, 0);
}
