use super::*;
use portolan_core::config::{Failover, Gateway, GatewayAddress, ServiceParts};
use portolan_core::geo::Point;
use std::path::Path;
use std::time::Duration;

const FIRST: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
const SECOND: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

fn keys(lines: &str) -> Arc<AffinityKeys> {
    AffinityKeys::parse(Path::new("keys"), lines.as_bytes()).expect("keys")
}

fn service(name: &str, regions: &[&str], by: AffinityBy) -> Service {
    let gateways = regions.iter().map(|region| {
        Gateway::new(
            (*region).into(),
            Point::new(0.0, 0.0).expect("on the globe"),
            GatewayAddress::http(*region, 80),
        )
    });
    let mut parts = ServiceParts::new(name, gateways.collect());
    parts.affinity = Some(Affinity {
        by,
        failover: Failover::Temporary,
        when: Default::default(),
    });
    Service::new(parts).expect("a service")
}

fn by_cookie(max_age: Option<Duration>) -> AffinityBy {
    AffinityBy::Cookie(AffinityCookie {
        name: "session-region".into(),
        path: "/".into(),
        max_age,
    })
}

fn affinity(name: &str, regions: &[&str], lines: &str) -> ServiceAffinity {
    let service = service(name, regions, by_cookie(None));
    ServiceAffinity::new(&service, &keys(lines)).expect("it has affinity")
}

fn with_cookies(values: &[&str]) -> HeaderMap {
    let values = values
        .iter()
        .map(|value| (COOKIE, HeaderValue::from_str(value).expect("a value")));
    values.collect()
}

/// The cookie without its attributes, as a client returns it.
fn given(affinity: &ServiceAffinity, id: u64, slot: u8) -> String {
    let cookie = affinity
        .cookie(Session::New { id }, Slot(slot), true)
        .expect("a cookie");
    let text = cookie.to_str().expect("text");
    text.split_once(';').expect("attributes").0.to_owned()
}

#[test]
fn a_cookie_leads_back_to_its_region() {
    let affinity = affinity("shop", &["westeurope", "eastus2"], FIRST);
    let cookie = given(&affinity, 7, 1);
    let session = |values: &[&str]| affinity.session(&with_cookies(values), 99);
    let bound = Some(Session::Bound { id: 7, slot: Slot(1) });
    assert_eq!(session(&[&cookie]), bound);
    // Among others, in a field of its own as HTTP/2 clients send them, and quoted.
    assert_eq!(session(&[&format!("a=b;{cookie}; c=d")]), bound);
    assert_eq!(session(&["a=b", &cookie]), bound);
    let (name, value) = cookie.split_once('=').expect("a value");
    assert_eq!(session(&[&format!("{name}=\"{value}\"")]), bound);
    // One of another path comes first, and is not ours.
    assert_eq!(
        session(&[&format!("{name}={}; {cookie}", "A".repeat(value.len()))]),
        bound
    );
    for none in [
        "",
        "a=b",
        &cookie[..cookie.len() - 1],
        &format!("x{cookie}"),
        &cookie.to_uppercase(),
    ] {
        assert_eq!(session(&[none]), Some(Session::New { id: 99 }), "{none}");
    }
}

#[test]
fn only_what_was_signed_counts() {
    let regions = ["westeurope", "eastus2"];
    let ours = affinity("shop", &regions, FIRST);
    let cookie = given(&ours, 7, 1);
    let session = |affinity: &ServiceAffinity, cookie: &str| {
        let session = affinity.session(&with_cookies(&[cookie]), 99);
        matches!(session, Some(Session::Bound { id: 7, .. }))
    };
    assert!(session(&ours, &cookie));
    // Another service, another key, a region that is gone.
    assert!(!session(&affinity("cart", &regions, FIRST), &cookie));
    assert!(!session(&affinity("shop", &regions, SECOND), &cookie));
    assert!(!session(&affinity("shop", &["westeurope"], FIRST), &cookie));
    // Regions in another order, and a key that only verifies.
    let next = affinity("shop", &["eastus2", "westeurope"], &format!("{SECOND}\n{FIRST}"));
    let bound = Some(Session::Bound { id: 7, slot: Slot(0) });
    assert_eq!(next.session(&with_cookies(&[&cookie]), 99), bound);
    // Every character counts.
    let (name, value) = cookie.split_once('=').expect("a value");
    for at in 0..value.len() - 1 {
        let mut changed = value.as_bytes().to_vec();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).expect("text");
        assert!(!session(&ours, &format!("{name}={changed}")), "{at}");
    }
}

#[test]
fn a_cookie_is_for_this_site_alone() {
    let service = service("shop", &["westeurope"], by_cookie(Some(Duration::from_secs(3600))));
    let affinity = ServiceAffinity::new(&service, &AffinityKeys::random()).expect("it has affinity");
    let cookie = |is_secure| {
        let cookie = affinity
            .cookie(Session::New { id: 1 }, Slot(0), is_secure)
            .expect("a cookie");
        cookie
            .to_str()
            .expect("text")
            .split_once(';')
            .expect("attributes")
            .1
            .to_owned()
    };
    assert_eq!(cookie(false), " Path=/; Max-Age=3600; HttpOnly; SameSite=Lax");
    assert_eq!(cookie(true), " Path=/; Max-Age=3600; HttpOnly; SameSite=Lax; Secure");
    assert_eq!(
        affinity.cookie(Session::New { id: 1 }, Slot(1), true),
        None,
        "there is no such region"
    );
}

#[test]
fn a_field_is_hashed_and_its_absence_is_no_session() {
    let service = service(
        "shop",
        &["westeurope"],
        AffinityBy::Header(http::HeaderName::from_static("x-tenant-id")),
    );
    let affinity = ServiceAffinity::new(&service, &AffinityKeys::random()).expect("it has affinity");
    let fields = |value: &str| {
        HeaderMap::from_iter([(
            http::HeaderName::from_static("x-tenant-id"),
            HeaderValue::from_str(value).expect("a value"),
        )])
    };
    assert_eq!(affinity.session(&HeaderMap::new(), 1), None);
    let one = affinity.session(&fields("acme"), 1);
    assert_eq!(one, Some(Session::Hashed(hash(b"acme"))));
    assert_ne!(one, affinity.session(&fields("acme2"), 1));
    assert_eq!(affinity.cookie(one.expect("a session"), Slot(0), true), None);
}
