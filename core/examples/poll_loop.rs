//! A `Node` in an event loop of one's own: poll(2), non-blocking sockets, one thread.
//!
//! `cargo run --example poll_loop -- 127.0.0.1:4242 'simulator web db'`, and then `docker -H tcp://localhost:4242 ps`.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use libswarm::backend::Registry;
use libswarm::job::{Engine, Log};
use libswarm::node::{Action, Config, Input};
use libswarm::{ConnId, Instant, Node};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// A socket, whether the node allows a read, and what could not be written yet.
struct Client {
    stream: TcpStream,
    may_read: bool,
    unwritten: Vec<u8>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let listener = TcpListener::bind(args.next().as_deref().unwrap_or("127.0.0.1:4242"))?;
    let (name, backend) =
        Registry::standard().make(args.next().as_deref().unwrap_or("simulator"))?;
    println!("listening on tcp://{}", listener.local_addr()?);
    listener.set_nonblocking(true)?;

    let start = std::time::Instant::now();
    #[expect(clippy::disallowed_methods, reason = "this program is its own host")]
    let epoch = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let mut engine = Engine::new(epoch.as_nanos() as u64);
    engine.push(name, backend);
    let mut config = Config::default();
    config.epoch = epoch;
    let mut node = Node::new(config, engine);
    let mut clients = BTreeMap::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        act(&mut node, &mut clients, start);
        let (new, ready) = wait(
            &listener,
            &clients,
            node.poll_timeout().map(|at| at.since_epoch().saturating_sub(start.elapsed())),
        )?;
        let now = Instant::new(start.elapsed());
        node.handle(now, Input::Timeout);
        if new && let Ok((stream, _)) = listener.accept() {
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            if let Ok(id) = node.accept(now) {
                clients.insert(id, Client { stream, may_read: false, unwritten: Vec::new() });
            }
        }
        for id in ready {
            let Some(client) = clients.get_mut(&id) else { continue };
            if client.may_read {
                match client.stream.read(&mut buffer) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(_) => node.handle(now, Input::Broken(id)),
                    Ok(length) => {
                        client.may_read = false;
                        node.handle(
                            now,
                            match length {
                                0 => Input::PeerShutdown(id),
                                length => Input::Received(id, &buffer[..length]),
                            },
                        );
                    }
                }
            }
            if !client.unwritten.is_empty() {
                write(&mut node, now, id, client);
            }
        }
    }
}

/// Does what the node asks for.
fn act(node: &mut Node, clients: &mut BTreeMap<ConnId, Client>, start: std::time::Instant) {
    let mut out = Vec::new();
    loop {
        out.clear();
        let Some(action) = node.poll(&mut out) else { return };
        let now = Instant::new(start.elapsed());
        match action {
            Action::Read(id) => clients.get_mut(&id).expect("it is open").may_read = true,
            Action::Write { conn, .. } => {
                let client = clients.get_mut(&conn).expect("it is open");
                client.unwritten.extend_from_slice(&out);
                write(node, now, conn, client);
            }
            Action::Shutdown(id) => {
                let _ = clients[&id].stream.shutdown(Shutdown::Write);
                node.handle(now, Input::Done(id));
            }
            Action::Close { conn, .. } => drop(clients.remove(&conn)),
            Action::Log(Log::Print(text)) => print!("{text}"),
            Action::Log(log) => eprintln!("{log:?}"),
            _ => {}
        }
    }
}

/// Writes what goes; the node is told when all has gone.
fn write(node: &mut Node, now: Instant, id: ConnId, client: &mut Client) {
    while !client.unwritten.is_empty() {
        match client.stream.write(&client.unwritten) {
            Ok(length) => drop(client.unwritten.drain(..length)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(_) => return node.handle(now, Input::Broken(id)),
        }
    }
    node.handle(now, Input::Done(id));
}

/// Waits for something to happen: whether there is a new client, and the clients that are ready.
fn wait(
    listener: &TcpListener,
    clients: &BTreeMap<ConnId, Client>,
    timeout: Option<Duration>,
) -> io::Result<(bool, Vec<ConnId>)> {
    let mut sources = vec![PollFd::new(listener, PollFlags::IN)];
    for client in clients.values() {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, client.may_read);
        flags.set(PollFlags::OUT, !client.unwritten.is_empty());
        sources.push(PollFd::new(&client.stream, flags));
    }
    let timeout = timeout.map(|left| Timespec {
        tv_sec: left.as_secs() as i64,
        tv_nsec: i64::from(left.subsec_nanos()),
    });
    match poll(&mut sources, timeout.as_ref()) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    let ready =
        clients.keys().zip(&sources[1..]).filter(|(_, source)| !source.revents().is_empty());
    Ok((!sources[0].revents().is_empty(), ready.map(|(id, _)| *id).collect()))
}
