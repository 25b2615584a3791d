//! A thread that drives a client, or a health check.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::AsFd;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::task::{Context, Poll, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use libswarm::discovery::client::{Action, Config, Error, Input, Machine};
use rustix::event::{PollFd, PollFlags, Timespec};

use super::{Handle, Shared};
use crate::listen::keep_alive;
use crate::wake::Wake;

/// Waits for what a future gives.
pub fn wait<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let called = Arc::new(Called { thread: thread::current(), called: AtomicBool::new(false) });
    let waker = Waker::from(Arc::clone(&called));
    loop {
        if let Poll::Ready(found) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return found;
        }
        // Others may unpark this thread, too.
        while !called.called.swap(false, Ordering::AcqRel) {
            thread::park();
        }
    }
}

struct Called {
    thread: Thread,
    called: AtomicBool,
}

impl std::task::Wake for Called {
    fn wake(self: Arc<Self>) {
        self.called.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

/// Wakes a thread that waits in poll(2).
struct Caller(Arc<Wake>);

impl std::task::Wake for Caller {
    fn wake(self: Arc<Self>) {
        self.0.call();
    }
}

/// A client that a thread drives, which looks for its servers at once. Dropping the last handle waits, a second at most, until
/// all registrations have ended.
///
/// # Errors
///
/// The system has no thread, no descriptors or no random numbers for it.
pub fn start(config: Config) -> Result<Handle, Error> {
    Handle::new(config, |shared| {
        let ended = spawn(Arc::clone(shared), "discovery")?;
        let ended = std::sync::Mutex::new(ended);
        // Somebody who looks for a dead server is not waited for.
        Ok(Some(Box::new(move || {
            if let Ok(ended) = ended.lock() {
                let _ = ended.recv_timeout(PARTING);
            }
        })))
    })
}

/// How long the end of a client is waited for: the machine ends within a second.
const PARTING: Duration = Duration::from_millis(1200);

/// Drives a machine on a thread of its own until it is over; what is given back ends then, too.
///
/// # Errors
///
/// The system has no thread or no descriptors for it.
pub fn spawn<M: Machine + Send + 'static>(
    shared: Arc<Shared<M>>,
    name: &str,
) -> Result<std::sync::mpsc::Receiver<()>, Error> {
    let fail = |error: io::Error| Error::System(error.to_string());
    let wake = Arc::new(Wake::new().map_err(fail)?);
    let (ends, ended) = channel();
    shared.drive(&Waker::from(Arc::new(Caller(Arc::clone(&wake)))));
    let drive = move || {
        let _ends = ends;
        Driver { shared: &shared, socket: None }.run(&wake);
    };
    thread::Builder::new().name(name.to_owned()).spawn(drive).map_err(fail)?;
    Ok(ended)
}

struct Driver<'a, M> {
    shared: &'a Shared<M>,
    socket: Option<Socket>,
}

struct Socket {
    conn: u64,
    stream: TcpStream,
    /// What is to be written, and how much of it was.
    out: Vec<u8>,
    written: usize,
}

impl<M: Machine> Driver<'_, M> {
    fn run(&mut self, wake: &Wake) {
        let mut buffer = vec![0; 16 * 1024];
        while self.act() {
            let interest = match &self.socket {
                Some(socket) if !socket.out.is_empty() => PollFlags::IN | PollFlags::OUT,
                _ => PollFlags::IN,
            };
            let timeout = self.shared.timeout().map(|wait| Timespec {
                tv_sec: wait.as_secs().try_into().unwrap_or(i64::MAX),
                tv_nsec: wait.subsec_nanos().into(),
            });
            let wake_fd = wake.as_fd();
            let mut sources = vec![PollFd::new(&wake_fd, PollFlags::IN)];
            let socket_fd = self.socket.as_ref().map(|socket| socket.stream.as_fd());
            sources.extend(socket_fd.as_ref().map(|fd| PollFd::new(fd, interest)));
            if let Err(error) = rustix::event::poll(&mut sources, timeout.as_ref())
                && error != rustix::io::Errno::INTR
            {
                log::error!("discovery has to stop: it cannot wait: {error}");
                return;
            }
            let ready = sources.get(1).map_or(PollFlags::empty(), PollFd::revents);
            drop(sources);
            wake.answer();
            // What has come goes before the time: an answer that is there is not late.
            if ready.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
                self.read(&mut buffer);
            }
            if ready.intersects(PollFlags::OUT) {
                self.write();
            }
            self.shared.handle(Input::Timeout);
        }
    }

    /// Does all that is to be done; false once that is nothing for ever.
    fn act(&mut self) -> bool {
        let mut out = Vec::new();
        while let Some(action) = self.shared.poll(&mut out) {
            match action {
                Action::Connect { conn, server, within } => match dial(&server, within) {
                    Ok(stream) => {
                        self.socket = Some(Socket { conn, stream, out: Vec::new(), written: 0 });
                        self.shared.handle(Input::Connected(conn));
                    }
                    Err(error) => self.shared.handle(Input::Closed(conn, &error.to_string())),
                },
                Action::Write(_) => {
                    if let Some(socket) = &mut self.socket {
                        (socket.out, socket.written) = (std::mem::take(&mut out), 0);
                        self.write();
                    }
                }
                Action::Close(_) => self.socket = None,
                _ => {}
            }
            out.clear();
        }
        !self.shared.is_over()
    }

    fn write(&mut self) {
        let Some(socket) = &mut self.socket else { return };
        while socket.written < socket.out.len() {
            match socket.stream.write(&socket.out[socket.written..]) {
                Ok(length) => socket.written += length,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => return self.lose(&error),
            }
        }
        if !socket.out.is_empty() {
            socket.out.clear();
            let conn = socket.conn;
            self.shared.handle(Input::Sent(conn));
        }
    }

    fn read(&mut self, buffer: &mut [u8]) {
        let Some(socket) = &mut self.socket else { return };
        match socket.stream.read(buffer) {
            Ok(0) => self.shared.handle(Input::Ended(socket.conn)),
            Ok(length) => self.shared.handle(Input::Received(socket.conn, &buffer[..length])),
            Err(error)
                if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => {}
            Err(error) => self.lose(&error),
        }
    }

    fn lose(&mut self, error: &io::Error) {
        if let Some(socket) = self.socket.take() {
            self.shared.handle(Input::Closed(socket.conn, &error.to_string()));
        }
    }
}

/// Connects for a machine.
fn dial(server: &str, within: Duration) -> io::Result<TcpStream> {
    let stream = reach(server, within)?;
    watch_over(&stream)?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

/// Has the system find out when the peer of a quiet connection is gone.
///
/// # Errors
///
/// The system refuses to.
pub fn watch_over(stream: &TcpStream) -> io::Result<()> {
    Ok(keep_alive(stream)?)
}

/// Connects to `HOST:PORT`: all addresses of the name are tried.
///
/// # Errors
///
/// The name is unknown, nobody listens there, or it takes too long.
pub fn reach(server: &str, within: Duration) -> io::Result<TcpStream> {
    let deadline = Instant::now() + within;
    let mut last = io::Error::new(ErrorKind::NotFound, "the name has no address");
    for address in server.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, crate::connect::left(deadline)?) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}
