//! A frontend for clients of discovery, and what its store is to be.

use alloc::string::{String, ToString};
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
        parse(text).map_err(|problem| AddressError { text: text.to_string(), problem })
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
            "data-dir" if !value.is_empty() => settings.data_dir = Some(value.to_string()),
            "ttl" if !value.is_empty() => settings.ttl = Some(value.to_string()),
            _ => return Err(Problem::Setting),
        }
    }
    Ok(Discoverd { address: Address::Tcp { host, port }, settings })
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
    fn bad_ones_say_what_is_wrong() {
        for (text, problem) in [
            ("tcp://localhost:1111", Problem::Scheme),
            ("discoverd://localhost", Problem::NoPort),
            ("discoverd://localhost:1111/x", Problem::BehindPort),
            ("discoverd://localhost:1111?store", Problem::Setting),
            ("discoverd://localhost:1111?store=disk", Problem::Setting),
            ("discoverd://localhost:1111?data-dir=", Problem::Setting),
            ("discoverd://localhost:1111?x=y", Problem::Setting),
        ] {
            assert_eq!(text.parse::<Discoverd>().unwrap_err().problem, problem, "{text}");
        }
        assert_eq!(
            "discoverd://a:1?x=y".parse::<Discoverd>().unwrap_err().to_string(),
            "wrong address \"discoverd://a:1?x=y\": behind the ? stands no setting of a store: use \
             store=journal or store=memory, data-dir=PATH, ttl=DURATION, with & between them"
        );
    }
}
