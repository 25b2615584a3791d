//! Taking datagrams, on a thread for each socket.

use std::os::fd::AsFd;
use std::sync::Arc;

use libswarm_host::{Inbox, Stopped};
use rustix::event::{PollFd, PollFlags};

use crate::shared::Shared;

/// Takes what comes to the socket of that place, until `closed`.
pub(crate) fn receive(shared: &Arc<Shared>, nth: usize, closed: &Stopped) {
    let socket = &shared.datagrams()[nth];
    let mut inbox = Inbox::default();
    loop {
        let (near, far) = (socket.as_fd(), closed.as_fd());
        let mut sources = [PollFd::new(&near, PollFlags::IN), PollFd::new(&far, PollFlags::IN)];
        if let Err(error) = rustix::event::poll(&mut sources, None)
            && error != rustix::io::Errno::INTR
        {
            return log::error!("cannot wait for datagrams at {}: {error}", socket.address());
        }
        if closed.is_stopped() {
            return;
        }
        inbox.receive(socket);
        shared.receive(nth, &inbox);
    }
}
