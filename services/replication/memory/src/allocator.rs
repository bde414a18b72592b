//! The allocator: another one, with a meter in front.

use std::alloc::{GlobalAlloc, Layout};

use crate::meter::{grew, shrank};

/// An allocator that counts what the work under an account takes of `A`.
#[derive(Debug, Default)]
pub struct Metered<A>(pub A);

// SAFETY: every call is handed on to `A` unchanged, with the promises of its caller. The meter neither touches what is
// allocated nor unwinds: it counts in thread-local cells and may put the thread to sleep.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Metered<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grew(layout.size());
        // SAFETY: the caller's promises are those that `A` demands.
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        shrank(layout.size());
        // SAFETY: `pointer` was allocated by `A` with this layout.
        unsafe { self.0.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        grew(layout.size());
        // SAFETY: the caller's promises are those that `A` demands.
        unsafe { self.0.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        match size.checked_sub(layout.size()) {
            Some(more) => grew(more),
            None => shrank(layout.size() - size),
        }
        // SAFETY: `pointer` was allocated by `A` with this layout, and the new size is the caller's.
        unsafe { self.0.realloc(pointer, layout, size) }
    }
}
