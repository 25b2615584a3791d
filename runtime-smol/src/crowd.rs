//! Writing to many connections at once, on several cores: a packet costs the kernel far more than it costs the node, and one
//! change may be told to thousands of subscribers.

use std::io;
use std::num::NonZero;
use std::slice::ChunksMut;
use std::sync::{Mutex, PoisonError};
use std::thread;

use libswarm::ConnId;

use crate::driver::find;
use crate::socket::{Socket, Written};

/// So many writes are worth a thread: some 10 µs each, where a thread takes 50 to begin and to end.
pub(crate) const FEWEST: usize = 64;
/// A thread takes so many at a time.
const SHARE: usize = 16;
/// More threads would wait for each other in the kernel.
const MOST: usize = 4;

/// How many threads may write at once: none but the driver's where this process may use one core only.
pub(crate) fn writers() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get).min(MOST)
}

/// A socket that is lent to a thread.
struct Write<'a> {
    socket: Socket,
    bytes: &'a [u8],
    result: io::Result<Written>,
}

/// Writes to each of `writes` what ends in `out` where it says, and what the one before it has left. Returns what came of each
/// whose connection is still there.
pub(crate) fn write(
    sockets: &mut [Option<Socket>],
    writes: &[(ConnId, usize)],
    out: &[u8],
    writers: usize,
) -> Vec<(ConnId, io::Result<Written>)> {
    let mut lent = Vec::with_capacity(writes.len());
    let mut start = 0;
    for (id, end) in writes {
        if find(sockets, *id).is_some()
            && let Some(socket) = sockets[id.slot()].take()
        {
            lent.push(Write { socket, bytes: &out[start..*end], result: Ok(Written::All) });
        }
        start = *end;
    }
    let shares = Mutex::new(lent.chunks_mut(SHARE));
    thread::scope(|scope| {
        for _ in 1..writers {
            // Without it the others have more to do.
            let _ = thread::Builder::new().spawn_scoped(scope, || write_shares(&shares));
        }
        write_shares(&shares);
    });
    let back = lent.into_iter().map(|Write { socket, result, .. }| {
        let id = socket.id;
        sockets[id.slot()] = Some(socket);
        (id, result)
    });
    back.collect()
}

fn write_shares(shares: &Mutex<ChunksMut<'_, Write<'_>>>) {
    loop {
        let next = shares.lock().unwrap_or_else(PoisonError::into_inner).next();
        let Some(share) = next else { return };
        for write in share {
            write.result = write.socket.write(write.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    use libswarm::job::Engine;
    use libswarm::node::Config;
    use libswarm::{Instant, Node};
    use libswarm_host::{Stream, Transport};

    use super::*;

    #[test]
    fn each_is_written_what_is_its_own() {
        let mut node = Node::new(Config::default(), Engine::new(1));
        let ids: Vec<ConnId> = (0..200).map(|_| node.accept(Instant::ZERO).unwrap()).collect();
        let (mut sockets, mut peers) = (Vec::new(), Vec::new());
        for id in &ids {
            let (ours, theirs) = UnixStream::pair().unwrap();
            ours.set_nonblocking(true).unwrap();
            let transport = Transport { stream: Stream::Unix(ours), tls: None };
            sockets.push(Some(Socket::new(*id, transport)));
            peers.push(theirs);
        }
        let (mut out, mut writes) = (Vec::new(), Vec::new());
        for id in &ids {
            out.extend_from_slice(format!("for {}", id.slot()).as_bytes());
            writes.push((*id, out.len()));
        }
        // One is closed, one is somebody else's by now, and one's peer is gone.
        sockets[7] = None;
        sockets[8].as_mut().unwrap().id = ids[199];
        peers[9] = UnixStream::pair().unwrap().0;
        let done = write(&mut sockets, &writes, &out, 3);
        assert_eq!(done.len(), 198);
        for (id, written) in &done {
            match (id.slot(), written) {
                (9, Err(_)) => {}
                (_, Ok(written)) => assert_eq!(*written, Written::All, "{id}"),
                (_, Err(error)) => panic!("{id}: {error}"),
            }
        }
        assert_eq!(sockets.iter().flatten().count(), 199);
        drop(sockets);
        for (slot, mut peer) in peers.into_iter().enumerate() {
            let mut text = String::new();
            peer.read_to_string(&mut text).unwrap();
            let expected =
                if (7..10).contains(&slot) { String::new() } else { format!("for {slot}") };
            assert_eq!(text, expected);
        }
    }
}
