//! Service discovery, held against a running `discoverd` by a client written apart, in Python, and by its own commands.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::client::PATIENCE;
use crate::daemon::{Daemon, Folder};
use crate::loopback::free_address;

/// Makes the tests of a `discoverd`: all suites of this module, for the binary at that path.
#[macro_export]
macro_rules! discovery_tests {
    ($binary:expr) => {
        $crate::suites!(discovery, std::path::Path::new($binary);
            help scenarios expires survives crashes locked commands registers leads stands_by reconnects stops);
    };
}

const CODECS: [&str; 2] = ["gob", "json"];

/// A server with a short TTL on that folder.
pub(crate) fn start(binary: &Path, folder: &Folder, bind: &str) -> Daemon {
    let data = folder.file("data");
    let mut command = Command::new(binary);
    command
        .args(["-bind", bind, "-data-dir", &data, "--ttl", "2s"])
        .env("EXTERNAL_IP", "127.0.0.1");
    Daemon::start_command(&mut command, 1)
}

/// `HOST:PORT` of a server.
pub(crate) fn place(daemon: &Daemon) -> String {
    daemon.addresses[0].strip_prefix("discoverd://").expect("it says what it serves").to_owned()
}

fn python(script: &str) -> Command {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("discovery").join(script);
    let mut command = Command::new("python3");
    command.arg("-B").arg(path);
    command
}

fn succeeds(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).output().expect("the program can be run");
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

fn scenario(name: &str, codec: &str, daemon: &Daemon) {
    let pid = daemon.pid().as_raw_nonzero().to_string();
    succeeds(python("scenarios.py").args([name, codec, &place(daemon), &pid]));
}

/// What it says of itself, and of a command line that it does not understand.
pub fn help(binary: &Path) {
    let (code, out, _) = text(binary, "", &["--help"]);
    for word in ["--bind", "--data-dir", "register", "EXTERNAL_IP", "DISCOVERD"] {
        assert!(code == 0 && out.contains(word), "{word}: {out}");
    }
    for (args, code, said) in [
        (&["-bnid", ":1"][..], 2, "--bind"),
        (&["-bind", "nonsense"], 1, "--bind \"nonsense\" is no address: use HOST:PORT"),
        (&["-store", "disk"], 2, "disk"),
        (&["-ttl", "10ms", "-store", "memory"], 1, "no duration of at least 1s"),
        (&["-data-dir", "/dev/null"], 1, "the data folder /dev/null cannot be used"),
    ] {
        let (found, _, error) = text(binary, "", args);
        assert!(found == code && error.contains(said), "{args:?}: {found} {error}");
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let bind = taken.local_addr().expect("it is bound").to_string();
    let (code, _, error) = text(binary, "", &["-store", "memory", "-bind", &bind]);
    assert!(code == 1 && error.contains("cannot listen on tcp://127.0.0.1:"), "{error}");
}

/// The whole life of a service, and each fault of the original, in both codecs.
pub fn scenarios(binary: &Path) {
    let folder = Folder::new();
    let daemon = start(binary, &folder, "127.0.0.1:0");
    for codec in CODECS {
        for name in ["life", "errors", "pipelined", "slow", "atomic", "seventy", "expiry"] {
            scenario(name, codec, &daemon);
        }
    }
    daemon.stop();
}

/// With the TTL that clients of the original count on, 10 s.
pub fn expires(binary: &Path) {
    let mut command = Command::new(binary);
    command.args(["-bind", "127.0.0.1:0", "-store", "memory"]).env("EXTERNAL_IP", "127.0.0.1");
    let daemon = Daemon::start_command(&mut command, 1);
    thread::scope(|scope| {
        for codec in CODECS {
            let args = ["expiry", codec, &place(&daemon)].map(str::to_owned);
            scope.spawn(move || succeeds(python("scenarios.py").args(args).env("TTL", "10")));
        }
    });
    daemon.stop();
}

/// What was acknowledged is there after a SIGKILL, on the same port, and stays for two TTLs.
pub fn survives(binary: &Path) {
    for codec in CODECS {
        let folder = Folder::new();
        let mut daemon = start(binary, &folder, &free_address().to_string());
        scenario("before", codec, &daemon);
        daemon.signal(Signal::KILL);
        daemon.wait(PATIENCE);
        let daemon = start(binary, &folder, &place(&daemon));
        scenario("after", codec, &daemon);
    }
}

/// SIGKILL at random moments under load: `DISCOVERY_CRASHES` times, else 10.
pub fn crashes(binary: &Path) {
    let folder = Folder::new();
    let rounds = std::env::var("DISCOVERY_CRASHES").unwrap_or_else(|_| "10".to_owned());
    succeeds(python("crash.py").arg(binary).args([folder.file("data"), rounds]));
}

/// A second process is told who has the folder.
pub fn locked(binary: &Path) {
    let folder = Folder::new();
    let daemon = start(binary, &folder, "127.0.0.1:0");
    let data = folder.file("data");
    let output = Command::new(binary)
        .args(["--bind=127.0.0.1:0", "--data-dir", &data])
        .output()
        .expect("it can be run");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let pid = daemon.pid().as_raw_nonzero();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("is in use by process {pid}: stop it")), "{said}");
    fs::write(folder.file("file"), "no journal").expect("there is room");
    fs::create_dir(folder.file("other")).expect("there is room");
    fs::rename(folder.file("file"), folder.file("other/journal")).expect("there is room");
    let other = folder.file("other");
    let output = Command::new(binary)
        .args(["-bind", "127.0.0.1:0", "-data-dir", &other])
        .output()
        .expect("it can be run");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("the file is not a journal of this program's: move it away"), "{said}");
    assert_eq!(fs::read(folder.file("other/journal")).expect("it is there"), b"no journal");
}

fn command(binary: &Path, server: &str, args: &[&str]) -> Command {
    let mut command = Command::new(binary);
    command.args(args).env("DISCOVERD", server).stdin(Stdio::null());
    command
}

fn text(binary: &Path, server: &str, args: &[&str]) -> (i32, String, String) {
    let output = command(binary, server, args).output().expect("it can be run");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (output.status.code().expect("it exits"), text(output.stdout), text(output.stderr))
}

/// Waits until a command prints that.
fn prints(binary: &Path, server: &str, args: &[&str], expected: &str) {
    let start = Instant::now();
    loop {
        let (_, out, error) = text(binary, server, args);
        if out == expected {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "{args:?} prints {out:?}, not {expected:?}: {error}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// `services`, `leader` and `watch`, as text and as JSON.
pub fn commands(binary: &Path) {
    let folder = Folder::new();
    let daemon = start(binary, &folder, "127.0.0.1:0");
    let server = place(&daemon);
    assert_eq!(text(binary, &server, &["services", "web"]), (0, String::new(), String::new()));
    assert_eq!(text(binary, &server, &["leader", "web"]), (1, String::new(), String::new()));
    let mut watch = Daemonless::start(&mut command(binary, &server, &["watch", "web"]));
    let mut json = Daemonless::start(&mut command(binary, &server, &["watch", "--json", "web"]));
    assert_eq!(watch.line(), "=");
    assert!(json.line().starts_with("{\"Name\":\"\",\"Addr\":\"\""));
    let register = ["register", "web", ":80", "--attr", "zone=a", "--heartbeat", "500ms"];
    let first = Daemonless::start(&mut command(binary, &server, &register));
    assert_eq!(watch.line(), "+ 127.0.0.1:80 zone=a");
    let second = ["register", "web", "b:80", "--heartbeat", "500ms"];
    let second = Daemonless::start(&mut command(binary, &server, &second));
    assert_eq!(watch.line(), "+ b:80");
    let update = json.line();
    assert!(
        update.starts_with("{\"Name\":\"web\",\"Addr\":\"127.0.0.1:80\",\"Online\":true,\"Attrs\":{\"zone\":\"a\"},\"Created\":"),
        "{update}"
    );
    // Their heartbeats keep them beyond the TTL.
    thread::sleep(Duration::from_millis(2500));
    prints(binary, &server, &["services", "web"], "127.0.0.1:80\nb:80\n");
    prints(binary, &server, &["leader", "web"], "127.0.0.1:80\n");
    let (code, out, _) = text(binary, &server, &["leader", "--json", "web"]);
    assert!(code == 0 && out.contains("\"Addr\":\"127.0.0.1:80\""), "{out}");
    first.ends(Signal::TERM, 0);
    assert_eq!(watch.line(), "- 127.0.0.1:80");
    prints(binary, &server, &["leader", "web"], "b:80\n");
    second.ends(Signal::INT, 0);
    for (args, code, error) in [
        (&["services", "a/b"][..], 1, "discoverd: Name \"a/b\" holds"),
        (&["register", "web", ""], 1, "discoverd: Addr must be set"),
        (&["services"], 2, "required"),
    ] {
        let (found, _, said) = text(binary, &server, args);
        assert!(found == code && said.contains(error), "{args:?}: {found} {said}");
    }
    let (code, _, said) = text(binary, "127.0.0.1:1", &["services", "web"]);
    assert!(code == 1 && said.contains("no discoverd at 127.0.0.1:1: "), "{said}");
}

/// `register -- PROGRAM`: registered while it runs, its signals and its exit code passed on.
pub fn registers(binary: &Path) {
    let folder = Folder::new();
    let daemon = start(binary, &folder, "127.0.0.1:0");
    let server = place(&daemon);
    let run = |program: &str| {
        let args = ["register", "web", "a:80", "--", "sh", "-c", program];
        command(binary, &server, &args).output().expect("it can be run").status.code()
    };
    assert_eq!(run("exit 7"), Some(7));
    assert_eq!(run("kill -9 $$"), Some(137));
    prints(binary, &server, &["services", "web"], "");
    let program = "trap 'exit 5' TERM; echo runs; while :; do sleep 0.05; done";
    let args = ["register", "web", "a:80", "--", "sh", "-c", program];
    let mut running = Daemonless::start(&mut command(binary, &server, &args));
    assert_eq!(running.line(), "runs");
    prints(binary, &server, &["services", "web"], "a:80\n");
    running.ends(Signal::TERM, 5);
    prints(binary, &server, &["services", "web"], "");
    let (code, _, said) = text(binary, &server, &["register", "web", "a:80", "--", "/nonexistent"]);
    assert!(code == 1 && said.contains("/nonexistent cannot be run"), "{said}");
    prints(binary, &server, &["services", "web"], "");
}

/// `leader --exec` runs a command at each new leader.
pub fn leads(binary: &Path) {
    let folder = Folder::new();
    let daemon = start(binary, &folder, "127.0.0.1:0");
    let server = place(&daemon);
    let args = ["leader", "web", "--exec", "echo $DISCOVERD_LEADER leads"];
    let mut leader = Daemonless::start(&mut command(binary, &server, &args));
    let register = |address: &str| {
        let args = ["register", "web", address, "--heartbeat", "500ms"];
        Daemonless::start(&mut command(binary, &server, &args))
    };
    let first = register("a:80");
    assert_eq!(leader.line(), "a:80 leads");
    let second = register("b:80");
    prints(binary, &server, &["services", "web"], "a:80\nb:80\n");
    first.ends(Signal::TERM, 0);
    assert_eq!(leader.line(), "b:80 leads");
    let third = register("a:80");
    prints(binary, &server, &["services", "web"], "b:80\na:80\n");
    // One that dies without a word leads until its time is over.
    second.ends_by(Signal::KILL);
    assert_eq!(leader.line(), "a:80 leads");
    drop(third);
}

/// `register --standby` starts its program when it leads.
pub fn stands_by(binary: &Path) {
    let folder = Folder::new();
    let daemon = start(binary, &folder, "127.0.0.1:0");
    let server = place(&daemon);
    let register = |address: &str| {
        let words = ["--heartbeat", "500ms", "--standby", "--", "sh", "-c"];
        let program = format!("echo {address} runs; exec sleep 60");
        let mut command = command(binary, &server, &["register", "web", address]);
        Daemonless::start(command.args(words).arg(program))
    };
    let mut first = register("a:80");
    assert_eq!(first.line(), "a:80 runs");
    let mut second = register("b:80");
    prints(binary, &server, &["services", "web"], "a:80\nb:80\n");
    first.ends(Signal::TERM, 128 + 15);
    assert_eq!(second.line(), "b:80 runs");
    second.ends(Signal::TERM, 128 + 15);
}

/// Clients find a server again that was killed: nobody is reported gone who is not, and registrations stay.
pub fn reconnects(binary: &Path) {
    let folder = Folder::new();
    let mut daemon = start(binary, &folder, &free_address().to_string());
    let server = place(&daemon);
    let mut watch = Daemonless::start(&mut command(binary, &server, &["watch", "web"]));
    assert_eq!(watch.line(), "=");
    let args = ["register", "web", "a:80", "--heartbeat", "500ms"];
    let stays = Daemonless::start(&mut command(binary, &server, &args));
    assert_eq!(watch.line(), "+ a:80");
    daemon.signal(Signal::KILL);
    daemon.wait(PATIENCE);
    let daemon = start(binary, &folder, &server);
    assert_eq!(watch.line(), "=");
    // Longer than two TTLs: its heartbeats have come again.
    thread::sleep(Duration::from_millis(4500));
    prints(binary, &place(&daemon), &["services", "web"], "a:80\n");
    stays.ends(Signal::TERM, 0);
    assert_eq!(watch.line(), "- a:80");
}

/// It ends on SIGTERM with clients connected, and is on disk only where it shall be.
pub fn stops(binary: &Path) {
    let folder = Folder::new();
    let args = ["-bind", "127.0.0.1:0", "-store", "memory"];
    let mut command = Command::new(binary);
    let home = folder.file("home");
    let daemon = Daemon::start_command(command.args(args).env("HOME", &home), 1);
    let server = place(&daemon);
    let mut watch = Daemonless::start(&mut self::command(binary, &server, &["watch", "web"]));
    assert_eq!(watch.line(), "=");
    let start = Instant::now();
    daemon.stop();
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    assert!(!Path::new(&home).exists());
}

/// A command that goes on; killed when dropped.
struct Daemonless {
    child: std::process::Child,
    out: std::process::ChildStdout,
}

impl Daemonless {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("it can be run");
        let out = child.stdout.take().expect("it is piped");
        Self { child, out }
    }

    /// The next line that it prints.
    fn line(&mut self) -> String {
        let (mut line, mut byte) = (Vec::new(), [0]);
        while self.out.read_exact(&mut byte).is_ok() && byte != *b"\n" {
            line.push(byte[0]);
        }
        String::from_utf8(line).expect("it is text")
    }

    fn ends_by(mut self, signal: Signal) -> std::process::ExitStatus {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("it is there");
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "it does not end");
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn ends(self, signal: Signal, code: i32) {
        let status = self.ends_by(signal);
        assert_eq!(status.code(), Some(code), "{status}");
    }
}

impl Drop for Daemonless {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
