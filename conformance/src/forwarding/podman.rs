//! podman's service behind forward: it speaks the Docker API and its own, on paths that forward has never heard of.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use rustix::process::geteuid;

use super::normal::normal;
use crate::daemon::{Daemon, Folder};
use crate::engine::{UNASKED, end, pack_busybox, says, skip, wait_for, which};
use crate::live::dockers;

/// `docker` and `podman --url` do the same at a daemon as at podman's socket.
///
/// # Panics
///
/// They do not.
pub fn podman(binary: &Path) {
    if !says("required") {
        return skip(UNASKED);
    }
    if which("podman").is_none() || which("busybox").is_none() || !geteuid().is_root() {
        return skip("podman needs root, and Debian's podman and busybox-static");
    }
    let dockers = dockers();
    let Some(docker) = dockers.first().and_then(|docker| docker.to_str()) else { return };
    let folder = Folder::new();
    let service = Service::start(&folder);
    let unix = format!("unix://{}", folder.file("swarm.sock"));
    let backend = format!("forward {}", service.address);
    let daemon = Daemon::start(binary, &["--backend", &backend, "tcp://127.0.0.1:0", &unix], 2);

    let image = folder.file("image.tar");
    pack_busybox(&folder.path().join("image"), &image);
    let imported = outcome(docker, &["-H", &service.address, "import", &image, "busybox"]);
    assert!(imported.starts_with("Some(0)"), "{imported}");
    let pass = |host: &str| -> Vec<String> {
        let run = |(program, args, part): &(&str, &[&str], &str)| {
            let (program, flag) =
                if *program == "podman" { (*program, "--url") } else { (docker, "-H") };
            let got = outcome(program, &[&[flag, host], *args].concat());
            assert!(got.contains(part), "{program} {args:?} at {host}: {got}");
            got
        };
        STEPS.iter().map(run).collect()
    };
    let expected = pass(&service.address);
    for host in &daemon.addresses {
        assert_eq!(pass(host), expected, "at {host}");
    }
    println!("podman: {} commands, directly and through each of two addresses", STEPS.len());
    daemon.stop();
}

/// What is run, in this order, and what its outcome has to have.
const STEPS: [(&str, &[&str], &str); 20] = [
    ("podman", &["version"], "Server:"),
    ("podman", &["info", "--format", "{{.Host.OCIRuntime.Name}}"], "Some(0)"),
    ("podman", &["run", "--rm", BUSYBOX, "sh", "-c", "echo ran; exit 3"], "Some(3) \"ran"),
    (
        "podman",
        &["run", "--name", "pod", "-d", BUSYBOX, "sh", "-c", "echo up; exec sleep 1000"],
        "ID",
    ),
    ("podman", &["ps", "--format", "{{.Names}} {{.Command}}"], "pod"),
    ("docker", &["ps", "--format", "{{.Names}} {{.Command}}"], "pod"),
    // What comes right behind the head of the answer podman's client loses on a busy machine, at its own socket, too: 1 in 20.
    ("podman", &["exec", "pod", "sh", "-c", "sleep 0.3; echo inside; exit 4"], "Some(4) \"inside"),
    ("podman", &["logs", "pod"], "up"),
    ("docker", &["logs", "pod"], "up"),
    ("docker", &["exec", "pod", "sh", "-c", "echo inside; exit 4"], "Some(4) \"inside"),
    ("podman", &["inspect", "nosuch"], "Some(125)"),
    ("podman", &["rm", "-f", "-t", "0", "pod"], "Some(0)"),
    ("docker", &["version", "--format", "{{.Server.APIVersion}}"], "1.41"),
    ("docker", &["run", "--rm", "busybox", "echo", "ran"], "Some(0) \"ran"),
    ("docker", &["run", "--name", "dock", "-d", "busybox", "sleep", "1000"], "ID"),
    ("docker", &["ps", "--format", "{{.Names}} {{.Command}}"], "dock"),
    ("podman", &["ps", "--format", "{{.Names}} {{.Command}}"], "dock"),
    ("docker", &["inspect", "nosuch"], "Some(1)"),
    ("docker", &["rm", "-f", "dock"], "Some(0)"),
    ("docker", &["ps", "-aq"], "Some(0) \"\""),
];

const BUSYBOX: &str = "docker.io/library/busybox";

/// Exit status, output and errors, ids and times made the same.
fn outcome(program: &str, args: &[&str]) -> String {
    let Output { status, stdout, stderr } = Command::new("timeout")
        .args(["-k", "5", "60", program])
        .args(args)
        .env_remove("DOCKER_HOST")
        .env_remove("CONTAINER_HOST")
        .stdin(Stdio::null())
        .output()
        .expect("timeout runs");
    let text = |bytes: &[u8]| normal(&String::from_utf8_lossy(bytes));
    format!("{:?} {:?} {:?}", status.code(), text(&stdout), text(&stderr))
}

/// `podman system service`, ended when dropped.
struct Service<'a> {
    child: Child,
    folder: &'a Folder,
    address: String,
}

impl<'a> Service<'a> {
    fn start(folder: &'a Folder) -> Self {
        let socket = folder.file("podman.sock");
        // Its defaults ask for more files and processes than a container that runs this may have.
        let configuration = format!(
            "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\nnetns = \"none\"\n\
             [engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\ntmp_dir = \"{}\"\n",
            folder.file("tmp")
        );
        let file = folder.file("containers.conf");
        fs::write(&file, configuration).expect("a file can be written");
        let log = File::create(folder.path().join("log")).expect("a file can be made");
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "podman", "--storage-driver", "vfs"])
            .args(["--root", &folder.file("root"), "--runroot", &folder.file("run")])
            .args(["system", "service", "--time", "0", &format!("unix://{socket}")])
            .env("CONTAINERS_CONF", file)
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("setpriv of util-linux starts podman");
        let mut service = Self { child, folder, address: format!("unix://{socket}") };
        wait_for(&mut service.child, &socket, || {
            fs::read_to_string(folder.path().join("log")).unwrap_or_default()
        });
        service
    }
}

impl Drop for Service<'_> {
    fn drop(&mut self) {
        end(&mut self.child, self.folder.path());
    }
}
