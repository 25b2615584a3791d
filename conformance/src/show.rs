//! A session for people: who sent what, and when.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use crate::session::{Session, Side, What};
use crate::wire::{self, Exchange, Form, Frame, Message};

/// Longer data is cut.
const SHOWN: usize = 2000;

/// The session with its heads decoded, bodies without their framing, multiplexed streams apart.
#[must_use]
pub fn show(session: &Session) -> String {
    let mut text = String::new();
    write(session, &mut text).expect("a String takes all");
    text
}

fn write(session: &Session, out: &mut String) -> fmt::Result {
    for (key, value) in &session.headers {
        writeln!(out, "{key}: {value}")?;
    }
    let mut conns = BTreeMap::new();
    for number in session.connections() {
        let sides = [Side::Client, Side::Engine].map(|side| session.stream(number, side));
        let streams = streams(&wire::exchanges(&sides[0], &sides[1]));
        let [client, engine] = streams;
        let [client_bytes, engine_bytes] = sides;
        conns
            .insert(number, [Stream::new(client_bytes, client), Stream::new(engine_bytes, engine)]);
    }
    for event in &session.events {
        let when = format!("{:>4}.{:03} #{:<2}", event.at / 1000, event.at % 1000, event.conn);
        let who = |side: &Side| if *side == Side::Client { "client" } else { "engine" };
        match &event.what {
            What::Open => writeln!(out, "{when} client connects")?,
            What::End(side) => writeln!(out, "{when} {} ends its half", who(side))?,
            What::Close(side) => writeln!(out, "{when} {} closes", who(side))?,
            What::Data(side, data) => {
                if let Some(sides) = conns.get_mut(&event.conn) {
                    sides[*side as usize].advance(data.len(), &format!("{when} {side}"), out)?;
                }
            }
        }
    }
    Ok(())
}

/// The messages that each side sent.
fn streams(exchanges: &[Exchange]) -> [Vec<Message>; 2] {
    let client = exchanges.iter().map(|exchange| exchange.request.clone()).collect();
    let answers = |exchange: &Exchange| {
        exchange.informational.iter().chain(&exchange.response).cloned().collect::<Vec<_>>()
    };
    [client, exchanges.iter().flat_map(answers).collect()]
}

/// One side of a connection, and how much of it has been shown.
struct Stream {
    bytes: Vec<u8>,
    messages: Vec<(Message, Option<Vec<Frame>>)>,
    at: usize,
}

impl Stream {
    fn new(bytes: Vec<u8>, messages: Vec<Message>) -> Self {
        let with_frames = |message: Message| {
            // What a chunk of the recording has cut, or a tar, must not be taken for frames.
            let frames = wire::frames(&message.body).filter(|_| message.form != Form::Length);
            (message, frames)
        };
        Self { bytes, messages: messages.into_iter().map(with_frames).collect(), at: 0 }
    }

    fn advance(&mut self, length: usize, when: &str, out: &mut String) -> fmt::Result {
        let (before, now) = (self.at, self.at + length);
        self.at = now;
        let mut known = before;
        for (message, frames) in &self.messages {
            if message.span.end <= before || message.span.start >= now {
                continue;
            }
            known = now.min(message.span.end);
            if (before + 1..=now).contains(&message.head_end) {
                writeln!(out, "{when} {}", message.start)?;
                for (name, value) in &message.headers {
                    writeln!(out, "{:16}{name}: {value}", "")?;
                }
            }
            let (from, to) = (message.body_until(before), message.body_until(now));
            match frames {
                Some(frames) => {
                    for frame in
                        frames.iter().filter(|frame| (from + 1..=to).contains(&frame.data.end))
                    {
                        let name = ["stdin", "stdout", "stderr"][usize::from(frame.stream)];
                        data(&format!("{when} {name}: "), &message.body[frame.data.clone()], out)?;
                    }
                }
                None if to > from => data(&format!("{when} "), &message.body[from..to], out)?,
                None => {}
            }
        }
        if known < now {
            data(&format!("{when} "), &self.bytes[known..now], out)?;
        }
        Ok(())
    }
}

fn data(before: &str, bytes: &[u8], out: &mut String) -> fmt::Result {
    let shown = &bytes[..bytes.len().min(SHOWN)];
    let text = match std::str::from_utf8(shown) {
        Ok(text) => text.escape_debug().to_string().replace("\\\"", "\"").replace("\\'", "'"),
        Err(_) => shown.escape_ascii().to_string(),
    };
    write!(out, "{before}{text}")?;
    if bytes.len() > shown.len() {
        write!(out, " … {} bytes in all", bytes.len())?;
    }
    out.write_char('\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_shown_when_it_came() {
        let session: Session = "swarm-session 1\nname: exec\n\n0.001 1 open\n0.001 1 >\n  | POST /exec/x/start HTTP/1.1\\r\\n\n\
            \x20 | Upgrade: tcp\\r\\nContent-Length: 2\\r\\n\\r\\n{}\n0.002 1 <\n  | HTTP/1.1 101 UPGRADED\\r\\n\\r\\n\n\
            \x20 | \\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x03a\n0.003 1 <\n  | b\\n\\x02\\x00\\x00\\x00\\x00\\x00\\x00\\x01e\n\
            0.003 1 > end\n0.004 1 < close\n0.005 2 open\n0.005 2 >\n  | no HTTP\nend 8\n"
            .parse()
            .unwrap();
        assert_eq!(
            show(&session),
            "name: exec\n   0.001 #1  client connects\n   0.001 #1  > POST /exec/x/start HTTP/1.1\n\
             \x20               Upgrade: tcp\n                Content-Length: 2\n   0.001 #1  > {}\n\
             \x20  0.002 #1  < HTTP/1.1 101 UPGRADED\n   0.003 #1  < stdout: ab\\n\n   0.003 #1  < stderr: e\n\
             \x20  0.003 #1  client ends its half\n   0.004 #1  engine closes\n   0.005 #2  client connects\n\
             \x20  0.005 #2  > no HTTP\n"
        );
    }

    #[test]
    fn long_data_is_cut() {
        let mut text = String::new();
        data("", &[b'x'; 5000], &mut text).unwrap();
        assert!(text.len() < 2100 && text.ends_with("x … 5000 bytes in all\n"));
    }
}
