//! The cost of a whole request on loopback: directly to a gateway, through the proxy, and through the proxy with a plugin.
//! The difference is the proxy: two more passes through the kernel, and Portolan's own work.
//!
//! `cargo bench -p portolan-benches --bench request`

use criterion::{Criterion, criterion_group, criterion_main};
use portolan_tests::{Setup, World};
use portolan_yardstick::client::Client;

/// From London, by a trusted proxy's `X-Forwarded-For`.
const REQUEST: &[u8] =
    b"GET / HTTP/1.1\r\nHost: shop.example.net\r\nX-Forwarded-For: 81.2.69.142\r\nAccept: */*\r\n\r\n";

fn request(criterion: &mut Criterion) {
    let plain = World::start();
    let plugin = Setup::three_regions()
        .service("policy: { plugin: nearest }\nhealth_check: { path: /healthz, interval: 100ms, timeout: 100ms }")
        .with("plugins: { nearest: { source: \"embedded:nearest\" } }")
        .start();
    for (name, address) in [
        ("request/to the gateway", plain.gateway("westeurope").address()),
        ("request/through portolan", plain.proxy()),
        ("request/through portolan with a plugin", plugin.proxy()),
    ] {
        let mut client = Client::connect(address).expect("it listens");
        criterion.bench_function(name, |bench| {
            bench.iter(|| {
                let response = client.send(REQUEST).expect("a whole response");
                assert_eq!(response.status, 200);
            })
        });
    }
}

criterion_group!(benches, request);
criterion_main!(benches);
