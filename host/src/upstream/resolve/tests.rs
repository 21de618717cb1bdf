//! Names whose answers never come, or come once.

use super::*;
use std::net::Ipv4Addr;

/// Knows no server.
fn resolver() -> Resolver {
    let nobody = ResolverConfig::from_parts(None, Vec::new(), Vec::new());
    Resolver::new(nobody, ResolverOpts::default(), Handle::current())
}

#[tokio::test(start_paused = true)]
async fn the_last_good_answer_stays() {
    let name = resolver().watch("gateway.invalid");
    name.settled().await;
    assert!(name.current().is_empty());
    let good = vec![IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))];
    name.publish(good.clone());
    let mut looks = name.settled.subscribe();
    for _ in 0..3 {
        looks.changed().await.expect("it is looked up again");
        assert_eq!(*name.current(), good);
    }
}

#[tokio::test]
async fn a_name_is_watched_once_for_as_long_as_somebody_holds_it() {
    let resolver = resolver();
    let first = resolver.watch("gateway.invalid");
    assert!(Arc::ptr_eq(&first, &resolver.watch("gateway.invalid")));
    let other = resolver.watch("other.invalid");
    assert!(!Arc::ptr_eq(&first, &other));
    drop(first);
    resolver.watch("third.invalid");
    let names = resolver.names.lock().unwrap_or_else(PoisonError::into_inner);
    assert!(!names.contains_key("gateway.invalid") && names.contains_key("other.invalid"));
}

#[tokio::test]
async fn an_address_needs_no_looking_up() {
    let address = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    assert_eq!(resolver().addresses(&GatewayHost::Ip(address)).await, [address]);
}
