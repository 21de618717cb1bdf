//! `portolan check`.

use super::output::{self, PrintError};
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
        return printed(&config::schema());
    };
    match config::load(path) {
        Ok(settings) => {
            let (services, routes) = (
                settings.routing.services(),
                settings.routing.routes().services().count(),
            );
            for warning in &settings.warnings {
                output::print_error(&format!("{}:{warning} (a warning)", path.display()));
            }
            let regions: usize = services.iter().map(|service| service.gateways().len()).sum();
            printed(&format!(
                "{}: fine: {} services, {regions} gateways, {routes} routes\n",
                path.display(),
                services.len()
            ))
        }
        Err(errors) => {
            output::print_error(&errors.to_string());
            ExitCode::FAILURE
        }
    }
}

/// Success, also when the reader has seen enough.
fn printed(text: &str) -> ExitCode {
    match output::print(text) {
        Ok(()) | Err(PrintError::Closed) => ExitCode::SUCCESS,
        Err(error) => {
            output::print_error(&format!("portolan: {error}"));
            ExitCode::FAILURE
        }
    }
}
