//! Telling a runtime to stop, from any thread.

use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Makes a [`Stopper`] and the [`Stopped`] that it acts on.
///
/// # Errors
///
/// No pair of sockets could be made: the process or the system has too many files open.
pub fn stopper() -> io::Result<(Stopper, Stopped)> {
    let (far, near) = UnixStream::pair()?;
    let shared = Arc::new(Shared { stopped: AtomicBool::new(false), far });
    Ok((Stopper { shared: Arc::clone(&shared) }, Stopped { shared, near }))
}

/// Stops a runtime gracefully; may be cloned and sent to any thread. Dropping it stops nothing.
#[derive(Clone, Debug)]
pub struct Stopper {
    shared: Arc<Shared>,
}

/// Learns that a [`Stopper`] was used: polled for reading, it becomes readable then, and stays so.
#[derive(Debug)]
pub struct Stopped {
    shared: Arc<Shared>,
    near: UnixStream,
}

/// Held by both, so that the far end does not close, and the near end does not become readable, when every
/// [`Stopper`] is dropped.
#[derive(Debug)]
struct Shared {
    stopped: AtomicBool,
    far: UnixStream,
}

impl Stopper {
    /// Asks for the stop. Again does nothing more.
    pub fn stop(&self) {
        if !self.shared.stopped.swap(true, Ordering::SeqCst) {
            // An end of file is readable for ever, however often it is read. It fails only for a socket without a peer, and
            // then nobody waits any more.
            let _ = self.shared.far.shutdown(Shutdown::Both);
        }
    }
}

impl Stopped {
    /// Whether the stop was asked for.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.shared.stopped.load(Ordering::SeqCst)
    }
}

impl AsFd for Stopped {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.near.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::time::Duration;

    /// Whether a read would return, and that with the end of file.
    fn readable(stopped: &Stopped) -> bool {
        stopped.near.set_nonblocking(true).unwrap();
        match (&stopped.near).read(&mut [0]) {
            Ok(0) => true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn stops_once_and_for_ever() {
        let (stopper, stopped) = stopper().unwrap();
        assert!(!stopped.is_stopped() && !readable(&stopped));
        for _ in 0..3 {
            stopper.clone().stop();
            assert!(stopped.is_stopped() && readable(&stopped) && readable(&stopped));
        }
    }

    #[test]
    fn dropping_every_stopper_stops_nothing() {
        let (stopper, stopped) = stopper().unwrap();
        drop(stopper.clone());
        drop(stopper);
        assert!(!stopped.is_stopped() && !readable(&stopped));
    }

    #[test]
    fn may_be_used_after_the_runtime_has_gone() {
        let (stopper, stopped) = stopper().unwrap();
        drop(stopped);
        stopper.stop();
    }

    #[test]
    fn wakes_a_thread_that_waits() {
        let (stopper, stopped) = stopper().unwrap();
        let waiter = std::thread::spawn(move || {
            let read = (&stopped.near).read(&mut [0]).unwrap();
            (read, stopped.is_stopped())
        });
        std::thread::sleep(Duration::from_millis(5));
        stopper.stop();
        assert_eq!(waiter.join().unwrap(), (0, true));
    }
}
