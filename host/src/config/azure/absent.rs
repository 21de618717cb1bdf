//! Built without Azure: an identity there is rejected.

use super::document::Node;
use super::error::Mistakes;
use super::publication::AzureCredential;
use super::shape::Shape;
use serde_json::{Value, json};
use std::path::Path;

/// Who this instance is for Azure, which cannot be read.
#[derive(Debug)]
pub(in crate::config) enum CredentialShape {}

impl Shape for CredentialShape {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        mistakes.at_key(
            node.id(),
            "this program was built without Azure: remove the key, or use a build with the cargo feature azure",
        );
        None
    }

    fn schema() -> Value {
        json!({ "not": {} })
    }
}

impl CredentialShape {
    pub(in crate::config) fn settings(&self, _: &Path, _: &mut Mistakes<'_>) -> Option<AzureCredential> {
        match *self {}
    }
}
