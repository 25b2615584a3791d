//! The whole of a daemon but for its runtime.

use std::env;
use std::fmt::Write as _;
use std::io;
use std::process::ExitCode;

use libswarm::address::Address;
use libswarm::backend::Registry;
use libswarm::docker::routes::{self, Route};
use libswarm::node::Config;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::cli::{DEFAULT_ADDRESS, Options};
use crate::listen::Listener;
use crate::logging::{self, print, say};
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
    if let Ok(host) = env::var("DOCKER_HOST")
        && !host.is_empty()
        && registry.kinds().any(|(name, ..)| name == "forward")
    {
        registry.add_forward(host);
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
    logging::start(options.log_level);
    match start(&options, registry).and_then(|server| run(server).map_err(|e| e.to_string())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(format_args!("error: {error}"));
            ExitCode::FAILURE
        }
    }
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
    for address in addresses(&options.addresses)? {
        builder = builder.listen(address);
    }
    let server = builder.build(stopped).map_err(|error| error.to_string())?;
    files.set(server.listeners.iter().filter_map(Listener::file).collect());

    if options.show_secrets_in_vain() {
        log::warn!("--show-secrets is of no use without --backend debug");
    }
    for listener in &server.listeners {
        if listener.is_open_to_others() {
            log::warn!("{}", exposed(listener.address()));
        }
    }
    for listener in &server.listeners {
        say(format_args!("listening on {}", listener.address()));
    }
    if options.addresses.is_empty() {
        say(format_args!("to use it: export DOCKER_HOST={DEFAULT_ADDRESS}"));
    }
    Ok(server)
}

fn addresses(given: &[String]) -> Result<Vec<Address>, String> {
    let default = [DEFAULT_ADDRESS.to_owned()];
    let given = if given.is_empty() { &default } else { given };
    given.iter().map(|text| text.parse::<Address>().map_err(|error| error.to_string())).collect()
}

/// The warning that dockerd gives for an endpoint that others can reach without TLS.
fn exposed(address: &Address) -> String {
    let address = address.to_string();
    let host = address.strip_prefix("tcp://").unwrap_or(&address);
    format!(
        "API is accessible on http://{host} without encryption. Access to it is equivalent to root \
         access on the host: listen on a loopback address or a unix socket, or keep others out"
    )
}

/// Each connection takes a file descriptor, and the soft limit is low for the sake of programs that use select(2).
fn raise_file_limit() {
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
        let default = addresses(&[]).unwrap();
        assert_eq!(default, [Address::Tcp { host: "localhost".into(), port: 4242 }]);
    }

    #[test]
    fn the_first_wrong_address_is_named() {
        let given = ["tcp://localhost:1", "/run/x.sock", "nonsense"].map(String::from);
        assert_eq!(
            addresses(&given).unwrap_err(),
            "wrong address \"/run/x.sock\": the prefix unix:// is missing: write unix:///run/x.sock"
        );
    }

    #[test]
    fn the_warning_names_the_endpoint() {
        let warning = exposed(&"tcp://[::]:2375".parse().unwrap());
        assert!(warning.starts_with("API is accessible on http://[::]:2375 without encryption."));
        assert!(warning.contains("equivalent to root access on the host"));
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
