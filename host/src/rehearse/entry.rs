//! What is read of a line of the access log.

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use std::borrow::Cow;
use std::fmt;

/// An entry of the access log, as far as a decision depends on it or follows from it. Texts that are not there are empty.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct Entry<'a> {
    #[serde(borrow)]
    pub(super) time: Text<'a>,
    #[serde(borrow)]
    pub(super) request_id: Text<'a>,
    #[serde(borrow)]
    pub(super) client: Text<'a>,
    #[serde(borrow)]
    pub(super) country: Text<'a>,
    #[serde(borrow)]
    pub(super) protocol: Text<'a>,
    #[serde(borrow)]
    pub(super) method: Text<'a>,
    #[serde(borrow)]
    pub(super) host: Text<'a>,
    #[serde(borrow)]
    pub(super) path: Text<'a>,
    #[serde(borrow)]
    pub(super) outcome: Text<'a>,
    #[serde(borrow)]
    pub(super) service: Text<'a>,
    #[serde(borrow)]
    pub(super) region: Text<'a>,
    #[serde(borrow)]
    pub(super) attempts: Vec<Attempt<'a>>,
    #[serde(borrow)]
    pub(super) by: Text<'a>,
    #[serde(borrow)]
    pub(super) reason: Text<'a>,
    #[serde(borrow)]
    pub(super) roll: Text<'a>,
    pub(super) plugin_rejects: Option<u16>,
    /// How many requests it stands for, in a log of a sample.
    pub(super) weight: Option<f64>,
}

/// One of its attempts.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct Attempt<'a> {
    #[serde(borrow)]
    pub(super) region: Text<'a>,
}

impl Entry<'_> {
    /// The region that was tried first, or that the client was sent to; empty when there was none.
    pub(super) fn first_region(&self) -> &str {
        let first = self.attempts.first().map(|attempt| attempt.region.as_str());
        first
            .filter(|region| !region.is_empty())
            .unwrap_or(self.region.as_str())
    }

    /// How many requests it stands for, in thousandths.
    pub(super) fn weight(&self) -> u64 {
        let weight = self.weight.filter(|weight| (1.0..=1e6).contains(weight));
        (weight.unwrap_or(1.0) * 1e3).round() as u64
    }

    /// The number that chance gave its decision, where it was logged.
    pub(super) fn roll(&self) -> Option<u64> {
        u64::from_str_radix(self.roll.as_str(), 16).ok()
    }

    /// What became of its session; `None` where it had none.
    pub(super) fn session(&self) -> Option<&str> {
        self.parts().find_map(|part| part.strip_prefix("session="))
    }

    /// The parts of its reason.
    pub(super) fn parts(&self) -> impl Iterator<Item = &str> {
        self.reason.as_str().split("; ")
    }
}

/// A text that is borrowed from the line unless something in it is escaped; empty for null.
#[derive(Debug, Default)]
pub(super) struct Text<'a>(Cow<'a, str>);

impl Text<'_> {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(text.to_owned())))
    }

    fn visit_unit<E: Error>(self) -> Result<Text<'de>, E> {
        Ok(Text::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_borrows_what_is_not_escaped() {
        let line = r#"{"time":"2026-11-28T10:00:00.000001Z","client":"192.0.2.1","host":null,"path":"/a\"b","service":"shop",
            "region":"eastus2","attempts":[{"region":"westeurope","outcome":"reset"},{"region":"eastus2"}],"by":"policy",
            "reason":"latency; session=kept; not uksouth=draining","roll":"00000000000000ff","unheard":{"of":[1]}}"#;
        let entry: Entry<'_> = serde_json::from_str(line).expect("an entry");
        assert!(matches!(entry.client.0, Cow::Borrowed("192.0.2.1")));
        assert_eq!((entry.host.as_str(), entry.path.as_str()), ("", "/a\"b"));
        assert_eq!(entry.first_region(), "westeurope");
        assert_eq!((entry.roll(), entry.session()), (Some(255), Some("kept")));
        let redirected: Entry<'_> = serde_json::from_str(r#"{"region":"eastus2","attempts":[]}"#).expect("an entry");
        assert_eq!((redirected.first_region(), redirected.roll()), ("eastus2", None));
        assert!(serde_json::from_str::<Entry<'_>>(r#"{"client":7}"#).is_err());
    }
}
