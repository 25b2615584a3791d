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
        self.called.store(false, Ordering::Release);
        // Nothing to read is no failure: the byte of a call that is just being made comes later, and wakes once more.
        let _ = (&self.near).read(&mut [0; 8]);
    }
}

impl AsFd for Wake {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.near.as_fd()
    }
}
