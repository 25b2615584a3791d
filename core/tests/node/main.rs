//! A node driven as a runtime drives it, without sockets: what a Docker client sends, and what it gets.

mod endings;
mod harness;
mod limits;
mod random;
mod relays;
mod requests;
mod rules;
mod splices;
mod streams;
