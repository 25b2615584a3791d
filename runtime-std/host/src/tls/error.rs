//! Why there can be no TLS.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rustls::pki_types::pem;
use rustls::server::VerifierBuilderError;

/// Why certificates cannot be used, in words for the person who named the files.
#[derive(Debug)]
pub struct TlsError {
    file: Option<PathBuf>,
    problem: Problem,
}

#[derive(Debug)]
pub(super) enum Problem {
    /// What it is for, and what went wrong.
    Read(&'static str, io::Error),
    NoCertificate,
    NoKey,
    Encrypted,
    Pem(pem::Error),
    /// What was to be made of it.
    Unusable(&'static str, rustls::Error),
    NotAnAuthority(rustls::Error),
    OtherKey(PathBuf),
    CertificateWithoutKey(&'static str),
    KeyWithoutCertificate(&'static str),
    NoAuthorities(&'static str),
    Verifier(VerifierBuilderError),
    Name(String),
}

impl TlsError {
    pub(super) fn of(file: &Path, problem: Problem) -> Self {
        Self { file: Some(file.to_owned()), problem }
    }
}

impl From<Problem> for TlsError {
    fn from(problem: Problem) -> Self {
        Self { file: None, problem }
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}: ", file.display())?;
        }
        match &self.problem {
            Problem::Read(option, error) => {
                write!(f, "cannot be read: {error}: name another file with {option}")
            }
            Problem::NoCertificate => f.write_str(
                "holds no certificate: it has to be a PEM file with -----BEGIN CERTIFICATE-----",
            ),
            Problem::NoKey => f.write_str(
                "holds no private key: it has to be a PEM file with -----BEGIN PRIVATE KEY-----",
            ),
            Problem::Encrypted => f.write_str(
                "the private key is encrypted: decrypt it (openssl pkey -in FILE -out OTHER)",
            ),
            Problem::Pem(error) => write!(f, "is no proper PEM file: {error}"),
            Problem::Unusable(what, error) => write!(f, "cannot be used as {what}: {error}"),
            Problem::NotAnAuthority(error) => {
                write!(f, "one of its certificates cannot be that of an authority: {error}")
            }
            Problem::OtherKey(certificate) => write!(
                f,
                "the private key does not belong to the certificate in {}",
                certificate.display()
            ),
            Problem::CertificateWithoutKey(option) => {
                write!(f, "the certificate lacks its key: name its file with {option}")
            }
            Problem::KeyWithoutCertificate(option) => {
                write!(f, "the key lacks its certificate: name its file with {option}")
            }
            Problem::NoAuthorities(option) => write!(
                f,
                "there is no authority that a server's certificate could be signed by: name a file \
                 with {option}"
            ),
            Problem::Verifier(error) => write!(f, "cannot verify certificates: {error}"),
            Problem::Name(host) => write!(f, "no certificate can be for {host:?}"),
        }
    }
}

impl Error for TlsError {}

impl From<TlsError> for io::Error {
    fn from(error: TlsError) -> Self {
        Self::new(io::ErrorKind::InvalidInput, error)
    }
}
