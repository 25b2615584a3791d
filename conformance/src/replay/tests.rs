//! That the replay notices what it is there to notice.

use super::*;

/// A kept connection with bodies both ways, and a hijacked one with half-closes.
const SESSION: &str = "swarm-session 1\nname: x\n\n0.001 1 open\n0.001 1 >\n  | POST /a HTTP/1.1\\r\\nHost: x\\r\\nA: b\\r\\n\n\
    \x20 | Content-Length: 3\\r\\n\\r\\nabc\n0.002 1 <\n  | HTTP/1.1 200 OK\\r\\nServer: y\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n\n\
    \x20 | 3\\r\\none\\r\\n0\\r\\n\\r\\n\n0.003 1 >\n  | GET /b HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n\n0.004 1 <\n\
    \x20 | HTTP/1.1 404 Not Found\\r\\nContent-Length: 3\\r\\n\\r\\ntwo\n0.005 2 open\n0.005 2 >\n\
    \x20 | POST /attach HTTP/1.1\\r\\nHost: x\\r\\nConnection: Upgrade\\r\\nUpgrade: tcp\\r\\n\\r\\n\n0.006 2 <\n\
    \x20 | HTTP/1.1 101 UPGRADED\\r\\nConnection: Upgrade\\r\\nUpgrade: tcp\\r\\n\\r\\n\n0.007 2 >\n  | input\n0.007 2 > end\n\
    0.008 2 <\n  | output\n0.009 2 < close\n0.010 1 > close\nend 13\n";

fn replayed(seed: Option<u64>) -> (Session, Replay) {
    let session: Session = SESSION.parse().unwrap();
    let mut replay = Replay::new(&session, seed).unwrap();
    for event in &session.events {
        replay.play(event.conn, &event.what).unwrap();
        replay.settle().unwrap();
    }
    replay.pass(REST).unwrap();
    (session, replay)
}

#[test]
fn nothing_is_wrong_with_it_however_it_is_cut() {
    for seed in std::iter::once(None).chain((0..300).map(Some)) {
        let (session, replay) = replayed(seed);
        assert_eq!(compare::all(&session, &replay), Ok(()), "{seed:?}");
    }
}

/// The places of bytes that may differ: those of headers of the hop, and the case of header names.
fn free(bytes: &[u8], at: usize) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let line_start = text[..at].rfind('\n').map_or(0, |place| place + 1);
    let line = &text[line_start..];
    let hop = ["Via:", "Connection:", "Upgrade:"].iter().any(|name| line.starts_with(name));
    // A blank behind a colon, and the line end of the last chunk.
    hop || bytes[at] == b' ' && at > 0 && bytes[at - 1] == b':'
}

#[test]
fn any_byte_that_the_client_gets_wrong_is_noticed() {
    let (session, mut replay) = replayed(None);
    for id in replay.clients.clone().into_values() {
        let got = replay.peers[&id].got.clone();
        for at in (0..got.len()).filter(|at| !free(&got, *at)) {
            let mut wrong = got.clone();
            wrong[at] = if wrong[at] == b'#' { b'+' } else { b'#' };
            replay.peers.get_mut(&id).unwrap().got = wrong;
            let found = compare::all(&session, &replay);
            // Between chunks the reader of recordings looks at lengths only.
            let lenient = got[at..].starts_with(b"\r\n0\r\n") || got[..at].ends_with(b"one\r");
            assert!(found.is_err() || lenient, "{at} of {}", got.escape_ascii());
        }
        replay.peers.get_mut(&id).unwrap().got = got;
    }
}

#[test]
fn any_byte_that_the_engine_gets_wrong_is_noticed() {
    let (session, mut replay) = replayed(None);
    for index in 0..replay.planned.len() {
        let got = replay.planned[index].got.clone();
        for at in (0..got.len()).filter(|at| !free(&got, *at)) {
            replay.planned[index].got[at] = b'#';
            assert!(compare::all(&session, &replay).is_err(), "{at} of {}", got.escape_ascii());
            replay.planned[index].got.clone_from(&got);
        }
    }
}

#[test]
fn ends_that_do_not_arrive_are_noticed() {
    let (session, mut replay) = replayed(None);
    replay.planned[2].ended = false;
    assert!(
        compare::all(&session, &replay).unwrap_err().contains("the client's end did not reach it")
    );
    replay.planned[2].ended = true;
    for (conn, word) in [(1, "still held"), (2, "the engine's end did not reach it")] {
        let id = replay.clients[&conn];
        let peer = replay.peers.get_mut(&id).unwrap();
        let before = (peer.closed.take(), std::mem::take(&mut peer.got_end));
        assert!(compare::all(&session, &replay).unwrap_err().contains(word));
        let peer = replay.peers.get_mut(&id).unwrap();
        (peer.closed, peer.got_end) = before;
    }
}

#[test]
fn what_is_no_http_cannot_be_replayed() {
    let text = "swarm-session 1\nname: x\n\n0.001 1 open\n0.001 1 <\n  | SSH-2.0\\r\\n\nend 2\n";
    let error = through_forward(&text.parse().unwrap(), None).unwrap_err();
    assert!(error.contains("connection 1") && error.contains("no HTTP"), "{error}");
}
