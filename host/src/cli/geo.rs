//! `portolan geo`.

mod text;

use super::config_file::ConfigFile;
use super::output;
use crate::config::GeoSettings;
use crate::geo::{Geo, GeoError, warnings};
use anyhow::Context;
use portolan_geo::GeoTable;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use text::Located;

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
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// What the location table is made from
    Info {
        #[command(flatten)]
        source: Source,
        /// Print JSON
        #[arg(long)]
        json: bool,
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
    /// A database instead of the embedded table, as often as needed: the first that knows an address counts
    #[arg(long, value_name = "DB")]
    database: Vec<PathBuf>,
    /// A database of autonomous systems, as often as needed: the first that knows an address counts
    #[arg(long, value_name = "DB")]
    asn_database: Vec<PathBuf>,
    /// The databases and networks of this configuration; - is the standard input
    #[arg(long, short, value_name = "FILE", conflicts_with_all = ["database", "asn_database"])]
    config: Option<ConfigFile>,
}

pub(super) fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Lookup {
            addresses,
            source,
            json,
        } => lookup(addresses, source, *json),
        Command::Info { source, json } => {
            let settings = source.settings()?;
            let geo = load(&settings, source)?;
            if *json {
                return output::print_json(&text::info_json(&geo, &settings, SystemTime::now()));
            }
            output::print(&text::info(&geo, &settings, SystemTime::now()))?;
            Ok(())
        }
        Command::Compile { databases, out } => compile(databases, out),
    }
}

impl Source {
    fn settings(&self) -> anyhow::Result<GeoSettings> {
        Ok(match &self.config {
            Some(file) => file.load()?.settings.geo,
            None => GeoSettings {
                databases: self.database.clone(),
                asn_databases: self.asn_database.clone(),
                ..GeoSettings::default()
            },
        })
    }
}

fn load(settings: &GeoSettings, source: &Source) -> anyhow::Result<Geo> {
    let loaded = Geo::load(settings, None, None, |path, _| std::fs::read(path).map(Into::into));
    loaded.map_err(|error| match error {
        // Without a configuration there is no key of it to name.
        GeoError::Places(error) if source.config.is_none() => anyhow::Error::from(error),
        GeoError::SystemsFile(error) if source.config.is_none() => error.into(),
        GeoError::Systems(error) if source.config.is_none() => error.into(),
        error => error.into(),
    })
}

fn lookup(addresses: &[IpAddr], source: &Source, json: bool) -> anyhow::Result<()> {
    let settings = source.settings()?;
    let geo = load(&settings, source)?;
    let located = addresses.iter().map(|address| Located::of(*address, &geo, &settings));
    if json {
        output::print_json(&located.collect::<Vec<_>>())?;
    } else {
        for one in located {
            output::print(&format!("{one}\n"))?;
        }
    }
    if let Some(attribution) = geo.attribution(&settings) {
        output::print_error(attribution);
    }
    Ok(())
}

fn compile(databases: &[PathBuf], out: &Path) -> anyhow::Result<()> {
    let table = GeoTable::open(databases)?;
    // Written aside, so that a proxy that watches the file never sees half of it.
    let aside = out.with_extension("new");
    let mut file = std::fs::File::create(&aside).with_context(|| format!("failed to create {}", aside.display()))?;
    table
        .write(&mut file)
        .and_then(|()| std::fs::rename(&aside, out))
        .with_context(|| format!("failed to write {}", out.display()))?;
    let bytes = std::fs::metadata(out)
        .with_context(|| format!("failed to read {}", out.display()))?
        .len();
    let places = table.places().len() - 1;
    output::print(&format!("{}: {bytes} bytes, {places} places\n", out.display()))?;
    for warning in warnings::of_databases(table.info(), SystemTime::now()) {
        output::print_error(&format!("warning: {warning}"));
    }
    Ok(())
}
