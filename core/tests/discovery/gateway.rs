//! The model of etcd at the ends of a node's connections: HTTP/1.1 as its gateway speaks it, cut anywhere.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use libswarm::ConnId;
use libswarm::address::Remote;
use libswarm::node::Input;

use crate::etcd::{Model, Piece};
use crate::etcd_store::port;

/// The connections of one node.
pub(crate) struct Gateway {
    pub(crate) model: Arc<Mutex<Model>>,
    /// Which of the model's users the node is.
    user: usize,
    wires: BTreeMap<ConnId, Wire>,
    next: u64,
    random: fastrand::Rng,
}

struct Wire {
    member: usize,
    inbox: Vec<u8>,
    outbox: Vec<u8>,
    granted: bool,
    exchange: Option<u64>,
    broken: bool,
}

/// What a node is to be told.
pub(crate) enum Told {
    Received(ConnId, Vec<u8>),
    Broken(ConnId),
}

impl Told {
    pub(crate) fn input(&self) -> Input<'_> {
        match self {
            Self::Received(id, bytes) => Input::Received(*id, bytes),
            Self::Broken(id) => Input::Broken(*id),
        }
    }
}

impl Gateway {
    pub(crate) fn new(model: &Arc<Mutex<Model>>, user: usize) -> Self {
        Self {
            model: Arc::clone(model),
            user,
            wires: BTreeMap::new(),
            next: 0,
            random: fastrand::Rng::with_seed(user as u64),
        }
    }

    pub(crate) fn has(&self, id: ConnId) -> bool {
        self.wires.contains_key(&id)
    }

    /// Whether a connection can be had.
    pub(crate) fn connect(&mut self, id: ConnId, to: &Remote) -> bool {
        let member = port(&to.to_string());
        let listens = self.model.lock().expect("nobody panicked").listens(member);
        if listens {
            let (inbox, outbox) = (Vec::new(), Vec::new());
            let wire =
                Wire { member, inbox, outbox, granted: false, exchange: None, broken: false };
            self.wires.insert(id, wire);
        }
        listens
    }

    pub(crate) fn grant(&mut self, id: ConnId) {
        let wire = self.wires.get_mut(&id).expect("it is open");
        assert!(!std::mem::replace(&mut wire.granted, true), "two reads are granted at once");
    }

    pub(crate) fn close(&mut self, id: ConnId) {
        if let Some(exchange) = self.wires.remove(&id).and_then(|wire| wire.exchange) {
            self.model.lock().expect("nobody panicked").abandon((self.user, exchange));
        }
    }

    pub(crate) fn write(&mut self, id: ConnId, bytes: &[u8]) {
        let wire = self.wires.get_mut(&id).expect("it is open");
        wire.inbox.extend_from_slice(bytes);
        let Some(end) = wire.inbox.windows(4).position(|four| four == b"\r\n\r\n") else { return };
        let head = String::from_utf8(wire.inbox[..end + 2].to_vec()).expect("a head is text");
        let (line, headers) = head.split_once("\r\n").expect("it has lines");
        let target = line.strip_prefix("POST ").and_then(|rest| rest.strip_suffix(" HTTP/1.1"));
        let length = headers.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let length: usize = length.expect("a length").parse().expect("a number");
        assert!(headers.contains(&format!("Host: etcd:{}\r\n", wire.member + 1)), "{headers}");
        let Some(body) = wire.inbox.get(end + 4..end + 4 + length) else { return };
        assert_eq!((wire.inbox.len(), wire.exchange), (end + 4 + length, None), "one at a time");
        self.next += 1;
        wire.exchange = Some(self.next);
        let handle = (self.user, self.next);
        let mut model = self.model.lock().expect("nobody panicked");
        model.begin(handle, wire.member, target.expect("a POST"), headers, body);
        wire.inbox.clear();
    }

    /// What has come to the node.
    pub(crate) fn next(&mut self) -> Option<Told> {
        let mut model = self.model.lock().expect("nobody panicked");
        while let Some((exchange, piece)) = model.pop(self.user) {
            let of = self.wires.values_mut().find(|wire| wire.exchange == Some(exchange));
            let Some(wire) = of else { continue };
            match piece {
                Piece::Status(status) => wire.outbox.extend_from_slice(
                    format!("HTTP/1.1 {status} X\r\nTransfer-Encoding: chunked\r\n\r\n").as_bytes(),
                ),
                Piece::Body(body) => {
                    // A chunk is not an object.
                    let cut = self.random.usize(..=body.len());
                    for part in [&body[..cut], &body[cut..]].into_iter().filter(|it| !it.is_empty())
                    {
                        let size = format!("{:x}\r\n", part.len());
                        wire.outbox.extend_from_slice(&[size.as_bytes(), part, b"\r\n"].concat());
                    }
                }
                Piece::End => {
                    wire.exchange = None;
                    wire.outbox.extend_from_slice(
                        b"0\r\nGrpc-Trailer-Content-Type: application/grpc\r\n\r\n",
                    );
                }
                Piece::Broken => wire.broken = true,
            }
        }
        for (id, wire) in &mut self.wires {
            if wire.granted && !wire.outbox.is_empty() {
                wire.granted = false;
                let length = 1 + self.random.usize(..wire.outbox.len());
                let rest = wire.outbox.split_off(length);
                return Some(Told::Received(*id, std::mem::replace(&mut wire.outbox, rest)));
            }
            if wire.broken || !model.listens(wire.member) {
                let (id, exchange) = (*id, wire.exchange);
                self.wires.remove(&id);
                if let Some(exchange) = exchange {
                    model.abandon((self.user, exchange));
                }
                return Some(Told::Broken(id));
            }
        }
        None
    }
}
