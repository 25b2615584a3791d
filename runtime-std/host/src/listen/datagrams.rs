//! Sockets for datagrams, and batches of what comes to them and goes from them.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};

use libswarm::discovery::dns::SocketId;
use rustix::net::{AddressFamily, SocketType, sockopt};

/// A socket that takes datagrams from everybody. Nothing waits in it.
#[derive(Debug)]
pub struct DatagramSocket {
    socket: UdpSocket,
    address: SocketAddr,
}

/// So many datagrams are taken before something else gets its turn.
const BATCH: usize = 64;
/// A question is never that long; one that is longer is cut, which makes it unreadable.
const LONGEST: usize = 2048;
/// What may wait to be taken, where the system allows it: some thousand questions.
const BACKLOG: usize = 1024 * 1024;

impl DatagramSocket {
    pub(crate) fn bind(address: SocketAddr) -> io::Result<Self> {
        let family = match address {
            SocketAddr::V4(_) => AddressFamily::INET,
            SocketAddr::V6(_) => AddressFamily::INET6,
        };
        let socket = super::socket(family, SocketType::DGRAM)?;
        if address.is_ipv6() {
            // Otherwise [::] would take the IPv4 port, too.
            sockopt::set_ipv6_v6only(&socket, true)?;
        }
        // The system's own bound is good enough where it refuses this.
        let _ = sockopt::set_socket_recv_buffer_size(&socket, BACKLOG);
        rustix::net::bind(&socket, &address)?;
        let socket = UdpSocket::from(socket);
        socket.set_nonblocking(true)?;
        Ok(Self { address: socket.local_addr()?, socket })
    }

    /// Where it is bound.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl AsFd for DatagramSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Datagrams that have come.
#[derive(Debug)]
pub struct Inbox {
    room: Box<[u8]>,
    heads: Vec<(SocketAddr, usize)>,
}

impl Default for Inbox {
    fn default() -> Self {
        Self { room: vec![0; BATCH * LONGEST].into(), heads: Vec::with_capacity(BATCH) }
    }
}

impl Inbox {
    /// Takes what waits in a socket, up to 64 datagrams, in the place of those before.
    pub fn receive(&mut self, from: &DatagramSocket) {
        self.heads.clear();
        for room in self.room.chunks_exact_mut(LONGEST) {
            match from.socket.recv_from(room) {
                Ok((length, peer)) => self.heads.push((peer, length)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => return log::debug!("cannot read from {}: {error}", from.address),
            }
        }
    }

    /// What was taken: from whom, and what.
    pub fn iter(&self) -> impl Iterator<Item = (SocketAddr, &[u8])> {
        let rooms = self.room.chunks_exact(LONGEST);
        self.heads.iter().zip(rooms).map(|((peer, length), room)| (*peer, &room[..*length]))
    }
}

/// Datagrams that are to be sent.
#[derive(Debug, Default)]
pub struct Outbox {
    bytes: Vec<u8>,
    /// By which socket, to whom, and where in the bytes it ends.
    heads: Vec<(SocketId, SocketAddr, usize)>,
}

impl Outbox {
    /// Adds one.
    pub fn push(&mut self, socket: SocketId, peer: SocketAddr, datagram: &[u8]) {
        self.bytes.extend_from_slice(datagram);
        self.heads.push((socket, peer, self.bytes.len()));
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// Sends all that go without waiting; the rest is lost, as datagrams may be. `sockets` are in the order of their ids.
    pub fn send(&mut self, sockets: &[DatagramSocket]) {
        let mut begin = 0;
        let mut all = Vec::with_capacity(self.heads.len());
        for (socket, peer, end) in &self.heads {
            all.push((*socket, *peer, &self.bytes[begin..*end]));
            begin = *end;
        }
        for batch in all.chunk_by(|one, other| one.0 == other.0) {
            if let Some(socket) = sockets.get(batch[0].0.0 as usize) {
                send(socket, batch);
            }
        }
        drop(all);
        self.bytes.clear();
        self.heads.clear();
    }
}

type Datagram<'a> = (SocketId, SocketAddr, &'a [u8]);

#[cfg(target_os = "linux")]
fn send(socket: &DatagramSocket, batch: &[Datagram<'_>]) {
    use std::io::IoSlice;

    use rustix::net::addr::SocketAddrArg;
    use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags};

    if let [one] = batch {
        return send_one(socket, one);
    }
    let peers: Vec<_> = batch.iter().map(|(_, peer, _)| peer.as_any()).collect();
    let pieces: Vec<_> = batch.iter().map(|(.., bytes)| [IoSlice::new(bytes)]).collect();
    let mut beside: Vec<_> = batch.iter().map(|_| SendAncillaryBuffer::default()).collect();
    let mut messages: Vec<_> = peers
        .iter()
        .zip(&pieces)
        .zip(&mut beside)
        .map(|((peer, piece), beside)| MMsgHdr::new_with_addr(peer, piece, beside))
        .collect();
    let mut sent = 0;
    while sent < messages.len() {
        match rustix::net::sendmmsg(&socket.socket, &mut messages[sent..], SendFlags::DONTWAIT) {
            Ok(more) if more > 0 => sent += more,
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) => return,
            // That one cannot be sent; the others may.
            Err(error) => {
                log::debug!("cannot send to {}: {error}", batch[sent].1);
                sent += 1;
            }
            Ok(_) => sent += 1,
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn send(socket: &DatagramSocket, batch: &[Datagram<'_>]) {
    for one in batch {
        send_one(socket, one);
    }
}

fn send_one(socket: &DatagramSocket, (_, peer, bytes): &Datagram<'_>) {
    if let Err(error) = socket.socket.send_to(bytes, peer) {
        log::debug!("cannot send to {peer}: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn bound() -> DatagramSocket {
        DatagramSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap()
    }

    #[test]
    fn a_batch_goes_out_and_comes_in() {
        let (near, far) = ([bound(), bound()], bound());
        let mut outbox = Outbox::default();
        for nth in 0..100_u8 {
            outbox.push(SocketId(u32::from(nth / 50)), far.address(), &[nth; 3]);
        }
        // A socket that is not there.
        outbox.push(SocketId(7), far.address(), b"lost");
        outbox.send(&near);
        assert!(outbox.is_empty());
        let (mut inbox, mut read) = (Inbox::default(), Vec::new());
        inbox.receive(&far);
        assert_eq!(inbox.iter().count(), BATCH);
        read.extend(inbox.iter().map(|(peer, bytes)| (peer, bytes.to_vec())));
        inbox.receive(&far);
        read.extend(inbox.iter().map(|(peer, bytes)| (peer, bytes.to_vec())));
        inbox.receive(&far);
        assert_eq!(inbox.iter().count(), 0);
        let expected: Vec<_> =
            (0..100_u8).map(|nth| (near[usize::from(nth / 50)].address(), vec![nth; 3])).collect();
        assert_eq!(read, expected);
    }

    #[test]
    fn one_that_cannot_be_sent_does_not_stop_the_others() {
        let (near, far) = (bound(), bound());
        let mut outbox = Outbox::default();
        outbox.push(SocketId(0), far.address(), b"one");
        // Of the other family.
        outbox.push(SocketId(0), "[::1]:9".parse().unwrap(), b"lost");
        outbox.push(SocketId(0), far.address(), b"two");
        outbox.send(&[near]);
        let mut inbox = Inbox::default();
        inbox.receive(&far);
        let read: Vec<_> = inbox.iter().map(|(_, bytes)| bytes.to_vec()).collect();
        assert_eq!(read, [b"one".to_vec(), b"two".to_vec()]);
    }

    #[test]
    fn what_is_too_long_is_cut() {
        let far = bound();
        let near = UdpSocket::bind("127.0.0.1:0").unwrap();
        near.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
        near.send_to(&[7; 9000], far.address()).unwrap();
        let mut inbox = Inbox::default();
        inbox.receive(&far);
        assert_eq!(inbox.iter().next().map(|(_, bytes)| bytes.len()), Some(LONGEST));
    }
}
