//! What the store of discovery asks of other servers: a request on a connection to one, and what comes of it.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::action::{Action, CloseReason, Input};
use super::link::{Eof, Link};
use super::{Node, Release, Slot};
use crate::discovery::StoreInput;
use crate::discovery::store::{Exchange, Progress};
use crate::http1::{ClientEvent, Framing, Request};

/// A request of the store's that is under way.
pub(super) struct Fetch {
    exchange: Exchange,
    link: Box<Link>,
    /// Something of the answer was passed on.
    begun: bool,
}

/// How far an answer has come.
enum Reading {
    On,
    Complete,
    Lost(String),
}

impl Node {
    /// Begins what the store asks for.
    pub(super) fn fetch(&mut self, exchange: Exchange) {
        self.fetch_over(exchange, true);
    }

    fn fetch_over(&mut self, exchange: Exchange, may_reuse: bool) {
        let id = exchange.id;
        let upstream = Arc::clone(&exchange.upstream);
        let mut link = self.link_to(upstream, may_reuse, Slot::Fetching(id));
        link.post(exchange.target, &exchange.headers, &exchange.body);
        self.fetches.insert(id, Fetch { exchange, link, begun: false });
        self.fetching.push_back(id);
    }

    pub(super) fn abandon_fetch(&mut self, id: u64) {
        if let Some(fetch) = self.fetches.remove(&id) {
            self.release(Release::Close(fetch.link.id, CloseReason::Finished));
        }
    }

    pub(super) fn handle_fetch(&mut self, id: u64, input: Input<'_>) {
        let Some(mut fetch) = self.fetches.remove(&id) else { return };
        let link = &mut fetch.link;
        let reading = match input {
            Input::Connected(_) => {
                link.connected = true;
                Reading::On
            }
            Input::Done(_) => {
                link.done();
                Reading::On
            }
            Input::Received(_, bytes) => {
                link.received();
                self.fetched(&mut fetch, bytes)
            }
            Input::PeerShutdown(_) => {
                link.ended();
                self.fetched(&mut fetch, &[])
            }
            Input::ConnectFailed(_, reason) => Reading::Lost(format!("cannot connect: {reason}")),
            Input::Failed(_, reason) => Reading::Lost(reason.into()),
            Input::Broken(_) | Input::WriteFailed(_) => {
                Reading::Lost("the connection broke".into())
            }
            _ => Reading::On,
        };
        match reading {
            Reading::On => {
                self.fetches.insert(id, fetch);
                self.fetching.push_back(id);
            }
            Reading::Complete => {
                let Fetch { mut link, .. } = fetch;
                let release = if link.reuse() {
                    Release::Keep(link)
                } else {
                    Release::Close(link.id, CloseReason::Finished)
                };
                self.release(release);
                self.tell_agent(StoreInput::Exchange(id, Progress::End));
            }
            Reading::Lost(reason) => {
                let Fetch { exchange, link, begun } = fetch;
                self.release(Release::Close(link.id, CloseReason::Broken));
                if link.used && !begun {
                    // The server may have closed it just when it was to be used again.
                    return self.fetch_over(exchange, false);
                }
                self.tell_agent(StoreInput::Exchange(id, Progress::Failed(&reason)));
            }
        }
    }

    /// Passes on what has come of an answer.
    fn fetched(&mut self, fetch: &mut Fetch, bytes: &[u8]) -> Reading {
        let id = fetch.exchange.id;
        let Link { http, unread, eof, .. } = &mut *fetch.link;
        let mut joined = core::mem::take(unread);
        let input = if joined.is_empty() {
            bytes
        } else {
            joined.extend_from_slice(bytes);
            &joined
        };
        let (mut used, mut complete) = (0, false);
        loop {
            let event = match http.receive(&input[used..]) {
                Ok((taken, event)) => {
                    used += taken;
                    event
                }
                Err(error) => return Reading::Lost(format!("its answer is no HTTP: {error}")),
            };
            let progress = match event {
                Some(ClientEvent::Informational(_)) => continue,
                Some(ClientEvent::Response(head)) => Progress::Status(head.status()),
                Some(ClientEvent::Body(piece) | ClientEvent::Raw(piece)) => Progress::Body(piece),
                Some(ClientEvent::End) => {
                    // What is behind it makes the connection unfit for more.
                    complete = true;
                    continue;
                }
                None if complete => return Reading::Complete,
                None => break,
            };
            fetch.begun = true;
            self.tell_agent(StoreInput::Exchange(id, progress));
        }
        if *eof != Eof::Open {
            return match http.eof() {
                Ok(Some(_)) => Reading::Complete,
                Ok(None) | Err(_) => {
                    Reading::Lost("it closed the connection before its answer was complete".into())
                }
            };
        }
        *unread = input[used..].to_vec();
        Reading::On
    }

    /// The next thing to do for one of them.
    pub(super) fn poll_fetches(&mut self, out: &mut Vec<u8>) -> Option<Action> {
        while let Some(id) = self.fetching.front() {
            let fetch = self.fetches.get_mut(id);
            if let Some(action) = fetch.and_then(|fetch| fetch.link.next_action(true, out)) {
                return Some(action);
            }
            self.fetching.pop_front();
        }
        None
    }
}

impl Link {
    /// Sends a whole request of one's own.
    fn post(&mut self, target: &str, headers: &str, body: &[u8]) {
        let framing = Framing::Length(body.len() as u64);
        let request = Request { method: "POST", target, framing, hijack: false };
        let out = &mut self.output.bytes;
        self.http.request(&request, &[headers.as_bytes()], out);
        self.http.write(body, out);
        self.http.end(out);
        self.heard = false;
    }
}
