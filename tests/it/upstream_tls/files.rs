//! Certificate authorities and client certificates are replaced while requests run.

use super::authority::{Authority, Valid};
use super::gateway::{Clients, TlsGateway, config};
use super::{GET, SERVICE, WEST, ask, errors, one, setup};
use portolan::control::status::Kind;
use portolan::vitals::UpstreamError;
use portolan_tests::Request;

/// Whether requests are answered, on connections opened by now.
fn is_served(world: &portolan_tests::World) -> bool {
    ask(world, GET).status() == 200
}

#[tokio::test]
async fn another_authority_holds_for_the_next_request() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let gateway = TlsGateway::start(&old.server(&["127.0.0.1"]));
    let world = one(&gateway, &old);
    assert!(is_served(&world));
    let accepted = || world.app().status().of(Kind::UpstreamTls).accepted;
    assert_eq!(accepted(), 0);

    // The open connection is one that the old authority vouched for.
    world.replace("ca.pem", new.pem());
    world.poll("it is loaded", || accepted() == 1).await;
    world.poll("requests need the new one", || !is_served(&world)).await;
    assert!(errors(&world, UpstreamError::TlsUnknownIssuer) > 0);

    gateway.reconfigure(config(&new.server(&["127.0.0.1"]), Clients::Any, None));
    assert!(is_served(&world));
    // Both, as in the time of a change.
    world.replace("ca.pem", format!("{}{}", old.pem(), new.pem()));
    world.poll("both are loaded", || accepted() == 2).await;
    gateway.reconfigure(config(&old.server(&["127.0.0.1"]), Clients::Any, None));
    assert!(is_served(&world));
}

#[tokio::test]
async fn bad_files_are_rejected_and_what_was_active_stays() {
    let authority = Authority::new("root");
    let gateway = TlsGateway::start(&authority.server(&["127.0.0.1"]));
    let world = one(&gateway, &authority);
    let cut = &authority.pem()[..authority.pem().len() / 2];
    for (count, (bad, why)) in (1..).zip([("", "empty"), (cut, "cut off"), ("not PEM", "BEGIN")]) {
        world.replace("ca.pem", bad);
        world.until_rejections(Kind::UpstreamTls, count).await;
        let ready = world.admin(Request::get("/readyz")).await.text();
        assert!(
            ready.contains("services.shop.upstream.tls.ca") && ready.contains("ca.pem") && ready.contains(why),
            "{ready}"
        );
        assert!(is_served(&world));
    }
    world.replace("ca.pem", authority.pem());
    world.until_no_error(Kind::UpstreamTls).await;
    assert!(is_served(&world));
    // The same as before: its connections stay.
    assert_eq!(gateway.seen().handshakes.iter().filter(|it| !it.is_resumed).count(), 1);
}

#[tokio::test]
async fn client_certificates_are_replaced_as_pairs() {
    let (authority, other) = (Authority::new("root"), Authority::new("other"));
    let identity = authority.server(&["127.0.0.1"]);
    let gateway = TlsGateway::start_with(config(&identity, Clients::Of(&authority), None));
    let service = SERVICE.replace(
        "ca.pem",
        "ca.pem, client_certificate: client.pem, client_private_key: client.key",
    );
    let (first, second) = (other.client("edge"), authority.client("edge"));
    let setup = setup(&authority, &service).file("client.pem", &first.chain_pem);
    let setup = setup
        .file("client.key", &first.key_pem)
        .gateway(WEST, gateway.url("127.0.0.1"));
    let world = setup.start();
    assert!(!is_served(&world));
    assert!(
        errors(&world, UpstreamError::TlsClientCertificate) > 0,
        "{:?}",
        world.vitals(WEST).errors()
    );
    // A key without its certificate.
    world.replace("client.key", &second.key_pem);
    world.until_rejected(Kind::UpstreamTls).await;
    world.replace("client.pem", &second.chain_pem);
    world.until_no_error(Kind::UpstreamTls).await;
    world.poll("it is used", || is_served(&world)).await;

    let expired = authority.client_valid("edge", Valid::Before);
    let rejected = world.app().status().of(Kind::UpstreamTls).rejected;
    world.replace("client.pem", &expired.chain_pem);
    world.replace("client.key", &expired.key_pem);
    world.until_rejections(Kind::UpstreamTls, rejected + 1).await;
    let ready = world.admin(Request::get("/readyz")).await.text();
    assert!(ready.contains("client_certificate"), "{ready}");
    assert!(is_served(&world));
}

/// A reload of everything keeps the connections of gateways that nothing has changed for.
#[tokio::test]
async fn a_reload_keeps_connections() {
    let authority = Authority::new("root");
    let gateway = TlsGateway::start(&authority.server(&["127.0.0.1"]));
    let world = one(&gateway, &authority);
    let mut client = portolan_tests::raw::Wire::open(world.proxy());
    let mut ask = || {
        client.write(GET);
        client.response("GET").expect("an answer").status()
    };
    assert_eq!(ask(), 200);
    let accepted = || world.app().status().of(Kind::Config).accepted;
    let before = accepted();
    world.app().reload();
    world.poll("it is reloaded", || accepted() > before).await;
    assert_eq!(ask(), 200);
    assert_eq!(gateway.seen().handshakes.len(), 1);
}

/// With a state directory, a start after a bad change uses what was good. The private key is not copied there.
#[tokio::test]
async fn what_was_good_is_there_after_a_restart() {
    let authority = Authority::new("root");
    let identity = authority.server(&["127.0.0.1"]);
    let gateway = TlsGateway::start_with(config(&identity, Clients::Of(&authority), None));
    let client = authority.client("edge");
    let service = SERVICE.replace(
        "ca.pem",
        "ca.pem, client_certificate: client.pem, client_private_key: client.key",
    );
    let setup = setup(&authority, &service).file("client.pem", &client.chain_pem);
    let setup = setup
        .file("client.key", &client.key_pem)
        .gateway(WEST, gateway.url("127.0.0.1"));
    let world = setup.keeping().start();
    world.until_kept(1).await;
    world.replace("ca.pem", "");
    let world = world.restart().expect("what was good is used");
    assert!(is_served(&world));
    assert!(world.app().status().of(Kind::UpstreamTls).restored.is_some());
    for entry in std::fs::read_dir(world.folder().join("state")).expect("a folder") {
        let path = entry.expect("an entry").path();
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(!text.contains("PRIVATE KEY"), "{}", path.display());
    }
}
