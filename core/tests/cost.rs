//! What it costs to read a head that comes a byte at a time.

use std::time::{Duration, Instant};

use libswarm::http1::{Limits, Server, ServerEvent};

/// A head of `length` bytes: one long value, or as many headers as there may be.
fn head(length: usize, headers: usize) -> Vec<u8> {
    let mut head = b"GET / HTTP/1.1\r\nHost: x\r\n".to_vec();
    let value = (length - head.len() - 2) / headers - 5;
    for _ in 0..headers {
        head.extend_from_slice(b"A: ");
        head.resize(head.len() + value, b'a');
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// The least time of a few in which a head is read byte by byte.
fn cost(head: &[u8]) -> Duration {
    let once = || {
        let start = Instant::now();
        let mut server = Server::new(Limits::default());
        for end in 1..head.len() {
            assert_eq!(server.receive(&head[..end]), Ok((0, None)));
        }
        let result = server.receive(head).unwrap();
        assert!(matches!(result, (taken, Some(ServerEvent::Request(_))) if taken == head.len()));
        start.elapsed()
    };
    (0..5).map(|_| once()).min().unwrap_or_default()
}

/// Sixteen times the bytes cost sixteen times the time, where a reader that starts over each time would need 256 times.
#[test]
fn a_head_byte_by_byte_costs_in_proportion_to_its_length() {
    for headers in [1, 100] {
        let (short, long) = (cost(&head(4000, headers)), cost(&head(64_000, headers)));
        assert!(long < short * 80, "4 kB: {short:?}, 64 kB: {long:?}, {headers} headers");
    }
}
