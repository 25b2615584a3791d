//! Addresses for servers that are started by hand, stopped and started again.

use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

/// An address at which nobody listens, nor in datagrams, and which nobody is given who asks for any: a kernel gives out ports
/// from 32,768 on (Linux) or from 49,152 on, for listeners and for connections that are made.
///
/// # Panics
///
/// A thousand ports in a row are taken.
#[must_use]
pub fn free_address() -> SocketAddr {
    let keys = RandomState::new();
    let numbers = (0..1000).map(|nth: u32| 10_000 + keys.hash_one(nth) % 22_000);
    let mut addresses = numbers.filter_map(|port| {
        Some(SocketAddr::from((Ipv4Addr::LOCALHOST, u16::try_from(port).ok()?)))
    });
    let is_free = |place: &SocketAddr| TcpListener::bind(place).and(UdpSocket::bind(place)).is_ok();
    addresses.find(is_free).expect("a port is free")
}
