//! Exchanges over HTTP/2: a stream on a connection that others share.

use super::clock;
use super::connecting::Opened;
use super::dial::DialError;
use super::error::ExchangeError;
use super::exchange::AttemptError;
use super::head::Head;
use super::http1;
use super::http2::{self, Named, Stream};
use super::in_flight::{Pool, Spoken};
use super::replay::ReplayBody;
use super::request::Outbound;
use super::target::GatewayTarget;
use super::terms::Terms;
use super::waiting::Waiting;
use crate::vitals::Stale;
use portolan_core::config::{Protocol, Reuse};
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::spawn_local;

/// How often a stream is begun on another connection because the one before had just ended.
const TRIES: u32 = 3;

/// Time for each step of a connection that nobody waits for.
const SPARE: Duration = Duration::from_secs(1);

/// How far an exchange came.
#[derive(Debug)]
pub(super) enum Reached {
    /// The head of the response.
    Head(Box<Head>),
    /// The gateway speaks HTTP/1.1. Perhaps on this new connection.
    Http1(Option<Box<http1::Connection>>),
}

/// A request on its way to a gateway of HTTP/2.
#[derive(Clone, Copy)]
pub(super) struct Errand<'a> {
    pub(super) target: &'a GatewayTarget,
    pub(super) request: &'a Outbound<'a>,
    pub(super) body: &'a ReplayBody,
    pub(super) terms: &'a Terms<'a>,
    /// Whether the request may be sent again although it may have arrived.
    pub(super) may_repeat: bool,
}

impl Pool {
    /// Sends a request as a stream, on the connection that was just opened or else one of the pool's, and waits for the head of
    /// its response. What the gateway has certainly not processed is sent once more, over another connection; and so is what can be
    /// repeated, when a connection that was used before has ended.
    pub(super) async fn over_http2(
        self: &Rc<Self>,
        errand: Errand<'_>,
        mut opened: Option<Rc<http2::Connection>>,
        waiting: &mut Waiting<'_>,
    ) -> Result<Reached, AttemptError> {
        if self.spoken.get() == Spoken::Unknown {
            match self.decide(errand).await? {
                Some(Opened::Http1(connection)) => return Ok(Reached::Http1(Some(connection))),
                Some(Opened::Http2(connection)) => opened = Some(connection),
                None => {}
            }
        }
        let Errand {
            target, request, body, ..
        } = errand;
        let named = Named {
            // A request without Host gets the gateway's own.
            authority: target
                .uri_authority
                .as_ref()
                .filter(|_| !target.preserve_host || !request.has_host()),
            is_https: target.tls().is_some(),
        };
        let is_single = target.upstream.reuse == Reuse::Never;
        if let Some(connection) = opened.as_ref().filter(|_| !is_single) {
            self.streams.add(Rc::clone(connection));
        }
        let mut tries = 1..TRIES;
        let mut before: Option<Rc<http2::Connection>> = None;
        while self.spoken.get() != Spoken::Http1 {
            let connection = match opened.take() {
                Some(connection) => connection,
                None if is_single => match self.open_one(errand).await? {
                    Opened::Http1(connection) => return Ok(Reached::Http1(Some(connection))),
                    Opened::Http2(connection) => connection,
                },
                None => match self.shared(errand, before.as_ref()).await? {
                    Some(connection) => connection,
                    None => continue,
                },
            };
            let is_used = connection.is_used();
            request.attempted_in(errand.terms.progress.slot);
            let stream = match Stream::begin(Rc::clone(&connection), request, named, body.reader()) {
                Ok(stream) => stream,
                Err(ExchangeError::Unsent) if tries.next().is_some() => continue,
                Err(error) => return Err(error.into()),
            };
            if is_single {
                connection.retire();
                self.streams.keep(Rc::clone(&connection));
            }
            match waiting.over(stream).await {
                Ok(head) => {
                    if is_used {
                        self.vitals.keep_alive.reused(errand.terms.began);
                    }
                    return Ok(Reached::Head(Box::new(head)));
                }
                Err(error) if before.is_none() => {
                    self.sent_again(errand, &connection, error, waiting)?;
                    before = Some(connection);
                }
                Err(error) => return Err(waiting.failed(error)),
            }
        }
        Ok(Reached::Http1(None))
    }

    /// Whether a request that failed over a connection is sent again over another one. Else gives the error of the attempt.
    fn sent_again(
        &self,
        errand: Errand<'_>,
        connection: &http2::Connection,
        error: ExchangeError,
        waiting: &Waiting<'_>,
    ) -> Result<(), AttemptError> {
        let is_unprocessed = error.is_unprocessed();
        let is_closed = connection.is_used() && matches!(error, ExchangeError::Unanswered(_));
        if !is_unprocessed && !is_closed {
            return Err(waiting.failed(error));
        }
        if errand.body.is_replayable() && (errand.terms.may_repeat || is_unprocessed) {
            self.vitals.stale(self.worker, Stale::Retried);
            return Ok(());
        }
        self.vitals.stale(self.worker, Stale::Failed);
        Err(match is_unprocessed {
            // Not a failure of the gateway, but the part of the body that was read is lost.
            true => AttemptError::Stale,
            false => AttemptError::Spoilt(error),
        })
    }

    /// The first connection shows which version the gateway speaks: others wait for it, once. Gives the connection that this request
    /// has opened.
    async fn decide(self: &Rc<Self>, errand: Errand<'_>) -> Result<Option<Opened>, AttemptError> {
        let decided = self.deciding.borrow().clone();
        if let Some(decided) = decided {
            errand.terms.progress.connecting(clock::now());
            decided.notified().await;
            errand.terms.progress.connected(clock::now());
        }
        if self.spoken.get() != Spoken::Unknown {
            return Ok(None);
        }
        let _deciding = Deciding::begin(self);
        self.open_one(errand).await.map(Some)
    }

    /// A connection for this request.
    pub(super) async fn open_one(&self, errand: Errand<'_>) -> Result<Opened, AttemptError> {
        let Errand { target, terms, .. } = errand;
        let now = clock::now();
        terms.progress.connecting(now);
        let limit = terms.deadline.saturating_duration_since(now).min(terms.connect);
        let protocol = match errand.request.upgrade() {
            None => target.upstream.protocol,
            Some(_) => Protocol::Http1,
        };
        let opened = self.open(target, protocol, errand.request.proxy_header(), limit).await;
        let opened = opened.map_err(|error| AttemptError::from(error).within(limit, terms.connect))?;
        terms.progress.connected(clock::now());
        Ok(opened)
    }

    /// One of the pool's connections, but for `before`. When none takes another stream, one more is opened, for whoever waits. `None`
    /// when the gateway does not speak HTTP/2 any more.
    async fn shared(
        self: &Rc<Self>,
        errand: Errand<'_>,
        before: Option<&Rc<http2::Connection>>,
    ) -> Result<Option<Rc<http2::Connection>>, AttemptError> {
        let Errand { terms, may_repeat, .. } = errand;
        let take = || {
            self.streams
                .take(may_repeat, before, &self.vitals.keep_alive, clock::now())
        };
        if let Some(connection) = take() {
            return Ok(Some(connection));
        }
        let waiter = self.streams.wait();
        let mut is_connecting = false;
        loop {
            if let Some(connection) = take() {
                if is_connecting {
                    terms.progress.connected(clock::now());
                }
                return Ok(Some(connection));
            }
            if self.spoken.get() != Spoken::Http2 {
                return Ok(None);
            }
            if let Some(error) = waiter.failure() {
                return Err(error.into());
            }
            if let Some(opening) = self.streams.open_another() {
                spawn_local(Rc::clone(self).open_shared(opening, terms.connect));
            }
            if !is_connecting && waiter.is_connecting() {
                is_connecting = true;
                terms.progress.connecting(clock::now());
            }
            waiter.changed().await;
        }
    }

    /// Opens a connection to an endpoint that none leads to yet, when requests share fewer of them than there are.
    pub(super) fn spread(self: &Rc<Self>) {
        let opening = self.streams.open_spare(|| self.vitals.endpoints.in_use());
        if let (Some(opening), Some(target)) = (opening, self.target.upgrade()) {
            let pool = Rc::clone(self);
            spawn_local(async move {
                // Nobody waits for it: a failure is the endpoint's alone.
                let protocol = target.upstream.protocol;
                if let Ok(Opened::Http2(connection)) = pool.open(&target, protocol, &[], SPARE).await {
                    opening.opened(connection);
                }
            });
        }
    }

    /// Opens a connection for whoever waits. It is opened also when they do not wait any more.
    async fn open_shared(self: Rc<Self>, opening: http2::Opening, limit: Duration) {
        let opened = match self.target.upgrade() {
            Some(target) => self.open(&target, target.upstream.protocol, &[], limit).await,
            None => Err(DialError::NoAddress),
        };
        match opened {
            Ok(Opened::Http2(connection)) => opening.opened(connection),
            // Those that wait have seen that the gateway speaks HTTP/1.1 now.
            Ok(Opened::Http1(_)) => {}
            Err(error) => opening.failed(error),
        }
    }
}

/// While this lives, others wait for what it will show.
struct Deciding<'a> {
    pool: &'a Pool,
    own: Option<Rc<Notify>>,
}

impl<'a> Deciding<'a> {
    fn begin(pool: &'a Pool) -> Self {
        let mut deciding = pool.deciding.borrow_mut();
        let own = match &*deciding {
            Some(_) => None,
            None => Some(Rc::clone(deciding.insert(Rc::default()))),
        };
        drop(deciding);
        Self { pool, own }
    }
}

impl Drop for Deciding<'_> {
    fn drop(&mut self) {
        if let Some(own) = self.own.take() {
            self.pool.deciding.take();
            own.notify_waiters();
        }
    }
}
