//! A container to run processes in, with a clock of its own.

use std::time::Duration;

use libswarm::Instant;
use libswarm::backend::simulator::files::{Mounts, Store, Tree, View};
use libswarm::backend::simulator::process::{
    Exit, Names, Pid, Processes, Progress, Spec, StartError, Stream, System,
};

pub(crate) struct Container {
    pub(crate) store: Store,
    pub(crate) mounts: Mounts,
    pub(crate) processes: Processes,
    pub(crate) now: Duration,
}

/// What a script has done.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) code: u8,
}

impl Container {
    pub(crate) fn new() -> Self {
        let mut store = Store::new();
        let mounts = Mounts::new(store.insert(Tree::busybox()));
        Self { store, mounts, processes: Processes::new(), now: Duration::ZERO }
    }

    fn with<R>(&mut self, work: impl FnOnce(&mut Processes, &mut System<'_>) -> R) -> R {
        let unix = Duration::from_secs(1_700_000_000) + self.now;
        let files = View::new(&mut self.store, &self.mounts, 0);
        let mut system = System {
            files,
            hostname: "box",
            now: Instant::new(self.now),
            unix,
            names: Names::default(),
        };
        work(&mut self.processes, &mut system)
    }

    pub(crate) fn start(&mut self, spec: Spec) -> Result<Pid, StartError> {
        self.with(|processes, system| processes.start(spec, system))
    }

    pub(crate) fn step(&mut self, fuel: u32) -> Progress {
        self.with(|processes, system| processes.step(system, fuel))
    }

    /// Takes all output that is there.
    pub(crate) fn drain(&mut self, pid: Pid, outcome: &mut Outcome) -> bool {
        let mut any = false;
        while let Some((stream, bytes)) = self.processes.output(pid) {
            any = true;
            let text = String::from_utf8_lossy(&bytes);
            match stream {
                Stream::Stdout => outcome.stdout.push_str(&text),
                Stream::Stderr => outcome.stderr.push_str(&text),
            }
        }
        any
    }

    /// Steps, takes output and lets time pass until a process has ended or nothing will happen any more.
    pub(crate) fn run(&mut self, pid: Pid, outcome: &mut Outcome) -> Option<Exit> {
        for _ in 0..100_000 {
            let progress = self.step(10_000);
            let more = self.drain(pid, outcome);
            if let Some(exit) = self.processes.exited(pid) {
                self.drain(pid, outcome);
                return Some(exit);
            }
            match progress {
                Progress::Idle(Some(until)) if !more => {
                    self.now = self.now.max(until.since_epoch());
                }
                Progress::Idle(None) if !more => return None,
                _ => {}
            }
        }
        panic!("the process never ends");
    }

    /// Runs a script with a stdin that comes in these pieces.
    pub(crate) fn script(&mut self, script: &str, stdin: &[&[u8]]) -> Outcome {
        let mut spec = Spec::new(["sh", "-c", script]).open_stdin();
        (spec.cwd, spec.env) =
            ("/tmp".into(), vec!["PATH=/bin:/usr/bin".into(), "HOME=/root".into()]);
        let pid = self.start(spec).unwrap();
        let mut outcome = Outcome::default();
        for piece in stdin {
            let mut left = *piece;
            while !left.is_empty() {
                let taken = self.processes.stdin(pid, left);
                left = &left[taken..];
                self.step(100_000);
                self.drain(pid, &mut outcome);
            }
        }
        self.processes.close_stdin(pid);
        let exit = self.run(pid, &mut outcome).expect("a script ends");
        outcome.code = exit.code;
        outcome
    }
}
