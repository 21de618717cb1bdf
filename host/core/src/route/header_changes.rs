//! What a route changes of the fields of requests and responses.

use http::{HeaderMap, HeaderName, HeaderValue};

/// Changes of fields. No name is in two of the lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderChanges {
    /// Fields with one value each, whatever there was before.
    pub set: Box<[(HeaderName, HeaderValue)]>,
    /// Fields that are added to those of the same name.
    pub add: Box<[(HeaderName, HeaderValue)]>,
    /// Fields that are removed.
    pub remove: Box<[HeaderName]>,
}

impl HeaderChanges {
    /// Whether a field does not stay as it is.
    pub fn drops(&self, name: &HeaderName) -> bool {
        self.remove.contains(name) || self.set.iter().any(|(set, _)| set == name)
    }

    /// The fields that come in addition to those that stay.
    pub fn added(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        self.set.iter().chain(&self.add).map(|(name, value)| (name, value))
    }

    /// Changes fields.
    pub fn apply(&self, headers: &mut HeaderMap) {
        for name in &self.remove {
            headers.remove(name);
        }
        for (name, value) in &self.set {
            headers.insert(name, value.clone());
        }
        for (name, value) in &self.add {
            headers.append(name, value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(fields: &[(&'static str, &'static str)]) -> Box<[(HeaderName, HeaderValue)]> {
        let fields = fields
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        fields.collect()
    }

    #[test]
    fn fields_are_set_added_and_removed() {
        let changes = HeaderChanges {
            set: list(&[("a", "1")]),
            add: list(&[("b", "2")]),
            remove: [HeaderName::from_static("c")].into(),
        };
        let before = [("a", "x"), ("a", "y"), ("b", "x"), ("c", "x"), ("d", "x")];
        let mut headers = HeaderMap::new();
        headers.extend(
            list(&before)
                .into_vec()
                .into_iter()
                .map(|(name, value)| (Some(name), value)),
        );
        let mut kept: Vec<_> = headers
            .iter()
            .filter(|(name, _)| !changes.drops(name))
            .chain(changes.added())
            .map(|(name, value)| (name.as_str(), value.to_str().expect("text")))
            .collect();
        kept.sort_unstable();
        let expected = [("a", "1"), ("b", "2"), ("b", "x"), ("d", "x")];
        assert_eq!(kept, expected, "field by field");
        changes.apply(&mut headers);
        let mut all: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().expect("text")))
            .collect();
        all.sort_unstable();
        assert_eq!(all, expected, "all at once");
    }
}
