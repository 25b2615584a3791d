//! A node's clients of discovery: calls, streams, ends, limits; and small seeded worlds of them.

mod clients;
mod connections;
mod peer;
mod worlds;
