//! Scripted engines: what a request wants done stands in its head, and some engines do not care.

use std::collections::BTreeMap;
use std::time::Duration;

use libswarm::ConnId;

use super::client::{Client, Wish};
use super::network::{Happens, Network};
use super::pattern;
use crate::wire::{self, Form};

/// An engine's end of a connection.
pub(super) struct Server {
    conn: ConnId,
    got: Vec<u8>,
    /// Where the current request begins.
    start: usize,
    /// All whose head has come here, in order, and how much the node had heard on this connection before.
    seen: Vec<(u32, usize)>,
    /// What is being answered.
    current: Option<Current>,
    pub(super) closed: bool,
    ended: bool,
    over: bool,
}

struct Current {
    tag: u32,
    wish: Wish,
    length: usize,
    sent: usize,
    /// How much of what came behind the head of a stream was sent back.
    echoed: usize,
    head_end: usize,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Body,
    Head,
    Answer,
    Stream,
}

impl Server {
    /// Takes a connection, or does not.
    pub(super) fn accept(conn: ConnId, net: &mut Network) -> Option<Self> {
        match net.random.below(24) {
            0 => {
                net.count("engine: is not there");
                net.refuse(conn);
                return None;
            }
            // Nothing is ever heard of it.
            1 => return None,
            _ => net.accept(conn),
        }
        Some(Self {
            conn,
            got: Vec::new(),
            start: 0,
            seen: Vec::new(),
            current: None,
            closed: false,
            ended: false,
            over: false,
        })
    }

    pub(super) fn got(&mut self, bytes: &[u8], net: &mut Network) -> Result<(), String> {
        self.got.extend_from_slice(bytes);
        self.go_on(net)
    }

    pub(super) fn ended(&mut self, net: &mut Network) {
        self.ended = true;
        // Whatever is wrong was said when it came.
        let _ = self.go_on(net);
        if self.current.is_none() && !self.over {
            self.over = true;
            net.close(self.conn);
        }
    }

    fn go_on(&mut self, net: &mut Network) -> Result<(), String> {
        if self.over {
            return Ok(());
        }
        if self.current.is_none() && !self.head(net)? {
            return Ok(());
        }
        let Some(current) = &self.current else { return Ok(()) };
        if current.stage == Stage::Body {
            let request = wire::exchanges(&self.got[self.start..], b"").into_iter().next();
            let Some(request) = request.map(|exchange| exchange.request) else { return Ok(()) };
            if !pattern::is_start(current.tag, &request.body) {
                return Err(format!("request {}: its body is not what was sent", current.tag));
            }
            if !request.complete {
                return Ok(());
            }
            self.start += request.span.end;
            self.answer(net);
        } else if current.stage == Stage::Stream {
            net.later(Duration::ZERO, Happens::Say(self.conn));
        }
        Ok(())
    }

    /// Looks for the head of the next request.
    fn head(&mut self, net: &mut Network) -> Result<bool, String> {
        let rest = &self.got[self.start..];
        let Some(end) = rest.windows(4).position(|window| window == b"\r\n\r\n") else {
            return Ok(false);
        };
        let Some(request) =
            wire::exchanges(rest, b"").into_iter().next().map(|exchange| exchange.request)
        else {
            return Err(format!("what came to the engine is no request: {}", rest.escape_ascii()));
        };
        let header = |name| request.header(name).and_then(|value| value.parse::<usize>().ok());
        let tag = header("x-tag").and_then(|tag| u32::try_from(tag).ok());
        let (Some(tag), Some(wish), Some(length)) = (tag, header("x-wish"), header("x-length"))
        else {
            return Err(format!("the engine got a request that nobody made: {:?}", request.start));
        };
        if !self.seen.is_empty() {
            net.count("node: uses a connection again");
        }
        self.seen.push((tag, net.heard(self.conn)));
        let wish = Wish::ALL[wish % Wish::ALL.len()];
        net.say(|| format!("{} request {tag}: {wish:?}", self.conn));
        let head_end = self.start + end + 4;
        self.current =
            Some(Current { tag, wish, length, sent: 0, echoed: 0, head_end, stage: Stage::Body });
        let expects = request.header("expect").is_some();
        if expects && matches!(wish, Wish::Early) {
            // It is not interested in the body.
        } else if expects {
            net.count("engine: says 100 Continue");
            net.send(self.conn, b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        match wish {
            Wish::Early if request.form != Form::Empty => {
                net.count("engine: answers before the body is there");
                self.answer(net);
            }
            Wish::Stream => {
                self.start = head_end;
                self.answer(net);
            }
            _ => {}
        }
        Ok(true)
    }

    fn answer(&mut self, net: &mut Network) {
        if let Some(current) = &mut self.current {
            current.stage = Stage::Head;
            let after = net.delay();
            net.later(after, Happens::Say(self.conn));
        }
    }

    fn give_up(&mut self, net: &mut Network, kind: &'static str) {
        net.count(kind);
        self.over = true;
        self.current = None;
        if net.random.one_in(2) {
            net.cut(self.conn);
        } else {
            net.close(self.conn);
        }
    }

    /// Goes on with the answer.
    pub(super) fn say(&mut self, net: &mut Network) {
        if self.over || self.closed {
            return;
        }
        let Some(current) = &mut self.current else { return };
        let (tag, wish, length) = (current.tag, current.wish, current.length);
        let head =
            |line: &str, framing: &str| format!("HTTP/1.1 {line}\r\nX-Tag: {tag}\r\n{framing}\r\n");
        match current.stage {
            Stage::Body => {}
            Stage::Head => {
                current.stage = Stage::Answer;
                let text = match wish {
                    Wish::Length | Wish::Break => {
                        head("200 OK", &format!("Content-Length: {length}\r\n"))
                    }
                    Wish::Early => {
                        head("413 Too Large", "Content-Length: 0\r\nConnection: close\r\n")
                    }
                    Wish::Chunked | Wish::BreakChunk => {
                        head("200 OK", "Transfer-Encoding: chunked\r\n")
                    }
                    Wish::Close => head("200 OK", "Connection: close\r\n"),
                    Wish::Head => head("204 No Content", ""),
                    Wish::Stream => {
                        current.stage = Stage::Stream;
                        match length % 2 {
                            0 => head("101 UPGRADED", "Connection: Upgrade\r\nUpgrade: tcp\r\n"),
                            _ => head(
                                "200 OK",
                                "Content-Type: application/vnd.docker.raw-stream\r\n",
                            ),
                        }
                    }
                    Wish::Silence => return net.count("engine: does not answer"),
                    Wish::Hangup => {
                        return self.give_up(net, "engine: closes instead of an answer");
                    }
                    Wish::BreakHead => {
                        net.send(self.conn, b"HTTP/1.1 200 OK\r\nX-Ta");
                        return self.give_up(net, "engine: breaks off in the head");
                    }
                    Wish::Garbage => {
                        net.send(self.conn, b"\x16\x03\x01 what is this?\r\n\r\n");
                        return self.give_up(net, "engine: sends garbage");
                    }
                };
                net.send(self.conn, text.as_bytes());
                let after = net.delay();
                net.later(after, Happens::Say(self.conn));
            }
            Stage::Answer => self.body(net),
            Stage::Stream => self.stream(net),
        }
    }

    fn body(&mut self, net: &mut Network) {
        let Some(current) = &mut self.current else { return };
        let (tag, wish) = (current.tag, current.wish);
        let whole = match wish {
            Wish::Break | Wish::BreakChunk => current.length / 2,
            Wish::Head | Wish::Early => 0,
            _ => current.length,
        };
        let chunked = matches!(wish, Wish::Chunked | Wish::BreakChunk);
        if current.sent < whole {
            let piece = (1 + net.random.below(40_000)).min(whole - current.sent);
            let body = pattern::bytes(tag, current.sent, current.sent + piece);
            current.sent += piece;
            let bytes = if chunked {
                [format!("{piece:x}\r\n").as_bytes(), &body, b"\r\n"].concat()
            } else {
                body
            };
            net.send(self.conn, &bytes);
            let after = net.delay();
            return net.later(after, Happens::Say(self.conn));
        }
        match wish {
            Wish::Break | Wish::BreakChunk => {
                return self.give_up(net, "engine: breaks off in the body");
            }
            Wish::Chunked => net.send(self.conn, b"0\r\n\r\n"),
            _ => {}
        }
        net.count("engine: answers in full");
        self.current = None;
        if matches!(wish, Wish::Close | Wish::Early) || self.ended {
            self.over = true;
            net.close(self.conn);
        } else if net.random.one_in(6) {
            net.count("engine: closes a connection that waits");
            self.over = true;
            net.close(self.conn);
        } else {
            // Another request may be there already.
            let _ = self.go_on(net);
        }
    }

    /// Sends back what comes, and ends when the client does, or of its own accord.
    fn stream(&mut self, net: &mut Network) {
        let Some(current) = &mut self.current else { return };
        let from = current.head_end + current.echoed;
        let bytes = self.got[from..].to_vec();
        current.echoed += bytes.len();
        let done = current.length % 3 == 0 && current.echoed >= current.length;
        if !bytes.is_empty() {
            net.send(self.conn, &bytes);
        }
        if done {
            net.count("engine: ends its half of a stream first");
        }
        if done || self.ended {
            self.over = true;
            net.close(self.conn);
        }
    }
}

/// Which requests reached an engine, and how often.
pub(super) fn check(
    clients: &[Client],
    servers: &BTreeMap<ConnId, Server>,
    net: &Network,
) -> Result<(), String> {
    let mut times: BTreeMap<u32, Vec<bool>> = BTreeMap::new();
    for server in servers.values() {
        for (nth, (tag, before)) in server.seen.iter().enumerate() {
            let after =
                server.seen.get(nth + 1).map_or(net.heard(server.conn), |(_, heard)| *heard);
            times.entry(*tag).or_default().push(after > *before);
        }
    }
    for request in clients.iter().flat_map(|client| &client.requests) {
        let seen = times.remove(&request.tag).unwrap_or_default();
        let most = if request.is_safe { 2 } else { 1 };
        if seen.len() > most {
            return Err(format!("request {} reached the engine {} times", request.tag, seen.len()));
        }
        if seen.iter().filter(|heard| **heard).count() > 1 {
            return Err(format!("request {} was answered and sent again", request.tag));
        }
    }
    match times.keys().next() {
        Some(tag) => Err(format!("request {tag} reached the engine, and nobody made it")),
        None => Ok(()),
    }
}
