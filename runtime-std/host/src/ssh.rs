//! An engine behind the ssh command, as docker's clients reach it.

use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// A connection whose other end is an ssh command, which runs `docker system dial-stdio` on another host. The command
/// ends with it.
#[derive(Debug)]
pub struct Ssh {
    pub(crate) near: UnixStream,
    child: Mutex<Child>,
    /// Held until something has come from the other host: then the handshake is over.
    handshake: Mutex<Option<Handshake>>,
}

/// More handshakes at once, and a stock sshd begins to refuse them (its MaxStartups is 10:30:100).
const HANDSHAKES: usize = 8;

/// One of the places for handshakes.
#[derive(Debug)]
struct Handshake;

static HELD: Mutex<usize> = Mutex::new(0);
static FREED: Condvar = Condvar::new();

impl Handshake {
    /// Waits for a place.
    fn begin() -> Self {
        let held = lock(&HELD);
        let mut held = FREED
            .wait_while(held, |held| *held >= HANDSHAKES)
            .unwrap_or_else(PoisonError::into_inner);
        *held += 1;
        Self
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        *lock(&HELD) -= 1;
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
pub(crate) fn connect(user: Option<&str>, host: &str, port: Option<u16>) -> io::Result<Ssh> {
    let handshake = Handshake::begin();
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
    if let Some(stderr) = child.stderr.take() {
        let host = host.to_owned();
        thread::spawn(move || {
            // A line that never ends is cut, one that is no text is left out.
            for line in BufReader::new(stderr.take(64 * 1024)).lines().map_while(Result::ok) {
                log::warn!("ssh {host}: {line}");
            }
        });
    }
    Ok(Ssh { near, child: Mutex::new(child), handshake: Mutex::new(Some(handshake)) })
}

impl Ssh {
    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = (&self.near).read(buffer);
        if !matches!(&read, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
            lock(&self.handshake).take();
        }
        read
    }
}

impl Drop for Ssh {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap_or_else(PoisonError::into_inner);
        // Both fail only if it has ended and been waited for.
        let _ = child.kill();
        let _ = child.wait();
    }
}
