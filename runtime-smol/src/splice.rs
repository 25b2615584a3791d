//! Bytes that pass from one socket to another without the node.

use libswarm::ConnId;
use libswarm::node::Input;

use crate::driver::{Driver, find};
use crate::socket::{Splice, Written};

/// So much passes before other connections get their turn, in reads.
const PIECES: u32 = 4;

impl Driver {
    /// Begins to pass what comes from one connection on to another.
    pub(crate) fn splice(&mut self, from: ConnId, to: ConnId, limit: Option<u64>) {
        // What is encrypted comes in pieces of its own, which may hold more than the limit: that is the node's.
        let mut is_plain =
            |id| find(&mut self.sockets, id).is_some_and(|socket| socket.tls.is_none());
        if !(is_plain(from) && is_plain(to)) {
            return self.node.handle(self.now, Input::Spliced { from, bytes: 0, eof: false });
        }
        if let Some(target) = find(&mut self.sockets, to) {
            target.fed_by = Some(from);
        }
        if let Some(source) = find(&mut self.sockets, from) {
            source.splice = Some(Splice { to, left: limit, passed: 0 });
            if source.readable && !source.queued {
                source.queued = true;
                self.runnable.push_back(from);
            }
        }
    }

    /// Passes on what there is, as far as the other connection takes it.
    pub(crate) fn pass(&mut self, from: ConnId) {
        for _ in 0..PIECES {
            let Some(Splice { to, .. }) =
                find(&mut self.sockets, from).and_then(|s| s.splice.as_ref())
            else {
                return;
            };
            let to = *to;
            if find(&mut self.sockets, to).is_none_or(|target| target.is_full()) {
                return;
            }
            let Some(source) = find(&mut self.sockets, from).filter(|source| source.readable)
            else {
                return;
            };
            match source.read(&mut self.room) {
                Ok(None) => return,
                Ok(Some([])) => return self.passed_all(from),
                Ok(Some(bytes)) => {
                    let length = bytes.len();
                    let mut is_last = false;
                    if let Some(splice) = &mut source.splice {
                        splice.passed += length as u64;
                        splice.left = splice.left.map(|left| left - length as u64);
                        is_last = splice.left == Some(0);
                    }
                    let Some(target) = find(&mut self.sockets, to) else { return };
                    match target.pass_on(&mut self.room, length) {
                        Ok(Written::All) if is_last => return self.end_splice(from, false),
                        Ok(Written::All) => {}
                        Ok(Written::Partly) => return self.watch_room(to),
                        Err(error) => {
                            self.write_failed(to, &error);
                            return self.end_splice(from, false);
                        }
                    }
                }
                Err(error) => return self.failed(from, &error),
            }
        }
        self.queue(from);
    }

    /// A connection that others' bytes come to has room again.
    pub(crate) fn feed_on(&mut self, from: ConnId) {
        let splice = find(&mut self.sockets, from).and_then(|source| source.splice.as_ref());
        if splice.is_some_and(|splice| splice.left == Some(0)) {
            self.end_splice(from, false);
        } else {
            self.queue(from);
        }
    }

    fn queue(&mut self, id: ConnId) {
        if let Some(socket) = find(&mut self.sockets, id)
            && socket.readable
            && !socket.queued
        {
            socket.queued = true;
            self.runnable.push_back(id);
        }
    }

    /// The half of the one that is read from has ended.
    fn passed_all(&mut self, from: ConnId) {
        let Some(source) = find(&mut self.sockets, from) else { return };
        if let Some(obituary) = source.stream.obituary() {
            return self.read_obituary(from, obituary);
        }
        source.eof = true;
        let gone = source.hung_up;
        self.end_splice(from, true);
        if gone {
            self.handle(Input::Broken(from));
        }
    }

    fn end_splice(&mut self, from: ConnId, eof: bool) {
        let Some(splice) = find(&mut self.sockets, from).and_then(|source| source.splice.take())
        else {
            return;
        };
        if let Some(target) = find(&mut self.sockets, splice.to) {
            target.fed_by = None;
        }
        self.handle(Input::Spliced { from, bytes: splice.passed, eof });
    }

    /// A connection is closed that `feeds` another one, or is `fed_by` one.
    pub(crate) fn end_splices(&mut self, feeds: Option<Splice>, fed_by: Option<ConnId>) {
        if let Some(target) = feeds.and_then(|splice| find(&mut self.sockets, splice.to)) {
            target.fed_by = None;
        }
        let source = fed_by.and_then(|from| find(&mut self.sockets, from));
        if let Some((from, splice)) = source.and_then(|s| Some((s.id, s.splice.take()?))) {
            let spliced = Input::Spliced { from, bytes: splice.passed, eof: false };
            self.node.handle(self.now, spliced);
        }
    }
}
