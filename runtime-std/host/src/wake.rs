//! Calling a thread that waits in poll(2).

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};

/// Becomes readable when called; calls that come before the answer count once.
#[derive(Debug)]
pub struct Wake {
    near: UnixStream,
    far: UnixStream,
    called: AtomicBool,
}

impl Wake {
    /// One that has not been called.
    ///
    /// # Errors
    ///
    /// No pair of sockets could be made: the process or the system has too many files open.
    pub fn new() -> io::Result<Self> {
        let (near, far) = UnixStream::pair()?;
        near.set_nonblocking(true)?;
        Ok(Self { near, far, called: AtomicBool::new(false) })
    }

    /// Calls; may be called by any thread.
    pub fn call(&self) {
        if !self.called.swap(true, Ordering::AcqRel) {
            // One byte always fits: the one before has been read.
            let _ = (&self.far).write(&[0]);
        }
    }

    /// To be called by the thread that was called, before it looks what there is to do.
    pub fn answer(&self) {
        // Nothing to read is no failure: the byte of a call that is just being made comes later, and wakes once more.
        let _ = (&self.near).read(&mut [0; 8]);
        // Not before the read: it would take the byte of a call made in between, and no later call would write another.
        self.called.swap(false, Ordering::AcqRel);
    }
}

impl AsFd for Wake {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.near.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, Timespec};
    use std::sync::Arc;
    use std::sync::atomic::AtomicU32;
    use std::thread;

    #[test]
    fn no_call_is_lost_between_two_answers() {
        const CALLS: u32 = 20_000;
        let wake = Arc::new(Wake::new().unwrap());
        let wishes: Arc<[AtomicU32; 2]> = Arc::default();
        let seen: Arc<[AtomicU32; 2]> = Arc::default();
        let callers: Vec<_> = (0..2)
            .map(|me| {
                let (wake, wishes, seen) =
                    (Arc::clone(&wake), Arc::clone(&wishes), Arc::clone(&seen));
                thread::spawn(move || {
                    for wish in 1..=CALLS {
                        // Calls of one thread are to meet answers to the other's at every point.
                        for _ in 0..wish * (me as u32 * 6 + 1) % 1021 {
                            std::hint::spin_loop();
                        }
                        wishes[me].store(wish, Ordering::SeqCst);
                        wake.call();
                        while seen[me].load(Ordering::SeqCst) < wish {
                            std::hint::spin_loop();
                        }
                    }
                })
            })
            .collect();
        while seen.iter().any(|seen| seen.load(Ordering::SeqCst) < CALLS) {
            let fd = wake.as_fd();
            let mut source = [PollFd::new(&fd, PollFlags::IN)];
            let patience = Timespec { tv_sec: 10, tv_nsec: 0 };
            let called = rustix::event::poll(&mut source, Some(&patience)).unwrap();
            assert_eq!(called, 1, "a call was lost: {wishes:?}, {seen:?}");
            wake.answer();
            for (seen, wish) in seen.iter().zip(wishes.iter()) {
                seen.store(wish.load(Ordering::SeqCst), Ordering::SeqCst);
            }
        }
        for caller in callers {
            caller.join().unwrap();
        }
    }
}
