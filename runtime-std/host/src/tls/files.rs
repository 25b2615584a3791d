//! The files that docker keeps certificates in.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use libswarm::address::Tls;
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::error::{Problem, TlsError};

/// A certificate with those that sign it, and its key.
pub(super) type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// What names the files.
#[derive(Clone, Copy)]
struct Options {
    ca: &'static str,
    cert: &'static str,
    key: &'static str,
}

const DOCKER: Options = Options { ca: "--tlscacert", cert: "--tlscert", key: "--tlskey" };
const ETCD: Options = Options { ca: "--etcd-ca", cert: "--etcd-cert", key: "--etcd-key" };

/// What is named, else what docker would take.
pub(super) struct Files<'a> {
    named: &'a Tls,
    folder: Option<PathBuf>,
    /// Somebody has chosen that folder, so that what is missing there is not looked for elsewhere.
    is_chosen: bool,
}

impl<'a> Files<'a> {
    pub(super) fn new(named: &'a Tls) -> Self {
        Self { named, folder: folder(), is_chosen: set(CHOSEN).is_some() }
    }

    #[cfg(test)]
    pub(super) fn within(named: &'a Tls, folder: &Path) -> Self {
        Self { named, folder: Some(folder.to_owned()), is_chosen: false }
    }

    #[cfg(test)]
    pub(super) fn chosen(named: &'a Tls, folder: &Path) -> Self {
        Self { is_chosen: true, ..Self::within(named, folder) }
    }

    fn path(&self, named: Option<&String>, usual: &str) -> PathBuf {
        match (named, &self.folder) {
            (Some(named), _) => PathBuf::from(named),
            (None, Some(folder)) => folder.join(usual),
            (None, None) => PathBuf::from(usual),
        }
    }

    /// Whether a file is named, or may be taken from where docker has it.
    fn has(&self, named: Option<&String>, usual: &str) -> bool {
        named.is_some() || (!self.named.named_only && self.path(named, usual).exists())
    }

    /// What options a file is named by.
    const fn options(&self) -> Options {
        if self.named.named_only { ETCD } else { DOCKER }
    }

    fn ca(&self) -> PathBuf {
        self.path(self.named.ca.as_ref(), "ca.pem")
    }

    /// The authorities that are named or are where docker has them.
    pub(super) fn authorities(&self) -> Result<RootCertStore, TlsError> {
        let file = self.ca();
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&file, self.options().ca)? {
            roots
                .add(certificate)
                .map_err(|error| TlsError::of(&file, Problem::NotAnAuthority(error)))?;
        }
        Ok(roots)
    }

    /// As [`authorities`](Self::authorities); where there are none of docker's, those that the system trusts. Docker's client does
    /// not know these, and has an error where `DOCKER_CERT_PATH` is set and no authority is there: so has this one.
    pub(super) fn authorities_or_system(&self) -> Result<RootCertStore, TlsError> {
        let is_chosen = self.is_chosen && !self.named.named_only;
        if is_chosen || self.has(self.named.ca.as_ref(), "ca.pem") {
            return self.authorities();
        }
        let mut roots = RootCertStore::empty();
        // Single ones that are no use are common in such collections.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err(Problem::NoAuthorities(self.options().ca).into());
        }
        Ok(roots)
    }

    /// The certificate to show, which has to be there.
    pub(super) fn identity(&self, provider: &CryptoProvider) -> Result<Identity, TlsError> {
        let cert = self.path(self.named.cert.as_ref(), "cert.pem");
        let key = self.path(self.named.key.as_ref(), "key.pem");
        let options = self.options();
        let chain = certificates(&cert, options.cert)?;
        let private = private_key(&key, options.key)?;
        let unusable = |file: &Path, what, error| match error {
            rustls::Error::InconsistentKeys(_) => {
                TlsError::of(&key, Problem::OtherKey(cert.clone()))
            }
            error => TlsError::of(file, Problem::Unusable(what, error)),
        };
        // Also done where it is used, but there it can't be told which of the two files is to blame.
        let signing = provider
            .key_provider
            .load_private_key(private.clone_key())
            .map_err(|error| unusable(&key, "a private key", error))?;
        CertifiedKey::new(chain.clone(), signing)
            .keys_match()
            .map_err(|error| unusable(&cert, "a certificate", error))?;
        Ok((chain, private))
    }

    /// The certificate to show, if one is named or is where docker has it.
    pub(super) fn identity_if_any(
        &self,
        provider: &CryptoProvider,
    ) -> Result<Option<Identity>, TlsError> {
        let (cert, key) = (self.named.cert.as_ref(), self.named.key.as_ref());
        match (self.has(cert, "cert.pem"), self.has(key, "key.pem")) {
            (true, true) => self.identity(provider).map(Some),
            (false, false) => Ok(None),
            // One that was not asked for does not have to be whole.
            (true, false) if self.named.cert.is_none() => Ok(None),
            (false, true) if self.named.key.is_none() => Ok(None),
            (true, false) => Err(Problem::CertificateWithoutKey(self.options().key).into()),
            (false, true) => Err(Problem::KeyWithoutCertificate(self.options().cert).into()),
        }
    }
}

fn set(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
}

const CHOSEN: &str = "DOCKER_CERT_PATH";

/// Where docker's client and dockerd look for certificates that are not named.
fn folder() -> Option<PathBuf> {
    set(CHOSEN)
        .or_else(|| set("DOCKER_CONFIG"))
        .or_else(|| set("HOME").map(|home| home.join(".docker")))
}

fn read(file: &Path, option: &'static str) -> Result<Vec<u8>, TlsError> {
    fs::read(file).map_err(|error| TlsError::of(file, Problem::Read(option, error)))
}

fn certificates(
    file: &Path,
    option: &'static str,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(file, option)?;
    let all = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| TlsError::of(file, Problem::Pem(error)))?;
    if all.is_empty() { Err(TlsError::of(file, Problem::NoCertificate)) } else { Ok(all) }
}

fn private_key(file: &Path, option: &'static str) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = read(file, option)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| {
        let is_encrypted = || {
            let has = |word: &[u8]| text.windows(word.len()).any(|part| part == word);
            has(b"BEGIN ENCRYPTED PRIVATE KEY") || has(b"Proc-Type: 4,ENCRYPTED")
        };
        let problem = match error {
            _ if is_encrypted() => Problem::Encrypted,
            pem::Error::NoItemsFound => Problem::NoKey,
            pem::Error::Io(error) => Problem::Read(option, io::Error::other(error)),
            error => Problem::Pem(error),
        };
        TlsError::of(file, problem)
    })
}
