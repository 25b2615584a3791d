//! Bytes that pass from one socket to another without the node, on the thread of the one that is read from.

use std::io::{self, Read};
use std::sync::Arc;

use libswarm::node::Input;

use crate::buffers::Room;
use crate::connection::{Connection, Splice};
use crate::shared::Shared;

/// What became of a splice.
pub(crate) struct Spliced {
    bytes: u64,
    /// The half that was read from has ended.
    pub(crate) ended: bool,
}

impl Connection {
    pub(crate) const fn spliced(&self, spliced: &Spliced) -> Input<'static> {
        Input::Spliced { from: self.id, bytes: spliced.bytes, eof: spliced.ended }
    }

    /// Passes on what comes, until that is all, or the other connection takes nothing more.
    pub(crate) fn pass(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        splice: &Splice,
        room: &mut Room<'_>,
    ) -> io::Result<Spliced> {
        let mut bytes = 0;
        loop {
            let left = splice.limit.map(|limit| limit - bytes);
            let most = left.and_then(|left| usize::try_from(left).ok()).unwrap_or(usize::MAX);
            let buffer = room.up_to(most);
            let length = match (&mut self.stream()).read(buffer) {
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            bytes += length as u64;
            if length == 0 {
                return Ok(Spliced { bytes, ended: true });
            }
            if !splice.to.feed(&buffer[..length]) {
                if !splice.to.is_closed() {
                    shared.tell(Input::WriteFailed(splice.to.id));
                }
                return Ok(Spliced { bytes, ended: false });
            }
            room.fit(length);
            if splice.limit == Some(bytes) {
                return Ok(Spliced { bytes, ended: false });
            }
        }
    }
}
