//! Session affinity of a service.

use http::HeaderName;
use std::time::Duration;

/// How a service's requests belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Affinity {
    /// What they have in common.
    pub by: AffinityBy,
    /// What becomes of sessions whose region fails.
    pub failover: Failover,
    /// To which requests it applies.
    pub when: When,
}

/// To which requests affinity applies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum When {
    /// To all, unless the service's plugin turns it off.
    #[default]
    Always,
    /// To those for which the service's plugin turns it on.
    Plugin,
}

/// What the requests of a session have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AffinityBy {
    /// A signed cookie, which the proxy gives with the first response.
    Cookie(AffinityCookie),
    /// The value of a field. Requests without it belong to no session.
    Header(HeaderName),
}

/// The cookie of sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AffinityCookie {
    /// Its name, a token.
    pub name: Box<str>,
    /// For which paths clients send it.
    pub path: Box<str>,
    /// How long clients keep it. `None`: until they are closed.
    pub max_age: Option<Duration>,
}

/// What becomes of sessions whose region is unhealthy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Failover {
    /// They come back with their region.
    #[default]
    Temporary,
    /// They stay with the region that answered instead.
    Sticky,
}
