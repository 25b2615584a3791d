//! A target behind a real socket.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use libswarm::address::Remote;
use libswarm_host::Stream;
use rustix::net::sockopt::{Timeout, set_socket_timeout};

use super::{Said, Target};

/// Whatever a target sends, no more of it is kept for one connection.
const MOST: usize = 64 << 20;

/// An engine at an address: `unix://`, `tcp://` or `ssh://`.
#[derive(Debug)]
pub struct Sockets {
    remote: Remote,
    /// How long it may take to accept bytes.
    patience: Duration,
    start: Instant,
    conns: BTreeMap<u32, Sender<Act>>,
    said: (Sender<Said>, Receiver<Said>),
}

/// What a client does. A thread does it, since an engine may take one connection's bytes only when it was asked something
/// on another.
#[derive(Debug)]
enum Act {
    Send(Vec<u8>),
    End,
    Close,
}

impl Sockets {
    /// The engine at that address, which has so long for each step.
    #[must_use]
    pub fn new(remote: Remote, patience: Duration) -> Self {
        let start = Instant::now();
        Self { remote, patience, start, conns: BTreeMap::new(), said: channel() }
    }

    fn act(&self, conn: u32, act: Act) {
        if let Some(conn) = self.conns.get(&conn) {
            // The thread is there as long as its sender is.
            let _ = conn.send(act);
        }
    }
}

/// Does what the client does, in its order.
fn talk(conn: u32, stream: &Stream, acts: &Receiver<Act>, said: &Sender<Said>) {
    let mut takes = true;
    for act in acts {
        match act {
            Act::Send(bytes) if takes => {
                if let Err(error) = (&mut &*stream).write_all(&bytes) {
                    takes = false;
                    // One that has answered and closed shows that to the reader.
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) {
                        let why = "it takes no more bytes".to_owned();
                        let _ = said.send(Said::Broken(conn, why));
                    }
                }
            }
            Act::Send(_) => {}
            // They fail only for a connection that is gone, which the reader tells.
            Act::End => drop(stream.shutdown(Shutdown::Write)),
            Act::Close => break,
        }
    }
    // For the reader, which holds a copy.
    let _ = stream.shutdown(Shutdown::Both);
}

fn listen(conn: u32, stream: &Stream, said: &Sender<Said>) {
    let mut buffer = vec![0; 64 * 1024];
    let mut all = 0;
    loop {
        let what = match (&mut &*stream).read(&mut buffer) {
            Ok(0) => Said::End(conn),
            Ok(length) if all + length <= MOST => {
                all += length;
                Said::Data(conn, buffer[..length].to_vec())
            }
            Ok(_) => Said::Broken(conn, format!("it sends more than {MOST} bytes")),
            Err(error) => Said::Broken(conn, error.to_string()),
        };
        let more = matches!(what, Said::Data(..));
        if said.send(what).is_err() || !more {
            return;
        }
    }
}

impl Target for Sockets {
    fn open(&mut self, conn: u32) -> Result<(), String> {
        let cannot = |error: std::io::Error| format!("cannot connect to {}: {error}", self.remote);
        let stream = libswarm_host::connect(&self.remote).map_err(cannot)?;
        set_socket_timeout(&stream, Timeout::Send, Some(self.patience))
            .map_err(|error| cannot(error.into()))?;
        let stream = Arc::new(stream);
        let (reader, said) = (Arc::clone(&stream), self.said.0.clone());
        thread::spawn(move || listen(conn, &reader, &said));
        let ((act, acts), said) = (channel(), self.said.0.clone());
        thread::spawn(move || talk(conn, &stream, &acts, &said));
        self.conns.insert(conn, act);
        Ok(())
    }

    fn send(&mut self, conn: u32, bytes: &[u8]) {
        self.act(conn, Act::Send(bytes.to_vec()));
    }

    fn end(&mut self, conn: u32) {
        self.act(conn, Act::End);
    }

    fn close(&mut self, conn: u32) {
        self.act(conn, Act::Close);
        self.conns.remove(&conn);
    }

    fn next(&mut self, limit: Duration) -> Option<Said> {
        let until = Instant::now() + limit;
        loop {
            let said =
                self.said.1.recv_timeout(until.saturating_duration_since(Instant::now())).ok()?;
            // What a closed one still says is nobody's business.
            if self.conns.contains_key(&said.conn()) {
                return Some(said);
            }
        }
    }

    fn now(&self) -> Duration {
        self.start.elapsed()
    }
}
