//! The order in which the candidates are tried: by the service's own policy, or by a plugin's validated answer.

use crate::candidates::Candidates;
use crate::chance::spread;
use crate::config::{Policy, Service};
use crate::health::{GatewayHealth, ServiceHealth};
use crate::id::Slot;
use crate::slots::Slots;
use arrayvec::ArrayVec;

/// Regions in the order they are to be tried: a subset of the eligible ones without duplicates, then the last resort.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranking {
    order: ArrayVec<Slot, { Slots::MAX }>,
    held_back: Slots,
    last_resort: Slots,
}

impl Ranking {
    /// The order, best first.
    pub fn order(&self) -> &[Slot] {
        &self.order
    }

    /// Regions in slow start that are held back for this request, so that each gets no more than its share. They come
    /// after all others, in a plugin's order too.
    pub fn held_back(&self) -> Slots {
        self.held_back
    }

    /// Unhealthy regions at the end of the order: see [`Candidates::last_resort`].
    pub fn last_resort(&self) -> Slots {
        self.last_resort
    }

    /// The best region.
    pub fn first(&self) -> Option<Slot> {
        self.order.first().copied()
    }

    /// The order without the last resort: what plugins receive.
    pub fn eligible(&self) -> &[Slot] {
        &self.order[..self.order.len() - self.last_resort.len()]
    }

    /// Moves a region to the front, if it is in the order and neither held back behind others nor of the last resort. Whether it is
    /// first now.
    pub fn prefer(&mut self, slot: Slot) -> bool {
        let held_back = |slot: &Slot| self.held_back.contains(*slot);
        let is_behind = held_back(&slot) && !self.order.iter().all(held_back);
        let at = self.order.iter().position(|ranked| *ranked == slot);
        match at {
            Some(at) if !is_behind && !self.last_resort.contains(slot) => {
                self.order[..=at].rotate_right(1);
                true
            }
            _ => false,
        }
    }

    /// Moves these regions behind all others.
    fn hold_back(&mut self, slots: Slots) {
        self.held_back = slots;
        if !slots.is_empty() {
            // The sort is stable: both groups keep their order.
            self.order.sort_by_key(|slot| slots.contains(*slot));
        }
    }

    /// Appends the regions of the last resort, in this order.
    fn end_with(&mut self, last_resort: Slots, order: &[Slot]) {
        if !last_resort.is_empty() {
            self.last_resort = last_resort;
            self.take(order.iter().copied(), &mut { last_resort });
        }
    }

    /// Moves the slots that are in `wanted` from there to the end of the order.
    fn take(&mut self, slots: impl IntoIterator<Item = Slot>, wanted: &mut Slots) {
        for slot in slots {
            if wanted.contains(slot) {
                wanted.remove(slot);
                // Cannot overflow: every slot is in `wanted` at most once.
                self.order.push(slot);
            }
        }
    }
}

/// An order given by a caller: duplicates and slots out of range are dropped.
impl FromIterator<Slot> for Ranking {
    fn from_iter<I: IntoIterator<Item = Slot>>(slots: I) -> Self {
        let (mut ranking, mut left) = (Self::default(), Slots::first(Slots::MAX));
        ranking.take(slots, &mut left);
        ranking
    }
}

/// The order of a service's own policy. `row` is the service's [chart](crate::chart::Chart) at the client's place, and
/// `roll` a random number that decides weighted choice and slow start.
pub fn native(service: &Service, row: &[Slot], candidates: &Candidates, health: &ServiceHealth, roll: u64) -> Ranking {
    let mut left = candidates.eligible;
    let held_back = held_back(left, health, roll);
    let mut ranking = Ranking {
        held_back,
        ..Ranking::default()
    };
    let front = left - held_back;
    if service.policy == Policy::Weighted {
        ranking.take(
            drawn(service, row, if front.is_empty() { left } else { front }, roll),
            &mut left,
        );
    }
    if !held_back.is_empty() {
        ranking.take(row.iter().copied().filter(|slot| front.contains(*slot)), &mut left);
    }
    ranking.take(row.iter().copied(), &mut left);
    ranking.end_with(candidates.last_resort, row);
    ranking
}

/// The regions in slow start that are held back for this request.
fn held_back(eligible: Slots, health: &ServiceHealth, roll: u64) -> Slots {
    let warming = eligible & health.warming();
    if warming.is_empty() {
        return Slots::EMPTY;
    }
    let full = u64::from(GatewayHealth::FULL_SHARE);
    warming
        .iter()
        // A different number for every slot, so that two returning regions are held back independently.
        .filter(|slot| spread(roll, u64::from(slot.0)) % full >= u64::from(health.gateway(*slot).share))
        .collect()
}

/// A weighted random choice among the regions of `from` with the lowest priority number.
fn drawn(service: &Service, row: &[Slot], from: Slots, roll: u64) -> Option<Slot> {
    let gateway = |slot: Slot| service.gateway(slot).filter(|_| from.contains(slot));
    // The chart is sorted by priority: the first one there has the lowest.
    let lowest = row
        .iter()
        .find_map(|slot| gateway(*slot))
        .map(|gateway| gateway.priority)?;
    let weight = |slot: Slot| {
        gateway(slot)
            .filter(|it| it.priority == lowest)
            .map_or(0, |it| u64::from(it.weight))
    };
    let total: u64 = from.iter().map(weight).sum();
    let mut at = ((u128::from(spread(roll, u64::from(u8::MAX))) * u128::from(total)) >> u64::BITS) as u64;
    from.iter().find(|slot| {
        let share = weight(*slot);
        let hit = at < share;
        at = at.saturating_sub(share);
        hit
    })
}

/// A plugin's answer before validation: regions, and whether others are excluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proposal<'a> {
    /// Slot numbers, best first.
    pub order: &'a [u8],
    /// Only these regions are tried. Otherwise the remaining regions follow in the native order, so that failover keeps
    /// working.
    pub only: bool,
}

/// A plugin's validated answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The order to use.
    pub ranking: Ranking,
    /// Whether something in the answer had to be dropped: a region out of range, not eligible, or named twice.
    pub repaired: bool,
}

/// Validates a plugin's answer against the native order. Regions held back in the native order come last here too: a
/// plugin cannot override slow start. The last resort follows after them, unless the plugin excludes other regions. `None` when the answer names regions but none of them is valid: the caller uses the
/// native order. An empty answer returns the native order.
pub fn checked(proposal: Proposal<'_>, native: &Ranking) -> Option<Checked> {
    let mut left: Slots = native.order.iter().copied().collect::<Slots>() - native.last_resort;
    let mut ranking = Ranking::default();
    let count = proposal.order.len();
    ranking.take(proposal.order.iter().copied().map(Slot), &mut left);
    let valid = ranking.order.len();
    if count > 0 && valid == 0 {
        return None;
    }
    let others = !proposal.only || count == 0;
    if others {
        ranking.take(native.order.iter().copied(), &mut left);
    }
    ranking.hold_back(native.held_back);
    if others {
        ranking.end_with(native.last_resort, &native.order);
    }
    Some(Checked {
        ranking,
        repaired: valid < count,
    })
}
