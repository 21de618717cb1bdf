//! Session affinity of a service.

use super::compound::At;
use super::document::{Node, NodeId};
use super::error::Mistakes;
use super::prefix::Prefix;
use super::quantities::{H, S, Time};
use super::section::section;
use super::shape::{Shape, wanted};
use super::values::{scalar, words};
use http::HeaderName;
use portolan_core::config::{Affinity, AffinityBy, AffinityCookie, Failover, When};
use serde_json::{Value, json};
use std::time::Duration;

section! {
    /// Session affinity: requests that belong together are answered by one region, as long as that may answer. Residency, drains, health,
    /// capacity and slow start come before it, the policy after it. With one of cookie and header.
    AffinitySection {
        /// By a signed cookie, which is given with the first response.
        optional cookie: CookieSection,
        /// By the value of a field, such as X-Tenant-Id: equal values have one region, spread over all regions by weight. Requests
        /// without the field are decided by the policy.
        optional header: Field,
        /// What becomes of sessions whose region is unhealthy. temporary: they come back with it. sticky: they stay with the region that
        /// answered instead; only with cookie. When their region is drained they stay away in both cases. Default: temporary.
        optional failover: FailoverWord,
        /// To which requests it applies. always: to all, unless the service's plugin turns it off. plugin: to those for which the
        /// service's plugin turns it on. Default: always.
        optional when: At<WhenWord>,
    }
}

section! {
    /// The cookie of sessions.
    CookieSection {
        /// Its name. Default: portolan-affinity.
        optional name: Token,
        /// For which paths clients send it. Default: /.
        optional path: Prefix,
        /// How long clients keep it. Default: until they are closed.
        optional max_age: Time<{ S }, { 400 * 24 * H }>,
    }
}

words! {
    /// What becomes of sessions whose region is unhealthy.
    FailoverWord {
        /// They come back.
        Temporary = "temporary",
        /// They stay away.
        Sticky = "sticky",
    }
}

words! {
    /// To which requests affinity applies.
    WhenWord {
        /// To all.
        Always = "always",
        /// To those of the plugin's choice.
        Plugin = "plugin",
    }
}

impl AffinitySection {
    /// Where it says that affinity applies to what a plugin chooses, if it does.
    pub(super) fn waits_for_plugin(&self) -> Option<NodeId> {
        let when = self.when.as_ref()?;
        matches!(when.value, WhenWord::Plugin).then_some(when.id)
    }

    /// `None` only when something has been reported.
    pub(super) fn settings(&self, mistakes: &mut Mistakes<'_>) -> Option<Affinity> {
        let failover = match self.failover {
            Some(FailoverWord::Sticky) => Failover::Sticky,
            Some(FailoverWord::Temporary) | None => Failover::Temporary,
        };
        let by = match (&self.cookie, &self.header) {
            (Some(cookie), None) => AffinityBy::Cookie(cookie.settings()),
            (None, Some(header)) => AffinityBy::Header(header.0.clone()),
            (Some(_), Some(_)) => {
                mistakes.at(self.at, "cookie or header, not both");
                return None;
            }
            (None, None) => {
                mistakes.at(
                    self.at,
                    "cookie or header is missing, such as { cookie: {} } or { header: X-Tenant-Id }",
                );
                return None;
            }
        };
        if failover == Failover::Sticky && self.header.is_some() {
            mistakes.at(
                self.at,
                "failover: sticky needs a cookie, which tells clients of the move",
            );
            return None;
        }
        let when = match self.when.as_ref().map(|when| when.value) {
            Some(WhenWord::Plugin) => When::Plugin,
            Some(WhenWord::Always) | None => When::Always,
        };
        Some(Affinity { by, failover, when })
    }
}

impl CookieSection {
    fn settings(&self) -> AffinityCookie {
        AffinityCookie {
            name: self.name.as_ref().map_or("portolan-affinity", |name| &name.0).into(),
            path: self.path.as_ref().map_or("/", |path| path.as_str()).into(),
            max_age: self.max_age.map(|time: Time<_, _>| -> Duration { time.0 }),
        }
    }
}

/// The name of a field.
#[derive(Clone, Debug)]
pub(super) struct Field(HeaderName);

impl Shape for Field {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        match scalar(node).and_then(|text| HeaderName::try_from(text).ok()) {
            Some(name) => Some(Self(name)),
            None => wanted(node, "the name of a field, such as X-Tenant-Id", mistakes),
        }
    }

    fn schema() -> Value {
        json!({ "type": "string", "pattern": "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$" })
    }
}

/// The name of a cookie (RFC 6265, section 4.1.1).
#[derive(Clone, Debug)]
pub(super) struct Token(String);

impl Shape for Token {
    fn read(node: Node<'_>, mistakes: &mut Mistakes<'_>) -> Option<Self> {
        // A field's name is a token as well.
        let fits = |text: &&str| HeaderName::try_from(*text).is_ok();
        match scalar(node).filter(fits) {
            Some(name) => Some(Self(name.to_owned())),
            None => wanted(node, "the name of a cookie, such as portolan-affinity", mistakes),
        }
    }

    fn schema() -> Value {
        json!({ "type": "string", "pattern": "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$" })
    }
}
