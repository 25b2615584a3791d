//! The processes of a container: who runs, who waits for what, who has ended.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::net::Ipv4Addr;
use core::time::Duration;

use super::open::{Open, OpenId, Opens, PipeId};
use super::session::Session;
use super::{Block, Exit, MAX_PROCESSES, Pid, Signal, Step, Stream, Sys};
use crate::Instant;
use crate::backend::simulator::files::View;

/// The fuel that a process gets before the next one's turn.
const SLICE: u32 = 2_000;

/// What a container's processes see of the world during a call.
#[derive(Debug)]
pub struct System<'a> {
    /// The files. Who acts and what time it is are set by the processes.
    pub files: View<'a>,
    /// The container's name for itself.
    pub hostname: &'a str,
    /// The moment, for what waits.
    pub now: Instant,
    /// The time since 1970, for what tells the time.
    pub unix: Duration,
    /// Whom it can reach.
    pub names: Names<'a>,
}

/// The network, for programs that ask it for a name: who has it, or the address itself if somebody has that.
#[derive(Clone, Copy, Default)]
pub struct Names<'a>(Option<&'a LookUp<'a>>);

/// Finds the address of a name.
type LookUp<'a> = dyn Fn(&str) -> Option<Ipv4Addr> + 'a;

impl<'a> Names<'a> {
    /// Those that this function finds. By [default](Names::default) there are none.
    pub fn of(look_up: &'a LookUp<'a>) -> Self {
        Self(Some(look_up))
    }

    pub(super) fn find(self, name: &str) -> Option<Ipv4Addr> {
        self.0.and_then(|look_up| look_up(name))
    }
}

impl fmt::Debug for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Names").field(&self.0.is_some()).finish()
    }
}

/// Where a step has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// All fuel is used, and there is more to do.
    Runnable,
    /// All wait: for input, for output to be taken, or for this moment.
    Idle(Option<Instant>),
}

/// A program: a machine that is stepped.
pub(super) trait Program: Send {
    fn step(&mut self, sys: &mut Sys<'_, '_>) -> Step;
}

/// What a process waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Channel {
    Readable(PipeId),
    Writable(PipeId),
    Input(Pid),
    Output(Pid),
    Child,
}

pub(super) enum State {
    Ready,
    Blocked(Block),
    Zombie(Exit),
}

pub(super) struct Process {
    pub(super) parent: Pid,
    /// The started process that this one descends from.
    pub(super) session: Pid,
    pub(super) argv: Arc<[String]>,
    pub(super) env: Arc<[String]>,
    pub(super) cwd: Arc<str>,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) umask: u16,
    pub(super) fds: Vec<Option<OpenId>>,
    /// Descriptors that a shell has put aside.
    pub(super) saved: Vec<Option<OpenId>>,
    pub(super) state: State,
    pub(super) stopped: bool,
    /// Not reached by the terminal's keys.
    pub(super) background: bool,
    pub(super) pending: u64,
    pub(super) ignored: u64,
    pub(super) caught: u64,
    pub(super) program: Option<Box<dyn Program>>,
    pub(super) started: Duration,
    pub(super) fuel: u64,
}

/// A process, for `top` and `ps`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Info {
    /// Its number.
    pub pid: Pid,
    /// Who started it; 0 is the outside.
    pub parent: Pid,
    /// The number of its user.
    pub uid: u32,
    /// The program and its arguments.
    pub argv: Arc<[String]>,
    /// When it was started, since 1970.
    pub started: Duration,
    /// What it has used of the fuel.
    pub fuel: u64,
    /// `R`unning, `S`leeping, s`T`opped, `Z`ombie.
    pub state: char,
}

/// All processes of a container.
#[derive(Default)]
pub struct Processes {
    pub(super) table: BTreeMap<Pid, Box<Process>>,
    pub(super) sessions: BTreeMap<Pid, Box<Session>>,
    pub(super) opens: Opens,
    /// The groups that all of them are in beside their own.
    pub(super) groups: Vec<u32>,
    ready: VecDeque<Pid>,
    last: Pid,
    /// Whose program runs now. It stays in the table until it lets go, even when it has killed itself.
    running: Option<Pid>,
    /// How that one is to end then.
    pub(super) killed: Option<Exit>,
}

impl Processes {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts all processes into more groups than their own.
    pub fn join_groups(&mut self, groups: impl IntoIterator<Item = u32>) {
        self.groups.extend(groups);
    }

    /// Lets processes run until all wait or the fuel is used: about one unit for a simple command, or for some dozens of
    /// bytes handled.
    pub fn step(&mut self, system: &mut System<'_>, fuel: u32) -> Progress {
        self.wake_due(system.now);
        let mut left = fuel;
        while left > 0 {
            let Some(pid) = self.ready.pop_front() else { break };
            let slice = left.min(SLICE);
            left -= self.run(pid, system, slice).clamp(1, slice);
        }
        if self.ready.is_empty() { Progress::Idle(self.next_timer()) } else { Progress::Runnable }
    }

    /// The moment from which [`Processes::step`] has something to do, if nothing else happens.
    #[must_use]
    pub fn next_timer(&self) -> Option<Instant> {
        let waits = self.table.values().filter(|process| !process.stopped);
        let until = waits.filter_map(|process| match process.state {
            State::Blocked(block) => block.until,
            _ => None,
        });
        until.min()
    }

    /// Whether any process is left that has not ended.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.table.values().any(|process| !matches!(process.state, State::Zombie(_)))
    }

    /// Gives bytes to a started process's stdin or terminal: how many were taken. What nobody will read is taken too.
    pub fn stdin(&mut self, pid: Pid, bytes: &[u8]) -> usize {
        let Some(session) = self.sessions.get_mut(&pid) else { return bytes.len() };
        if session.exit.is_some() {
            return bytes.len();
        }
        let (taken, signals) = session.feed(bytes);
        self.wake(Channel::Input(pid));
        for signal in signals {
            let mut reached: Vec<Pid> = Vec::new();
            for (other, process) in &self.table {
                if process.session == pid && !process.background {
                    reached.push(*other);
                }
            }
            for other in reached {
                self.deliver(other, signal);
            }
        }
        taken
    }

    /// Ends a started process's stdin: once all of it is read.
    pub fn close_stdin(&mut self, pid: Pid) {
        if let Some(session) = self.sessions.get_mut(&pid) {
            session.close();
            self.wake(Channel::Input(pid));
        }
    }

    /// The next piece that a started process, or one of its children, has written.
    pub fn output(&mut self, pid: Pid) -> Option<(Stream, Vec<u8>)> {
        let piece = self.sessions.get_mut(&pid)?.drain()?;
        self.wake(Channel::Output(pid));
        Some(piece)
    }

    /// Sends a signal; false if there is no such process. pid 1 gets only those that it traps, and KILL.
    pub fn signal(&mut self, pid: Pid, signal: Signal) -> bool {
        let alive =
            self.table.get(&pid).is_some_and(|process| !matches!(process.state, State::Zombie(_)));
        if alive {
            self.deliver(pid, signal);
        }
        alive
    }

    /// Ends all processes, as an engine that kills a container for its memory does.
    pub fn kill_for_memory(&mut self) {
        if self.table.contains_key(&1) {
            self.end(1, Exit { oom: true, ..Exit::of(Signal::KILL) });
        }
    }

    /// Sets the size of a started process's terminal.
    pub fn resize(&mut self, pid: Pid, rows: u16, columns: u16) {
        if let Some(tty) = self.sessions.get_mut(&pid).and_then(|session| session.tty.as_mut()) {
            tty.size = (rows, columns);
            self.deliver(pid, Signal::WINCH);
        }
    }

    /// How a started process has ended, if it has.
    #[must_use]
    pub fn exited(&self, pid: Pid) -> Option<Exit> {
        self.sessions.get(&pid)?.exit
    }

    /// Forgets a started process that has ended, and output of it that was not taken.
    pub fn forget(&mut self, pid: Pid) {
        if self.exited(pid).is_some() {
            self.sessions.remove(&pid);
        }
    }

    /// All processes, ordered by number.
    #[must_use]
    pub fn list(&self) -> Vec<Info> {
        let info = |pid: &Pid, process: &Process| Info {
            pid: *pid,
            parent: process.parent,
            uid: process.uid,
            argv: process.argv.clone(),
            started: process.started,
            fuel: process.fuel,
            state: match process.state {
                State::Zombie(_) => 'Z',
                _ if process.stopped => 'T',
                State::Ready => 'R',
                State::Blocked(_) => 'S',
            },
        };
        self.table.iter().map(|(pid, process)| info(pid, process)).collect()
    }

    /// Adds a process, ready to run; its descriptors are counted already.
    pub(super) fn add(&mut self, process: Process) -> Option<Pid> {
        if self.table.len() >= MAX_PROCESSES {
            return None;
        }
        loop {
            self.last = if self.last >= 32_768 { 2 } else { self.last + 1 };
            if !self.table.contains_key(&self.last) && !self.sessions.contains_key(&self.last) {
                break;
            }
        }
        self.table.insert(self.last, Box::new(process));
        self.ready.push_back(self.last);
        Some(self.last)
    }

    fn run(&mut self, pid: Pid, system: &mut System<'_>, slice: u32) -> u32 {
        let Some(process) = self.table.get_mut(&pid) else { return 0 };
        if process.stopped || !matches!(process.state, State::Ready) {
            return 0;
        }
        let Some(mut program) = process.program.take() else { return 0 };
        system.files.now = i64::try_from(system.unix.as_secs()).unwrap_or(i64::MAX);
        (system.files.uid, system.files.gid) = (process.uid, process.gid);
        self.running = Some(pid);
        let mut sys = Sys { kernel: self, system, pid, fuel: slice };
        let step = program.step(&mut sys);
        let used = slice - sys.fuel.min(slice);
        self.running = None;
        if let Some(exit) = self.killed.take() {
            self.end(pid, exit);
            return used;
        }
        let Some(process) = self.table.get_mut(&pid) else { return used };
        process.fuel += u64::from(used.max(1));
        if matches!(process.state, State::Zombie(_)) {
            return used;
        }
        match step {
            Step::Again => {
                process.program = Some(program);
                self.ready.push_back(pid);
            }
            Step::Become(next) => {
                process.program = Some(next);
                self.ready.push_back(pid);
            }
            Step::Block(block) => {
                process.program = Some(program);
                process.state = State::Blocked(block);
            }
            Step::Exit(code) => self.end(pid, Exit::with(code)),
        }
        used
    }

    fn wake_due(&mut self, now: Instant) {
        for (pid, process) in &mut self.table {
            let State::Blocked(block) = process.state else { continue };
            if block.until.is_some_and(|until| until <= now) {
                process.state = State::Ready;
                self.ready.push_back(*pid);
            }
        }
    }

    pub(super) fn wake(&mut self, channel: Channel) {
        for (pid, process) in &mut self.table {
            let State::Blocked(block) = process.state else { continue };
            if block.on == Some(channel) {
                process.state = State::Ready;
                self.ready.push_back(*pid);
            }
        }
    }

    fn wake_one(&mut self, pid: Pid) {
        if let Some(process) = self.table.get_mut(&pid)
            && matches!(process.state, State::Blocked(_))
        {
            process.state = State::Ready;
            self.ready.push_back(pid);
        }
    }

    /// Lets a signal do what the process wants, or what it does by default.
    pub(super) fn deliver(&mut self, pid: Pid, signal: Signal) {
        let Some(process) = self.table.get_mut(&pid) else { return };
        if signal == Signal::CONT {
            process.stopped = false;
            if matches!(process.state, State::Ready) && !self.ready.contains(&pid) {
                self.ready.push_back(pid);
            }
            return;
        }
        if signal == Signal::KILL {
            return self.end(pid, Exit::of(signal));
        }
        if process.ignored & signal.bit() != 0 && signal != Signal::STOP {
            return;
        }
        if process.caught & signal.bit() != 0 {
            process.pending |= signal.bit();
            return self.wake_one(pid);
        }
        if pid == 1 || signal.is_harmless() {
            return;
        }
        if signal.stops() {
            process.stopped = true;
            return;
        }
        self.end(pid, Exit::of(signal));
    }

    /// Ends a process: its files are closed, its children are pid 1's, its parent is told.
    pub(super) fn end(&mut self, pid: Pid, exit: Exit) {
        if self.running == Some(pid) {
            self.killed.get_or_insert(exit);
            return;
        }
        let Some(process) = self.table.get_mut(&pid) else { return };
        if matches!(process.state, State::Zombie(_)) {
            return;
        }
        process.state = State::Zombie(exit);
        process.program = None;
        let parent = process.parent;
        let fds = core::mem::take(&mut process.fds);
        let saved = core::mem::take(&mut process.saved);
        for open in fds.into_iter().chain(saved).flatten() {
            self.close(open);
        }
        if let Some(session) = self.sessions.get_mut(&pid) {
            session.exit = Some(exit);
        }
        if pid == 1 {
            let others: Vec<Pid> = self.table.keys().copied().filter(|other| *other != 1).collect();
            for other in others {
                self.end(other, Exit::of(Signal::KILL));
            }
            self.table.retain(|pid, _| self.running == Some(*pid));
            self.ready.clear();
            return;
        }
        let orphans: Vec<Pid> = self
            .table
            .iter()
            .filter(|(_, child)| child.parent == pid)
            .map(|(pid, _)| *pid)
            .collect();
        for orphan in orphans {
            match self.table.get_mut(&orphan) {
                Some(child) if matches!(child.state, State::Zombie(_)) => {
                    self.table.remove(&orphan);
                }
                Some(child) => child.parent = 0,
                None => {}
            }
        }
        // Nobody waits for what the outside started, nor for an orphan: pid 1 is taken to reap them.
        if parent == 0 || !self.table.contains_key(&parent) {
            self.table.remove(&pid);
        } else if self.table.get(&parent).is_some_and(|parent| {
            matches!(parent.state, State::Blocked(block) if block.on == Some(Channel::Child))
        }) {
            self.wake_one(parent);
        }
    }

    /// Closes a descriptor, and tells those who wait for the other end of a pipe.
    pub(super) fn close(&mut self, open: OpenId) {
        match self.opens.close(open) {
            Some(Open::Reader(pipe)) => self.wake(Channel::Writable(pipe)),
            Some(Open::Writer(pipe)) => self.wake(Channel::Readable(pipe)),
            _ => {}
        }
    }
}
