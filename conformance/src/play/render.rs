//! What a recorded client sends, with the target's names in place of the recorded ones.

use std::ops::Range;

use serde_json::Value;

use super::bind::Names;
use super::json::LABEL;
use crate::wire::{Exchange, Form, Message};

/// One side of a connection, as it is sent.
#[derive(Debug)]
pub(super) struct Script {
    recorded: Vec<u8>,
    requests: Vec<Request>,
    /// What is made is labelled.
    label: bool,
}

/// What the client knows of the target by now.
#[derive(Default, Debug)]
pub(super) struct Known {
    pub(super) names: Names,
    /// By how many seconds the target's clock is ahead of the recorded one.
    pub(super) later: i64,
    /// Large answers that were recorded, and what came in their place: a client may send them back.
    pub(super) bodies: Vec<(Vec<u8>, Vec<u8>)>,
}

#[derive(Debug)]
struct Request {
    message: Message,
    /// What is sent in place of the body, which is sent at once then.
    body: Option<Vec<u8>>,
    told: bool,
}

/// What is made by these, and takes labels.
const MADE: [&str; 3] = ["/containers/create", "/volumes/create", "/networks/create"];

impl Script {
    /// The client's stream of a connection, taken apart.
    #[must_use]
    pub(super) fn new(recorded: Vec<u8>, exchanges: &[Exchange], label: bool) -> Self {
        let requests = exchanges
            .iter()
            .map(|exchange| Request { message: exchange.request.clone(), body: None, told: false })
            .collect();
        Self { recorded, requests, label }
    }

    /// What to send for those bytes of the recording.
    pub(super) fn render(&mut self, range: Range<usize>, known: &Known) -> Vec<u8> {
        let mut out = Vec::new();
        let mut at = range.start;
        for request in &mut self.requests {
            let message = &request.message;
            if message.span.end <= at || message.span.start >= range.end {
                continue;
            }
            if !request.told {
                request.told = true;
                request.body = body(message, known, self.label);
                out.extend_from_slice(&head(message, request.body.as_deref(), known));
                // A body that is another one goes in one piece, with whatever of the recorded one is sent first.
                if message.head_end < range.end || message.head_end == message.span.end {
                    out.append(request.body.as_mut().unwrap_or(&mut Vec::new()));
                }
            }
            at = at.max(message.head_end).min(range.end);
            let end = message.span.end.min(range.end);
            match &mut request.body {
                Some(body) if at < end => out.append(body),
                Some(_) => {}
                None => out.extend_from_slice(&self.recorded[at.min(end)..end]),
            }
            at = end.max(at);
        }
        let http = self.requests.last().map_or(0, |request| request.message.span.end);
        if http < range.end {
            out.extend_from_slice(&self.recorded[at.max(http)..range.end]);
        }
        out
    }
}

impl Known {
    /// A request line whose times of day are the target's.
    fn later(&self, line: &str) -> String {
        let mut out = String::new();
        for (nth, part) in line.split_inclusive(['?', '&']).enumerate() {
            let time = part.strip_prefix("since=").or_else(|| part.strip_prefix("until="));
            let digits = time.map_or(0, |time| time.bytes().take_while(u8::is_ascii_digit).count());
            // What is no time in seconds of this century is left as it is.
            match time {
                Some(time) if nth > 0 && digits == 10 => {
                    let seconds = time[..digits].parse().unwrap_or(0_i64);
                    out.push_str(&part[..6]);
                    out.push_str(&(seconds + self.later).to_string());
                    out.push_str(&time[digits..]);
                }
                _ => out.push_str(part),
            }
        }
        out
    }
}

/// The path of a request's target, without a version and without what was asked.
#[must_use]
pub fn path(message: &Message) -> &str {
    let target = message.start.split(' ').nth(1).unwrap_or_default();
    let path = target.split('?').next().unwrap_or_default();
    let rest = path.strip_prefix("/v").and_then(|rest| rest.split_once('/'));
    match rest {
        Some((version, rest))
            if version.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') =>
        {
            &path[path.len() - rest.len() - 1..]
        }
        _ => path,
    }
}

/// The body that is sent instead: of a JSON document, if it is not the same.
fn body(message: &Message, known: &Known, label: bool) -> Option<Vec<u8>> {
    if let Some((_, came)) = known.bodies.iter().find(|(recorded, _)| *recorded == message.body) {
        return Some(match message.form {
            Form::Chunked => {
                let head = format!("{:x}\r\n", came.len());
                [head.as_bytes(), came, b"\r\n0\r\n\r\n"].concat()
            }
            _ => came.clone(),
        });
    }
    let names = &known.names;
    if message.form != Form::Length || !message.complete || message.body.is_empty() {
        return None;
    }
    let document: Value = serde_json::from_slice(&message.body).ok()?;
    let mut text = names.translate(std::str::from_utf8(&message.body).ok()?);
    // Where there are none, an engine may answer with none; and where nothing is made, nothing is changed.
    if label
        && message.method() == "POST"
        && MADE.contains(&path(message))
        && (document["Labels"].is_object() || document["Image"].is_string())
    {
        let mut document: Value = serde_json::from_str(&text).ok()?;
        let labels = document.as_object_mut()?.entry("Labels").or_insert(Value::Null);
        if !labels.is_object() {
            *labels = Value::Object(serde_json::Map::new());
        }
        labels.as_object_mut()?.insert(LABEL.to_owned(), Value::String("1".to_owned()));
        text = document.to_string();
    }
    (text.as_bytes() != message.body).then(|| text.into_bytes())
}

fn head(message: &Message, body: Option<&[u8]>, known: &Known) -> Vec<u8> {
    let mut head = known.later(&known.names.translate(&message.start));
    for (name, value) in &message.headers {
        let value = match body {
            Some(body) if name.eq_ignore_ascii_case("content-length") => &body.len().to_string(),
            _ => value,
        };
        head.push_str(&format!("\r\n{name}: {value}"));
    }
    head.push_str("\r\n\r\n");
    head.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire;

    const ID: &str = "6c72e2fe7e3c5f2f0a3e8e5b7d1a9c4b2f6e8d0c1b3a5f7e9d2c4b6a8f0e1d3c";
    const THERE: &str = "0f72e2fe7e3c5f2f0a3e8e5b7d1a9c4b2f6e8d0c1b3a5f7e9d2c4b6a8f0e1d3c";

    fn script(recorded: &str, label: bool) -> Script {
        let recorded = recorded.as_bytes().to_vec();
        let exchanges = wire::exchanges(&recorded, b"");
        Script::new(recorded, &exchanges, label)
    }

    #[test]
    fn nothing_bound_is_sent_as_it_was() {
        let text = "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\n{\"a\":1}\
            PUT /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
        for cut in 0..text.len() {
            let mut script = script(text, false);
            let mut sent = script.render(0..cut, &Known::default());
            sent.extend(script.render(cut..text.len(), &Known::default()));
            assert_eq!(String::from_utf8_lossy(&sent), text, "{cut}");
        }
    }

    #[test]
    fn names_are_translated_and_lengths_follow() {
        let mut known = Known::default();
        assert!(known.names.same_text(ID, THERE) && known.names.bind("eager_curie", "sad_bell"));
        let body = format!("{{\"Id\":\"{ID}\",\"Name\":\"eager_curie\"}}");
        let text = format!(
            "POST /v1.41/containers/{ID}/start HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        for cut in 0..text.len() {
            let mut script = script(&text, false);
            let mut sent = script.render(0..cut, &known);
            sent.extend(script.render(cut..text.len(), &known));
            let sent = String::from_utf8(sent).unwrap();
            let expected = format!("{{\"Id\":\"{THERE}\",\"Name\":\"sad_bell\"}}");
            assert!(
                sent.starts_with(&format!("POST /v1.41/containers/{THERE}/start HTTP/1.1\r\n"))
            );
            assert!(
                sent.ends_with(&format!("Content-Length: {}\r\n\r\n{expected}", expected.len())),
                "{cut}: {sent}"
            );
        }
    }

    #[test]
    fn times_are_those_of_the_target_and_what_came_is_sent_back() {
        let known = Known {
            later: 100,
            bodies: vec![(b"old".to_vec(), b"newer".to_vec())],
            ..Known::default()
        };
        let text = "GET /events?since=1795322992&until=1795322994.5&x=1795322994 HTTP/1.1\r\n\r\n\
            POST /load HTTP/1.1\r\nContent-Length: 3\r\n\r\noldPOST /load HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\
            1\r\no\r\n2\r\nld\r\n0\r\n\r\n";
        let sent = script(text, false).render(0..text.len(), &known);
        assert_eq!(
            String::from_utf8(sent).unwrap(),
            "GET /events?since=1795323092&until=1795323094.5&x=1795322994 HTTP/1.1\r\n\r\n\
             POST /load HTTP/1.1\r\nContent-Length: 5\r\n\r\nnewerPOST /load HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\
             5\r\nnewer\r\n0\r\n\r\n"
        );
    }

    #[test]
    fn what_is_made_is_labelled() {
        let text = "POST /v1.41/volumes/create HTTP/1.1\r\nContent-Length: 26\r\n\r\n{\"Labels\":{},\"Name\":\"v\"}  ";
        let sent = script(text, true).render(0..text.len(), &Known::default());
        let sent = String::from_utf8(sent).unwrap();
        assert!(
            sent.ends_with(&format!("{{\"Labels\":{{\"{LABEL}\":\"1\"}},\"Name\":\"v\"}}")),
            "{sent}"
        );
    }
}
