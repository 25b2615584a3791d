//! A real engine, somewhere else.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use crate::address::{Address, Remote, Tls};
use crate::id::JobId;
use crate::job::{Backend, Cx, Event, Upstream};

/// Leaves every job to another server of the Docker API: what came is sent, what is answered comes back, bodies and hijacked
/// streams included. It knows no route, so paths that are nobody's here (podman's `/libpod`, plugins) pass too.
pub struct Forward {
    upstream: Arc<Upstream>,
}

impl Forward {
    /// The words that [`from_words`](Self::from_words) takes, as a synopsis.
    pub const USAGE: &'static str = "[--connect-timeout DURATION] [--tls | --tlsverify] [--tlscacert FILE] \
                                     [--tlscert FILE] [--tlskey FILE] [ADDRESS]";
    /// What it is for, in a line.
    pub const ABOUT: &'static str = "passes everything on to the engine at ADDRESS: unix://PATH, tcp://HOST:PORT, https://HOST:PORT \
                                     or ssh://[USER@]HOST[:PORT]; without one DOCKER_HOST, else unix:///var/run/docker.sock";
    /// Where an engine listens that was not told otherwise.
    pub const DEFAULT: &'static str = "unix:///var/run/docker.sock";
    /// How long a connection to the engine may take unless told otherwise, the handshake of TLS included.
    pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
    /// The port of an engine with TLS that names none.
    pub const TLS_PORT: u16 = 2376;

    /// A backend that forwards to that server.
    #[must_use]
    pub fn new(upstream: Upstream) -> Self {
        Self { upstream: Arc::new(upstream) }
    }

    /// Makes one from the words behind its name. Words without an address are followed by those of `default`, which have one.
    ///
    /// # Errors
    ///
    /// An address or a duration that is none, more than one address, an unknown option, or TLS where there is none.
    pub fn from_words(words: &[String], default: &[String]) -> Result<Self, String> {
        let mut asked = Asked::default();
        asked.read(words)?;
        if asked.address.is_some() {
            return asked.upstream().map(Self::new);
        }
        // Who sees an error has not written what it is about.
        asked.read(default).and_then(|()| asked.upstream()).map(Self::new).map_err(|error| {
            let usual = Self::DEFAULT;
            format!("no address is given, so that of DOCKER_HOST, else {usual}: {error}")
        })
    }
}

/// What the words ask for.
#[derive(Default)]
struct Asked {
    address: Option<String>,
    connect_timeout: Option<Duration>,
    is_tls: bool,
    tls: Tls,
}

impl Asked {
    fn read(&mut self, words: &[String]) -> Result<(), String> {
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if !word.starts_with('-') {
                if let Some(before) = self.address.replace(word.to_owned()) {
                    return Err(format!(
                        "two addresses, {before:?} and {word:?}: a chain of backends has one each"
                    ));
                }
                continue;
            }
            let (name, value) =
                word.split_once('=').map_or((word.as_str(), None), |(n, v)| (n, Some(v)));
            let mut value = || value.or_else(|| words.next().map(String::as_str)).unwrap_or("");
            let mut file = || match value() {
                "" => Err(format!("{name} needs the name of a file")),
                file => Ok(Some(file.to_owned())),
            };
            match name {
                "--tls" if name == word => self.is_tls = true,
                "--tlsverify" if name == word => (self.is_tls, self.tls.verify) = (true, true),
                "--tlscacert" => self.tls.ca = file()?,
                "--tlscert" => self.tls.cert = file()?,
                "--tlskey" => self.tls.key = file()?,
                "--connect-timeout" => {
                    let value = value();
                    let limit = duration(value).ok_or_else(|| {
                        format!("{name} {value:?} is no duration: write 10s, 500ms or 1m30s")
                    })?;
                    if limit.is_zero() {
                        return Err(format!("{name} {value:?} leaves no time to connect in"));
                    }
                    self.connect_timeout = Some(limit);
                }
                _ => return Err(format!("there is no option {word:?}")),
            }
        }
        Ok(())
    }

    fn upstream(self) -> Result<Upstream, String> {
        let Self { address, connect_timeout, is_tls, mut tls } = self;
        let text = address.unwrap_or_default();
        let has_files = tls.ca.is_some() || tls.cert.is_some() || tls.key.is_some();
        let address = if is_tls || (has_files && text.starts_with("https://")) {
            if text.starts_with("http://") {
                return Err(format!("{text} is without TLS: write tcp://HOST:PORT"));
            }
            let address = match Address::with_default_port(&text, Forward::TLS_PORT) {
                Ok(address) => Remote::Socket(address),
                Err(_) => text.parse::<Remote>().map_err(|error| error.to_string())?,
            };
            tls.verify |= text.starts_with("https://");
            address.with_tls(tls)?
        } else if has_files {
            // Whoever names certificates does not want to go without them.
            return Err(String::from("certificates are named, but no TLS: add --tlsverify"));
        } else {
            text.parse::<Remote>().map_err(|error| error.to_string())?
        };
        let port = match &address {
            Remote::Socket(Address::Tcp { port, .. }) | Remote::Tls { port, .. } => Some(*port),
            Remote::Ssh { port, .. } => *port,
            Remote::Socket(Address::Unix { .. }) | Remote::Datagram(_) => None,
        };
        if port == Some(0) {
            return Err(format!("{text}: nothing listens on port 0"));
        }
        let connect_timeout = connect_timeout.unwrap_or(Forward::CONNECT_TIMEOUT);
        Ok(Upstream { address, connect_timeout })
    }
}

/// Whole numbers with units, as the command line has them: `10s`, `500ms`, `1m30s`; a bare number is seconds.
fn duration(text: &str) -> Option<Duration> {
    let (mut total, mut rest) = (Duration::ZERO, text);
    loop {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
        let (number, behind) = rest.split_at(digits);
        let number: u64 = number.parse().ok().filter(|_| digits <= 9)?;
        let unit = behind.find(|letter: char| letter.is_ascii_digit()).unwrap_or(behind.len());
        let (unit, next) = behind.split_at(unit);
        total += match unit {
            "ms" => Duration::from_millis(number),
            "s" => Duration::from_secs(number),
            "m" => Duration::from_secs(number * 60),
            "" if digits == text.len() => Duration::from_secs(number),
            _ => return None,
        };
        if next.is_empty() {
            return Some(total);
        }
        rest = next;
    }
}

impl Backend for Forward {
    fn handle(&mut self, cx: &mut Cx<'_>, job: JobId, event: Event<'_>) {
        if let Event::Start(_) = event {
            cx.join(job, &self.upstream);
        }
    }

    fn upstreams(&self) -> Vec<Arc<Upstream>> {
        Vec::from([Arc::clone(&self.upstream)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(ToOwned::to_owned).collect()
    }

    fn made(line: &str) -> Result<(String, u128), String> {
        Forward::from_words(&words(line), &words(Forward::DEFAULT)).map(|forward| {
            let Upstream { address, connect_timeout } = &*forward.upstream;
            (address.to_string(), connect_timeout.as_millis())
        })
    }

    fn tls(line: &str, default: &str) -> Result<(String, Tls), String> {
        let forward = Forward::from_words(&words(line), &words(default))?;
        let address = &forward.upstream.address;
        let Remote::Tls { tls, .. } = address else { return Err(format!("{address}: no TLS")) };
        Ok((address.to_string(), (**tls).clone()))
    }

    #[test]
    fn tls_as_docker_has_it() {
        let file = |name: &str| Some(name.to_owned());
        let none = Tls::default();
        let verified = Tls { verify: true, ..Tls::default() };
        let whole = Tls { ca: file("a"), cert: file("c"), key: file("k"), ..verified.clone() };
        let files = "--tlscacert a --tlscert=c --tlskey k";
        for (line, default, address, wanted) in [
            ("--tls tcp://h:1", "", "https://h:1", &none),
            ("--tlsverify tcp://h", "", "https://h:2376", &verified),
            ("https://h:1", "", "https://h:1", &verified),
            ("--tls https://h:1", "", "https://h:1", &verified),
            ("", "--tlsverify tcp://h", "https://h:2376", &verified),
            (&format!("--tlsverify {files} tcp://h:1"), "", "https://h:1", &whole),
            (&format!("https://h:1 {files}"), "", "https://h:1", &whole),
            (files, "--tlsverify tcp://h:1", "https://h:1", &whole),
        ] {
            let expected = Ok((address.to_owned(), wanted.clone()));
            assert_eq!(tls(line, default), expected, "{line}, {default}");
        }
        for (line, word) in [
            ("--tls=1 tcp://h:1", "--tls=1"),
            ("--tlscacert a tcp://h:1", "--tlsverify"),
            ("--tlsverify unix://a", "unix://a"),
            ("--tlsverify ssh://h", "ssh://h"),
            ("--tls http://h:1", "http://h:1"),
            ("--tlsverify tcp://h --tlskey", "--tlskey"),
            ("--tlsverify h:1", "tcp://h:1"),
        ] {
            assert!(made(line).is_err_and(|error| error.contains(word)), "{line}");
        }
    }

    #[test]
    fn addresses_and_timeouts() {
        for (line, address, timeout) in [
            ("", "unix:///var/run/docker.sock", 10_000),
            ("unix://a.sock", "unix://a.sock", 10_000),
            ("ssh://me@h", "ssh://me@h", 10_000),
            ("http://localhost:2375", "tcp://localhost:2375", 10_000),
            ("--connect-timeout 500ms tcp://[::1]:1", "tcp://[::1]:1", 500),
            ("tcp://h:1 --connect-timeout=3", "tcp://h:1", 3000),
            ("tcp://h:1 --connect-timeout=1m30s", "tcp://h:1", 90_000),
            ("tcp://h:1 --connect-timeout 1s500ms", "tcp://h:1", 1500),
        ] {
            assert_eq!(made(line), Ok((address.to_owned(), timeout)), "{line}");
        }
        for (line, word) in [
            ("localhost:2375", "tcp://localhost:2375"),
            ("tcp://a:1 tcp://b:1", "two addresses"),
            ("--connect-timeout", "no duration"),
            ("--connect-timeout soon tcp://a:1", "soon"),
            ("--connect-timeout=9999999999", "9999999999"),
            ("--connect-timeout=1m30", "1m30"),
            ("--connect-timeout=s", "no duration"),
            ("--connect-timeout 0ms tcp://a:1", "no time"),
            ("tcp://a:0", "port 0"),
            ("ssh://a:0", "port 0"),
            ("https://a:0", "port 0"),
            ("--nosuch tcp://a:1", "--nosuch"),
        ] {
            assert!(made(line).is_err_and(|error| error.contains(word)), "{line}");
        }
        let from_environment = Forward::from_words(&[], &words("localhost:2375"));
        let error = from_environment.err().unwrap();
        assert!(
            error.contains("DOCKER_HOST") && error.contains("write tcp://localhost:2375"),
            "{error}"
        );
    }
}
