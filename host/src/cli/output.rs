//! What commands print, and how they fail.

use serde::Serialize;
use std::env;
use std::fmt::Write as _;
use std::io::{self, ErrorKind, IsTerminal, Write as _};
use thiserror::Error;

/// Why text could not be printed.
#[derive(Debug, Error)]
pub(super) enum PrintError {
    /// Its reader has closed it, as `| head` does.
    #[error("the standard output was closed")]
    Closed,
    /// Anything else.
    #[error("failed to write to the standard output: {0}")]
    Failed(io::Error),
}

/// Prints text on the standard output.
///
/// # Errors
/// When it cannot be written.
pub(super) fn print(text: &str) -> Result<(), PrintError> {
    let mut out = io::stdout().lock();
    let printed = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    printed.map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => PrintError::Closed,
        _ => PrintError::Failed(error),
    })
}

/// Prints a value as JSON on the standard output.
///
/// # Errors
/// When it cannot be written.
pub(super) fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    Ok(print(&format!("{}\n", serde_json::to_string_pretty(value)?))?)
}

/// The colour of a word on a terminal, by its number there (ECMA-48).
#[derive(Clone, Copy, Debug)]
pub(super) enum Colour {
    Red = 31,
    Green = 32,
    Yellow = 33,
}

/// Text for the standard output in a colour, where that is a terminal and `NO_COLOR` is not set.
pub(super) fn coloured(colour: Colour, text: &str) -> String {
    let is_wanted = io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none_or(|it| it.is_empty());
    match is_wanted {
        true => format!("\x1b[{}m{text}\x1b[0m", colour as u8),
        false => text.to_owned(),
    }
}

/// Prints a line on the standard error; nothing when that is closed.
pub(super) fn print_error(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Whether a command failed only because the reader of its output has closed it.
pub(super) fn is_closed(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(PrintError::Closed))
}

/// An error and its causes on one line, each once: one that the text so far repeats already is left out.
pub(super) fn line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if line.is_empty() {
            line = cause;
        } else if !line.contains(&cause) {
            // Writing to a string cannot fail.
            let _ = write!(line, ": {cause}");
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn a_cause_that_was_shown_is_not_shown_again() {
        let missing = io::Error::from(ErrorKind::NotFound);
        let shown = format!("failed to read a.yaml: {missing}");
        let error = Err::<(), _>(missing)
            .context(shown)
            .context("failed to start")
            .unwrap_err();
        assert_eq!(line(&error), "failed to start: failed to read a.yaml: entity not found");
        let error = anyhow::anyhow!("no such region").context("failed to drain");
        assert_eq!(line(&error), "failed to drain: no such region");
    }

    #[test]
    fn only_our_own_output_may_be_closed() {
        assert!(is_closed(&PrintError::Closed.into()));
        let elsewhere = io::Error::from(ErrorKind::BrokenPipe);
        assert!(!is_closed(&anyhow::Error::from(elsewhere).context("failed to drain")));
    }
}
