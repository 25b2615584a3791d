//! The commands of `discoverd`: they ask a server.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode, ExitStatus};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use libswarm::discovery::{Change, Member, ServiceSet};
use libswarm::rpc::{Args, ClientEvent, Method};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;

use super::cli::{Register, Task};
use super::client::{Connection, server};
use crate::logging;

/// A lost server is looked for so often.
const REDIAL: Duration = Duration::from_secs(1);

/// Does what a command line other than the daemon's asks for.
pub(super) fn run(task: Task) -> Result<ExitCode, String> {
    logging::start(log::LevelFilter::Info, logging::Format::Text);
    match task {
        Task::Serve(_) => Ok(ExitCode::SUCCESS),
        Task::Services { name, json } => {
            let set = current(&name)?;
            for member in set.members() {
                say(&if json { object(&name, member, true) } else { member.address.clone() })?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Task::Leader { name, json, exec: None } => match current(&name)?.leader() {
            None => Ok(ExitCode::FAILURE),
            Some(leader) => {
                say(&if json { object(&name, leader, true) } else { leader.address.clone() })?;
                Ok(ExitCode::SUCCESS)
            }
        },
        Task::Leader { name, json, exec: Some(command) } => lead(&name, json, &command),
        Task::Watch { name, json } => follow(&name, &mut |_, change| {
            say(&if json { update(&name, change) } else { line(change) })?;
            Ok(None)
        }),
        Task::Register(register) => keep_registered(&register),
    }
}

/// Prints a line. A reader that has gone is a reason to end, and not to say so.
fn say(line: &str) -> Result<(), String> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{line}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        written => written.map_err(|error| format!("stdout cannot be written to: {error}")),
    }
}

/// What a person reads: a sign, the address, the attributes.
fn line(change: &Change) -> String {
    let (sign, member) = match change {
        Change::Came(member) => ('+', member),
        Change::Changed(member) => ('~', member),
        Change::Gone(member) => return format!("- {}", shown(&member.address)),
        Change::Current => return "=".to_owned(),
    };
    let mut line = format!("{sign} {}", shown(&member.address));
    for (key, value) in member.attributes.iter().flatten() {
        line.push_str(&format!(" {}={}", shown(key), shown(value)));
    }
    line
}

/// A line is a line whatever an attribute holds, and drives no terminal.
fn shown(text: &str) -> String {
    let mut shown = String::new();
    for character in text.chars() {
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// The update object of the RPC.
fn update(name: &str, change: &Change) -> String {
    match change {
        Change::Came(member) | Change::Changed(member) => object(name, member, true),
        Change::Gone(member) => object(name, member, false),
        Change::Current => {
            let nobody = Member { address: String::new(), attributes: None, created: 0 };
            object("", &nobody, false)
        }
    }
}

fn object(name: &str, member: &Member, online: bool) -> String {
    let text = |text: &str| serde_json::Value::from(text).to_string();
    let attributes = match &member.attributes {
        Some(attributes) if online => serde_json::json!(attributes).to_string(),
        _ => "null".to_owned(),
    };
    let created = if online { member.created } else { 0 };
    format!(
        "{{\"Name\":{},\"Addr\":{},\"Online\":{online},\"Attrs\":{attributes},\"Created\":{created}}}",
        text(name),
        text(&member.address)
    )
}

fn unreachable(server: &str, error: &io::Error) -> String {
    format!(
        "no discoverd at {server}: {error}; start one, or say where it is with DISCOVERD=HOST:PORT"
    )
}

/// A service as it is now.
fn current(name: &str) -> Result<ServiceSet, String> {
    let server = server();
    let fail = |error| unreachable(&server, &error);
    let mut connection = Connection::open(&server).map_err(fail)?;
    let args = Args { name: name.to_owned(), ..Args::default() };
    let stream = connection.call(Method::Subscribe, &args).map_err(fail)?;
    let mut set = ServiceSet::new();
    let mut marked = false;
    while !marked {
        match connection.event(None).map_err(fail)? {
            Some(ClientEvent::Update(of, update)) if of == stream => {
                set.apply(&update);
                marked = set.is_current();
            }
            Some(ClientEvent::Ended(of, result)) if of == stream => return Err(ended(result)),
            _ => {}
        }
    }
    if set.leader().is_none() {
        // A subscription that fails says so behind its marker.
        let soon = std::time::Instant::now() + Duration::from_millis(50);
        if let Ok(Some(ClientEvent::Ended(_, Err(error)))) = connection.event(Some(soon)) {
            return Err(error);
        }
    }
    Ok(set)
}

fn ended(result: Result<(), String>) -> String {
    result.err().unwrap_or_else(|| "the server has ended the subscription".to_owned())
}

/// Why a subscription is over.
enum Over {
    /// The server is gone, or wants it over.
    Lost(String),
    /// It makes no sense to try again.
    Failed(String),
}

impl From<io::Error> for Over {
    fn from(error: io::Error) -> Self {
        Self::Lost(error.to_string())
    }
}

/// What is done at each change: nothing more to do, or the end of the command.
type Each<'a, T> = &'a mut dyn FnMut(&ServiceSet, &Change) -> Result<Option<T>, String>;

/// Tells of a service's changes until `each` has had enough. A lost server is looked for until it is there again; whoever is
/// not named by it any more is gone.
fn follow<T>(name: &str, each: Each<'_, T>) -> Result<T, String> {
    let server = server();
    let args = Args { name: name.to_owned(), ..Args::default() };
    let mut set = ServiceSet::new();
    let mut connection = Connection::open(&server).map_err(|error| unreachable(&server, &error))?;
    loop {
        match listen(&mut connection, &args, &mut set, each) {
            Ok(done) => return Ok(done),
            Err(Over::Failed(error)) => return Err(error),
            Err(Over::Lost(reason)) => log::warn!("lost discoverd at {server}: {reason}"),
        }
        // Before another one is looked for: the server may wait for the end of this one.
        drop(connection);
        connection = redial(&server);
        log::info!("found discoverd at {server} again");
    }
}

fn redial(server: &str) -> Connection {
    loop {
        thread::sleep(REDIAL);
        if let Ok(connection) = Connection::open(server) {
            return connection;
        }
    }
}

fn listen<T>(
    connection: &mut Connection,
    args: &Args,
    set: &mut ServiceSet,
    each: Each<'_, T>,
) -> Result<T, Over> {
    let stream = connection.call(Method::Subscribe, args)?;
    set.restart();
    loop {
        match connection.event(None)? {
            Some(ClientEvent::Update(of, update)) if of == stream => {
                for change in set.apply(&update) {
                    if let Some(done) = each(set, &change).map_err(Over::Failed)? {
                        return Ok(done);
                    }
                }
            }
            Some(ClientEvent::Ended(of, Err(error))) if of == stream => {
                return Err(Over::Failed(error));
            }
            Some(ClientEvent::Ended(of, Ok(()))) if of == stream => {
                return Err(Over::Lost("it has ended the subscription".to_owned()));
            }
            _ => {}
        }
    }
}

/// Runs `command` at each new leader.
fn lead(name: &str, json: bool, command: &OsStr) -> Result<ExitCode, String> {
    let mut leader: Option<(String, u64)> = None;
    follow(name, &mut |set, _| {
        if !set.is_current() {
            return Ok(None);
        }
        let now = set.leader().map(|member| (member.address.clone(), member.created));
        if now == leader {
            return Ok(None);
        }
        leader = now;
        if let Some(member) = set.leader() {
            if json {
                say(&object(name, member, true))?;
            }
            let status = Command::new("sh")
                .arg("-c")
                .arg(command)
                .env("DISCOVERD_LEADER", &member.address)
                .status()
                .map_err(|error| format!("sh cannot be run: {error}"))?;
            if !status.success() {
                log::warn!("the command for leader {} ended with {status}", shown(&member.address));
            }
        }
        Ok(None)
    })
}

/// What a registration waits for.
enum Awaited {
    /// It leads.
    Leads(Result<(), String>),
    /// The program has ended.
    Ended(io::Result<ExitStatus>),
    /// This process got a signal.
    Signal(i32),
}

fn keep_registered(register: &Register) -> Result<ExitCode, String> {
    let server = server();
    let args = Args {
        name: register.name.clone(),
        address: register.address.clone(),
        attributes: register.attributes.clone(),
    };
    let mut connection = Connection::open(&server).map_err(|error| unreachable(&server, &error))?;
    let address = loop {
        match connection.ask(Method::Register, &args) {
            Ok(answer) => break answer?,
            Err(error) => {
                log::warn!("lost discoverd at {server}: {error}");
                drop(connection);
                connection = redial(&server);
            }
        }
    };
    let heartbeat = Heartbeat::start(connection, server, args, register.heartbeat)?;
    let (tell, awaited) = channel();
    pass_signals(&tell)?;
    let code = (|| {
        if register.standby {
            let (tell, name) = (tell.clone(), register.name.clone());
            spawn("standby", move || {
                let leads = follow(&name, &mut |set, _| {
                    let leads = set.leader().is_some_and(|leader| leader.address == address);
                    Ok((set.is_current() && leads).then_some(()))
                });
                let _ = tell.send(Awaited::Leads(leads));
            })?;
            match awaited.recv() {
                Ok(Awaited::Leads(result)) => result?,
                Ok(Awaited::Signal(signal)) => return Ok(killed(signal)),
                _ => return Ok(ExitCode::FAILURE),
            }
        }
        let Some((program, args)) = register.command.split_first() else {
            return Ok(match awaited.recv() {
                Ok(Awaited::Signal(_)) => ExitCode::SUCCESS,
                _ => ExitCode::FAILURE,
            });
        };
        let mut child = Command::new(program)
            .args(args)
            .spawn()
            .map_err(|error| format!("{} cannot be run: {error}", program.display()))?;
        let pid = Pid::from_child(&child);
        spawn("wait", move || _ = tell.send(Awaited::Ended(child.wait())))?;
        loop {
            match awaited.recv() {
                Ok(Awaited::Signal(signal)) => {
                    // It fails only for one that has just ended.
                    if let Some(signal) = Signal::from_named_raw(signal) {
                        let _ = kill_process(pid, signal);
                    }
                }
                Ok(Awaited::Ended(Ok(status))) => return Ok(code(status)),
                Ok(Awaited::Ended(Err(error))) => {
                    return Err(format!("the program cannot be waited for: {error}"));
                }
                Ok(Awaited::Leads(_)) => {}
                Err(_) => return Ok(ExitCode::FAILURE),
            }
        }
    })();
    heartbeat.stop();
    code
}

/// As a shell says it.
fn code(status: ExitStatus) -> ExitCode {
    match (status.code(), status.signal()) {
        (Some(code), _) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        (None, Some(signal)) => killed(signal),
        (None, None) => ExitCode::FAILURE,
    }
}

fn killed(signal: i32) -> ExitCode {
    ExitCode::from(u8::try_from(128 + signal).unwrap_or(1))
}

fn pass_signals(tell: &Sender<Awaited>) -> Result<(), String> {
    let all = [SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2];
    let mut signals =
        Signals::new(all).map_err(|error| format!("signals cannot be handled: {error}"))?;
    let tell = tell.clone();
    spawn("signals", move || {
        for signal in signals.forever() {
            if tell.send(Awaited::Signal(signal)).is_err() {
                return;
            }
        }
    })
    .map(drop)
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, String> {
    let thread = thread::Builder::new().name(name.to_owned());
    thread.spawn(work).map_err(|error| format!("no thread to go on with: {error}"))
}

/// Registers again and again, on a thread; a lost server is looked for until it is there again.
struct Heartbeat {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Heartbeat {
    fn start(
        mut connection: Connection,
        server: String,
        args: Args,
        every: Duration,
    ) -> Result<Self, String> {
        let (stop, stopped) = channel();
        let thread = spawn("heartbeat", move || {
            let mut wait = every;
            let mut lost = false;
            while stopped.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
                if lost {
                    match Connection::open(&server) {
                        Ok(found) => connection = found,
                        Err(_) => continue,
                    }
                }
                match connection.ask(Method::Register, &args) {
                    Ok(result) => {
                        if let Err(error) = result {
                            log::warn!("discoverd at {server} does not register this: {error}");
                        } else if lost {
                            log::info!("registered at {server} again");
                        }
                        (lost, wait) = (false, every);
                    }
                    Err(error) => {
                        if !lost {
                            log::warn!("lost discoverd at {server}: {error}");
                        }
                        connection.shut();
                        (lost, wait) = (true, REDIAL.min(every));
                    }
                }
            }
            // Otherwise it ends by itself, a little later.
            let _ = connection.ask(Method::Unregister, &args);
        })?;
        Ok(Self { stop, thread })
    }

    /// Ends the registration.
    fn stop(self) {
        drop(self.stop);
        // One that has panicked has said so.
        let _ = self.thread.join();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(attributes: &[(&str, &str)]) -> Member {
        let attributes = attributes.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        Member { address: "a:80".into(), attributes: Some(attributes.collect()), created: 7 }
    }

    #[test]
    fn a_change_is_a_line() {
        for (change, expected) in [
            (Change::Came(member(&[])), "+ a:80"),
            (Change::Changed(member(&[("k", "v"), ("x", "\n\u{1b}")])), "~ a:80 k=v x=\\n\\u{1b}"),
            (Change::Gone(member(&[("k", "v")])), "- a:80"),
            (Change::Current, "="),
        ] {
            assert_eq!(line(&change), expected);
        }
    }

    #[test]
    fn as_json_it_is_the_rpc_s_object() {
        for (change, expected) in [
            (
                Change::Came(member(&[("k", "\"")])),
                r#"{"Name":"web","Addr":"a:80","Online":true,"Attrs":{"k":"\""},"Created":7}"#,
            ),
            (
                Change::Gone(member(&[])),
                r#"{"Name":"web","Addr":"a:80","Online":false,"Attrs":null,"Created":0}"#,
            ),
            (Change::Current, r#"{"Name":"","Addr":"","Online":false,"Attrs":null,"Created":0}"#),
        ] {
            assert_eq!(update("web", &change), expected);
        }
    }
}
