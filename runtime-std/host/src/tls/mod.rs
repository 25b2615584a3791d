//! TLS, for frontends and to upstreams, with dockerd's files.
//!
//! The node sees plaintext. [`Session`] is the state of one connection, without its socket; [`Certificates`] is what is read
//! from files.

mod certificates;
mod error;
mod files;
mod session;
mod verify;

pub use certificates::Certificates;
pub(crate) use certificates::Frontend;
pub use error::TlsError;
pub use session::{Input, Session};

#[cfg(test)]
mod tests;
