//! Several name servers, of which some fail.

use super::*;
use hickory_proto::rr::RecordType;
use portolan_tests::dns::Mode;

#[tokio::test]
async fn an_error_code_is_a_reason_to_ask_the_next_server() {
    for mode in [Mode::ServFail, Mode::Refused, Mode::NotImp, Mode::FormErr] {
        let (bad, good) = (NameServer::start(), NameServer::start());
        bad.mode(mode);
        good.set("gw.test", 60, &["192.0.2.1"]);
        good.delay(Duration::from_millis(20));
        for order in [[&bad, &good], [&good, &bad]] {
            let name = resolver(&order).watch("gw.test");
            // No time-out was waited for.
            within(Duration::from_millis(1500), name.settled()).await;
            assert_eq!(addresses(&name), ["192.0.2.1"], "{mode:?}");
        }
    }
}

#[tokio::test]
async fn a_server_that_does_not_listen_costs_no_time() {
    let silent = NameServer::start().address();
    let good = NameServer::start();
    good.set("gw.test", 60, &["192.0.2.1"]);
    let name = asking(&[silent, good.address()]).watch("gw.test");
    within(Duration::from_millis(1500), name.settled()).await;
    assert_eq!(addresses(&name), ["192.0.2.1"]);
}

#[tokio::test]
async fn a_silent_server_is_passed_over_and_asked_last_from_then_on() {
    let (silent, good) = two_servers();
    silent.mode(Mode::Drop);
    good.set("gw.test", 60, &["192.0.2.1"]);
    let system = System::new(silent.address().port());
    system.write(
        "resolv.conf",
        "nameserver 127.0.0.1\nnameserver 127.0.0.2\noptions timeout:1\n",
    );
    let resolver = system.resolver();
    let name = resolver.watch("gw.test");
    assert_eq!(first(&name).await, ["192.0.2.1"]);
    good.wait_for("gw.test", 2).await;
    let asked = silent.count("gw.test");
    assert_eq!(asked, 2, "once for each family");
    for round in 2..5 {
        resolver.refresh();
        let enough = || good.count("gw.test") >= 2 * round;
        until_so("both families are looked up again", enough).await;
    }
    assert_eq!(silent.count("gw.test"), asked);
}

#[tokio::test]
async fn the_first_server_decides_what_exists() {
    let (internal, public) = (NameServer::start(), NameServer::start());
    internal.set("gw.corp", 60, &["192.0.2.1"]);
    internal.delay(Duration::from_millis(100));
    let name = resolver(&[&internal, &public]).watch("gw.corp");
    assert_eq!(first(&name).await, ["192.0.2.1"]);
    assert_eq!(public.count("gw.corp"), 0);
    // The other way round, the public one is believed.
    let name = resolver(&[&public, &internal]).watch("gw.corp");
    assert_eq!(first(&name).await, [""; 0]);
}

#[tokio::test]
async fn a_server_that_knows_less_takes_no_addresses_away_while_the_first_one_fails() {
    let (internal, public) = (NameServer::start(), NameServer::start());
    internal.set("gw.corp", 300, &["192.0.2.1"]);
    let resolver = resolver(&[&internal, &public]);
    let name = resolver.watch("gw.corp");
    assert_eq!(first(&name).await, ["192.0.2.1"]);
    internal.mode(Mode::ServFail);
    resolver.refresh();
    until_so("the look-up fails", || errors(&name).contains(&"nxdomain")).await;
    let status = name.status(std::time::Instant::now());
    assert_eq!(status[0].lookups, [1, 0, 1], "a failure, not an absence");
    assert_eq!(addresses(&name), ["192.0.2.1"]);
}

#[tokio::test]
async fn what_does_not_fit_comes_over_tcp() {
    let server = NameServer::start();
    let many: Vec<_> = (1..=200).map(|last| format!("192.0.2.{last}")).collect();
    server.set("many.test", 60, &many.iter().map(String::as_str).collect::<Vec<_>>());
    server.set("gw.test", 60, &["192.0.2.1"]);
    server.mode_of("gw.test", RecordType::A, Mode::Truncated);
    let resolver = resolver(&[&server]);
    assert_eq!(first(&resolver.watch("many.test")).await, many);
    assert_eq!(first(&resolver.watch("gw.test")).await, ["192.0.2.1"]);
    let over_tcp = |query: &&portolan_tests::dns::Query| query.tcp;
    assert_eq!(server.queries().iter().filter(over_tcp).count(), 2);
}

#[tokio::test]
async fn a_server_without_tcp_is_passed_over_for_what_does_not_fit() {
    let (deaf, good) = (NameServer::start(), NameServer::start());
    for server in [&deaf, &good] {
        server.set("gw.test", 60, &["192.0.2.1"]);
        server.mode_of("gw.test", RecordType::A, Mode::Truncated);
    }
    deaf.tcp_mode(Mode::ServFail);
    let name = resolver(&[&deaf, &good]).watch("gw.test");
    assert_eq!(first(&name).await, ["192.0.2.1"]);
}

#[tokio::test]
async fn aliases_are_followed_by_the_server_or_by_us() {
    let server = NameServer::start();
    server.set("end.test", 60, &["192.0.2.1"]);
    server.alias("chased.test", 60, "end.test", true);
    server.alias("left.test", 60, "end.test", false);
    server.alias("circle.test", 60, "circle.test", false);
    let resolver = resolver(&[&server]);
    for name in ["chased.test", "left.test"] {
        assert_eq!(first(&resolver.watch(name)).await, ["192.0.2.1"], "{name}");
    }
    let circle = resolver.watch("circle.test");
    assert_eq!(first(&circle).await, [""; 0]);
    assert_eq!(errors(&circle), ["aliases", "aliases"]);
}
