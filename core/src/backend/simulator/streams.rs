//! The jobs that a client stays with: `attach` and `attach_ws`, `logs`, `wait`, `exec_start`.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;
use serde::Deserialize;

use super::Simulator;
use super::clients::{Client, DetachKeys, Reader, Task, WaitUntil, waited};
use super::container::State;
use super::failures::{conflict, invalid};
use super::logs::Wanted;
use super::versions::Dialect;
use super::websocket::WebSocket;
use super::world::World;
use crate::id::JobId;
use crate::job::{Cx, Failure, Job, Status, Stdio, Stream};

/// What `POST /exec/{id}/start` asks for.
#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct ExecStart {
    detach: bool,
    tty: bool,
    console_size: Option<(u16, u16)>,
}

/// How long who is attached anew reads nothing.
const PAUSE: Duration = Duration::from_millis(30);

const fn stdio(tty: bool) -> Stdio {
    if tty { Stdio::Raw } else { Stdio::Multiplexed }
}

/// The detach keys as bytes: `ctrl-p,ctrl-q`, or single characters.
fn detach_keys(text: Option<&str>) -> Result<Vec<u8>, Failure> {
    let text = text.filter(|text| !text.is_empty()).unwrap_or("ctrl-p,ctrl-q");
    let key = |key: &str| match (key.strip_prefix("ctrl-"), key.as_bytes()) {
        (Some(letter), _) => match letter.as_bytes() {
            [letter @ (b'a'..=b'z')] => Some(letter - b'a' + 1),
            [letter @ (b'A'..=b'Z')] => Some(letter - b'A' + 1),
            [b'@'] => Some(0),
            [other @ (b'[' | b'\\' | b']' | b'^' | b'_')] => Some(other - b'@'),
            _ => None,
        },
        (None, [byte]) => Some(*byte),
        (None, _) => None,
    };
    let keys: Option<Vec<u8>> = text.split(',').map(key).collect();
    keys.ok_or_else(|| invalid(format!("Invalid detach keys ({text}) provided")))
}

impl Simulator {
    fn the_world(&mut self) -> &mut World {
        self.world.as_mut().expect("made with the first job")
    }

    pub(super) fn attach(
        &mut self,
        cx: &mut Cx<'_>,
        id: JobId,
        job: &Job,
        dialect: Dialect,
    ) -> Result<(), Failure> {
        let wanted = job.arg(0).unwrap_or_default();
        let world = self.world.as_mut().expect("made with the first job");
        let container = world.find(&wanted, dialect)?;
        let keys = detach_keys(job.env("detachKeys").as_deref())?;
        match container.state {
            State::Paused => {
                return Err(conflict(format!(
                    "container {wanted} is paused, unpause the container before attach"
                )));
            }
            State::Restarting => {
                return Err(conflict(format!(
                    "container {wanted} is restarting, wait until the container is running"
                )));
            }
            _ => {}
        }
        let (serial, tty) = (container.serial, container.config.tty);
        let runs = container.state.is_running();
        let in_frames = job.name() == "attach_ws";
        // Until 1.41 a WebSocket was attached to everything.
        let wants = |stream: &str| in_frames && dialect.before(42) || job.flag(stream);
        let (stdout, stderr) = (wants("stdout"), wants("stderr"));
        let stdin = wants("stdin") && container.config.open_stdin;
        let closes = container.config.stdin_once && !tty;
        let mut output = Vec::new();
        if job.flag("logs")
            && let Some(log) = &container.log
        {
            let all = Wanted::all(stdout, stderr);
            let mut number = 0;
            while let Some((at, line)) = log.next(number) {
                if all.admits(line) {
                    output.push((line.stream, line.bytes.to_vec()));
                }
                number = at + 1;
            }
        }
        cx.begin(id, if in_frames { Stdio::Raw } else { stdio(tty) });
        world.emit_of("attach", serial, &[]);
        world.ready.insert(serial);
        let mut client = Client {
            serial,
            exec: None,
            stdin,
            stdout,
            stderr,
            closes,
            keys: DetachKeys { keys: if tty { keys } else { Vec::new() }, pressed: 0 },
            input: Vec::new(),
            input_ended: false,
            output: VecDeque::new(),
            ended: !job.flag("stream"),
            // Who is attached before the start reads nothing before they ask for it.
            since: world.instant + if runs || job.flag("logs") { PAUSE } else { Duration::ZERO },
            websocket: in_frames.then(|| Box::new(WebSocket::new(dialect.before(28)))),
        };
        output.into_iter().for_each(|(stream, bytes)| client.push(stream, bytes));
        self.keep(id, Task::Attached(client));
        cx.timer(id, cx.now() + PAUSE, 0);
        if stdin || in_frames {
            cx.read(id);
        }
        self.writable(cx, id)
    }

    pub(super) fn logs(
        &mut self,
        cx: &mut Cx<'_>,
        id: JobId,
        job: &Job,
        dialect: Dialect,
    ) -> Result<(), Failure> {
        let world = self.the_world();
        let named = job.arg(0).unwrap_or_default();
        // The engine looks at the streams first.
        let wanted = Wanted::of(job, dialect)?;
        let container = world.find(&named, dialect)?;
        let (serial, tty) = (container.serial, container.config.tty);
        if container.host.log_config.r#type == "none" {
            return Err(super::failures::system(
                "configured logging driver does not support reading",
            ));
        }
        // The last lines are counted before those of the other stream are left out.
        let next = match (&container.log, wanted.tail) {
            (Some(log), Some(tail)) => log.tail(tail, |_| true),
            _ => 0,
        };
        let now = world.now;
        cx.begin(id, stdio(tty));
        self.keep(id, Task::Logs(Reader { serial, wanted, next, written: 0 }));
        if let Some(until) = wanted.until.filter(|until| wanted.follow && *until > now) {
            cx.timer(id, cx.now() + (until - now), 0);
        }
        self.read_on(cx, id);
        Ok(())
    }

    pub(super) fn wait(
        &mut self,
        cx: &mut Cx<'_>,
        id: JobId,
        job: &Job,
        dialect: Dialect,
    ) -> Result<(), Failure> {
        let condition = job.env("condition").unwrap_or(Cow::Borrowed(""));
        let world = self.the_world();
        let container = world.find(&job.arg(0).unwrap_or_default(), dialect)?;
        let (until, at_once) = match &*condition {
            "next-exit" => (WaitUntil::Exit, false),
            "removed" => (WaitUntil::Removed, false),
            "" | "not-running" => (WaitUntil::Exit, true),
            // The old engine took what it did not know for the default.
            _ if dialect.is_legacy() => (WaitUntil::Exit, true),
            other => return Err(invalid(format!("invalid condition: {other:?}"))),
        };
        let (serial, code) = (container.serial, container.exit_code);
        let error = container.error.clone();
        let runs = container.state.is_running();
        cx.begin(id, Stdio::Raw);
        if at_once && !runs {
            cx.reply(id, waited(code, error.as_deref(), dialect));
        } else {
            self.keep(id, Task::Wait { serial, until, dialect });
        }
        Ok(())
    }

    pub(super) fn exec_start(
        &mut self,
        cx: &mut Cx<'_>,
        id: JobId,
        job: &Job,
        body: &[u8],
        dialect: Dialect,
    ) -> Result<(), Failure> {
        let wanted = job.arg(0).unwrap_or_default();
        let asked: ExecStart = match body {
            b"" => ExecStart::default(),
            _ => super::body::decode(body, "ExecStartCheck", dialect)?,
        };
        let world = self.world.as_mut().expect("made with the first job");
        let exec = world.check_exec(&wanted)?;
        let (exec_id, serial) = (Arc::clone(&exec.id), exec.container);
        let (stdin, tty) = (exec.asked.attach_stdin && !asked.detach, exec.asked.tty);
        let (stdout, stderr) = (exec.asked.attach_stdout, exec.asked.attach_stderr);
        let keys = detach_keys(Some(&exec.asked.detach_keys))?;
        let size = asked.console_size.unwrap_or_default();
        if asked.detach {
            world.start_exec(&exec_id, size)?;
            cx.exit(id, Status::Ok);
            return Ok(());
        }
        cx.begin(id, stdio(asked.tty));
        if let Err(failure) = world.start_exec(&exec_id, size) {
            let words = failure.message;
            cx.write_to(id, Stream::Stdout, format!("{words}\r\n").as_bytes());
            cx.exit(id, Status::Ok);
            return Ok(());
        }
        let client = Client {
            serial,
            exec: Some(exec_id),
            stdin,
            stdout,
            stderr,
            closes: !tty,
            keys: DetachKeys { keys: if tty { keys } else { Vec::new() }, pressed: 0 },
            input: Vec::new(),
            input_ended: false,
            output: VecDeque::new(),
            ended: false,
            since: world.instant + PAUSE,
            websocket: None,
        };
        self.keep(id, Task::Attached(client));
        cx.timer(id, cx.now() + PAUSE, 0);
        if stdin {
            cx.read(id);
        }
        Ok(())
    }

    /// Sets the size of a container's terminal, or of an exec's.
    pub(super) fn resize(
        &mut self,
        job: &Job,
        dialect: Dialect,
        of_exec: bool,
    ) -> Result<(), Failure> {
        let number = |key: &str| -> Result<u16, Failure> {
            let text = job.env(key).unwrap_or(Cow::Borrowed(""));
            let number = super::filters::integer(&text, "Atoi").map_err(invalid)?;
            Ok(u16::try_from(number).unwrap_or(u16::MAX))
        };
        let (rows, columns) = (number("h")?, number("w")?);
        let wanted = job.arg(0).unwrap_or_default();
        let world = self.the_world();
        let (serial, pid) = if of_exec {
            let exec = world.execs.find(&wanted)?;
            (exec.container, exec.process)
        } else {
            let container = world.find(&wanted, dialect)?;
            if container.run.is_none() {
                return Err(super::failures::not_running(&container.id));
            }
            (container.serial, None)
        };
        if let Some(run) = world.containers.get_mut(serial).and_then(|c| c.run.as_mut())
            && (pid.is_some() || !of_exec)
        {
            run.processes.resize(pid.unwrap_or(run.main), rows, columns);
            world.ready.insert(serial);
        }
        if !of_exec {
            let (height, width) = (format!("{rows}"), format!("{columns}"));
            world.emit_of("resize", serial, &[("height", &height), ("width", &width)]);
        }
        Ok(())
    }
}

/// A number of seconds from a query: how long `stop` and `restart` wait.
pub(super) fn seconds(job: &Job, dialect: Dialect) -> Result<Option<i64>, Failure> {
    match job.env("t").as_deref() {
        None | Some("") => Ok(None),
        Some(text) => {
            let seconds = super::filters::integer(text, "Atoi");
            seconds.map(Some).map_err(|words: String| dialect.invalid(words))
        }
    }
}

/// How long one sample of figures takes.
pub(super) const SECOND: Duration = Duration::from_secs(1);
