//! What is made of the files, and made again when they are renewed.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use libswarm::address::Tls;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::ServerName;
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ServerConfig};

use super::error::{Problem, TlsError};
use super::files::Files;
use super::session::Session;
use super::verify::Anybody;

/// The certificates of a server: those that its frontends show and ask for, and those for its upstreams. Clones share them.
#[derive(Clone, Default)]
pub struct Certificates(Arc<Shared>);

#[derive(Default)]
struct Shared {
    frontend: Option<Frontend>,
    upstreams: Mutex<BTreeMap<Arc<Tls>, Arc<ClientConfig>>>,
}

/// What new connections of frontends get. Clones share it.
#[derive(Clone)]
pub(crate) struct Frontend {
    wanted: Tls,
    current: Arc<Mutex<Arc<ServerConfig>>>,
}

/// All that is spoken, as dockerd and docker's client offer it in their handshakes.
const PROTOCOL: &[u8] = b"http/1.1";

impl Certificates {
    /// Reads those of the frontends, if these are to have TLS.
    ///
    /// # Errors
    ///
    /// A file cannot be used.
    pub fn new(frontend: Option<Tls>) -> Result<Self, TlsError> {
        let frontend = frontend.map(Frontend::new).transpose()?;
        Ok(Self(Arc::new(Shared { frontend, upstreams: Mutex::default() })))
    }

    /// Whether there are any that could be renewed.
    #[must_use]
    pub fn are_used(&self) -> bool {
        self.0.frontend.is_some() || !self.upstreams().is_empty()
    }

    /// Reads all files again. Connections that are open keep what they have.
    ///
    /// # Errors
    ///
    /// A file cannot be used; then everything stays as it is.
    pub fn renew(&self) -> Result<(), TlsError> {
        let frontend = self.0.frontend.as_ref().map(|frontend| server(&frontend.wanted));
        let frontend = frontend.transpose()?;
        let wanted: Vec<Arc<Tls>> = self.upstreams().keys().cloned().collect();
        let mut renewed = Vec::new();
        for tls in wanted {
            let config = client(&tls)?;
            renewed.push((tls, config));
        }
        if let (Some(place), Some(config)) = (&self.0.frontend, frontend) {
            *lock(&place.current) = config;
        }
        self.upstreams().extend(renewed);
        Ok(())
    }

    pub(crate) fn frontend(&self) -> Option<&Frontend> {
        self.0.frontend.as_ref()
    }

    /// Reads those for an upstream.
    pub(crate) fn prepare(&self, tls: &Arc<Tls>) -> Result<Arc<ClientConfig>, TlsError> {
        if let Some(known) = self.upstreams().get(tls) {
            return Ok(Arc::clone(known));
        }
        let config = client(tls)?;
        self.upstreams().insert(Arc::clone(tls), Arc::clone(&config));
        Ok(config)
    }

    /// A connection to an upstream.
    pub(crate) fn session_to(&self, host: &str, tls: &Arc<Tls>) -> Result<Session, TlsError> {
        let bare = host.split_once('%').map_or(host, |(address, _zone)| address);
        let name =
            ServerName::try_from(bare.to_owned()).map_err(|_| Problem::Name(host.to_owned()))?;
        Session::client(self.prepare(tls)?, name)
            .map_err(|error| Problem::Unusable("a connection", error).into())
    }

    fn upstreams(&self) -> MutexGuard<'_, BTreeMap<Arc<Tls>, Arc<ClientConfig>>> {
        lock(&self.0.upstreams)
    }
}

impl Frontend {
    fn new(wanted: Tls) -> Result<Self, TlsError> {
        let current = Arc::new(Mutex::new(server(&wanted)?));
        Ok(Self { wanted, current })
    }

    /// Whether clients have to show a certificate.
    pub(crate) const fn verifies(&self) -> bool {
        self.wanted.verify
    }

    /// A connection from a client.
    pub(crate) fn session(&self) -> Result<Session, rustls::Error> {
        Session::server(Arc::clone(&lock(&self.current)))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn server(wanted: &Tls) -> Result<Arc<ServerConfig>, TlsError> {
    server_from(&Files::new(wanted), wanted.verify)
}

pub(super) fn server_from(files: &Files<'_>, verify: bool) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = provider();
    let (chain, key) = files.identity(&provider)?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| Problem::Unusable("a frontend's", error))?;
    let builder = if verify {
        let roots = Arc::new(files.authorities()?);
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider)
            .build()
            .map_err(Problem::Verifier)?;
        builder.with_client_cert_verifier(verifier)
    } else {
        builder.with_no_client_auth()
    };
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(|error| Problem::Unusable("a frontend's certificate", error))?;
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    Ok(Arc::new(config))
}

fn client(wanted: &Tls) -> Result<Arc<ClientConfig>, TlsError> {
    client_from(&Files::new(wanted), wanted.verify)
}

pub(super) fn client_from(files: &Files<'_>, verify: bool) -> Result<Arc<ClientConfig>, TlsError> {
    let provider = provider();
    let identity = files.identity_if_any(&provider)?;
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| Problem::Unusable("a client's", error))?;
    let builder = if verify {
        builder.with_root_certificates(files.authorities_or_system()?)
    } else {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider)))
    };
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => builder
            .with_client_auth_cert(chain, key)
            .map_err(|error| Problem::Unusable("a client's certificate", error))?,
    };
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    Ok(Arc::new(config))
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates")
            .field("frontend", &self.0.frontend)
            .field("upstreams", &self.upstreams().keys().collect::<Vec<_>>())
            .finish()
    }
}

impl fmt::Debug for Frontend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frontend").field("wanted", &self.wanted).finish_non_exhaustive()
    }
}
