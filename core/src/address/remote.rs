//! Where an upstream is.

use alloc::string::{String, ToString};
use core::fmt;
use core::str::FromStr;

use super::{Address, AddressError, Problem, is_name_byte, port_behind};

/// How a server is reached: through a socket, or through the ssh command, as docker's clients do it.
///
/// ```
/// use libswarm::address::Remote;
///
/// for text in ["unix:///var/run/docker.sock", "tcp://10.0.0.1:2375", "ssh://me@host:2222", "ssh://host"] {
///     assert_eq!(text.parse::<Remote>().unwrap().to_string(), text);
/// }
/// assert!("ssh://-oProxyCommand=x".parse::<Remote>().is_err());
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Remote {
    /// A socket that it listens on. `http://` is another spelling of `tcp://`.
    Socket(Address),
    /// `ssh://[user@]host[:port]`: what `docker system dial-stdio` says on that host.
    Ssh {
        /// Without one, ssh's own configuration decides.
        user: Option<String>,
        /// A name, an address, or a host of ssh's configuration.
        host: String,
        /// Without one, ssh's own configuration decides.
        port: Option<u16>,
    },
}

impl FromStr for Remote {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(rest) = text.strip_prefix("ssh://") {
            return ssh(rest).map_err(|problem| AddressError { text: text.to_string(), problem });
        }
        match text.strip_prefix("http://") {
            Some(rest) => alloc::format!("tcp://{rest}").parse().map(Self::Socket),
            None => text.parse().map(Self::Socket),
        }
    }
}

fn ssh(rest: &str) -> Result<Remote, Problem> {
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
    // A colon in the user's part would be a password, which docker refuses too.
    if !is_word(host) || user.is_some_and(|user| !is_word(user) || user.contains(':')) {
        return Err(Problem::Ssh);
    }
    Ok(Remote::Ssh { user: user.map(ToString::to_string), host: host.to_string(), port })
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(address) => address.fmt(f),
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
        let error = "ssh://-oProxyCommand=x".parse::<Remote>().unwrap_err().to_string();
        assert!(error.contains("ssh://[USER@]HOST[:PORT]"), "{error}");
        assert_eq!("http://h:1".parse::<Remote>().unwrap().to_string(), "tcp://h:1");
    }
}
