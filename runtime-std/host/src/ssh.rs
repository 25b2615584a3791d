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

use crate::connect::{GRACE, left};

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

/// After this, or some times what the quickest answer of that host took, a handshake is over, or has failed, and what is waited
/// for is the engine: ssh does not tell, and an engine may take minutes to answer, as when it stops a container.
const SHAKING: Duration = Duration::from_secs(2);
const TIMES: u32 = 4;
/// The same for a host that has not answered yet.
const UNKNOWN: Duration = Duration::from_secs(8);

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
struct Handshake {
    number: u64,
    host: String,
    began: Instant,
}

#[derive(Debug)]
struct Places {
    /// Those that are taken, and until when at most.
    held: BTreeMap<u64, Instant>,
    /// What the quickest answer of each host took, which is no less than its handshake.
    quickest: BTreeMap<String, Duration>,
}

static PLACES: Mutex<Places> =
    Mutex::new(Places { held: BTreeMap::new(), quickest: BTreeMap::new() });
static FREED: Condvar = Condvar::new();

impl Handshake {
    /// Waits for a place.
    fn begin(host: &str, deadline: Instant) -> io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let mut places = lock(&PLACES);
        loop {
            let now = Instant::now();
            places.held.retain(|_, until| now < *until);
            let is_full = places.held.len() >= HANDSHAKES;
            let next = places.held.values().min().copied().filter(|_| is_full);
            let Some(next) = next else {
                let known = places.quickest.get(host);
                let longest = known.map_or(UNKNOWN, |quickest| SHAKING.max(*quickest * TIMES));
                let number = NEXT.fetch_add(1, Ordering::Relaxed);
                places.held.insert(number, now + longest);
                return Ok(Self { number, host: host.to_owned(), began: now });
            };
            let left = left(deadline).map_err(|error| {
                let reason = format!("{HANDSHAKES} other handshakes of ssh take too long");
                io::Error::new(error.kind(), reason)
            })?;
            let wait = left.min(next - now);
            places = FREED.wait_timeout(places, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The host has answered.
    fn succeed(self) {
        let took = self.began.elapsed();
        let quickest = &mut lock(&PLACES).quickest;
        let known = quickest.entry(self.host.clone()).or_insert(took);
        *known = took.min(*known);
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        lock(&PLACES).held.remove(&self.number);
        FREED.notify_one();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts the ssh command that docker's client starts. The command reads its own configuration; what it says on stderr goes
/// to the log. It gives up by itself when it has not connected in the time that is left, in whole seconds.
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
    let handshake = Handshake::begin(host, deadline)?;
    let connect_timeout =
        format!("ConnectTimeout={}", whole_seconds(left(deadline)?.saturating_sub(GRACE)));
    let (near, far) = UnixStream::pair()?;
    let mut command = Command::new("ssh");
    if let Some(user) = user {
        command.args(["-l", user]);
    }
    if let Some(port) = port {
        command.args(["-p", &port.to_string()]);
    }
    command
        .args(["-o", &connect_timeout, "-T", "--", host, "docker", "system", "dial-stdio"])
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

/// ssh takes no fractions, and zero for no limit.
fn whole_seconds(time: Duration) -> u64 {
    (time.as_secs() + u64::from(time.subsec_nanos() > 0)).max(1)
}

impl Ssh {
    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = (&self.near).read(buffer);
        if !matches!(&read, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
            let handshake = lock(&self.handshake).take();
            if matches!(read, Ok(1..)) {
                self.heard.store(true, Ordering::Relaxed);
                handshake.into_iter().for_each(Handshake::succeed);
            }
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
        let begin = |time| Handshake::begin("host", Instant::now() + time);
        begin(SHAKING).unwrap().succeed();
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
        // One that is slow, or not known, may not be through yet.
        let far = |host| {
            let handshake = Handshake::begin(host, Instant::now()).unwrap();
            lock(&PLACES).held[&handshake.number] - Instant::now()
        };
        lock(&PLACES).quickest.insert("far".into(), SHAKING);
        assert!(far("far") > SHAKING * (TIMES - 1) && far("new") > UNKNOWN - SHAKING);
        assert!(lock(&PLACES).held.is_empty());
    }
}
