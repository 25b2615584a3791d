//! Discovery's part that needs std: the journal's files, the daemon `discoverd` and its commands.

mod cli;
mod commands;
mod daemon;
mod files;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use libswarm::address::{Address, StoreKind, StoreSettings};
use libswarm::discovery::store::{etcd, zookeeper};
use libswarm::discovery::{Agent, Memory, TTL, dns};
use libswarm::job::Upstream;
use libswarm::{Instant, discovery};

pub use daemon::discoverd;
pub(crate) use daemon::say_where;
pub use files::JournalFiles;
pub use writer::JournalWriter;

use crate::duration;

/// What makes an agent.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Discovery {
    /// Of its store.
    pub settings: StoreSettings,
    /// What stands before an address that begins with a colon.
    pub external_address: Option<String>,
}

/// An agent, and what its store has outside of this process.
pub(crate) struct Opened {
    pub(crate) agent: Agent,
    pub(crate) journal: Option<JournalFiles>,
    pub(crate) upstreams: Vec<Arc<Upstream>>,
}

/// The registry as DNS, and where.
pub(crate) struct Dns {
    pub(crate) server: dns::Server,
    pub(crate) addresses: Vec<Address>,
}

impl Discovery {
    /// What is to serve DNS, if anything. `seed` is a random number.
    pub(crate) fn dns(&self, seed: u64) -> Result<Option<Dns>, String> {
        let Some(config) = dns::Config::from_settings(&self.settings, seed)? else {
            return Ok(None);
        };
        let mut addresses = Vec::new();
        for text in self.settings.dns.iter().flat_map(|all| all.split(',')) {
            addresses.push(format!("tcp://{text}").parse().map_err(|_| {
                format!(
                    "--dns {text:?} is no address: use HOST:PORT, [IPV6]:PORT, or :PORT for all interfaces, \
                     with commas between several"
                )
            })?);
        }
        Ok(Some(Dns { server: dns::Server::new(config), addresses }))
    }

    /// Opens the store. `seed` is a random number.
    pub(crate) fn open(&self, now: Instant, seed: u64) -> Result<Opened, String> {
        let ttl = match &self.settings.ttl {
            None => TTL,
            Some(text) => {
                duration::parse(text).ok().filter(|ttl| *ttl >= Duration::from_secs(1)).ok_or_else(
                    || format!("ttl {text:?} is no duration of at least 1s: write 10s or 1m"),
                )?
            }
        };
        let external = self.external_address.clone();
        let settings = &self.settings;
        let etcd = etcd::Config::from_settings(settings, ttl, seed)?;
        let zookeeper = zookeeper::Config::from_settings(settings, ttl, seed)?;
        if etcd.is_some() && zookeeper.is_some() {
            return Err("registrations are kept in one place: name it with --etcd or with \
                        --zookeeper, not with both"
                .to_owned());
        }
        let is_elsewhere = settings.store == StoreKind::Memory || settings.data_dir.is_some();
        let elsewhere = |option: &str| {
            format!(
                "with {option} registrations are kept there and nowhere else: leave --store and --data-dir out"
            )
        };
        if let Some(config) = etcd {
            if is_elsewhere {
                return Err(elsewhere("--etcd"));
            }
            let upstreams = config.endpoints.clone();
            let store = discovery::Etcd::new(now, config);
            let agent = Agent::new(Box::new(store), external);
            return Ok(Opened { agent, journal: None, upstreams });
        }
        if let Some(config) = zookeeper {
            if is_elsewhere {
                return Err(elsewhere("--zookeeper"));
            }
            let upstreams = config.endpoints.clone();
            let store = discovery::Zookeeper::new(now, config);
            let agent = Agent::new(Box::new(store), external);
            return Ok(Opened { agent, journal: None, upstreams });
        }
        match self.settings.store {
            StoreKind::Memory if settings.data_dir.is_some() => {
                Err("with --store memory nothing is kept on disk: leave --data-dir out".to_owned())
            }
            StoreKind::Memory => {
                let agent = Agent::new(Box::new(Memory::new(ttl)), external);
                Ok(Opened { agent, journal: None, upstreams: Vec::new() })
            }
            StoreKind::Journal => {
                let folder = match &self.settings.data_dir {
                    Some(folder) => PathBuf::from(folder),
                    None => usual_folder(|name| std::env::var(name).ok()).ok_or(
                        "no place for the journal: set HOME or XDG_DATA_HOME, name a folder with \
                         --data-dir, or keep nothing on disk with --store memory",
                    )?,
                };
                let (mut files, content) = JournalFiles::open(&folder)?;
                let (journal, whole) = discovery::Journal::load(now, ttl, &content)
                    .map_err(|error| format!("{}: {error}", files.path().display()))?;
                files.cut(whole, &content)?;
                let agent = Agent::new(Box::new(journal), external);
                Ok(Opened { agent, journal: Some(files), upstreams: Vec::new() })
            }
        }
    }
}

/// `$XDG_DATA_HOME/discoverd`, else `~/.local/share/discoverd` (XDG Base Directory Specification).
fn usual_folder(variable: impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let folder = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let data = folder("XDG_DATA_HOME").or_else(|| Some(folder("HOME")?.join(".local/share")))?;
    Some(data.join("discoverd"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_folder_is_xdg_s() {
        for (set, expected) in [
            (&[("HOME", "/h")][..], Some("/h/.local/share/discoverd")),
            (&[("HOME", "/h"), ("XDG_DATA_HOME", "/d")], Some("/d/discoverd")),
            // One that is not absolute does not count.
            (&[("HOME", "/h"), ("XDG_DATA_HOME", "d")], Some("/h/.local/share/discoverd")),
            (&[("HOME", "/h"), ("XDG_DATA_HOME", "")], Some("/h/.local/share/discoverd")),
            (&[("HOME", "")], None),
        ] {
            let found = usual_folder(|name| {
                set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            });
            assert_eq!(found, expected.map(PathBuf::from), "{set:?}");
        }
    }

    #[test]
    fn registrations_are_kept_in_one_place() {
        let mut discovery = Discovery::default();
        discovery.settings.etcd = Some("http://a:1".into());
        assert!(discovery.open(Instant::ZERO, 1).is_ok());
        discovery.settings.store = StoreKind::Memory;
        let error = discovery.open(Instant::ZERO, 1).err().unwrap();
        assert!(error.contains("leave --store and --data-dir out"), "{error}");
        discovery.settings.zookeeper = Some("a:1".into());
        let error = discovery.open(Instant::ZERO, 1).err().unwrap();
        assert!(error.contains("--etcd or with --zookeeper, not with both"), "{error}");
        discovery.settings.etcd = None;
        let error = discovery.open(Instant::ZERO, 1).err().unwrap();
        assert!(error.starts_with("with --zookeeper registrations are kept there"), "{error}");
        discovery.settings.store = StoreKind::Journal;
        assert!(discovery.open(Instant::ZERO, 1).is_ok());
        discovery.settings.zookeeper = None;
        discovery.settings.store = StoreKind::Memory;
        assert!(discovery.open(Instant::ZERO, 1).is_ok());
        discovery.settings.data_dir = Some("/nowhere".into());
        let error = discovery.open(Instant::ZERO, 1).err().unwrap();
        assert!(error.contains("leave --data-dir out"), "{error}");
    }

    #[test]
    fn dns_is_served_at_one_address_or_more() {
        let addresses = |dns: &str| {
            let mut discovery = Discovery::default();
            discovery.settings.dns = Some(dns.into());
            discovery.dns(1).map(|dns| {
                dns.unwrap().addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
            })
        };
        assert_eq!(addresses("127.0.0.1:5353").unwrap(), "tcp://127.0.0.1:5353");
        assert_eq!(addresses(":53,[::1]:0").unwrap(), "tcp://:53 tcp://[::1]:0");
        for text in ["", "5353", "localhost", ":53,", "udp://a:1"] {
            let error = addresses(text).unwrap_err();
            assert!(error.contains("is no address: use HOST:PORT, [IPV6]:PORT"), "{error}");
        }
        assert!(Discovery::default().dns(1).unwrap().is_none());
    }

    #[test]
    fn a_ttl_is_a_duration() {
        for ttl in ["x", "500ms", "0"] {
            let mut discovery = Discovery::default();
            discovery.settings.ttl = Some(ttl.into());
            let error = discovery.open(Instant::ZERO, 1).err().unwrap();
            assert!(
                error.starts_with(&format!("ttl {ttl:?} is no duration of at least 1s")),
                "{error}"
            );
        }
    }
}
