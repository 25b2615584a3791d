//! The sans-IO core of libswarm.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod address;
pub mod docker;
pub mod http1;
mod id;
pub mod job;
pub mod node;
mod time;
mod timers;
pub mod words;

pub use id::{ConnId, JobId};
pub use node::Node;
pub use time::Instant;
