//! What is lost between a resource and its model, and what differs between two readings of it. Pure.

use serde_json::Value;

/// Members that the service changes on its own.
const VOLATILE: [&str; 2] = ["provisioningState", "resourceState"];

/// The paths of all members of `raw` that are set and are not the same in `back`. Null, an empty array or object and
/// a missing member are one to the service; an empty text is not.
pub(crate) fn lost(raw: &Value, back: &Value) -> Vec<String> {
    let mut paths = Vec::new();
    missing_from(back, raw, "", &mut paths);
    paths
}

/// The paths at which two readings differ, but for what the service changes on its own.
pub(crate) fn differences(earlier: &Value, now: &Value) -> Vec<String> {
    let mut paths = Vec::new();
    missing_from(now, earlier, "", &mut paths);
    missing_from(earlier, now, "", &mut paths);
    paths.retain(|path| !VOLATILE.iter().any(|member| path.ends_with(member)));
    paths.sort();
    paths.dedup();
    paths
}

fn missing_from(there: &Value, wanted: &Value, path: &str, paths: &mut Vec<String>) {
    match (wanted, there) {
        (Value::Object(wanted), _) => {
            for (member, value) in wanted {
                missing_from(&there[member.as_str()], value, &format!("{path}/{member}"), paths);
            }
        }
        (Value::Array(wanted), _) => {
            for (index, value) in wanted.iter().enumerate() {
                missing_from(&there[index], value, &format!("{path}/{index}"), paths);
            }
        }
        (Value::Null, _) => {}
        (wanted, there) if wanted == there => {}
        _ => paths.push(path.to_owned()),
    }
}

#[cfg(test)]
mod tests;
