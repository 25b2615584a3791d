//! The sans-IO core of libswarm.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod docker;
