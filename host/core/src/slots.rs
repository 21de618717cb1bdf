//! Sets of a service's regions, one bit each.
//!
//! A service has at most 64 regions (Azure has 63), so that constraints are intersections of machine words.

use crate::id::Slot;
use std::fmt;
use std::ops::{BitAnd, BitOr, Not, Sub};

/// A set of [`Slot`]s.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Slots(u64);

impl Slots {
    /// How many regions a service may have.
    pub const MAX: usize = 64;

    /// No slot.
    pub const EMPTY: Self = Self(0);

    /// The slots `0..count`. `count` is at most [`Slots::MAX`].
    pub fn first(count: usize) -> Self {
        match count {
            0 => Self::EMPTY,
            1..Self::MAX => Self((1 << count) - 1),
            _ => Self(u64::MAX),
        }
    }

    /// The set with this slot only; empty when the slot is out of range.
    pub fn only(slot: Slot) -> Self {
        Self(1_u64.checked_shl(u32::from(slot.0)).unwrap_or(0))
    }

    /// Whether the slot is in the set.
    pub fn contains(self, slot: Slot) -> bool {
        !(self & Self::only(slot)).is_empty()
    }

    /// Puts a slot in.
    pub fn insert(&mut self, slot: Slot) {
        *self = *self | Self::only(slot);
    }

    /// Takes a slot out.
    pub fn remove(&mut self, slot: Slot) {
        *self = *self - Self::only(slot);
    }

    /// The set with this slot or without it.
    #[must_use]
    pub fn with(self, slot: Slot, contained: bool) -> Self {
        if contained {
            self | Self::only(slot)
        } else {
            self - Self::only(slot)
        }
    }

    /// Whether the set is empty.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many there are.
    pub fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// The slots in ascending order.
    pub fn iter(self) -> impl Iterator<Item = Slot> + Clone {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            if rest == 0 {
                return None;
            }
            let slot = rest.trailing_zeros() as u8;
            rest &= rest - 1;
            Some(Slot(slot))
        })
    }
}

impl BitAnd for Slots {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl BitOr for Slots {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What is in the first set and not in the second.
impl Sub for Slots {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl Not for Slots {
    type Output = Self;
    fn not(self) -> Self {
        Self(!self.0)
    }
}

impl FromIterator<Slot> for Slots {
    fn from_iter<I: IntoIterator<Item = Slot>>(slots: I) -> Self {
        slots.into_iter().fold(Self::EMPTY, |set, slot| set | Self::only(slot))
    }
}

impl fmt::Debug for Slots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(|slot| slot.0)).finish()
    }
}
