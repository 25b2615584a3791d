//! A frontend for clients of discovery, and what its store is to be.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use super::{Address, AddressError, Problem};

/// `discoverd://host:port`, with settings of the store behind a question mark.
///
/// ```
/// use libswarm::address::Discoverd;
///
/// let frontend: Discoverd = "discoverd://localhost:1111?data-dir=/var/lib/discoverd&ttl=20s".parse().unwrap();
/// assert_eq!(frontend.address.to_string(), "tcp://localhost:1111");
/// assert_eq!(frontend.settings.data_dir.as_deref(), Some("/var/lib/discoverd"));
/// assert_eq!(frontend.settings.ttl.as_deref(), Some("20s"));
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Discoverd {
    /// Where it listens.
    pub address: Address,
    /// What is said of its store.
    pub settings: StoreSettings,
}

/// Settings of a store of discovery, as text; what is not said is left to the program.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct StoreSettings {
    /// Where it is.
    pub store: StoreKind,
    /// The folder of its files.
    pub data_dir: Option<String>,
    /// How long an instance stays after its last heartbeat.
    pub ttl: Option<String>,
    /// The members of an etcd that keeps registrations in place of this process, with commas between them:
    /// `http://HOST:PORT` or `https://HOST:PORT`.
    pub etcd: Option<String>,
    /// The file with the authorities that may have signed its certificate; without it, those that the system trusts.
    pub etcd_ca: Option<String>,
    /// The file of a certificate to show to it.
    pub etcd_cert: Option<String>,
    /// The file of the key that belongs to that.
    pub etcd_key: Option<String>,
    /// As whom: `NAME:PASSWORD`.
    pub etcd_user: Option<String>,
    /// The servers of a ZooKeeper that keeps registrations in place of this process: `HOST:PORT` with commas between them, and a
    /// path behind the last one for the node in which they are to be.
    pub zookeeper: Option<String>,
    /// As whom: `USER:PASSWORD`.
    pub zookeeper_auth: Option<String>,
    /// Where else the registry is served, as DNS, over UDP and TCP: `HOST:PORT`, with commas between several. On a machine with
    /// several addresses name each of them: from all interfaces (`:PORT`) answers leave with the one that the system picks.
    pub dns: Option<String>,
    /// The DNS servers that are asked for all other names: `IP` or `IP:PORT`, with commas between them.
    pub recursors: Option<String>,
}

/// Where registrations are kept.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum StoreKind {
    /// In a journal on disk.
    #[default]
    Journal,
    /// In memory.
    Memory,
}

impl FromStr for StoreKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "journal" => Ok(Self::Journal),
            "memory" => Ok(Self::Memory),
            _ => Err(alloc::format!("there is no store {text:?}: use journal or memory")),
        }
    }
}

impl FromStr for Discoverd {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        parse(text).map_err(|problem| AddressError::new(text, problem))
    }
}

fn parse(text: &str) -> Result<Discoverd, Problem> {
    let rest = text.strip_prefix("discoverd://").ok_or(Problem::Scheme)?;
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (host, port) = super::tcp(place)?;
    let mut settings = StoreSettings::default();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').ok_or(Problem::Setting)?;
        match key {
            "store" => settings.store = value.parse().map_err(|_| Problem::Setting)?,
            _ => {
                let place = match key {
                    "data-dir" => &mut settings.data_dir,
                    "ttl" => &mut settings.ttl,
                    "etcd" => &mut settings.etcd,
                    "etcd-ca" => &mut settings.etcd_ca,
                    "etcd-cert" => &mut settings.etcd_cert,
                    "etcd-key" => &mut settings.etcd_key,
                    "etcd-user" => &mut settings.etcd_user,
                    "zookeeper" => &mut settings.zookeeper,
                    "zookeeper-auth" => &mut settings.zookeeper_auth,
                    "dns" => &mut settings.dns,
                    "recursors" => &mut settings.recursors,
                    _ => return Err(Problem::Setting),
                };
                *place = Some(decode(value).filter(|it| !it.is_empty()).ok_or(Problem::Setting)?);
            }
        }
    }
    Ok(Discoverd { address: Address::Tcp { host, port }, settings })
}

/// A value with its percent signs resolved (RFC 3986 section 2.1): a password may hold anything.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                (digit()? << 4 | digit()?) as u8
            }
            _ => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

impl fmt::Display for Discoverd {
    /// Without the settings.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.address.to_string();
        write!(f, "discoverd://{}", address.strip_prefix("tcp://").unwrap_or(&address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_ones() {
        for (text, shown, kind) in [
            ("discoverd://localhost:1111", "discoverd://localhost:1111", StoreKind::Journal),
            ("discoverd://:1111?", "discoverd://:1111", StoreKind::Journal),
            ("discoverd://[::1]:0?store=memory&", "discoverd://[::1]:0", StoreKind::Memory),
        ] {
            let frontend: Discoverd = text.parse().unwrap();
            assert_eq!((&*frontend.to_string(), frontend.settings.store), (shown, kind));
        }
    }

    #[test]
    fn an_etcd_is_named_in_the_query() {
        let text = "discoverd://localhost:1111?etcd=http://a:1,http://b:2&etcd-user=me:%26%25x&etcd-ca=/ca";
        let settings = text.parse::<Discoverd>().unwrap().settings;
        assert_eq!(settings.etcd.as_deref(), Some("http://a:1,http://b:2"));
        assert_eq!(settings.etcd_user.as_deref(), Some("me:&%x"));
        assert_eq!(settings.etcd_ca.as_deref(), Some("/ca"));
    }

    #[test]
    fn a_zookeeper_is_named_in_the_query() {
        let text = "discoverd://localhost:1111?zookeeper=a:1,b:2/x&zookeeper-auth=me:%26";
        let settings = text.parse::<Discoverd>().unwrap().settings;
        assert_eq!(settings.zookeeper.as_deref(), Some("a:1,b:2/x"));
        assert_eq!(settings.zookeeper_auth.as_deref(), Some("me:&"));
    }

    #[test]
    fn dns_is_named_in_the_query() {
        let text =
            "discoverd://localhost:1111?dns=127.0.0.1:5353,[::1]:5353&recursors=10.0.0.2,::2";
        let settings = text.parse::<Discoverd>().unwrap().settings;
        assert_eq!(settings.dns.as_deref(), Some("127.0.0.1:5353,[::1]:5353"));
        assert_eq!(settings.recursors.as_deref(), Some("10.0.0.2,::2"));
    }

    #[test]
    fn bad_ones_say_what_is_wrong() {
        for (text, problem) in [
            ("tcp://localhost:1111", Problem::Scheme),
            ("discoverd://localhost", Problem::NoPort),
            ("discoverd://localhost:1111/x", Problem::BehindPort),
            ("discoverd://localhost:1111?store", Problem::Setting),
            ("discoverd://localhost:1111?store=disk", Problem::Setting),
            ("discoverd://localhost:1111?data-dir=", Problem::Setting),
            ("discoverd://localhost:1111?etcd-user=a:%4", Problem::Setting),
            ("discoverd://localhost:1111?etcd-user=a:%ff", Problem::Setting),
            ("discoverd://localhost:1111?dns=", Problem::Setting),
            ("discoverd://localhost:1111?x=y", Problem::Setting),
        ] {
            assert_eq!(text.parse::<Discoverd>().unwrap_err().problem, problem, "{text}");
        }
        assert_eq!(
            "discoverd://a:1?x=y".parse::<Discoverd>().unwrap_err().to_string(),
            "wrong address \"discoverd://a:1?x=y\": behind the ? stands no setting of a store: use \
             store=journal or store=memory, data-dir=PATH, ttl=DURATION, etcd=URL,URL, etcd-ca=FILE, etcd-cert=FILE, \
             etcd-key=FILE, etcd-user=NAME:PASSWORD, zookeeper=HOST:PORT,HOST:PORT/PATH, \
             zookeeper-auth=USER:PASSWORD, dns=HOST:PORT, recursors=IP,IP, with & between them and %XX for what has a \
             meaning"
        );
    }
}
