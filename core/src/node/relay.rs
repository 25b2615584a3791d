//! The relaying of a client's request to another server, and of the answer back.
//!
//! The two connections keep their own HTTP machines: what passes between them is heads, pieces of bodies and raw bytes,
//! each as soon as it comes and the other side has room.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::action::CloseReason;
use super::conn::{Conn, Ending};
use super::link::{Eof, Link, Trouble};
use super::{Env, Release};
use crate::address::Remote;
use crate::http1::state::Half;
use crate::http1::{ClientEvent, Error};
use crate::id::ConnId;
use crate::job::{Job, Request};

/// What is passed on where there is no room for more.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Room {
    /// Nothing: more comes later.
    Heeded,
    /// All: nothing comes any more, and there is not more of it than may wait unread.
    Made,
}

impl Conn {
    /// Whether the job's request may be sent again if a connection that was kept turns out to be closed.
    pub(super) fn may_retry(&self, env: &Env<'_>) -> bool {
        let head =
            self.job.and_then(|job| env.engine.job(job)).and_then(Job::request).map(Request::head);
        head.is_some_and(|head| matches!(head.method(), "GET" | "HEAD" | "OPTIONS"))
            && self.http.halves().request != Half::Body
            && !self.http.has_body()
    }

    /// Takes the connection that the job's request goes to.
    pub(super) fn attach(&mut self, env: &mut Env<'_>, mut link: Box<Link>) {
        let Some(job) = self.job else {
            return env.released.push(Release::Close(link.id, CloseReason::Finished));
        };
        let read = env.engine.take_read_again(job);
        let Some(request) = env.engine.job(job).and_then(Job::request) else { return };
        link.start(request.head(), self.http.request_framing(), env.via, &read);
        if self.http.halves().request != Half::Body {
            link.end();
        }
        if self.http.halves().request == Half::Closed {
            link.shut_down();
        }
        self.link = Some(link);
        self.progress(env);
    }

    /// Lets go of the connection to the server; it is closed.
    pub(super) fn drop_link(&mut self, env: &mut Env<'_>, why: CloseReason) {
        if let Some(link) = self.link.take() {
            self.set_spliced_to(false);
            env.released.push(Release::Close(link.id, why));
        }
    }

    pub(super) fn upstream_connected(&mut self, env: &mut Env<'_>) {
        if let Some(link) = &mut self.link {
            link.connected = true;
        }
        self.progress(env);
    }

    pub(super) fn upstream_failed(&mut self, env: &mut Env<'_>, reason: &str) {
        if let Some(link) = &self.link {
            let message = format!("cannot connect to {}: {reason}", link.upstream.address);
            self.trouble(env, Trouble { status: 502, message });
        }
        self.progress(env);
    }

    pub(super) fn upstream_timed_out(&mut self, env: &mut Env<'_>) {
        if let Some(link) = &self.link {
            let (address, limit) = (&link.upstream.address, link.upstream.connect_timeout);
            let message = format!("no connection to {address} within {limit:?}");
            self.trouble(env, Trouble { status: 504, message });
        }
    }

    pub(super) fn upstream_done(&mut self, env: &mut Env<'_>) {
        if let Some(link) = &mut self.link {
            link.done();
        }
        self.progress(env);
    }

    /// The server takes nothing more. It may still say why, or may have said all it wanted to: that is known when its half
    /// ends.
    pub(super) fn upstream_deaf(&mut self, env: &mut Env<'_>) {
        if let Some(link) = &mut self.link {
            link.deafen();
        }
        self.progress(env);
    }

    pub(super) fn upstream_received(&mut self, env: &mut Env<'_>, bytes: &[u8]) {
        if let Some(link) = &mut self.link {
            link.received();
            if link.unread.is_empty() {
                let used = self.relay(env, bytes, Room::Heeded);
                if let Some(link) = &mut self.link {
                    link.unread.extend_from_slice(&bytes[used..]);
                }
            } else {
                link.unread.extend_from_slice(bytes);
            }
        }
        self.progress(env);
    }

    pub(super) fn upstream_ended(&mut self, env: &mut Env<'_>) {
        if let Some(link) = &mut self.link {
            link.ended();
        }
        self.progress(env);
    }

    pub(super) fn upstream_broken(&mut self, env: &mut Env<'_>, how: &str) {
        // It may be the end of an answer that waits here for its client.
        if let Some(link) = &mut self.link {
            link.deafen();
            let unread = core::mem::take(&mut link.unread);
            self.relay(env, &unread, Room::Made);
        }
        self.lost(env, how);
        self.progress(env);
    }

    /// Relays what came before and found no room.
    pub(super) fn relay_unread(&mut self, env: &mut Env<'_>) {
        let Some(link) = &mut self.link else { return };
        let mut unread = core::mem::take(&mut link.unread);
        let used = self.relay(env, &unread, Room::Heeded);
        if let Some(link) = &mut self.link
            && used < unread.len()
        {
            unread.drain(..used);
            link.unread = unread;
        }
    }

    /// Passes the answer on, as far as there is room; returns how much of `input` was used.
    fn relay(&mut self, env: &mut Env<'_>, input: &[u8], room: Room) -> usize {
        self.output.expect(input.len());
        let mut used = 0;
        loop {
            let Some(link) = &mut self.link else { return input.len() };
            if self.ending != Ending::No {
                return input.len();
            }
            if room == Room::Heeded && !self.output.has_room() {
                return used;
            }
            let out = &mut self.output.bytes;
            match link.http.receive(&input[used..]) {
                Ok((taken, event)) => {
                    used += taken;
                    match event {
                        Some(ClientEvent::Informational(head)) => {
                            self.http.relay_informational(&head, out);
                        }
                        Some(ClientEvent::Response(head)) if link.is_raw() => {
                            self.http.switch(head.as_bytes(), out);
                        }
                        Some(ClientEvent::Response(head)) => {
                            self.http.relay(&head, link.http.response_framing(), out);
                        }
                        Some(ClientEvent::Body(data) | ClientEvent::Raw(data)) => {
                            self.http.write(data, out);
                        }
                        Some(ClientEvent::End) => {
                            // Whatever stands behind an answer would be the beginning of the next one.
                            let _ = link.http.receive(&input[used..]);
                            self.answer_ended(env);
                        }
                        // What is left, if anything, is the beginning of something that will not be completed.
                        None if link.eof == Eof::Seen => self.server_ended(env),
                        None => return used,
                    }
                }
                Err(error) => {
                    let how = match error {
                        Error::StartLine => format!(
                            "its answer is no HTTP, but begins with \"{}\"",
                            beginning(&input[used..])
                        ),
                        error => format!("its answer is no HTTP: {error}"),
                    };
                    self.lost(env, &how);
                    return input.len();
                }
            }
        }
    }

    /// The server has shut its side down, and all that came before is passed on.
    fn server_ended(&mut self, env: &mut Env<'_>) {
        let Some(link) = &mut self.link else { return };
        link.eof = Eof::Told;
        let raw = link.is_raw();
        match link.http.eof() {
            Ok(Some(_)) if raw => {
                self.http.end(&mut self.output.bytes);
                self.shutdown_due = true;
                self.finish_raw(env);
            }
            Ok(Some(_)) => self.answer_ended(env),
            Ok(None) => {}
            Err(_) => self.lost(env, "it closed the connection before its answer was complete"),
        }
    }

    /// The answer is complete.
    fn answer_ended(&mut self, env: &mut Env<'_>) {
        self.http.end(&mut self.output.bytes);
        if let Some(mut link) = self.link.take() {
            env.released.push(if link.reuse() {
                Release::Keep(link)
            } else {
                Release::Close(link.id, CloseReason::Finished)
            });
        }
        if let Some(job) = self.job {
            self.finish(env, job);
        }
    }

    /// A raw stream is over when both halves are, and all that the client sent has been passed on.
    pub(super) fn finish_raw(&mut self, env: &mut Env<'_>) {
        let Some(link) = &self.link else { return };
        let both = self.http.halves().response == Half::Closed && link.eof == Eof::Told;
        if both && link.has_shut_down() {
            self.drop_link(env, CloseReason::Finished);
            if let Some(job) = self.job {
                self.finish(env, job);
            }
        }
    }

    /// The server is gone before it was time.
    fn lost(&mut self, env: &mut Env<'_>, how: &str) {
        let Some(link) = &self.link else { return };
        match self.http.halves().response {
            Half::Idle if link.used && !link.heard && self.may_retry(env) => {
                self.drop_link(env, CloseReason::Broken);
                env.joins.push((self.id, true));
            }
            Half::Idle => {
                let message = format!("no answer from {}: {how}", link.upstream.address);
                // Whether ssh connects shows only by what it says when it has not.
                let is_late = !link.heard
                    && matches!(link.upstream.address, Remote::Ssh { .. })
                    && how.contains("timed out");
                let status = if is_late { 504 } else { 502 };
                self.trouble(env, Trouble { status, message });
            }
            // Its own half had ended well; it has closed now.
            Half::Closed | Half::Done => {
                self.drop_link(env, CloseReason::Finished);
                if let Some(job) = self.job {
                    self.finish(env, job);
                }
            }
            Half::Body | Half::Raw => {
                let line = format!("{}: {how}, in the middle of an answer", link.upstream.address);
                env.logs.push_back(line);
                self.end_now(env, CloseReason::UpstreamBroken);
            }
        }
    }

    /// Answers in the server's place: nothing of its answer has come.
    fn trouble(&mut self, env: &mut Env<'_>, trouble: Trouble) {
        self.drop_link(env, CloseReason::Broken);
        let Trouble { status, message } = trouble;
        env.replies.error(&mut self.http, status, &message, &mut self.output.bytes);
        if let Some(job) = self.job {
            self.finish(env, job);
        }
    }

    /// Whether this request has been through this node before.
    pub(super) fn is_loop(&self, env: &Env<'_>) -> bool {
        let head =
            self.job.and_then(|job| env.engine.job(job)).and_then(Job::request).map(Request::head);
        let token = env.via.trim_end().rsplit(' ').next().unwrap_or_default();
        head.is_some_and(|head| {
            head.headers().any(|(name, value)| {
                name.eq_ignore_ascii_case("via")
                    && value
                        .split(|byte| *byte == b',')
                        .any(|hop| hop.trim_ascii().ends_with(token.as_bytes()))
            })
        })
    }

    /// Answers a request that this node itself has sent.
    pub(super) fn looped(&mut self, env: &mut Env<'_>, to: &Remote) {
        let message = format!("a loop: {to} leads back to here, and is no engine: forward to one");
        self.trouble(env, Trouble { status: 508, message });
        self.progress(env);
    }

    /// At a stop: an answer without an end of its own ends now; one that has not begun will not come.
    pub(super) fn stop_relay(&mut self, env: &mut Env<'_>) {
        let endless = self.job.and_then(|job| env.engine.job(job)).is_some_and(Job::is_endless);
        if !endless {
            return;
        }
        if self.http.halves().response == Half::Body {
            self.drop_link(env, CloseReason::Stopped);
            self.http.end(&mut self.output.bytes);
            if let Some(job) = self.job {
                self.finish(env, job);
            }
        } else {
            self.abort(env);
        }
    }
}

/// The first line of what is no HTTP, or as much of it as helps: what a login script says before an engine behind ssh is
/// asked, or a server of something else.
fn beginning(bytes: &[u8]) -> String {
    const MOST: usize = 80;
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii_end();
    let (line, rest) = line.split_at(line.len().min(MOST));
    format!("{}{}", line.escape_ascii(), if rest.is_empty() { "" } else { "…" })
}

/// The header line by which a node knows its own requests again (RFC 9110 section 7.6.3).
pub(super) fn via(token: u64) -> String {
    format!("Via: 1.1 swarmd-{token:016x}\r\n")
}

/// Connections to servers that wait for the next request, the last used first.
#[derive(Default)]
pub(super) struct Pool {
    idle: Vec<ConnId>,
}

/// More than this many to one server are not kept.
const KEEP: usize = 64;

impl Pool {
    pub(super) fn put(&mut self, id: ConnId) -> bool {
        let room = self.idle.len() < KEEP;
        if room {
            self.idle.push(id);
        }
        room
    }

    pub(super) fn take(&mut self) -> Option<ConnId> {
        self.idle.pop()
    }

    pub(super) fn remove(&mut self, id: ConnId) {
        self.idle.retain(|idle| *idle != id);
    }
}
