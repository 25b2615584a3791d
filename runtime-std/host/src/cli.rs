//! The command line of `swarmd`.

use std::ffi::OsString;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgGroup, ArgMatches, Command};
use libswarm::address::Tls;
use libswarm::backend::Registry;
use libswarm::{node, words};
use log::LevelFilter;

use crate::duration;
use crate::logging::{self, Format};

/// Where to listen when no address is given.
pub(crate) const DEFAULT_ADDRESS: &str = "tcp://localhost:4242";

/// Where to listen then with TLS.
pub(crate) const DEFAULT_TLS_ADDRESS: &str = "tcp://localhost:2376";

/// The port of an address that has TLS and names none.
pub(crate) const TLS_PORT: u16 = 2376;

/// What answers when no backend is given.
const DEFAULT_BACKEND: &str = "simulator";

/// The columns that help is laid out for.
const WIDTH: usize = 100;

/// What the command line asks for. Addresses and backends are still text: a wrong one is no error of the command line's
/// grammar.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Options {
    pub(crate) addresses: Vec<String>,
    backends: Vec<String>,
    show_secrets: bool,
    pub(crate) shutdown_timeout: Duration,
    pub(crate) log_level: LevelFilter,
    pub(crate) log_format: Format,
    pub(crate) group: Option<String>,
    pub(crate) tls: Option<Tls>,
    pub(crate) routes: bool,
}

impl Options {
    /// Reads a command line, the name of the program included.
    pub(crate) fn parse<T: Into<OsString> + Clone>(
        runtime: &str,
        registry: &Registry,
        args: impl IntoIterator<Item = T>,
    ) -> Result<Self, clap::Error> {
        command(runtime, registry).try_get_matches_from(args).map(|matches| Self::new(&matches))
    }

    fn new(matches: &ArgMatches) -> Self {
        let all = |id| matches.get_many::<String>(id).into_iter().flatten().cloned().collect();
        let one = |id| matches.get_one::<String>(id).cloned();
        let verify = matches.get_flag("tlsverify");
        Self {
            addresses: all("ADDRESS"),
            backends: all("backend"),
            show_secrets: matches.get_flag("show-secrets"),
            shutdown_timeout: matches
                .get_one("shutdown-timeout")
                .copied()
                .unwrap_or_else(default_shutdown_timeout),
            log_level: logging::level(matches),
            log_format: logging::format(matches),
            group: one("group"),
            tls: (verify || matches.get_flag("tls")).then(|| Tls {
                verify,
                ca: one("tlscacert"),
                cert: one("tlscert"),
                key: one("tlskey"),
                ..Tls::default()
            }),
            routes: matches.get_flag("routes"),
        }
    }

    /// The backends of the chain, in order, each with its words.
    pub(crate) fn backends(&self) -> Vec<String> {
        if self.backends.is_empty() {
            return vec![DEFAULT_BACKEND.to_owned()];
        }
        self.backends
            .iter()
            .map(|line| {
                if self.show_secrets && is_debug(line) {
                    // A line feed, because a comment would swallow what stands behind a space.
                    format!("{line}\n--show-secrets")
                } else {
                    line.clone()
                }
            })
            .collect()
    }

    /// Whether secrets are to be shown and nothing is there to show them.
    pub(crate) fn show_secrets_in_vain(&self) -> bool {
        self.show_secrets && !self.backends.iter().any(|line| is_debug(line))
    }
}

fn is_debug(line: &str) -> bool {
    words::split(line).is_ok_and(|words| words.first().is_some_and(|name| name == "debug"))
}

fn default_shutdown_timeout() -> Duration {
    node::Config::default().shutdown_timeout
}

fn command(runtime: &str, registry: &Registry) -> Command {
    let version = format!("{} ({runtime})", env!("CARGO_PKG_VERSION"));
    Command::new("swarmd")
        .about("Serves the Docker Engine API from a chain of backends.")
        .version(version)
        .term_width(WIDTH)
        .args_override_self(true)
        .after_help(after_help(registry))
        .arg(
            Arg::new("ADDRESS")
                .help("Where to listen; any number of them, see Addresses")
                .num_args(1..)
                .action(ArgAction::Append),
        )
        .arg(
            Arg::new("backend")
                .long("backend")
                .value_name("BACKEND")
                .help("What answers, see Backends; repeat it to make a chain")
                .action(ArgAction::Append),
        )
        .arg(
            Arg::new("shutdown-timeout")
                .long("shutdown-timeout")
                .value_name("DURATION")
                .help(format!(
                    "How long to wait for requests when stopped [default: {:?}]",
                    default_shutdown_timeout()
                ))
                .value_parser(duration::parse),
        )
        .arg(
            Arg::new("show-secrets")
                .long("show-secrets")
                .help("Let the debug backend print passwords and tokens")
                .action(ArgAction::SetTrue),
        )
        .arg(
            Arg::new("group")
                .short('G')
                .long("group")
                .value_name("GROUP")
                .help("Give unix sockets to this group (its name or number)"),
        )
        .args(tls_args())
        .group(ArgGroup::new("encrypted").args(["tls", "tlsverify"]).multiple(true))
        .args(logging::args())
        .arg(
            Arg::new("routes")
                .long("routes")
                .help("Print the routes of the API: METHOD PATH JOB FROM-VERSION")
                .action(ArgAction::SetTrue),
        )
}

/// dockerd's options, with its defaults.
fn tls_args() -> [Arg; 5] {
    let flag = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).help(help).action(ArgAction::SetTrue)
    };
    let file = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name("FILE").help(help).requires("encrypted")
    };
    [
        flag("tls", "Speak TLS on tcp addresses, with any client; see TLS"),
        flag("tlsverify", "Speak TLS there, only with clients that the CA has signed for"),
        file("tlscacert", "The CA of clients' certificates [default: ~/.docker/ca.pem]"),
        file("tlscert", "The daemon's certificate [default: ~/.docker/cert.pem]"),
        file("tlskey", "The key of that certificate [default: ~/.docker/key.pem]"),
    ]
}

fn after_help(registry: &Registry) -> String {
    let mut text = format!(
        "\
Addresses:
  tcp://HOST:PORT    all addresses of a name, an IPv4 address, or an IPv6 address in brackets;
                     no HOST: all interfaces; port 0: a free one
  unix://PATH        a socket for its owner and its group; PATH may be relative
  fd://[NAME]        sockets that systemd has opened: all, or those with that name or number
  discoverd://HOST:PORT[?OPTION=VALUE&OPTION=VALUE...]
                     for clients of service discovery; its options are those of discoverd --help,
                     without their dashes: ?store=memory&ttl=20s&dns=127.0.0.1:5353
  Without an address: {DEFAULT_ADDRESS}; with TLS {DEFAULT_TLS_ADDRESS}

TLS:
  dockerd's options. DOCKER_CERT_PATH names another directory than ~/.docker. SIGHUP reads all
  certificates again; open connections stay. With TLS, tcp://HOST has port {TLS_PORT}.

Backends:
"
    );
    for (name, usage, about) in registry.kinds() {
        wrap(&mut text, &format!("{name} {usage}"), 2, 6);
        wrap(&mut text, about, 6, 6);
    }
    text.push_str(&format!(
        "
  Each is asked in turn until one answers. The words behind the name are the backend's own and are
  split as a shell does, so quote them all. Without --backend: {DEFAULT_BACKEND}

Durations:
  10s, 500ms, 1m30s; a bare number is seconds

Examples:
  swarmd --backend 'debug' --backend 'simulator web db' tcp://localhost:4242 unix://swarm.sock
  DOCKER_HOST={DEFAULT_ADDRESS} docker ps"
    ));
    text
}

/// Adds `words` as lines of at most [`WIDTH`] columns, the first indented by `first`, the others by `rest`.
fn wrap(text: &mut String, words: &str, first: usize, rest: usize) {
    let mut line = " ".repeat(first);
    let mut blank = true;
    for word in words.split_whitespace() {
        if !blank && line.chars().count() + 1 + word.chars().count() > WIDTH {
            text.push_str(&line);
            text.push('\n');
            line = " ".repeat(rest);
            blank = true;
        }
        if !blank {
            line.push(' ');
        }
        line.push_str(word);
        blank = false;
    }
    if !blank {
        text.push_str(&line);
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::error::ErrorKind;

    fn registry() -> Registry {
        let mut registry = Registry::empty();
        let long = "Answers from memory as an engine would and runs nothing; ".repeat(5);
        for name in ["debug", "simulator"] {
            registry.add(name, "[WORD...]", long.as_str(), |_| Err("it is not for use".into()));
        }
        registry
    }

    fn parse(args: &[&str]) -> Result<Options, clap::Error> {
        Options::parse("threads", &registry(), [&["swarmd"], args].concat())
    }

    #[test]
    fn defaults() {
        let options = parse(&[]).unwrap();
        assert_eq!(options.addresses, [""; 0]);
        assert_eq!(options.backends(), ["simulator"]);
        assert_eq!(options.shutdown_timeout, Duration::from_secs(10));
        assert_eq!(options.log_level, LevelFilter::Info);
        assert!(!options.routes && !options.show_secrets_in_vain());
    }

    #[test]
    fn options_and_addresses_in_any_order() {
        let expected = Options {
            addresses: vec!["tcp://a:1".into(), "unix://b".into(), "nonsense".into()],
            backends: vec!["debug x".into(), "simulator 'a b'".into()],
            show_secrets: false,
            shutdown_timeout: Duration::from_millis(1500),
            log_level: LevelFilter::Warn,
            log_format: Format::Text,
            group: None,
            tls: None,
            routes: false,
        };
        for line in [
            "tcp://a:1 unix://b nonsense --backend|debug x|--backend|simulator 'a b'| \
             --shutdown-timeout 1s500ms --log-level warn",
            "--log-level warn tcp://a:1 --backend|debug x|unix://b --backend=|simulator 'a b'| \
             --shutdown-timeout=1500ms nonsense",
            "--log-level error --backend|debug x|--shutdown-timeout 1 --backend|simulator 'a b'| \
             --shutdown-timeout 1500ms --log-level=warn -- tcp://a:1 unix://b nonsense",
        ] {
            // Between bars stands one argument.
            let mut args: Vec<String> = Vec::new();
            let mut glue = false;
            for (index, part) in line.split('|').enumerate() {
                if index % 2 == 1 && glue {
                    args.last_mut().unwrap().push_str(part);
                } else if index % 2 == 1 {
                    args.push(part.into());
                } else {
                    args.extend(part.split_whitespace().map(String::from));
                }
                glue = part.ends_with('=');
            }
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            assert_eq!(parse(&args).unwrap(), expected, "{line}");
        }
    }

    #[test]
    fn debug_is_a_log_level() {
        for args in [&["-D"][..], &["--debug"], &["--log-level", "error", "-D"], &["-D", "-D"]] {
            assert_eq!(parse(args).unwrap().log_level, LevelFilter::Debug, "{args:?}");
        }
    }

    #[test]
    fn tls_is_asked_for_as_of_dockerd() {
        let tls = |line: &str| parse(&line.split(' ').collect::<Vec<_>>()).map(|o| o.tls);
        let file = |name: &str| Some(name.to_owned());
        assert_eq!(tls("tcp://h:1").unwrap(), None);
        assert_eq!(tls("--tls").unwrap(), Some(Tls::default()));
        let verified = Tls { verify: true, ..Tls::default() };
        assert_eq!(tls("--tlsverify").unwrap(), Some(verified.clone()));
        assert_eq!(tls("--tls --tlsverify").unwrap(), Some(verified.clone()));
        let whole = Tls { ca: file("a"), cert: file("c"), key: file("k"), ..verified };
        let line = "--tlscacert a --tlsverify --tlscert=c --tlskey k";
        assert_eq!(tls(line).unwrap(), Some(whole));
        let error = tls("--tlscert c").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::MissingRequiredArgument);
        assert!(error.to_string().contains("--tlsverify"), "{error}");
    }

    #[test]
    fn secrets_are_shown_by_debug_backends() {
        let options = parse(&[
            "--backend",
            "debug # no comment",
            "--show-secrets",
            "--backend",
            "simulator debug",
            "--backend",
            "debug 'x",
        ])
        .unwrap();
        let lines = options.backends();
        assert_eq!(words::split(&lines[0]).unwrap(), ["debug", "--show-secrets"]);
        assert_eq!(lines[1..], ["simulator debug", "debug 'x"]);
        assert!(!options.show_secrets_in_vain());
        assert!(parse(&["--show-secrets"]).unwrap().show_secrets_in_vain());
    }

    #[test]
    fn bad_usage() {
        for (args, kind, said) in [
            (&["--nosuch"][..], ErrorKind::UnknownArgument, "--nosuch"),
            (&["--backend"], ErrorKind::InvalidValue, "--backend <BACKEND>"),
            (&["--shutdown-timeout"], ErrorKind::InvalidValue, "<DURATION>"),
            (&["--shutdown-timeout", "10x"], ErrorKind::ValueValidation, "write 10s, 500ms"),
            (&["--shutdown-timeout="], ErrorKind::ValueValidation, "<DURATION>"),
            (&["--log-level", "loud"], ErrorKind::InvalidValue, "error, warn, info, debug"),
            (&["--log-format", "xml"], ErrorKind::InvalidValue, "text, json"),
            (&["--backends", "x"], ErrorKind::UnknownArgument, "--backend"),
        ] {
            let error = parse(args).unwrap_err();
            assert_eq!(error.kind(), kind, "{args:?}: {error}");
            assert_eq!(error.exit_code(), 2, "{args:?}");
            assert!(error.to_string().contains(said), "{args:?}: {error}");
        }
    }

    #[test]
    fn help_names_everything_within_its_width() {
        for flag in ["-h", "--help"] {
            let error = parse(&["tcp://nonsense", flag]).unwrap_err();
            assert_eq!((error.kind(), error.exit_code()), (ErrorKind::DisplayHelp, 0));
            let help = error.to_string();
            for wanted in [
                "Usage: swarmd [OPTIONS] [ADDRESS]...",
                "\nAddresses:\n",
                "\n  Without an address: tcp://localhost:4242; with TLS tcp://localhost:2376\n",
                "\nBackends:\n  debug [WORD...]\n      Answers from memory",
                "\n  simulator [WORD...]\n",
                "[default: 10s]",
                "\nTLS:\n",
                "--tlscacert <FILE>",
                "-G, --group <GROUP>",
                "--log-format <FORMAT>",
            ] {
                assert!(help.contains(wanted), "{wanted:?} is not in\n{help}");
            }
            for line in help.lines() {
                assert!(line.chars().count() <= WIDTH, "{line}");
            }
        }
    }

    #[test]
    fn version_names_the_runtime() {
        let error = parse(&["--version"]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DisplayVersion);
        assert_eq!(
            error.to_string(),
            concat!("swarmd ", env!("CARGO_PKG_VERSION"), " (threads)\n")
        );
    }

    #[test]
    fn a_word_longer_than_the_width_has_a_line_of_its_own() {
        let mut text = String::new();
        wrap(&mut text, &format!("a {} b", "x".repeat(WIDTH)), 2, 4);
        assert_eq!(text, format!("  a\n    {}\n    b\n", "x".repeat(WIDTH)));
        wrap(&mut text, " ", 2, 4);
        assert!(text.ends_with("b\n"));
    }
}
