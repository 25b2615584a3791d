//! Stands between a client and an engine, passes on what they say, and writes it down.
//!
//! What passes is not changed, parsed or delayed beyond its writing: hijacked streams, half-closes of either side and closes
//! reach the other side as what they are. (Over TCP the closing of a connection looks like a half-close until something is
//! sent to it; record over unix sockets to have the difference.)

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener};
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use libswarm::address::{Address, Remote};
use libswarm_host::Stream;
use rustix::event::{PollFd, PollFlags};

use crate::session::{Event, Session, Side, What};

/// Connections that a command leaves open when it ends have this long to end, too.
const LINGER: Duration = Duration::from_secs(2);

/// An engine that takes longer to be connected to is not there.
const CONNECT: Duration = Duration::from_secs(30);

/// Listens for clients, connects each to the engine, and writes all down.
#[derive(Debug)]
pub struct Recorder {
    shared: Arc<Shared>,
    path: Option<String>,
}

#[derive(Debug)]
struct Shared {
    start: Instant,
    upstream: Remote,
    log: Mutex<Log>,
    changed: Condvar,
}

#[derive(Default, Debug)]
struct Log {
    events: Vec<Event>,
    connections: u32,
    open: usize,
    problems: Vec<String>,
}

impl Recorder {
    /// Listens at `address` for clients of the engine at `upstream`.
    ///
    /// # Errors
    ///
    /// It cannot listen there. (An engine that cannot be reached shows when a client comes, in [`finish`](Self::finish).)
    pub fn start(address: &Address, upstream: Remote) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            start: Instant::now(),
            upstream,
            log: Mutex::default(),
            changed: Condvar::new(),
        });
        let accepted = Arc::clone(&shared);
        let path = match address {
            Address::Unix { path } => {
                let listener = UnixListener::bind(path)?;
                thread::spawn(move || {
                    while let Ok((stream, _)) = listener.accept() {
                        open(&accepted, Stream::Unix(stream));
                    }
                });
                Some(path.clone())
            }
            Address::Tcp { host, port } => {
                let listener = TcpListener::bind((host.as_str(), *port))?;
                thread::spawn(move || {
                    while let Ok((stream, _)) = listener.accept() {
                        // It fails only for a connection that is gone.
                        let _ = stream.set_nodelay(true);
                        open(&accepted, Stream::Tcp(stream));
                    }
                });
                None
            }
        };
        Ok(Self { shared, path })
    }

    /// Waits a moment for connections to end, and returns what has happened.
    ///
    /// # Errors
    ///
    /// A client came and the engine could not be reached, or nobody came at all.
    pub fn finish(self) -> Result<Session, String> {
        let deadline = Instant::now() + LINGER;
        let mut log = self.shared.log();
        while log.open > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let waited = self.shared.changed.wait_timeout(log, left);
            log = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        if let Some(problem) = log.problems.first() {
            return Err(problem.clone());
        }
        if log.events.is_empty() {
            return Err(
                "the command has opened no connection: it has to be pointed at --listen".to_owned()
            );
        }
        Ok(Session { headers: Vec::new(), events: std::mem::take(&mut log.events) })
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // It fails only if it is gone already.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Records what `command` does at `address`; its exit code stands in the session's header `exit`.
///
/// # Errors
///
/// It cannot listen, the command cannot be started, or there is nothing to record.
pub fn record(
    address: &Address,
    upstream: Remote,
    command: &[String],
) -> Result<(Session, ExitStatus), String> {
    let (program, args) = command.split_first().ok_or("there is no command to record")?;
    let recorder = Recorder::start(address, upstream)
        .map_err(|error| format!("cannot listen on {address}: {error}"))?;
    let status = Command::new(program)
        .args(args)
        .status()
        .map_err(|error| format!("cannot start {program}: {error}"))?;
    let mut session = recorder.finish()?;
    session.headers.push(("exit".to_owned(), exit_code(status).to_string()));
    Ok((session, status))
}

/// As a shell gives it: 128 and the signal's number for a command that a signal ended.
#[must_use]
pub fn exit_code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

impl Shared {
    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log {
    fn push(&mut self, start: Instant, conn: u32, what: What) {
        let at = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.events.push(Event { at, conn, what });
    }
}

/// A client's connection and the engine's.
struct Pair {
    number: u32,
    client: Stream,
    engine: Stream,
    /// Each side: it has ended or closed, which came from it and not from here.
    ended: [AtomicBool; 2],
    closed: AtomicBool,
}

fn open(shared: &Arc<Shared>, client: Stream) {
    let number = {
        let mut log = shared.log();
        log.connections += 1;
        log.open += 1;
        let number = log.connections;
        log.push(shared.start, number, What::Open);
        number
    };
    let shared = Arc::clone(shared);
    thread::spawn(move || {
        match libswarm_host::connect_plain(&shared.upstream, CONNECT) {
            Ok(engine) => {
                let ended = [AtomicBool::new(false), AtomicBool::new(false)];
                let pair = Pair { number, client, engine, ended, closed: AtomicBool::new(false) };
                thread::scope(|scope| {
                    scope.spawn(|| pair.pass(&shared, Side::Client));
                    pair.pass(&shared, Side::Engine);
                });
            }
            Err(error) => {
                let problem = format!("cannot connect to {}: {error}", shared.upstream);
                shared.log().problems.push(problem);
            }
        }
        shared.log().open -= 1;
        shared.changed.notify_all();
    });
}

impl Pair {
    /// Passes on what comes from that side until both have ended.
    fn pass(&self, shared: &Shared, side: Side) {
        let (mut from, mut to) = match side {
            Side::Client => (&self.client, &self.engine),
            Side::Engine => (&self.engine, &self.client),
        };
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match from.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => {
                    let data = buffer[..length].to_vec();
                    shared.log().push(shared.start, self.number, What::Data(side, data));
                    // A side that takes nothing more is found by its own thread.
                    let _ = to.write_all(&buffer[..length]);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return self.close(shared, side),
            }
        }
        if self.closed.load(Ordering::Acquire) {
            return;
        }
        if hung_up(from, true) {
            return self.close(shared, side);
        }
        {
            let mut log = shared.log();
            log.push(shared.start, self.number, What::End(side));
            self.ended[side as usize].store(true, Ordering::Release);
        }
        // It fails only if that side is gone.
        let _ = to.shutdown(Shutdown::Write);
        if hung_up(from, false) && !self.ended.iter().all(|ended| ended.load(Ordering::Acquire)) {
            self.close(shared, side);
        }
    }

    /// That side is gone altogether.
    fn close(&self, shared: &Shared, side: Side) {
        {
            let mut log = shared.log();
            if self.closed.swap(true, Ordering::AcqRel) {
                return;
            }
            log.push(shared.start, self.number, What::Close(side));
        }
        // They fail only if there is nothing left to close.
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.engine.shutdown(Shutdown::Both);
    }
}

/// Whether both directions of a socket are over; waits for it unless told to look only.
fn hung_up(stream: &Stream, now: bool) -> bool {
    let zero = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    loop {
        let fd = stream.as_fd();
        let mut source = [PollFd::new(&fd, PollFlags::empty())];
        match rustix::event::poll(&mut source, now.then_some(&zero)) {
            Ok(_) => return source[0].revents().intersects(PollFlags::HUP | PollFlags::ERR),
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::Folder;
    use std::os::unix::net::UnixStream;

    /// An engine of one connection, and a client of it through a recorder.
    fn recorded(engine: fn(UnixStream), client: impl FnOnce(UnixStream)) -> Vec<What> {
        let folder = Folder::new();
        let (near, far) = (folder.file("near.sock"), folder.file("far.sock"));
        let listener = UnixListener::bind(&far).unwrap();
        let server = thread::spawn(move || engine(listener.accept().unwrap().0));
        let upstream = format!("unix://{far}").parse().unwrap();
        let recorder = Recorder::start(&Address::Unix { path: near.clone() }, upstream).unwrap();
        client(UnixStream::connect(near).unwrap());
        server.join().unwrap();
        let session = recorder.finish().unwrap();
        session.to_string().parse::<Session>().unwrap();
        session.events.into_iter().map(|event| event.what).collect()
    }

    fn all(mut stream: &UnixStream) -> String {
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn half_closes_pass_both_ways() {
        let events = recorded(
            |mut stream| {
                assert_eq!(all(&stream), "in");
                stream.write_all(b"out").unwrap();
            },
            |mut stream| {
                stream.write_all(b"in").unwrap();
                stream.shutdown(Shutdown::Write).unwrap();
                assert_eq!(all(&stream), "out");
            },
        );
        let (input, output) =
            (What::Data(Side::Client, b"in".to_vec()), What::Data(Side::Engine, b"out".to_vec()));
        assert_eq!(
            events,
            [What::Open, input, What::End(Side::Client), output, What::Close(Side::Engine)]
        );

        let events = recorded(
            |stream| {
                stream.shutdown(Shutdown::Write).unwrap();
                assert_eq!(all(&stream), "late");
            },
            |mut stream| {
                assert_eq!(all(&stream), "");
                stream.write_all(b"late").unwrap();
            },
        );
        let late = What::Data(Side::Client, b"late".to_vec());
        assert_eq!(events, [What::Open, What::End(Side::Engine), late, What::Close(Side::Client)]);
    }

    #[test]
    fn a_client_that_goes_is_gone_for_the_engine() {
        let events = recorded(|stream| assert_eq!(all(&stream), ""), drop);
        assert_eq!(events, [What::Open, What::Close(Side::Client)]);
        let events = recorded(
            |mut stream| {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                // Only what is sent to a client that takes nothing tells that it is gone.
                while stream.write_all(b"more").is_ok() {}
            },
            |mut stream| {
                stream.write_all(b"x").unwrap();
                stream.shutdown(Shutdown::Write).unwrap();
                drop(stream);
            },
        );
        assert_eq!(
            events.iter().filter(|what| matches!(what, What::Close(Side::Client))).count(),
            1
        );
    }

    #[test]
    fn problems_are_said() {
        let folder = Folder::new();
        let (near, far) = (folder.file("near.sock"), folder.file("far.sock"));
        let address = Address::Unix { path: near.clone() };
        let upstream: Remote = format!("unix://{far}").parse().unwrap();
        let said = |command: &[&str]| {
            let command: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
            record(&address, upstream.clone(), &command).unwrap_err()
        };
        assert!(said(&[]).contains("no command"));
        assert!(said(&["true"]).contains("has opened no connection"));
        assert!(said(&["/no/such"]).contains("cannot start /no/such"));
        let recorder = Recorder::start(&address, upstream.clone()).unwrap();
        assert_eq!(all(&UnixStream::connect(&near).unwrap()), "");
        assert!(
            recorder.finish().unwrap_err().contains(&format!("cannot connect to unix://{far}"))
        );
        std::fs::write(&near, "").unwrap();
        assert!(said(&["true"]).contains("cannot listen on"));
    }
}
