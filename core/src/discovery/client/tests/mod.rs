//! The client alone, with a server that says what it is told to.

mod connection;
mod machine;
mod monitor;
mod splits;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use super::{Action, Client, Config, Input, Machine, Notice, WatchId};
use crate::discovery::Change;
use crate::id::CallId;
use crate::rpc::{Args, Codec, Limits, Method, Reply, Server, ServerEvent, Update};
use crate::time::Instant;

pub(super) const CODECS: [Codec; 2] = [Codec::Gob, Codec::Json];

pub(super) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(super) const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A client and the server that it has dialed.
pub(super) struct Scene {
    pub(super) client: Client,
    pub(super) now: Instant,
    pub(super) conn: Option<u64>,
    /// Which servers were dialed, and when.
    pub(super) dialed: Vec<(Instant, Arc<str>)>,
    pub(super) notices: Vec<Notice>,
    /// A dial is answered by this: nothing, a connection, or a refusal.
    pub(super) listens: Listens,
    pub(super) server: Server,
    unread: Vec<u8>,
    /// What the server was asked, and when.
    pub(super) calls: Vec<(Instant, CallId, Method, Args)>,
    pub(super) closed: Vec<u64>,
    /// All that the server has said.
    pub(super) said: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Listens {
    Yes,
    No,
    /// Nothing comes back.
    Never,
}

pub(super) fn args(name: &str, address: &str) -> Args {
    Args { name: name.into(), address: address.into(), attributes: None }
}

pub(super) fn online(address: &str, created: u64) -> Update<'static> {
    Update {
        name: "web".into(),
        address: address.to_string().into(),
        online: true,
        attributes: None,
        created,
    }
}

pub(super) fn offline(address: &str) -> Update<'static> {
    Update { online: false, created: 0, ..online(address, 0) }
}

impl Scene {
    pub(super) fn new(codec: Codec, servers: &[&str]) -> Self {
        Self::with(codec, |config| {
            config.servers = servers.iter().map(ToString::to_string).collect();
        })
    }

    pub(super) fn with(codec: Codec, set: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config { codec, ..Config::default() };
        set(&mut config);
        Self {
            client: Client::new(config, Instant::ZERO, 7),
            now: Instant::ZERO,
            conn: None,
            dialed: Vec::new(),
            notices: Vec::new(),
            listens: Listens::Yes,
            server: Server::new(Limits::default()),
            unread: Vec::new(),
            calls: Vec::new(),
            closed: Vec::new(),
            said: Vec::new(),
        }
    }

    /// One that is connected.
    pub(super) fn greeted(codec: Codec) -> Self {
        let mut scene = Self::new(codec, &["a:1"]);
        scene.run();
        assert_eq!(scene.client.server(), Some("a:1"));
        scene
    }

    pub(super) fn handle(&mut self, input: Input<'_>) {
        self.client.handle(self.now, input);
        self.run();
    }

    /// Does what the client wants done.
    pub(super) fn run(&mut self) {
        let mut out = Vec::new();
        while let Some(action) = self.client.poll(&mut out) {
            match action {
                Action::Connect { conn, server, .. } => {
                    assert_eq!(self.conn, None, "one connection at a time");
                    self.dialed.push((self.now, server));
                    self.server = Server::new(Limits::default());
                    self.unread.clear();
                    match self.listens {
                        Listens::Yes => {
                            self.conn = Some(conn);
                            self.client.handle(self.now, Input::Connected(conn));
                        }
                        Listens::No => self.client.handle(self.now, Input::Closed(conn, "refused")),
                        Listens::Never => self.conn = Some(conn),
                    }
                }
                Action::Write(conn) => {
                    assert!(self.conn == Some(conn) && !out.is_empty());
                    self.serve(&core::mem::take(&mut out));
                    self.client.handle(self.now, Input::Sent(conn));
                }
                Action::Close(conn) => {
                    assert_eq!(self.conn.take(), Some(conn));
                    self.closed.push(conn);
                }
                Action::Notice(notice) => self.notices.push(notice),
            }
            out.clear();
        }
    }

    fn serve(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
        let mut out = Vec::new();
        while let (taken, Some(event)) = self.server.receive(&self.unread, &mut out).unwrap() {
            self.unread.drain(..taken);
            if let ServerEvent::Call { call, method, args } = event {
                self.calls.push((self.now, call, method, args));
            }
        }
        self.unread.clear();
        self.say(&out);
    }

    /// The server says something.
    fn say(&mut self, bytes: &[u8]) {
        if let (Some(conn), false) = (self.conn, bytes.is_empty()) {
            self.said.extend_from_slice(bytes);
            self.client.handle(self.now, Input::Received(conn, bytes));
        }
    }

    /// The only call that was made since the last one that was asked for.
    pub(super) fn call(&mut self) -> (CallId, Method, Args) {
        assert_eq!(self.calls.len(), 1, "{:?}", self.calls);
        let (_, call, method, args) = self.calls.remove(0);
        (call, method, args)
    }

    pub(super) fn reply(&mut self, call: CallId, result: Result<&str, &str>) {
        let mut out = Vec::new();
        match result {
            Ok("") => self.server.reply(call, Reply::Empty, &mut out),
            Ok(text) => self.server.reply(call, Reply::Text(text), &mut out),
            Err(error) => self.server.fail(call, error, &mut out),
        }
        self.say(&out);
        self.run();
    }

    pub(super) fn update(&mut self, stream: CallId, updates: &[Update<'_>]) {
        let mut out = Vec::new();
        for update in updates {
            self.server.update(stream, update, &mut out);
        }
        self.say(&out);
        self.run();
    }

    pub(super) fn lose(&mut self) {
        let conn = self.conn.take().unwrap();
        self.handle(Input::Closed(conn, "broken"));
    }

    pub(super) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.client.poll_timeout().filter(|due| *due <= end) {
            assert!(due > self.now || self.client.poll_timeout() == Some(due));
            self.now = self.now.max(due);
            self.handle(Input::Timeout);
        }
        self.now = end;
    }

    /// What a follower is told.
    pub(super) fn told(&mut self, watch: WatchId) -> String {
        let mut words = vec![];
        while let Some(change) = self.client.next(watch) {
            words.push(match change {
                Change::Came(member) => format!("+{}", member.address),
                Change::Changed(member) => format!("~{}", member.address),
                Change::Gone(member) => format!("-{}", member.address),
                Change::Current => "=".into(),
            });
        }
        words.join(" ")
    }
}
