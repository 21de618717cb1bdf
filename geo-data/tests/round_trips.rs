//! How well round trips are estimated: every Azure region in turn plays the client, and what was measured from it is
//! hidden from the estimate.

use portolan_core::chance::{STEP, spread};
use portolan_core::geo::Point;
use portolan_core::id::RegionName;
use portolan_core::proximity::RoundTrips;
use portolan_geo::azure;

/// Regions with all round trips between them, as measured.
struct Measured {
    regions: Vec<(RegionName, Point)>,
    millis: Vec<Vec<f32>>,
}

/// What choosing by an estimate costs, over many random choices of regions.
#[derive(Debug)]
struct Outcome {
    fastest: f64,
    mean_loss: f64,
    p99_loss: f64,
}

fn measured() -> Measured {
    let text = include_str!("../data/azure-round-trips.csv");
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
    let known: Vec<usize> = (1..rows[0].len())
        .filter(|column| rows.iter().skip(1).any(|row| row[0] == rows[0][*column]))
        .collect();
    let regions: Vec<_> = known
        .iter()
        .map(|column| azure::find(rows[0][*column]).unwrap())
        .collect();
    let row = |name: &RegionName| rows.iter().find(|row| row[0] == name.as_str()).unwrap();
    Measured {
        millis: regions
            .iter()
            .map(|region| {
                known
                    .iter()
                    .map(|column| row(&region.name)[*column].parse().unwrap_or(f32::NAN))
                    .collect()
            })
            .collect(),
        regions: regions
            .iter()
            .map(|region| (region.name.clone(), region.point))
            .collect(),
    }
}

impl Measured {
    /// The table as it would be if a region did not exist.
    fn without(&self, hidden: usize) -> RoundTrips {
        let others: Vec<usize> = (0..self.regions.len()).filter(|index| *index != hidden).collect();
        let regions: Vec<_> = others.iter().map(|index| self.regions[*index].clone()).collect();
        let millis: Vec<_> = others
            .iter()
            .flat_map(|a| others.iter().map(|b| self.millis[*a][*b]))
            .collect();
        RoundTrips::new(&regions, &millis).unwrap()
    }

    /// Lets every region choose many times among `count` random others, by an estimate of (client, target).
    fn play(&self, count: usize, rounds: usize, estimate: impl Fn(usize, usize) -> f64) -> Outcome {
        let mut random = Random(20_260_730);
        let mut losses = Vec::new();
        for client in 0..self.regions.len() {
            for _ in 0..rounds {
                let targets = random.some_but(client, count, self.regions.len());
                let truth = |target: &usize| f64::from(self.millis[client][*target]);
                let best = targets.iter().map(truth).fold(f64::INFINITY, f64::min);
                let by_estimate = |a: &&usize, b: &&usize| estimate(client, **a).total_cmp(&estimate(client, **b));
                losses.push(truth(targets.iter().min_by(by_estimate).unwrap()) - best);
            }
        }
        losses.sort_by(f64::total_cmp);
        Outcome {
            fastest: losses.iter().filter(|loss| **loss == 0.0).count() as f64 / losses.len() as f64,
            mean_loss: losses.iter().sum::<f64>() / losses.len() as f64,
            p99_loss: losses[losses.len() * 99 / 100],
        }
    }
}

/// The same choices on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        let state = self.0;
        self.0 = state.wrapping_add(STEP);
        (spread(state, 0) % bound as u64) as usize
    }

    fn some_but(&mut self, excluded: usize, count: usize, bound: usize) -> Vec<usize> {
        let mut others: Vec<usize> = (0..bound).filter(|index| *index != excluded).collect();
        (0..count)
            .map(|_| others.swap_remove(self.below(others.len())))
            .collect()
    }
}

#[test]
fn the_estimate_finds_the_fastest_region_more_often_than_distance() {
    let measured = measured();
    assert_eq!(measured.regions.len(), 54);
    // Estimates from every client to every target, made without what the client measured.
    let estimates: Vec<Vec<f64>> = (0..measured.regions.len())
        .map(|client| {
            let table = measured.without(client);
            let vantage = table.from_place(measured.regions[client].1);
            measured
                .regions
                .iter()
                .map(|(name, point)| vantage.to(name, *point))
                .collect()
        })
        .collect();
    let distance = |client: usize, target: usize| measured.regions[client].1.distance_km(measured.regions[target].1);
    // How many regions there are to choose from; how often the estimate must find the fastest, and distance does.
    for (count, bar, by_distance) in [(3, 0.945, 0.86), (5, 0.92, 0.86), (10, 0.89, 0.86), (20, 0.86, 0.86)] {
        let latency = measured.play(count, 200, |client, target| estimates[client][target]);
        let km = measured.play(count, 200, distance);
        println!("{count} regions: estimate {latency:?}, distance {km:?}");
        assert!(latency.fastest >= bar && km.fastest <= by_distance);
        assert!(latency.mean_loss < km.mean_loss && latency.mean_loss < 3.5);
        assert!(count > 3 || (latency.p99_loss < 30.0 && km.p99_loss > 90.0));
    }
}

#[test]
fn south_africa_is_sent_to_europe_and_not_to_brazil() {
    let cape_town = Point::new(-33.92, 18.42).unwrap();
    let [brazil, europe] = ["brazilsouth", "westeurope"].map(|name| azure::find(name).unwrap());
    assert!(cape_town.distance_km(brazil.point) < cape_town.distance_km(europe.point));
    let vantage = azure::round_trips().from_place(cape_town);
    let (to_brazil, to_europe) = (
        vantage.to(&brazil.name, brazil.point),
        vantage.to(&europe.name, europe.point),
    );
    assert!(
        to_europe + 100.0 < to_brazil,
        "Europe {to_europe} ms, Brazil {to_brazil} ms"
    );
}
