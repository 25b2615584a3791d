//! The proof that `libswarm` needs no std: a static library that links all of it and brings what std would bring.
//!
//! ```sh
//! cargo build --manifest-path core/no-std/Cargo.toml
//! ```
//!
//! It has a panic handler and an allocator of its own. Were std linked as well, by the core or by any crate below it, there
//! would be two panic handlers. The compiler refuses that with `found duplicate lang item panic_impl`, and names the crate that
//! depends on std.
#![no_std]

extern crate alloc;

mod bump;

use alloc::vec::Vec;
use core::panic::PanicInfo;

use libswarm::address::Address;
use libswarm::backend::Registry;
use libswarm::docker::routes;
use libswarm::http1::{Client, Framing, Limits, Request, Server};
use libswarm::job::Engine;
use libswarm::node::{Config, Input};
use libswarm::{Instant, Node, words};

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}

/// A ping through every machine of the core. Returns how many bytes they wrote, 0 if one of them refused.
#[unsafe(no_mangle)]
pub extern "C" fn libswarm_no_std() -> usize {
    machines().unwrap_or(0) + node().unwrap_or(0)
}

fn machines() -> Option<usize> {
    let mut bytes = Vec::new();
    let mut client = Client::new(Limits::default());
    let ping = Request { method: "GET", target: "/_ping", framing: Framing::Empty, hijack: false };
    if !client.request(&ping, &[b"Host: docker\r\n"], &mut bytes) {
        return None;
    }
    let mut server = Server::new(Limits::default());
    let (taken, event) = server.receive(&bytes).ok()?;
    event?;
    let job = routes::lookup("GET", "/v1.41/containers/json?all=1").route?.job;
    let words = words::split("simulator web 'a b'").ok()?;
    let address: Address = "unix://docker.sock".parse().ok()?;
    (address == Address::Unix { path: "docker.sock".into() })
        .then_some(taken + job.len() + words.len())
}

fn node() -> Option<usize> {
    let (name, backend) = Registry::standard().make("simulator web").ok()?;
    let mut engine = Engine::new(1);
    engine.push(name, backend);
    let (mut node, now, mut out) =
        (Node::new(Config::default(), engine), Instant::ZERO, Vec::new());
    let id = node.accept(now).ok()?;
    node.handle(now, Input::Received(id, b"GET /_ping HTTP/1.1\r\nHost: docker\r\n\r\n"));
    while node.poll(&mut out).is_some() {}
    Some(out.len())
}
