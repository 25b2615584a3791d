//! The least allocator that there can be: it hands out a static arena once, and takes nothing back.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering};

const ARENA: usize = 1024 * 1024;

struct Bump {
    arena: UnsafeCell<[u8; ARENA]>,
    used: AtomicUsize,
}

#[global_allocator]
static ALLOCATOR: Bump = Bump { arena: UnsafeCell::new([0; ARENA]), used: AtomicUsize::new(0) };

// SAFETY: the arena is reached through pointers that `alloc` gives out only, and `used` makes sure that no two overlap.
unsafe impl Sync for Bump {}

// An allocator can't be written without unsafe code; the core itself forbids it.
//
// SAFETY: each block lies inside of the arena, which lives for ever, is aligned as its layout asks, and shares no byte with
// another one: `fetch_update` moves `used` past it in one step.
unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let arena = self.arena.get().cast::<u8>();
        let mut start = 0;
        let reserved = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            let address = arena.addr().checked_add(used)?;
            start = address.checked_next_multiple_of(layout.align())? - arena.addr();
            start.checked_add(layout.size()).filter(|end| *end <= ARENA)
        });
        match reserved {
            // SAFETY: `start` is at most ARENA, as was checked above.
            Ok(_) => unsafe { arena.add(start) },
            Err(_) => ptr::null_mut(),
        }
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}
