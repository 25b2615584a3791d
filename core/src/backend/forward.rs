//! A real engine, somewhere else.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use core::time::Duration;

use crate::address::Remote;
use crate::id::JobId;
use crate::job::{Backend, Cx, Event, Upstream};

/// Leaves every job to another server of the Docker API: what came is sent, what is answered comes back, bodies and hijacked
/// streams included. It knows no route, so paths that are nobody's here (podman's `/libpod`, plugins) pass too.
pub struct Forward {
    upstream: Arc<Upstream>,
}

impl Forward {
    /// The words that [`from_words`](Self::from_words) takes, as a synopsis.
    pub const USAGE: &'static str = "[--connect-timeout DURATION] [ADDRESS]";
    /// What it is for, in a line.
    pub const ABOUT: &'static str = "passes everything on to the engine at ADDRESS (DOCKER_HOST, else unix:///var/run/docker.sock)";
    /// Where an engine listens that was not told otherwise.
    pub const DEFAULT: &'static str = "unix:///var/run/docker.sock";
    /// How long a connection to the engine may take unless told otherwise.
    pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

    /// A backend that forwards to that server.
    #[must_use]
    pub fn new(upstream: Upstream) -> Self {
        Self { upstream: Arc::new(upstream) }
    }

    /// Makes one from the words behind its name; `default` is the address without one.
    ///
    /// # Errors
    ///
    /// An address or a duration that is none, more than one address, or an unknown option.
    pub fn from_words(words: &[String], default: &str) -> Result<Self, String> {
        let mut connect_timeout = Self::CONNECT_TIMEOUT;
        let mut address = None;
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if let Some(value) = word.strip_prefix("--connect-timeout") {
                let value = match value.strip_prefix('=') {
                    Some(value) => value,
                    None if value.is_empty() => words.next().map_or("", String::as_str),
                    None => return Err(format!("there is no option {word:?}")),
                };
                connect_timeout = duration(value).ok_or_else(|| {
                    format!("--connect-timeout {value:?} is no duration: write 10s, 500ms or 2m")
                })?;
            } else if word.starts_with('-') {
                return Err(format!("there is no option {word:?}"));
            } else if let Some(before) = address.replace(word.to_owned()) {
                return Err(format!(
                    "two addresses, {before:?} and {word:?}: a chain of backends has one each"
                ));
            }
        }
        let text = address.as_deref().unwrap_or(default);
        let address = text.parse::<Remote>().map_err(|error| error.to_string())?;
        Ok(Self::new(Upstream { address, connect_timeout }))
    }
}

/// A whole number with a unit; without one, seconds.
fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok().filter(|_| digits <= 9)?;
    match &text[digits..] {
        "" | "s" => Some(Duration::from_secs(number)),
        "ms" => Some(Duration::from_millis(number)),
        "m" => Some(Duration::from_secs(number * 60)),
        _ => None,
    }
}

impl Backend for Forward {
    fn handle(&mut self, cx: &mut Cx<'_>, job: JobId, event: Event<'_>) {
        if let Event::Start(_) = event {
            cx.join(job, &self.upstream);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn made(line: &str) -> Result<(String, u128), String> {
        let words: Vec<String> = line.split_whitespace().map(ToOwned::to_owned).collect();
        Forward::from_words(&words, Forward::DEFAULT).map(|forward| {
            let Upstream { address, connect_timeout } = &*forward.upstream;
            (address.to_string(), connect_timeout.as_millis())
        })
    }

    #[test]
    fn words() {
        for (line, address, timeout) in [
            ("", "unix:///var/run/docker.sock", 10_000),
            ("unix://a.sock", "unix://a.sock", 10_000),
            ("ssh://me@h", "ssh://me@h", 10_000),
            ("http://localhost:2375", "tcp://localhost:2375", 10_000),
            ("--connect-timeout 500ms tcp://[::1]:1", "tcp://[::1]:1", 500),
            ("tcp://h:1 --connect-timeout=3", "tcp://h:1", 3000),
        ] {
            assert_eq!(made(line), Ok((address.to_owned(), timeout)), "{line}");
        }
        for (line, word) in [
            ("localhost:2375", "tcp://localhost:2375"),
            ("tcp://a:1 tcp://b:1", "two addresses"),
            ("--connect-timeout", "no duration"),
            ("--connect-timeout soon tcp://a:1", "soon"),
            ("--connect-timeout=9999999999", "9999999999"),
            ("--tls tcp://a:1", "--tls"),
        ] {
            assert!(made(line).is_err_and(|error| error.contains(word)), "{line}");
        }
    }
}
