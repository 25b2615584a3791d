//! A node's clients of discovery: calls, streams, ends, limits; and small seeded worlds of them, over each store.

mod clients;
mod connections;
mod dns;
mod etcd;
mod etcd_store;
mod etcd_worlds;
mod gateway;
mod peer;
mod worlds;
