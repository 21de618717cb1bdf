//! The log of events: readable on a terminal, one JSON object per line elsewhere. It goes to the standard error, so that
//! the access log may have the standard output.

use std::env::{self, VarError};
use std::io::{self, IsTerminal};
use thiserror::Error;
use tracing::Subscriber;
use tracing_subscriber::filter::{EnvFilter, ParseError};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// The environment variable that says what is logged, such as `debug` or `info,portolan::control=debug`.
pub const VARIABLE: &str = "PORTOLAN_LOG";

/// What is logged when nobody says otherwise.
const DEFAULT: &str = "info";

/// How events are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// A line for people, in colour on a terminal.
    Human,
    /// One JSON object per line.
    Json,
}

/// Why there is no log.
#[derive(Debug, Error)]
pub enum LoggingError {
    /// The variable is no filter.
    #[error("{VARIABLE} is not understood: {0}; write for example info or info,portolan::control=debug")]
    Filter(#[from] ParseError),
    /// The variable is not text.
    #[error("{VARIABLE} is not valid UTF-8")]
    NotText,
    /// Somebody else set up a log already.
    #[error("a log is already set up: {0}")]
    Twice(#[from] TryInitError),
}

/// Sets up the log for the whole process.
///
/// # Errors
/// When [`VARIABLE`] is not understood, or a log is set up already.
pub fn init(format: Format) -> Result<(), LoggingError> {
    let directives = match env::var(VARIABLE) {
        Ok(directives) => directives,
        Err(VarError::NotPresent) => DEFAULT.into(),
        Err(VarError::NotUnicode(_)) => return Err(LoggingError::NotText),
    };
    let filter = EnvFilter::try_new(directives)?;
    let is_terminal = io::stderr().is_terminal();
    if format == Format::Json || format == Format::Auto && !is_terminal {
        json(filter, io::stderr).try_init()?;
    } else {
        let colour = is_terminal && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        human(filter, io::stderr, colour).try_init()?;
    }
    Ok(())
}

fn json<W>(filter: EnvFilter, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_env_filter(filter)
        .with_writer(writer)
        .finish()
}

fn human<W>(filter: EnvFilter, writer: W, colour: bool) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    tracing_subscriber::fmt()
        .with_ansi(colour)
        .with_target(false)
        .with_env_filter(filter)
        .with_writer(writer)
        .finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("not poisoned").write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Memory {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().expect("not poisoned").clone()).expect("text")
        }
    }

    fn events() {
        tracing::warn!(region = "westeurope", "ejected");
        tracing::debug!("not worth a line");
    }

    #[test]
    fn an_event_is_one_json_object() {
        let memory = Memory::default();
        let writer = memory.clone();
        let subscriber = json(EnvFilter::new(DEFAULT), move || writer.clone());
        tracing::subscriber::with_default(subscriber, events);
        let text = memory.text();
        let event: serde_json::Value = serde_json::from_str(&text).expect("one JSON object");
        assert_eq!(event["level"], "WARN");
        assert_eq!(event["message"], "ejected");
        assert_eq!(event["region"], "westeurope");
        assert!(event["timestamp"].is_string() && event["target"].is_string());
    }

    #[test]
    fn people_read_one_line_without_escape_codes_when_colour_is_off() {
        let memory = Memory::default();
        let writer = memory.clone();
        let subscriber = human(EnvFilter::new(DEFAULT), move || writer.clone(), false);
        tracing::subscriber::with_default(subscriber, events);
        let text = memory.text();
        assert!(text.contains("WARN ejected region=\"westeurope\""), "{text}");
        assert!(text.lines().count() == 1 && !text.contains('\x1b'), "{text:?}");
    }

    #[test]
    fn a_filter_that_is_none_is_refused() {
        let error = LoggingError::from(EnvFilter::try_new("portolan=loud").expect_err("no such level"));
        assert!(error.to_string().contains("PORTOLAN_LOG"), "{error}");
    }
}
