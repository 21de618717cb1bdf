//! What learned round trips gain in a synthetic world.

mod world;

use world::{Terrain, simulate};

const TERRAIN: Terrain = Terrain {
    prefixes: 600,
    absurd_percent: 10,
    max_prefixes: 2048,
    explore: 0.05,
    seed: 0x5eed,
};

#[test]
fn most_of_the_loss_is_regained_and_nothing_changes_for_others() {
    for seed in [1, 2, TERRAIN.seed] {
        println!("seed {seed}");
        let gain = simulate(Terrain { seed, ..TERRAIN });
        println!("{gain:?}, regained {:.3}", gain.regained());
        assert!(
            gain.absurd > 30 && gain.loss_before > 50.0,
            "the world is absurd enough"
        );
        assert!(gain.regained() >= 0.9);
        assert_eq!(gain.others_changed, 0);
        assert!(gain.explored_share <= TERRAIN.explore * 1.1 && gain.explored_cost < gain.loss_before / 10.0);
        assert_eq!(gain.bytes.0, gain.bytes.1);
    }
}

#[test]
fn memory_is_what_was_configured_however_many_prefixes_come() {
    let gain = simulate(Terrain {
        max_prefixes: 64,
        ..TERRAIN
    });
    println!("seed {}: {gain:?}", TERRAIN.seed);
    assert_eq!((gain.held, gain.others_changed), (64, 0));
    assert_eq!(gain.bytes.0, gain.bytes.1);
}

#[test]
fn without_exploring_or_instances_that_see_the_clients_nothing_is_learned_of_other_regions() {
    let gain = simulate(Terrain {
        explore: 0.0,
        ..TERRAIN
    });
    println!("seed {}: {gain:?}", TERRAIN.seed);
    assert_eq!((gain.loss_before, gain.explored_share), (gain.loss_after, 0.0));
}
