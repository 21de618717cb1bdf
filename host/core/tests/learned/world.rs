//! A synthetic world in which a part of the client prefixes is not where geography says, or is routed absurdly. Shared by
//! a test and by the example `learned`, which prints the gain.

use portolan_core::chance::spread;
use portolan_core::chart::Chart;
use portolan_core::config::*;
use portolan_core::geo::{Location, Place, PlaceId, Point};
use portolan_core::id::{RegionName, Slot};
use portolan_core::learned::orders::{Priors, gathered};
use portolan_core::learned::{Estimate, Evidence, Orders, Prefix, Terms};
use portolan_core::proximity::RoundTrips;
use std::net::{IpAddr, Ipv4Addr};

/// Requests of each prefix.
pub(crate) const REQUESTS: u32 = 1000;
/// Orders are prepared anew whenever each prefix has sent this many.
const ROUND: u32 = 20;
/// Requests on one connection, where they are not explored.
const PER_CONNECTION: u64 = 4;

/// The places of ten regions.
const REGIONS: [(&str, f32, f32); 10] = [
    ("westeurope", 52.4, 4.9),
    ("uksouth", 50.9, -0.8),
    ("eastus2", 36.7, -78.4),
    ("westus2", 47.2, -119.9),
    ("brazilsouth", -23.6, -46.6),
    ("southafricanorth", -25.7, 28.2),
    ("uaenorth", 25.3, 55.3),
    ("centralindia", 18.6, 73.9),
    ("southeastasia", 1.3, 103.8),
    ("australiaeast", -33.9, 151.2),
];

/// What to simulate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terrain {
    /// How many prefixes there are.
    pub(crate) prefixes: u32,
    /// How many of a hundred are routed absurdly.
    pub(crate) absurd_percent: u64,
    /// How many prefixes evidence is kept of.
    pub(crate) max_prefixes: usize,
    /// The share of a doubtful prefix's requests that explores.
    pub(crate) explore: f64,
    /// Where all numbers come from.
    pub(crate) seed: u64,
}

/// What came of it. Times are milliseconds per request.
#[derive(Clone, Debug)]
pub(crate) struct Gain {
    /// How many prefixes are routed absurdly.
    pub(crate) absurd: usize,
    /// What those lose at first against their fastest region.
    pub(crate) loss_before: f64,
    /// What they lose after all requests.
    pub(crate) loss_after: f64,
    /// What exploring cost them, over all requests.
    pub(crate) explored_cost: f64,
    /// The part of their requests that explored.
    pub(crate) explored_share: f64,
    /// How many other prefixes have another order than by geography.
    pub(crate) others_changed: usize,
    /// How many prefixes evidence is held of.
    pub(crate) held: usize,
    /// The bytes of that, before and after.
    pub(crate) bytes: (usize, usize),
}

impl Gain {
    /// The part of the loss that was regained.
    pub(crate) fn regained(&self) -> f64 {
        1.0 - self.loss_after / self.loss_before
    }
}

struct Client {
    prefix: Prefix,
    place: PlaceId,
    is_absurd: bool,
    /// The true round trips, by slot.
    truth: Vec<f64>,
}

/// Numbers from 0 to 1, one after another.
struct Dice(u64, u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.1 += 1;
        spread(self.0, self.1)
    }

    fn part(&mut self) -> f64 {
        (self.roll() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Around 1, log-normal with this standard deviation (by the sum of twelve).
    fn factor(&mut self, deviation: f64) -> f64 {
        let normal = (0..12).map(|_| self.part()).sum::<f64>() - 6.0;
        (normal * deviation).exp()
    }

    fn point(&mut self) -> Point {
        let (lat, lon) = (self.part() * 100.0 - 40.0, self.part() * 360.0 - 180.0);
        Point::new(lat as f32, lon as f32).expect("on the globe")
    }
}

fn service() -> Service {
    let gateways = REGIONS.map(|(name, lat, lon)| {
        Gateway::new(
            name.into(),
            Point::new(lat, lon).expect("on the globe"),
            GatewayAddress::http(Ipv4Addr::LOCALHOST, 80),
        )
    });
    Service::new(ServiceParts::new("shop", gateways.to_vec())).expect("valid")
}

/// The true round trips of a client: by the way from where it really is, more or less by a fifth, its access network, and what
/// routes add.
fn truth(service: &Service, at: Point, dice: &mut Dice, detour: bool) -> Vec<f64> {
    let access = 3.0 + 25.0 * dice.part();
    let round_trips = RoundTrips::default();
    let vantage = round_trips.from_place(at);
    let gateways = service.gateways().iter();
    let mut truth: Vec<f64> = gateways
        .map(|gateway| vantage.to(&gateway.region, gateway.point) * dice.factor(0.1).clamp(0.8, 1.2) + access)
        .collect();
    if detour {
        // The way to the nearest region leads around half the world; those to others do not.
        let nearest = truth.iter_mut().min_by(|a, b| a.total_cmp(b)).expect("ten");
        *nearest += 120.0 + 150.0 * dice.part();
    }
    truth
}

/// Lets all prefixes send their requests, each to the region that is first for it, whose instance measures.
pub(crate) fn simulate(terrain: Terrain) -> Gain {
    let service = service();
    let mut dice = Dice(terrain.seed, 0);
    let mut places = vec![Place::default()];
    let clients: Vec<Client> = (0..terrain.prefixes)
        .map(|index| {
            let said = dice.point();
            places.push(Place {
                point: Some(said),
                ..Place::default()
            });
            let is_absurd = dice.roll() % 100 < terrain.absurd_percent;
            // Half of them are elsewhere, the others' way to the nearest region is a detour.
            let is_elsewhere = is_absurd && dice.roll().is_multiple_of(2);
            let at = if is_elsewhere { dice.point() } else { said };
            Client {
                prefix: Prefix::of(IpAddr::V4(Ipv4Addr::from_bits((11 << 24) + (index << 8)))).expect("global"),
                place: PlaceId(index as u16 + 1),
                is_absurd,
                truth: truth(&service, at, &mut dice, is_absurd && !is_elsewhere),
            }
        })
        .collect();
    let round_trips = RoundTrips::default();
    let chart = Chart::draw(&service, &places, None, &round_trips);
    let locate = |addr: IpAddr| {
        let index = clients.iter().position(|client| client.prefix.address() == addr);
        let id = index.map_or(PlaceId::UNKNOWN, |index| clients[index].place);
        Location {
            id,
            place: places[id.index()],
        }
    };
    let mut evidence = Evidence::new(terrain.max_prefixes, 86_400, terrain.seed);
    let bytes = evidence.own.bytes();
    let ids: Vec<_> = REGIONS
        .iter()
        .map(|(name, ..)| evidence.own.region(&RegionName::from(*name)).expect("room"))
        .collect();
    let terms = Terms {
        explore: terrain.explore,
    };
    let mut orders = Orders::default();
    let (mut explored, mut explored_cost) = (0_u64, 0.0);
    let mut priors = Priors::new(&round_trips, None);
    for round in 0..REQUESTS / ROUND {
        let now = u64::from(round) * 60;
        for client in &clients {
            for _ in 0..ROUND {
                let roll = dice.roll();
                let order = orders.of(client.prefix.address(), true, roll);
                let row = order.map_or(chart.row(client.place), |order| order.row);
                let is_explored = order.is_some_and(|order| order.is_explored);
                let took = client.truth[row[0].index()];
                if is_explored && client.is_absurd {
                    explored += 1;
                    explored_cost += took - client.truth[row[1].index()];
                }
                if is_explored || dice.roll().is_multiple_of(PER_CONNECTION) {
                    let measured = Estimate::of(took * dice.factor(0.25));
                    evidence.own.add(client.prefix, ids[row[0].index()], measured, now);
                }
            }
        }
        let known = gathered(&evidence, now);
        orders = Orders::prepare(&service, &chart, &known, &mut priors, locate, terms);
    }
    let loss = |client: &Client, first: Slot| {
        let best = client.truth.iter().copied().fold(f64::INFINITY, f64::min);
        client.truth[first.index()] - best
    };
    let absurd: Vec<_> = clients.iter().filter(|client| client.is_absurd).collect();
    let learned = |client: &Client| {
        let order = orders.of(client.prefix.address(), false, 0);
        order.map_or(chart.row(client.place), |order| order.row)
    };
    let mean = |of: &dyn Fn(&Client) -> f64| absurd.iter().map(|client| of(client)).sum::<f64>() / absurd.len() as f64;
    let requests = absurd.len() as f64 * f64::from(REQUESTS);
    Gain {
        absurd: absurd.len(),
        loss_before: mean(&|client| loss(client, chart.row(client.place)[0])),
        loss_after: mean(&|client| loss(client, learned(client)[0])),
        explored_cost: explored_cost / requests,
        explored_share: explored as f64 / requests,
        others_changed: clients
            .iter()
            .filter(|client| !client.is_absurd && learned(client) != chart.row(client.place))
            .count(),
        held: evidence.own.len(),
        bytes: (bytes, evidence.own.bytes()),
    }
}
