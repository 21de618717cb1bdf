//! IPv4 and IPv6 are looked up each for itself.

use super::*;
use hickory_proto::rr::RecordType;
use portolan_tests::dns::Mode;

#[tokio::test]
async fn a_family_that_fails_keeps_its_addresses() {
    for mode in [Mode::ServFail, Mode::Refused] {
        let server = NameServer::start();
        server.set("gw.test", 300, &["192.0.2.1", "2001:db8::1"]);
        let resolver = resolver(&[&server]);
        let name = resolver.watch("gw.test");
        until(&name, &["192.0.2.1", "2001:db8::1"]).await;
        server.mode_of("gw.test", RecordType::A, mode);
        resolver.refresh();
        until_so("the look-up fails", || errors(&name).len() == 1).await;
        let [v4, v6] = name.status(std::time::Instant::now());
        assert_eq!((v4.lookups[0], v6.problem), (1, None));
        assert_eq!(addresses(&name), ["192.0.2.1", "2001:db8::1"], "{mode:?}");
        // It is asked again soon, whatever the TTL of the other one.
        server.set("gw.test", 300, &["192.0.2.2", "2001:db8::1"]);
        until(&name, &["192.0.2.2", "2001:db8::1"]).await;
        assert_eq!(errors(&name), [""; 0]);
    }
}

#[tokio::test]
async fn a_good_answer_does_not_wait_for_one_that_is_lost() {
    let server = NameServer::start();
    server.set("gw.test", 1, &["192.0.2.1"]);
    server.mode_of("gw.test", RecordType::AAAA, Mode::Drop);
    let name = resolver(&[&server]).watch("gw.test");
    within(Duration::from_millis(1500), name.settled()).await;
    assert_eq!(addresses(&name), ["192.0.2.1"]);
    // Nor is a change waited for.
    server.set("gw.test", 60, &["192.0.2.2"]);
    server.mode_of("gw.test", RecordType::AAAA, Mode::Drop);
    within(Duration::from_secs(4), until(&name, &["192.0.2.2"])).await;
}

#[tokio::test]
async fn the_other_family_is_used_as_soon_as_it_is_there() {
    let server = NameServer::start();
    server.set("gw.test", 300, &["192.0.2.1", "2001:db8::1"]);
    server.mode_of("gw.test", RecordType::AAAA, Mode::ServFail);
    let name = resolver(&[&server]).watch("gw.test");
    assert_eq!(first(&name).await, ["192.0.2.1"]);
    server.set("gw.test", 300, &["192.0.2.1", "2001:db8::1"]);
    until(&name, &["192.0.2.1", "2001:db8::1"]).await;
}

/// Whatever this machine has: IPv6 of the documentation's network leads nowhere in one case, and in the other.
#[tokio::test]
async fn a_family_without_a_route_is_not_used() {
    let server = NameServer::start();
    server.set("gw.test", 300, &["127.0.0.1", "2001:db8::1"]);
    let sources = || Sources {
        servers: Some([server.address()].into()),
        ..Sources::default()
    };
    let only_v4 = Resolver::with_routes(sources(), Handle::current(), |address| address.is_ipv4());
    let name = only_v4.watch("gw.test");
    server.wait_for("gw.test", 2).await;
    until_so("both are known", || {
        name.status(std::time::Instant::now())[1].age.is_some()
    })
    .await;
    until(&name, &["127.0.0.1"]).await;
    let [_, v6] = name.status(std::time::Instant::now());
    assert_eq!(v6.without_route, v6.addresses);

    // As the system has it: connecting over TCP is the judge.
    let has_route = !std::net::TcpStream::connect_timeout(
        &"[2001:db8::1]:9".parse().expect("an address"),
        Duration::from_millis(10),
    )
    .is_err_and(|error| {
        use std::io::ErrorKind;
        matches!(
            error.kind(),
            ErrorKind::NetworkUnreachable | ErrorKind::HostUnreachable | ErrorKind::AddrNotAvailable
        )
    });
    let name = Resolver::new(sources(), Handle::current()).watch("gw.test");
    until_so("both are known", || {
        name.status(std::time::Instant::now())[1].age.is_some()
    })
    .await;
    match has_route {
        true => until(&name, &["127.0.0.1", "2001:db8::1"]).await,
        false => until(&name, &["127.0.0.1"]).await,
    }
}

#[tokio::test]
async fn addresses_without_a_route_are_better_than_none() {
    let server = NameServer::start();
    server.set("gw.test", 300, &["192.0.2.1"]);
    let sources = Sources {
        servers: Some([server.address()].into()),
        ..Sources::default()
    };
    let name = Resolver::with_routes(sources, Handle::current(), |_| false).watch("gw.test");
    assert_eq!(first(&name).await, ["192.0.2.1"]);
}

#[tokio::test]
async fn the_order_of_addresses_is_no_change() {
    let server = NameServer::start();
    server.set("gw.test", 300, &["192.0.2.1", "192.0.2.2", "192.0.2.3"]);
    server.rotate("gw.test");
    let resolver = resolver(&[&server]);
    let name = resolver.watch("gw.test");
    let before = first(&name).await;
    let published = name.current();
    for round in 1..6 {
        resolver.refresh();
        let answered = || name.status(std::time::Instant::now())[0].lookups[0] > round;
        until_so("it is looked up again", answered).await;
        assert!(std::sync::Arc::ptr_eq(&published, &name.current()), "{before:?}");
    }
    // One less is a change.
    server.set("gw.test", 300, &["192.0.2.1", "192.0.2.2"]);
    resolver.refresh();
    until(&name, &["192.0.2.1", "192.0.2.2"]).await;
}
