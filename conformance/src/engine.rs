//! A real engine: Debian's dockerd, started by hand in a folder of its own and ended with everything it started.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, geteuid, kill_process};

use crate::daemon::Folder;
use crate::live::dockers;
use crate::loopback::free_address;

/// A dockerd with an image `busybox` and nothing else; ended when dropped.
///
/// It shares nothing with an engine that the machine may have: data, sockets and containerd are its own, and it makes no
/// rules for the firewall.
#[derive(Debug)]
pub struct Engine {
    child: Child,
    folder: Folder,
    /// `unix://path`.
    pub unix: String,
    /// `tcp://127.0.0.1:port`.
    pub tcp: String,
}

/// An engine that has not started by then will not.
const START: Duration = Duration::from_secs(60);
/// An engine that was told to end and has not by then is killed.
const END: Duration = Duration::from_secs(20);

/// Whoever runs all tests does not expect an engine to be started as root.
pub(crate) const UNASKED: &str =
    "real engines are started with SWARM_LIVE=required in the environment";

/// Says that a test is skipped, and why.
///
/// # Panics
///
/// The environment says `SWARM_LIVE=required`.
pub fn skip(reason: &str) {
    assert!(!says("required"), "{reason}");
    println!(
        "skipped: {}",
        if says("never") { "the environment says SWARM_LIVE=never" } else { reason }
    );
}

/// Whether that is the environment's word for live tests.
pub(crate) fn says(word: &str) -> bool {
    std::env::var("SWARM_LIVE").is_ok_and(|value| value == word)
}

/// A program of others that live tests run: none where the environment says `SWARM_LIVE=never`.
#[must_use]
pub fn program(name: &str) -> Option<PathBuf> {
    if says("never") { None } else { which(name) }
}

impl Engine {
    /// Starts one if the environment has `SWARM_LIVE=required`, or says why that is not possible here.
    ///
    /// # Panics
    ///
    /// It does not start, or has to be possible (`SWARM_LIVE=required`) and is not.
    #[must_use]
    pub fn start() -> Option<Self> {
        Self::start_with(&[])
    }

    /// As [`start`](Self::start), with more options; those of TLS are for its TCP port.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    #[must_use]
    pub fn start_with(options: &[String]) -> Option<Self> {
        let missing = if !says("required") {
            Some(UNASKED)
        } else if !geteuid().is_root() {
            Some("an engine needs root")
        } else if which("dockerd").is_none() {
            Some("there is no dockerd: install Debian's docker.io")
        } else if which("busybox").is_none() {
            Some("there is no busybox: install Debian's busybox-static")
        } else {
            None
        };
        if let Some(reason) = missing {
            skip(reason);
            return None;
        }
        let docker = dockers().into_iter().next()?;

        let folder = Folder::new();
        let socket = folder.file("engine.sock");
        let (unix, tcp) = (format!("unix://{socket}"), format!("tcp://{}", free_address()));
        let configuration = folder.file("daemon.json");
        fs::write(&configuration, "{}").expect("a file can be written");
        let log = File::create(folder.path().join("log")).expect("a file can be made");
        // Also when the tests are killed, the engine is told to end.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "dockerd", "--storage-driver", "vfs"])
            .args(["--iptables=false", "--ip6tables=false", "--bridge=none"])
            .args(["--shutdown-timeout", "2", "--config-file", &configuration])
            .args(["--data-root", &folder.file("data"), "--exec-root", &folder.file("exec")])
            .args(["--pidfile", &folder.file("pid"), "-H", &unix, "-H", &tcp])
            .args(options)
            .env("HOME", folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file can be shared"))
            .stderr(log)
            .spawn()
            .expect("setpriv of util-linux starts dockerd");
        let mut engine = Self { child, folder, unix, tcp };
        let log = engine.folder.path().join("log");
        wait_for(&mut engine.child, &socket, || fs::read_to_string(&log).unwrap_or_default());
        engine.import_into(&engine.unix, &docker);
        Some(engine)
    }

    /// The folder of its data, which others have at `/var/lib/docker`.
    pub(crate) fn data(&self) -> String {
        self.folder.file("data")
    }

    /// What it has said.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Makes the image `busybox` of the engine at `host` from Debian's.
    pub(crate) fn import_into(&self, host: &str, docker: &Path) {
        let image = self.folder.file("image.tar");
        if !Path::new(&image).exists() {
            pack_busybox(&self.folder.path().join("image"), &image);
        }
        let words: [&[&str]; 3] = [
            // One that is there already would stay behind without a name.
            &["rmi", "busybox"],
            &["import", "--change", "CMD [\"sh\"]", &image, "busybox"],
            &["run", "--rm", "--network", "none", "busybox", "true"],
        ];
        for args in words {
            let output = Command::new(docker)
                .args(["-H", host])
                .args(args)
                .env("DOCKER_CONFIG", self.folder.path())
                .output()
                .expect("docker runs");
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(
                output.status.success() || args[0] == "rmi",
                "{args:?}: {said} (is busybox static?)\n{}",
                self.log()
            );
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        end(&mut self.child, self.folder.path());
    }
}

/// Packs an image of Debian's busybox with all its applets into the archive `image`, by way of the folder `root`.
pub(crate) fn pack_busybox(root: &Path, image: &str) {
    let bin = root.join("bin");
    fs::create_dir_all(&bin).expect("a folder can be made");
    fs::create_dir_all(root.join("tmp")).expect("a folder can be made");
    fs::copy(which("busybox").expect("busybox is there"), bin.join("busybox"))
        .expect("busybox can be copied");
    let list = Command::new("busybox").arg("--list").output().expect("busybox runs").stdout;
    for applet in String::from_utf8_lossy(&list).lines().filter(|name| *name != "busybox") {
        symlink("busybox", bin.join(applet)).expect("a link can be made");
    }
    let tar = Command::new("tar").arg("-C").arg(root).args(["-cf", image, "."]).status();
    assert!(tar.expect("tar runs").success());
}

/// Waits until a service listens at the unix socket `path`.
pub(crate) fn wait_for(service: &mut Child, path: &str, log: impl Fn() -> String) {
    let start = Instant::now();
    while UnixStream::connect(path).is_err() {
        let ended = service.try_wait().expect("it can be waited for");
        let started = ended.is_none() && start.elapsed() < START;
        assert!(started, "it does not start ({ended:?}):\n{}", log());
        thread::sleep(Duration::from_millis(50));
    }
}

/// Ends a service, then what it has started and left in its folder.
pub(crate) fn end(service: &mut Child, folder: &Path) {
    let _ = kill_process(Pid::from_child(service), Signal::TERM);
    let start = Instant::now();
    while matches!(service.try_wait(), Ok(None)) && start.elapsed() < END {
        thread::sleep(Duration::from_millis(20));
    }
    let _ = service.kill();
    let _ = service.wait();
    for process in processes_of(folder) {
        let _ = kill_process(process, Signal::KILL);
    }
    // What is mounted there would keep the folder from being removed.
    for mount in mounts_under(folder) {
        let _ = Command::new("umount").arg("-l").arg(mount).status();
    }
}

/// The processes that name that folder on their command lines: containerd and its shims.
fn processes_of(folder: &Path) -> Vec<Pid> {
    let folder = folder.to_string_lossy();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|entry| {
            let id: i32 = entry.file_name().to_str()?.parse().ok()?;
            let line = fs::read(entry.path().join("cmdline")).ok()?;
            let ours = String::from_utf8_lossy(&line).contains(&format!("{folder}/"));
            // The tests themselves are never meant, whatever they were started with.
            Pid::from_raw(id).filter(|_| ours && id.unsigned_abs() != std::process::id())
        })
        .collect()
}

fn mounts_under(folder: &Path) -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mut mounts: Vec<PathBuf> = table
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(PathBuf::from)
        .filter(|mount| mount.starts_with(folder))
        .collect();
    // The innermost first.
    mounts.reverse();
    mounts
}

/// Where a program is, in the PATH or where Debian puts it.
#[must_use]
pub fn which(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/bin", "/usr/bin", "/usr/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|program| fs::metadata(program).is_ok_and(|data| data.is_file()))
}
