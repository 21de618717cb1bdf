//! `portolan check`.

use super::offline::{self, OfflineError};
use super::output::{self, PrintError};
use crate::admin::Tokens;
use crate::config::{self, Mistake};
use crate::control::load::Load;
use std::fmt::Display;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;

/// What to check.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The configuration file
    #[arg(long, short, value_name = "FILE", required_unless_present = "schema")]
    config: Option<PathBuf>,
    /// Leave the network out: do not look up the names of gateways
    #[arg(long)]
    offline: bool,
    /// Print the JSON Schema of the configuration file, for editors
    #[arg(long, exclusive = true)]
    schema: bool,
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let Some(path) = arguments.config.as_ref().filter(|_| !arguments.schema) else {
        return printed(&config::schema());
    };
    let configuration = match config::load(path) {
        Ok(configuration) => configuration,
        Err(errors) => {
            output::print_error(&errors.to_string());
            return ExitCode::FAILURE;
        }
    };
    let admin = configuration.fixed.admin.clone();
    let tokens = admin
        .token_file
        .as_ref()
        .map(|all| Tokens::read(all, admin.read_token_file.as_deref()));
    if let Some(Err(error)) = tokens {
        let keys = ["admin".to_owned()];
        let (line, column) = config::position(path, &keys).unwrap_or_default();
        output::print_error(&format!("{}:{line}:{column}: admin: {error}", path.display()));
        return ExitCode::FAILURE;
    }
    match offline::load(configuration) {
        Ok((mut load, _)) => {
            config::locate(path, &mut load.warnings);
            report(path, &load, arguments.offline)
        }
        Err(error) => {
            complain(path, error);
            ExitCode::FAILURE
        }
    }
}

/// Prints what the configuration has, after everything that is probably not meant.
fn report(path: &Path, load: &Load, offline: bool) -> ExitCode {
    for warning in &load.warnings {
        warn(path, warning);
    }
    if !offline {
        match offline::unresolved(load) {
            Ok(names) => names
                .iter()
                .for_each(|name| warn(path, &format!(" the gateway name {name} does not resolve from here"))),
            Err(error) => warn(path, &format!(" failed to look up the names of gateways: {error}")),
        }
    }
    let routing = &load.loaded.settings.routing;
    let (services, routes) = (routing.services(), routing.routes().services().count());
    let regions: usize = services.iter().map(|service| service.gateways().len()).sum();
    printed(&format!(
        "{}: fine: {} services, {regions} gateways, {routes} routes\n",
        path.display(),
        services.len()
    ))
}

fn warn(path: &Path, warning: &dyn Display) {
    output::print_error(&format!("{}:{warning} (a warning)", path.display()));
}

/// Prints why what the configuration names cannot be used, each with its position in the file.
fn complain(path: &Path, error: OfflineError) {
    let OfflineError::Load(errors) = error else {
        output::print_error(&format!("{}: {error}", path.display()));
        return;
    };
    for error in errors.0 {
        let position = config::position(path, &error.key());
        let mistake = Mistake {
            line: position.map_or(0, |(line, _)| line),
            column: position.map_or(0, |(_, column)| column),
            path: String::new(),
            message: error.to_string(),
        };
        let blank = if position.is_none() { " " } else { "" };
        output::print_error(&format!("{}:{blank}{mistake}", path.display()));
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
