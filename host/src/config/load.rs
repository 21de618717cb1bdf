//! From a file to a configuration.

use super::document::{Document, Unreadable};
use super::error::{ConfigErrors, Mistake, Mistakes};
use super::file::File;
use super::include;
use super::reader::{MAX_SIZE, Reader, System, is_json, text};
use super::settings::{Configuration, Settings};
use super::shape::Shape;
use super::sources::Sources;
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;

/// What is shown in place of what may be secret.
const REDACTED: &str = "[redacted]";

/// Reads a configuration file and the files it includes.
///
/// # Errors
/// All their mistakes; or that one cannot be read.
pub fn load(file: &Path) -> Result<Configuration, ConfigErrors> {
    load_with(file, &System)
}

/// The same with files and variables from elsewhere.
///
/// # Errors
/// All their mistakes; or that one cannot be read.
pub fn load_with(file: &Path, reader: &dyn Reader) -> Result<Configuration, ConfigErrors> {
    match reader.read(file, MAX_SIZE) {
        Ok(bytes) => parse_with(&bytes, file, reader),
        Err(error) => Err(ConfigErrors::whole(file, format!("cannot be read: {error}"))),
    }
}

/// Reads the content of a configuration file, and the files it includes. Relative paths in it are relative to the folder of `file`.
///
/// # Errors
/// All their mistakes.
pub fn parse(content: &[u8], file: &Path) -> Result<Configuration, ConfigErrors> {
    parse_with(content, file, &System)
}

/// The same with other files and variables from elsewhere.
pub(super) fn parse_with(content: &[u8], file: &Path, reader: &dyn Reader) -> Result<Configuration, ConfigErrors> {
    if content.len() as u64 > MAX_SIZE {
        return Err(ConfigErrors::whole(
            file,
            format!("is larger than {} MiB", MAX_SIZE / 1024 / 1024),
        ));
    }
    let text = text(content).map_err(|message| ConfigErrors::whole(file, message))?;
    let mut document = Document::parse(text, is_json(file)).map_err(|error| ConfigErrors {
        file: file.to_owned(),
        mistakes: vec![Mistake::from(error)],
        more: 0,
    })?;
    let included = include::add(&mut document, file, content.len(), reader);
    // Without the values of variables, which may be secret. Whatever is in it that JSON does not have is where any value may
    // be, and is reported there.
    let mut written = Value::read(document.root(), &mut Mistakes::of(&document)).unwrap_or_default();
    redact(&mut written);
    document.expand(&|name| reader.variable(name));
    let mut mistakes = Mistakes::of(&document);
    let folder = file.parent().unwrap_or(Path::new(""));
    let read = File::read(document.root(), &mut mistakes);
    let configuration = read.and_then(|file| file.configuration(folder, &mut mistakes));
    let warnings = mistakes.into_warnings(file)?;
    match configuration {
        Some(Configuration { fixed, settings, .. }) => Ok(Configuration {
            fixed,
            settings: Settings {
                written,
                sources: Arc::new(Sources::new(document, included)),
                ..settings
            },
            warnings,
        }),
        // Not reached: whatever is left out of the settings has been reported. A test tries to prove it wrong.
        None => Err(ConfigErrors::whole(file, "does not hold together")),
    }
}

/// Hides what may be secret from those who look at the configuration: the configuration of plugins, whose meaning
/// only the plugin knows, and the fields of health checks. The names of its keys are kept, to show which are set.
fn redact(written: &mut Value) {
    redact_each(written, "plugins", "/config");
    redact_each(written, "services", "/health_check/headers");
}

/// Hides what is at this place in each value of a mapping.
fn redact_each(written: &mut Value, mapping: &str, place: &str) {
    let mapping = written.get_mut(mapping).and_then(Value::as_object_mut);
    let values = mapping.into_iter().flat_map(|mapping| mapping.values_mut());
    for secret in values.filter_map(|value| value.pointer_mut(place)) {
        match secret {
            Value::Object(keys) => keys.values_mut().for_each(|value| *value = REDACTED.into()),
            other => *other = REDACTED.into(),
        }
    }
}

impl From<Unreadable> for Mistake {
    fn from(error: Unreadable) -> Self {
        let (line, column) = (error.position.line, error.position.column);
        Self {
            line,
            column,
            ..Self::new("", error.message)
        }
    }
}
