//! The cost of a routing decision without a plugin: location, eligible regions, order.
//!
//! `cargo bench -p portolan-benches --bench decide`

use criterion::{Criterion, criterion_group, criterion_main};
use http::{HeaderMap, Method};
use portolan_core::candidates;
use portolan_core::chart::Chart;
use portolan_core::config::{Gateway, GatewayAddress, Service, ServiceParts};
use portolan_core::health::ServiceHealth;
use portolan_core::id::ServiceId;
use portolan_core::learned::orders::{Priors, gathered};
use portolan_core::learned::{Estimate, Evidence, Orders, Prefix, Terms};
use portolan_core::rank;
use portolan_core::route::{Asked, HostPattern, Route, Routes};
use portolan_core::slots::Slots;
use portolan_geo::{GeoTable, azure};
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A service of the first `count` Azure regions.
fn service(count: usize) -> Service {
    let gateways = azure::regions().iter().take(count).map(|region| {
        Gateway::new(
            region.name.clone(),
            region.point,
            GatewayAddress::http(Ipv4Addr::LOCALHOST, 9000),
        )
    });
    Service::new(ServiceParts::new("bench", gateways.collect())).expect("1 to 64 regions")
}

/// Addresses spread over the whole range (a Weyl sequence), so that look-ups do not stay in a few cache lines.
fn addresses() -> impl Iterator<Item = u32> {
    (0_u32..).map(|number| number.wrapping_mul(0x9e37_79b9))
}

/// Looking up among many routes of one host, and among many hosts: always the last of them.
fn route(criterion: &mut Criterion) {
    let (headers, method) = (HeaderMap::new(), Method::GET);
    let asked = Asked {
        method: &method,
        headers: &headers,
        query: "",
        certificate: None,
        trust: None,
    };
    for count in [1, 10, 100, 10_000] {
        let path = |number: usize| format!("/team-{}/service-{number}", number % 100);
        let host = |number: usize| format!("service-{number}.shop.example.net");
        let exact = |name: &str| HostPattern::parse(name).expect("a name");
        let by_path = Routes::new((0..count).map(|it| Route::new(exact("shop.example.net"), path(it), ServiceId(0))));
        let by_host = Routes::new((0..count).map(|it| Route::new(exact(&host(it)), "/", ServiceId(0))));
        let (last_path, last_host) = (path(count - 1) + "/items/4711", host(count - 1));
        criterion.bench_function(&format!("route/{count} paths"), |bench| {
            bench.iter(|| by_path.find("shop.example.net", black_box(&last_path), &asked));
        });
        criterion.bench_function(&format!("route/{count} hosts"), |bench| {
            bench.iter(|| by_host.find(black_box(&last_host), "/catalogue", &asked));
        });
    }
}

fn locate(criterion: &mut Criterion) {
    let table = GeoTable::embedded();
    let mut any = addresses();
    criterion.bench_function("locate/v4 any", |bench| {
        bench.iter(|| table.locate(IpAddr::V4(Ipv4Addr::from_bits(any.next().unwrap_or_default()))));
    });
    let mut recurring = addresses().take(2_000).collect::<Vec<_>>().into_iter().cycle();
    criterion.bench_function("locate/v4 recurring", |bench| {
        bench.iter(|| table.locate(IpAddr::V4(Ipv4Addr::from_bits(recurring.next().unwrap_or_default()))));
    });
    let mut any = addresses();
    criterion.bench_function("locate/v6 any", |bench| {
        bench.iter(|| {
            let high = u128::from(0x2000_0000 | any.next().unwrap_or_default() >> 3) << 96;
            table.locate(IpAddr::V6(Ipv6Addr::from_bits(high)))
        });
    });
}

fn decide(criterion: &mut Criterion) {
    let table = GeoTable::embedded();
    for count in [3, 10, 59] {
        let service = service(count);
        let chart = Chart::draw(&service, table.places(), None, azure::round_trips());
        let health = ServiceHealth::unknown(service.gateways().len());
        let mut recurring = addresses().take(2_000).collect::<Vec<_>>().into_iter().cycle();
        criterion.bench_function(&format!("decide/{count} regions"), |bench| {
            bench.iter(|| {
                let address = Ipv4Addr::from_bits(recurring.next().unwrap_or_default());
                let location = table.locate(IpAddr::V4(address));
                let candidates = candidates::gather(&service, &health, location.place.country, Slots::EMPTY);
                black_box(rank::native(&service, chart.row(location.id), &candidates, &health, 0))
            });
        });
        criterion.bench_function(&format!("draw the chart/{count} regions"), |bench| {
            bench.iter(|| Chart::draw(&service, table.places(), None, azure::round_trips()));
        });
    }
}

/// Learned orders of 65,536 prefixes: what a request pays for looking its own up, and what preparing all of them takes.
fn learned(criterion: &mut Criterion) {
    let table = GeoTable::embedded();
    let service = service(10);
    let chart = Chart::draw(&service, table.places(), None, azure::round_trips());
    let mut evidence = Evidence::new(65_536, 86_400, 1);
    let regions = [0, 1].map(|slot| service.gateways()[slot].region.clone());
    let regions = regions.map(|region| evidence.own.region(&region).expect("room"));
    let prefix = |index: u32| Ipv4Addr::from_bits((index << 8).wrapping_add(0x0b00_0000));
    for index in 0..65_536 {
        let prefix = Prefix::of(prefix(index).into()).expect("global");
        for (region, ms) in regions.into_iter().zip([900.0, 1.0]) {
            let estimate = Estimate::of(ms).times(20).expect("some");
            evidence.own.add(prefix, region, estimate, 0);
        }
    }
    let prepare = || {
        let known = gathered(&evidence, 0);
        let mut priors = Priors::new(azure::round_trips(), None);
        let locate = |addr| table.locate(addr);
        Orders::prepare(&service, &chart, &known, &mut priors, locate, Terms::default())
    };
    let orders = prepare();
    println!("{} prefixes have an order of their own", orders.len());
    let mut any = addresses();
    criterion.bench_function("learned/without an order", |bench| {
        bench.iter(|| {
            orders
                .of(
                    Ipv4Addr::from_bits(any.next().unwrap_or_default() | 0xc000_0000).into(),
                    true,
                    0,
                )
                .is_some()
        });
    });
    let mut any = addresses();
    criterion.bench_function("learned/with an order", |bench| {
        bench.iter(|| {
            orders
                .of(prefix(any.next().unwrap_or_default() >> 16).into(), true, 0)
                .is_some()
        });
    });
    let mut criterion = std::mem::take(criterion).sample_size(10);
    criterion.bench_function("learned/prepare 65536 prefixes", |bench| bench.iter(prepare));
}

criterion_group!(benches, route, locate, decide, learned);
criterion_main!(benches);
