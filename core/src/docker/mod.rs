//! The Docker Engine API: its routes, versions and queries.
//!
//! Only this module knows the paths, methods and HTTP statuses of the API. What lies behind it sees
//! jobs: a name, arguments, an environment.

mod index;
mod profile;
pub mod query;
pub mod routes;
mod table;
pub mod version;

pub use profile::Profile;
