use super::*;
use serde_json::json;

#[test]
fn what_the_model_drops_is_found() {
    let raw = json!({"a": 1, "b": {"c": [{"d": "x"}, {"d": "y", "new": true}]}, "n": null, "e": [], "o": {}});
    assert!(lost(&raw, &raw).is_empty());
    let back = json!({"a": 1, "b": {"c": [{"d": "x"}, {"d": "y"}]}});
    assert_eq!(lost(&raw, &back), ["/b/c/1/new"]);
    assert_eq!(lost(&raw, &json!({})), ["/a", "/b/c/0/d", "/b/c/1/d", "/b/c/1/new"]);
    // What the model adds is not lost, a value that it changes is, and an empty text is a value.
    assert!(lost(&json!({"a": 1}), &json!({"a": 1, "b": 2})).is_empty());
    assert_eq!(lost(&json!({"a": "", "b": 1.5}), &json!({"b": 1})), ["/a", "/b"]);
}

#[test]
fn a_change_by_another_client_is_found() {
    let earlier = json!({"p": {"provisioningState": "Succeeded", "pools": [1, 2]}, "tags": {"a": "b"}});
    let now = json!({"p": {"provisioningState": "Updating", "pools": [1, 2, 3]}, "tags": {}});
    assert_eq!(differences(&earlier, &now), ["/p/pools/2", "/tags/a"]);
    assert!(differences(&earlier, &earlier).is_empty());
}
