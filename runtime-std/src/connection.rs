//! One connection: its socket, and the thread that reads from it.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::Duration;

use libswarm::ConnId;
use libswarm::address::Remote;
use libswarm::node::{CloseReason, Input};
use libswarm_host::{Obituary, Serves, Session, Stream, Transport};
use rustix::event::{PollFd, PollFlags};
use rustix::net::SendFlags;

use crate::buffers::Room;
use crate::shared::Shared;

/// A socket, kept alive by whoever uses it: its thread, a writer, the table.
pub(crate) struct Connection {
    pub(crate) id: ConnId,
    stream: Stream,
    /// What lies over the stream, which does not wait then: nobody holds this for longer than it takes to encrypt.
    tls: Option<Mutex<Box<Session>>>,
    /// The node has granted a read, or a splice.
    granted: AtomicBool,
    /// Where what comes is to go instead of to the node, and how much of it: set before it is granted.
    splice: Mutex<Option<Splice>>,
    closed: AtomicBool,
    /// A thread waits until it can write.
    writing: AtomicBool,
    /// The thread that has read the end waits for the peer to hang up.
    ended: AtomicBool,
    /// Set by the thread before it first looks for a grant; behind a lock, so that no grant falls between the two.
    reader: Mutex<Option<Thread>>,
}

/// What comes from a connection passes to another one.
pub(crate) struct Splice {
    pub(crate) to: Arc<Connection>,
    pub(crate) limit: Option<u64>,
}

/// Room for a backend's frames in a debug build; only what is touched becomes memory.
const STACK: usize = 512 * 1024;
/// The node gets no more than this at once, of which it holds two or three when it cannot write. What passes to another
/// connection instead is held by nobody else.
const READ: usize = 48 * 1024;
#[cfg(target_vendor = "apple")]
const SEND: SendFlags = SendFlags::DONTWAIT;
#[cfg(not(target_vendor = "apple"))]
const SEND: SendFlags = SendFlags::DONTWAIT.union(SendFlags::NOSIGNAL);

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes a connection that was accepted, and starts its thread.
pub(crate) fn open(shared: &Arc<Shared>, serves: Serves, transport: Transport) {
    let made = |id| Connection::new(id, transport);
    let connection = match shared.accept(serves, made) {
        Ok(connection) => connection,
        // The node says once why, and not for each of thousands.
        Err(refusal) => return log::debug!("refuses a connection: {refusal}"),
    };
    let id = connection.id;
    let reader = {
        let shared = Arc::clone(shared);
        move || connection.serve(&shared)
    };
    if let Err(error) = thread::Builder::new().stack_size(STACK).spawn(reader) {
        log::warn!("no thread for a connection: {error}");
        shared.tell(Input::Broken(id));
    }
}

/// Opens a connection to another server, on the thread that is to read from it.
pub(crate) fn connect(shared: &Arc<Shared>, id: ConnId, to: Remote, within: Duration) {
    let reader = {
        let shared = Arc::clone(shared);
        move || match libswarm_host::connect(&to, &shared.certificates, within) {
            Ok(transport) => {
                let connection = Arc::new(Connection::new(id, transport));
                if shared.opened(&connection) {
                    connection.serve(&shared);
                }
            }
            Err(error) => shared.not_opened(id, &error.to_string()),
        }
    };
    if let Err(error) = thread::Builder::new().stack_size(STACK).spawn(reader) {
        shared.not_opened(id, &format!("no thread for it: {error}"));
    }
}

impl Connection {
    pub(crate) fn new(id: ConnId, transport: Transport) -> Self {
        let Transport { stream, tls } = transport;
        if tls.is_some() {
            // No socket refuses it.
            let _ = stream.set_nonblocking(true);
        }
        Self {
            id,
            stream,
            tls: tls.map(Mutex::new),
            granted: AtomicBool::new(false),
            splice: Mutex::new(None),
            closed: AtomicBool::new(false),
            writing: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            reader: Mutex::new(None),
        }
    }

    fn serve(self: &Arc<Self>, shared: &Arc<Shared>) {
        *self.reader() = Some(thread::current());
        if let Some(tls) = &self.tls {
            return self.serve_encrypted(shared, tls);
        }
        let mut room = Room::new(&shared.buffers);
        loop {
            if self.is_closed() || !self.takes_grant() {
                room.shrink();
                if !self.wait_for_grant() {
                    return;
                }
            }
            let splice = lock(&self.splice).take();
            if let Some(splice) = splice {
                match self.pass(shared, &splice, &mut room) {
                    Ok(spliced) if spliced.ended => {
                        drop(room);
                        return self.ended(shared, self.spliced(&spliced));
                    }
                    Ok(spliced) => shared.handle(self.spliced(&spliced), self),
                    Err(error) => return self.failed(shared, &error),
                }
                continue;
            }
            let buffer = room.up_to(READ);
            match (&self.stream).read(buffer) {
                // A datagram without bytes is no end.
                Ok(0) if !self.stream.is_datagrams() => {
                    drop(room);
                    return self.ended(shared, Input::PeerShutdown(self.id));
                }
                Ok(length) => {
                    shared.handle(Input::Received(self.id, &buffer[..length]), self);
                    room.fit(length);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    self.granted.store(true, Ordering::Release);
                }
                Err(error) => return self.failed(shared, &error),
            }
        }
    }

    /// The peer's half has ended, which `input` tells.
    fn ended(self: &Arc<Self>, shared: &Arc<Shared>, input: Input<'_>) {
        if let Some(obituary) = self.stream.obituary() {
            return shared.handle(Input::Failed(self.id, &obituary.read()), self);
        }
        shared.handle(input, self);
        self.wait_for_the_end(shared);
    }

    fn failed(self: &Arc<Self>, shared: &Arc<Shared>, error: &io::Error) {
        let reason = self.stream.obituary().map_or_else(|| error.to_string(), Obituary::read);
        shared.handle(Input::Failed(self.id, &reason), self);
    }

    /// Returns false when the connection is closed.
    pub(crate) fn wait_for_grant(&self) -> bool {
        loop {
            if self.closed.load(Ordering::Acquire) {
                return false;
            }
            if self.takes_grant() {
                return true;
            }
            thread::park();
        }
    }

    fn takes_grant(&self) -> bool {
        self.granted.swap(false, Ordering::AcqRel)
    }

    /// After the peer's half has ended there is nothing to read, but a peer that is gone altogether must not be kept
    /// writing to: unix sockets tell of that by hanging up.
    pub(crate) fn wait_for_the_end(&self, shared: &Arc<Shared>) {
        // In this order, and in the other one where it is closed: one of the two sees the other.
        self.ended.store(true, Ordering::SeqCst);
        while !self.closed.load(Ordering::SeqCst) {
            let fd = self.stream.as_fd();
            let mut source = [PollFd::new(&fd, PollFlags::empty())];
            match rustix::event::poll(&mut source, None) {
                Ok(_) => {
                    if !self.closed.load(Ordering::Acquire) {
                        shared.tell(Input::Broken(self.id));
                    }
                    return;
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }

    /// The node grants a read. `own` says that this is the connection's own thread.
    pub(crate) fn grant(&self, own: bool) {
        self.granted.store(true, Ordering::Release);
        if !own {
            self.wake();
        }
    }

    /// The node leaves what comes to another connection. Returns what there is to tell the node now.
    pub(crate) fn splice(
        &self,
        to: Arc<Self>,
        limit: Option<u64>,
        own: bool,
    ) -> Option<Input<'static>> {
        // What is encrypted comes in pieces of its own, which may hold more than the limit: that is the node's.
        if self.tls.is_some() || to.tls.is_some() {
            return Some(Input::Spliced { from: self.id, bytes: 0, eof: false });
        }
        *lock(&self.splice) = Some(Splice { to, limit });
        if self.is_closed() {
            // Closed by another thread meanwhile: two that feed each other would keep each other.
            self.forget_splice();
        }
        self.grant(own);
        None
    }

    fn forget_splice(&self) {
        lock(&self.splice).take();
    }

    /// Writes all that another connection has brought, and waits for room. False: this one takes nothing more.
    pub(crate) fn feed(&self, bytes: &[u8]) -> bool {
        // In this order, and in the other one where it is closed: one of the two sees the other.
        self.writing.store(true, Ordering::SeqCst);
        let written =
            !self.closed.load(Ordering::SeqCst) && (&self.stream).write_all(bytes).is_ok();
        self.writing.store(false, Ordering::SeqCst);
        written
    }

    fn wake(&self) {
        if let Some(reader) = &*self.reader() {
            reader.unpark();
        }
    }

    pub(crate) const fn stream(&self) -> &Stream {
        &self.stream
    }

    pub(crate) const fn tls(&self) -> Option<&Mutex<Box<Session>>> {
        self.tls.as_ref()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Whether another thread is to go on with a write.
    pub(crate) fn is_writing(&self) -> bool {
        self.writing.load(Ordering::Acquire)
    }

    fn reader(&self) -> MutexGuard<'_, Option<Thread>> {
        lock(&self.reader)
    }

    /// Writes what goes without waiting. The rest is for a thread that may wait; it tells the node when all is written.
    ///
    /// Returns what there is to tell the node now.
    pub(crate) fn write(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        bytes: &[u8],
    ) -> Option<Input<'static>> {
        if let Some(tls) = &self.tls {
            return self.write_encrypted(shared, tls, bytes);
        }
        let mut written = 0;
        while written < bytes.len() {
            match rustix::net::send(&self.stream, &bytes[written..], SEND) {
                Ok(more) => written += more,
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => {
                    return self.write_elsewhere(shared, bytes[written..].to_vec());
                }
                // A read tells of its end, and why.
                Err(_) if self.stream.obituary().is_some() => return None,
                Err(_) => return Some(Input::WriteFailed(self.id)),
            }
        }
        Some(Input::Done(self.id))
    }

    pub(crate) fn write_elsewhere(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        rest: Vec<u8>,
    ) -> Option<Input<'static>> {
        let writer = {
            let (connection, shared) = (Arc::clone(self), Arc::clone(shared));
            move || {
                let written = match &connection.tls {
                    None => (&connection.stream).write_all(&rest),
                    Some(tls) => connection.write_all_encrypted(tls, &rest),
                };
                connection.writing.store(false, Ordering::Release);
                drop(rest);
                let id = connection.id;
                shared.tell(if written.is_ok() { Input::Done(id) } else { Input::WriteFailed(id) });
            }
        };
        // As in `feed`: a thread that closes it must see that another one is about to wait in it.
        self.writing.store(true, Ordering::SeqCst);
        if self.closed.load(Ordering::SeqCst) {
            return None;
        }
        match thread::Builder::new().stack_size(STACK).spawn(writer) {
            Ok(_) => None,
            Err(error) => {
                log::warn!("no thread for a write that has to wait: {error}");
                Some(Input::Broken(self.id))
            }
        }
    }

    /// Shuts the sending side down.
    pub(crate) fn shutdown(self: &Arc<Self>, shared: &Arc<Shared>) -> Option<Input<'static>> {
        if let Some(tls) = &self.tls {
            lock(tls).end();
            return self.write_encrypted(shared, tls, &[]);
        }
        // It fails only if the peer is gone, which a read will tell.
        let _ = self.stream.shutdown(Shutdown::Write);
        Some(Input::Done(self.id))
    }

    /// Closes: threads that wait in the socket come back, and the last one to let go of it frees it.
    pub(crate) fn close(&self, why: CloseReason) {
        log::debug!("{} closes: {why}", self.id);
        self.closed.store(true, Ordering::SeqCst);
        self.forget_splice();
        let both = if why.is_reset() {
            if self.ended.load(Ordering::SeqCst) {
                // The half that is read has been shut down by the peer: to do so again calls nobody, and the last one to let
                // go of the socket would wait for ever.
                return self.stream.reset();
            }
            self.stream.reset_on_close();
            // One that waits to write has to come back before the socket can be closed; what it wrote stands before any end
            // that the peer could see, and the reset drops both.
            if self.writing.load(Ordering::SeqCst) { Shutdown::Both } else { Shutdown::Read }
        } else {
            self.say_goodbye();
            Shutdown::Both
        };
        // It fails if the peer has ended the connection already.
        let _ = self.stream.shutdown(both);
        self.wake();
    }
}
