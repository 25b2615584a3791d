//! A connection with TLS. Its socket does not wait; whoever has to wait does so in poll(2), and holds nothing meanwhile.

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use libswarm::node::Input;
use libswarm_host::{Input as Half, Session};
use log::Level;
use rustix::event::{PollFd, PollFlags, Timespec};

use crate::connection::{Connection, lock};
use crate::shared::Shared;

/// Less than without encryption: TLS holds what it cannot send by itself, and one record that is not complete on each side.
const READ: usize = 32 * 1024;

type Tls = Mutex<Box<Session>>;

impl Connection {
    /// Reads for as long as there is something to read.
    pub(crate) fn serve_encrypted(self: &Arc<Self>, shared: &Arc<Shared>, tls: &Tls) {
        let deadline = Instant::now() + shared.handshake_timeout;
        while self.wait_for_grant() {
            let mut plain = Vec::new();
            match self.read_encrypted(shared, tls, &mut plain, deadline) {
                Ok(()) if plain.is_empty() => {
                    shared.handle(Input::PeerShutdown(self.id), self);
                    return self.wait_for_the_end(shared);
                }
                Ok(()) => shared.handle(Input::Received(self.id, &plain), self),
                Err(error) => {
                    let level = match lock(tls).is_handshaking() {
                        true if !self.is_closed() => Level::Info,
                        _ => Level::Debug,
                    };
                    log::log!(level, "{}: {error}", self.stream().peer());
                    return shared.handle(Input::Failed(self.id, &error.to_string()), self);
                }
            }
        }
    }

    /// Reads until there is something, or nothing more.
    fn read_encrypted(
        &self,
        shared: &Shared,
        tls: &Tls,
        plain: &mut Vec<u8>,
        deadline: Instant,
    ) -> io::Result<()> {
        loop {
            let (is_handshaking, has_unsent) = {
                let tls = lock(tls);
                match tls.input() {
                    _ if !plain.is_empty() => return Ok(()),
                    Half::Ended => return Ok(()),
                    Half::Broken(reason) => {
                        return Err(io::Error::new(
                            io::ErrorKind::InvalidData,
                            format!("TLS: {reason}"),
                        ));
                    }
                    Half::Open => (tls.is_handshaking(), tls.has_unsent()),
                }
            };
            // A thread that waits to write sees to all that is unsent.
            let sends = has_unsent && !self.is_writing();
            let wanted = if sends { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
            self.wait(wanted, is_handshaking.then_some(deadline))?;
            let mut cipher = shared.buffers.lend();
            let read = match (&mut self.stream()).read(&mut cipher[..READ]) {
                Ok(length) => Some(length),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
                Err(error) => return Err(error),
            };
            let mut tls = lock(tls);
            match read {
                Some(0) => tls.receive_end(),
                Some(length) => {
                    plain.reserve(length);
                    tls.receive(&cipher[..length], plain);
                }
                None => {}
            }
            let flushed = tls.flush(&mut self.stream());
            // Behind the handshake, what the peer said before it went may still be read; who has something to write learns
            // of it there.
            if *tls.input() == Half::Open && tls.is_handshaking() {
                flushed?;
            }
        }
    }

    fn wait(&self, wanted: PollFlags, deadline: Option<Instant>) -> io::Result<()> {
        let late = || io::Error::new(io::ErrorKind::TimedOut, "the TLS handshake takes too long");
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            return Err(late());
        }
        let left = left.and_then(|left| Timespec::try_from(left).ok());
        let fd = self.stream().as_fd();
        match rustix::event::poll(&mut [PollFd::new(&fd, wanted)], left.as_ref()) {
            Ok(0) => Err(late()),
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// As [`write`](Self::write).
    pub(crate) fn write_encrypted(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        tls: &Tls,
        bytes: &[u8],
    ) -> Option<Input<'static>> {
        let (written, has_unsent) = {
            let mut tls = lock(tls);
            (tls.write(bytes, &mut self.stream()), tls.has_unsent())
        };
        match written {
            Ok(written) if written < bytes.len() || has_unsent => {
                self.write_elsewhere(shared, bytes[written..].to_vec())
            }
            Ok(_) => Some(Input::Done(self.id)),
            Err(_) => Some(Input::WriteFailed(self.id)),
        }
    }

    /// Writes all, and waits for room as often as that takes.
    pub(crate) fn write_all_encrypted(&self, tls: &Tls, mut bytes: &[u8]) -> io::Result<()> {
        loop {
            {
                let mut tls = lock(tls);
                let written = tls.write(bytes, &mut self.stream())?;
                bytes = &bytes[written..];
                if bytes.is_empty() && !tls.has_unsent() {
                    return Ok(());
                }
            }
            self.wait(PollFlags::OUT, None)?;
        }
    }

    /// Before it is closed: what was said was all, unless some of it is still here.
    pub(crate) fn say_goodbye(&self) {
        if let Some(tls) = self.tls()
            && !self.is_writing()
        {
            let mut tls = lock(tls);
            if !tls.has_unsent() {
                tls.end();
                // A peer that has no room for it, or is gone, has to do without.
                let _ = tls.flush(&mut self.stream());
            }
        }
    }
}
