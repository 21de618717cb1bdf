//! The allocator of a plugin instance.
//!
//! An instance lives in one page of 64 KiB as long as it can: its stack, its data, and behind them this heap. Staying
//! there is what makes a fresh instance cheap for the host, since a page that was never added need not be taken away
//! again. Blocks have sizes of a power of two; a block that is given back waits in a list for the next of its size.
//! Requests are much alike, so after the first few no call takes new memory. Only what does not fit adds pages.
#![allow(unsafe_code, reason = "an allocator hands out memory by address")]

use std::alloc::Layout;
use std::ptr::NonNull;

/// The smallest block, and its alignment.
const SMALLEST: usize = 16;
/// Blocks start at a multiple of their size up to this. Greater alignments are refused; ordinary Rust types have none.
const MAX_ALIGN: usize = 64;
/// One list for each size from 16 bytes to 1 GiB.
const SIZES: usize = 27;

/// Where an arena gets memory from.
pub(crate) trait Source {
    /// Adds at least `bytes` directly behind what was there before, and says how many were added.
    fn extend(&mut self, bytes: usize) -> Option<usize>;
}

/// Memory that starts at `top` and ends at `end`, and blocks that were given back.
pub(crate) struct Arena<S> {
    source: S,
    top: usize,
    end: usize,
    free: [Option<NonNull<Block>>; SIZES],
}

/// A block that was given back.
struct Block {
    next: Option<NonNull<Block>>,
}

impl<S: Source> Arena<S> {
    /// An arena over the addresses `start..end`.
    pub(crate) const fn new(source: S, start: usize, end: usize) -> Self {
        Self {
            source,
            top: start,
            end,
            free: [None; SIZES],
        }
    }

    /// A block for this layout; `None` when the source has no more, or for an alignment above 64.
    ///
    /// # Safety
    /// The addresses from `start` to the end of what the source adds belong to this arena alone.
    pub(crate) unsafe fn take(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        let size = block_size(layout)?;
        let list = self.free.get_mut(list(size))?;
        if let Some(block) = *list {
            // SAFETY: the block was given back, so nobody else uses it, and `give` wrote a `Block` there.
            *list = unsafe { block.read() }.next;
            return Some(block.cast());
        }
        let start = self.top.checked_next_multiple_of(size.min(MAX_ALIGN))?;
        let end = start.checked_add(size)?;
        if end > self.end {
            self.end += self.source.extend(end - self.end)?;
        }
        self.top = end;
        NonNull::new(std::ptr::with_exposed_provenance_mut(start))
    }

    /// Takes a block back.
    ///
    /// # Safety
    /// The block came from [`take`](Self::take) of this arena for this layout, and is not used any more.
    pub(crate) unsafe fn give(&mut self, block: NonNull<u8>, layout: Layout) {
        let block: NonNull<Block> = block.cast();
        if let Some(list) = block_size(layout).and_then(|size| self.free.get_mut(list(size))) {
            // SAFETY: a block holds at least `SMALLEST` bytes, is aligned to them, and its owner is done with it.
            unsafe { block.write(Block { next: *list }) };
            *list = Some(block);
        }
    }
}

/// The power of two that holds the layout.
fn block_size(layout: Layout) -> Option<usize> {
    if layout.align() > MAX_ALIGN {
        return None;
    }
    layout
        .size()
        .max(layout.align())
        .max(SMALLEST)
        .checked_next_power_of_two()
}

/// The list of blocks of that size.
fn list(size: usize) -> usize {
    (size.trailing_zeros() - SMALLEST.trailing_zeros()) as usize
}

#[cfg(target_arch = "wasm32")]
mod global {
    use super::{Arena, Source, block_size};
    use std::alloc::{GlobalAlloc, Layout};
    use std::cell::UnsafeCell;
    use std::ptr::{NonNull, null_mut};

    /// Bytes in a page of WebAssembly.
    const PAGE: usize = 64 * 1024;

    unsafe extern "C" {
        /// Set by the linker to the first address behind stack and data.
        static __heap_base: u8;
    }

    /// The linear memory of the instance.
    struct Memory;

    impl Source for Memory {
        fn extend(&mut self, bytes: usize) -> Option<usize> {
            let pages = bytes.div_ceil(PAGE);
            // The arena is the only one that grows the memory, so new pages follow the old ones.
            (core::arch::wasm32::memory_grow::<0>(pages) != usize::MAX).then_some(pages * PAGE)
        }
    }

    struct Heap(UnsafeCell<Option<Arena<Memory>>>);

    // SAFETY: a plugin has one thread.
    unsafe impl Sync for Heap {}

    #[global_allocator]
    static HEAP: Heap = Heap(UnsafeCell::new(None));

    impl Heap {
        /// The arena, made at the first use from what is left of the memory.
        ///
        /// # Safety
        /// The reference is gone before the next call.
        #[allow(clippy::mut_from_ref, reason = "the cell is what makes it mutable")]
        unsafe fn arena(&self) -> &mut Arena<Memory> {
            // SAFETY: one thread, and one reference at a time as the caller promises.
            let arena = unsafe { &mut *self.0.get() };
            arena.get_or_insert_with(|| {
                let start = (&raw const __heap_base).expose_provenance();
                Arena::new(Memory, start, core::arch::wasm32::memory_size::<0>() * PAGE)
            })
        }
    }

    // SAFETY: blocks do not overlap and hold their layout; the arena never moves or gives away one that is in use.
    unsafe impl GlobalAlloc for Heap {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            // SAFETY: the memory from `__heap_base` on is this arena's.
            unsafe { self.arena().take(layout) }.map_or(null_mut(), NonNull::as_ptr)
        }

        unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
            if let Some(block) = NonNull::new(block) {
                // SAFETY: the caller got the block from `alloc` with this layout.
                unsafe { self.arena().give(block, layout) };
            }
        }

        unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
            // SAFETY: the caller promises that the size fits the alignment.
            let next = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
            if block_size(layout) == block_size(next) {
                return block;
            }
            // SAFETY: a new block of the new size; the shorter of both sizes is within both; the old one is done with.
            unsafe {
                let moved = self.alloc(next);
                if !moved.is_null() {
                    std::ptr::copy_nonoverlapping(block, moved, layout.size().min(size));
                    self.dealloc(block, layout);
                }
                moved
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a test's arena may have beyond its start.
    struct Reserve(usize);

    impl Source for Reserve {
        fn extend(&mut self, bytes: usize) -> Option<usize> {
            let added = bytes.next_multiple_of(1024);
            self.0 = self.0.checked_sub(added)?;
            Some(added)
        }
    }

    /// An arena of 1 KiB that may grow to 64 KiB, and the memory it works in.
    fn arena() -> (Vec<u128>, Arena<Reserve>) {
        let memory = vec![0_u128; 4096];
        let start = memory.as_ptr().expose_provenance();
        (memory, Arena::new(Reserve(63 * 1024), start, start + 1024))
    }

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).unwrap()
    }

    #[test]
    fn a_block_given_back_is_taken_again() {
        let (_memory, mut arena) = arena();
        // SAFETY: the arena's memory is `_memory`, and blocks are not used after they were given back.
        unsafe {
            let first = arena.take(layout(100, 1)).unwrap();
            arena.give(first, layout(100, 1));
            let top = arena.top;
            assert_eq!(arena.take(layout(65, 4)), Some(first));
            assert_eq!(arena.top, top, "nothing new was taken");
        }
    }

    #[test]
    fn too_much_and_odd_alignments_are_refused() {
        let (_memory, mut arena) = arena();
        // SAFETY: as above.
        unsafe {
            assert_eq!(arena.take(layout(16, 128)), None);
            assert_eq!(arena.take(layout(65 * 1024, 1)), None);
            assert_eq!(arena.take(layout(isize::MAX as usize, 1)), None);
            assert!(arena.take(layout(30 * 1024, 1)).is_some());
        }
    }

    proptest! {
        /// Blocks keep their bytes while others come and go: they never overlap.
        #[test]
        fn blocks_do_not_overlap(steps in prop::collection::vec((0_usize..600, 0_u32..7, any::<bool>(), any::<usize>()), 1..200)) {
            let (_memory, mut arena) = arena();
            let mut held: Vec<(NonNull<u8>, Layout, u8)> = Vec::new();
            for (number, (size, align, give, which)) in steps.into_iter().enumerate() {
                // SAFETY: every block is written and read within its layout, before it is given back.
                unsafe {
                    if give && !held.is_empty() {
                        let (block, layout, mark) = held.swap_remove(which % held.len());
                        for offset in 0..layout.size() {
                            prop_assert_eq!(block.add(offset).read(), mark);
                        }
                        arena.give(block, layout);
                    } else if let Some(block) = arena.take(layout(size, 1 << align)) {
                        prop_assert_eq!(block.addr().get() % (1 << align), 0);
                        let mark = number as u8;
                        block.write_bytes(mark, size);
                        held.push((block, layout(size, 1 << align), mark));
                    }
                }
            }
            for (block, layout, mark) in held {
                for offset in 0..layout.size() {
                    // SAFETY: as above.
                    prop_assert_eq!(unsafe { block.add(offset).read() }, mark);
                }
            }
        }
    }
}
