//! How a process starts: its user, its environment, its program.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::applets;
use super::behaviour::Performance;
use super::init::Init;
use super::kernel::{Process, Program, State};
use super::open::Open;
use super::session::Session;
use super::shell::Shell;
use super::{MAX_PROCESSES, Pid, Processes, Spec, StartError, Stream, System};
use crate::backend::simulator::etc::INIT;
use crate::backend::simulator::files::{APPLET, Errno, Kind, View};

/// Where programs are looked for if nothing else is said.
pub(super) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Scripts that name a script that names a script.
const MAX_INTERPRETERS: usize = 4;

impl Processes {
    /// Starts a process: pid 1 if there is none yet, and otherwise one beside it.
    ///
    /// # Errors
    ///
    /// Says why it cannot be started, as an engine would.
    pub fn start(&mut self, spec: Spec, system: &mut System<'_>) -> Result<Pid, StartError> {
        let user = User::find(&system.files, &spec.user)?;
        let cwd = if spec.cwd.is_empty() { "/" } else { &spec.cwd };
        let no_folder = || StartError::NoSuchDirectory { cwd: cwd.into() };
        let cwd = system.files.canonical("/", cwd).map_err(|_| no_folder())?;
        if !system.files.is_directory("/", &cwd) {
            return Err(no_folder());
        }
        let env = environment(&spec, system.hostname, &user.home);
        (system.files.uid, system.files.gid) = (user.uid, user.gid);
        let program: Result<Box<dyn Program>, StartError> = match &spec.behaviour {
            Some(behaviour) => Ok(Box::new(Performance::new(behaviour.clone()))),
            None => {
                let path = env.iter().find_map(|entry| entry.strip_prefix("PATH="));
                load(&system.files, &cwd, path.unwrap_or(PATH), &spec.argv).map_err(|error| {
                    let file = spec.argv.first().cloned().unwrap_or_default();
                    match error {
                        LoadError::Nothing => StartError::Nothing,
                        LoadError::NotFound => StartError::NotFound { file },
                        LoadError::Denied => StartError::NotExecutable { file },
                        LoadError::Format(_) => StartError::BadFormat { file },
                    }
                })
            }
        };
        let mut argv: Arc<[String]> = spec.argv.into();
        let program: Box<dyn Program> = match (spec.init, program) {
            // What cannot be started is the init's to say.
            (true, program) => {
                let own = Init::new(program, Arc::clone(&argv));
                let before = [INIT, "--"].map(String::from);
                argv = before.into_iter().chain(argv.iter().cloned()).collect();
                Box::new(own)
            }
            (false, program) => program?,
        };
        if self.table.len() >= MAX_PROCESSES {
            return Err(StartError::TooMany);
        }
        let process = Process {
            parent: 0,
            session: 0,
            argv,
            env: env.into(),
            cwd: cwd.into(),
            uid: user.uid,
            gid: user.gid,
            umask: 0o022,
            fds: Vec::new(),
            saved: Vec::new(),
            state: State::Ready,
            stopped: false,
            background: spec.init,
            pending: 0,
            ignored: 0,
            caught: if spec.init { Init::caught() } else { 0 },
            program: Some(program),
            started: system.unix,
            fuel: 0,
        };
        let pid = self.add(process).ok_or(StartError::TooMany)?;
        let opens = match spec.tty {
            true => [Open::Terminal(pid), Open::Terminal(pid), Open::Terminal(pid)],
            false => {
                let input = if spec.open_stdin { Open::Stdin(pid) } else { Open::Null };
                [input, Open::Output(pid, Stream::Stdout), Open::Output(pid, Stream::Stderr)]
            }
        };
        let fds = opens.map(|open| Some(self.opens.add(open))).into();
        if let Some(process) = self.table.get_mut(&pid) {
            (process.fds, process.session) = (fds, pid);
        }
        let session = Session::new(spec.tty.then_some(spec.size), spec.open_stdin);
        self.sessions.insert(pid, Box::new(session));
        Ok(pid)
    }
}

/// The environment that an engine gives.
fn environment(spec: &Spec, hostname: &str, home: &str) -> Vec<String> {
    let mut env = Vec::with_capacity(spec.env.len() + 4);
    let given = |name: &str| {
        spec.env
            .iter()
            .any(|entry| entry.strip_prefix(name).is_some_and(|rest| rest.starts_with('=')))
    };
    for (name, value) in [("PATH", PATH), ("HOSTNAME", hostname)] {
        let own = spec.env.iter().rfind(|entry| entry.split('=').next() == Some(name));
        env.push(own.cloned().unwrap_or_else(|| format!("{name}={value}")));
    }
    if spec.tty && !given("TERM") {
        env.push("TERM=xterm".to_string());
    }
    let named = |entry: &&String| {
        !matches!(entry.split('=').next(), Some("PATH" | "HOSTNAME")) && entry.contains('=')
    };
    env.extend(spec.env.iter().filter(named).cloned());
    if !given("HOME") {
        env.push(format!("HOME={home}"));
    }
    env
}

/// Why a program cannot be loaded.
pub(super) enum LoadError {
    Nothing,
    NotFound,
    Denied,
    /// Neither a known program nor a script that names its interpreter; the file, which a shell tries as a script.
    Format(String),
}

/// Finds what a command line runs: an applet by its name, a script by its interpreter.
pub(super) fn load(
    files: &View<'_>,
    cwd: &str,
    path: &str,
    argv: &[String],
) -> Result<Box<dyn Program>, LoadError> {
    let mut argv = argv.to_vec();
    for _ in 0..MAX_INTERPRETERS {
        let name = argv.first().filter(|name| !name.is_empty());
        let name =
            name.ok_or(if argv.is_empty() { LoadError::Nothing } else { LoadError::NotFound })?;
        let file = find(files, cwd, path, name)?;
        let node = files.node(cwd, &file, true).map_err(|_| LoadError::NotFound)?;
        let Kind::File(content) = &node.kind else { return Err(LoadError::Denied) };
        if content.starts_with(b"#!") && content.as_slice() != APPLET {
            let line = content[2..].split(|byte| *byte == b'\n').next().unwrap_or_default();
            let line = String::from_utf8_lossy(&line[..line.len().min(256)]).trim().to_string();
            let (interpreter, option) = match line.split_once([' ', '\t']) {
                Some((interpreter, option)) => (interpreter, Some(option.trim().to_string())),
                None => (line.as_str(), None),
            };
            let mut next = Vec::from([interpreter.to_string()]);
            next.extend(option);
            next.push(file);
            next.extend(argv.drain(1..));
            argv = next;
            continue;
        }
        let binary = content.as_slice() == APPLET || content.starts_with(b"\x7fELF");
        if !binary {
            return Err(LoadError::Format(file));
        }
        let program = file.rsplit('/').next().unwrap_or_default();
        return run(program, argv).ok_or(LoadError::Format(file));
    }
    Err(LoadError::Format(argv.swap_remove(0)))
}

/// The applet of that name, with the words of its command line.
pub(super) fn run(name: &str, mut argv: Vec<String>) -> Option<Box<dyn Program>> {
    match name {
        "sh" | "ash" | "bash" | "dash" => Some(Box::new(Shell::from_args(argv))),
        "busybox" if argv.len() > 1 => {
            argv.remove(0);
            let name = argv[0].rsplit('/').next().unwrap_or_default().to_string();
            if name == "busybox" && argv.len() > 1 { None } else { run(&name, argv) }
        }
        _ => applets::program(name, argv),
    }
}

/// The file that a command's name means.
pub(super) fn find(
    files: &View<'_>,
    cwd: &str,
    path: &str,
    name: &str,
) -> Result<String, LoadError> {
    let check = |file: &str| {
        let node = files.node(cwd, file, true).map_err(|error| match error {
            Errno::Access => LoadError::Denied,
            _ => LoadError::NotFound,
        })?;
        if node.is_directory() || files.allowed(&node.meta, 1).is_err() {
            return Err(LoadError::Denied);
        }
        Ok(String::from(file))
    };
    if name.contains('/') {
        return check(name);
    }
    let mut worst = LoadError::NotFound;
    for folder in path.split(':') {
        let folder = if folder.is_empty() { "." } else { folder };
        match check(&format!("{}/{name}", folder.trim_end_matches('/'))) {
            Ok(file) => return Ok(file),
            // A folder of that name is no program, and not worth a word.
            Err(LoadError::Denied) if !files.is_directory(cwd, &format!("{folder}/{name}")) => {
                worst = LoadError::Denied;
            }
            Err(_) => {}
        }
    }
    Err(worst)
}

/// Who a process acts as.
struct User {
    uid: u32,
    gid: u32,
    home: Arc<str>,
}

impl User {
    fn find(files: &View<'_>, spec: &str) -> Result<Self, StartError> {
        let read =
            |path| files.read("/", path).map(|text| String::from_utf8_lossy(&text).into_owned());
        let passwd = read("/etc/passwd").unwrap_or_default();
        let (name, group) = match spec.split_once(':') {
            Some((name, group)) => (name, Some(group)),
            None => (spec, None),
        };
        let name = if name.is_empty() { "0" } else { name };
        let entry = |line: &&str| {
            let mut fields = line.split(':');
            fields.next() == Some(name) || fields.nth(1) == Some(name)
        };
        let known = passwd.lines().find(entry).map(|line| line.split(':').collect::<Vec<_>>());
        let field = |index: usize| known.as_ref().and_then(|fields| fields.get(index));
        let number = |index| field(index).and_then(|text| text.parse().ok());
        let Some(uid) = number(2).or_else(|| name.parse().ok()) else {
            return Err(StartError::NoSuchUser { user: name.into() });
        };
        let gid = match group.filter(|group| !group.is_empty()) {
            None => number(3).unwrap_or(0),
            Some(group) => {
                let groups = read("/etc/group").unwrap_or_default();
                let line = groups.lines().find(|line| line.split(':').next() == Some(group));
                line.and_then(|line| line.split(':').nth(2)?.parse().ok())
                    .or_else(|| group.parse().ok())
                    .ok_or_else(|| StartError::NoSuchGroup { group: group.into() })?
            }
        };
        let home = field(5).filter(|home| !home.is_empty()).map_or("/", |home| home);
        Ok(Self { uid, gid, home: home.into() })
    }
}
