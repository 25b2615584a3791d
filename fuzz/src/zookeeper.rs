//! The store in ZooKeeper, whatever bytes a server sends and however they are cut.

use std::sync::Arc;
use std::time::Duration;

use libswarm::Instant;
use libswarm::discovery::store::zookeeper::Config;
use libswarm::discovery::{
    Document, Expect, Interest, Registration, Store, StoreEvent, StoreInput, Zookeeper,
};
use libswarm::job::Upstream;

use crate::script::{Input, piece};

/// What a store does with some bytes.
#[derive(PartialEq, Debug, Default)]
struct Seen {
    events: Vec<String>,
    written: Vec<u8>,
    told: Vec<String>,
}

/// More than this is not written for what a server can say in one input.
const LONGEST: usize = 1024 * 1024;

fn poll(store: &mut Zookeeper, seen: &mut Seen) {
    while let Some(event) = store.poll() {
        match event {
            StoreEvent::Write(_, bytes) => seen.written.extend_from_slice(&bytes),
            StoreEvent::Ready(id) => {
                seen.told.extend(std::iter::from_fn(|| store.next(id)).map(|it| format!("{it:?}")));
            }
            other => seen.events.push(format!("{other:?}")),
        }
    }
    assert!(seen.written.len() <= LONGEST, "{} bytes are written", seen.written.len());
}

fn serve<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Seen {
    let address = "tcp://zookeeper:2181".parse().expect("an address");
    let upstream = Upstream { address, connect_timeout: Duration::from_secs(2) };
    let (now, ttl) = (Instant::ZERO, Duration::from_secs(10));
    let mut store = Zookeeper::new(
        now,
        Config {
            endpoints: vec![Arc::new(upstream)],
            chroot: String::new(),
            auth: None,
            ttl,
            seed: 1,
        },
    );
    let mut seen = Seen::default();
    store.subscribe(now, Interest::All(None));
    for (request, address) in ["a", "b", "c"].into_iter().enumerate() {
        let (service, address) = ("web".to_owned(), address.to_owned());
        let registration = Registration { service, address, attributes: None };
        store.register(now, request as u64, registration);
    }
    store.unregister(now, 3, "web", "b");
    store.keep(now, 4, "web", Document::Meta, Some("m".into()), Expect::Any);
    poll(&mut store, &mut seen);
    store.handle(now, StoreInput::Connected(1));
    poll(&mut store, &mut seen);
    for piece in pieces {
        store.handle(now, StoreInput::Received(1, piece));
        poll(&mut store, &mut seen);
    }
    store.handle(now, StoreInput::Lost(1, "it is over"));
    poll(&mut store, &mut seen);
    // All is answered in the end.
    for seconds in 1..30 {
        let now = now + Duration::from_secs(seconds);
        store.handle(now, StoreInput::Timeout);
        poll(&mut store, &mut seen);
    }
    for request in 0..5 {
        let [done, kept] = ["Done", "Kept"].map(|it| format!("{it}({request}, "));
        let is_it = |it: &&String| it.starts_with(&done) || it.starts_with(&kept);
        assert_eq!(seen.events.iter().filter(is_it).count(), 1, "{request}: {:?}", seen.events);
    }
    seen
}

/// The frames that these bytes are, and what is left. A server answers no request before it has come, so what comes together is
/// never more than one here.
fn frames(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut all = Vec::new();
    while let Some(length) = bytes.first_chunk::<4>() {
        let length = (u32::from_be_bytes(*length) as usize).saturating_add(4).min(bytes.len());
        let (frame, rest) = bytes.split_at(length);
        all.push(frame);
        bytes = rest;
    }
    all.extend(Some(bytes).filter(|it| !it.is_empty()));
    all
}

/// Any frames of a server make the store do the same, whatever pieces they come in; every request is answered once; and what is
/// written is bounded.
///
/// # Panics
///
/// That is not so.
pub fn zookeeper(data: &[u8]) {
    let input = Input::new(data);
    let frames = frames(input.wire);
    let whole = serve(frames.iter().copied());
    let mut lengths = input.script.iter().cycle();
    let mut pieces = Vec::new();
    for mut frame in frames {
        while !frame.is_empty() {
            let length = lengths.next().map_or(1, |operation| piece(*operation));
            let (piece, rest) = frame.split_at(length.min(frame.len()));
            pieces.push(piece);
            frame = rest;
        }
    }
    let cut = serve(pieces.into_iter());
    assert_eq!(whole, cut);
}
