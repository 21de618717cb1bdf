//! The access log: where its lines go, what they look like, and which requests have one.

use super::compound::At;
use super::document::{Content, Node};
use super::error::Mistakes;
use super::rollout::SharePercent;
use super::section::section;
use super::settings::{AccessLog, LogDestination};
use super::shape::Shape;
use super::values::{FilePath, word};
use crate::telemetry::access_log::{Errors, Rules};
use crate::telemetry::template::Template;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

/// `stdout`, `off`, or a section.
#[derive(Debug)]
pub(super) enum AccessLogShape {
    Stdout,
    Off,
    Section(AccessLogSection),
}

section! {
    /// An access log in a file, of another format, or of a sample.
    AccessLogSection {
        /// The file that lines are appended to. SIGHUP and SIGUSR1 open it anew. Default: the standard output.
        optional file: FilePath,
        /// json, or a template of Envoy's command operators, such as '%START_TIME% %REQ(:METHOD)% %PATH(NQ)% %RESPONSE_CODE%'. %PORTOLAN(KEY)%
        /// is what JSON has as KEY. Only JSON can be replayed. Default: json.
        optional format: At<String>,
        /// The share of requests that are logged, such as 10%. In JSON, weight then tells how many requests a line stands for. Default:
        /// all.
        optional sample: SharePercent,
        /// Whether requests that failed, by a status of 5xx or without a whole response, are logged whatever the sample: always, or
        /// sampled as all others. Default: always.
        optional errors: ErrorsShape,
    }
}

/// `always` or `sampled`.
#[derive(Clone, Copy, Debug)]
pub(super) struct ErrorsShape(Errors);

impl Shape for ErrorsShape {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        let words = [("always", Errors::Always), ("sampled", Errors::Sampled)];
        word(node, &words, "always or sampled", mistakes).map(Self)
    }

    fn schema() -> Value {
        json!({ "enum": ["always", "sampled"] })
    }
}

impl AccessLogShape {
    /// The settings. A template that cannot be read is reported.
    pub(super) fn settings(&self, folder: &Path, mistakes: &mut Mistakes<'_>) -> AccessLog {
        let (to, rules) = match self {
            Self::Stdout => (LogDestination::Stdout, Rules::default()),
            Self::Off => (LogDestination::Off, Rules::default()),
            Self::Section(section) => {
                let to = section
                    .file
                    .as_ref()
                    .map(|file| LogDestination::File(file.within(folder)));
                (to.unwrap_or_default(), section.rules(mistakes))
            }
        };
        AccessLog { to, rules }
    }
}

impl AccessLogSection {
    fn rules(&self, mistakes: &mut Mistakes<'_>) -> Rules {
        let format = self.format.as_ref().filter(|format| format.value != "json");
        let template = format.and_then(|format| match Template::parse(&format.value) {
            Ok(template) if !template.has_values() => {
                mistakes.at(
                    format.id,
                    "wanted json, or a template with commands such as %START_TIME%: every line would be the same",
                );
                None
            }
            Ok(template) => Some(Arc::new(template)),
            Err(error) => {
                mistakes.at(format.id, error.to_string());
                None
            }
        });
        Rules {
            template,
            sample: self.sample.map(SharePercent::share),
            errors: self.errors.map(|errors| errors.0).unwrap_or_default(),
        }
    }
}

impl Shape for AccessLogShape {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        if let Content::Map(_) = node.content() {
            return AccessLogSection::read(node, mistakes).map(Self::Section);
        }
        let words = [("stdout", true), ("off", false), ("false", false)];
        let stdout = word(node, &words, "stdout, off or { file: PATH }", mistakes)?;
        Some(if stdout { Self::Stdout } else { Self::Off })
    }

    fn schema() -> Value {
        json!({ "anyOf": [{ "enum": ["stdout", "off", false] }, AccessLogSection::schema()] })
    }
}
