//! The rules of `contract/behaviours.json`.

use serde_json::{Value, json};

use crate::testing::Reply;

/// One rule of the file.
pub(super) struct Rule(pub(super) Value);

/// All rules of the file.
pub(super) fn rules() -> Vec<Value> {
    let text = include_str!("../../../contract/behaviours.json");
    serde_json::from_str::<Value>(text).unwrap()["rules"]
        .as_array()
        .unwrap()
        .clone()
}

impl Rule {
    /// The rule that a test is named after.
    pub(super) fn named(test: &str) -> Rule {
        let id = test.replace('_', "-");
        Rule(
            rules()
                .into_iter()
                .find(|rule| rule["id"] == id)
                .unwrap_or_else(|| panic!("there is no rule {id}")),
        )
    }

    /// The answer has the rule's status, error code and, as far as it is fixed, text.
    pub(super) fn is_met_by(&self, reply: &Reply) {
        assert_eq!(json!(reply.status.as_u16()), self.0["status"], "{reply:?}");
        let (error, expected) = (&reply.json()["error"], &self.0["body"]["error"]);
        assert_eq!(error["code"], expected["code"]);
        let text = expected["message"].as_str().unwrap();
        if !text.contains('<') {
            assert_eq!(error["message"], text);
        }
        assert_eq!(error["details"], json!([]));
    }
}
