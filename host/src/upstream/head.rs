//! The head of a response, whatever protocol carries it.

use super::interim::{InterimSink, Switch};
use http::{HeaderMap, StatusCode};
use hyper::ext::ReasonPhrase;
use std::rc::{Rc, Weak};
use std::time::Duration;

/// Most interim responses before the final one.
pub(super) const MAX_INTERIM: u8 = 16;

/// Most bytes of a head.
pub(super) const MAX_HEAD: usize = u16::MAX as usize;

/// The interim responses of an exchange: how many there were, and where they go. 101 is the last one.
#[derive(Debug, Default)]
pub(super) struct Interims {
    pub(super) count: u8,
    /// `None` where they are dropped. Gone when the exchange has a response: the connection may outlive it.
    pub(super) to: Option<Weak<dyn InterimSink>>,
    /// The change of protocol that was asked for.
    pub(super) upgrade: Option<Rc<dyn Switch>>,
}

impl Interims {
    pub(super) fn new(to: Option<&Rc<dyn InterimSink>>, upgrade: Option<Rc<dyn Switch>>) -> Self {
        Self {
            count: 0,
            to: to.map(Rc::downgrade),
            upgrade,
        }
    }
}

/// A response's head, ready for the client.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) status: StatusCode,
    /// The reason phrase, where it is not the usual one.
    pub(super) reason: Option<ReasonPhrase>,
    pub(super) headers: HeaderMap,
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
