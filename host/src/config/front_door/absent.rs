//! Built without Azure: the section is rejected.

use super::compound::{At, Named};
use super::document::Node;
use super::error::Mistakes;
use super::publication::FrontDoorSettings;
use super::regions::Places;
use super::services::ServiceSection;
use super::shape::Shape;
use serde_json::{Value, json};
use std::path::Path;

/// The section, which cannot be read.
#[derive(Debug)]
pub(in crate::config) enum FrontDoorSection {}

impl Shape for FrontDoorSection {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        mistakes.at_key(
            node.id(),
            "this program was built without Azure: remove the section, or use a build with the cargo feature azure",
        );
        None
    }

    fn schema() -> Value {
        json!({ "not": {} })
    }
}

impl FrontDoorSection {
    pub(super) fn settings(
        &self,
        _: Option<&At<Named<ServiceSection>>>,
        _: Option<&At<String>>,
        _: &Places,
        _: &Path,
        _: &mut Mistakes<'_>,
    ) -> Option<FrontDoorSettings> {
        match *self {}
    }
}
