//! The search list: whom a name may turn out to be.

use super::*;
use portolan_tests::dns::Mode;

/// A system with this resolv.conf beside its only server.
fn system(server: &NameServer, more: &str) -> System {
    let system = System::new(server.address().port());
    system.write("resolv.conf", &format!("nameserver 127.0.0.1\n{more}\n"));
    system
}

#[tokio::test]
async fn a_failure_does_not_lead_to_a_stranger() {
    let server = NameServer::start();
    server.set("gw.test.corp.example", 60, &["192.0.2.9"]);
    server.set("gw.test", 300, &["192.0.2.1"]);
    let system = system(&server, "search corp.example");
    let resolver = system.resolver();
    let name = resolver.watch("gw.test");
    until(&name, &["192.0.2.1"]).await;
    server.mode_of("gw.test", hickory_proto::rr::RecordType::A, Mode::ServFail);
    resolver.refresh();
    until_so("the look-up fails", || errors(&name).contains(&"servfail")).await;
    assert_eq!(addresses(&name), ["192.0.2.1"]);
    assert_eq!(server.count("gw.test.corp.example"), 0);

    // The same at the first look-up.
    let name = system.resolver().watch("gw.test");
    assert_eq!(first(&name).await, [""; 0]);
    assert_eq!(server.count("gw.test.corp.example"), 0);
}

#[tokio::test]
async fn a_no_leads_to_the_search_list() {
    let server = NameServer::start();
    server.set("gw.corp.example", 60, &["192.0.2.1", "2001:db8::1"]);
    let system = system(&server, "search a..b other.example corp.example");
    let name = system.resolver().watch("gw");
    until(&name, &["192.0.2.1", "2001:db8::1"]).await;
    assert_eq!(
        (server.count("gw"), server.count("gw.other.example")),
        (0, 2),
        "found before the name as written"
    );
}

#[tokio::test]
async fn a_name_with_enough_dots_is_asked_for_as_written_first() {
    let server = NameServer::start();
    server.set("gw.test", 60, &["192.0.2.1"]);
    let one = system(&server, "search corp.example\noptions ndots:1");
    let resolver = one.resolver();
    until(&resolver.watch("gw.test"), &["192.0.2.1"]).await;
    assert_eq!(server.count("gw.test.corp.example"), 0);
    // As every pod of Kubernetes has it.
    let five = system(&server, "search corp.example\noptions ndots:5");
    let resolver = five.resolver();
    until(&resolver.watch("gw.test"), &["192.0.2.1"]).await;
    server.wait_for("gw.test.corp.example", 2).await;
}

#[tokio::test]
async fn a_final_dot_means_as_written() {
    let server = NameServer::start();
    server.set("gw.test.corp.example", 60, &["192.0.2.9"]);
    let system = system(&server, "search corp.example\noptions ndots:5");
    let name = system.resolver().watch("gw.test.");
    assert_eq!(first(&name).await, [""; 0]);
    assert_eq!(server.count("gw.test.corp.example"), 0);
    server.set("gw.test", 60, &["192.0.2.1"]);
    until(&name, &["192.0.2.1"]).await;
    assert_eq!(server.count("gw.test.corp.example"), 0);
}

#[tokio::test]
async fn a_name_without_ipv6_is_not_looked_for_elsewhere() {
    let server = NameServer::start();
    server.set("gw.test", 60, &["192.0.2.1"]);
    server.set("gw.test.corp.example", 60, &["2001:db8::9"]);
    let system = system(&server, "search corp.example");
    let name = system.resolver().watch("gw.test");
    until_so("both families are looked up", || {
        name.status(std::time::Instant::now())[1].lookups[1] > 0
    })
    .await;
    assert_eq!(addresses(&name), ["192.0.2.1"]);
    assert_eq!(server.count("gw.test.corp.example"), 0);
}
