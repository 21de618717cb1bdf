//! Opens connections to a gateway, and learns which version of HTTP it speaks.

use super::clock;
use super::dial::{DialError, Opening};
use super::http1::Connection;
use super::http2;
use super::in_flight::{Pool, Spoken};
use super::link::Link;
use super::target::GatewayTarget;
use crate::tls::Offer;
use crate::vitals::Endpoint;
use portolan_core::config::Protocol;
use portolan_core::endpoint::EndpointFailure;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// How often a connection is tried when the gateway's addresses change meanwhile.
const TRIES: u32 = 3;

/// A connection that has just been opened.
#[derive(Debug)]
pub(super) enum Opened {
    Http1(Box<Connection>),
    Http2(Rc<http2::Connection>),
}

impl Pool {
    /// A new connection to one of the gateway's endpoints, each of which has `limit`, and as long again for TLS and for HTTP/2. It
    /// begins with `preface`. `protocol`: the gateway's, or HTTP/1.1 for a request that only that can carry.
    pub(super) async fn open(
        &self,
        target: &GatewayTarget,
        protocol: Protocol,
        preface: &[u8],
        limit: Duration,
    ) -> Result<Opened, DialError> {
        let endpoints = &self.vitals.endpoints;
        let mut failure = DialError::NoAddress;
        for _ in 0..TRIES {
            let mut candidates = self.candidates();
            if candidates.is_empty() {
                // Until the first answer nothing is known of the gateway. The attempt has a time limit.
                target.settled().await;
                candidates = self.candidates();
            }
            let addresses: Vec<_> = candidates.iter().map(|endpoint| endpoint.address()).collect();
            let opening = Opening {
                preface,
                tls: target.tls().map(Arc::as_ref),
                offer: match protocol {
                    Protocol::Http1 => Offer::Http1,
                    Protocol::Http2 => Offer::Http2,
                    Protocol::Auto => Offer::Both,
                },
            };
            let dialed = self.dialer.dial_any(&addresses, opening, limit).await;
            let now = clock::now();
            let failed = |endpoint: &Endpoint| endpoints.failed(endpoint.id(), EndpointFailure::Connect, clock::now());
            match dialed {
                Ok(dialed) => {
                    dialed.failed.iter().for_each(|index| failed(&candidates[*index]));
                    self.vitals.round_trip.connected(dialed.round_trip, now);
                    self.vitals
                        .connected(self.worker, dialed.round_trip, dialed.tls_handshake);
                    let endpoint = candidates.swap_remove(dialed.index);
                    if !endpoint.is_removed() {
                        endpoints.opened();
                        let (roll, upstream) = (self.chance.roll(), &target.upstream);
                        let link = Link::new(Arc::clone(&endpoint), self.worker, upstream, roll, now);
                        let is_http2 = protocol == Protocol::Http2 || dialed.transport.is_http2();
                        if protocol == Protocol::Auto {
                            self.learn(target, is_http2);
                        }
                        if !is_http2 {
                            return Ok(Opened::Http1(Box::new(Connection::new(dialed.transport, link))));
                        }
                        let terms = http2::Terms {
                            vitals: Arc::clone(&self.vitals),
                            worker: self.worker,
                            changed: Rc::clone(self.streams.changed()),
                        };
                        let begun = http2::connect(dialed.transport, Arc::clone(&endpoint), link, terms, limit).await;
                        match begun {
                            Ok(connection) => return Ok(Opened::Http2(connection)),
                            Err(error) => {
                                failed(&endpoint);
                                failure = error;
                                if candidates.is_empty() {
                                    break;
                                }
                            }
                        }
                    }
                }
                Err(error) => {
                    if !matches!(error, DialError::Exhausted(_)) {
                        candidates.iter().for_each(|endpoint| failed(endpoint));
                    }
                    failure = error;
                    if !candidates.iter().any(|endpoint| endpoint.is_removed()) {
                        break;
                    }
                }
            }
            // The addresses have changed meanwhile, or another one is tried.
        }
        Err(failure)
    }

    /// Every new connection shows what the gateway speaks now, where that is its choice.
    fn learn(&self, target: &GatewayTarget, is_http2: bool) {
        if target.tls().is_some() {
            let spoken = match is_http2 {
                true => Spoken::Http2,
                false => Spoken::Http1,
            };
            self.spoken.set(spoken);
        }
    }

    fn candidates(&self) -> Vec<Arc<Endpoint>> {
        let turn = self.turn.get();
        self.turn.set(turn.wrapping_add(1));
        self.vitals.endpoints.candidates(turn, clock::now())
    }
}

impl Spoken {
    /// What is known of a gateway before the first connection.
    pub(super) fn at_first(target: &GatewayTarget) -> Self {
        match target.upstream.protocol {
            Protocol::Http2 => Self::Http2,
            Protocol::Auto if target.tls().is_some() => Self::Unknown,
            Protocol::Auto | Protocol::Http1 => Self::Http1,
        }
    }
}
