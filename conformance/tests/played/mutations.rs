//! An engine that answers one thing otherwise is found out.

use libswarm_conformance::play::{Limits, is_free, is_same_text, play, route};
use libswarm_conformance::session::{Session, Side, What};
use libswarm_conformance::target::Mirror;
use libswarm_conformance::wire::{self, Exchange, Form, Message};
use serde_json::Value;

use crate::leaves::leaves;
use crate::sessions;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % bound.max(1) as u64).unwrap()
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        from.get(self.below(from.len()))
    }
}

/// A recording in which the engine's bytes can be changed where they stand.
struct Changed {
    session: Session,
    conn: u32,
    engine: Vec<u8>,
    exchanges: Vec<Exchange>,
}

impl Changed {
    fn new(session: &Session, conn: u32) -> Self {
        let [client, engine] = [Side::Client, Side::Engine].map(|side| session.stream(conn, side));
        let exchanges = wire::exchanges(&client, &engine);
        Self { session: session.clone(), conn, engine, exchanges }
    }

    /// The place in the stream of a byte of a body.
    fn place(message: &Message, mut at: usize) -> Option<usize> {
        for piece in &message.pieces {
            if at < piece.len() {
                return Some(piece.start + at);
            }
            at -= piece.len();
        }
        None
    }

    fn finish(mut self) -> Session {
        let mut rest = self.engine.as_slice();
        for event in self.session.events.iter_mut().filter(|event| event.conn == self.conn) {
            if let What::Data(Side::Engine, bytes) = &mut event.what {
                let (now, later) = rest.split_at(bytes.len());
                bytes.copy_from_slice(now);
                rest = later;
            }
        }
        self.session
    }
}

/// One random change of what the engine says, and what it was. None if that place has nothing to change.
fn change(session: &Session, random: &mut Random) -> Option<(Session, String)> {
    let conns: Vec<u32> = session.connections().collect();
    let conn = *random.pick(&conns)?;
    let mut changed = Changed::new(session, conn);
    let answered: Vec<(String, Message)> = changed
        .exchanges
        .iter()
        .filter_map(|exchange| Some((route(&exchange.request), exchange.response.clone()?)))
        .collect();
    let (route, answer) = random.pick(&answered)?.clone();
    match random.below(5) {
        0 => {
            let at = answer.span.start + "HTTP/1.1 ".len();
            let new =
                [&b"200"[..], b"204", b"304", b"400", b"404", b"409", b"500"][random.below(7)];
            if &changed.engine[at..at + 3] == new || answer.status() == 101 {
                return None;
            }
            changed.engine[at..at + 3].copy_from_slice(new);
            let what = format!("{route}: status {}", String::from_utf8_lossy(new));
            Some((changed.finish(), what))
        }
        1 => {
            let names = [
                "content-type",
                "docker-experimental",
                "ostype",
                "location",
                "x-docker-container-path-stat",
            ];
            let there: Vec<&(String, String)> = answer
                .headers
                .iter()
                .filter(|(name, _)| names.contains(&name.to_lowercase().as_str()))
                .collect();
            let (name, value) = *random.pick(&there)?;
            let line = format!("\r\n{name}: {value}\r\n");
            let head = &changed.engine[answer.span.start..answer.head_end];
            let at = answer.span.start
                + head.windows(line.len()).position(|window| window == line.as_bytes())?
                + 2;
            let what = format!("{route}: header {name}");
            // Another name: a header that is missing.
            changed.engine[at] = b'Q';
            Some((changed.finish(), what))
        }
        2 | 3 => {
            let all = leaves(&answer.body);
            if serde_json::Deserializer::from_slice(&answer.body)
                .into_iter::<Value>()
                .any(|document| document.is_err())
            {
                return None;
            }
            let (path, place) = random.pick(&all)?.clone();
            let old = answer.body[place.clone()].to_vec();
            let mut new = old.clone();
            match old[0] {
                b'"' if old.len() > 2 => {
                    let at = 1 + random.below(old.len() - 2);
                    if old.contains(&b'\\') {
                        return None;
                    }
                    new[at] = if old[at] == b'x' { b'y' } else { b'x' };
                }
                b'0'..=b'9' => {
                    let at = old.len() - 1;
                    new[at] = if old[at] == b'7' { b'8' } else { b'7' };
                }
                b't' => new.copy_from_slice(b"null"),
                b'n' => new.copy_from_slice(b"true"),
                b'f' => new.copy_from_slice(b"54321"),
                _ => return None,
            }
            let value = |text: &[u8]| serde_json::from_slice::<Value>(text).ok();
            let what =
                format!("{route}: {path}: {} becomes {}", old.escape_ascii(), new.escape_ascii());
            if is_free(&route, &path, &value(&old)?, &value(&new)?) {
                return None;
            }
            for (nth, byte) in new.iter().enumerate() {
                let at = Changed::place(&answer, place.start + nth)?;
                changed.engine[at] = *byte;
            }
            Some((changed.finish(), what))
        }
        _ => {
            if let Some(frames) = wire::frames(&answer.body) {
                let frame = random.pick(&frames)?.clone();
                let (at, byte) = if random.below(3) == 0 || frame.data.is_empty() {
                    (frame.data.start - 8, 3 - answer.body[frame.data.start - 8].clamp(1, 2))
                } else {
                    let at = frame.data.start + random.below(frame.data.len());
                    (at, if answer.body[at] == b'x' { b'y' } else { b'x' })
                };
                let mut other = answer.body.clone();
                other[at] = byte;
                let text =
                    |body: &[u8]| String::from_utf8_lossy(&body[frame.data.clone()]).into_owned();
                if at >= frame.data.start && is_same_text(&text(&answer.body), &text(&other)) {
                    return None;
                }
                let place = Changed::place(&answer, at)?;
                changed.engine[place] = byte;
                return Some((changed.finish(), format!("{route}: byte {at} of the frames")));
            }
            // An ending that does not come.
            let ends = matches!(answer.form, Form::Raw | Form::Close);
            let mut session = changed.session;
            let end = session.events.iter().position(|event| {
                event.conn == conn
                    && matches!(event.what, What::End(Side::Engine) | What::Close(Side::Engine))
            })?;
            let left = session
                .events
                .iter()
                .position(|event| event.conn == conn && event.what == What::Close(Side::Client));
            if !ends || left.is_some_and(|left| left < end) {
                return None;
            }
            session.events.retain(|event| {
                event.conn != conn
                    || !matches!(event.what, What::End(Side::Engine) | What::Close(Side::Engine))
            });
            Some((session, format!("{route}: the end is missing")))
        }
    }
}

fn noticed(session: &Session, engine: &Session) -> bool {
    play(session, &mut Mirror::new(engine), Limits::default()).is_err()
}

#[test]
fn random_changes_are_noticed() {
    let sessions: Vec<(String, Session)> = sessions().into_iter().collect();
    let mut random = Random(2026);
    let (mut made, mut missed) = (0, Vec::new());
    while made < 1_000 {
        let (name, session) = &sessions[random.below(sessions.len())];
        let Some((engine, what)) = change(session, &mut random) else { continue };
        made += 1;
        if !noticed(session, &engine) {
            missed.push(format!("{name}: {what}"));
        }
    }
    println!("{} of {made} are missed:\n{}", missed.len(), missed.join("\n"));
    assert!(missed.len() * 20 <= made, "{} of {made}:\n{}", missed.len(), missed.join("\n"));
}

/// Changes that people would make by mistake: in that session, that text of the engine becomes this one of the same length.
const CHOSEN: [(&str, &str, &str); 20] = [
    ("docker-20/run-exit-code", "\"StatusCode\":7", "\"StatusCode\":0"),
    ("docker-20/run-exit-code", "101 UPGRADED", "200 UPGRADED"),
    ("docker-28/run-stderr", "\\x02\\x00\\x00\\x00", "\\x01\\x00\\x00\\x00"),
    ("docker-28/run-stdin", "one\\n", "two\\n"),
    ("docker-28/exec", "\"ExitCode\":5", "\"ExitCode\":0"),
    ("docker-28/create-conflict", "409 Conflict", "500 Conflict"),
    ("docker-28/create-conflict", "already in use", "already in USE"),
    ("docker-20/start-absent", "No such container", "no such container"),
    ("docker-20/life", "204 No Content", "200 No Content"),
    ("docker-20/inspect", "\"Status\":\"created\"", "\"Status\":\"running\""),
    ("docker-20/ps-forms", "\"State\":\"created\"", "\"State\":\"running\""),
    ("docker-20/wait", "\"StatusCode\":", "\"statusCode\":"),
    ("docker-28/version", "Content-Type: application/json", "Content-Type: application/jzon"),
    ("docker-28/volumes", "\"Driver\":\"local\"", "\"Driver\":\"lokal\""),
    ("docker-28/networks", "\"Scope\":\"local\"", "\"Scope\":\"swarm\""),
    ("docker-28/build", "Successfully built", "Successfully Built"),
    ("docker-28/diff", "\"Kind\":1", "\"Kind\":2"),
    ("docker-py/errors", "\"message\"", "\"massage\""),
    ("docker-28/logs", "out\\n", "oud\\n"),
    ("docker-28/tag", "201 Created", "200 Created"),
];

#[test]
fn chosen_changes_are_noticed() {
    for (name, old, new) in CHOSEN {
        let shipped = libswarm_conformance::suite::SHIPPED
            .iter()
            .find(|shipped| format!("{}/{}", shipped.client, shipped.name) == name)
            .unwrap_or_else(|| panic!("there is no session {name}"));
        // The engine's words only: the client's stand behind `>`.
        let mut engine = false;
        let mut done = false;
        let lines: Vec<String> = shipped
            .text
            .lines()
            .map(|line| {
                if !line.starts_with(' ') {
                    engine = line.ends_with('<');
                }
                if engine && !done && line.contains(old) {
                    done = true;
                    return line.replacen(old, new, 1);
                }
                line.to_owned()
            })
            .collect();
        assert!(done, "{name} has no {old:?} from the engine");
        let changed: Session = (lines.join("\n") + "\n").parse().unwrap();
        let session: Session = shipped.text.parse().unwrap();
        assert!(noticed(&session, &changed), "{name}: {old:?} becomes {new:?}");
    }
}
