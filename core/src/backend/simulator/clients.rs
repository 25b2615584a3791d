//! Jobs that are not answered at once, and how what happens in the world gets to them.

use alloc::boxed::Box;
use alloc::collections::{BTreeSet, VecDeque};
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::Simulator;
use super::build::Build;
use super::container::{Serial, State};
use super::events::Listening;
use super::logs::Wanted;
use super::registry::Script;
use super::stats::Sampling;
use super::versions::Dialect;
use super::websocket::WebSocket;
use super::world::{Due, Notice};
use crate::id::JobId;
use crate::job::{Cancel, Cx, Failure, FailureKind, Status, Stream};
use crate::time::Instant;

/// A job that is under way.
pub(super) enum Task {
    /// Waits for the end of a container.
    Wait { serial: Serial, until: WaitUntil, dialect: Dialect },
    /// Answered when a container has ended: `stop`, `kill`.
    Stop(Serial),
    /// Answered when it runs again: `restart`.
    Restart { serial: Serial, wanted: Box<str>, dialect: Dialect },
    /// Answered when it is gone: `container_delete`.
    Removal(Serial),
    /// Attached to a container's main process or to an exec.
    Attached(Client),
    /// Reads a container's log.
    Logs(Reader),
    /// Reads events.
    Events(Listening),
    /// Reads figures, one sample a second.
    Stats(Sampling),
    /// Is told a story, piece by piece: `pull`, `push`.
    Script(Script),
    /// Waits for an image: `build`.
    Build(Box<Build>),
}

/// What `wait` waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum WaitUntil {
    Exit,
    Removed,
}

/// Somebody who is attached.
pub(super) struct Client {
    pub(super) serial: Serial,
    /// The exec, if it is not the main process.
    pub(super) exec: Option<Arc<str>>,
    pub(super) stdin: bool,
    pub(super) stdout: bool,
    pub(super) stderr: bool,
    /// The process's stdin ends with this client's.
    pub(super) closes: bool,
    pub(super) keys: DetachKeys,
    /// What it has sent and the process has not taken.
    pub(super) input: Vec<u8>,
    pub(super) input_ended: bool,
    /// What it has not read yet.
    pub(super) output: VecDeque<(Stream, Vec<u8>)>,
    /// Nothing more will come.
    pub(super) ended: bool,
    /// It is told nothing before, so that the head of the answer goes out alone: docker-py loses what it reads with that, and
    /// from an engine, which takes its time to start a process, it reads nothing with it.
    pub(super) since: Instant,
    /// It speaks in frames.
    pub(super) websocket: Option<Box<WebSocket>>,
}

/// The keys that detach a client from a terminal, and how many of them it has just pressed.
#[derive(Default)]
pub(super) struct DetachKeys {
    pub(super) keys: Vec<u8>,
    pub(super) pressed: usize,
}

/// Somebody who reads a log.
pub(super) struct Reader {
    pub(super) serial: Serial,
    pub(super) wanted: Wanted,
    /// The next line, and how much of it was written.
    pub(super) next: u64,
    pub(super) written: usize,
}

impl DetachKeys {
    /// What of `bytes` is for the process, and whether the client detaches.
    fn filter(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> bool {
        for byte in bytes {
            if self.keys.get(self.pressed) == Some(byte) {
                self.pressed += 1;
                if self.pressed == self.keys.len() {
                    return true;
                }
                continue;
            }
            out.extend_from_slice(&self.keys[..self.pressed]);
            self.pressed = usize::from(self.keys.first() == Some(byte));
            if self.pressed == 0 {
                out.push(*byte);
            }
        }
        false
    }
}

impl Task {
    fn serial(&self) -> Option<Serial> {
        match self {
            Self::Wait { serial, .. }
            | Self::Stop(serial)
            | Self::Restart { serial, .. }
            | Self::Removal(serial) => Some(*serial),
            Self::Attached(client) => Some(client.serial),
            Self::Logs(reader) => Some(reader.serial),
            Self::Stats(sampling) => Some(sampling.serial),
            Self::Build(build) => build.serial(),
            Self::Events(_) | Self::Script(_) => None,
        }
    }
}

/// Answers to a WebSocket's pings that its client need not have read before more is read from it.
const UNREAD: usize = 8;
/// How often a container has its turn before the others do.
const ROUNDS: usize = 8;

impl Simulator {
    /// Keeps a job that is not answered yet.
    pub(super) fn keep(&mut self, id: JobId, task: Task) {
        if let Some(serial) = task.serial() {
            self.watchers.entry(serial).or_default().insert(id);
        }
        if matches!(task, Task::Events(_)) {
            self.listeners.insert(id);
        }
        self.tasks.insert(id, task);
    }

    /// Forgets a job.
    pub(super) fn forget(&mut self, id: JobId) -> Option<Task> {
        let task = self.tasks.remove(&id)?;
        self.listeners.remove(&id);
        if let Some(serial) = task.serial()
            && let Some(watchers) = self.watchers.get_mut(&serial)
        {
            watchers.remove(&id);
            if watchers.is_empty() {
                self.watchers.remove(&serial);
            }
        }
        Some(task)
    }

    pub(super) fn finish(&mut self, cx: &mut Cx<'_>, id: JobId) {
        self.forget(id);
        cx.exit(id, Status::Ok);
    }

    fn watchers_of(&self, serial: Serial) -> Vec<JobId> {
        self.watchers.get(&serial).into_iter().flatten().copied().collect()
    }

    /// A piece of a client's stdin, or its end.
    pub(super) fn input(
        &mut self,
        cx: &mut Cx<'_>,
        id: JobId,
        bytes: Option<&[u8]>,
    ) -> Result<(), Failure> {
        let Some(Task::Attached(client)) = self.tasks.get_mut(&id) else { return Ok(()) };
        let mut detached = false;
        match bytes {
            Some(bytes) if client.websocket.is_some() => {
                detached = client.hear(bytes);
                if !client.ended && client.input.is_empty() && !client.waits() {
                    cx.read(id);
                }
            }
            Some(bytes) => {
                detached = client.keys.filter(bytes, &mut client.input);
                // Of the keys that detach, the first says nothing to the process.
                if client.input.is_empty() {
                    cx.read(id);
                }
            }
            None => client.input_ended = true,
        }
        let (serial, exec) = (client.serial, client.exec.clone());
        self.feed(cx, id);
        self.flush(cx, id);
        let world = self.world.as_mut().expect("made with the first job");
        world.ready.insert(serial);
        if detached {
            match exec {
                Some(exec) => world.emit_of("exec_detach", serial, &[("execID", &exec)]),
                None => world.emit_of("detach", serial, &[]),
            }
            self.finish(cx, id);
        }
        Ok(())
    }

    /// Hands on what a client has sent, as far as its process takes it; asks for more when all is taken. Says whether any
    /// was.
    fn feed(&mut self, cx: &mut Cx<'_>, id: JobId) -> bool {
        let world = self.world.as_mut().expect("made with the first job");
        let Some(Task::Attached(client)) = self.tasks.get_mut(&id) else { return false };
        if !client.stdin || client.input.is_empty() && !client.input_ended {
            return false;
        }
        let pid = client.exec.as_ref().map(|exec| world.execs.all.get(exec)?.process);
        let Some(run) = world.containers.get_mut(client.serial).and_then(|c| c.run.as_mut()) else {
            return false;
        };
        let pid = match pid {
            None => run.main,
            Some(Some(pid)) => pid,
            Some(None) => return false,
        };
        let asked_again = !client.input.is_empty();
        let taken = run.processes.stdin(pid, &client.input);
        client.input.drain(..taken);
        if client.input.is_empty() {
            if client.input_ended {
                if client.closes {
                    run.processes.close_stdin(pid);
                }
                client.stdin = false;
                return true;
            }
            if asked_again && !client.waits() {
                cx.read(id);
            }
        }
        taken > 0
    }

    /// A client has room again.
    pub(super) fn writable(&mut self, cx: &mut Cx<'_>, id: JobId) -> Result<(), Failure> {
        match self.tasks.get(&id) {
            Some(Task::Attached(client)) => {
                let serial = client.serial;
                self.flush(cx, id);
                let world = self.world.as_mut().expect("made with the first job");
                world.ready.insert(serial);
            }
            Some(Task::Logs(_)) => self.read_on(cx, id),
            Some(Task::Events(_)) => self.tell(cx, id),
            Some(Task::Script(_)) => self.tell_script(cx, id),
            Some(Task::Build(_)) => self.build_on(cx, id),
            _ => {}
        }
        Ok(())
    }

    /// Writes what a client has not read yet.
    fn flush(&mut self, cx: &mut Cx<'_>, id: JobId) {
        let Some(world) = &self.world else { return };
        let Some(Task::Attached(client)) = self.tasks.get_mut(&id) else { return };
        if world.instant < client.since {
            return;
        }
        if client.ended
            && let Some(websocket) = &mut client.websocket
        {
            client.output.push_back((Stream::Stdout, websocket.end()));
        }
        while let Some((stream, bytes)) = client.output.front_mut() {
            let written = cx.write_to(id, *stream, bytes);
            if written < bytes.len() {
                bytes.drain(..written);
                return;
            }
            client.output.pop_front();
        }
        if let Some(websocket) = client.websocket.as_mut().filter(|socket| socket.waits) {
            websocket.waits = false;
            if client.input.is_empty() {
                cx.read(id);
            }
        }
        if client.ended {
            self.finish(cx, id);
        }
    }

    /// A job's time has come.
    pub(super) fn timer(&mut self, cx: &mut Cx<'_>, id: JobId) -> Result<(), Failure> {
        match self.tasks.get(&id) {
            Some(Task::Events(_) | Task::Logs(_)) => self.finish(cx, id),
            Some(Task::Stats(_)) => self.sample(cx, id)?,
            Some(Task::Script(_)) => self.tell_script(cx, id),
            Some(Task::Attached(_)) => return self.writable(cx, id),
            _ => {}
        }
        Ok(())
    }

    /// A client wants no more.
    pub(super) fn cancelled(&mut self, cx: &mut Cx<'_>, id: JobId, why: Cancel) {
        let Some(task) = self.forget(id) else { return };
        match task {
            Task::Build(mut build) => {
                build.cancel(self.world.as_mut().expect("made with the first job"));
            }
            Task::Wait { dialect, .. } if why != Cancel::Gone => {
                let code = if dialect.is_legacy() { -1 } else { 0 };
                let text = format!(
                    "{{\"Error\":{{\"Message\":\"context canceled\"}},\"StatusCode\":{code}}}\n"
                );
                cx.reply(id, text);
            }
            // Who goes away without a word leaves a process that reads only from them without input.
            Task::Attached(client) if client.stdin && client.closes => {
                let world = self.world.as_mut().expect("made with the first job");
                let exec = client.exec.as_ref().map(|exec| world.execs.all.get(exec)?.process);
                let container = world.containers.get_mut(client.serial);
                if let Some(run) = container.and_then(|container| container.run.as_mut()) {
                    let pid = exec.map_or(Some(run.main), |pid| pid);
                    if let Some(pid) = pid {
                        run.processes.stdin(pid, &client.input);
                        run.processes.close_stdin(pid);
                    }
                    world.ready.insert(client.serial);
                }
            }
            _ => {}
        }
        cx.exit(id, Status::Ok);
    }

    /// Lets all that can happen happen, tells everybody, and sets the time for what comes next.
    pub(super) fn settle(&mut self, cx: &mut Cx<'_>) {
        let mut later = BTreeSet::new();
        loop {
            let Some(world) = &mut self.world else { return };
            while let Some(due) = world.agenda.pop(world.instant) {
                match due {
                    Due::Advance(serial) => {
                        world.ready.insert(serial);
                    }
                    Due::Kill(serial) => world.kill_now(serial),
                    Due::Restart(serial) => world.restart_by_policy(serial),
                    Due::Probe(serial) => world.probe(serial),
                    Due::Remove(serial) => world.drop_container(serial, true),
                }
            }
            let ready = core::mem::take(&mut world.ready);
            let notices = core::mem::take(&mut world.notices);
            if ready.is_empty() && notices.is_empty() {
                break;
            }
            for notice in notices {
                self.tell_notice(cx, &notice);
            }
            for serial in ready {
                if later.contains(&serial) {
                    continue;
                }
                if self.advance(cx, serial) {
                    later.insert(serial);
                }
            }
        }
        self.tell_events(cx);
        let Some(world) = &mut self.world else { return };
        let next = if later.is_empty() { world.agenda.next() } else { Some(world.instant) };
        world.ready = later;
        let next = next.map(|moment| self.node_time(moment));
        if self.wake.as_ref().map(|(at, _)| *at) == next {
            return;
        }
        if let Some((_, timer)) = self.wake.take() {
            cx.cancel_timer(timer);
        }
        self.wake = next.map(|at| (at, cx.wake_at(at, 0)));
    }

    /// Gives a container's processes their turn; whether they want another one.
    fn advance(&mut self, cx: &mut Cx<'_>, serial: Serial) -> bool {
        for id in self.watchers_of(serial) {
            self.feed(cx, id);
        }
        for _ in 0..ROUNDS {
            let Some(world) = &mut self.world else { return false };
            let more = world.step(serial);
            let moved = self.pump(cx, serial);
            let Some(world) = &mut self.world else { return false };
            world.reap_probe(serial);
            for exec in world.reap_execs(serial) {
                self.end_exec(cx, serial, &exec);
            }
            let Some(world) = &mut self.world else { return false };
            if world.has_ended(serial) {
                world.reap(serial);
                return false;
            }
            let mut fed = false;
            for id in self.watchers_of(serial) {
                fed |= self.feed(cx, id);
            }
            if !more && !moved && !fed {
                return false;
            }
        }
        true
    }

    /// Carries the output of a container's processes to the log and to those who are attached; whether there was any.
    fn pump(&mut self, cx: &mut Cx<'_>, serial: Serial) -> bool {
        let watchers = self.watchers_of(serial);
        let mut moved = false;
        loop {
            // A process whose reader is slow waits, unless it has ended.
            let Some(world) = &mut self.world else { return moved };
            let blocked = watchers.iter().any(|id| match self.tasks.get(id) {
                Some(Task::Attached(client)) => client.exec.is_none() && !client.output.is_empty(),
                Some(Task::Build(build)) => !build.output.lines.is_empty(),
                _ => false,
            });
            if blocked && !world.has_ended(serial) {
                break;
            }
            let Some((stream, bytes)) = world.take_output(serial) else { break };
            moved = true;
            for id in &watchers {
                if let Some(Task::Attached(client)) = self.tasks.get_mut(id)
                    && client.exec.is_none()
                    && client.takes(stream)
                {
                    client.push(stream, bytes.clone());
                    self.flush(cx, *id);
                } else if let Some(Task::Build(build)) = self.tasks.get_mut(id) {
                    build.hear(stream, &bytes);
                    self.build_on(cx, *id);
                }
            }
        }
        if moved {
            for id in &watchers {
                if matches!(self.tasks.get(id), Some(Task::Logs(_))) {
                    self.read_on(cx, *id);
                }
            }
        }
        let execs: Vec<Arc<str>> = self
            .world
            .as_ref()
            .and_then(|world| world.containers.get(serial)?.run.as_ref())
            .map(|run| run.execs.iter().map(|(_, id)| Arc::clone(id)).collect())
            .unwrap_or_default();
        for exec in execs {
            moved |= self.pump_exec(cx, &exec, &watchers);
        }
        moved
    }

    /// As [`pump`](Simulator::pump), for one exec; the output of one that nobody is attached to goes nowhere.
    fn pump_exec(&mut self, cx: &mut Cx<'_>, exec: &Arc<str>, watchers: &[JobId]) -> bool {
        let reads = |task: &Task| match task {
            Task::Attached(client) => client.exec.as_ref() == Some(exec),
            _ => false,
        };
        let reader = watchers.iter().find(|id| self.tasks.get(id).is_some_and(reads)).copied();
        let mut moved = false;
        loop {
            if let Some(id) = reader
                && let Some(Task::Attached(client)) = self.tasks.get(&id)
                && !client.output.is_empty()
            {
                break;
            }
            let Some(world) = &mut self.world else { break };
            let Some((stream, bytes)) = world.take_exec_output(exec) else { break };
            moved = true;
            if let Some(id) = reader
                && let Some(Task::Attached(client)) = self.tasks.get_mut(&id)
                && client.takes(stream)
            {
                client.push(stream, bytes);
                self.flush(cx, id);
            }
        }
        moved
    }

    /// An exec has ended: its client reads what is left, and no more.
    fn end_exec(&mut self, cx: &mut Cx<'_>, serial: Serial, exec: &Arc<str>) {
        let world = self.world.as_mut().expect("made with the first job");
        let mut rest = VecDeque::new();
        while let Some(piece) = world.take_exec_output(exec) {
            rest.push_back(piece);
        }
        for id in self.watchers_of(serial) {
            if let Some(Task::Attached(client)) = self.tasks.get_mut(&id)
                && client.exec.as_ref() == Some(exec)
            {
                client.ended = true;
                let wanted = rest.iter().filter(|(stream, _)| client.takes(*stream)).cloned();
                let wanted: Vec<_> = wanted.collect();
                wanted.into_iter().for_each(|(stream, bytes)| client.push(stream, bytes));
                self.flush(cx, id);
            }
        }
    }

    fn tell_notice(&mut self, cx: &mut Cx<'_>, notice: &Notice) {
        let serial = match notice {
            Notice::Stopped(serial)
            | Notice::Restarted(serial)
            | Notice::Exited { serial, .. }
            | Notice::NotStarted { serial, .. }
            | Notice::Removed { serial, .. } => *serial,
        };
        for id in self.watchers_of(serial) {
            let Some(task) = self.tasks.get_mut(&id) else { continue };
            match (notice, task) {
                (
                    Notice::Exited { exit_code, .. },
                    Task::Wait { until: WaitUntil::Exit, dialect, .. },
                )
                | (Notice::Removed { exit_code, .. }, Task::Wait { dialect, .. }) => {
                    let answer = waited(*exit_code, None, *dialect);
                    self.forget(id);
                    cx.reply(id, answer);
                }
                (Notice::NotStarted { failure, .. }, Task::Restart { wanted, dialect, .. }) => {
                    let failure = not_restarted(wanted, failure, *dialect);
                    self.forget(id);
                    cx.exit(id, failure);
                }
                (Notice::Exited { .. } | Notice::Removed { .. }, Task::Stop(_))
                | (Notice::Restarted(_) | Notice::Removed { .. }, Task::Restart { .. })
                | (Notice::Removed { .. }, Task::Removal(_) | Task::Stats(_)) => {
                    self.finish(cx, id);
                }
                (
                    Notice::Exited { .. } | Notice::NotStarted { .. } | Notice::Removed { .. },
                    Task::Attached(client),
                ) => {
                    client.ended = true;
                    self.flush(cx, id);
                }
                (
                    Notice::Exited { exit_code, .. } | Notice::Removed { exit_code, .. },
                    Task::Build(_),
                ) => {
                    self.build_ran(cx, id, serial, *exit_code);
                }
                (_, Task::Logs(_)) => self.read_on(cx, id),
                _ => {}
            }
        }
    }

    /// Writes the lines of a log that a client has not read yet, as far as there is room.
    pub(super) fn read_on(&mut self, cx: &mut Cx<'_>, id: JobId) {
        let Some(world) = &self.world else { return };
        let Some(Task::Logs(reader)) = self.tasks.get_mut(&id) else { return };
        let container = world.containers.get(reader.serial);
        let log = container.and_then(|container| container.log.as_ref());
        while let Some((number, line)) = log.and_then(|log| log.next(reader.next)) {
            if number != reader.next {
                (reader.next, reader.written) = (number, 0);
            }
            if reader.wanted.admits(line) {
                let bytes = reader.wanted.write(line);
                let rest = bytes.get(reader.written..).unwrap_or_default();
                let written = cx.write_to(id, line.stream, rest);
                if written < rest.len() {
                    reader.written += written;
                    return;
                }
            }
            (reader.next, reader.written) = (number + 1, 0);
        }
        let over = container.is_none_or(|container| {
            !container.state.is_running() && container.state != State::Restarting
        });
        if over || !reader.wanted.follow {
            self.finish(cx, id);
        }
    }
}

impl Client {
    /// Keeps output until it is read.
    pub(super) fn push(&mut self, stream: Stream, bytes: Vec<u8>) {
        let bytes = match &self.websocket {
            Some(websocket) => websocket.write(&bytes),
            None => bytes,
        };
        self.output.push_back((stream, bytes));
    }

    /// Reads frames; whether their client detaches.
    fn hear(&mut self, bytes: &[u8]) -> bool {
        let (mut data, mut answer) = (Vec::new(), Vec::new());
        let Some(websocket) = &mut self.websocket else { return false };
        if !websocket.read(bytes, &mut data, &mut answer) {
            (self.ended, self.input_ended) = (true, true);
        }
        if !answer.is_empty() {
            self.output.push_back((Stream::Stdout, answer));
        }
        websocket.waits = self.output.len() > UNREAD;
        self.stdin && self.keys.filter(&data, &mut self.input)
    }

    /// Whether nothing is to be read from it for now.
    fn waits(&self) -> bool {
        self.websocket.as_ref().is_some_and(|websocket| websocket.waits)
    }

    fn takes(&self, stream: Stream) -> bool {
        match stream {
            Stream::Stdout => self.stdout,
            Stream::Stderr => self.stderr,
        }
    }
}

/// The answer to `wait`.
pub(super) fn waited(code: i32, error: Option<&str>, dialect: Dialect) -> alloc::string::String {
    match error {
        Some(error) => {
            let message = serde_json::Value::from(error);
            format!("{{\"Error\":{{\"Message\":{message}}},\"StatusCode\":{code}}}\n")
        }
        None if dialect.before(43) => format!("{{\"Error\":null,\"StatusCode\":{code}}}\n"),
        None => format!("{{\"StatusCode\":{code}}}\n"),
    }
}

/// Why the container that a client calls `wanted` was stopped and could not be started again.
pub(super) fn not_restarted(wanted: &str, failure: &Failure, dialect: Dialect) -> Failure {
    let message = format!("Cannot restart container {wanted}: {}", failure.message);
    let kind = if dialect.is_legacy() { FailureKind::System } else { failure.kind };
    Failure::new(kind, message)
}

#[cfg(test)]
mod tests {
    use super::DetachKeys;
    use alloc::vec::Vec;

    #[test]
    fn detach_keys_are_for_the_engine_and_all_others_for_the_process() {
        let typed = |pieces: &[&[u8]]| {
            let mut keys = DetachKeys { keys: Vec::from([16, 17]), pressed: 0 };
            let mut out = Vec::new();
            let detached = pieces.iter().any(|piece| keys.filter(piece, &mut out));
            (out, detached)
        };
        assert_eq!(typed(&[b"ls\n"]), (b"ls\n".to_vec(), false));
        assert_eq!(typed(&[b"a\x10\x11b"]), (b"a".to_vec(), true));
        assert_eq!(typed(&[b"\x10", b"\x11"]), (Vec::new(), true));
        assert_eq!(typed(&[b"\x10", b"x"]), (b"\x10x".to_vec(), false));
        assert_eq!(typed(&[b"\x10\x10\x11"]), (b"\x10".to_vec(), true));
    }
}
