//! Starting and ending a daemon.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::client::PATIENCE;

/// A folder of its own for a test, removed with it.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// Makes one.
    ///
    /// # Panics
    ///
    /// There is no room for temporary files.
    #[must_use]
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("swarm-test-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).expect("a temporary folder can be made");
        Self(path)
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The path of a file in it, as text.
    #[must_use]
    pub fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("temporary paths are text").to_owned()
    }
}

impl Default for Folder {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A running daemon; killed when dropped.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    /// Where it listens, in the order it said so.
    pub addresses: Vec<String>,
    lines: Receiver<String>,
    said: Vec<String>,
}

impl Daemon {
    /// Starts it and waits until it listens at `frontends` addresses.
    ///
    /// # Panics
    ///
    /// It does not.
    #[must_use]
    pub fn start(binary: &Path, args: &[&str], frontends: usize) -> Self {
        Self::start_with(binary, args, frontends, Stdio::null())
    }

    /// As [`start`](Self::start), with its standard output going there.
    ///
    /// # Panics
    ///
    /// It does not start.
    #[must_use]
    pub fn start_with(binary: &Path, args: &[&str], frontends: usize, stdout: Stdio) -> Self {
        Self::start_command(Command::new(binary).args(args).stdout(stdout), frontends)
    }

    /// As [`start`](Self::start), with a command that has an environment of its own.
    ///
    /// # Panics
    ///
    /// It does not start.
    #[must_use]
    pub fn start_command(command: &mut Command, frontends: usize) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let stderr = BufReader::new(child.stderr.take().expect("stderr is piped"));
        let (send, lines) = channel();
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        let mut daemon = Self { child, addresses: Vec::new(), lines, said: Vec::new() };
        while daemon.addresses.len() < frontends {
            let line = daemon.next_line();
            if let Some(address) = line.strip_prefix("listening on ") {
                daemon.addresses.push(address.to_owned());
            }
        }
        daemon
    }

    fn next_line(&mut self) -> String {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => {
                self.said.push(line.clone());
                line
            }
            Err(RecvTimeoutError::Timeout) => {
                panic!("the daemon says nothing after {:?}", self.said)
            }
            Err(RecvTimeoutError::Disconnected) => {
                panic!("the daemon has ended after {:?}", self.said)
            }
        }
    }

    /// All that it has said on stderr until now.
    pub fn said(&mut self) -> String {
        self.said.extend(self.lines.try_iter());
        self.said.join("\n")
    }

    /// Waits until it says something that contains `text` on stderr.
    ///
    /// # Panics
    ///
    /// It does not.
    pub fn says(&mut self, text: &str) {
        while !self.said().contains(text) {
            self.next_line();
        }
    }

    /// Its standard output, where that is a pipe.
    ///
    /// # Panics
    ///
    /// It is no pipe, or was taken before.
    pub fn stdout(&mut self) -> impl Read + use<> {
        self.child.stdout.take().expect("stdout is piped")
    }

    /// Sends it a signal.
    ///
    /// # Panics
    ///
    /// It has ended.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("the daemon is there");
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Its resident memory, in KiB.
    ///
    /// # Panics
    ///
    /// It has ended, or this is no Linux.
    #[must_use]
    pub fn resident(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// What of that is its own and not a file's, in KiB.
    ///
    /// # Panics
    ///
    /// It has ended, or this is no Linux.
    #[must_use]
    pub fn anonymous(&self) -> u64 {
        self.memory("RssAnon:")
    }

    fn memory(&self, kind: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))
            .expect("the daemon is there");
        let line = status.lines().find(|line| line.starts_with(kind)).expect("it has memory");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("in KiB")
    }

    /// How many files it has open, and how many threads and processes of its own it has.
    ///
    /// # Panics
    ///
    /// It has ended, or this is no Linux.
    #[must_use]
    pub fn holds(&self) -> (usize, usize) {
        let count = |what: &str| {
            fs::read_dir(format!("/proc/{}/{what}", self.child.id())).expect("it is there").count()
        };
        let threads = count("task");
        let children = fs::read_dir("/proc").into_iter().flatten().flatten().filter(|entry| {
            fs::read_to_string(entry.path().join("stat")).is_ok_and(|stat| {
                // The name, in brackets, may hold anything; the parent is the second field behind it.
                let behind = stat.rsplit(')').next().unwrap_or_default();
                behind.split_whitespace().nth(1) == Some(&self.child.id().to_string())
            })
        });
        (count("fd"), threads + children.count())
    }

    /// Waits until it holds no more files, threads and processes than it did.
    ///
    /// # Panics
    ///
    /// It keeps them.
    pub fn settles(&self, before: (usize, usize), what: &str) {
        let start = Instant::now();
        loop {
            let now = self.holds();
            if now.0 <= before.0 && now.1 <= before.1 {
                return;
            }
            assert!(
                start.elapsed() < PATIENCE,
                "{what}: it holds {now:?} (files; threads and processes), it held {before:?}"
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until it ends.
    ///
    /// # Panics
    ///
    /// It does not within `limit`.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("the daemon can be waited for") {
                return status;
            }
            assert!(
                start.elapsed() < limit,
                "it does not end in {limit:?}; it said {}",
                self.said()
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends it as an administrator does, and expects that it ends well.
    ///
    /// # Panics
    ///
    /// It does not end, or not well.
    pub fn stop(mut self) {
        self.signal(Signal::TERM);
        let status = self.wait(PATIENCE);
        assert!(status.success(), "{status} after SIGTERM; it said {}", self.said());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command to its end: its exit code, stdout and stderr.
///
/// # Panics
///
/// It cannot be run, or is killed by a signal.
pub fn run(binary: &Path, args: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = Command::new(binary)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("cannot run {}: {error}", binary.display()));
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (status.code().expect("it exits"), text(stdout), text(stderr))
}
