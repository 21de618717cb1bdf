use super::*;
use crate::candidates;
use crate::config::{Gateway, GatewayAddress, Residency, ServiceParts};
use crate::geo::{Country, Point};
use crate::health::{GatewayHealth, ServiceHealth, State};
use crate::rank;
use crate::slots::Slots;

const REGIONS: [&str; 4] = ["westeurope", "eastus2", "southeastasia", "brazilsouth"];

fn gateway(region: &str) -> Gateway {
    Gateway::new(
        region.into(),
        Point::new(0.0, 0.0).expect("on the globe"),
        GatewayAddress::http(region, 80),
    )
}

fn service(regions: &[&str]) -> Service {
    let mut parts = ServiceParts::new("shop", regions.iter().map(|region| gateway(region)).collect());
    parts.residency = vec![Residency {
        countries: vec![Country::parse("DE").expect("a country")],
        regions: Slots::first(1),
    }];
    Service::new(parts).expect("a service")
}

fn healthy(count: usize) -> Vec<GatewayHealth> {
    vec![
        GatewayHealth {
            state: State::Healthy,
            ..GatewayHealth::default()
        };
        count
    ]
}

/// The first region of a session's request, and what became of it.
fn first(session: Session, service: &Service, health: &[GatewayHealth], country: Country) -> (Slot, Affine) {
    let health = ServiceHealth::new(health.to_vec());
    let candidates = candidates::gather(service, &health, country, Slots::EMPTY);
    let row: Vec<Slot> = service.slots().iter().collect();
    let mut ranking = rank::native(service, &row, &candidates, &health, session.roll());
    let affine = session.prefer(service, &candidates, &mut ranking);
    assert_eq!(
        ranking.order().iter().copied().collect::<Slots>(),
        candidates.eligible | candidates.last_resort,
        "no region is lost"
    );
    (ranking.first().expect("a region"), affine)
}

#[test]
fn a_session_stays_with_its_region_as_long_as_that_may_answer() {
    let service = service(&REGIONS);
    let session = Session::Bound { id: 7, slot: Slot(2) };
    let mut health = healthy(4);
    assert_eq!(
        first(session, &service, &health, Country::UNKNOWN),
        (Slot(2), Affine::Kept)
    );
    health[2].state = State::Unhealthy;
    assert_eq!(
        first(session, &service, &health, Country::UNKNOWN),
        (Slot(0), Affine::Moved)
    );
    // Residency is stronger.
    let germany = Country::parse("DE").expect("a country");
    assert_eq!(first(session, &service, &healthy(4), germany), (Slot(0), Affine::Moved));
    let new = Session::New { id: 7 };
    assert_eq!(
        first(new, &service, &healthy(4), Country::UNKNOWN),
        (Slot(0), Affine::Begun)
    );
}

/// Slow start gives each session back once: it does not go to and fro between its requests.
#[test]
fn a_returning_region_gets_its_sessions_back_as_its_share_grows() {
    let service = service(&REGIONS);
    let mut before = vec![false; 2_000];
    for share in [0, 100, 300, 600, 900, 1000] {
        let mut health = healthy(4);
        health[2].state = State::Warming;
        health[2].share = (u32::from(GatewayHealth::FULL_SHARE) * share / 1000) as u16;
        let mut back = 0;
        for (id, was_back) in (0..).zip(&mut before) {
            let session = Session::Bound { id, slot: Slot(2) };
            let is_back = first(session, &service, &health, Country::UNKNOWN).0 == Slot(2);
            assert!(is_back || !*was_back, "session {id} was back before {share}");
            back += u32::from(is_back);
            *was_back = is_back;
        }
        assert!(back.abs_diff(2 * share) < 100, "{back} of 2000 at {share} ‰");
    }
}

#[test]
fn a_value_has_one_region_whatever_the_order_of_the_configuration() {
    let (service, reversed) = (
        service(&REGIONS),
        service(&["brazilsouth", "southeastasia", "eastus2", "westeurope"]),
    );
    let name = |service: &Service, slot| service.gateway(slot).expect("a region").region.clone();
    let mut counts = [0_u32; 4];
    for value in 0..4_000_u32 {
        let session = Session::Hashed(hash(&value.to_le_bytes()));
        let (slot, affine) = first(session, &service, &healthy(4), Country::UNKNOWN);
        assert_eq!(affine, Affine::Kept);
        counts[slot.index()] += 1;
        let (other, _) = first(session, &reversed, &healthy(4), Country::UNKNOWN);
        assert_eq!(name(&service, slot), name(&reversed, other), "{value}");
        // A region that fails moves no sessions but its own.
        let mut health = healthy(4);
        health[1].state = State::Unhealthy;
        let (moved, _) = first(session, &service, &health, Country::UNKNOWN);
        assert!(moved == slot || slot == Slot(1), "{value}");
    }
    assert!(counts.iter().all(|count| count.abs_diff(1_000) < 120), "{counts:?}");
}

#[test]
fn clients_learn_of_a_move_that_lasts() {
    let service = service(&REGIONS);
    let session = Session::Bound { id: 7, slot: Slot(2) };
    let moved = |failover, change: fn(&mut GatewayHealth), country| {
        let mut health = healthy(4);
        change(&mut health[2]);
        let candidates = candidates::gather(&service, &ServiceHealth::new(health), country, Slots::EMPTY);
        session.moves_to(failover, &candidates, Slot(0))
    };
    let drained = |health: &mut GatewayHealth| health.state = State::Draining;
    let unhealthy = |health: &mut GatewayHealth| health.state = State::Unhealthy;
    let fine = |_: &mut GatewayHealth| ();
    let germany = Country::parse("DE").expect("a country");
    for failover in [Failover::Temporary, Failover::Sticky] {
        assert_eq!(
            moved(failover, drained, Country::UNKNOWN),
            Some(Slot(0)),
            "{failover:?}"
        );
        assert_eq!(moved(failover, fine, germany), Some(Slot(0)), "{failover:?}");
        assert_eq!(moved(failover, fine, Country::UNKNOWN), None, "{failover:?}");
    }
    assert_eq!(moved(Failover::Temporary, unhealthy, Country::UNKNOWN), None);
    assert_eq!(moved(Failover::Sticky, unhealthy, Country::UNKNOWN), Some(Slot(0)));
}
