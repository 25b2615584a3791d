//! From a job's status to an HTTP response: the one place that knows which status, which headers and which framing a
//! Docker client gets.
//!
//! What is written here follows a real dockerd 20.10.24, where clients were seen to look: a JSON answer of up to 2048 bytes
//! has a Content-Length and a longer one is chunked (Go's buffering), a hijack's head has no header but its own, an unknown
//! path is answered without the engine's headers.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

use super::date::http_date;
use super::profile::Profile;
use super::routes::{self, Reply};
use super::unmatched::{self, Unmatched};
use super::version::ApiVersion;
use super::websocket;
use crate::http1::{self, Framing, RequestHead, Server};
use crate::job::{FailureKind, Job, Status, Stdio};

/// The writer of responses: the headers that all of them share, rendered once.
#[derive(Debug)]
pub(crate) struct Replies {
    profile: Profile,
    /// The engine's headers but for Docker-Experimental, which dockerd leaves out of version errors.
    engine: Vec<u8>,
    experimental: Vec<u8>,
    date: Vec<u8>,
    date_is_of: Option<u64>,
}

const JSON: &[u8] = b"Content-Type: application/json\r\n";
const TEXT: &[u8] = b"Content-Type: text/plain; charset=utf-8\r\n";
const NO_CACHE: &[u8] =
    b"Cache-Control: no-cache, no-store, must-revalidate\r\nPragma: no-cache\r\n";

/// Go's net/http buffers this much before it decides that a body has to be chunked.
const BUFFERED: usize = 2048;

/// API 1.42 told clients by Content-Type whether a stream is multiplexed.
const MULTIPLEXED_TYPE_SINCE: ApiVersion = ApiVersion::new(1, 42);

impl Replies {
    pub(crate) fn new(profile: Profile) -> Self {
        let engine = format!(
            "Api-Version: {}\r\nOstype: {}\r\nServer: {}\r\n",
            profile.api_version, profile.os_type, profile.server
        );
        let experimental = format!("Docker-Experimental: {}\r\n", profile.experimental);
        Self {
            profile,
            engine: engine.into_bytes(),
            experimental: experimental.into_bytes(),
            date: Vec::new(),
            date_is_of: None,
        }
    }

    pub(crate) const fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Sets the time that the next responses are dated with, in seconds since the Unix epoch.
    pub(crate) fn set_time(&mut self, unix: u64) {
        if self.date_is_of != Some(unix) {
            self.date_is_of = Some(unix);
            self.date.clear();
            self.date.extend_from_slice(b"Date: ");
            http_date(unix, &mut self.date);
            self.date.extend_from_slice(b"\r\n");
        }
    }

    /// Writes the head of a success. `length` is that of the whole answer where it is known already.
    ///
    /// Returns false if it was no success after all, and that is answered in full: nobody waits for the job any more.
    pub(crate) fn begin(
        &self,
        server: &mut Server,
        job: &Job,
        stdio: Option<Stdio>,
        length: Option<usize>,
        path_stat: Option<&str>,
        out: &mut Vec<u8>,
    ) -> bool {
        let request = job.request();
        let Some((route, head)) = request.and_then(|asked| Some((asked.route()?, asked.head())))
        else {
            // A backend answered a path that is not in the table, so it knows what its client expects; JSON most likely.
            let framing = length.map_or(Framing::Chunked, in_one_piece);
            self.respond(server, 200, framing, if length == Some(0) { b"" } else { JSON }, out);
            return true;
        };
        let version = job.api_version(self.profile.api_version);
        let reply = route.reply_to(routes::query(head.target()));
        // `exec -d` and other answers to a hijack route that do not hijack.
        let hijacks = stdio.is_some();
        let (framing, headers) = match reply {
            Reply::Hijack if hijacks => {
                let mut head = hijack_head(server.wants_upgrade(), stdio, version);
                // dockerd copies its headers into the head of an exec, and forgets them in that of an attach.
                if route.job == "exec_start" {
                    head.truncate(head.len() - 2);
                    head.extend_from_slice(&self.engine);
                    head.extend_from_slice(&self.experimental);
                    head.extend_from_slice(b"\r\n");
                }
                server.switch(&head, out);
                return true;
            }
            Reply::Upgrade if hijacks && route.job == "attach_ws" => {
                let (head, switched) = websocket::handshake(head);
                if server.switch(head.as_bytes(), out) && !switched {
                    server.end(out);
                }
                return switched;
            }
            Reply::Upgrade if hijacks => {
                let Some(switch) = switch_head(head) else {
                    self.error(server, 500, "no upgrade proto in request", out);
                    return false;
                };
                server.switch(&switch, out);
                return true;
            }
            Reply::Hijack | Reply::Upgrade | Reply::Empty => {
                (in_one_piece(length.unwrap_or(0)), &b""[..])
            }
            Reply::Json => (length.map_or(Framing::Chunked, in_one_piece), JSON),
            Reply::Text if server.is_head() => (Framing::Length(0), TEXT),
            Reply::Text => (length.map_or(Framing::Chunked, in_one_piece), TEXT),
            Reply::JsonStream => (Framing::Chunked, JSON),
            Reply::Stream if version < MULTIPLEXED_TYPE_SINCE => (Framing::Chunked, &b""[..]),
            Reply::Stream => (Framing::Chunked, stream_type(stdio, version)),
            Reply::Tar => (Framing::Chunked, &b"Content-Type: application/x-tar\r\n"[..]),
            Reply::Octets => (Framing::Chunked, &b"Content-Type: application/octet-stream\r\n"[..]),
        };
        let stat = path_stat
            .map(|stat| format!("X-Docker-Container-Path-Stat: {}\r\n", base64(stat.as_bytes())));
        if let Some(stat) = stat {
            let headers =
                [&self.engine[..], &self.experimental, stat.as_bytes(), headers, &self.date];
            server.respond(route.success, framing, &headers, out);
        } else if route.job == "ping" {
            let headers = [&self.engine[..], &self.experimental, NO_CACHE, headers, &self.date];
            server.respond(route.success, framing, &headers, out);
        } else {
            self.respond(server, route.success, framing, headers, out);
        }
        true
    }

    /// Writes the whole response to a job that failed before it began to answer.
    pub(crate) fn fail(&self, server: &mut Server, job: &Job, status: &Status, out: &mut Vec<u8>) {
        match status {
            Status::Ok => {}
            Status::Failed(failure) => {
                let code = http_status(failure.kind);
                if job.name() == "attach" && code != 304 {
                    hijacked_error(server, code, &failure.message, out);
                } else {
                    self.error(server, code, &failure.message, out);
                }
            }
            Status::NotHandled { .. } if job.name() == Job::HTTP => {
                self.unmatched(server, job, out);
            }
            Status::NotHandled { asked } => {
                let asked = if asked.is_empty() { "there is none" } else { asked };
                let message =
                    format!("job {:?} is not handled by any backend (asked: {asked})", job.name());
                self.error(server, 501, &message, out);
            }
        }
    }

    /// The answer to a request that no route and no backend took: dockerd's own.
    fn unmatched(&self, server: &mut Server, job: &Job, out: &mut Vec<u8>) {
        let Some(request) = job.request() else { return };
        let head = request.head();
        if head.method() == "OPTIONS" {
            return whole(server, 200, &[&self.engine, &self.experimental, &self.date], b"", out);
        }
        match unmatched::answer(head.method(), head.target(), &self.profile) {
            Unmatched::Redirect(target) => {
                let location = format!("Location: {target}\r\n");
                whole(server, 301, &[location.as_bytes(), &self.date], b"", out);
            }
            Unmatched::Version { message, too_old_for_json: true } => {
                let headers =
                    [&self.engine[..], TEXT, b"X-Content-Type-Options: nosniff\r\n", &self.date];
                whole(server, 400, &headers, format!("{message}\n").as_bytes(), out);
            }
            Unmatched::Version { message, .. } => {
                let headers = [&self.engine[..], JSON, &self.date];
                whole(server, 400, &headers, json_message(&message).as_bytes(), out);
            }
            Unmatched::NotFound => {
                let body = json_message("page not found");
                whole(server, 404, &[JSON, &self.date], body.as_bytes(), out);
            }
        }
    }

    /// The answer to a request that could not be read.
    pub(crate) fn refuse(&self, server: &mut Server, error: http1::Error, out: &mut Vec<u8>) {
        let status = error.status();
        let body = format!("{status} {}: {error}", http1::reason_phrase(status));
        whole(server, status, &[TEXT, &self.date], body.as_bytes(), out);
    }

    pub(crate) fn error(&self, server: &mut Server, status: u16, message: &str, out: &mut Vec<u8>) {
        let body = if status == 304 { String::new() } else { json_message(message) };
        let headers = [&self.engine[..], &self.experimental, JSON, &self.date];
        whole(
            server,
            status,
            if status == 304 { &headers[..2] } else { &headers },
            body.as_bytes(),
            out,
        );
    }

    fn respond(
        &self,
        server: &mut Server,
        status: u16,
        framing: Framing,
        headers: &[u8],
        out: &mut Vec<u8>,
    ) {
        let headers = [&self.engine[..], &self.experimental, headers, &self.date];
        server.respond(status, framing, &headers, out);
    }
}

fn whole(server: &mut Server, status: u16, headers: &[&[u8]], body: &[u8], out: &mut Vec<u8>) {
    if server.respond(status, Framing::Length(body.len() as u64), headers, out) {
        server.write(body, out);
        server.end(out);
    }
}

/// RFC 4648 section 4, with padding.
pub(crate) fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |nth: usize| u32::from(group.get(nth).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for nth in 0..4 {
            let sextet = (bits >> (18 - 6 * nth)) as usize & 63;
            text.push(if nth <= group.len() { char::from(ALPHABET[sextet]) } else { '=' });
        }
    }
    text
}

fn in_one_piece(length: usize) -> Framing {
    if length > BUFFERED { Framing::Chunked } else { Framing::Length(length as u64) }
}

fn http_status(kind: FailureKind) -> u16 {
    match kind {
        FailureKind::InvalidParameter => 400,
        FailureKind::Unauthorized => 401,
        FailureKind::Forbidden => 403,
        FailureKind::NotFound => 404,
        FailureKind::Conflict => 409,
        FailureKind::NotModified => 304,
        FailureKind::TooLarge => 413,
        FailureKind::System => 500,
        FailureKind::NotImplemented => 501,
        FailureKind::Unavailable => 503,
    }
}

/// The status that the client of a job with this end gets; `begun` is whether the job itself has begun its answer, and so
/// maybe taken its connection over.
pub(crate) fn status_of(job: &Job, status: &Status, begun: bool) -> u16 {
    match status {
        Status::Failed(failure) => http_status(failure.kind),
        Status::NotHandled { .. } if job.name() == Job::HTTP => 404,
        Status::NotHandled { .. } => 501,
        Status::Ok => {
            let request = job.request();
            let Some((route, head)) =
                request.and_then(|asked| Some((asked.route()?, asked.head())))
            else {
                return 200;
            };
            match route.reply_to(routes::query(head.target())) {
                Reply::Hijack | Reply::Upgrade if begun && head.header("upgrade").is_some() => 101,
                _ => route.success,
            }
        }
    }
}

fn json_message(message: &str) -> String {
    let message = serde_json::to_string(message).unwrap_or_default();
    format!("{{\"message\":{message}}}\n")
}

fn stream_type(stdio: Option<Stdio>, version: ApiVersion) -> &'static [u8] {
    match stdio {
        Some(Stdio::Multiplexed) if version >= MULTIPLEXED_TYPE_SINCE => {
            b"Content-Type: application/vnd.docker.multiplexed-stream\r\n"
        }
        _ => b"Content-Type: application/vnd.docker.raw-stream\r\n",
    }
}

fn hijack_head(upgrade: bool, stdio: Option<Stdio>, version: ApiVersion) -> Vec<u8> {
    let (start, end): (&[u8], &[u8]) = if upgrade {
        (b"HTTP/1.1 101 UPGRADED\r\n", b"Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
    } else {
        (b"HTTP/1.1 200 OK\r\n", b"\r\n")
    };
    [start, stream_type(stdio, version), end].concat()
}

/// The head that switches to the protocol that the client named.
fn switch_head(head: &RequestHead) -> Option<Vec<u8>> {
    let protocol = head.header("upgrade").and_then(|value| core::str::from_utf8(value).ok())?;
    let protocol: Cow<'_, str> =
        if protocol.eq_ignore_ascii_case("h2c") { "h2c".into() } else { protocol.into() };
    let mut out = String::new();
    let _ = write!(
        out,
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\r\n"
    );
    Some(out.into_bytes())
}

/// dockerd hijacks the connection of an attach before it looks for the container, so the error is no JSON, has no length and
/// ends with the connection.
fn hijacked_error(server: &mut Server, status: u16, message: &str, out: &mut Vec<u8>) {
    let head = format!(
        "HTTP/1.1 {status} {}\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n{message}\r\n",
        http1::reason_phrase(status)
    );
    if server.switch(head.as_bytes(), out) {
        server.end(out);
    }
}
