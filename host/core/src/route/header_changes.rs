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

    /// These changes and those of `first`, as if that came before: a field that both set is set by these.
    #[must_use]
    pub fn after(&self, first: Option<&Self>) -> Self {
        let Some(first) = first else { return self.clone() };
        let is_own = |name: &HeaderName| self.set.iter().any(|(own, _)| own == name);
        let others = |fields: &[(HeaderName, HeaderValue)]| -> Vec<_> {
            fields.iter().filter(|(name, _)| !is_own(name)).cloned().collect()
        };
        let (mut set, mut add) = (others(&first.set), others(&first.add));
        set.extend_from_slice(&self.set);
        add.extend_from_slice(&self.add);
        Self {
            set: set.into(),
            add: add.into(),
            remove: first.remove.iter().chain(&self.remove).cloned().collect(),
        }
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

    #[test]
    fn changes_after_others_win() {
        let first = HeaderChanges {
            set: list(&[("x-a", "route"), ("x-b", "route")]),
            add: list(&[("x-c", "route"), ("x-a", "added")]),
            remove: [HeaderName::from_static("x-d")].into(),
        };
        let own = HeaderChanges {
            set: list(&[("x-a", "plugin")]),
            add: Box::default(),
            remove: [HeaderName::from_static("x-b")].into(),
        };
        let both = own.after(Some(&first));
        let mut headers: HeaderMap = list(&[
            ("x-a", "client"),
            ("x-b", "client"),
            ("x-d", "client"),
            ("x-e", "client"),
        ])
        .into_iter()
        .collect();
        both.apply(&mut headers);
        for (name, values) in [
            ("x-a", &["plugin"][..]),
            ("x-b", &["route"]),
            ("x-c", &["route"]),
            ("x-d", &[]),
            ("x-e", &["client"]),
        ] {
            assert_eq!(headers.get_all(name).iter().collect::<Vec<_>>(), values, "{name}");
            let drops = ["x-a", "x-b", "x-d"].contains(&name);
            assert_eq!(both.drops(&HeaderName::from_static(name)), drops, "{name}");
        }
        assert_eq!(own.after(None), own);
    }
}
