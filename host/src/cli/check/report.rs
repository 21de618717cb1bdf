//! What `portolan check` found, as text and as JSON.

use crate::cli::output;
use crate::config::Mistake;
use portolan_core::config::Config;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// What was found in a configuration.
#[derive(Debug)]
pub(super) struct Report {
    file: PathBuf,
    pub(super) errors: Vec<Mistake>,
    /// How many errors there are besides these.
    pub(super) more: usize,
    pub(super) warnings: Vec<Mistake>,
    /// What a valid configuration has.
    pub(super) counts: Option<Counts>,
}

/// How much is configured.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Counts {
    services: usize,
    gateways: usize,
    routes: usize,
}

/// What `--json` prints. Keys are added, and never removed or changed.
#[derive(Debug, Serialize)]
pub(super) struct Json<'a> {
    /// The configuration file, `<stdin>` for the standard input.
    file: String,
    /// Whether there are no errors.
    valid: bool,
    /// How many errors there are; at most 100 are listed.
    errors: usize,
    /// How many warnings there are.
    warnings: usize,
    diagnostics: Vec<Diagnostic<'a>>,
    /// `null` where it is not valid.
    configured: Option<Counts>,
}

/// An error or a warning.
#[derive(Debug, Serialize)]
struct Diagnostic<'a> {
    /// `error` or `warning`.
    severity: &'static str,
    /// The file that it is in: the configuration file or an included one.
    file: String,
    /// The line from 1; `null` where it has none.
    line: Option<usize>,
    /// The column in characters from 1; `null` where it has none.
    column: Option<usize>,
    /// The keys that lead to it, such as `services.shop.regions[1].region`; may be empty.
    path: &'a str,
    message: &'a str,
}

impl Counts {
    pub(super) fn of(routing: &Config) -> Self {
        let services = routing.services();
        Self {
            services: services.len(),
            gateways: services.iter().map(|service| service.gateways().len()).sum(),
            routes: routing.routes().entries().count(),
        }
    }
}

impl Report {
    pub(super) fn new(file: &Path) -> Self {
        Self {
            file: file.to_owned(),
            errors: Vec::new(),
            more: 0,
            warnings: Vec::new(),
            counts: None,
        }
    }

    pub(super) fn is_valid(&self) -> bool {
        self.errors.is_empty()
    }

    pub(super) fn json(&self) -> Json<'_> {
        let errors = self.errors.iter().map(|it| ("error", it));
        let all = errors.chain(self.warnings.iter().map(|it| ("warning", it)));
        Json {
            file: self.file.display().to_string(),
            valid: self.is_valid(),
            errors: self.errors.len() + self.more,
            warnings: self.warnings.len(),
            diagnostics: all.map(|(severity, it)| self.diagnostic(severity, it)).collect(),
            configured: self.counts.filter(|_| self.is_valid()),
        }
    }

    fn diagnostic<'a>(&self, severity: &'static str, mistake: &'a Mistake) -> Diagnostic<'a> {
        let file = mistake.file.as_deref().unwrap_or(&self.file);
        Diagnostic {
            severity,
            file: file.display().to_string(),
            line: Some(mistake.line).filter(|line| *line > 0),
            column: Some(mistake.column).filter(|_| mistake.line > 0),
            path: &mistake.path,
            message: &mistake.message,
        }
    }

    /// Prints what is wrong on the standard error, and what a valid configuration has on the standard output.
    pub(super) fn print(&self) -> anyhow::Result<()> {
        let file = self.file.display();
        for warning in &self.warnings {
            output::print_error(&format!("{} (a warning)", warning.within(&self.file)));
        }
        for error in &self.errors {
            output::print_error(&error.within(&self.file).to_string());
        }
        if self.more > 0 {
            output::print_error(&format!("{file}: and {} more mistakes", self.more));
        }
        if let Some(counts) = self.counts {
            let Counts {
                services,
                gateways,
                routes,
            } = counts;
            output::print(&format!(
                "{file}: fine: {services} services, {gateways} gateways, {routes} routes\n"
            ))?;
        }
        Ok(())
    }
}
