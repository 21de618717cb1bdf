//! The audit log: every action of an operator with who, what, why and its result, as an event and as a line in the log.

use super::Caller;
use super::answer::{Answer, Refused};
use super::backend::AdminBackend;
use super::query::parameters;
use crate::control::events::EventKind;

/// The longest reason or author, in characters: what is longer is cut.
const LONGEST: usize = 500;

/// An action that an operator asked for.
pub(super) struct Action {
    /// What, and to what: `drain westeurope`.
    what: String,
    /// Who, as far as is known.
    by: String,
    /// Why; empty when no reason was given.
    reason: String,
}

impl Action {
    /// By this caller, with what the query says of it.
    pub(super) fn new(what: String, caller: &Caller, query: &str) -> Self {
        let said = |key: &str| {
            let value = parameters(query).find(|(name, _)| name == key)?.1;
            let line: String = value.chars().filter(|c| !c.is_control()).take(LONGEST).collect();
            Some(line.trim().to_owned()).filter(|line| !line.is_empty())
        };
        Self {
            what,
            by: match said("author") {
                // What a client says of itself, and what is known of it.
                Some(author) => format!("{author} ({})", caller.name),
                None => caller.name.clone(),
            },
            reason: said("reason").unwrap_or_default(),
        }
    }

    /// It came with the token of this key.
    pub(super) fn with_token(self, key: &str) -> Self {
        Self {
            by: format!("{}, token of {key}", self.by),
            ..self
        }
    }

    /// It was answered.
    pub(super) fn ended(self, instance: &dyn AdminBackend, answer: &Answer) {
        let Self { what, by, reason } = self;
        let status = answer.status();
        let result = match answer.extensions().get::<Refused>() {
            _ if status.is_success() => "done".to_owned(),
            Some(Refused(why)) => format!("refused: {why}"),
            None => format!("refused: status {}", status.as_u16()),
        };
        tracing::info!(target: "portolan::audit", action = %what, %by, %reason, %result, "operator action");
        let event = EventKind::OperatorAction.of(what).reason(reason).author(Some(&by));
        instance.events().add(event.result(result));
    }
}
