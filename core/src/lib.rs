//! The sans-IO core of libswarm.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod backend;
pub mod docker;
pub mod http1;
mod id;
pub mod job;
mod time;
mod timers;
pub mod words;

pub use id::{ConnId, JobId};
pub use time::Instant;
