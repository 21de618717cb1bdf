//! Fields of a response that are passed on as they came: the lines of its head, not parsed into a map and written again.

use arrayvec::ArrayVec;
use bytes::Bytes;

/// Most stretches of lines that are passed on. There is one more than there are gaps: the fields that end at the proxy.
const MAX_STRETCHES: usize = 6;

/// Lines of a head, each with its CR LF.
#[derive(Clone, Debug)]
pub struct Lines {
    head: Bytes,
    kept: Kept,
    has_date: bool,
}

/// Which lines of a head are passed on, as stretches of its bytes in their order. A head is shorter than 64 KiB.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept(ArrayVec<(u16, u16), MAX_STRETCHES>);

impl Kept {
    /// Adds what lies between these positions. `false`: there is no room for it.
    #[inline]
    pub(crate) fn add(&mut self, from: usize, to: usize) -> bool {
        let (from, to) = (from as u16, to as u16);
        match self.0.last_mut() {
            Some(last) if last.1 == from => last.1 = to,
            _ => return self.0.try_push((from, to)).is_ok(),
        }
        true
    }
}

impl Lines {
    /// Those of a head that are kept, whose fields the parser has checked. `has_date`: whether one of them is `Date`.
    pub(crate) fn new(head: Bytes, kept: Kept, has_date: bool) -> Self {
        Self { head, kept, has_date }
    }

    /// Whether one of them is `Date`.
    pub(crate) fn has_date(&self) -> bool {
        self.has_date
    }

    /// Appends them.
    pub(crate) fn write(&self, to: &mut Vec<u8>) {
        for (from, until) in &self.kept.0 {
            to.extend_from_slice(&self.head[usize::from(*from)..usize::from(*until)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_written_in_its_order() {
        let mut kept = Kept::default();
        assert!(kept.add(0, 2) && kept.add(2, 4) && kept.add(6, 8));
        assert_eq!(kept.0.len(), 2, "the first two are one");
        let mut written = b">".to_vec();
        Lines::new(Bytes::from_static(b"aabbxxcc"), kept, false).write(&mut written);
        assert_eq!(written, b">aabbcc");
    }

    #[test]
    fn there_is_room_for_so_many_stretches() {
        let mut kept = Kept::default();
        assert!((0..MAX_STRETCHES).all(|nth| kept.add(nth * 2, nth * 2 + 1)));
        assert!(!kept.add(100, 101));
    }
}
