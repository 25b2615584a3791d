//! Service discovery: who is there, since when, and who leads.
//!
//! ```text
//!  rpc::Server ──── calls ────► Agent ── register, unregister, keep, subscribe ──► Store: Memory, Journal, Etcd, Zookeeper,
//!  http::Server ── requests ───► │ ◄─────────── answers, events ───────────────────┘ │     one of your own
//!      ◄── answers, updates ─────┘                                                   └─ Registry: instances, documents, leases
//! ```
//!
//! A *service* is a name, an *instance* of it an address with attributes. An instance that is registered stays as long as it
//! is registered again within the TTL, which is its heartbeat. It is *created* at an index of the store's, which grows with
//! every change; the instance of a service with the lowest is its *leader*, unless another one is [named](Document::Leader).
//!
//! A subscription is told of the instances that are there, the newest first, then that these were all, then of every change,
//! in the store's order. One that reads slowly is told the latest state of each instance instead of all that were in between,
//! so that what is kept for it is bounded by the number of instances.
//!
//! Beside its instances a service may have [documents](Document): that it was created, its metadata, who is to lead it. They
//! are for the other doors; clients of the RPC do not see them.
//!
//! The [`Agent`] knows what the calls of the [RPC](crate::rpc) mean; [`http`] is the door for curl and browsers. A [`Store`] keeps what is true; the [`Registry`] is what
//! stores are made of. Nothing here has a clock or a disk: time comes in, and what is to be written goes out and is answered
//! when it is safe.
//!
//! The other side of the RPC, what programs use to find each other, is [`client`].

mod agent;
pub mod client;
pub mod dns;
mod document;
mod feed;
pub mod http;
mod instance;
mod names;
mod registry;
mod set;
pub mod store;
#[cfg(test)]
mod tests;

pub use agent::{Agent, AgentEvent};
pub use document::{Document, Expect, Kept, LONGEST_DOCUMENT};
pub use instance::{Event, Instance, InvalidError, Registration, instance_id};
pub use registry::Registry;
pub use set::{Change, Member, ServiceSet};
pub use store::{
    Etcd, Interest, Journal, Memory, Store, StoreError, StoreEvent, StoreInput, Zookeeper,
};

pub use crate::id::SubscriptionId;
pub use crate::rpc::Attributes;

use core::time::Duration;

/// How long an instance stays after its last heartbeat; clients of the original send one every 5 s.
pub const TTL: Duration = Duration::from_secs(10);
