//! All recorded sessions, played against engines in memory.

mod leaves;
mod mutations;
mod simulator;

use std::collections::BTreeMap;

use libswarm_conformance::play::{Limits, documents, leaves as count, play, route};
use libswarm_conformance::session::{Session, Side};
use libswarm_conformance::suite::SHIPPED;
use libswarm_conformance::target::Mirror;
use libswarm_conformance::wire;

/// By client and scenario.
fn sessions() -> BTreeMap<String, Session> {
    let named = |client, name| format!("{client}/{name}");
    SHIPPED
        .iter()
        .map(|shipped| (named(shipped.client, shipped.name), shipped.text.parse().unwrap()))
        .collect()
}

#[test]
fn a_recording_passes_against_itself() {
    let failures: Vec<String> = sessions()
        .iter()
        .filter_map(|(name, session)| {
            let difference = play(session, &mut Mirror::new(session), Limits::default()).err()?;
            Some(format!("{name}: {difference}"))
        })
        .collect();
    assert!(failures.is_empty(), "{}:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn what_comes_behind_the_last_answer_is_noticed() {
    let text = "swarm-session 1\nname: ping\n\n0.001 1 open\n0.001 1 >\n  | GET /_ping HTTP/1.1\\r\\nHost: docker\\r\\n\\r\\n\n\
        0.002 1 <\n  | HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nOK\n0.003 1 > close\nend 4\n";
    let session: Session = text.parse().unwrap();
    for behind in ["more", "HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nOK"] {
        let other: Session = text.replace("nOK\n0", &format!("nOK{behind}\n0")).parse().unwrap();
        let difference =
            play(&session, &mut Mirror::new(&other), Limits::default()).expect_err(behind);
        assert!(difference.contains("behind the last answer"), "{difference}");
    }
}

#[test]
fn at_most_a_quarter_of_what_is_answered_is_free() {
    let (mut all, mut free) = (0, 0);
    for session in sessions().values() {
        for conn in session.connections() {
            let sides = [Side::Client, Side::Engine].map(|side| session.stream(conn, side));
            for exchange in wire::exchanges(&sides[0], &sides[1]) {
                let Some(answer) = &exchange.response else { continue };
                for document in documents(&answer.body).unwrap_or_default() {
                    let counted = count(&route(&exchange.request), "", &document, false);
                    all += counted.0;
                    free += counted.1;
                }
            }
        }
    }
    println!("{free} of {all} leaves are free");
    assert!(free * 4 <= all && all > 10_000, "{free} of {all} leaves are free");
}
