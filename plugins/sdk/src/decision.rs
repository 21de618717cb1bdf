//! The answer.

use crate::region::Slot;
use crate::setup::Reason;

/// Ends an order in the contract.
const END: u8 = 0xff;

/// The order in which regions are tried, as far as the plugin cares; the others follow in the order of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    order: [u8; 8],
    len: u8,
    reason: u16,
    only: bool,
}

impl Decision {
    /// The order of the host is right.
    pub fn no_opinion() -> Self {
        Self::order([])
    }

    /// This region before all others.
    pub fn first(slot: Slot) -> Self {
        Self::order([slot])
    }

    /// These regions before all others; the first eight count. What may not answer is dropped by the host.
    pub fn order(slots: impl IntoIterator<Item = Slot>) -> Self {
        let (order, len) = ranks(slots);
        Self {
            order,
            len,
            reason: 0,
            only: false,
        }
    }

    /// The same decision, with a reason for logs, metrics and explanations.
    #[must_use]
    pub fn because(mut self, reason: Reason) -> Self {
        self.reason = reason.0;
        self
    }

    /// The same decision, and no other region may be tried, even when these fail.
    #[must_use]
    pub fn only(mut self) -> Self {
        self.only = true;
        self
    }

    /// The regions in order.
    pub fn slots(&self) -> impl ExactSizeIterator<Item = Slot> {
        self.order.into_iter().take(self.len.into()).map(Slot)
    }

    /// `first4`, `next4`, `reason`, `action` of the contract.
    pub(crate) fn words(self) -> (u32, u32, u16, u16) {
        let [a, b, c, d, e, f, g, h] = self.order;
        (
            u32::from_le_bytes([a, b, c, d]),
            u32::from_le_bytes([e, f, g, h]),
            self.reason,
            u16::from(self.only),
        )
    }
}

/// Up to eight positions as the contract's bytes, and how many there are.
pub(crate) fn ranks(slots: impl IntoIterator<Item = Slot>) -> ([u8; 8], u8) {
    let mut order = [END; 8];
    let mut len = 0;
    for (place, slot) in order.iter_mut().zip(slots) {
        *place = slot.0;
        len += 1;
    }
    (order, len)
}

/// The contract's two words as bytes, and how many come before the end.
pub(crate) fn unpack(first4: u32, next4: u32) -> ([u8; 8], u8) {
    let [a, b, c, d] = first4.to_le_bytes();
    let [e, f, g, h] = next4.to_le_bytes();
    let order = [a, b, c, d, e, f, g, h];
    let len = order.iter().take_while(|slot| **slot != END).count();
    (order, len as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_one_byte_each_from_the_lowest() {
        let (first4, next4, reason, action) = Decision::order([3, 1, 4, 15, 9].map(Slot))
            .because(Reason(2))
            .only()
            .words();
        assert_eq!((first4, next4, reason, action), (0x0f04_0103, 0xffff_ff09, 2, 1));
        assert_eq!(unpack(first4, next4), ([3, 1, 4, 15, 9, END, END, END], 5));
        assert_eq!(Decision::no_opinion().words(), (u32::MAX, u32::MAX, 0, 0));
    }

    #[test]
    fn eight_regions_count() {
        let decision = Decision::order((0..20).map(Slot));
        assert_eq!(
            decision.slots().collect::<Vec<_>>(),
            (0..8).map(Slot).collect::<Vec<_>>()
        );
    }
}
