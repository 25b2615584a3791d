//! A real engine that is reached with TLS, or through ssh.

use std::fs::{self, File, Permissions};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::normal::normal;
use crate::client::{Client, PATIENCE};
use crate::daemon::{Daemon, Folder};
use crate::engine::{Engine, skip, which};
use crate::keys::Keys;
use crate::live::dockers;
use crate::loopback::free_address;

/// What has to be the same through the daemon as at the engine itself.
const SCRIPT: &str = "
exec 2>&1
docker version --format '{{.Server.Version}}'
docker run --rm busybox echo hello
printf 'one\ntwo\n' | docker run -i --rm busybox cat
head -c 5000000 /dev/zero | docker run -i --rm busybox wc -c
docker run --name c -d busybox sh -c 'echo log; exec sleep 1000'
docker exec c sh -c 'echo out; sleep 0.1; echo err >&2; exit 3'; echo $?
echo input | docker exec -i c cat
docker logs c
docker cp c:/bin/busybox - | wc -c
docker export c | tar t | sort | head -n 5
docker stop -t 0 c
docker start -a c & sleep 0.5; docker kill c; wait $!; echo $?
docker rm -f c
docker rm nosuch; echo $?
";

fn outcome(docker: &Path, host: &str, certificates: Option<&str>, folder: &Folder) -> String {
    let docker_folder = docker.parent().expect("docker is in a folder").to_owned();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path =
        std::env::join_paths(std::iter::once(docker_folder).chain(std::env::split_paths(&path)));
    let mut command = Command::new("timeout");
    command.env_remove("DOCKER_TLS_VERIFY");
    if let Some(certificates) = certificates {
        command.env("DOCKER_TLS_VERIFY", "1").env("DOCKER_CERT_PATH", certificates);
    }
    let output = command
        .args(["-k", "5", "120", "bash", "-o", "pipefail", "-c", SCRIPT])
        .env("PATH", path.expect("folders without colons"))
        .env("DOCKER_HOST", host)
        .env("DOCKER_CONFIG", folder.path())
        .env_remove("DOCKER_CONTEXT")
        .stdin(Stdio::null())
        .output()
        .expect("bash runs");
    normal(&String::from_utf8_lossy(&output.stdout))
}

/// The script at the engine itself and through the daemon, with each docker command; with certificates if the daemon wants
/// to see them.
fn same(engine: &Engine, daemon: &Daemon, certificates: Option<&str>) {
    let folder = Folder::new();
    for docker in dockers() {
        let expected = outcome(&docker, &engine.unix, None, &folder);
        assert!(expected.contains("hello\none\ntwo\n5000000\n"), "{expected}");
        let got = outcome(&docker, &daemon.addresses[0], certificates, &folder);
        assert_eq!(got, expected, "{}", docker.display());
    }
}

/// dockerd with TLS, which wants a certificate, as the daemon before it does.
///
/// # Panics
///
/// A command has another outcome through the daemon.
pub fn tls(binary: &Path) {
    let Some(keys) = Keys::new() else { return };
    let Some(engine) = Engine::start_with(&keys.options("server")) else { return };
    let with = |upstream: &str, frontend: &[String]| {
        let backend = format!("forward {upstream} {}", engine.tcp);
        let mut args: Vec<&str> = frontend.iter().map(String::as_str).collect();
        args.extend(["--backend", &backend, "tcp://127.0.0.1:0"]);
        Daemon::start(binary, &args, 1)
    };
    let daemon = with(&keys.options("client").join(" "), &keys.options("server"));
    same(&engine, &daemon, Some(&keys.folder("client")));
    daemon.stop();

    // Without a certificate of its own it is not let in, and says what dockerd says.
    let daemon = with(&format!("--tlsverify --tlscacert {}", keys.file("ca.pem")), &[]);
    let (head, body) = Client::connect(&daemon.addresses[0]).get("/version");
    assert!(head.starts_with("HTTP/1.1 502 ") && body.contains("alert"), "{head}{body}");
    daemon.stop();
}

/// dockerd behind a real sshd; then one that has gone.
///
/// # Panics
///
/// A command has another outcome through the daemon, or the end of sshd is not told.
pub fn ssh(binary: &Path) {
    for needed in ["sshd", "ssh", "ssh-keygen"] {
        if which(needed).is_none() {
            return skip(&format!("there is no {needed}: install Debian's openssh-server"));
        }
    }
    let Some(engine) = Engine::start() else { return };
    let mut sshd = Sshd::start(&engine);
    let mut command = Command::new(binary);
    // Forty at once wait for each other, on a machine that may have other things to do.
    let line = "forward --connect-timeout 60 ssh://engine";
    command.args(["--backend", line, "tcp://127.0.0.1:0"]);
    let daemon = Daemon::start_command(command.env("PATH", sshd.path()), 1);
    same(&engine, &daemon, None);

    // One that changes something goes over a connection of its own.
    let start = || {
        let mut client = Client::connect(&daemon.addresses[0]);
        client.send("POST /containers/nosuch/start HTTP/1.1\r\nHost: x\r\n\r\n");
        client.answer()
    };
    // More at once than sshd lets begin.
    thread::scope(|scope| {
        for _ in 0..40 {
            scope.spawn(|| {
                let (head, body) = start();
                assert!(head.starts_with("HTTP/1.1 404 "), "{head}{body}");
            });
        }
    });
    sshd.end();
    let (head, body) = start();
    assert!(head.starts_with("HTTP/1.1 502 "), "{head}{body}");
    assert!(body.contains("Connection refused") && body.contains("255"), "{body}");
    daemon.stop();
}

/// A sshd with a configuration, keys and a port of its own, and an ssh command that knows it as `engine`; ended when dropped.
struct Sshd {
    child: Child,
    folder: Folder,
}

impl Sshd {
    fn start(engine: &Engine) -> Self {
        let folder = Folder::new();
        let file = |name: &str| folder.file(name);
        for key in ["host", "user"] {
            let made = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f", &file(key)])
                .status();
            assert!(made.expect("ssh-keygen runs").success());
        }
        let port = free_address().port();
        let docker = dockers().into_iter().next().expect("the engine was started with one");
        let docker = docker.parent().expect("docker is in a folder").display().to_string();
        let read = |name: &str| fs::read_to_string(file(name)).expect("it was made");
        for (name, text) in [
            ("authorized_keys", read("user.pub")),
            ("known_hosts", format!("[127.0.0.1]:{port} {}", read("host.pub"))),
            (
                "sshd_config",
                format!(
                    "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nStrictModes no\n\
                     UsePAM no\nPidFile none\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n\
                     SetEnv DOCKER_HOST={} PATH={docker}:/usr/bin:/bin\n",
                    file("host"),
                    file("authorized_keys"),
                    engine.unix
                ),
            ),
            (
                "ssh_config",
                format!(
                    "Host engine\nHostName 127.0.0.1\nPort {port}\nUser root\nIdentityFile {}\nIdentitiesOnly yes\n\
                     UserKnownHostsFile {}\nStrictHostKeyChecking yes\n",
                    file("user"),
                    file("known_hosts")
                ),
            ),
            // ssh takes the home of its user's entry, whatever HOME says.
            (
                "ssh",
                format!(
                    "#!/bin/sh\nexec {} -F {} \"$@\"\n",
                    which("ssh").expect("it is there").display(),
                    file("ssh_config")
                ),
            ),
        ] {
            fs::write(file(name), text).expect("a file can be written");
        }
        fs::set_permissions(file("ssh"), Permissions::from_mode(0o755)).expect("it is ours");
        // Where it confines its unprivileged half; Debian's service makes it.
        fs::create_dir_all("/run/sshd").expect("an engine needs root, too");
        let log = File::create(file("log")).expect("a file can be made");
        let sshd = which("sshd").expect("it is there");
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM"])
            .arg(sshd)
            .args(["-D", "-e", "-f", &file("sshd_config")])
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("setpriv of util-linux starts sshd");
        let mut sshd = Self { child, folder };
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = sshd.child.try_wait().expect("it can be waited for");
            let log = fs::read_to_string(sshd.folder.file("log")).unwrap_or_default();
            assert!(ended.is_none() && start.elapsed() < PATIENCE, "sshd does not start: {log}");
            thread::sleep(Duration::from_millis(20));
        }
        sshd
    }

    /// Ends it; what it has begun goes on.
    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// A PATH whose `ssh` knows it.
    fn path(&self) -> std::ffi::OsString {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let own = std::iter::once(self.folder.path().to_owned());
        std::env::join_paths(own.chain(std::env::split_paths(&path))).expect("without colons")
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.end();
    }
}
