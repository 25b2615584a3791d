//! An engine behind the ssh command, as docker's clients reach it.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::connect::left;

/// A connection whose other end is an ssh command, which runs `docker system dial-stdio` on another host. The command
/// ends with it.
#[derive(Debug)]
pub struct Ssh {
    pub(crate) near: UnixStream,
    child: Arc<Mutex<Child>>,
    stderr: Arc<Stderr>,
    /// Something has come from the other host.
    heard: AtomicBool,
    /// Held until something has come from the other host: then the handshake is over, if not for long before.
    handshake: Mutex<Option<Handshake>>,
}

/// More handshakes at once, and a stock sshd begins to refuse them (its MaxStartups is 10:30:100).
const HANDSHAKES: usize = 8;

/// After that a handshake is over, or has failed, and what is waited for is the engine: ssh does not tell, and an engine may
/// take minutes to answer, as when it stops a container.
const SHAKING: Duration = Duration::from_secs(2);

/// What the command has said on stderr.
#[derive(Default, Debug)]
struct Stderr {
    said: Mutex<Said>,
    ended: Condvar,
}

#[derive(Default, Debug)]
struct Said {
    text: String,
    ended: bool,
}

/// Of what it says so much is kept for a client; the log has more.
const KEPT: usize = 2 * 1024;

/// A command that has closed its output has this long to end, and to say why.
const PATIENCE: Duration = Duration::from_secs(2);

/// The end of a connection of which nothing has ever come: what the ssh command says of that.
#[derive(Debug)]
pub struct Obituary {
    child: Arc<Mutex<Child>>,
    stderr: Arc<Stderr>,
}

impl Obituary {
    /// Waits until it is said, which takes a moment.
    #[must_use]
    pub fn read(self) -> String {
        let said = lock(&self.stderr.said);
        let (said, _) = self
            .stderr
            .ended
            .wait_timeout_while(said, PATIENCE, |said| !said.ended)
            .unwrap_or_else(PoisonError::into_inner);
        let text = said.text.trim().to_owned();
        drop(said);
        // It has ended just before its stderr did, or will in an instant.
        let start = Instant::now();
        let status = loop {
            match lock(&self.child).try_wait() {
                Ok(Some(status)) => break format!("ended with {status}"),
                Ok(None) if start.elapsed() < PATIENCE => {}
                _ => break String::from("closed the connection"),
            }
            thread::sleep(Duration::from_millis(2));
        };
        match text.as_str() {
            "" => format!("the ssh command {status} and said nothing"),
            text => format!("the ssh command {status}: {text}"),
        }
    }
}

/// One of the places for handshakes, by its number.
#[derive(Debug)]
struct Handshake(u64);

/// The places that are taken, and since when.
static HELD: Mutex<BTreeMap<u64, Instant>> = Mutex::new(BTreeMap::new());
static FREED: Condvar = Condvar::new();

impl Handshake {
    /// Waits for a place.
    fn begin(deadline: Instant) -> io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let mut held = lock(&HELD);
        loop {
            let now = Instant::now();
            held.retain(|_, since| now < *since + SHAKING);
            // They are numbered in the order in which they began.
            let Some((_, oldest)) = held.first_key_value().filter(|_| held.len() >= HANDSHAKES)
            else {
                let number = NEXT.fetch_add(1, Ordering::Relaxed);
                held.insert(number, now);
                return Ok(Self(number));
            };
            let left = left(deadline).map_err(|error| {
                let reason = format!("{HANDSHAKES} other handshakes of ssh take too long");
                io::Error::new(error.kind(), reason)
            })?;
            let wait = left.min(*oldest + SHAKING - now);
            held = FREED.wait_timeout(held, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        lock(&HELD).remove(&self.0);
        FREED.notify_one();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts the ssh command that docker's client starts. The command reads its own configuration; what it says on stderr goes
/// to the log.
///
/// # Errors
///
/// There is no ssh command. That the host cannot be reached shows by the connection's end.
pub(crate) fn connect(
    user: Option<&str>,
    host: &str,
    port: Option<u16>,
    deadline: Instant,
) -> io::Result<Ssh> {
    let handshake = Handshake::begin(deadline)?;
    let (near, far) = UnixStream::pair()?;
    let mut command = Command::new("ssh");
    if let Some(user) = user {
        command.args(["-l", user]);
    }
    if let Some(port) = port {
        command.args(["-p", &port.to_string()]);
    }
    command
        .args(["-o", "ConnectTimeout=30", "-T", "--", host, "docker", "system", "dial-stdio"])
        .stdin(OwnedFd::from(far.try_clone()?))
        .stdout(OwnedFd::from(far))
        .stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .map_err(|error| io::Error::new(error.kind(), format!("cannot run ssh: {error}")))?;
    // This end of the other socket goes with the command, or its end would never show.
    drop(command);
    let said = Arc::new(Stderr::default());
    if let Some(stderr) = child.stderr.take() {
        let (host, said) = (host.to_owned(), Arc::clone(&said));
        thread::spawn(move || {
            // A line that never ends is cut, one that is no text is left out.
            for line in BufReader::new(stderr.take(64 * 1024)).lines().map_while(Result::ok) {
                log::warn!("ssh {host}: {line}");
                let text = &mut lock(&said.said).text;
                if text.len() + line.len() < KEPT {
                    text.push_str(&line);
                    text.push('\n');
                }
            }
            lock(&said.said).ended = true;
            said.ended.notify_all();
        });
    }
    Ok(Ssh {
        near,
        child: Arc::new(Mutex::new(child)),
        stderr: said,
        heard: AtomicBool::new(false),
        handshake: Mutex::new(Some(handshake)),
    })
}

impl Ssh {
    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = (&self.near).read(buffer);
        if !matches!(&read, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
            lock(&self.handshake).take();
        }
        if matches!(read, Ok(1..)) {
            self.heard.store(true, Ordering::Relaxed);
        }
        read
    }

    /// Asked when the connection has ended; `None` if something had come before.
    pub(crate) fn obituary(&self) -> Option<Obituary> {
        let heard = self.heard.load(Ordering::Relaxed);
        (!heard)
            .then(|| Obituary { child: Arc::clone(&self.child), stderr: Arc::clone(&self.stderr) })
    }
}

impl Drop for Ssh {
    fn drop(&mut self) {
        let mut child = lock(&self.child);
        // Both fail only if it has ended and been waited for.
        let _ = child.kill();
        let _ = child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_engine_holds_no_place_for_handshakes() {
        let begin = |time| Handshake::begin(Instant::now() + time);
        let start = Instant::now();
        let mut held: Vec<_> = (0..HANDSHAKES).map(|_| begin(SHAKING / 20).unwrap()).collect();
        let refused = begin(SHAKING / 20).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::TimedOut);
        assert!(refused.to_string().contains("8 other handshakes"), "{refused}");
        held.pop();
        held.push(begin(SHAKING / 20).unwrap());
        // None of them ends.
        for _ in 0..HANDSHAKES {
            held.push(begin(2 * SHAKING).unwrap());
        }
        let took = start.elapsed();
        assert!((SHAKING..2 * SHAKING).contains(&took), "{took:?}");
        held.clear();
        assert!(lock(&HELD).is_empty());
    }
}
