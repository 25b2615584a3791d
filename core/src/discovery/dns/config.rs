//! What a server of the zone is told when it is made.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use crate::address::StoreSettings;

/// How a [`Server`](super::Server) behaves.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Who is asked for names of other zones, the first one first, unless it has just been silent. Without any such questions are
    /// refused; with some, everybody who can ask here can ask there.
    pub recursors: Vec<SocketAddr>,
    /// How long one of them is waited for before the next is asked. Default 2 s.
    pub patience: Duration,
    /// How many questions to them may be under way; further ones are answered SERVFAIL. Default 1,024.
    pub forwarded: usize,
    /// How many connections of clients over TCP may be open; further ones are refused. Default 1,024.
    pub connections: usize,
    /// How many questions of one connection may wait for a recursor; further ones are not read until one is answered.
    /// Default 32.
    pub pipelined: usize,
    /// How long a connection may neither ask nor take an answer before it is closed (RFC 7766 section 6.2.3). Default 10 s.
    pub idle: Duration,
    /// Chance, for which records are picked and by which ids recursors are asked. It is to be different for every process, and known to
    /// nobody: from it follow the ids that keep others from answering in a recursor's place.
    pub seed: u64,
}

/// Where a recursor listens if nothing is said of that.
const PORT: u16 = 53;

impl Config {
    /// One without recursors.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            recursors: Vec::new(),
            patience: Duration::from_secs(2),
            forwarded: 1024,
            connections: 1024,
            pipelined: 32,
            idle: Duration::from_secs(10),
            seed,
        }
    }

    /// What settings say of DNS; `None` if they name no address to serve it at.
    ///
    /// # Errors
    ///
    /// Something is wrong with them; the message is for those who wrote them.
    pub fn from_settings(settings: &StoreSettings, seed: u64) -> Result<Option<Self>, String> {
        let mut config = Self::new(seed);
        if let Some(recursors) = &settings.recursors {
            if settings.dns.is_none() {
                return Err("--recursors is of no use without --dns ADDRESS".into());
            }
            for text in recursors.split(',') {
                config.recursors.push(recursor(text)?);
            }
        }
        Ok(settings.dns.is_some().then_some(config))
    }
}

fn recursor(text: &str) -> Result<SocketAddr, String> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = text
        .parse::<SocketAddr>()
        .or_else(|_| bare.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, PORT)));
    match address {
        Ok(address) if address.port() != 0 && !address.ip().is_unspecified() => Ok(address),
        _ => Err(format!(
            "--recursors {text:?} is no address of a server: use IP, IP:PORT or [IPV6]:PORT, with commas between several"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    fn config(dns: Option<&str>, recursors: Option<&str>) -> Result<Option<Config>, String> {
        let settings = StoreSettings {
            dns: dns.map(Into::into),
            recursors: recursors.map(Into::into),
            ..StoreSettings::default()
        };
        Config::from_settings(&settings, 1)
    }

    #[test]
    fn recursors_are_ip_addresses() {
        assert_eq!(config(None, None), Ok(None));
        assert_eq!(config(Some(":53"), None), Ok(Some(Config::new(1))));
        let all = config(Some(":53"), Some("10.0.0.2,10.0.0.3:5353,::1,[::2],[::3]:54"));
        let all: Vec<String> =
            all.unwrap().unwrap().recursors.iter().map(ToString::to_string).collect();
        assert_eq!(all.join(" "), "10.0.0.2:53 10.0.0.3:5353 [::1]:53 [::2]:53 [::3]:54");
        for text in ["", "dns.example", "10.0.0.2,", "10.0.0.2:0", "0.0.0.0", "10.0.0.2:x", "[::1"]
        {
            let error = config(Some(":53"), Some(text)).unwrap_err();
            assert!(error.contains("is no address of a server: use IP, IP:PORT"), "{error}");
        }
        let error = config(None, Some("10.0.0.2")).unwrap_err();
        assert_eq!(error, "--recursors is of no use without --dns ADDRESS");
    }
}
