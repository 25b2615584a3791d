//! The whole of a daemon but for its runtime.

use std::env;
use std::fmt::Write as _;
use std::io;
use std::process::ExitCode;

use libswarm::address::{Address, Discoverd};
use libswarm::backend::Registry;
use libswarm::docker::routes::{self, Route};
use libswarm::node::Config;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::cli::{DEFAULT_ADDRESS, DEFAULT_TLS_ADDRESS, Options, TLS_PORT};
use crate::discovery::{Discovery, say_where};
use crate::group;
use crate::listen::{Listener, Serves};
use crate::logging::{self, print, say, say_error};
use crate::server::{Server, ServerBuilder};
use crate::signals::{self, Files};
use crate::stop::stopper;

/// Runs `swarmd`: reads the command line, listens, and hands the rest to `run`, which returns when it has stopped.
///
/// `runtime` is what `--version` calls the runtime. `registry` holds the backends that `--backend` can name.
///
/// SIGTERM and SIGINT stop the server; a second one ends the process with 128 and the signal's number. A system call of the
/// runtime's may be interrupted by them. The exit code is 0 after a stop that was asked for, 1 when the daemon could not
/// start or run, 2 when the command line is not understood. `--help`, `--version` and `--routes` print to stdout.
pub fn daemon(
    runtime: &str,
    mut registry: Registry,
    run: impl FnOnce(Server) -> io::Result<()>,
) -> ExitCode {
    // Only a registry that has `forward` gets the one that knows where this machine's clients look for their engine.
    if registry.kinds().any(|(name, ..)| name == "forward")
        && let Some(words) = usual_engine(|name| env::var(name).ok())
    {
        registry.add_forward(words);
    }
    let options = match Options::parse(runtime, &registry, env::args_os()) {
        Ok(options) => options,
        Err(error) => {
            // Help that nobody reads is no failure.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    if options.routes {
        print(&columns(routes::table()), "");
        return ExitCode::SUCCESS;
    }
    logging::start(options.log_level, options.log_format);
    match start(&options, registry).and_then(|server| run(server).map_err(|e| e.to_string())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say_error(&error);
            ExitCode::FAILURE
        }
    }
}

/// Where this machine's clients look for their engine, as words of `forward`: docker's own command goes by the same
/// variables, and takes no notice of those for TLS where there is none.
fn usual_engine(variable: impl Fn(&str) -> Option<String>) -> Option<Vec<String>> {
    let set = |name| variable(name).filter(|value| !value.is_empty());
    let host = set("DOCKER_HOST")?;
    let tls = if !host.starts_with("tcp://") {
        None
    } else if set("DOCKER_TLS_VERIFY").is_some() {
        Some("--tlsverify")
    } else {
        set("DOCKER_TLS").map(|_| "--tls")
    };
    Some(tls.map(str::to_owned).into_iter().chain([host]).collect())
}

fn start(options: &Options, registry: Registry) -> Result<Server, String> {
    let files = Files::default();
    let (stopper, stopped) = stopper().map_err(|error| format!("cannot start: {error}"))?;
    signals::handle(stopper, options.shutdown_timeout, files.clone())
        .map_err(|error| format!("signals cannot be handled: {error}"))?;
    raise_file_limit();

    let mut config = Config::default();
    config.shutdown_timeout = options.shutdown_timeout;
    let mut builder = ServerBuilder::new(registry).config(config);
    for line in options.backends() {
        builder = builder.backend(line);
    }
    let mut discovery = None;
    for address in addresses(&options.addresses, options.tls.is_some())? {
        builder = match address {
            Frontend::Address(address) => builder.listen(address),
            Frontend::Inherited(name) => builder.listen_inherited(name),
            Frontend::Discovery(frontend) => {
                match &discovery {
                    Some(before) if *before != frontend.settings => {
                        return Err(format!(
                            "{frontend} has other settings than the discoverd:// address before it: there is one \
                             store, so say the same"
                        ));
                    }
                    _ => discovery = Some(frontend.settings),
                }
                builder.listen_discovery(frontend.address)
            }
        };
    }
    if let Some(settings) = discovery {
        let external_address = env::var("EXTERNAL_IP").ok();
        builder = builder.discovery(Discovery { settings, external_address });
    }
    if let Some(group) = &options.group {
        builder = builder.group(group::number(group)?);
    }
    if let Some(tls) = &options.tls {
        builder = builder.tls(tls.clone());
    }
    let server = builder.build(stopped).map_err(|error| error.to_string())?;
    files.set(server.listeners.iter().filter_map(Listener::file).collect());
    if server.certificates.are_used() {
        signals::renew_on_hangup(server.certificates.clone())
            .map_err(|error| format!("SIGHUP cannot be handled: {error}"))?;
    }

    if options.show_secrets_in_vain() {
        log::warn!("--show-secrets is of no use without --backend debug");
    }
    for listener in &server.listeners {
        let is_docker = listener.serves() == Serves::Docker;
        if is_docker && listener.is_open_to_others() && !listener.verifies() {
            log::warn!("{}", exposed(listener.address(), listener.is_encrypted()));
        }
    }
    say_where(&server);
    if options.addresses.is_empty() {
        say(match &options.tls {
            None => format!("to use it: export DOCKER_HOST={DEFAULT_ADDRESS}"),
            Some(tls) => {
                let mode = if tls.verify { "DOCKER_TLS_VERIFY" } else { "DOCKER_TLS" };
                format!("to use it: export DOCKER_HOST={DEFAULT_TLS_ADDRESS} {mode}=1")
            }
        });
    }
    Ok(server)
}

/// Where connections come from.
#[derive(PartialEq, Eq, Debug)]
enum Frontend {
    Address(Address),
    /// `fd://` and a name.
    Inherited(String),
    Discovery(Box<Discoverd>),
}

fn addresses(given: &[String], tls: bool) -> Result<Vec<Frontend>, String> {
    let default = [if tls { DEFAULT_TLS_ADDRESS } else { DEFAULT_ADDRESS }.to_owned()];
    let given = if given.is_empty() { &default } else { given };
    let parse = |text: &String| match text.strip_prefix("fd://") {
        // dockerd knows both spellings.
        Some("*") => Ok(Frontend::Inherited(String::new())),
        Some(name) => Ok(Frontend::Inherited(name.to_owned())),
        None if text.starts_with("discoverd://") => {
            text.parse().map(Box::new).map(Frontend::Discovery)
        }
        None if tls => Address::with_default_port(text, TLS_PORT).map(Frontend::Address),
        None => text.parse().map(Frontend::Address),
    };
    given.iter().map(|text| parse(text).map_err(|error| error.to_string())).collect()
}

/// The warning that dockerd gives for an endpoint that others can use.
fn exposed(address: &Address, encrypted: bool) -> String {
    let address = address.to_string();
    let host = address.strip_prefix("tcp://").unwrap_or(&address);
    let how = if encrypted {
        format!("https://{host} to everybody who can reach it")
    } else {
        format!("http://{host} without encryption")
    };
    format!(
        "API is accessible on {how}. Access to it is equivalent to root access on the host: use \
         --tlsverify, or listen on a loopback address or a unix socket"
    )
}

/// Each connection takes a file descriptor, and the soft limit is low for the sake of programs that use select(2).
pub(crate) fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        log::warn!("the limit of open files stays at {:?}: {error}", limit.current);
    }
}

fn columns(table: &[Route]) -> String {
    let rows = table.iter().map(|route| (route, route.since.to_string()));
    let method = table.iter().map(|route| route.method.len()).max().unwrap_or(0);
    let path = table.iter().map(|route| route.path.len()).max().unwrap_or(0);
    let job = table.iter().map(|route| route.job.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (route, since) in rows {
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{:method$} {:path$} {:job$} {since}",
            route.method, route.path, route.job
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_addresses_there_is_one_that_others_cannot_reach() {
        for (tls, port) in [(false, 4242), (true, 2376)] {
            let address = Address::Tcp { host: "localhost".into(), port };
            assert_eq!(addresses(&[], tls).unwrap(), [Frontend::Address(address)]);
        }
    }

    #[test]
    fn tls_has_a_port_of_its_own() {
        let given = [
            "tcp://[::1]",
            "tcp://h:1",
            "discoverd://h:1?store=memory",
            "fd://",
            "fd://*",
            "fd://name",
        ]
        .map(String::from);
        let all: Vec<String> = addresses(&given, true)
            .unwrap()
            .into_iter()
            .map(|frontend| match frontend {
                Frontend::Address(address) => address.to_string(),
                Frontend::Inherited(name) => format!("inherited {name:?}"),
                Frontend::Discovery(frontend) => frontend.to_string(),
            })
            .collect();
        let inherited = ["inherited \"\"", "inherited \"\"", "inherited \"name\""];
        assert_eq!(
            all,
            [&["tcp://[::1]:2376", "tcp://h:1", "discoverd://h:1"][..], &inherited].concat()
        );
        assert!(addresses(&given, false).unwrap_err().contains("it has no port"));
    }

    #[test]
    fn the_usual_engine_is_dockers() {
        let engine = |set: &[(&str, &str)]| {
            usual_engine(|name| {
                let found = set.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| (*value).to_owned())
            })
            .map(|words| words.join(" "))
        };
        let (verify, tls) = (("DOCKER_TLS_VERIFY", "1"), ("DOCKER_TLS", "1"));
        for (host, variables, expected) in [
            ("tcp://h:1", &[][..], Some("tcp://h:1")),
            ("tcp://h:1", &[verify][..], Some("--tlsverify tcp://h:1")),
            ("tcp://h:1", &[tls][..], Some("--tls tcp://h:1")),
            ("tcp://h:1", &[tls, verify][..], Some("--tlsverify tcp://h:1")),
            ("tcp://h:1", &[("DOCKER_TLS_VERIFY", "")][..], Some("tcp://h:1")),
            ("unix://a", &[verify][..], Some("unix://a")),
            ("", &[verify][..], None),
        ] {
            let set = [&[("DOCKER_HOST", host)], variables].concat();
            assert_eq!(engine(&set).as_deref(), expected, "{set:?}");
        }
        assert_eq!(engine(&[verify]), None);
    }

    #[test]
    fn the_first_wrong_address_is_named() {
        let given = ["tcp://localhost:1", "/run/x.sock", "nonsense"].map(String::from);
        assert_eq!(
            addresses(&given, false).unwrap_err(),
            "wrong address \"/run/x.sock\": the prefix unix:// is missing: write unix:///run/x.sock"
        );
    }

    #[test]
    fn the_warning_names_the_endpoint() {
        let warning = exposed(&"tcp://[::]:2375".parse().unwrap(), false);
        assert!(warning.starts_with("API is accessible on http://[::]:2375 without encryption."));
        assert!(warning.contains("equivalent to root access on the host"));
        let warning = exposed(&"tcp://[::]:2376".parse().unwrap(), true);
        assert!(warning.starts_with("API is accessible on https://[::]:2376 to everybody"));
    }

    #[test]
    fn the_file_limit_is_raised_to_the_hard_one() {
        raise_file_limit();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
    }

    #[test]
    fn routes_stand_in_columns() {
        let text = columns(routes::table());
        assert_eq!(text.lines().count(), routes::table().len());
        let starts = |line: &str| {
            let path = line.find(" /").unwrap();
            let words: Vec<&str> = line.split_whitespace().collect();
            assert_eq!(words.len(), 4, "{line}");
            (path, line.rfind(words[3]).unwrap())
        };
        let first = starts(text.lines().next().unwrap());
        for line in text.lines() {
            assert_eq!(starts(line), first, "{line}");
            assert!(line.rsplit(' ').next().unwrap().starts_with("1."), "{line}");
        }
    }
}
