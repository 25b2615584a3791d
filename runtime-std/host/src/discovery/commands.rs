//! The commands of `discoverd`: they ask a server.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode, ExitStatus};
use std::sync::mpsc::{Sender, channel};
use std::thread;

use libswarm::discovery::client::{Config, Error};
use libswarm::discovery::{Change, Member};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::iterator::Signals;

use super::cli::{Register, Task};
use crate::client::blocking::{Client, Service};
use crate::client::servers;
use crate::logging;

/// Does what a command line other than the daemon's asks for.
pub(super) fn run(task: Task) -> Result<ExitCode, String> {
    logging::start(log::LevelFilter::Info, logging::Format::Text);
    match task {
        Task::Serve(_) => Ok(ExitCode::SUCCESS),
        Task::Services { name, json } => {
            for member in service(&name)?.instances() {
                say(&if json { object(&name, &member, true) } else { member.address })?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Task::Leader { name, json, exec: None } => match service(&name)?.leader() {
            None => Ok(ExitCode::FAILURE),
            Some(leader) => {
                say(&if json { object(&name, &leader, true) } else { leader.address })?;
                Ok(ExitCode::SUCCESS)
            }
        },
        Task::Leader { name, json, exec: Some(command) } => lead(&name, json, &command),
        Task::Watch { name, json } => {
            let service = service(&name)?;
            for change in service.watch() {
                say(&if json { update(&name, &change) } else { line(&change) })?;
            }
            Err(given_up(&service))
        }
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

fn connect(mut config: Config) -> Result<Client, String> {
    config.servers = servers();
    if let Some(server) = config.servers.iter().find(|server| !is_address(server)) {
        return Err(format!(
            "DISCOVERD names {server:?}, which is no server's address: use HOST:PORT, with commas between several"
        ));
    }
    Client::with(config).map_err(text)
}

fn is_address(server: &str) -> bool {
    server.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok()
    })
}

/// A service, once all its instances are known.
fn service(name: &str) -> Result<Service, String> {
    connect(Config::default())?.service(name).map_err(text)
}

/// Why a service is not followed any more.
fn given_up(service: &Service) -> String {
    text(service.error().unwrap_or(Error::Closed))
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn text(error: Error) -> String {
    error.to_string()
}

/// Runs `command` at each new leader.
fn lead(name: &str, json: bool, command: &OsStr) -> Result<ExitCode, String> {
    let service = service(name)?;
    for leader in service.leaders() {
        if json {
            say(&object(name, &leader, true))?;
        }
        let status = Command::new("sh")
            .arg("-c")
            .arg(command)
            .env("DISCOVERD_LEADER", &leader.address)
            .status()
            .map_err(|error| format!("sh cannot be run: {error}"))?;
        if !status.success() {
            log::warn!("the command for leader {} ended with {status}", shown(&leader.address));
        }
    }
    Err(given_up(&service))
}

/// What a registration waits for.
enum Awaited {
    /// It leads.
    Leads,
    /// Nobody tells any more who leads, for this reason.
    GivenUp(String),
    /// The program has ended.
    Ended(io::Result<ExitStatus>),
    /// This process got a signal.
    Signal(i32),
}

fn keep_registered(register: &Register) -> Result<ExitCode, String> {
    let mut config = Config::default();
    config.heartbeat = register.heartbeat;
    let client = connect(config)?;
    let attributes = register.attributes.iter().flatten().map(|(k, v)| (&**k, &**v));
    let registration =
        client.register(&register.name, &register.address, attributes).map_err(text)?;
    let (tell, awaited) = channel();
    pass_signals(&tell)?;
    let code = (|| {
        if register.standby {
            let service = client.service(&register.name).map_err(text)?;
            let (tell, address) = (tell.clone(), registration.address());
            spawn("standby", move || {
                let leads = service.leaders().any(|leader| leader.address == address);
                let heard =
                    if leads { Awaited::Leads } else { Awaited::GivenUp(given_up(&service)) };
                let _ = tell.send(heard);
            })?;
            match awaited.recv() {
                Ok(Awaited::Leads) => {}
                Ok(Awaited::GivenUp(why)) => return Err(why),
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
                Ok(Awaited::Leads | Awaited::GivenUp(_)) => {}
                Err(_) => return Ok(ExitCode::FAILURE),
            }
        }
    })();
    registration.close();
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
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), String> {
    let thread = thread::Builder::new().name(name.to_owned()).spawn(work);
    thread.map(drop).map_err(|error| format!("no thread to go on with: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(attributes: &[(&str, &str)]) -> Member {
        let attributes = attributes.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        Member { address: "a:80".into(), attributes: Some(attributes.collect()), created: 7 }
    }

    #[test]
    fn servers_are_hosts_with_ports() {
        for good in ["localhost:1111", "127.0.0.1:1", "[::1]:1111"] {
            assert!(is_address(good), "{good}");
        }
        for bad in ["localhost", "http://localhost:1111", "localhost:http", ":1111", "a:99999"] {
            assert!(!is_address(bad), "{bad}");
        }
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
