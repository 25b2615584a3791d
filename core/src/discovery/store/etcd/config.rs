//! Which etcd, and as whom.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use super::calls::PATIENCE;
use crate::address::{Address, Remote, StoreSettings, Tls};
use crate::job::Upstream;

/// How an etcd is reached, and what is kept there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// Its members, at least one, the first to be asked first.
    pub endpoints: Vec<Arc<Upstream>>,
    /// A name and a password, where it wants them.
    pub user: Option<(String, String)>,
    /// How long an instance stays after its last heartbeat. Etcd counts whole seconds, and takes a little longer.
    pub ttl: Duration,
    /// Where the numbers of leases come from: different for every process.
    pub seed: u64,
}

impl Config {
    /// What settings say of an etcd; `None` if they name none.
    ///
    /// # Errors
    ///
    /// Something is wrong with them; the message is for those who wrote them.
    pub fn from_settings(
        settings: &StoreSettings,
        ttl: Duration,
        seed: u64,
    ) -> Result<Option<Self>, String> {
        let Some(etcd) = &settings.etcd else {
            let others = [
                ("--etcd-ca", &settings.etcd_ca),
                ("--etcd-cert", &settings.etcd_cert),
                ("--etcd-key", &settings.etcd_key),
                ("--etcd-user", &settings.etcd_user),
            ];
            return match others.into_iter().find(|(_, value)| value.is_some()) {
                Some((name, _)) => Err(format!("{name} is of no use without --etcd URL")),
                None => Ok(None),
            };
        };
        let tls = Arc::new(Tls {
            verify: true,
            named_only: true,
            ca: settings.etcd_ca.clone(),
            cert: settings.etcd_cert.clone(),
            key: settings.etcd_key.clone(),
        });
        let mut endpoints = Vec::new();
        for text in etcd.split(',') {
            let address = endpoint(text, &tls)?;
            endpoints.push(Arc::new(Upstream { address, connect_timeout: PATIENCE }));
        }
        let user = settings.etcd_user.as_deref().map(user).transpose()?;
        Ok(Some(Self { endpoints, user, ttl, seed }))
    }
}

fn endpoint(text: &str, tls: &Arc<Tls>) -> Result<Remote, String> {
    let wrong = || {
        format!(
            "--etcd {text:?} is no address of an etcd: use http://HOST:PORT or https://HOST:PORT, with commas between several"
        )
    };
    let bare = text.strip_suffix('/').unwrap_or(text);
    if !bare.starts_with("http://") && !bare.starts_with("https://") {
        return Err(wrong());
    }
    let has_files = tls.ca.is_some() || tls.cert.is_some() || tls.key.is_some();
    match bare.parse::<Remote>().map_err(|_| wrong())? {
        Remote::Tls { host, port, .. } => Ok(Remote::Tls { host, port, tls: Arc::clone(tls) }),
        // Whoever names certificates does not want to go without them.
        Remote::Socket(Address::Tcp { .. }) if has_files => Err(format!(
            "certificates are named for etcd, but {text} is without TLS: write https://"
        )),
        plain => Ok(plain),
    }
}

fn user(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        Some((name, password)) if !name.is_empty() => Ok((name.to_string(), password.to_string())),
        _ => Err("--etcd-user is NAME:PASSWORD".to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(etcd: &str) -> StoreSettings {
        StoreSettings { etcd: Some(etcd.into()), ..StoreSettings::default() }
    }

    fn config(settings: &StoreSettings) -> Result<Option<Config>, String> {
        Config::from_settings(settings, Duration::from_secs(10), 1)
    }

    #[test]
    fn endpoints_are_urls() {
        assert_eq!(config(&StoreSettings::default()), Ok(None));
        for (text, shown) in [
            ("http://127.0.0.1:2379", "tcp://127.0.0.1:2379"),
            ("http://a:1,http://b:2/", "tcp://a:1 tcp://b:2"),
            ("https://[::1]:2379/", "https://[::1]:2379"),
        ] {
            let config = config(&settings(text)).unwrap().unwrap();
            let all: Vec<String> =
                config.endpoints.iter().map(|it| it.address.to_string()).collect();
            assert_eq!(all.join(" "), shown);
        }
        for text in ["", "a:1", "http://a", "http://a:1,", "tcp://a:1", "unix://a", "http://a:1/x"]
        {
            let error = config(&settings(text)).unwrap_err();
            assert!(error.contains("is no address of an etcd: use http://HOST:PORT"), "{error}");
        }
    }

    #[test]
    fn certificates_and_users() {
        let ca = || Some("ca.pem".to_string());
        let secured = StoreSettings { etcd_ca: ca(), ..settings("https://a:1") };
        let config_of = config(&secured).unwrap().unwrap();
        let Remote::Tls { tls, .. } = &config_of.endpoints[0].address else { panic!() };
        assert_eq!((tls.verify, tls.named_only, &tls.ca), (true, true, &ca()));
        let error = config(&StoreSettings { etcd_ca: ca(), ..settings("http://a:1") }).unwrap_err();
        assert!(error.contains("http://a:1 is without TLS: write https://"), "{error}");
        let error = config(&StoreSettings { etcd_key: ca(), ..StoreSettings::default() });
        assert_eq!(error, Err("--etcd-key is of no use without --etcd URL".into()));
        for (text, user) in [
            ("me:pass:word", Some(("me", "pass:word"))),
            ("me:", Some(("me", ""))),
            ("me", None),
            (":x", None),
        ] {
            let user = user.map(|(name, password)| (name.to_string(), password.to_string()));
            let named = StoreSettings { etcd_user: Some(text.into()), ..settings("http://a:1") };
            match config(&named) {
                Ok(config) => assert_eq!(config.unwrap().user, user),
                Err(error) => assert!(user.is_none() && error == "--etcd-user is NAME:PASSWORD"),
            }
        }
    }
}
