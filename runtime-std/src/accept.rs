//! Accepting, on a thread for each frontend.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use libswarm_host::{Listener, Stopped, concerns_one_connection};
use rustix::event::{PollFd, PollFlags};

use crate::connection;
use crate::shared::Shared;

const PAUSE: Duration = Duration::from_millis(100);

/// Accepts until `closed`; then the listener, and a unix socket's file with it, goes with its owner.
pub(crate) fn accept(shared: &Arc<Shared>, listener: &Listener, closed: &Stopped) {
    loop {
        let (near, far) = (listener.as_fd(), closed.as_fd());
        let mut sources = [PollFd::new(&near, PollFlags::IN), PollFd::new(&far, PollFlags::IN)];
        if let Err(error) = rustix::event::poll(&mut sources, None)
            && error != rustix::io::Errno::INTR
        {
            return log::error!("cannot wait for connections on {}: {error}", listener.address());
        }
        if closed.is_stopped() {
            return;
        }
        if sources[0].revents().is_empty() {
            continue;
        }
        match listener.accept() {
            Ok(transport) => connection::open(shared, listener.serves(), transport),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if concerns_one_connection(&error) => {}
            Err(error) => {
                // The process or the system is out of files or memory. Connections wait in the backlog meanwhile.
                log::warn!("cannot accept on {}: {error}; trying again", listener.address());
                thread::sleep(PAUSE);
            }
        }
    }
}
