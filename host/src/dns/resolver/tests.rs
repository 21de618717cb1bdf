//! Names as they are watched. (What name servers say is tried over sockets, in the integration tests.)

use super::*;
use std::net::Ipv4Addr;

/// Knows no server.
fn resolver() -> Resolver {
    let sources = Sources {
        servers: Some(Arc::new([])),
        ..Sources::default()
    };
    Resolver::new(sources, Handle::current())
}

#[tokio::test(start_paused = true)]
async fn a_name_without_servers_settles_without_addresses() {
    let name = resolver().watch("gateway.example");
    name.settled().await;
    assert!(name.current().is_empty());
    let problems = name.status(Instant::now().into_std()).map(|status| status.problem);
    assert!(
        problems
            .iter()
            .flatten()
            .all(|problem| problem.text.contains("no name servers")),
        "{problems:?}"
    );
}

#[tokio::test]
async fn a_name_is_watched_once_for_as_long_as_somebody_holds_it() {
    let resolver = resolver();
    let first = resolver.watch("gateway.invalid");
    assert!(Arc::ptr_eq(&first, &resolver.watch("gateway.invalid")));
    let other = resolver.watch("other.invalid");
    assert!(!Arc::ptr_eq(&first, &other));
    assert!(!Arc::ptr_eq(&first, &resolver.watch("gateway.invalid.")), "as written");
    drop(first);
    resolver.watch("third.invalid");
    let names = lock(&resolver.names);
    assert!(!names.contains_key("gateway.invalid") && names.contains_key("other.invalid"));
}

#[tokio::test(start_paused = true)]
async fn its_task_ends_with_a_name() {
    let resolver = resolver();
    let name = resolver.watch("localhost");
    name.settled().await;
    let tasks = Arc::strong_count(&resolver.shared);
    drop(name);
    while Arc::strong_count(&resolver.shared) >= tasks {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_address_needs_no_looking_up() {
    let address = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    assert_eq!(resolver().addresses(&GatewayHost::Ip(address)).await, [address]);
}

#[tokio::test]
async fn localhost_is_this_machine_and_invalid_is_nowhere() {
    let resolver = resolver();
    for name in ["localhost", "a.localhost.", "LOCALHOST"] {
        let name = resolver.watch(name);
        name.settled().await;
        assert!(name.current().contains(&Ipv4Addr::LOCALHOST.into()), "{name:?}");
    }
    let name = resolver.watch("gateway.invalid");
    name.settled().await;
    assert!(name.current().is_empty());
}
