//! Prints what learned round trips gain in a synthetic world: `cargo run --release --example learned -- [SEED]`.

#[path = "../tests/learned/world.rs"]
mod world;

use world::{REQUESTS, Terrain, simulate};

fn main() {
    let seed = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(1);
    println!(
        "ten regions, 2,000 prefixes, 10 % of them elsewhere or routed absurdly, {REQUESTS} requests each, seed {seed}"
    );
    println!("absurd  explore  loss before  loss after  regained  explored  its cost   others changed  held   memory");
    for explore in [0.0, 0.01, 0.02, 0.05, 0.1] {
        let gain = simulate(Terrain {
            prefixes: 2000,
            absurd_percent: 10,
            max_prefixes: 4096,
            explore,
            seed,
        });
        println!(
            "{:>6}  {:>6.1}%  {:>8.1} ms  {:>7.1} ms  {:>7.1}%  {:>7.2}%  {:>5.1} ms  {:>14}  {:>5}  {:>4} KiB",
            gain.absurd,
            explore * 100.0,
            gain.loss_before,
            gain.loss_after,
            gain.regained() * 100.0,
            gain.explored_share * 100.0,
            gain.explored_cost,
            gain.others_changed,
            gain.held,
            gain.bytes.1 / 1024,
        );
    }
}
