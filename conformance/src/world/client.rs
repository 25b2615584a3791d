//! Scripted clients: what they ask, how they send it, and what they must get.

use std::collections::VecDeque;
use std::time::Duration;

use libswarm::ConnId;

use super::network::{Happens, Network, Why};
use super::pattern;
use crate::wire::{self, Exchange, Form};

/// What a request wants of the engine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wish {
    Length,
    Chunked,
    Close,
    Head,
    Stream,
    Early,
    Silence,
    Hangup,
    BreakHead,
    Break,
    BreakChunk,
    Garbage,
}

impl Wish {
    pub(super) const ALL: [Self; 12] = [
        Self::Length,
        Self::Chunked,
        Self::Close,
        Self::Head,
        Self::Stream,
        Self::Early,
        Self::Silence,
        Self::Hangup,
        Self::BreakHead,
        Self::Break,
        Self::BreakChunk,
        Self::Garbage,
    ];

    /// Whether a well-meaning engine answers it in full.
    const fn is_answered(self) -> bool {
        matches!(self, Self::Length | Self::Chunked | Self::Close | Self::Head | Self::Early)
    }
}

/// A request, as it was made.
pub(super) struct Request {
    pub(super) tag: u32,
    /// It may be sent to the engine again.
    pub(super) is_safe: bool,
    pub(super) wish: Wish,
    /// Of the answer, and of what a stream's client sends.
    length: usize,
    breaks_rules: bool,
    method: &'static str,
}

enum Step {
    Send(Vec<u8>),
    /// Until so many answers are there.
    Await(usize),
    /// Until a head with this status came.
    Continue,
    Pause(Duration),
    End,
    Leave,
    Slow,
}

pub(super) struct Client {
    nth: usize,
    pub(super) conn: ConnId,
    pub(super) requests: Vec<Request>,
    steps: VecDeque<Step>,
    waits: bool,
    sent: Vec<u8>,
    got: Vec<u8>,
    pub(super) ended: bool,
    pub(super) closed: Option<Why>,
    left: bool,
    halved: bool,
}

/// Requests that must be refused, and of which nothing may be passed on.
const ILLEGAL: [&str; 10] = [
    "GET /evil HTTP/1.1\r\n\r\n",
    "GET /evil HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "POST /evil HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST /evil HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "POST /evil HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc",
    "POST /evil HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "GET /evil HTTP/1.1\nHost: a\n\n",
    "GET /evil HTTP/1.1\r\nHost : a\r\n\r\n",
    "GET  /evil HTTP/1.1\r\nHost: a\r\n\r\n",
    "\0\0\0\0\r\n\r\n",
];

const PATHS: [&str; 12] = [
    "GET /_ping",
    "HEAD /_ping",
    "GET /version",
    "GET /v1.41/info",
    "GET /v1.24/containers/json",
    "GET /containers/json?size=1",
    "GET /containers/web/json",
    "GET /containers/nosuch/json",
    "GET /containers/json?filters=x",
    "GET /events",
    "GET /nowhere",
    "GET /v9.99/info",
];

impl Client {
    pub(super) fn new(nth: usize, forwards: bool, net: &mut Network) -> Self {
        let mut client = Self {
            nth,
            conn: net.connect(),
            requests: Vec::new(),
            steps: VecDeque::new(),
            waits: false,
            sent: Vec::new(),
            got: Vec::new(),
            ended: false,
            closed: None,
            left: false,
            halved: false,
        };
        if net.random.one_in(8) {
            client.steps.push_back(Step::Slow);
        }
        let count = 1 + net.random.below(5);
        let mut at_once = false;
        for place in 0..count {
            if at_once {
                net.count("client: sends more requests at once");
            } else if place > 0 {
                client.steps.push_back(Step::Await(place));
            }
            if net.random.one_in(14) {
                client.illegal(net);
                break;
            }
            let goes_on =
                if forwards { client.forwarded(place, net) } else { client.simulated(place, net) };
            if !goes_on {
                break;
            }
            at_once = net.random.one_in(4);
            if net.random.one_in(6) {
                let pause = net.random.pick(&[1, 50, 900, 61_000]);
                client.steps.push_back(Step::Pause(Duration::from_millis(pause)));
            }
        }
        if net.random.one_in(5) {
            client.steps.push_back(Step::End);
        }
        let start = Duration::from_millis(net.random.below(2_000) as u64);
        net.later(start, Happens::Act(nth));
        client
    }

    fn tag(&self) -> u32 {
        u32::try_from(self.nth * 1000 + self.requests.len()).unwrap_or(u32::MAX)
    }

    fn illegal(&mut self, net: &mut Network) {
        let tag = self.tag();
        self.requests.push(Request {
            tag,
            is_safe: false,
            wish: Wish::Head,
            length: 0,
            breaks_rules: true,
            method: "",
        });
        if net.random.one_in(4) {
            net.count("client: never ends its head");
            self.steps.push_back(Step::Send(b"GET /evil HTTP/1.1\r\nHost: ".to_vec()));
            return;
        }
        net.count("client: breaks a rule");
        let text = net.random.pick(&ILLEGAL);
        self.steps.push_back(Step::Send(text.as_bytes().to_vec()));
    }

    /// A request that a scripted engine answers. Returns whether another may follow.
    fn forwarded(&mut self, place: usize, net: &mut Network) -> bool {
        let (tag, index) = (self.tag(), net.random.below(Wish::ALL.len() * 2));
        // Good answers are the more frequent ones.
        let wish = if index < Wish::ALL.len() {
            Wish::ALL[index]
        } else {
            net.random.pick(&Wish::ALL[..5])
        };
        let index = Wish::ALL.iter().position(|other| *other == wish).unwrap_or(0);
        net.count(match wish {
            Wish::Chunked | Wish::BreakChunk => "client: asks for chunks",
            Wish::Close => "client: asks for a body that the end ends",
            Wish::Stream => "client: asks for a stream",
            Wish::Head => "client: asks for nothing more than a head",
            _ => "client: asks for a body with a length",
        });
        let length = net.random.pick(&[0, 1, 17, 4_096, 70_000, 300_000]) + net.random.below(7);
        let is_old = wish != Wish::Stream && net.random.one_in(12);
        let body = match net.random.below(3) {
            _ if wish == Wish::Stream || is_old => 0,
            0 => 1 + net.random.pick(&[1, 900, 65_536, 200_000]),
            _ => 0,
        };
        let method = match wish {
            Wish::Stream => "POST",
            _ if body > 0 => net.random.pick(&["POST", "PUT"]),
            _ => net.random.pick(&["GET", "GET", "GET", "POST", "DELETE"]),
        };
        let version = if is_old { "HTTP/1.0" } else { "HTTP/1.1" };
        let mut head = format!(
            "{method} /v1.41/tagged/{tag} {version}\r\nHost: docker\r\nX-Tag: {tag}\r\nX-Wish: {index}\r\nX-Length: {length}\r\n"
        );
        if is_old {
            net.count("client: speaks HTTP/1.0");
        }
        if wish == Wish::Stream {
            head.push_str("Connection: Upgrade\r\nUpgrade: tcp\r\n");
        }
        let is_safe = method == "GET" && body == 0;
        self.requests.push(Request { tag, is_safe, wish, length, breaks_rules: false, method });
        let bytes = pattern::bytes(tag, 0, body);
        if body == 0 {
            head.push_str("\r\n");
            self.steps.push_back(Step::Send(head.into_bytes()));
        } else {
            let waits = net.random.one_in(4);
            if waits {
                net.count("client: waits for 100 Continue");
                head.push_str("Expect: 100-continue\r\n");
            }
            let text = if net.random.one_in(2) {
                net.count("client: sends a body with a length");
                head.push_str(&format!("Content-Length: {body}\r\n\r\n"));
                bytes
            } else {
                net.count("client: sends chunks");
                head.push_str("Transfer-Encoding: chunked\r\n\r\n");
                chunks(&bytes, net)
            };
            self.steps.push_back(Step::Send(head.into_bytes()));
            if waits {
                self.steps.push_back(Step::Continue);
            }
            self.steps.push_back(Step::Send(text));
        }
        if wish == Wish::Stream {
            self.stream(tag, place, length, net);
            return false;
        }
        !is_old && net.random.below(5) > 0
    }

    /// What a client sends on a stream, and how it ends.
    fn stream(&mut self, tag: u32, place: usize, length: usize, net: &mut Network) {
        if net.random.one_in(2) {
            self.steps.push_back(Step::Await(place + 1));
        }
        let bytes = pattern::bytes(tag, 0, length);
        let cut = net.random.below(length + 1);
        self.steps.push_back(Step::Send(bytes[..cut].to_vec()));
        if net.random.one_in(3) {
            self.steps.push_back(Step::Pause(Duration::from_millis(300)));
        }
        self.steps.push_back(Step::Send(bytes[cut..].to_vec()));
        self.steps.push_back(Step::End);
    }

    fn simulated(&mut self, _: usize, net: &mut Network) -> bool {
        let tag = self.tag();
        let path = net.random.pick(&PATHS);
        let (method, _) = path.split_once(' ').unwrap_or_default();
        self.requests.push(Request {
            tag,
            is_safe: true,
            wish: Wish::Length,
            length: 0,
            breaks_rules: false,
            method,
        });
        self.steps
            .push_back(Step::Send(format!("{path} HTTP/1.1\r\nHost: docker\r\n\r\n").into_bytes()));
        if path.ends_with("/events") {
            net.count("simulator: a stream is left");
            self.steps.push_back(Step::Pause(Duration::from_secs(1)));
            self.steps.push_back(if net.random.one_in(2) { Step::End } else { Step::Leave });
            return false;
        }
        true
    }

    fn answers(&self) -> Vec<Exchange> {
        wire::exchanges(&self.sent, &self.got)
    }

    /// Does the next things, until one takes time.
    pub(super) fn act(&mut self, net: &mut Network) {
        self.waits = false;
        if self.left || self.closed.is_some() {
            return;
        }
        if net.random.one_in(60) {
            net.count("network: cuts");
            self.left = true;
            return net.cut(self.conn);
        }
        while let Some(step) = self.steps.pop_front() {
            match step {
                Step::Send(bytes) => {
                    self.sent.extend_from_slice(&bytes);
                    net.send(self.conn, &bytes);
                }
                Step::Await(count) => {
                    if self.whole() < count && !self.ended {
                        self.steps.push_front(Step::Await(count));
                        self.waits = true;
                        // A client that gets no answer leaves.
                        if self.steps.len() > 1 {
                            self.impatient(net);
                        }
                        return;
                    }
                }
                Step::Continue => {
                    let answers = self.answers();
                    let last = answers.last();
                    let told = last.is_some_and(|last| !last.informational.is_empty());
                    if last.is_some_and(|last| last.response.is_some()) {
                        // It is not wanted, and whatever followed is not sent.
                        self.steps.clear();
                        return;
                    }
                    if !told {
                        self.steps.push_front(Step::Continue);
                        self.waits = true;
                        return;
                    }
                }
                Step::Pause(time) => return net.later(time, Happens::Act(self.nth)),
                Step::Slow => {
                    net.count("client: is slow to read");
                    net.slow(self.conn, Duration::from_millis(700));
                }
                Step::End => {
                    net.count("client: ends its half");
                    self.halved = true;
                    net.end(self.conn);
                }
                Step::Leave => {
                    net.count("client: goes away");
                    self.left = true;
                    return net.cut(self.conn);
                }
            }
        }
    }

    fn impatient(&mut self, net: &mut Network) {
        if net.random.one_in(10) {
            net.count("client: goes away");
            self.left = true;
            net.cut(self.conn);
        }
    }

    /// How many answers are whole, or have begun a stream.
    fn whole(&self) -> usize {
        let is_whole = |exchange: &&Exchange| {
            exchange.response.as_ref().is_some_and(|message| message.complete)
        };
        self.answers().iter().take_while(is_whole).count()
    }

    pub(super) fn got(&mut self, bytes: &[u8], net: &mut Network) -> Result<(), String> {
        self.got.extend_from_slice(bytes);
        if self.waits {
            self.act(net);
        }
        Ok(())
    }

    /// What it has got at the end.
    pub(super) fn check(&self, forwards: bool) -> Result<(), String> {
        let said = |tag: u32, what: String| format!("{}, request {tag}: {what}", self.conn);
        let answers = self.answers();
        for (request, exchange) in self.requests.iter().zip(&answers) {
            let Some(answer) = &exchange.response else { break };
            let tag = request.tag;
            let Some(own) = answer.header("x-tag") else {
                Self::of_the_node(request, answer.status(), forwards)
                    .map_err(|what| said(tag, what))?;
                continue;
            };
            if own != tag.to_string() {
                return Err(said(tag, format!("got the answer to {own}")));
            }
            if answer.status() == 100 {
                return Err(said(tag, "its answer is 100".to_owned()));
            }
            if !pattern::is_start(tag, &answer.body) {
                return Err(said(tag, "its body is not what the engine sent".to_owned()));
            }
            let gone = self.closed.map(Why::is_reset);
            let until_end = matches!(answer.form, Form::Close | Form::Raw);
            let looks_whole =
                if until_end { self.ended || gone == Some(false) } else { answer.complete };
            let whole = match request.wish {
                Wish::Head | Wish::Early => 0,
                _ => request.length,
            };
            if looks_whole && !self.left && request.method != "HEAD" {
                match request.wish {
                    // Half of nothing is all of it.
                    Wish::Break if request.length == 0 => {}
                    Wish::Break | Wish::BreakChunk => {
                        return Err(said(
                            tag,
                            "the engine broke off, and it looks whole".to_owned(),
                        ));
                    }
                    // Of a stream that its client ended, all comes back.
                    Wish::Stream
                        if self.halved
                            && answer.body.len() < self.streamed(request)
                            && request.length % 3 != 0 =>
                    {
                        return Err(said(
                            tag,
                            format!(
                                "{} bytes of a stream of {} came back",
                                answer.body.len(),
                                request.length
                            ),
                        ));
                    }
                    wish if wish.is_answered() && answer.body.len() != whole => {
                        return Err(said(
                            tag,
                            format!("{} bytes of {whole} look whole", answer.body.len()),
                        ));
                    }
                    _ => {}
                }
            }
        }
        self.unanswered(&answers)
    }

    /// How much of the pattern was sent.
    fn streamed(&self, request: &Request) -> usize {
        if self.steps.is_empty() { request.length } else { 0 }
    }

    fn of_the_node(request: &Request, status: u16, forwards: bool) -> Result<(), String> {
        match status {
            400 | 408 | 414 | 431 => Ok(()),
            _ if request.breaks_rules => Err(format!("it breaks a rule, and got {status}")),
            502 | 504 if forwards => Ok(()),
            200 | 404 | 500 | 501 if !forwards => Ok(()),
            _ => Err(format!("the node answers {status}")),
        }
    }

    /// A request that was sent is answered, or its connection is closed, or the engine owes the answer.
    fn unanswered(&self, answers: &[Exchange]) -> Result<(), String> {
        if self.left || self.closed.is_some() || !self.steps.is_empty() {
            return Ok(());
        }
        for (nth, request) in self.requests.iter().enumerate() {
            let whole = answers
                .get(nth)
                .and_then(|exchange| exchange.response.as_ref())
                .is_some_and(|message| message.complete);
            if whole {
                continue;
            }
            if matches!(request.wish, Wish::Silence)
                || request.method == "GET"
                    && request.wish == Wish::Length
                    && answers
                        .get(nth)
                        .is_some_and(|exchange| exchange.request.start.contains("/events"))
            {
                return Ok(());
            }
            return Err(format!(
                "{}, request {}: it is neither answered nor closed",
                self.conn, request.tag
            ));
        }
        Ok(())
    }

    /// Statuses that the node gave by itself.
    pub(super) fn statuses(&self) -> Vec<u16> {
        let answers = self.answers().into_iter().filter_map(|exchange| exchange.response);
        let mut all: Vec<u16> = answers
            .filter(|answer| answer.header("x-tag").is_none())
            .map(|answer| answer.status())
            .collect();
        // The answer to half a head is no answer to a request.
        if self.got.windows(13).any(|window| window == b"HTTP/1.1 408 ") {
            all.push(408);
        }
        all
    }
}

fn chunks(mut bytes: &[u8], net: &mut Network) -> Vec<u8> {
    let mut out = Vec::new();
    while !bytes.is_empty() {
        let length = (1 + net.random.pick(&[0, 3, 1_000, 40_000])).min(bytes.len());
        let extension = if net.random.one_in(9) { ";a=b" } else { "" };
        out.extend_from_slice(format!("{length:x}{extension}\r\n").as_bytes());
        out.extend_from_slice(&bytes[..length]);
        out.extend_from_slice(b"\r\n");
        bytes = &bytes[length..];
    }
    out.extend_from_slice(b"0\r\n\r\n");
    out
}
