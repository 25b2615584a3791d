//! What the clients of discovery of both runtimes share: a [`Client`](libswarm::discovery::client::Client) behind a lock, and
//! what programs hold of it. What takes its time is a future.
//!
//! A [`thread`] drives it for [`blocking`], which `libswarm_std::discovery` and the commands of `discoverd` have;
//! `libswarm_smol::discovery` has a task for it.

pub mod blocking;
mod checked;
mod dialer;
mod handle;
mod shared;
pub mod thread;

pub use checked::{Checked, Checking};
pub use dialer::Dialer;
pub use handle::{Handle, Leaders, Registration, Service, Standby, Watch};
pub use shared::Shared;

use std::env;

use libswarm::discovery::Attributes;
use libswarm::discovery::client::SERVER;
use libswarm::rpc::Args;

/// The servers that the environment names: `DISCOVERD`, `HOST:PORT` and more of them behind commas; else
/// [the usual one](SERVER).
#[must_use]
pub fn servers() -> Vec<String> {
    split(&env::var("DISCOVERD").unwrap_or_default())
}

fn split(text: &str) -> Vec<String> {
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    let names: Vec<_> = names.map(str::to_owned).collect();
    if names.is_empty() { vec![SERVER.to_owned()] } else { names }
}

/// What an instance is registered with. Without attributes it says so, as the original's client does.
#[must_use]
pub fn args<'a>(
    service: &str,
    address: &str,
    all: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Args {
    let all = attributes(all);
    let attributes = (!all.is_empty()).then_some(all);
    Args { name: service.to_owned(), address: address.to_owned(), attributes }
}

/// Attributes from pairs.
#[must_use]
pub fn attributes<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Attributes {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn servers_stand_between_commas() {
        for (text, expected) in [
            ("", &["127.0.0.1:1111"][..]),
            (" , ", &["127.0.0.1:1111"]),
            ("a:1", &["a:1"]),
            ("a:1, b:2,", &["a:1", "b:2"]),
        ] {
            assert_eq!(super::split(text), expected);
        }
    }
}
