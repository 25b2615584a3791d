//! The command line of `discoverd`.

use std::ffi::{OsStr, OsString};
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Arg, ArgAction, ArgMatches, Command};
use libswarm::address::{StoreKind, StoreSettings};
use libswarm::discovery::Attributes;
use log::LevelFilter;

use crate::duration;
use crate::logging::{self, Format};

/// Where the daemon listens, and where its commands look for it.
pub(super) const DEFAULT_BIND: &str = "127.0.0.1:1111";

/// Twice within the usual TTL, as clients of the original do.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// What the command line asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Task {
    Serve(Serve),
    Services { name: String, json: bool },
    Watch { name: String, json: bool },
    Leader { name: String, json: bool, exec: Option<OsString> },
    Register(Register),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Serve {
    pub(super) bind: String,
    pub(super) settings: StoreSettings,
    pub(super) log_level: LevelFilter,
    pub(super) log_format: Format,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Register {
    pub(super) name: String,
    pub(super) address: String,
    pub(super) attributes: Option<Attributes>,
    pub(super) heartbeat: Duration,
    pub(super) standby: bool,
    pub(super) command: Vec<OsString>,
}

impl Task {
    /// Reads a command line, the name of the program included.
    pub(super) fn parse(
        runtime: &str,
        args: impl IntoIterator<Item = OsString>,
    ) -> Result<Self, clap::Error> {
        command(runtime).try_get_matches_from(two_dashes(args)).map(|matches| Self::new(&matches))
    }

    fn new(matches: &ArgMatches) -> Self {
        let text =
            |matches: &ArgMatches, id| matches.get_one::<String>(id).cloned().unwrap_or_default();
        match matches.subcommand() {
            Some(("services", of)) => {
                Self::Services { name: text(of, "NAME"), json: of.get_flag("json") }
            }
            Some(("watch", of)) => {
                Self::Watch { name: text(of, "NAME"), json: of.get_flag("json") }
            }
            Some(("leader", of)) => Self::Leader {
                name: text(of, "NAME"),
                json: of.get_flag("json"),
                exec: of.get_one::<OsString>("exec").cloned(),
            },
            Some(("register", of)) => {
                let pairs = of.get_many::<(String, String)>("attr");
                Self::Register(Register {
                    name: text(of, "NAME"),
                    address: text(of, "ADDR"),
                    attributes: pairs.map(|pairs| pairs.cloned().collect()),
                    heartbeat: of.get_one("heartbeat").copied().unwrap_or(HEARTBEAT),
                    standby: of.get_flag("standby"),
                    command: of.get_many("COMMAND").into_iter().flatten().cloned().collect(),
                })
            }
            _ => Self::Serve(Serve::new(matches)),
        }
    }
}

impl Serve {
    fn new(matches: &ArgMatches) -> Self {
        let one = |id| matches.get_one::<String>(id).cloned();
        let mut settings = StoreSettings::default();
        settings.store = matches.get_one("store").copied().unwrap_or_default();
        settings.data_dir = one("data-dir");
        settings.ttl = one("ttl");
        settings.etcd = one("etcd");
        settings.etcd_ca = one("etcd-ca");
        settings.etcd_cert = one("etcd-cert");
        settings.etcd_key = one("etcd-key");
        settings.etcd_user = one("etcd-user");
        settings.zookeeper = one("zookeeper");
        settings.zookeeper_auth = one("zookeeper-auth");
        settings.dns = one("dns");
        settings.recursors = one("recursors");
        Self {
            bind: one("bind").unwrap_or_else(|| DEFAULT_BIND.to_owned()),
            settings,
            log_level: logging::level(matches),
            log_format: logging::format(matches),
        }
    }
}

/// Options with one dash, as Go's programs have them, get a second one; what is behind `--` is not ours.
fn two_dashes(args: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut ours = true;
    args.into_iter()
        .map(|arg| {
            ours = ours && arg != OsStr::new("--");
            match arg.to_str() {
                Some(text) if ours && text.len() > 2 && is_one_dash(text) => {
                    OsString::from(format!("-{text}"))
                }
                _ => arg,
            }
        })
        .collect()
}

fn is_one_dash(text: &str) -> bool {
    text.strip_prefix('-').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()))
}

fn command(runtime: &str) -> Command {
    let version = format!("{} ({runtime})", env!("CARGO_PKG_VERSION"));
    let value = |id: &'static str, name: &'static str, help: String| {
        Arg::new(id).long(id).value_name(name).help(help)
    };
    Command::new("discoverd")
        .about("Lets services find each other: serves the discovery RPC, HTTP and a page, or asks a server.")
        .version(version)
        .term_width(100)
        .args_override_self(true)
        .args_conflicts_with_subcommands(true)
        .disable_help_subcommand(true)
        .after_help(AFTER_HELP)
        .arg(value(
            "bind",
            "[HOST]:PORT",
            format!("Where to listen; without HOST on all interfaces [default: {DEFAULT_BIND}]"),
        ))
        .arg(
            value("store", "STORE", "journal (on disk) or memory [default: journal]".into())
                .hide_possible_values(true)
                .value_parser(
                    PossibleValuesParser::new(["journal", "memory"])
                        .try_map(|text| text.parse::<StoreKind>()),
                ),
        )
        .arg(value(
            "data-dir",
            "FOLDER",
            "The journal's folder [default: $XDG_DATA_HOME/discoverd, else ~/.local/share/discoverd]"
                .into(),
        ))
        .arg(
            value("ttl", "DURATION", "How long an instance stays after a heartbeat [default: 10s]".into())
                .value_parser(|text: &str| duration::parse(text).map(|_| text.to_owned())),
        )
        .arg(value(
            "etcd",
            "URL[,URL...]",
            "Keep registrations in this etcd (v3) instead, and share them with others that do".into(),
        ))
        .arg(value("etcd-ca", "FILE", "The authorities of its certificate [default: the system's]".into()))
        .arg(value("etcd-cert", "FILE", "A certificate to show to it".into()))
        .arg(value("etcd-key", "FILE", "The key of that certificate".into()))
        .arg(value("etcd-user", "NAME:PASSWORD", "As whom to use it".into()))
        .arg(value(
            "zookeeper",
            "HOST[:PORT][,HOST...][/PATH]",
            "Keep registrations in this ZooKeeper (3.6 or later) instead, below PATH".into(),
        ))
        .arg(value("zookeeper-auth", "USER:PASSWORD", "As whom to use it (digest)".into()))
        .arg(value(
            "dns",
            "[HOST]:PORT[,...]",
            "Serve the registry as DNS, too, over UDP and TCP: dig web.discoverd SRV".into(),
        ))
        .arg(value(
            "recursors",
            "IP[:PORT][,...]",
            "The DNS servers to ask for other names; without them these are refused".into(),
        ))
        .args(logging::args())
        .subcommand(register())
        .subcommand(
            asks("services", "Prints the addresses of a service's instances, the oldest first"),
        )
        .subcommand(
            asks("leader", "Prints the address of a service's leader; exit code 1 if it has none")
                .arg(
                    value("exec", "COMMAND", "Run this with sh at each new leader, with DISCOVERD_LEADER set; it waits until the run before has ended".into())
                        .value_parser(clap::value_parser!(OsString)),
                ),
        )
        .subcommand(asks(
            "watch",
            "Prints what happens to a service: + came, ~ changed, - is gone, = that was all there are",
        ))
}

fn asks(name: &'static str, about: &'static str) -> Command {
    Command::new(name)
        .about(about)
        .term_width(100)
        .arg(Arg::new("NAME").help("The service").required(true))
        .arg(
            Arg::new("json")
                .long("json")
                .help("Print the update objects of the RPC instead")
                .action(ArgAction::SetTrue),
        )
}

fn register() -> Command {
    Command::new("register")
        .about("Registers an instance, keeps it registered, and unregisters it at the end")
        .term_width(100)
        .arg(Arg::new("NAME").help("The service").required(true))
        .arg(
            Arg::new("ADDR")
                .help("The instance's address; the server completes one that begins with a colon")
                .required(true),
        )
        .arg(
            Arg::new("attr")
                .long("attr")
                .value_name("KEY=VALUE")
                .help("An attribute; any number of them")
                .action(ArgAction::Append)
                .value_parser(pair),
        )
        .arg(
            Arg::new("heartbeat")
                .long("heartbeat")
                .value_name("DURATION")
                .help("How often to register again; half the server's TTL is good [default: 5s]")
                .value_parser(|text: &str| match duration::parse(text) {
                    Ok(Duration::ZERO) => Err("it must be longer than that".to_owned()),
                    parsed => parsed,
                }),
        )
        .arg(
            Arg::new("standby")
                .long("standby")
                .help("Start COMMAND only when this instance leads")
                .action(ArgAction::SetTrue)
                .requires("COMMAND"),
        )
        .arg(
            Arg::new("COMMAND")
                .help("Stay registered while this runs; signals and its exit code are passed on")
                .last(true)
                .num_args(1..)
                .value_parser(clap::value_parser!(OsString)),
        )
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("an attribute is KEY=VALUE".to_owned()),
    }
}

const AFTER_HELP: &str = "\
Without a command it is the server. Options may have one dash or two.

Environment:
  EXTERNAL_IP  what the server puts in front of an address that begins with a colon; if it is a name, browsers may
               ask for the server by it
  DISCOVERD    the server that commands ask, or several with commas between them [default: 127.0.0.1:1111]

Examples:
  discoverd
  discoverd -bind :1111 -etcd http://10.0.0.1:2379,http://10.0.0.2:2379,http://10.0.0.3:2379
  discoverd -bind :1111 -zookeeper 10.0.0.1:2181,10.0.0.2:2181,10.0.0.3:2181/apps
  curl http://127.0.0.1:1111/services/web/instances
  discoverd -dns 127.0.0.1:5353 -recursors 10.0.0.2
  discoverd register web 10.0.0.1:8080 --attr zone=a -- ./my-server
  discoverd services web
  discoverd leader web --exec 'echo $DISCOVERD_LEADER leads'";

#[cfg(test)]
mod tests {
    use super::*;
    use clap::error::ErrorKind;

    fn parse(line: &str) -> Result<Task, clap::Error> {
        let words = line.split_whitespace().map(OsString::from);
        Task::parse("threads", ["discoverd".into()].into_iter().chain(words))
    }

    fn serve(line: &str) -> Serve {
        match parse(line).unwrap() {
            Task::Serve(serve) => serve,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn one_dash_or_two() {
        for line in [
            "-bind :1111 -data-dir /d -ttl 20s -store memory -log-level warn",
            "--bind :1111 --data-dir=/d --ttl=20s --store memory --log-level warn",
            "-bind=x -bind=:1111 -data-dir=/d -ttl=20s -store=memory -log-level=warn",
        ] {
            let serve = serve(line);
            assert_eq!((&*serve.bind, serve.log_level), (":1111", LevelFilter::Warn));
            assert_eq!(serve.settings.data_dir.as_deref(), Some("/d"));
            assert_eq!(serve.settings.ttl.as_deref(), Some("20s"));
            assert_eq!(serve.settings.store, StoreKind::Memory);
        }
        let etcd = serve(
            "-etcd http://a:1,http://b:2 --etcd-ca ca -etcd-cert=c -etcd-key k -etcd-user u:p",
        );
        let StoreSettings { etcd, etcd_ca, etcd_cert, etcd_key, etcd_user, .. } = etcd.settings;
        let all = [etcd, etcd_ca, etcd_cert, etcd_key, etcd_user].map(Option::unwrap_or_default);
        assert_eq!(all, ["http://a:1,http://b:2", "ca", "c", "k", "u:p"]);
        let zookeeper = serve("-zookeeper a:1,b/apps --zookeeper-auth u:p").settings;
        let StoreSettings { zookeeper, zookeeper_auth, .. } = zookeeper;
        assert_eq!(
            [zookeeper, zookeeper_auth].map(Option::unwrap_or_default),
            ["a:1,b/apps", "u:p"]
        );
        let dns = serve("-dns 127.0.0.1:5353 --recursors=10.0.0.2,10.0.0.3").settings;
        let dns = [dns.dns, dns.recursors].map(Option::unwrap_or_default);
        assert_eq!(dns, ["127.0.0.1:5353", "10.0.0.2,10.0.0.3"]);
        let serve = serve("-D");
        assert_eq!((&*serve.bind, serve.log_level), (DEFAULT_BIND, LevelFilter::Debug));
        assert_eq!(serve.settings, StoreSettings::default());
    }

    #[test]
    fn commands() {
        let name = || "web".to_owned();
        assert_eq!(parse("services web").unwrap(), Task::Services { name: name(), json: false });
        assert_eq!(parse("watch -json web").unwrap(), Task::Watch { name: name(), json: true });
        assert_eq!(
            parse("leader web --exec x").unwrap(),
            Task::Leader { name: name(), json: false, exec: Some("x".into()) }
        );
        let Task::Register(register) =
            parse("register web :80 --attr a=b=c -attr d= --standby -- prog -bind --attr").unwrap()
        else {
            panic!()
        };
        let attributes = [("a", "b=c"), ("d", "")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        assert_eq!(register.attributes, Some(attributes.into()));
        assert_eq!(register.command, ["prog", "-bind", "--attr"]);
        assert_eq!((register.standby, register.heartbeat), (true, HEARTBEAT));
        let Task::Register(register) = parse("register web :80").unwrap() else { panic!() };
        assert_eq!((register.attributes, register.command.len()), (None, 0));
    }

    #[test]
    fn what_is_wrong_is_refused() {
        for (line, kind) in [
            ("nonsense", ErrorKind::InvalidSubcommand),
            ("-nonsense", ErrorKind::UnknownArgument),
            ("-store disk", ErrorKind::InvalidValue),
            ("-ttl soon", ErrorKind::ValueValidation),
            ("services", ErrorKind::MissingRequiredArgument),
            ("register web", ErrorKind::MissingRequiredArgument),
            ("register web :80 --standby", ErrorKind::MissingRequiredArgument),
            ("register web :80 --attr x", ErrorKind::ValueValidation),
            ("register web :80 --attr =x", ErrorKind::ValueValidation),
            ("register web :80 --heartbeat 0", ErrorKind::ValueValidation),
            ("-bind :1 services web", ErrorKind::ArgumentConflict),
            ("--help", ErrorKind::DisplayHelp),
        ] {
            assert_eq!(parse(line).unwrap_err().kind(), kind, "{line}");
        }
    }
}
