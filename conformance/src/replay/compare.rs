//! What came, held against what was recorded.

use super::{Planned, Replay};
use crate::session::{Session, Side, What};
use crate::wire::{self, Form, Message};

/// What belongs to one connection, and the line that a proxy adds: these may differ. `Content-Length` and the form of
/// the body are compared, and so is an upgrade that was agreed on (by the form of the answer).
const HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "expect",
];

type Header<'a> = (String, &'a str);

fn headers(message: &Message) -> Vec<Header<'_>> {
    let all = message.headers.iter().map(|(name, value)| (name.to_lowercase(), value.as_str()));
    all.filter(|(name, _)| !HOP.contains(&name.as_str())).collect()
}

fn same_headers(expected: &[Header<'_>], came: &[Header<'_>]) -> Result<(), String> {
    if expected == came {
        return Ok(());
    }
    let missing = expected.iter().find(|header| !came.contains(header));
    let added = came.iter().find(|header| !expected.contains(header));
    Err(format!("headers: {missing:?} is missing, {added:?} was not recorded"))
}

/// The heads of two requests. HTTP/1.0 becomes 1.1, which needs a Host.
pub(super) fn request(expected: &Message, came: &Message) -> Result<(), String> {
    let line = |message: &Message| message.start.replace("HTTP/1.0", "HTTP/1.1");
    if line(expected) != line(came) {
        return Err(format!("expected {:?}, got {:?}", expected.start, came.start));
    }
    let (expected, mut came) = (headers(expected), headers(came));
    if !expected.iter().any(|(name, _)| name == "host") {
        came.retain(|(name, _)| name != "host");
    }
    same_headers(&expected, &came)
}

fn response(expected: &Message, came: &Message) -> Result<(), String> {
    if expected.start != came.start {
        return Err(format!("expected {:?}, got {:?}", expected.start, came.start));
    }
    same_headers(&headers(expected), &headers(came))?;
    if expected.form != came.form {
        return Err(format!("expected a body of form {:?}, got {:?}", expected.form, came.form));
    }
    bodies(expected, came)
}

fn bodies(expected: &Message, came: &Message) -> Result<(), String> {
    if expected.body == came.body && expected.complete == came.complete {
        return Ok(());
    }
    let same = expected.body.iter().zip(&came.body).take_while(|(one, other)| one == other).count();
    let what = |message: &Message| {
        let end = message.body.len().min(same + 40);
        let missing = if message.complete { "" } else { ", and then breaks off" };
        format!(
            "{} bytes, there {:?}{missing}",
            message.body.len(),
            message.body[same..end].escape_ascii().to_string()
        )
    };
    Err(format!(
        "bodies differ from byte {same} on: expected {}; got {}",
        what(expected),
        what(came)
    ))
}

/// Holds all that came against the recording.
pub(super) fn all(session: &Session, replay: &Replay) -> Result<(), String> {
    for planned in &replay.planned {
        engine(planned).map_err(|difference| {
            format!(
                "connection {}, {}: the engine: {difference}",
                planned.conn, planned.exchange.request.start
            )
        })?;
    }
    for conn in session.connections() {
        client(session, replay, conn)
            .map_err(|difference| format!("connection {conn}: the client: {difference}"))?;
    }
    let left = replay.node.connections();
    if left > session.connections().count() {
        return Err(format!("{left} connections are still open"));
    }
    Ok(())
}

/// What the engine got of an exchange.
fn engine(planned: &Planned) -> Result<(), String> {
    let expected = &planned.exchange.request;
    if planned.server.is_none() {
        return Err("the request did not arrive".to_owned());
    }
    if !planned.waiting.is_empty() {
        return Err("the node does not read the answer to its end".to_owned());
    }
    // The request is raw behind its body if it was so in the recording, which the answer decides.
    let answer = planned.exchange.response.as_ref().filter(|message| message.form == Form::Raw);
    let answer = answer.map_or_else(Vec::new, |message| {
        format!("{}\r\nContent-Type: application/x-stream\r\n\r\n", message.start).into_bytes()
    });
    let came = wire::exchanges(&planned.got, &answer).into_iter().next().map(|one| one.request);
    let came = came.ok_or("no request came")?;
    request(expected, &came)?;
    if expected.form != came.form {
        return Err(format!("expected a body of form {:?}, got {:?}", expected.form, came.form));
    }
    bodies(expected, &came)?;
    if planned.client_ended && !planned.ended {
        return Err("the client's end did not reach it".to_owned());
    }
    Ok(())
}

/// What the client got on a connection.
fn client(session: &Session, replay: &Replay, conn: u32) -> Result<(), String> {
    let (mut sent, mut gone, mut ended) = (Vec::new(), false, false);
    for event in session.events.iter().filter(|event| event.conn == conn) {
        match &event.what {
            What::Data(Side::Engine, bytes) if !gone => sent.extend_from_slice(bytes),
            What::Close(Side::Client) => gone = true,
            What::End(Side::Engine) | What::Close(Side::Engine) => ended |= !gone,
            _ => {}
        }
    }
    let Some(peer) = replay.clients.get(&conn).and_then(|id| replay.peers.get(id)) else {
        return Err("it never connected".to_owned());
    };
    let asked = session.stream(conn, Side::Client);
    let (expected, came) = (wire::exchanges(&asked, &sent), wire::exchanges(&asked, &peer.got));
    for (expected, came) in expected.iter().zip(&came) {
        let line = &expected.request.start;
        if expected.informational.len() != came.informational.len() {
            return Err(format!(
                "{line}: {} heads came before the answer",
                came.informational.len()
            ));
        }
        match (&expected.response, &came.response) {
            (Some(expected), Some(came)) => {
                response(expected, came).map_err(|why| format!("{line}: {why}"))?;
            }
            (None, None) => {}
            (Some(expected), None) => {
                return Err(format!("{line}: expected {:?}, got no answer", expected.start));
            }
            (None, Some(came)) => return Err(format!("{line}: got {:?} unasked", came.start)),
        }
    }
    if expected.len() != came.len() {
        return Err(format!("expected {} answers, got {}", expected.len(), came.len()));
    }
    let until_end = expected.last().and_then(|one| one.response.as_ref()).is_some_and(|message| {
        matches!(message.form, Form::Raw | Form::Close)
            || message.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    });
    if ended && until_end && !peer.got_end && peer.closed.is_none() {
        return Err("the engine's end did not reach it".to_owned());
    }
    if gone && peer.closed.is_none() {
        return Err("it has closed, and its connection is still held".to_owned());
    }
    Ok(())
}
