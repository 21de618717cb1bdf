//! `portolan geo`.

use super::output;
use anyhow::Context;
use portolan_core::geo::Point;
use portolan_core::id::RegionName;
use portolan_geo::{AsnTable, DatabaseFile, GeoTable, azure, countries};
use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::SystemTime;

/// Where addresses are, and from which data.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Where addresses are
    Lookup {
        /// The addresses
        #[arg(required = true, value_name = "ADDR")]
        addresses: Vec<IpAddr>,
        #[command(flatten)]
        source: Source,
    },
    /// What the location table is made from
    Info {
        #[command(flatten)]
        source: Source,
    },
    /// Compiles a MaxMind or DB-IP database into the table that is loaded at start, for a faster start
    Compile {
        /// The databases, which lie over each other: the first that has a place for an address gives it
        #[arg(required = true, value_name = "DB")]
        databases: Vec<PathBuf>,
        /// Where to write the table
        #[arg(long, short, value_name = "FILE")]
        out: PathBuf,
    },
}

/// Which data.
#[derive(Debug, clap::Args)]
pub(super) struct Source {
    /// A database instead of the embedded table; twice when IPv4 and IPv6 come apart
    #[arg(long, value_name = "DB")]
    database: Vec<PathBuf>,
    /// A database of autonomous systems
    #[arg(long, value_name = "DB")]
    asn_database: Option<PathBuf>,
}

pub(super) fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Lookup { addresses, source } => lookup(addresses, source),
        Command::Info { source } => info(&source.places()?),
        Command::Compile { databases, out } => {
            let table = GeoTable::open(databases)?;
            // Written aside, so that a proxy that watches the file never sees half of it.
            let aside = out.with_extension("new");
            let mut file =
                std::fs::File::create(&aside).with_context(|| format!("failed to create {}", aside.display()))?;
            table
                .write(&mut file)
                .and_then(|()| std::fs::rename(&aside, out))
                .with_context(|| format!("failed to write {}", out.display()))?;
            let bytes = std::fs::metadata(out)
                .with_context(|| format!("failed to read {}", out.display()))?
                .len();
            let places = table.places().len() - 1;
            output::print(&format!("{}: {bytes} bytes, {places} places\n", out.display()))?;
            Ok(())
        }
    }
}

impl Source {
    fn places(&self) -> anyhow::Result<GeoTable> {
        if self.database.is_empty() {
            Ok(GeoTable::embedded())
        } else {
            Ok(GeoTable::open(&self.database)?)
        }
    }

    fn systems(&self) -> anyhow::Result<Option<AsnTable>> {
        let path = self.asn_database.as_ref();
        path.map(|path| Ok(AsnTable::compile(&[DatabaseFile::read(path)?])?))
            .transpose()
    }
}

fn lookup(addresses: &[IpAddr], source: &Source) -> anyhow::Result<()> {
    let (places, systems) = (source.places()?, source.systems()?);
    for address in addresses {
        let place = places.locate(*address).place;
        let Some(point) = place.point else {
            output::print(&format!(
                "{address}  no location: private, reserved, or not in the data\n"
            ))?;
            continue;
        };
        let country = countries::find(place.country).map_or("country unknown", |country| country.name);
        let mut line = format!(
            "{address}  {} {country}, near {:.1}, {:.1}",
            place.country,
            point.latitude(),
            point.longitude()
        );
        if let Some(system) = systems.as_ref().and_then(|systems| systems.describe(*address)) {
            line += &format!("  AS{} {}", system.number, system.organization.unwrap_or_default());
        }
        if let Some((region, km)) = nearest(point) {
            line += &format!("  ({km:.0} km to {region})");
        }
        output::print(&format!("{line}\n"))?;
    }
    if let Some(attribution) = &places.info().attribution {
        output::print_error(attribution);
    }
    Ok(())
}

/// The nearest Azure region and how far it is.
fn nearest(point: Point) -> Option<(&'static RegionName, f64)> {
    let regions = azure::regions()
        .iter()
        .map(|region| (&region.name, point.distance_km(region.point)));
    regions.min_by(|a, b| a.1.total_cmp(&b.1))
}

fn info(table: &GeoTable) -> anyhow::Result<()> {
    let info = table.info();
    let days = info.age(SystemTime::now()).as_secs() / (24 * 60 * 60);
    let mut text = format!(
        "database   {}\nfiles      {}\nage        {days} days\nnetworks   {}\nplaces     {}\n",
        info.database,
        info.files
            .iter()
            .map(|file| file.name.as_str())
            .collect::<Vec<_>>()
            .join(", "),
        info.networks(),
        table.places().len() - 1
    );
    // Writing to a string cannot fail.
    if let Some(attribution) = &info.attribution {
        let _ = writeln!(text, "{attribution}");
    }
    if info.is_stale(SystemTime::now()) {
        text += "warning: older than 30 days: its licence asks for a newer release (EULA, section 6)\n";
    }
    output::print(&text)?;
    Ok(())
}
