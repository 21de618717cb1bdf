//! The event log: readable on a terminal, one JSON object per line elsewhere. It goes to the standard error, so that the
//! access log may have the standard output. Logging never waits for the reader of the log; panics are logged as well.

use super::log_writer::{Buffer, Destination, Lines, LogWriter};
use std::backtrace::{Backtrace, BacktraceStatus};
use std::convert::Infallible;
use std::env::{self, VarError};
use std::io::{self, IsTerminal, Write};
use std::panic::{self, PanicHookInfo};
use std::sync::{Arc, OnceLock};
use std::thread;
use thiserror::Error;
use tracing::Subscriber;
use tracing_subscriber::filter::{EnvFilter, ParseError};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// The environment variable with the log filter, such as `debug` or `info,portolan::control=debug`.
pub const VARIABLE: &str = "PORTOLAN_LOG";

/// The filter when the variable is not set.
const DEFAULT: &str = "info";
/// Libraries that log at `info` what is reported here in other words; they log more when the variable names them.
const QUIET: &str = "azure_core=warn,azure_identity=warn,typespec_client_core=warn";

/// How much may wait to be written before lines are dropped, in bytes.
const BUFFER_BYTES: usize = 1 << 20;

/// The process's log, once it is set up.
static LOG: OnceLock<Arc<LogWriter>> = OnceLock::new();

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

/// Why the log cannot be set up.
#[derive(Debug, Error)]
pub enum LoggingError {
    /// The variable is not a valid filter.
    #[error("failed to parse {VARIABLE}: {0}; write for example info or info,portolan::control=debug")]
    Filter(ParseError),
    /// The variable is not text.
    #[error("{VARIABLE} is not valid UTF-8")]
    NotText,
    /// The process has a log already.
    #[error("failed to set up the log: {0}")]
    Twice(TryInitError),
    /// The writer's thread cannot be started.
    #[error("failed to start the log writer: {0}")]
    Writer(io::Error),
}

/// Writes what is left of the log when it is dropped, for a second at most.
#[derive(Debug)]
#[must_use = "the last lines are written when this is dropped"]
pub struct EventLog(Arc<LogWriter>);

impl Drop for EventLog {
    fn drop(&mut self) {
        self.0.finish();
    }
}

/// The line counts of the process's event log so far; `None` when it has none.
pub fn lines() -> Option<Lines> {
    LOG.get().map(|log| log.lines())
}

/// Sets up the log for the whole process, panics included.
///
/// # Errors
/// When [`VARIABLE`] is not a valid filter, the process has a log already, or there is no thread for it.
pub fn init(format: Format) -> Result<EventLog, LoggingError> {
    let directives = match env::var(VARIABLE) {
        Ok(directives) => directives,
        Err(VarError::NotPresent) => DEFAULT.into(),
        Err(VarError::NotUnicode(_)) => return Err(LoggingError::NotText),
    };
    let filter = EnvFilter::try_new(format!("{QUIET},{directives}")).map_err(LoggingError::Filter)?;
    let is_terminal = io::stderr().is_terminal();
    let as_json = format == Format::Json || format == Format::Auto && !is_terminal;
    let notice = if as_json { json_notice } else { human_notice };
    let log = LogWriter::start("event-log", Destination::Stderr, 1, BUFFER_BYTES, Some(notice));
    let log = Arc::new(log.map_err(LoggingError::Writer)?);
    let Some(buffer) = log.buffer(0) else {
        return Err(LoggingError::Writer(io::ErrorKind::NotFound.into()));
    };
    let writer = move || Appender(buffer.clone());
    let set_up = if as_json {
        json(filter, writer).try_init()
    } else {
        let colour = is_terminal && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        human(filter, writer, colour).try_init()
    };
    set_up.map_err(LoggingError::Twice)?;
    panic::set_hook(Box::new(log_panic));
    let _ = LOG.set(Arc::clone(&log));
    Ok(EventLog(log))
}

/// Appends one event.
#[derive(Debug)]
struct Appender(Buffer);

impl Write for Appender {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // An event comes whole, in one call.
        self.0.append(|buffer| {
            buffer.extend_from_slice(bytes);
            Ok::<_, Infallible>(())
        });
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn human_notice(dropped: u64) -> String {
    format!(" WARN {dropped} log lines were dropped: their reader is too slow\n")
}

fn json_notice(dropped: u64) -> String {
    let level = "WARN";
    let message = "log lines were dropped: their reader is too slow";
    let timestamp = humantime::format_rfc3339_micros(std::time::SystemTime::now());
    format!("{{\"timestamp\":\"{timestamp}\",\"level\":\"{level}\",\"message\":\"{message}\",\"dropped\":{dropped}}}\n")
}

/// Logs a panic where std would write it to the standard error, which may block.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let thread = thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    let message = panic.payload_as_str().unwrap_or("a value that is not text");
    let location = panic.location().map(ToString::to_string).unwrap_or_default();
    // Captured only when RUST_BACKTRACE asks for it.
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        tracing::error!(thread, location, %backtrace, "panicked: {message}");
    } else {
        tracing::error!(thread, location, "panicked: {message}");
    }
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
    use std::sync::Mutex;

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
    fn a_panic_is_an_event() {
        let memory = Memory::default();
        let writer = memory.clone();
        let subscriber = json(EnvFilter::new(DEFAULT), move || writer.clone());
        let before = panic::take_hook();
        panic::set_hook(Box::new(log_panic));
        let panicked = thread::Builder::new().name("worker-9".to_owned()).spawn(move || {
            tracing::subscriber::with_default(subscriber, || panic!("no slot {}", 65));
        });
        assert!(panicked.expect("a thread").join().is_err());
        panic::set_hook(before);
        let event: serde_json::Value = serde_json::from_str(&memory.text()).expect("one JSON object");
        assert_eq!(
            (&event["level"], &event["message"]),
            (&"ERROR".into(), &"panicked: no slot 65".into())
        );
        assert_eq!(event["thread"], "worker-9");
        assert!(
            event["location"]
                .as_str()
                .is_some_and(|place| place.contains("logging.rs")),
            "{event}"
        );
    }

    #[test]
    fn a_notice_of_dropped_lines_is_a_line_of_the_log() {
        let event: serde_json::Value = serde_json::from_str(&json_notice(7)).expect("one JSON object");
        assert_eq!((&event["level"], &event["dropped"]), (&"WARN".into(), &7.into()));
        assert!(human_notice(7).contains(" 7 ") && human_notice(7).ends_with('\n'));
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
    fn an_invalid_filter_names_its_variable() {
        let error = LoggingError::Filter(EnvFilter::try_new("portolan=loud").expect_err("no such level"));
        assert!(error.to_string().contains("PORTOLAN_LOG"), "{error}");
    }
}
