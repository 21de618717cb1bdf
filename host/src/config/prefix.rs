//! A prefix of paths.

use super::document::Node;
use super::error::Mistakes;
use super::shape::{Shape, wanted};
use super::values::scalar;
use serde_json::{Value, json};

/// A path prefix.
#[derive(Clone, Debug)]
pub(super) struct Prefix(String);

impl Prefix {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Shape for Prefix {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        let fits = |text: &&str| text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic());
        match scalar(node).filter(fits).filter(|text| !text.contains(['?', '#'])) {
            Some(path) => Some(Self(path.to_owned())),
            None => wanted(node, "a path that begins with /, without query", mistakes),
        }
    }

    fn schema() -> Value {
        json!({ "type": "string", "pattern": "^/[!-~]*$" })
    }
}
