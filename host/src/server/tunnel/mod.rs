//! A client and a gateway after a change of protocol: bytes in both directions until both have ended, nothing has come for too long, or
//! the listener drains.
//!
//! An end that closes its side is passed on as such, and the other one may go on. Of WebSocket the frames are followed, so that the proxy
//! can say goodbye with one of its own (1001) where it ends a tunnel itself; what else is spoken is closed.

mod flow;
mod frames;
#[cfg(test)]
mod tests;

use super::registry::{TunnelPhase, TunnelPlace};
use crate::upstream::Tunnel;
use crate::upstream::tunnel::{TunnelCount, TunnelLimits};
use crate::vitals::{ListenerVitals, TunnelEnd};
use bytes::Bytes;
use flow::Flow;
use frames::{Frames, going_away};
use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

/// How long the ends of a tunnel have to finish when the proxy ends it.
const GOODBYE: Duration = Duration::from_secs(1);

/// Records a tunnel when it has ended.
pub trait TunnelRecord: 'static {
    /// It was one of this protocol, carried this many bytes from the client and to it, and ended like this.
    fn ended(self, protocol: Box<str>, carried: (u64, u64), end: TunnelEnd);
}

/// A client's end and what it is joined with.
pub(super) struct Joined<C, R> {
    pub(super) client: C,
    /// What the client sent before the tunnel was there.
    pub(super) early: Bytes,
    /// What it has to get before everything else.
    pub(super) first: Bytes,
    pub(super) tunnel: Tunnel,
    pub(super) record: R,
    pub(super) place: TunnelPlace,
    pub(super) listener: Arc<ListenerVitals>,
    /// Where bytes are read to.
    pub(super) scratch: Rc<RefCell<Box<[u8]>>>,
}

/// Carries bytes until the tunnel has ended. Gives the client's end, and whether it is to be reset.
pub(super) async fn run<C, R>(joined: Joined<C, R>) -> (C, bool)
where
    C: AsyncRead + AsyncWrite + Unpin,
    R: TunnelRecord,
{
    let Joined {
        client,
        early,
        first,
        tunnel,
        record,
        place,
        listener,
        scratch,
    } = joined;
    let _open = listener.open_tunnel();
    let is_websocket = tunnel.is_websocket();
    let Tunnel {
        transport,
        early: of_gateway,
        protocol,
        limits,
        mut count,
    } = tunnel;
    let mut relay = Relay::new((client, early), (transport, of_gateway), first, is_websocket, limits);
    let (end, carried) = relay.run(&place, &count, &scratch).await;
    count.ends(end);
    record.ended(protocol, carried, end);
    // Whose peer was reset is reset too, so that it does not take the end for an orderly one. WebSocket has Close frames for that, which
    // a reset might destroy.
    let is_reset = matches!(end, TunnelEnd::ClientReset | TunnelEnd::UpstreamReset) && !is_websocket;
    if is_reset {
        relay.gateway.reset_when_dropped();
    }
    (relay.client, is_reset)
}

/// Two ends and the flows between them.
struct Relay<C, G> {
    client: C,
    gateway: G,
    /// From the client to the gateway.
    up: Flow,
    /// From the gateway to the client.
    down: Flow,
    /// Who ended it first.
    end: Option<TunnelEnd>,
    limits: TunnelLimits,
    /// Whether one direction has ended.
    is_half_closed: bool,
    quiet_since: Instant,
    quiet: Pin<Box<Sleep>>,
    /// Runs when the proxy ends it.
    leaving: Option<Pin<Box<Sleep>>>,
}

impl<C, G> Relay<C, G>
where
    C: AsyncRead + AsyncWrite + Unpin,
    G: AsyncRead + AsyncWrite + Unpin,
{
    fn new(
        (client, early): (C, Bytes),
        (gateway, of_gateway): (G, Bytes),
        first: Bytes,
        is_websocket: bool,
        limits: TunnelLimits,
    ) -> Self {
        let frames = || is_websocket.then(Frames::default);
        let now = Instant::now();
        Self {
            client,
            gateway,
            up: Flow::new(Bytes::new(), early, frames()),
            down: Flow::new(first, of_gateway, frames()),
            end: None,
            limits,
            is_half_closed: false,
            quiet_since: now,
            quiet: Box::pin(sleep_until(now + limits.idle)),
            leaving: None,
        }
    }

    /// Runs to its end. Gives how it ended, and how many bytes came from the client and from the gateway.
    async fn run(
        &mut self,
        place: &TunnelPlace,
        count: &TunnelCount,
        scratch: &RefCell<Box<[u8]>>,
    ) -> (TunnelEnd, (u64, u64)) {
        let mut carried = (0, 0);
        let end = poll_fn(|context| {
            let ended = loop {
                let ended = self.poll(&mut scratch.borrow_mut(), context);
                if ended.is_ready() || !self.leaves(place.phase(context), context) {
                    break ended;
                }
            };
            let (received, sent) = (self.up.take_carried(), self.down.take_carried());
            if received + sent > 0 {
                count.carried(received, sent);
                carried = (carried.0 + received, carried.1 + sent);
            }
            match place.is_cut() {
                true if ended.is_pending() => Poll::Ready(*self.end.get_or_insert(TunnelEnd::Draining)),
                _ => ended,
            }
        });
        (end.await, carried)
    }

    /// Moves what can be moved. Ready when it has ended.
    fn poll(&mut self, scratch: &mut [u8], context: &mut Context<'_>) -> Poll<TunnelEnd> {
        let (up, down) = (
            self.up.poll((&mut self.client, &mut self.gateway), scratch, context),
            self.down.poll((&mut self.gateway, &mut self.client), scratch, context),
        );
        if self.end.is_none() {
            self.end = match (self.up.is_closed(), self.down.is_closed()) {
                (true, _) => Some(TunnelEnd::ClientClosed),
                (false, true) => Some(TunnelEnd::UpstreamClosed),
                (false, false) => None,
            };
        }
        // An error of who has said goodbye before is no other end.
        match (&up, &down) {
            (Poll::Ready(Err(_)), _) => return Poll::Ready(*self.end.get_or_insert(TunnelEnd::ClientReset)),
            (_, Poll::Ready(Err(_))) => return Poll::Ready(*self.end.get_or_insert(TunnelEnd::UpstreamReset)),
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => {}
            _ => return self.poll_goodbye(context),
        }
        // Both ends have got their end. One that did not expect it may still send, and would be reset if nobody read that.
        if self.leaving.is_some() {
            let (up, down) = (
                self.up.poll_rest(&mut self.client, scratch, context),
                self.down.poll_rest(&mut self.gateway, scratch, context),
            );
            if up.is_pending() || down.is_pending() {
                return self.poll_goodbye(context);
            }
        }
        // Without any other end, both ends are gone.
        Poll::Ready(*self.end.get_or_insert(TunnelEnd::ClientReset))
    }

    /// Ready when the proxy ends it and its ends have had their time.
    fn poll_goodbye(&mut self, context: &mut Context<'_>) -> Poll<TunnelEnd> {
        match &mut self.leaving {
            Some(leaving) => leaving
                .as_mut()
                .poll(context)
                .map(|()| *self.end.get_or_insert(TunnelEnd::Draining)),
            None => Poll::Pending,
        }
    }

    /// Begins to end it, when the listener drains or nothing has come for too long. Says whether it has just begun to.
    fn leaves(&mut self, phase: TunnelPhase, context: &mut Context<'_>) -> bool {
        if self.leaving.is_some() {
            return false;
        }
        let end = match phase {
            TunnelPhase::Leaving => TunnelEnd::Draining,
            TunnelPhase::Open if self.poll_quiet(context).is_ready() => TunnelEnd::IdleTimeout,
            TunnelPhase::Open => return false,
        };
        self.end.get_or_insert(end);
        self.up.leave(&going_away(Some(mask())));
        self.down.leave(&going_away(None));
        self.leaving = Some(Box::pin(sleep(GOODBYE)));
        true
    }

    /// Ready when nothing has come for too long.
    fn poll_quiet(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let is_half_closed = self.up.is_ended() || self.down.is_ended();
        let has_changed = is_half_closed != std::mem::replace(&mut self.is_half_closed, is_half_closed);
        if has_changed || self.up.has_carried() || self.down.has_carried() {
            self.quiet_since = Instant::now();
        }
        let limit = match is_half_closed {
            true => self.limits.idle.min(self.limits.half_closed),
            false => self.limits.idle,
        };
        let until = self.quiet_since + limit;
        // One that is too early is set anew when it is over: most tunnels move more often than that.
        if self.quiet.deadline() > until {
            self.quiet.as_mut().reset(until);
        }
        while self.quiet.as_mut().poll(context).is_ready() {
            if self.quiet.deadline() >= until {
                return Poll::Ready(());
            }
            self.quiet.as_mut().reset(until);
        }
        Poll::Pending
    }
}

/// A mask that nobody knows beforehand (RFC 6455, section 10.3).
fn mask() -> [u8; 4] {
    let mut mask = [0; 4];
    // Without random numbers one of zeros is as valid: the frame has no content of anybody's choice.
    let _ = aws_lc_rs::rand::fill(&mut mask);
    mask
}
