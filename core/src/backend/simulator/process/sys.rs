//! The calls of a program: files, pipes, children, signals.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::Ipv4Addr;

use super::kernel::{Channel, Process, Processes, Program, State, System};
use super::open::{File, Open, OpenId};
use super::session::Tty;
use super::{Exit, Pid, Signal};
use crate::Instant;
use crate::backend::simulator::files::{Errno, Kind};

/// Descriptors of a process.
const MAX_FDS: usize = 64;

/// What a program does next.
pub(super) enum Step {
    /// It wants to be called again.
    Again,
    /// It waits.
    Block(Block),
    /// It is at its end.
    Exit(u8),
    /// It is another program from now on.
    Become(Box<dyn Program>),
}

/// What a process waits for: whatever comes first. Signals that it catches end the waiting, too.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Block {
    pub(super) on: Option<Channel>,
    pub(super) until: Option<Instant>,
}

/// How a file is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mode {
    Read,
    /// Made if it is not there, emptied if it is.
    Write,
    Append,
    /// Made if it is not there.
    ReadWrite,
}

/// A running program's way to all else.
pub(super) struct Sys<'s, 'a> {
    pub(super) kernel: &'s mut Processes,
    pub(super) system: &'s mut System<'a>,
    pub(super) pid: Pid,
    pub(super) fuel: u32,
}

impl Sys<'_, '_> {
    pub(super) fn process(&mut self) -> &mut Process {
        self.kernel.table.get_mut(&self.pid).expect("a program runs in its process")
    }

    /// Sends a signal, as far as pid 1 can be reached from inside: `kill -9 1` does nothing. False if there is no such process.
    pub(super) fn signal(&mut self, pid: Pid, signal: Signal) -> bool {
        if pid == 1 && matches!(signal, Signal::KILL | Signal::STOP) {
            return self.kernel.table.contains_key(&pid);
        }
        self.kernel.signal(pid, signal)
    }

    /// Whether the program has ended its own process: it is to do nothing more.
    pub(super) const fn is_killed(&self) -> bool {
        self.kernel.killed.is_some()
    }

    /// The address of a host: one of this machine, of `/etc/hosts`, or of the network.
    pub(super) fn resolve(&mut self, name: &str) -> Option<Ipv4Addr> {
        if let Ok(address) = name.parse::<Ipv4Addr>()
            && address.is_loopback()
        {
            return Some(address);
        }
        let hosts = self.system.files.read("/", "/etc/hosts").unwrap_or_default();
        let hosts = String::from_utf8_lossy(&hosts);
        let known = hosts.lines().find_map(|line| {
            let mut words = line.split_whitespace();
            let address = words.next()?.parse().ok()?;
            words.any(|word| word == name).then_some(address)
        });
        known.or_else(|| self.system.names.find(name))
    }

    /// Uses fuel; false if there was none left. Some fuel is enough for anything, so that everything goes on.
    pub(super) const fn burn(&mut self, units: u32) -> bool {
        let any = self.fuel > 0;
        self.fuel = self.fuel.saturating_sub(units);
        any
    }

    pub(super) fn cwd(&mut self) -> Arc<str> {
        self.process().cwd.clone()
    }

    /// The open file of a descriptor.
    pub(super) fn open_of(&mut self, fd: usize) -> Option<OpenId> {
        self.process().fds.get(fd).copied().flatten()
    }

    /// Reads at most `most` bytes: none at the end, `EAGAIN` if there will be some later.
    pub(super) fn read(&mut self, fd: usize, most: usize) -> Result<Vec<u8>, Errno> {
        let id = self.open_of(fd).ok_or(Errno::BadF)?;
        let opens = &mut self.kernel.opens;
        match opens.get_mut(id).ok_or(Errno::BadF)? {
            Open::File(file) if !file.readable => Err(Errno::BadF),
            Open::File(file) => {
                let node =
                    self.system.files.at(&file.place).filter(|node| node.inode == file.inode);
                let Some(content) = node.and_then(|node| node.content()) else {
                    return Ok(Vec::new());
                };
                let start = usize::try_from(file.offset).unwrap_or(usize::MAX).min(content.len());
                let end = start.saturating_add(most).min(content.len());
                file.offset = end as u64;
                Ok(content[start..end].to_vec())
            }
            Open::Text { text, offset } => {
                let end = offset.saturating_add(most).min(text.len());
                let piece = text[*offset..end].to_vec();
                *offset = end;
                Ok(piece)
            }
            Open::Folder => Err(Errno::IsDir),
            Open::Reader(pipe) => {
                let pipe = *pipe;
                let piece = opens.pipe(pipe).map_or(Some(Vec::new()), |pipe| pipe.read(most));
                let piece = piece.ok_or(Errno::Again)?;
                self.kernel.wake(Channel::Writable(pipe));
                Ok(piece)
            }
            Open::Stdin(session) | Open::Terminal(session) => {
                let session = *session;
                match self.kernel.sessions.get_mut(&session) {
                    Some(outside) => outside.read(most).ok_or(Errno::Again),
                    None => Ok(Vec::new()),
                }
            }
            Open::Null => Ok(Vec::new()),
            Open::Zero | Open::Full => Ok(alloc::vec![0; most]),
            Open::Random(state) => {
                let mut bytes = Vec::with_capacity(most);
                while bytes.len() < most {
                    bytes.push(random(state));
                }
                Ok(bytes)
            }
            Open::Writer(_) | Open::Output(..) => Err(Errno::BadF),
        }
    }

    /// Gives back what was read too far, so that the next reader has it.
    pub(super) fn unread(&mut self, fd: usize, bytes: Vec<u8>) {
        let Some(id) = self.open_of(fd) else { return };
        match self.kernel.opens.get_mut(id) {
            Some(Open::File(file)) => file.offset = file.offset.saturating_sub(bytes.len() as u64),
            Some(Open::Text { offset, .. }) => *offset = offset.saturating_sub(bytes.len()),
            Some(Open::Reader(pipe)) => {
                let pipe = *pipe;
                if let Some(pipe) = self.kernel.opens.pipe(pipe) {
                    pipe.unread(&bytes);
                }
            }
            Some(Open::Stdin(session) | Open::Terminal(session)) => {
                let session = *session;
                if let Some(session) = self.kernel.sessions.get_mut(&session) {
                    session.unread(bytes);
                }
            }
            _ => {}
        }
    }

    /// Writes: how many bytes were taken; `EAGAIN` if none fit now. Without a reader the process is sent a signal, too.
    pub(super) fn write(&mut self, fd: usize, bytes: &[u8]) -> Result<usize, Errno> {
        if self.is_killed() {
            // Whatever it still says, nobody hears.
            return Ok(bytes.len());
        }
        let id = self.open_of(fd).ok_or(Errno::BadF)?;
        if bytes.is_empty() {
            return Ok(0);
        }
        let opens = &mut self.kernel.opens;
        match opens.get_mut(id).ok_or(Errno::BadF)? {
            Open::File(file) if !file.writable => Err(Errno::BadF),
            Open::File(file) => {
                let files = &mut self.system.files;
                let node = files.at(&file.place).filter(|node| node.inode == file.inode);
                let Some(size) = node.map(|node| node.size()) else { return Ok(bytes.len()) };
                let offset = if file.append { size } else { file.offset };
                files.write_at(&file.place, offset, bytes)?;
                file.offset = offset + bytes.len() as u64;
                Ok(bytes.len())
            }
            Open::Writer(pipe) => {
                let id = *pipe;
                match opens.pipe(id) {
                    Some(pipe) if pipe.readers > 0 => {
                        let taken = pipe.write(bytes);
                        if taken == 0 {
                            return Err(Errno::Again);
                        }
                        self.kernel.wake(Channel::Readable(id));
                        Ok(taken)
                    }
                    _ => {
                        self.kernel.deliver(self.pid, Signal::PIPE);
                        Err(Errno::Pipe)
                    }
                }
            }
            Open::Output(session, stream) => {
                let (session, stream) = (*session, *stream);
                match self
                    .kernel
                    .sessions
                    .get_mut(&session)
                    .map(|outside| outside.write(stream, bytes))
                {
                    Some(0) => Err(Errno::Again),
                    Some(taken) => Ok(taken),
                    None => Ok(bytes.len()),
                }
            }
            Open::Terminal(session) => {
                let session = *session;
                let stream = super::Stream::Stdout;
                match self
                    .kernel
                    .sessions
                    .get_mut(&session)
                    .map(|outside| outside.write(stream, bytes))
                {
                    Some(0) => Err(Errno::Again),
                    Some(taken) => Ok(taken),
                    None => Ok(bytes.len()),
                }
            }
            Open::Null | Open::Zero | Open::Random(_) => Ok(bytes.len()),
            Open::Full => Err(Errno::NoSpc),
            Open::Text { .. } | Open::Folder | Open::Reader(_) | Open::Stdin(_) => Err(Errno::BadF),
        }
    }

    /// What to wait for until a descriptor can be read.
    pub(super) fn until_readable(&mut self, fd: usize) -> Block {
        let on = match self.open_of(fd).and_then(|id| self.kernel.opens.get(id)) {
            Some(Open::Reader(pipe)) => Some(Channel::Readable(*pipe)),
            Some(Open::Stdin(session) | Open::Terminal(session)) => Some(Channel::Input(*session)),
            _ => None,
        };
        Block { on, until: None }
    }

    /// What to wait for until a descriptor can be written.
    pub(super) fn until_writable(&mut self, fd: usize) -> Block {
        let on = match self.open_of(fd).and_then(|id| self.kernel.opens.get(id)) {
            Some(Open::Writer(pipe)) => Some(Channel::Writable(*pipe)),
            Some(Open::Output(session, _) | Open::Terminal(session)) => {
                Some(Channel::Output(*session))
            }
            _ => None,
        };
        Block { on, until: None }
    }

    /// Opens a file for this process, without giving it a descriptor.
    pub(super) fn open(&mut self, path: &str, mode: Mode) -> Result<OpenId, Errno> {
        let cwd = self.cwd();
        if let Some(fd) = own_descriptor(path) {
            let id = self.open_of(fd).ok_or(Errno::NoEnt)?;
            return Ok(self.kernel.opens.share(id));
        }
        let located = self.system.files.locate(&cwd, path, true);
        // Every container has these, also one whose image has no /dev.
        if let Some((major, minor)) = standard_device(path)
            && !matches!(located, Ok((_, Some(_))))
        {
            let device = self.device(major, minor)?;
            return Ok(self.kernel.opens.add(device));
        }
        let (place, node) = located?;
        let open = match node.as_deref().map(|node| (&node.kind, &node.meta)) {
            Some((Kind::Device { major, minor, .. }, _)) => self.device(*major, *minor)?,
            Some((Kind::Directory(_), _)) if mode == Mode::Read => Open::Folder,
            Some((Kind::Directory(_), _)) => return Err(Errno::IsDir),
            Some((Kind::File(_), meta)) if mode == Mode::Read => {
                self.system.files.allowed(meta, 4)?;
                Open::File(File {
                    inode: node.as_ref().map_or(0, |node| node.inode),
                    place,
                    offset: 0,
                    append: false,
                    readable: true,
                    writable: false,
                })
            }
            None if mode == Mode::Read => return Err(Errno::NoEnt),
            _ => {
                drop(node);
                let mask = self.process().umask;
                let files = &mut self.system.files;
                let place = files.create(&cwd, path, 0o666 & !mask, mode == Mode::Write)?;
                let inode = files.at(&place).map_or(0, |node| node.inode);
                let (append, readable) = (mode == Mode::Append, mode == Mode::ReadWrite);
                Open::File(File { place, inode, offset: 0, append, readable, writable: true })
            }
        };
        Ok(self.kernel.opens.add(open))
    }

    fn device(&mut self, major: u32, minor: u32) -> Result<Open, Errno> {
        let seed = u64::from(self.pid) ^ self.system.unix.as_nanos() as u64;
        Ok(match (major, minor) {
            (1, 5) => Open::Zero,
            (1, 7) => Open::Full,
            (1, 8 | 9) => Open::Random(seed),
            (5, 0 | 1) => {
                let session = self.process().session;
                let tty =
                    self.kernel.sessions.get(&session).is_some_and(|outside| outside.tty.is_some());
                if !tty {
                    return Err(Errno::NoEnt);
                }
                Open::Terminal(session)
            }
            _ => Open::Null,
        })
    }

    /// Opens a file under the lowest free descriptor.
    pub(super) fn open_fd(&mut self, path: &str, mode: Mode) -> Result<usize, Errno> {
        let id = self.open(path, mode)?;
        let fds = &mut self.process().fds;
        let fd = fds.iter().position(Option::is_none).unwrap_or(fds.len());
        match self.install(fd, id) {
            Ok(()) => Ok(fd),
            Err(error) => Err(error),
        }
    }

    /// Gives an open file this descriptor; what had it is closed.
    pub(super) fn install(&mut self, fd: usize, id: OpenId) -> Result<(), Errno> {
        if fd >= MAX_FDS {
            self.kernel.close(id);
            return Err(Errno::MFile);
        }
        let fds = &mut self.process().fds;
        if fds.len() <= fd {
            fds.resize(fd + 1, None);
        }
        if let Some(old) = fds[fd].replace(id) {
            self.kernel.close(old);
        }
        Ok(())
    }

    /// Closes a descriptor.
    pub(super) fn close(&mut self, fd: usize) {
        if let Some(id) = self.process().fds.get_mut(fd).and_then(Option::take) {
            self.kernel.close(id);
        }
    }

    /// Keeps text where it can be read as a file.
    pub(super) fn text(&mut self, text: &[u8]) -> OpenId {
        self.kernel.opens.add(Open::Text { text: text.into(), offset: 0 })
    }

    /// A pipe: where to read from and where to write to.
    pub(super) fn pipe(&mut self) -> (OpenId, OpenId) {
        let pipe = self.kernel.opens.add_pipe();
        (self.kernel.opens.add(Open::Reader(pipe)), self.kernel.opens.add(Open::Writer(pipe)))
    }

    /// Starts a child with this process's files, folder and user. `files` are descriptors that are others in the child; their
    /// counts stay those of this process.
    pub(super) fn fork(
        &mut self,
        program: Box<dyn Program>,
        argv: Option<Arc<[String]>>,
        files: &[(usize, OpenId)],
    ) -> Result<Pid, Errno> {
        let (pid, started) = (self.pid, self.system.unix);
        let me = self.process();
        let mut fds = me.fds.clone();
        for (fd, id) in files {
            if fds.len() <= *fd {
                fds.resize(fd + 1, None);
            }
            fds[*fd] = Some(*id);
        }
        let child = Process {
            parent: pid,
            session: me.session,
            argv: argv.unwrap_or_else(|| me.argv.clone()),
            env: me.env.clone(),
            cwd: me.cwd.clone(),
            uid: me.uid,
            gid: me.gid,
            umask: me.umask,
            fds: fds.clone(),
            saved: Vec::new(),
            state: State::Ready,
            stopped: false,
            background: me.background,
            pending: 0,
            ignored: me.ignored,
            caught: 0,
            program: Some(program),
            started,
            fuel: 0,
        };
        let child = self.kernel.add(child).ok_or(Errno::Again)?;
        for id in fds.into_iter().flatten() {
            self.kernel.opens.share(id);
        }
        Ok(child)
    }

    /// A child, to be changed before it runs.
    pub(super) fn child(&mut self, pid: Pid) -> Option<&mut Process> {
        self.kernel.table.get_mut(&pid).map(|process| &mut **process)
    }

    /// How a child has ended, which is forgotten then; `ESRCH` if there is no such child, `EAGAIN` if it has not ended.
    pub(super) fn wait(&mut self, child: Pid) -> Result<Exit, Errno> {
        let me = self.pid;
        match self
            .kernel
            .table
            .get(&child)
            .filter(|process| process.parent == me)
            .map(|child| &child.state)
        {
            None => Err(Errno::Srch),
            Some(State::Zombie(exit)) => {
                let exit = *exit;
                self.kernel.table.remove(&child);
                Ok(exit)
            }
            Some(_) => Err(Errno::Again),
        }
    }

    /// Waits for a child to end.
    pub(super) const fn until_child() -> Step {
        Step::Block(Block { on: Some(Channel::Child), until: None })
    }

    /// A signal that has come and that this process catches.
    pub(super) fn take_signal(&mut self) -> Option<Signal> {
        let process = self.process();
        let number = process.pending.trailing_zeros();
        let signal = Signal::new(u8::try_from(number + 1).ok()?)?;
        process.pending &= !signal.bit();
        Some(signal)
    }

    /// The terminal behind a descriptor.
    pub(super) fn tty(&mut self, fd: usize) -> Option<&mut Tty> {
        let session = match self.open_of(fd).and_then(|id| self.kernel.opens.get(id)) {
            Some(Open::Terminal(session)) => *session,
            _ => return None,
        };
        self.kernel.sessions.get_mut(&session)?.tty.as_deref_mut()
    }

    /// A variable of the environment.
    pub(super) fn env(&mut self, name: &str) -> Option<String> {
        let find = |entry: &String| Some(entry.strip_prefix(name)?.strip_prefix('=')?.into());
        self.process().env.iter().find_map(find)
    }
}

/// The descriptor that a path such as `/dev/fd/2` names.
fn own_descriptor(path: &str) -> Option<usize> {
    match path {
        "/dev/stdin" => Some(0),
        "/dev/stdout" => Some(1),
        "/dev/stderr" => Some(2),
        _ => path
            .strip_prefix("/dev/fd/")
            .or_else(|| path.strip_prefix("/proc/self/fd/"))?
            .parse()
            .ok(),
    }
}

/// The numbers of the devices that an engine gives to every container.
fn standard_device(path: &str) -> Option<(u32, u32)> {
    Some(match path {
        "/dev/null" => (1, 3),
        "/dev/zero" => (1, 5),
        "/dev/full" => (1, 7),
        "/dev/random" => (1, 8),
        "/dev/urandom" => (1, 9),
        "/dev/tty" => (5, 0),
        _ => return None,
    })
}

/// The next byte of a sequence (splitmix64).
fn random(state: &mut u64) -> u8 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed >> 56) as u8
}
