//! The head of a response, whatever protocol carries it.

use super::interim::{InterimSink, Switch};
use crate::lines::Lines;
use http::{HeaderMap, StatusCode};
use hyper::ext::ReasonPhrase;
use std::rc::{Rc, Weak};
use std::time::Duration;

/// Most interim responses before the final one.
pub(super) const MAX_INTERIM: u8 = 16;

/// Most bytes of a head.
pub(super) const MAX_HEAD: usize = u16::MAX as usize;

/// What an exchange expects of its responses.
#[derive(Debug, Default)]
pub(super) struct Expected {
    /// How many interim responses there were. 101 is the last one.
    pub(super) interims: u8,
    /// Where they go. `None` where they are dropped. Gone when the exchange has a response: the connection may outlive it.
    pub(super) interim: Option<Weak<dyn InterimSink>>,
    /// The change of protocol that was asked for.
    pub(super) upgrade: Option<Rc<dyn Switch>>,
    /// Whether nobody looks at the fields of the final one, so that they can stay [`Lines`].
    pub(super) as_lines: bool,
}

impl Expected {
    pub(super) fn new(interim: Option<&Rc<dyn InterimSink>>, upgrade: Option<Rc<dyn Switch>>, as_lines: bool) -> Self {
        Self {
            interims: 0,
            interim: interim.map(Rc::downgrade),
            upgrade,
            as_lines,
        }
    }
}

/// A response's head, ready for the client.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) status: StatusCode,
    /// The reason phrase, where it is not the usual one.
    pub(super) reason: Option<ReasonPhrase>,
    /// None where there are `lines`.
    pub(super) headers: HeaderMap,
    /// Its fields as they came, without those that end here and those that delimit the body.
    pub(super) lines: Option<Lines>,
    pub(super) ends: Ends,
    /// Whether the gateway keeps the connection open afterwards.
    pub(super) keeps_open: bool,
    /// Whether it has no body whatever its fields say.
    pub(super) is_bodiless: bool,
    /// How long the gateway keeps an idle connection open, if it says so.
    pub(super) idle_timeout: Option<Duration>,
    /// Whether it has fields that may have to be rewritten: see [`of_response`](crate::fields::of_response).
    pub(super) is_rewritable: bool,
}

/// How the body of a response is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ends {
    /// By its length in bytes; 0 without a body.
    Length(u64),
    /// By itself: the chunked coding, or the end of a stream. Trailers may come last.
    Chunked,
    /// By the end of the connection.
    Closed,
    /// None: another protocol follows.
    Switched,
}
