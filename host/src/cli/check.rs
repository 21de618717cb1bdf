//! `portolan check`.

use crate::config;
use std::path::PathBuf;
use std::process::ExitCode;

/// What to check.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The configuration file
    #[arg(long, short, value_name = "FILE", required_unless_present = "schema")]
    config: Option<PathBuf>,
    /// Print the JSON Schema of the configuration file, for editors
    #[arg(long, exclusive = true)]
    schema: bool,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let Some(path) = arguments.config.as_ref().filter(|_| !arguments.schema) else {
        print!("{}", config::schema());
        return ExitCode::SUCCESS;
    };
    match config::load(path) {
        Ok(settings) => {
            let (services, routes) = (
                settings.routing.services(),
                settings.routing.routes().services().count(),
            );
            for warning in &settings.warnings {
                eprintln!("{}:{warning} (a warning)", path.display());
            }
            let regions: usize = services.iter().map(|service| service.gateways().len()).sum();
            println!(
                "{}: fine: {} services, {regions} gateways, {routes} routes",
                path.display(),
                services.len()
            );
            ExitCode::SUCCESS
        }
        Err(errors) => {
            eprintln!("{errors}");
            ExitCode::FAILURE
        }
    }
}
