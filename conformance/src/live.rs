//! The docker command against a daemon.
//!
//! Every docker on the machine is used: that of the PATH, Debian's, one installed by hand. Without one the tests say that
//! they are skipped, unless the environment has `SWARM_LIVE=required`, as CI sets it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::daemon::{Daemon, Folder};
use crate::engine::{says, skip};

/// Makes the tests with the docker command, for the binary at that path.
#[macro_export]
macro_rules! live_tests {
    ($binary:expr) => {
        $crate::suites!(live, std::path::Path::new($binary); listing inspecting describing older_engine docker_py);
    };
}

/// The docker commands of this machine, each once.
///
/// # Panics
///
/// There is none, and the environment says that there has to be one.
#[must_use]
pub fn dockers() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders =
        std::env::split_paths(&path).chain(["/usr/bin", "/usr/local/bin"].map(PathBuf::from));
    let found: BTreeSet<PathBuf> =
        folders.filter_map(|folder| fs::canonicalize(folder.join("docker")).ok()).collect();
    if found.is_empty() || says("never") {
        skip("there is no docker command: install Debian's docker.io");
        return Vec::new();
    }
    found.into_iter().collect()
}

/// A docker command that is pointed at a daemon, with a configuration of its own.
struct Docker<'a> {
    binary: &'a Path,
    host: &'a str,
    config: Folder,
}

impl Docker<'_> {
    /// Runs it; it has to succeed.
    fn run(&self, args: &[&str]) -> String {
        let (success, out, err) = self.try_run(args);
        assert!(success && err.is_empty(), "{} {args:?}: {err}{out}", self.binary.display());
        out
    }

    fn try_run(&self, args: &[&str]) -> (bool, String, String) {
        let output = Command::new(self.binary)
            .args(["-H", self.host])
            .args(args)
            .env("DOCKER_CONFIG", self.config.path())
            .env_remove("DOCKER_HOST")
            .env_remove("DOCKER_CONTEXT")
            .output()
            .expect("docker runs");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        (output.status.success(), text(output.stdout), text(output.stderr))
    }
}

/// Runs `test` with each docker command, over TCP and over a unix socket.
fn with(binary: &Path, backend: &str, test: impl Fn(&Docker<'_>)) {
    let dockers = dockers();
    if dockers.is_empty() {
        return;
    }
    let folder = Folder::new();
    let unix = format!("unix://{}", folder.file("docker.sock"));
    let daemon = Daemon::start(binary, &["--backend", backend, "tcp://127.0.0.1:0", &unix], 2);
    for docker in &dockers {
        for host in &daemon.addresses {
            test(&Docker { binary: docker, host, config: Folder::new() });
        }
    }
    daemon.stop();
}

/// The last column of a table without its head.
fn last_column(table: &str) -> Vec<&str> {
    table.lines().skip(1).filter_map(|line| line.split_whitespace().last()).collect()
}

/// `docker ps` in its forms.
///
/// # Panics
///
/// It prints something else.
pub fn listing(binary: &Path) {
    with(binary, "simulator container1 container2 container3", |docker| {
        let table = docker.run(&["ps"]);
        assert_eq!(last_column(&table), ["container1", "container2", "container3"], "{table}");
        assert!(
            table.starts_with("CONTAINER ID ") && table.matches(" Up ").count() == 3,
            "{table}"
        );
        assert_eq!(last_column(&docker.run(&["ps", "-a"])).len(), 3);
        let ids = docker.run(&["ps", "-q"]);
        assert!(ids.lines().count() == 3 && ids.lines().all(|id| id.len() == 12), "{ids}");
        let full = docker.run(&["ps", "-q", "--no-trunc"]);
        assert!(
            full.lines()
                .all(|id| id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit()))
        );
        assert_eq!(
            docker.run(&["ps", "--filter", "name=container2", "--format", "{{.Names}} {{.State}}"]),
            "container2 running\n"
        );
        assert_eq!(docker.run(&["ps", "-a", "--filter", "status=exited", "-q"]), "");
        assert_eq!(docker.run(&["ps", "-n", "1", "--format", "{{.Names}}"]).lines().count(), 1);
        assert!(docker.run(&["ps", "-s"]).contains("SIZE"));
        let (success, _, error) = docker.try_run(&["ps", "--filter", "zz=1"]);
        assert!(!success && error.to_lowercase().contains("invalid filter 'zz'"), "{error}");
    });
}

/// `docker inspect`.
///
/// # Panics
///
/// It prints something else.
pub fn inspecting(binary: &Path) {
    with(binary, "simulator web", |docker| {
        let text = docker.run(&["inspect", "web"]);
        let documents: Value = serde_json::from_str(&text).expect("inspect prints JSON");
        assert_eq!(documents[0]["Name"], "/web");
        assert_eq!(documents[0]["State"]["Running"], true);
        let id = documents[0]["Id"].as_str().expect("it has an id");
        assert_eq!(docker.run(&["inspect", "--format", "{{.Name}}", &id[..7]]), "/web\n");
        assert_eq!(docker.run(&["port", "web"]), "");
        let (success, _, error) = docker.try_run(&["inspect", "--type", "container", "nosuch"]);
        assert!(!success && error.to_lowercase().contains("no such container: nosuch"), "{error}");
        let (success, _, error) = docker.try_run(&["inspect", "nosuch"]);
        assert!(!success && error.to_lowercase().contains("no such object: nosuch"), "{error}");
        let (success, _, error) = docker.try_run(&["rm", "web"]);
        assert!(!success && error.contains("running"), "{error}");
    });
}

/// `docker version`, `docker info`, `docker system df`.
///
/// # Panics
///
/// They print something else.
pub fn describing(binary: &Path) {
    with(binary, "simulator web db", |docker| {
        let version = docker.run(&[
            "version",
            "--format",
            "{{.Server.APIVersion}} {{.Server.MinAPIVersion}}",
        ]);
        assert_eq!(version, "1.55 1.24\n");
        assert!(docker.run(&["version"]).contains("Server:"));
        let info =
            docker.run(&["info", "--format", "{{.Containers}} {{.ContainersRunning}} {{.OSType}}"]);
        assert_eq!(info, "2 2 linux\n");
        let info = docker.run(&["info"]);
        assert!(info.contains("Running: 2") && info.contains("simulator"), "{info}");
        assert!(docker.run(&["system", "df"]).contains("Containers"));
    });
}

/// The example of tests with docker-py and pytest, as it is written: it starts a simulator itself (`SWARMD` names it). Python is
/// that of `SWARM_PYTHON`, or `python3`.
///
/// # Panics
///
/// A test in it fails, or the packages are not there and have to be.
pub fn docker_py(binary: &Path) {
    let python = std::env::var("SWARM_PYTHON").unwrap_or_else(|_| String::from("python3"));
    let probe = Command::new(&python).args(["-c", "import docker, pytest"]).output();
    if says("never") || !probe.is_ok_and(|probe| probe.status.success()) {
        return skip(&format!(
            "{python} has no docker and pytest: install Debian's python3-docker and python3-pytest"
        ));
    }
    let folder = Folder::new();
    let file = folder.file("test_shop.py");
    fs::write(&file, include_str!("../clients/test_shop.py")).expect("a file can be written");
    let output = Command::new(&python)
        .args(["-m", "pytest", "-q", "-p", "no:cacheprovider", &file])
        .env("SWARMD", binary)
        .env_remove("DOCKER_HOST")
        .output()
        .expect("python runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("4 passed"), "{said}");
}

/// A simulator that announces an older API.
///
/// # Panics
///
/// It does not.
pub fn older_engine(binary: &Path) {
    with(binary, "simulator --api-version 1.41 web", |docker| {
        let version =
            docker.run(&["version", "--format", "{{.Server.APIVersion}} {{.Client.APIVersion}}"]);
        assert_eq!(version, "1.41 1.41\n");
        assert_eq!(last_column(&docker.run(&["ps"])), ["web"]);
        assert!(docker.run(&["info"]).contains("Server Version: 20.10"));
    });
}
