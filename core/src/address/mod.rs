//! Where a frontend listens, and where an upstream is.

mod discoverd;
mod remote;

use alloc::string::{String, ToString};
use core::fmt;
use core::net::{Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

pub use discoverd::{Discoverd, StoreKind, StoreSettings};
pub use remote::{Remote, Tls};

/// An address as `DOCKER_HOST` and dockerd's `--host` write it. Nothing is looked up here, neither names nor files.
///
/// ```
/// use libswarm::address::Address;
///
/// let address: Address = "tcp://[::1]:4242".parse().unwrap();
/// assert_eq!(address, Address::Tcp { host: "::1".into(), port: 4242 });
/// assert_eq!(address.to_string(), "tcp://[::1]:4242");
///
/// let error = "localhost:4242".parse::<Address>().unwrap_err();
/// assert!(error.to_string().ends_with("write tcp://localhost:4242"));
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Address {
    /// `tcp://host:port`.
    Tcp {
        /// A name, an IPv4 address, or an IPv6 address without its brackets (a zone such as `%eth0` may follow it). Empty,
        /// as in `tcp://:4242`, means all interfaces, as it does for dockerd.
        host: String,
        /// 0 means any free one, where that makes sense.
        port: u16,
    },
    /// `unix:///absolute/path` or `unix://relative/path`.
    Unix {
        /// The socket's path; never empty.
        path: String,
    },
}

/// Where one may listen.
const FRONTENDS: &str = "tcp://HOST:PORT, tcp://[IPV6]:PORT or unix://PATH";
/// Where one may connect to.
const UPSTREAMS: &str = "unix://PATH, tcp://HOST:PORT, tcp://[IPV6]:PORT, https://HOST:PORT or ssh://[USER@]HOST[:PORT]";

/// The longest name that DNS knows (RFC 1035 section 2.3.4), with the dot behind it.
const LONGEST_NAME: usize = 254;

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let parsed = match text.split_once("://") {
            Some(("tcp", rest)) => tcp(rest).map(|(host, port)| Self::Tcp { host, port }),
            Some(("unix", rest)) => unix(rest),
            Some(_) => Err(Problem::Scheme),
            None => Err(missing_scheme(text)),
        };
        parsed.map_err(|problem| AddressError::new(text, problem))
    }
}

impl Address {
    /// As [`from_str`](Self::from_str), but `tcp://host` has this port.
    ///
    /// # Errors
    ///
    /// It is no address, with or without the port.
    ///
    /// ```
    /// use libswarm::address::Address;
    ///
    /// let address = Address::with_default_port("tcp://[::1]", 2376).unwrap();
    /// assert_eq!(address.to_string(), "tcp://[::1]:2376");
    /// ```
    pub fn with_default_port(text: &str, port: u16) -> Result<Self, AddressError> {
        text.parse().or_else(|error: AddressError| {
            let host = text.strip_prefix("tcp://").unwrap_or_default();
            if error.problem != Problem::NoPort || host.is_empty() || host.ends_with([':', '/']) {
                return Err(error);
            }
            alloc::format!("{text}:{port}").parse().map_err(|_| error)
        })
    }
}

fn missing_scheme(text: &str) -> Problem {
    if text.starts_with(['/', '.']) {
        Problem::Prefix("unix://")
    } else if tcp(text).is_ok() {
        Problem::Prefix("tcp://")
    } else {
        Problem::Form
    }
}

fn tcp(rest: &str) -> Result<(String, u16), Problem> {
    let (host, port) = match rest.strip_prefix('[') {
        Some(bracketed) => {
            let (host, behind) = bracketed.split_once(']').ok_or(Problem::Bracket)?;
            (ipv6(host)?, port_behind(behind)?)
        }
        None => {
            let end = rest.find([':', '/', '?', '#']).unwrap_or(rest.len());
            let (host, behind) = rest.split_at(end);
            // Two colons are an IPv6 address that lacks its brackets, and then it cannot be told where the port begins.
            if behind.matches(':').count() > 1 && !behind.contains('/') {
                return Err(Problem::Brackets);
            }
            (name(host)?, port_behind(behind)?)
        }
    };
    Ok((host, port))
}

fn port_behind(behind: &str) -> Result<u16, Problem> {
    let port = match behind.strip_prefix(':') {
        None | Some("") => return Err(Problem::NoPort),
        Some(port) => port,
    };
    let digits = port.bytes().take_while(u8::is_ascii_digit).count();
    match (digits, digits == port.len()) {
        (0, _) => Err(Problem::Port),
        (_, false) => Err(Problem::BehindPort),
        (_, true) => port.parse().map_err(|_| Problem::Port),
    }
}

fn ipv6(host: &str) -> Result<String, Problem> {
    let (address, zone) = match host.split_once('%') {
        Some((address, zone)) => (address, Some(zone)),
        None => (host, None),
    };
    let address: Ipv6Addr = address.parse().map_err(|_| Problem::Ipv6)?;
    match zone {
        None => Ok(address.to_string()),
        Some(zone) if !zone.is_empty() && zone.bytes().all(is_name_byte) => {
            Ok(address.to_string() + "%" + zone)
        }
        Some(_) => Err(Problem::Ipv6),
    }
}

fn name(host: &str) -> Result<String, Problem> {
    if !host.bytes().all(is_name_byte) || host.len() > LONGEST_NAME {
        return Err(Problem::Host);
    }
    // What ends in a number is an IPv4 address and nothing else; resolvers would read `127.1` or `4242` as one, too, but
    // whoever wrote that most likely meant something different.
    let last = host.rsplit('.').next().unwrap_or_default();
    if !last.is_empty()
        && last.bytes().all(|byte| byte.is_ascii_digit())
        && host.parse::<Ipv4Addr>().is_err()
    {
        return Err(Problem::Ipv4);
    }
    Ok(host.to_string())
}

/// Letters, digits, dots and hyphens, and the underscore that container names bring.
const fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_')
}

fn unix(path: &str) -> Result<Address, Problem> {
    match path.as_bytes() {
        [] => Err(Problem::NoPath),
        // Docker's client takes this for a socket without a file; a file of that name would never be found by it.
        [b'@', ..] => Err(Problem::Abstract),
        bytes if bytes.contains(&0) => Err(Problem::Zero),
        _ => Ok(Address::Unix { path: path.to_string() }),
    }
}

impl fmt::Display for Address {
    /// The canonical form, which parses to the same address.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "tcp://[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "tcp://{host}:{port}"),
            Self::Unix { path } => write!(f, "unix://{path}"),
        }
    }
}

/// What is wrong with the text of an address, in words for the person who wrote it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AddressError {
    text: String,
    problem: Problem,
    /// What could stand there.
    forms: &'static str,
}

impl AddressError {
    fn new(text: &str, problem: Problem) -> Self {
        Self { text: text.to_string(), problem, forms: FRONTENDS }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Problem {
    Form,
    Prefix(&'static str),
    Scheme,
    NoPort,
    Port,
    BehindPort,
    Bracket,
    Brackets,
    Ipv6,
    Ipv4,
    Host,
    NoPath,
    Abstract,
    Zero,
    Ssh,
    SshPassword,
    SshPath,
    Setting,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { text, problem, forms } = self;
        write!(f, "wrong address {text:?}: ")?;
        let what = match problem {
            Problem::Ssh => {
                return f.write_str(
                    "this is no host for the ssh command (neither it nor the user may begin with -): \
                     use ssh://[USER@]HOST[:PORT]",
                );
            }
            Problem::SshPassword => {
                return f.write_str(
                    "the ssh command takes no password: let it log in with a key, and use ssh://[USER@]HOST[:PORT]",
                );
            }
            Problem::SshPath => {
                return f.write_str(
                    "nothing may follow the host or its port: use ssh://[USER@]HOST[:PORT]; which socket the docker \
                     command over there takes is for its own DOCKER_HOST to say",
                );
            }
            Problem::Setting => {
                return f.write_str(
                    "behind the ? stands no setting of a store: use store=journal or store=memory, \
                     data-dir=PATH, ttl=DURATION, etcd=URL,URL, etcd-ca=FILE, etcd-cert=FILE, \
                     etcd-key=FILE, etcd-user=NAME:PASSWORD, zookeeper=HOST:PORT,HOST:PORT/PATH, \
                     zookeeper-auth=USER:PASSWORD, dns=HOST:PORT, recursors=IP,IP, with & between them and \
                     %XX for what has a meaning",
                );
            }
            Problem::Prefix(prefix) => {
                return write!(f, "the prefix {prefix} is missing: write {prefix}{text}");
            }
            Problem::Form => "this is none of the forms there are",
            Problem::Scheme => "what stands before :// is not supported",
            Problem::NoPort => "it has no port",
            Problem::Port => "the port is no number from 0 to 65535",
            Problem::BehindPort => "nothing may follow the port",
            Problem::Bracket => "the ] behind the IPv6 address is missing",
            Problem::Brackets => "an IPv6 address stands in brackets",
            Problem::Ipv6 => "what stands in brackets is no IPv6 address",
            Problem::Ipv4 => "the host ends in a number but is no IPv4 address",
            Problem::Host => "the host is neither a name nor an IP address",
            Problem::NoPath => "the path is empty",
            Problem::Abstract => {
                "abstract sockets are not supported (for a file, write unix://./@…)"
            }
            Problem::Zero => "a path cannot hold a zero byte",
        };
        write!(f, "{what}: use {forms}")
    }
}

impl core::error::Error for AddressError {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tcp(host: &str, port: u16) -> Address {
        Address::Tcp { host: host.to_string(), port }
    }

    fn unix(path: &str) -> Address {
        Address::Unix { path: path.to_string() }
    }

    #[test]
    fn good_addresses() {
        let table = [
            ("tcp://localhost:4242", tcp("localhost", 4242)),
            ("tcp://127.0.0.1:0", tcp("127.0.0.1", 0)),
            ("tcp://[::1]:0", tcp("::1", 0)),
            ("tcp://[fe80::1%eth0]:65535", tcp("fe80::1%eth0", 65535)),
            ("tcp://my_db-1.example.:80", tcp("my_db-1.example.", 80)),
            ("tcp://3com.example:80", tcp("3com.example", 80)),
            ("tcp://:4242", tcp("", 4242)),
            ("unix:///var/run/docker.sock", unix("/var/run/docker.sock")),
            ("unix://relative.sock", unix("relative.sock")),
            ("unix://a b://c?d#e", unix("a b://c?d#e")),
        ];
        for (text, address) in table {
            assert_eq!(text.parse(), Ok(address.clone()), "{text}");
            assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn the_canonical_form_is_given_back() {
        for (text, canonical) in [
            ("tcp://[0:0:0:0:0:0:0:1]:00080", "tcp://[::1]:80"),
            ("tcp://[FE80::A%eth0]:1", "tcp://[fe80::a%eth0]:1"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), canonical);
        }
    }

    #[test]
    fn bad_addresses_say_what_is_wrong() {
        use Problem::*;
        let table = [
            ("", Form),
            ("localhost", Form),
            ("4242", Form),
            ("unix:/a.sock", Form),
            ("tcp:localhost:4242", Form),
            ("localhost:4242", Prefix("tcp://")),
            ("[::1]:4242", Prefix("tcp://")),
            (":4242", Prefix("tcp://")),
            ("/var/run/docker.sock", Prefix("unix://")),
            ("./docker.sock", Prefix("unix://")),
            ("fd://", Scheme),
            ("npipe:////./pipe/docker_engine", Scheme),
            ("http://localhost:4242", Scheme),
            ("TCP://localhost:4242", Scheme),
            ("://localhost:4242", Scheme),
            ("tcp://", NoPort),
            ("tcp://localhost", NoPort),
            ("tcp://localhost:", NoPort),
            ("tcp://localhost/v1.41", NoPort),
            ("tcp://[::1]", NoPort),
            ("tcp://[::1]4242", NoPort),
            ("tcp://localhost:http", Port),
            ("tcp://localhost:+80", Port),
            ("tcp://localhost:-1", Port),
            ("tcp://localhost:65536", Port),
            ("tcp://localhost:99999999999999999999999", Port),
            ("tcp://localhost:/", Port),
            ("tcp://localhost:4242/", BehindPort),
            ("tcp://localhost:4242/v1.41:7", BehindPort),
            ("tcp://localhost:4242?x", BehindPort),
            ("tcp://localhost:4242 ", BehindPort),
            ("tcp://[::1:4242", Bracket),
            ("tcp://::1:4242", Brackets),
            ("tcp://fe80::1", Brackets),
            ("tcp://[localhost]:4242", Ipv6),
            ("tcp://[127.0.0.1]:4242", Ipv6),
            ("tcp://[]:4242", Ipv6),
            ("tcp://[fe80::1%]:4242", Ipv6),
            ("tcp://[fe80::1%a b]:4242", Ipv6),
            ("tcp://256.0.0.1:4242", Ipv4),
            ("tcp://127.1:4242", Ipv4),
            ("tcp://4242:80", Ipv4),
            ("tcp://user@host:80", Host),
            ("tcp://my host:80", Host),
            ("tcp://höst:80", Host),
            ("tcp://host\0:80", Host),
            ("unix://", NoPath),
            ("unix://@docker", Abstract),
            ("unix:///a\0b", Zero),
        ];
        for (text, problem) in table {
            let error = text.parse::<Address>().expect_err(text);
            assert_eq!(error.problem, problem, "{text}");
        }
        let long = "a".repeat(LONGEST_NAME + 1);
        assert_eq!(super::tcp(&(long + ":80")), Err(Host));
    }

    #[test]
    fn a_port_may_be_left_out_where_there_is_a_default() {
        for (text, address) in [
            ("tcp://h", Some(tcp("h", 2376))),
            ("tcp://h:1", Some(tcp("h", 1))),
            ("tcp://[::1]", Some(tcp("::1", 2376))),
            ("unix://h", Some(unix("h"))),
            ("tcp://", None),
            ("tcp://h:", None),
            ("tcp://h/", None),
            ("tcp://h/v1.41", None),
            ("tcp://::1", None),
            ("h", None),
        ] {
            let parsed = Address::with_default_port(text, 2376);
            assert_eq!(parsed.as_ref().ok(), address.as_ref(), "{text}");
            if let Err(error) = parsed {
                assert_eq!(text.parse::<Address>(), Err(error));
            }
        }
    }

    #[test]
    fn messages_name_the_value_and_the_remedy() {
        for (text, message) in [
            (
                "/run/d.sock",
                "wrong address \"/run/d.sock\": the prefix unix:// is missing: write unix:///run/d.sock",
            ),
            (
                "fd://",
                "wrong address \"fd://\": what stands before :// is not supported: \
                 use tcp://HOST:PORT, tcp://[IPV6]:PORT or unix://PATH",
            ),
            (
                "tcp://localhost",
                "wrong address \"tcp://localhost\": it has no port: \
                 use tcp://HOST:PORT, tcp://[IPV6]:PORT or unix://PATH",
            ),
        ] {
            assert_eq!(text.parse::<Address>().unwrap_err().to_string(), message);
        }
    }

    proptest! {
        #[test]
        fn any_text_parses_to_itself_or_to_an_error(
            text in "((tcp|unix|x)://)?[a-z0-9:./%@\\[\\]\\PC]{0,20}(:[0-9]{1,6})?"
        ) {
            if let Ok(address) = text.parse::<Address>() {
                prop_assert_eq!(address.to_string().parse(), Ok(address));
            }
        }
    }
}
