//! The deadline of a request whose answer is lost between its being done and its being heard.

use std::time::Duration;

use libswarm::Instant;
use libswarm::discovery::{Registration, Store, StoreEvent, StoreInput, Zookeeper};

use crate::zookeeper::{Model, Wired};
use crate::zookeeper_store::config;

/// What becomes of connections.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wires {
    Carry,
    /// Until an instance was created; what comes behind that answer does not arrive.
    CarryOneCreate,
    Refuse,
}

/// A store on a model whose answers are carried one by one.
struct Carried {
    store: Zookeeper,
    model: Model,
    now: Instant,
    wire: u64,
    unread: Vec<u8>,
    greeted: bool,
    created: bool,
    answers: usize,
}

impl Carried {
    fn settle(&mut self, wires: Wires) {
        self.model.advance(self.now);
        loop {
            let mut idle = true;
            while let Some(event) = self.store.poll() {
                idle = false;
                match event {
                    StoreEvent::Connect { id, .. } => {
                        self.wire = id;
                        self.unread.clear();
                        self.greeted = false;
                        if wires == Wires::Refuse {
                            self.store.handle(self.now, StoreInput::Lost(id, "refused"));
                        } else {
                            self.model.connect((1, id), 0);
                        }
                    }
                    StoreEvent::Write(id, bytes) => self.model.write((1, id), &bytes),
                    StoreEvent::Close(id) => self.model.close((1, id)),
                    StoreEvent::Done(..) => self.answers += 1,
                    _ => {}
                }
            }
            while let Some((id, wired)) = self.model.pop(1) {
                if id != self.wire {
                    continue;
                }
                idle = false;
                match wired {
                    Wired::Connected => self.store.handle(self.now, StoreInput::Connected(id)),
                    Wired::Lost(why) => self.store.handle(self.now, StoreInput::Lost(id, why)),
                    Wired::Received(bytes) => self.unread.extend_from_slice(&bytes),
                }
            }
            idle &= !self.carry_one(wires);
            if idle {
                return;
            }
        }
    }

    /// Carries one frame.
    fn carry_one(&mut self, wires: Wires) -> bool {
        let Some(length) = self.unread.first_chunk::<4>() else { return false };
        let length = 4 + u32::from_be_bytes(*length) as usize;
        if self.unread.len() < length || (self.created && wires == Wires::CarryOneCreate) {
            return false;
        }
        let frame: Vec<u8> = self.unread.drain(..length).collect();
        self.store.handle(self.now, StoreInput::Received(self.wire, &frame));
        if core::mem::replace(&mut self.greeted, true) && wires == Wires::CarryOneCreate {
            // A transaction's answer begins with that of its first step, create's.
            let first = frame.get(20..24).and_then(|it| it.try_into().ok());
            let xid = frame.get(4..8).and_then(|it| it.try_into().ok());
            let is_answer = xid.is_some_and(|it| i32::from_be_bytes(it) > 0);
            self.created |= is_answer && first.is_some_and(|it| i32::from_be_bytes(it) == 15);
        }
        true
    }

    fn pass_until(&mut self, millis: u64, wires: Wires) {
        let end = Instant::ZERO + Duration::from_millis(millis);
        while let Some(due) = self.store.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.store.handle(self.now, StoreInput::Timeout);
            self.settle(wires);
        }
        self.now = end;
        self.settle(wires);
    }

    fn register(&mut self, request: u64, address: &str, wires: Wires) {
        let registration =
            Registration { service: "web".into(), address: address.into(), attributes: None };
        self.store.register(self.now, request, registration);
        self.settle(wires);
    }

    fn cut(&mut self, wires: Wires) {
        self.store.handle(self.now, StoreInput::Lost(self.wire, "cut"));
        self.model.close((1, self.wire));
        self.settle(wires);
    }
}

#[test]
fn a_request_that_is_done_but_not_heard_is_answered() {
    let mut carried = Carried {
        store: Zookeeper::new(Instant::ZERO, config(1, 1)),
        model: Model::new(1),
        now: Instant::ZERO,
        wire: 0,
        unread: Vec::new(),
        greeted: false,
        created: false,
        answers: 0,
    };
    carried.settle(Wires::Carry);
    // The folders are there from then on.
    carried.register(1, "first", Wires::Carry);
    assert_eq!(carried.answers, 1);
    carried.cut(Wires::Refuse);
    carried.register(2, "second", Wires::Refuse);
    carried.pass_until(4_500, Wires::Refuse);
    carried.pass_until(5_900, Wires::CarryOneCreate);
    assert!(carried.created, "it was done just before its deadline");
    // Which passes while what it did is still to be heard.
    carried.pass_until(6_050, Wires::CarryOneCreate);
    assert_eq!(carried.answers, 1);
    carried.cut(Wires::Refuse);
    carried.pass_until(8_000, Wires::Refuse);
    assert_eq!(carried.answers, 2);
}
