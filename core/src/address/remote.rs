//! Where an upstream is.

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use core::fmt;
use core::net::SocketAddr;
use core::str::FromStr;

use super::{Address, AddressError, Problem, UPSTREAMS, is_name_byte, port_behind};

/// How a server is reached: through a socket, with TLS or without, or through the ssh command, as docker's clients do it.
///
/// ```
/// use libswarm::address::Remote;
///
/// for text in ["unix:///var/run/docker.sock", "tcp://10.0.0.1:2375", "https://h:2376", "ssh://me@host:2222", "ssh://host"] {
///     assert_eq!(text.parse::<Remote>().unwrap().to_string(), text);
/// }
/// assert!("ssh://-oProxyCommand=x".parse::<Remote>().is_err());
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Remote {
    /// A socket that it listens on. `http://` is another spelling of `tcp://`.
    Socket(Address),
    /// TLS over TCP. `https://host:port` is one whose server is verified.
    Tls {
        /// As that of [`Address::Tcp`]; the server's certificate is to be for it.
        host: String,
        /// Never left out: 2376 has no name of its own.
        port: u16,
        /// What is wanted of the encryption.
        tls: Arc<Tls>,
    },
    /// `ssh://[user@]host[:port]`: what `docker system dial-stdio` says on that host.
    Ssh {
        /// Without one, ssh's own configuration decides.
        user: Option<String>,
        /// A name, an address, or a host of ssh's configuration.
        host: String,
        /// Without one, ssh's own configuration decides.
        port: Option<u16>,
    },
    /// Datagrams of UDP, to and from nobody else: each write is one, each read gives one. No text says this.
    Datagram(SocketAddr),
}

/// What is wanted of TLS to a server, as docker's own options say it. The files are read by whoever connects, and where one is
/// not named, the one that docker's client would take is meant.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Tls {
    /// Whether the server has to prove who it is. Without that, whoever stands between reads and changes everything.
    pub verify: bool,
    /// Authorities that may have signed the server's certificate.
    pub ca: Option<String>,
    /// The certificate to show to the server.
    pub cert: Option<String>,
    /// The key that belongs to it.
    pub key: Option<String>,
    /// Whether only files that are named count, as for an etcd, which has nothing to do with docker.
    pub named_only: bool,
}

impl Remote {
    /// The address with TLS.
    ///
    /// # Errors
    ///
    /// It has no TLS to offer: only TCP has.
    pub fn with_tls(self, tls: Tls) -> Result<Self, String> {
        match self {
            Self::Socket(Address::Tcp { host, port }) | Self::Tls { host, port, .. } => {
                Ok(Self::Tls { host, port, tls: Arc::new(tls) })
            }
            other => Err(alloc::format!("TLS is for tcp://HOST:PORT, not for {other}")),
        }
    }
}

impl FromStr for Remote {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let tcp = |rest| super::tcp(rest).map_err(|problem| AddressError::new(text, problem));
        let parsed = if let Some(rest) = text.strip_prefix("ssh://") {
            ssh(rest).map_err(|problem| AddressError::new(text, problem))
        } else if let Some(rest) = text.strip_prefix("https://") {
            let tls = Arc::new(Tls { verify: true, ..Tls::default() });
            tcp(rest).map(|(host, port)| Self::Tls { host, port, tls })
        } else if let Some(rest) = text.strip_prefix("http://") {
            tcp(rest).map(|(host, port)| Self::Socket(Address::Tcp { host, port }))
        } else {
            text.parse().map(Self::Socket)
        };
        parsed.map_err(|error| AddressError { forms: UPSTREAMS, ..error })
    }
}

fn ssh(rest: &str) -> Result<Remote, Problem> {
    if rest.contains('/') {
        return Err(Problem::SshPath);
    }
    let (user, rest) = match rest.split_once('@') {
        Some((user, rest)) => (Some(user), rest),
        None => (None, rest),
    };
    let end = rest.rfind(']').map_or(0, |end| end + 1);
    let (host, port) = match rest[end..].find(':') {
        Some(colon) => (&rest[..end + colon], Some(port_behind(&rest[end + colon..])?)),
        None => (rest, None),
    };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    // The ssh command would take what begins with a hyphen for an option.
    let is_word = |word: &str| {
        !word.is_empty()
            && !word.starts_with('-')
            && word.bytes().all(|byte| is_name_byte(byte) || matches!(byte, b':' | b'%' | b'+'))
    };
    // Docker refuses it, too.
    if user.is_some_and(|user| user.contains(':')) {
        return Err(Problem::SshPassword);
    }
    if !is_word(host) || user.is_some_and(|user| !is_word(user)) {
        return Err(Problem::Ssh);
    }
    Ok(Remote::Ssh { user: user.map(ToString::to_string), host: host.to_string(), port })
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(address) => address.fmt(f),
            Self::Tls { host, port, .. } if host.contains(':') => {
                write!(f, "https://[{host}]:{port}")
            }
            Self::Tls { host, port, .. } => write!(f, "https://{host}:{port}"),
            Self::Datagram(address) => write!(f, "udp://{address}"),
            Self::Ssh { user, host, port } => {
                f.write_str("ssh://")?;
                if let Some(user) = user {
                    write!(f, "{user}@")?;
                }
                match host.contains(':') {
                    true => write!(f, "[{host}]"),
                    false => f.write_str(host),
                }?;
                port.map_or(Ok(()), |port| write!(f, ":{port}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_is_for_tcp() {
        let tls = Tls { ca: Some("ca.pem".to_string()), ..Tls::default() };
        let with = |text: &str| text.parse::<Remote>().unwrap().with_tls(tls.clone());
        for text in ["tcp://h:2376", "https://h:2376"] {
            let Ok(Remote::Tls { host, port, tls: wanted }) = with(text) else { panic!("{text}") };
            assert_eq!((host.as_str(), port, &*wanted), ("h", 2376, &tls));
        }
        for text in ["unix://a.sock", "ssh://h"] {
            assert!(with(text).is_err_and(|error| error.contains(text)), "{text}");
        }
        let Ok(Remote::Tls { tls, .. }) = "https://[::1]:1".parse() else { panic!() };
        assert!(tls.verify);
        for text in ["https://h", "https://h:1/", "https://"] {
            let error = text.parse::<Remote>().unwrap_err().to_string();
            assert!(error.contains(text), "{error}");
        }
    }

    #[test]
    fn ssh_addresses() {
        for text in ["ssh://h", "ssh://u@h", "ssh://u.v+w@h-1.example:22", "ssh://u@[fe80::1]:22"] {
            assert_eq!(
                text.parse::<Remote>().map(|remote| remote.to_string()).as_deref(),
                Ok(text)
            );
        }
        for text in [
            "ssh://",
            "ssh://-h",
            "ssh://-u@h",
            "ssh://@h",
            "ssh://h:",
            "ssh://h:x",
            "ssh://h:99999",
            "ssh://h/path",
            "ssh://h h",
            "ssh://u:password@h",
            "ssh://u@h;true",
        ] {
            assert!(text.parse::<Remote>().is_err(), "{text}");
        }
        for (text, words) in [
            ("ssh://-oProxyCommand=x", "begin with -"),
            ("ssh://u:password@h", "no password"),
            ("ssh://h/path", "nothing may follow"),
            ("ssh://h:22/run/docker.sock", "nothing may follow"),
        ] {
            let error = text.parse::<Remote>().unwrap_err().to_string();
            assert!(
                error.contains(words) && error.contains("ssh://[USER@]HOST[:PORT]"),
                "{text}: {error}"
            );
        }
        assert_eq!("http://h:1".parse::<Remote>().unwrap().to_string(), "tcp://h:1");
    }

    #[test]
    fn what_is_wrong_is_said_with_all_that_could_be_right() {
        for text in ["ftp://h:1", "tcp://h", "http://h", "unix://", "h"] {
            let error = text.parse::<Remote>().unwrap_err().to_string();
            assert!(error.starts_with(&alloc::format!("wrong address {text:?}: ")), "{error}");
            assert!(error.ends_with(&alloc::format!("use {UPSTREAMS}")), "{error}");
        }
    }
}
