//! Which ZooKeeper, where in it, and as whom.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use super::session::PATIENCE;
use crate::address::{Remote, StoreSettings};
use crate::job::Upstream;

/// The port of a server that is named without one.
const PORT: u16 = 2181;

/// How a ZooKeeper is reached, and what is kept there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// Its servers, at least one, the first to be asked first.
    pub endpoints: Vec<Arc<Upstream>>,
    /// The node in which `discoverd` is to be: empty, or a path that begins with a slash and does not end with one.
    pub chroot: String,
    /// A name and a password with a colon between them (the scheme `digest`): then only who has these may see and change what
    /// is created.
    pub auth: Option<String>,
    /// How long an instance stays after its last heartbeat, and the session's timeout. ZooKeeper grants what lies between 2 and
    /// 20 of its ticks, as a rule 4 s to 40 s.
    pub ttl: Duration,
    /// Where the numbers of those who write documents come from: different for every process.
    pub seed: u64,
}

impl Config {
    /// What settings say of a ZooKeeper; `None` if they name none.
    ///
    /// # Errors
    ///
    /// Something is wrong with them; the message is for those who wrote them.
    pub fn from_settings(
        settings: &StoreSettings,
        ttl: Duration,
        seed: u64,
    ) -> Result<Option<Self>, String> {
        let Some(servers) = &settings.zookeeper else {
            return match &settings.zookeeper_auth {
                Some(_) => {
                    Err("--zookeeper-auth is of no use without --zookeeper HOST:PORT".into())
                }
                None => Ok(None),
            };
        };
        let wrong = || {
            format!(
                "--zookeeper {servers:?} is no ZooKeeper: use HOST:PORT, with commas between several, and a path behind the last one for a place in it"
            )
        };
        let (hosts, chroot) = match servers.find('/') {
            Some(at) => servers.split_at(at),
            None => (&**servers, ""),
        };
        let chroot = chroot.strip_suffix('/').unwrap_or(chroot);
        if !chroot.is_empty() && !chroot.split('/').skip(1).all(is_node) {
            return Err(wrong());
        }
        let mut endpoints = Vec::new();
        for host in hosts.split(',') {
            let address = endpoint(host).ok_or_else(wrong)?;
            endpoints.push(Arc::new(Upstream { address, connect_timeout: PATIENCE }));
        }
        let auth = match &settings.zookeeper_auth {
            Some(auth) if auth.find(':').is_none_or(|at| at == 0) => {
                return Err("--zookeeper-auth is USER:PASSWORD".into());
            }
            auth => auth.clone(),
        };
        Ok(Some(Self { endpoints, chroot: chroot.to_owned(), auth, ttl, seed }))
    }
}

/// Whether ZooKeeper would take it for a node's name.
fn is_node(name: &str) -> bool {
    !name.is_empty() && (super::names::escape(name) == name || name.contains('%'))
}

fn endpoint(host: &str) -> Option<Remote> {
    let bare = !host.ends_with(']') && host.contains(':');
    let text = if bare { format!("tcp://{host}") } else { format!("tcp://{host}:{PORT}") };
    text.parse().ok().filter(|remote: &Remote| !remote.to_string().starts_with("tcp://:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(zookeeper: Option<&str>, auth: Option<&str>) -> Result<Option<Config>, String> {
        let mut settings = StoreSettings::default();
        settings.zookeeper = zookeeper.map(Into::into);
        settings.zookeeper_auth = auth.map(Into::into);
        Config::from_settings(&settings, Duration::from_secs(10), 1)
    }

    #[test]
    fn servers_and_a_place() {
        assert_eq!(config(None, None), Ok(None));
        for (text, shown, chroot) in [
            ("127.0.0.1:2181", "tcp://127.0.0.1:2181", ""),
            (
                "a:1,b,[::1]:3,[::2]/x/y",
                "tcp://a:1 tcp://b:2181 tcp://[::1]:3 tcp://[::2]:2181",
                "/x/y",
            ),
            ("a/", "tcp://a:2181", ""),
            ("a/x/", "tcp://a:2181", "/x"),
        ] {
            let config = config(Some(text), None).unwrap().unwrap();
            let all: Vec<String> =
                config.endpoints.iter().map(|it| it.address.to_string()).collect();
            assert_eq!((&*all.join(" "), &*config.chroot), (shown, chroot), "{text}");
        }
        for text in ["", "a,", ",a", ":1", "a:x", "http://a:1", "a//x", "a/../x", "a/x//y"] {
            let error = config(Some(text), None).unwrap_err();
            assert!(error.contains("is no ZooKeeper: use HOST:PORT"), "{text}: {error}");
        }
    }

    #[test]
    fn a_user_has_a_name_and_a_password() {
        let auth = |text| config(Some("a"), Some(text)).map(|it| it.unwrap().auth.unwrap());
        assert_eq!(auth("me:se:cret"), Ok("me:se:cret".into()));
        for bad in ["me", ":x", ""] {
            assert_eq!(auth(bad), Err("--zookeeper-auth is USER:PASSWORD".into()));
        }
        let error = config(None, Some("me:x")).unwrap_err();
        assert_eq!(error, "--zookeeper-auth is of no use without --zookeeper HOST:PORT");
    }
}
