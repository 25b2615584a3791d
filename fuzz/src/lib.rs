//! Fuzz targets of libswarm: functions of bytes that panic where the core breaks a promise.
//!
//! The first line of each target says what it holds the core to. The targets of HTTP run sequences of operations, not
//! only bytes: see [`script`].
//!
//! `cargo test -p libswarm-fuzz` runs each of them over its seeds, `corpus/<target>/`, and over up to 10,000 seeded mutations
//! of them, on stable and in seconds. To search on, with coverage as the guide:
//!
//! ```text
//! cargo install cargo-fuzz
//! cargo fuzz run -s none --features libfuzzer http1_server
//! ```
//!
//! `-s none` leaves the sanitizers out, for which a nightly compiler would be needed; there is no unsafe code to check.
//! What libFuzzer finds stands in `artifacts/`; as a new file in the corpus it stays a test.

mod client;
mod discovery_http;
mod dns;
mod reference;
mod routes;
mod rpc;
pub mod script;
mod server;
mod simulator;
mod zookeeper;

pub use client::http1_client;
pub use discovery_http::discovery_http;
pub use dns::dns;
pub use routes::routes;
pub use rpc::rpc;
pub use server::http1_server;
pub use simulator::{archive, dockerfile, shell, simulator, state_file};
pub use zookeeper::zookeeper;

/// Adds data to what was seen, joined with data of the same kind before it: pieces are no part of the meaning.
fn join<T>(seen: &mut Vec<T>, what: T, merge: impl FnOnce(&mut T, T) -> Option<T>) {
    match seen.last_mut() {
        None => seen.push(what),
        Some(last) => {
            if let Some(what) = merge(last, what) {
                seen.push(what);
            }
        }
    }
}
