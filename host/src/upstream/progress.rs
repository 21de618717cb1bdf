//! What is known of the attempts of a request while they run: to which endpoints they went; new connections take time that is
//! not the gateway's; an overtaken attempt is waited for.

use crate::vitals::EndpointId;
use arrayvec::ArrayVec;
use portolan_core::id::Slot;
use portolan_core::slots::Slots;
use std::cell::{Cell, RefCell};
use std::time::Instant;

/// The attempts of one request.
#[derive(Debug, Default)]
pub(super) struct Progress {
    overtaken: Cell<Slots>,
    given_up: Cell<bool>,
    /// Attempts that needed a new connection: none for most requests.
    connects: RefCell<Vec<(Slot, Phase)>>,
    /// To which endpoints the request was sent. Beyond that many the first ones are known.
    endpoints: RefCell<ArrayVec<(Slot, EndpointId), RECORDED>>,
}

/// More endpoints are not recorded: a request rarely makes so many attempts.
const RECORDED: usize = 8;

/// How far an attempt is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It has been waiting for a new connection since then.
    Connecting(Instant),
    /// The gateway's time began then.
    Exchanging(Instant),
}

/// One attempt of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct AttemptProgress<'a> {
    pub(super) slot: Slot,
    pub(super) all: &'a Progress,
}

impl Progress {
    /// How far the attempt in a region is that began at `began`.
    pub(super) fn phase(&self, slot: Slot, began: Instant) -> Phase {
        let connects = self.connects.borrow();
        let known = connects.iter().rev().find(|(of, _)| *of == slot);
        known.map_or(Phase::Exchanging(began), |(_, phase)| *phase)
    }

    /// The last endpoint of a region to which the request was sent.
    pub(super) fn endpoint(&self, slot: Slot) -> Option<EndpointId> {
        let endpoints = self.endpoints.borrow();
        let last = endpoints.iter().rev().find(|(of, _)| *of == slot);
        last.map(|(_, endpoint)| *endpoint)
    }

    /// Another region answered first, in at most half the time.
    pub(super) fn overtake(&self, slot: Slot) {
        self.overtaken.set(self.overtaken.get().with(slot, true));
    }

    /// Its regions are unresponsive, and its time is over.
    pub(super) fn give_up(&self) {
        self.given_up.set(true);
    }
}

impl AttemptProgress<'_> {
    /// It needs a new connection.
    pub(super) fn connecting(self, now: Instant) {
        self.all.connects.borrow_mut().push((self.slot, Phase::Connecting(now)));
    }

    /// It has one.
    pub(super) fn connected(self, now: Instant) {
        self.all.connects.borrow_mut().push((self.slot, Phase::Exchanging(now)));
    }

    /// It is sent to this endpoint.
    pub(super) fn sent_to(self, endpoint: EndpointId) {
        let _ = self.all.endpoints.borrow_mut().try_push((self.slot, endpoint));
    }

    /// Whether the request was given up because its regions are unresponsive.
    pub(super) fn is_given_up(self) -> bool {
        self.all.given_up.get()
    }

    /// Whether another region has answered meanwhile, so much faster that this attempt counts as overtaken.
    pub(super) fn is_overtaken(self) -> bool {
        self.all.overtaken.get().contains(self.slot)
    }
}
