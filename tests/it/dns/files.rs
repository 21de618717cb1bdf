//! The system's files: absent, changed, half readable.

use super::*;

#[tokio::test]
async fn a_resolv_conf_that_comes_later_is_used() {
    let server = NameServer::at(([127, 0, 0, 2], 0).into());
    server.set("gw.test", 60, &["192.0.2.1"]);
    let system = System::new(server.address().port());
    let name = system.resolver().watch("gw.test");
    assert_eq!(first(&name).await, [""; 0], "there is no server at 127.0.0.1");
    system.write("resolv.conf", "nameserver 127.0.0.2\n");
    until(&name, &["192.0.2.1"]).await;
}

#[tokio::test]
async fn a_changed_resolv_conf_is_used_while_answers_are_good() {
    let (old, new) = two_servers();
    old.set("gw.test", 300, &["192.0.2.1"]);
    new.set("gw.test", 300, &["192.0.2.2"]);
    let system = System::new(old.address().port());
    system.write("resolv.conf", "nameserver 127.0.0.1\n");
    let name = system.resolver().watch("gw.test");
    until(&name, &["192.0.2.1"]).await;
    system.write("new", "nameserver 127.0.0.2\nsearch a..b\n");
    std::fs::rename(system.path().join("new"), system.path().join("resolv.conf")).expect("renamed");
    until(&name, &["192.0.2.2"]).await;
    // Once for each family. The second question may come after the first answer.
    assert!(old.queries().len() <= 2, "{:?}", old.queries());
}

#[tokio::test]
async fn what_cannot_be_read_does_not_spoil_the_rest() {
    let server = NameServer::start();
    server.set("gw.test", 60, &["192.0.2.1"]);
    let system = System::new(server.address().port());
    let text = "nameserver nowhere\nnameserver 127.0.0.1\nsearch a..b\noptions ndots:x whatever\nnonsense\n";
    system.write("resolv.conf", text);
    assert_eq!(first(&system.resolver().watch("gw.test")).await, ["192.0.2.1"]);
}

#[tokio::test]
async fn the_hosts_file_hides_dns_for_both_families_and_its_changes_count() {
    let server = NameServer::start();
    server.set("gw.test", 300, &["192.0.2.1", "2001:db8::1"]);
    let system = System::new(server.address().port());
    system.write("resolv.conf", "nameserver 127.0.0.1\n");
    system.write("hosts", "192.0.2.7 gw.test\n");
    let name = system.resolver().watch("gw.test");
    assert_eq!(first(&name).await, ["192.0.2.7"]);
    assert_eq!(server.count("gw.test"), 0);
    system.write("hosts", "192.0.2.8 gw.test\n::1 gw.test\n");
    until(&name, &["192.0.2.8", "::1"]).await;
    assert_eq!(server.count("gw.test"), 0);
    system.write("hosts", "");
    until(&name, &["192.0.2.1", "2001:db8::1"]).await;
}
