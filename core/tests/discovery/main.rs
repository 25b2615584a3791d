//! A node's clients of discovery: calls, streams, ends, limits; and small seeded worlds of them, over each store.

mod bench;
mod clients;
mod connections;
mod dns;
mod etcd;
mod etcd_documents;
mod etcd_store;
mod gateway;
mod http;
mod http_streams;
mod peer;
mod shared_worlds;
mod worlds;
mod zookeeper;
mod zookeeper_deadline;
mod zookeeper_store;
