//! The whole of `discoverd` but for its runtime.

use std::env;
use std::io;
use std::process::ExitCode;

use libswarm::address::{Address, StoreKind};
use libswarm::backend::Registry;
use libswarm::node::Config;

use super::cli::{Serve, Task};
use super::{Discovery, commands};
use crate::daemon::raise_file_limit;
use crate::listen::Listener;
use crate::logging::{self, say, say_error};
use crate::server::{Server, ServerBuilder};
use crate::signals::{self, Files};
use crate::stop::stopper;

/// Runs `discoverd`: reads the command line, and does what it says. As the server it listens and hands the rest to `run`,
/// which returns when it has stopped.
///
/// `runtime` is what `--version` calls the runtime. Exit codes and signals are those of [`daemon`](crate::daemon); those of
/// commands are their own.
pub fn discoverd(runtime: &str, run: impl FnOnce(Server) -> io::Result<()>) -> ExitCode {
    let task = match Task::parse(runtime, env::args_os()) {
        Ok(task) => task,
        Err(error) => {
            // Help that nobody reads is no failure.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let result = match task {
        Task::Serve(options) => {
            logging::start(options.log_level, options.log_format);
            start(&options).and_then(|server| run(server).map_err(|error| error.to_string()))
        }
        command => match commands::run(command) {
            Ok(code) => return code,
            Err(error) => Err(error),
        },
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say_error(&error);
            ExitCode::FAILURE
        }
    }
}

fn start(options: &Serve) -> Result<Server, String> {
    let address = address(&options.bind)?;
    let files = Files::default();
    let (stopper, stopped) = stopper().map_err(|error| format!("cannot start: {error}"))?;
    let config = Config::default();
    signals::handle(stopper, config.shutdown_timeout, files)
        .map_err(|error| format!("signals cannot be handled: {error}"))?;
    raise_file_limit();
    let discovery = Discovery {
        settings: options.settings.clone(),
        external_address: env::var("EXTERNAL_IP").ok(),
    };
    let server = ServerBuilder::new(Registry::empty())
        .config(config)
        .listen_discovery(address)
        .discovery(discovery)
        .build(stopped)
        .map_err(|error| error.to_string())?;
    say_where(&server);
    if let Some(etcd) = &options.settings.etcd {
        say(format_args!("registrations are kept in etcd at {etcd}"));
    }
    if let Some(zookeeper) = &options.settings.zookeeper {
        say(format_args!("registrations are kept in ZooKeeper at {zookeeper}"));
    }
    if options.settings.store == StoreKind::Memory {
        say("nothing is kept on disk: registrations end with this process");
    }
    Ok(server)
}

/// Says where a server listens, and what others should not reach.
pub(crate) fn say_where(server: &Server) {
    for listener in server.listeners.iter().filter(|it| it.is_open_discovery()) {
        log::warn!(
            "everybody who can reach {listener} can register and unregister services there: listen on a \
             loopback address, or keep others out"
        );
    }
    let forwards = server.dns.as_ref().is_some_and(|dns| !dns.config().recursors.is_empty());
    for listener in server.listeners.iter().filter(|it| forwards && it.is_open_dns()) {
        log::warn!(
            "everybody who can reach {listener} can ask the recursors there: listen on a loopback address, or keep \
             strangers out"
        );
    }
    for listener in &server.listeners {
        say(format_args!("listening on {listener}"));
    }
    if let Some(journal) = &server.journal {
        say(format_args!("registrations are kept in {}", journal.path().display()));
    }
}

impl Listener {
    fn is_open_discovery(&self) -> bool {
        self.serves() == crate::Serves::Discovery && self.is_open_to_others()
    }

    fn is_open_dns(&self) -> bool {
        self.serves() == crate::Serves::Dns && self.is_open_to_others()
    }
}

fn address(bind: &str) -> Result<Address, String> {
    format!("tcp://{bind}").parse().map_err(|_| {
        format!(
            "--bind {bind:?} is no address: use HOST:PORT, [IPV6]:PORT, or :PORT for all interfaces"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_to_listen() {
        for (bind, expected) in [
            (":1111", "tcp://:1111"),
            ("127.0.0.1:0", "tcp://127.0.0.1:0"),
            ("[::1]:1", "tcp://[::1]:1"),
            ("localhost:1", "tcp://localhost:1"),
        ] {
            assert_eq!(address(bind).unwrap().to_string(), expected);
        }
        for bind in ["", "1111", "localhost", "tcp://a:1"] {
            assert!(
                address(bind).unwrap_err().starts_with(&format!("--bind {bind:?} is no address"))
            );
        }
    }
}
