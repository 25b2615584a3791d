//! The Docker Engine API: its routes, versions and queries.
//!
//! Only this module knows the paths, methods and HTTP statuses of the API. What lies behind it sees
//! jobs: a name, arguments, an environment.

mod date;
mod index;
mod profile;
pub mod query;
pub(crate) mod reply;
pub mod routes;
mod table;
mod unmatched;
pub mod version;
mod websocket;

pub(crate) use date::civil;
pub use profile::Profile;
pub(crate) use reply::{Replies, base64};
