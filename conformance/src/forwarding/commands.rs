//! A script of docker commands, each run at the engine itself and through a daemon.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use super::normal::{normal, of_machine};
use crate::daemon::{Daemon, Folder};
use crate::engine::{Engine, skip, which};
use crate::live::dockers;

const SCRIPT: &str = include_str!("commands.txt");
const TERMINAL: &str = include_str!("../../clients/terminal.py");

/// What docker's command says or not, as its own requests overtake one another: when a start fails it drops its wait, whose
/// answer may have come by then; a terminal's first size may come before the container runs.
const RACES: [&str; 2] = ["error waiting for container: context canceled", "failed to resize tty"];

/// A simulator that is as the engine on this machine.
pub(super) const SIMULATOR: &str = "simulator --api-version 1.41 --bridge none --offline";

/// A line of the script.
struct Step {
    /// `None` where docker's versions differ.
    status: Option<i32>,
    /// Whether it is not for TCP.
    unix_only: bool,
    /// Whether its output is for each machine to say.
    of_machine: bool,
    /// Whether it says nothing about what passes a request on.
    simulated_only: bool,
    command: &'static str,
}

/// What a step did.
#[derive(PartialEq, Eq)]
struct Outcome {
    status: Option<i32>,
    stdout: String,
    stderr: String,
}

/// Every docker command of the script has the status, the output and the errors through the daemon that it has at the
/// engine: with each docker on this machine, over a unix socket and over TCP.
///
/// # Panics
///
/// It has not; all differences are listed.
pub fn commands(binary: &Path) {
    for needed in ["bash", "python3", "timeout"] {
        if which(needed).is_none() {
            return skip(&format!("there is no {needed}"));
        }
    }
    all(|docker| compare(binary, docker, None));
}

/// The same, over a unix socket, at a simulated engine that announces the real one's version, in place of one behind the daemon.
///
/// # Panics
///
/// As [`commands`].
pub fn simulated(binary: &Path) {
    for needed in ["bash", "python3", "timeout"] {
        if which(needed).is_none() {
            return skip(&format!("there is no {needed}"));
        }
    }
    all(|docker| compare(binary, docker, Some(SIMULATOR)));
}

/// With each docker on this machine; no difference may be found.
fn all(compare: impl Fn(&Path) -> Vec<String> + Sync) {
    let dockers = dockers();
    // An engine for each, so that they need not wait for each other.
    let differences: Vec<String> = thread::scope(|scope| {
        let running: Vec<_> =
            dockers.iter().map(|docker| scope.spawn(|| compare(docker))).collect();
        running.into_iter().flat_map(|one| one.join().expect("the script runs")).collect()
    });
    assert!(
        differences.is_empty(),
        "{} differences\n{}",
        differences.len(),
        differences.join("\n")
    );
}

fn compare(binary: &Path, docker: &Path, simulator: Option<&str>) -> Vec<String> {
    let Some(engine) = Engine::start() else { return Vec::new() };
    let steps: Vec<Step> =
        steps().into_iter().filter(|step| simulator.is_some() || !step.simulated_only).collect();
    let folder = Folder::new();
    let unix = format!("unix://{}", folder.file("swarm.sock"));
    let forward = format!("forward {}", engine.unix);
    let backend = simulator.unwrap_or(&forward);
    let daemon = Daemon::start(binary, &["--backend", backend, "tcp://127.0.0.1:0", &unix], 2);
    if simulator.is_some() {
        engine.import_into(&unix, docker);
    }

    let mut bench =
        Bench { docker, cleaned: engine.unix.clone(), folder: &folder, data: engine.data() };
    let expected: Vec<Outcome> = bench.run(&steps, &engine.unix).into_iter().flatten().collect();
    if simulator.is_some() {
        bench.cleaned.clone_from(&unix);
    }
    assert_eq!(expected.len(), steps.len());
    let mut differences = Vec::new();
    for (step, outcome) in steps.iter().zip(&expected) {
        if step.status.is_some() && step.status != outcome.status {
            differences.push(format!(
                "{} at the engine itself: {}\n{}",
                docker.display(),
                step.command,
                outcome.show()
            ));
        }
    }
    // What a simulated engine answers does not depend on the way there.
    let hosts = if simulator.is_some() { &daemon.addresses[1..] } else { &daemon.addresses };
    for host in hosts {
        for ((step, expected), got) in steps.iter().zip(&expected).zip(bench.run(&steps, host)) {
            let same = |got: &Outcome| match simulator {
                Some(_) => got.is_as_simulated(expected, step.of_machine),
                None => got == expected,
            };
            if let Some(got) = got.filter(|got| !same(got)) {
                differences.push(format!(
                    "{} through {host}: {}\n{}instead of\n{}",
                    docker.display(),
                    step.command,
                    got.show(),
                    expected.show()
                ));
            }
        }
    }
    let (docker, count, ways) = (docker.display(), steps.len(), hosts.len());
    println!("{docker}: {count} commands, each directly and {ways} times through");
    daemon.stop();
    differences
}

fn steps() -> Vec<Step> {
    let lines = SCRIPT.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (status, command) = line.split_once(' ').expect("a status and a command");
            let (unix_only, of_machine) = (status.contains('u'), status.contains('m'));
            let simulated_only = status.contains('s');
            let status = status.trim_end_matches(['u', 'm', 's']);
            let status = (status != "*").then(|| status.parse().expect("a status is a number"));
            Step { status, unix_only, of_machine, simulated_only, command }
        })
        .collect()
}

impl Outcome {
    /// Whether it differs from a real engine's in nothing but what a machine decides.
    fn is_as_simulated(&self, real: &Self, prints_machine: bool) -> bool {
        self.status == real.status
            && (prints_machine
                || of_machine(&self.stderr) == of_machine(&real.stderr)
                    && of_machine(&self.stdout) == of_machine(&real.stdout))
    }

    fn show(&self) -> String {
        let Self { status, stdout, stderr } = self;
        format!("  status {status:?}\n  stdout {stdout:?}\n  stderr {stderr:?}\n")
    }
}

struct Bench<'a> {
    docker: &'a Path,
    /// The engine that is left as it was before.
    cleaned: String,
    folder: &'a Folder,
    /// Where the engine keeps its files; another one does elsewhere.
    data: String,
}

impl Bench<'_> {
    /// Runs all steps at that host, in a folder and with an engine as they were before the first one.
    fn run(&self, steps: &[Step], host: &str) -> Vec<Option<Outcome>> {
        let place = self.prepare();
        let outcomes = steps
            .iter()
            .map(|step| {
                let fits = !step.unix_only || host.starts_with("unix:");
                fits.then(|| self.outcome(step.command, host, &place))
            })
            .collect();
        let clean = "docker ps -aq | xargs -r docker rm -fv
            docker images --format '{{.Repository}}:{{.Tag}}' | grep -v '^busybox:' | xargs -r docker rmi -f
            docker image prune -f; docker volume prune -f; docker network prune -f; docker builder prune -af";
        let cleaned = self.outcome(clean, &self.cleaned, &place);
        assert!(cleaned.status == Some(0), "{}", cleaned.show());
        outcomes
    }

    fn outcome(&self, command: &str, host: &str, place: &Path) -> Outcome {
        let terminal = self.folder.file("terminal.py");
        let folder = self.docker.parent().expect("docker is in a folder");
        let path = std::env::join_paths(
            std::iter::once(folder.to_owned())
                .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
        );
        let output = Command::new("timeout")
            .args(["-k", "5", "60", "bash", "-o", "pipefail", "-c"])
            .arg(format!("terminal() {{ python3 {terminal} \"$@\"; }}\n{command}"))
            .current_dir(place)
            .env("PATH", path.expect("folders without colons"))
            .env("DOCKER_HOST", host)
            .env("DOCKER_CONFIG", self.folder.file("config"))
            .env_remove("DOCKER_CONTEXT")
            .env_remove("DOCKER_BUILDKIT")
            .stdin(Stdio::null())
            .output()
            .expect("bash runs");
        let text = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes).replace(host, "HOST");
            let text = text.replace(&self.data, "/var/lib/docker");
            let kept = text
                .split_inclusive('\n')
                .filter(|line| !RACES.iter().any(|race| line.contains(race)));
            normal(&kept.collect::<String>())
        };
        Outcome {
            status: output.status.code(),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }

    /// The folder that the script runs in, with the files that it needs.
    fn prepare(&self) -> PathBuf {
        fs::write(self.folder.path().join("terminal.py"), TERMINAL).expect("a file can be written");
        let place = self.folder.path().join("place");
        let _ = fs::remove_dir_all(&place);
        for folder in ["folder/sub", "context"] {
            fs::create_dir_all(place.join(folder)).expect("a folder can be made");
        }
        for (file, contents) in [
            ("hello.txt", "hello\n"),
            ("folder/a", "a\n"),
            ("folder/sub/b", "b\n"),
            ("context/f", "content\n"),
            (
                "context/Dockerfile",
                "FROM busybox\nARG WHO=me\nCOPY f /f\nRUN echo built for $WHO >> /f\nCMD cat /f\n",
            ),
            ("context/Dockerfile.plain", "FROM busybox\nRUN echo plain\n"),
            ("context/Dockerfile.bad", "FROM busybox\nNOSUCH x\n"),
            ("context/Dockerfile.fails", "FROM busybox\nRUN exit 3\n"),
        ] {
            fs::write(place.join(file), contents).expect("a file can be written");
        }
        place
    }
}
