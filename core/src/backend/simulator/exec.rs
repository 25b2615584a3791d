//! Commands that are run in a running container: `docker exec`.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use super::config::words;
use super::container::{Serial, State};
use super::failures::{conflict, invalid, not_found, not_running, system};
use super::files::View;
use super::process::{Exit, Names, Pid, Spec, StartError, System};
use super::run::job_stream;
use super::versions::Dialect;
use super::world::World;
use crate::job::{Failure, Stream};

/// All execs, by id. Those of a container go with it; of the ended ones the last are kept.
#[derive(Default)]
pub(super) struct Execs {
    pub(super) all: BTreeMap<Arc<str>, Exec>,
}

/// One command.
pub(super) struct Exec {
    pub(super) id: Arc<str>,
    pub(super) container: Serial,
    pub(super) container_id: Arc<str>,
    pub(super) asked: NewExec,
    /// Its process, while it runs.
    pub(super) process: Option<Pid>,
    pub(super) pid: u32,
    pub(super) exit_code: Option<i32>,
    /// Where its output is: taken from the process when that has ended.
    pub(super) rest: Vec<(Stream, Vec<u8>)>,
}

/// What `POST /containers/{id}/exec` asks for.
#[derive(Deserialize, Default, Debug)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct NewExec {
    user: String,
    privileged: bool,
    pub(super) tty: bool,
    pub(super) attach_stdin: bool,
    pub(super) attach_stdout: bool,
    pub(super) attach_stderr: bool,
    /// docker-py writes it in lower case, and Go reads that, too.
    #[serde(alias = "detachKeys")]
    pub(super) detach_keys: String,
    env: Option<Vec<String>>,
    working_dir: String,
    #[serde(deserialize_with = "words")]
    cmd: Option<Vec<String>>,
}

/// The answer to `GET /exec/{id}/json`.
#[derive(Serialize)]
pub(super) struct Shown<'a> {
    #[serde(rename = "ID")]
    id: &'a str,
    #[serde(rename = "Running")]
    running: bool,
    #[serde(rename = "ExitCode")]
    exit_code: Option<i32>,
    #[serde(rename = "ProcessConfig")]
    process: ProcessConfig<'a>,
    #[serde(rename = "OpenStdin")]
    open_stdin: bool,
    #[serde(rename = "OpenStderr")]
    open_stderr: bool,
    #[serde(rename = "OpenStdout")]
    open_stdout: bool,
    #[serde(rename = "CanRemove")]
    can_remove: bool,
    #[serde(rename = "ContainerID")]
    container_id: &'a str,
    #[serde(rename = "DetachKeys")]
    detach_keys: &'a str,
    #[serde(rename = "Pid")]
    pid: u32,
}

#[derive(Serialize)]
struct ProcessConfig<'a> {
    tty: bool,
    entrypoint: &'a str,
    arguments: &'a [String],
    privileged: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    user: &'a str,
}

/// Execs that a container remembers.
const KEPT: usize = 64;

impl Exec {
    pub(super) fn shown(&self) -> Shown<'_> {
        let command = self.asked.cmd.as_deref().unwrap_or_default();
        Shown {
            id: &self.id,
            running: self.process.is_some(),
            exit_code: self.exit_code,
            process: ProcessConfig {
                tty: self.asked.tty,
                entrypoint: command.first().map_or("", String::as_str),
                arguments: command.get(1..).unwrap_or_default(),
                privileged: self.asked.privileged,
                user: &self.asked.user,
            },
            open_stdin: self.asked.attach_stdin,
            open_stderr: self.asked.attach_stderr,
            open_stdout: self.asked.attach_stdout,
            can_remove: false,
            container_id: &self.container_id,
            detach_keys: &self.asked.detach_keys,
            pid: self.pid,
        }
    }

    fn line(&self) -> String {
        self.asked.cmd.as_deref().unwrap_or_default().join(" ")
    }
}

impl Execs {
    pub(super) fn find(&self, wanted: &str) -> Result<&Exec, Failure> {
        let exact = self.all.get(wanted);
        exact.ok_or_else(|| not_found(format!("No such exec instance: {wanted}")))
    }
}

impl World {
    /// Makes an exec; returns its id.
    pub(super) fn create_exec(
        &mut self,
        wanted: &str,
        asked: NewExec,
        dialect: Dialect,
    ) -> Result<Arc<str>, Failure> {
        let container = self.find(wanted, dialect)?;
        if asked.cmd.as_ref().is_none_or(Vec::is_empty) {
            return Err(invalid("No exec command specified"));
        }
        match container.state {
            State::Running => {}
            State::Paused => {
                return Err(conflict(format!(
                    "Container {wanted} is paused, unpause the container before exec"
                )));
            }
            State::Restarting => {
                return Err(conflict(format!(
                    "Container {wanted} is restarting, wait until the container is running"
                )));
            }
            _ => return Err(not_running(&container.id)),
        }
        let (serial, container_id) = (container.serial, Arc::clone(&container.id));
        let id = self.hex_id();
        let exec = Exec {
            id: Arc::clone(&id),
            container: serial,
            container_id,
            asked,
            process: None,
            pid: 0,
            exit_code: None,
            rest: Vec::new(),
        };
        let line = exec.line();
        if let Some(container) = self.containers.get_mut(serial) {
            container.execs.push(Arc::clone(&id));
            if container.execs.len() > KEPT {
                let all = &self.execs.all;
                let ended = |id: &Arc<str>| all.get(id).is_none_or(|exec| exec.process.is_none());
                if let Some(oldest) = container.execs.iter().position(ended) {
                    let oldest = container.execs.remove(oldest);
                    self.execs.all.remove(&oldest);
                }
            }
        }
        self.execs.all.insert(Arc::clone(&id), exec);
        self.emit_of(format!("exec_create: {line}"), serial, &[("execID", &id)]);
        Ok(id)
    }

    /// Whether an exec can be started now, before anything is answered.
    pub(super) fn check_exec(&self, wanted: &str) -> Result<&Exec, Failure> {
        let exec = self.execs.find(wanted)?;
        if exec.process.is_some() {
            return Err(conflict(format!("Error: Exec command {} is already running", exec.id)));
        }
        if exec.exit_code.is_some() {
            return Err(conflict(format!("Error: Exec command {} has already run", exec.id)));
        }
        let container = self.containers.get(exec.container);
        match container.map(|container| container.state) {
            Some(State::Running) => Ok(exec),
            Some(State::Paused) => Err(conflict(format!(
                "Container {} is paused, unpause the container before exec",
                exec.container_id
            ))),
            _ => Err(not_running(&exec.container_id)),
        }
    }

    /// Starts an exec, or says what its client reads instead of output.
    pub(super) fn start_exec(&mut self, id: &str, size: (u16, u16)) -> Result<(), Failure> {
        let gone = || system("the container is gone");
        let exec = self.execs.all.get_mut(id).ok_or_else(gone)?;
        let serial = exec.container;
        let container = self.containers.get_mut(serial).ok_or_else(gone)?;
        let mut run = container.run.take().ok_or_else(gone)?;
        let asked = &exec.asked;
        let config = &container.config;
        let mut env = asked.env.clone().unwrap_or_default();
        env.extend(
            config
                .env
                .iter()
                .flatten()
                .filter(|pair| {
                    let key = pair.split('=').next();
                    !asked.env.iter().flatten().any(|own| own.split('=').next() == key)
                })
                .cloned(),
        );
        let or =
            |own: &String, other: &String| if own.is_empty() { other.clone() } else { own.clone() };
        let spec = Spec {
            argv: asked.cmd.clone().unwrap_or_default(),
            env,
            cwd: or(&asked.working_dir, &config.working_dir),
            user: or(&asked.user, &config.user),
            tty: asked.tty,
            open_stdin: asked.attach_stdin,
            size,
            ..Spec::default()
        };
        let seconds = i64::try_from(self.now.as_secs()).unwrap_or(i64::MAX);
        let files = View::new(&mut self.store, &run.mounts, seconds);
        let mut system = System {
            files,
            hostname: container.hostname(),
            now: self.instant,
            unix: self.now,
            names: Names::default(),
        };
        let started = run.processes.start(spec, &mut system);
        let line = exec.line();
        let result = match started {
            Ok(pid) => {
                exec.process = Some(pid);
                exec.pid = self.next_pid;
                self.next_pid += 1;
                run.execs.push((pid, Arc::clone(&exec.id)));
                self.ready.insert(serial);
                Ok(())
            }
            Err(error) => {
                exec.exit_code = Some(i32::from(error.code()).min(126));
                Err(match error {
                    // The engine looks users up itself, before there is a process that could fail.
                    StartError::NoSuchUser { .. } | StartError::NoSuchGroup { .. } => {
                        super::failures::system(error.to_string())
                    }
                    _ => invalid(format!(
                        "OCI runtime exec failed: exec failed: unable to start container process: {error}: unknown"
                    )),
                })
            }
        };
        container.run = Some(run);
        self.emit_of(format!("exec_start: {line}"), serial, &[("execID", id)]);
        result
    }

    /// The next piece of an exec's output.
    pub(super) fn take_exec_output(&mut self, id: &str) -> Option<(Stream, Vec<u8>)> {
        let exec = self.execs.all.get_mut(id)?;
        match exec.process {
            Some(pid) => {
                let run = self.containers.get_mut(exec.container)?.run.as_mut()?;
                run.processes.output(pid).map(|(stream, bytes)| (job_stream(stream), bytes))
            }
            None if exec.rest.is_empty() => None,
            None => Some(exec.rest.remove(0)),
        }
    }

    /// Notes which of a container's execs have ended; returns their ids.
    pub(super) fn reap_execs(&mut self, serial: Serial) -> Vec<Arc<str>> {
        let Some(run) = self.containers.get_mut(serial).and_then(|c| c.run.as_mut()) else {
            return Vec::new();
        };
        let mut ended = Vec::new();
        run.execs.retain(|(pid, id)| match run.processes.exited(*pid) {
            Some(exit) => {
                let mut rest = Vec::new();
                while let Some((stream, bytes)) = run.processes.output(*pid) {
                    rest.push((job_stream(stream), bytes));
                }
                run.processes.forget(*pid);
                ended.push((Arc::clone(id), exit, rest));
                false
            }
            None => true,
        });
        ended
            .into_iter()
            .map(|(id, exit, rest)| {
                if let Some(exec) = self.execs.all.get_mut(&id) {
                    exec.rest = rest;
                }
                self.exec_ended(&id, exit);
                id
            })
            .collect()
    }

    pub(super) fn exec_ended(&mut self, id: &str, exit: Exit) {
        let Some(exec) = self.execs.all.get_mut(id) else { return };
        exec.process = None;
        exec.exit_code = Some(i32::from(exit.code));
        let serial = exec.container;
        let code = exit.code.to_string();
        self.emit_of("exec_die", serial, &[("execID", id), ("exitCode", &code)]);
    }
}
