use super::*;
use portolan_core::config::{GatewayAddress, Service, ServiceParts};

fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, last], 80))
}

fn endpoints(last: &[u8]) -> Endpoints {
    let key = GatewayKey {
        service: "shop".into(),
        region: "westeurope".into(),
        address: GatewayAddress::http("gw.test", 80),
    };
    let endpoints = Endpoints::new(key, 1);
    let gateway = portolan_core::config::Gateway::new(
        "westeurope".into(),
        portolan_core::geo::Point::new(0.0, 0.0).expect("on the globe"),
        endpoints.key.address.clone(),
    );
    let service = Service::new(ServiceParts::new("shop", vec![gateway])).expect("a service");
    endpoints.judge_by(EndpointLimits::of(&service));
    set(&endpoints, last);
    endpoints
}

fn set(endpoints: &Endpoints, last: &[u8]) {
    endpoints.set(&last.iter().copied().map(address).collect::<Vec<_>>());
}

/// The last part of each candidate's address.
fn order(endpoints: &Endpoints, turn: usize, now: Instant) -> Vec<u8> {
    let candidates = endpoints.candidates(turn, now);
    let last = |it: &Arc<Endpoint>| match it.address().ip() {
        std::net::IpAddr::V4(ip) => ip.octets()[3],
        std::net::IpAddr::V6(_) => 0,
    };
    candidates.iter().map(last).collect()
}

#[test]
fn the_least_loaded_comes_first_and_equals_take_turns() {
    let now = Instant::now();
    let endpoints = endpoints(&[1, 2, 3]);
    let firsts: Vec<_> = (0..4).map(|turn| order(&endpoints, turn, now)[0]).collect();
    assert_eq!(firsts, [1, 2, 3, 1]);
    let all = endpoints.candidates(0, now);
    all[0].opened(0);
    all[1].opened(0);
    assert_eq!(order(&endpoints, 0, now), [3, 1, 2]);
    all[1].closed(0);
    assert_eq!(order(&endpoints, 0, now), [2, 3, 1]);
}

#[test]
fn one_that_does_not_connect_comes_last_until_its_time_is_over() {
    let now = Instant::now();
    let endpoints = endpoints(&[1, 2]);
    let first = Arc::clone(&endpoints.candidates(0, now)[0]);
    endpoints.failed(first.id(), EndpointFailure::Connect, now);
    assert!(!first.is_in() && endpoints.ejections() == 1);
    assert_eq!(order(&endpoints, 0, now), [2, 1]);
    let later = now + Duration::from_secs(1);
    assert_eq!(order(&endpoints, 0, later), [1, 2]);
    assert!(first.is_in());
}

#[test]
fn when_none_is_available_all_are_used() {
    let now = Instant::now();
    let endpoints = endpoints(&[1, 2]);
    let all = endpoints.candidates(0, now);
    for endpoint in &all {
        endpoints.failed(endpoint.id(), EndpointFailure::Connect, now);
    }
    assert!(all.iter().all(|it| it.is_in()));
    // Passing probes bring one back, so the other is out.
    for _ in 0..2 {
        endpoints.probed(address(2).ip(), true, now);
    }
    assert_eq!(all.iter().map(|it| it.is_in()).collect::<Vec<_>>(), [false, true]);
}

#[test]
fn a_removed_address_is_not_used_and_shows_nothing() {
    let now = Instant::now();
    let endpoints = endpoints(&[1, 2, 3]);
    let first = Arc::clone(&endpoints.candidates(0, now)[0]);
    set(&endpoints, &[2, 3]);
    assert!(first.is_removed() && !first.is_in());
    endpoints.failed(first.id(), EndpointFailure::Connect, now);
    endpoints.succeeded(&first);
    assert_eq!(endpoints.ejections(), 0);
    // It comes back as a new one.
    set(&endpoints, &[1, 2, 3]);
    assert!(first.is_removed());
    assert_eq!(order(&endpoints, 0, now), [1, 2, 3]);
}

#[test]
fn the_only_address_is_never_ejected() {
    let now = Instant::now();
    let endpoints = endpoints(&[1]);
    let only = Arc::clone(&endpoints.candidates(0, now)[0]);
    endpoints.failed(only.id(), EndpointFailure::Connect, now);
    for _ in 0..5 {
        endpoints.probed(address(1).ip(), false, now);
    }
    assert!(only.is_in());
}

/// As answers of name servers that give a part of the addresses at a time.
#[test]
fn an_address_that_comes_back_has_the_health_it_had() {
    let now = Instant::now();
    let endpoints = endpoints(&[1, 2, 3]);
    let first = Arc::clone(&endpoints.candidates(0, now)[0]);
    endpoints.failed(first.id(), EndpointFailure::Connect, now);
    set(&endpoints, &[2, 3]);
    set(&endpoints, &[1, 2]);
    assert_eq!(order(&endpoints, 0, now), [2, 1]);
    assert_eq!(order(&endpoints, 0, now + Duration::from_secs(1)), [1, 2]);
    for last in 10..100 {
        set(&endpoints, &[1, last]);
        for _ in 0..3 {
            endpoints.probed(address(last).ip(), false, now);
        }
    }
    set(&endpoints, &[1]);
    assert_eq!(endpoints.members().gone.len(), MAX_GONE);
}
