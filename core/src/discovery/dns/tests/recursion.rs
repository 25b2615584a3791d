//! What is left to recursors.

use super::*;
use crate::discovery::dns::recursors::CHANCE;

/// What a server with recursors wants done.
fn events(server: &mut Server) -> Vec<Event> {
    core::iter::from_fn(|| server.poll()).collect()
}

fn recursing(count: u8) -> Server {
    let mut config = Config::new(7);
    config.recursors = (1..=count).map(|nth| ([10, 0, 0, nth], 53).into()).collect();
    Server::new(config)
}

fn forward(
    server: &mut Server,
    asker: Asker,
    query: &[u8],
) -> (u64, core::net::SocketAddr, Vec<u8>) {
    let mut out = Vec::new();
    let verdict = server.query(Instant::ZERO, asker, query, None, &mut out);
    assert_eq!((verdict, out.len()), (Verdict::Forwarded, 0));
    match &events(server)[..] {
        [Event::Ask { exchange, to, over, message }] => {
            assert_eq!(*over, asker.transport());
            (*exchange, *to, message.clone())
        }
        other => panic!("{other:?}"),
    }
}

/// What a recursor would say: the question, and one record.
fn answer_to(message: &[u8], rcode: u8) -> Vec<u8> {
    let (_, at) = Name::read(message, HEADER).unwrap();
    let mut answer = message[..at + 4].to_vec();
    (answer[2], answer[3], answer[7], answer[11]) = (0x81, 0x80 | rcode, 1, 0);
    answer.extend_from_slice(&[0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 192, 0, 2, 1]);
    answer
}

#[test]
fn other_names_are_left_to_a_recursor() {
    let mut server = recursing(2);
    let query = ask("Example.org", kind::A, Some((4096, 0)));
    let (exchange, to, message) = forward(&mut server, UDP, &query);
    assert_eq!(to.to_string(), "10.0.0.1:53");
    let asked = Query::read(&message).unwrap();
    assert_ne!(asked.id, 0xabcd);
    assert_eq!(asked.question.name.to_string(), "Example.org.");
    assert_eq!(asked.edns, Some(Edns { size: 1232, version: 0, dnssec: true }));
    // Another one's answer, another question's, a question, rubbish: all that may still come is the answer.
    let good = answer_to(&message, 0);
    let changed = |at: usize, byte: u8| {
        let mut message = good.clone();
        message[at] ^= byte;
        message
    };
    for bad in
        [&changed(0, 1), &changed(13, 1), &changed(2, 0x80), &changed(25, 1), &good[..11], b""]
    {
        server.progress(Instant::ZERO, exchange, Progress::Message(bad));
        assert_eq!(events(&mut server), []);
    }
    // In another spelling: the asker gets his own.
    server.progress(Instant::ZERO, exchange, Progress::Message(&changed(13, 0x20)));
    let all = events(&mut server);
    let [Event::Abandon(abandoned), Event::Answer(asker, answer)] = &all[..] else {
        panic!("{all:?}")
    };
    assert_eq!((*abandoned, *asker), (exchange, UDP));
    let answer = read(answer);
    assert_eq!(answer.sections[0], ["Example.org. A 192.0.2.1"]);
    assert_eq!(answer.flags & 0x0180, 0x0180);
    assert_eq!(server.poll_timeout(), None);
    // It is over.
    server.progress(Instant::ZERO, exchange, Progress::Message(&good));
    assert_eq!(events(&mut server), []);
}

#[test]
fn the_next_recursor_is_asked_after_a_while_or_a_failure() {
    let mut server = recursing(5);
    let query = ask("example.org", kind::A, None);
    let (mut exchange, mut to, mut message) = forward(&mut server, TCP, &query);
    let mut ids = BTreeSet::from([message[..2].to_vec()]);
    let mut now = Instant::ZERO;
    for way in 0..4 {
        match way {
            0 => {
                assert_eq!(server.poll_timeout(), Some(now + Duration::from_secs(2)));
                now = now + Duration::from_secs(2);
                server.handle_timeout(now);
            }
            1 => server.progress(now, exchange, Progress::Failed),
            2 => server.progress(now, exchange, Progress::Message(&answer_to(&message, 2))),
            _ => {
                // A server that knows no EDNS need not repeat the question.
                let mut short = message[..HEADER].to_vec();
                (short[2], short[3], short[5]) = (0x80, 1, 0);
                server.progress(now, exchange, Progress::Message(&short));
            }
        }
        let all = events(&mut server);
        let [Event::Abandon(old), Event::Ask { exchange: new, to: next, message: asked, .. }] =
            &all[..]
        else {
            panic!("{way}: {all:?}")
        };
        assert_eq!(*old, exchange);
        assert_ne!((*next, *new), (to, exchange));
        (exchange, to, message) = (*new, *next, asked.clone());
        ids.insert(message[..2].to_vec());
    }
    assert_eq!(ids.len(), 5, "each has an id of its own");
    server.progress(now, exchange, Progress::Failed);
    let all = events(&mut server);
    let [Event::Abandon(_), Event::Answer(TCP, answer)] = &all[..] else { panic!("{all:?}") };
    assert_eq!((read(answer).rcode, read(answer).flags & 0x0480), (2, 0x0080));
    // What the last one says is passed on, whatever it is.
    let mut server = recursing(1);
    let (exchange, _, message) = forward(&mut server, UDP, &query);
    server.progress(now, exchange, Progress::Message(&answer_to(&message, 5)));
    let all = events(&mut server);
    let [_, Event::Answer(UDP, answer)] = &all[..] else { panic!("{all:?}") };
    assert_eq!(read(answer).rcode, 5);
}

#[test]
fn what_goes_round_is_refused() {
    let mut server = recursing(2);
    let query = ask("example.org", kind::A, None);
    for is_first in [true, false] {
        let (mut exchange, _, mut message) = forward(&mut server, UDP, &query);
        // By chance somebody else's may have the same id.
        for _ in 0..CHANCE {
            let to;
            (exchange, to, message) = forward(&mut server, UDP, &message);
            assert_eq!(to.to_string(), "10.0.0.1:53");
        }
        // The same id for another name, and the same name with another id, are others' questions.
        let mut other = message.clone();
        other[0] ^= 1;
        forward(&mut server, TCP, &other);
        let mut other = ask("example.com", kind::A, None);
        other[..2].copy_from_slice(&message[..2]);
        forward(&mut server, TCP, &other);
        let mut refused = Vec::new();
        let verdict = server.query(Instant::ZERO, UDP, &message, None, &mut refused);
        assert_eq!(
            (verdict, &refused[..2], refused[3] & 15),
            (Verdict::Answered, &message[..2], 5)
        );
        let (lines, asked) = logged(&mut server);
        assert_eq!((lines.len(), asked), (usize::from(is_first), None), "{lines:?}");
        assert!(
            lines.iter().all(|line| line.starts_with("the recursor 10.0.0.1:53 leads back to"))
        );
        server.progress(Instant::ZERO, exchange, Progress::Message(&refused));
        assert_eq!(asked_next(&mut server).1, "10.0.0.2:53");
    }
}

/// Asks at that moment; whom that leads to.
fn asked_at(server: &mut Server, now: Instant) -> (u64, String, Vec<u8>) {
    server.query(now, UDP, &ask("example.org", kind::A, None), None, &mut Vec::new());
    asked_next(server)
}

fn asked_next(server: &mut Server) -> (u64, String, Vec<u8>) {
    match events(server).pop() {
        Some(Event::Ask { exchange, to, message, .. }) => (exchange, to.to_string(), message),
        other => panic!("{other:?}"),
    }
}

#[test]
fn questions_do_not_begin_with_a_recursor_that_is_silent() {
    let at = |seconds| Instant::ZERO + Duration::from_secs(seconds);
    let [first, second, third] = ["10.0.0.1:53", "10.0.0.2:53", "10.0.0.3:53"];
    let mut server = recursing(3);
    let (exchange, to, _) = asked_at(&mut server, at(0));
    assert_eq!(to, first);
    server.progress(at(0), exchange, Progress::Failed);
    assert_eq!(asked_next(&mut server).1, second);
    // Nor does the next one that waits keep others waiting; who has begun behind the first still comes to it.
    server.handle_timeout(at(2));
    assert_eq!(asked_next(&mut server).1, third);
    let (exchange, to, _) = asked_at(&mut server, at(3));
    assert_eq!(to, third);
    server.progress(at(3), exchange, Progress::Failed);
    let (exchange, to, message) = asked_next(&mut server);
    assert_eq!(to, first);
    server.progress(at(3), exchange, Progress::Message(&answer_to(&message, 0)));
    events(&mut server);
    // It has answered, so it is the first again.
    let (slow, to, _) = asked_at(&mut server, at(4));
    assert_eq!(to, first);
    // A name that takes long says nothing against a server that answers others.
    let (exchange, _, message) = asked_at(&mut server, at(5));
    server.progress(at(5), exchange, Progress::Message(&answer_to(&message, 0)));
    server.progress(at(6), slow, Progress::Failed);
    events(&mut server);
    let (exchange, to, _) = asked_at(&mut server, at(7));
    assert_eq!(to, first);
    server.progress(at(7), exchange, Progress::Failed);
    events(&mut server);
    // After a while one question tries it, and no other.
    assert_ne!(asked_at(&mut server, at(16)).1, first);
    assert_eq!(asked_at(&mut server, at(17)).1, first);
    assert_ne!(asked_at(&mut server, at(17)).1, first);
}

/// What the log is told by what there is to be done, and whom to ask if that is part of it.
fn logged(server: &mut Server) -> (Vec<String>, Option<u64>) {
    let (mut lines, mut asked) = (Vec::new(), None);
    for event in events(server) {
        match event {
            Event::Warn(line) => lines.push(line),
            Event::Ask { exchange, .. } => asked = Some(exchange),
            Event::Abandon(_) | Event::Answer(..) => {}
        }
    }
    (lines, asked)
}

#[test]
fn silence_of_all_recursors_is_logged_once_and_so_is_its_end() {
    let now = Instant::ZERO;
    let mut server = recursing(2);
    let mut said = Vec::new();
    for _ in 0..3 {
        let mut exchange = asked_at(&mut server, now).0;
        for _ in 0..2 {
            server.progress(now, exchange, Progress::Failed);
            let (lines, next) = logged(&mut server);
            said.extend(lines);
            exchange = next.unwrap_or(exchange);
        }
    }
    assert_eq!(
        said,
        [
            "no recursor answers (10.0.0.1:53, 10.0.0.2:53): other names than discoverd's are SERVFAIL; asking on, and saying so \
          when one answers"
        ]
    );
    // That it could not find out is an answer, too.
    let (exchange, _, message) = asked_at(&mut server, now);
    server.progress(now, exchange, Progress::Message(&answer_to(&message, 2)));
    assert_eq!(logged(&mut server).0, ["the recursor 10.0.0.1:53 answers again"]);
    // As long as any of them answers, the others are not spoken of.
    let exchange = asked_at(&mut server, now).0;
    server.progress(now, exchange, Progress::Failed);
    let (exchange, _, message) = asked_at(&mut server, now);
    server.progress(now, exchange, Progress::Message(&answer_to(&message, 0)));
    assert_eq!(logged(&mut server).0, [""; 0]);
}

#[test]
fn a_recursor_is_not_asked_too_much_nor_believed_in_everything() {
    let mut config = Config::new(7);
    config.recursors = vec![([10, 0, 0, 1], 53).into()];
    config.forwarded = 2;
    let mut server = Server::new(config);
    let query = ask("example.org", kind::A, None);
    let (exchange, _, message) = forward(&mut server, UDP, &query);
    forward(&mut server, UDP, &query);
    let mut out = Vec::new();
    let verdict = server.query(Instant::ZERO, UDP, &query, None, &mut out);
    assert_eq!((verdict, read(&out).rcode), (Verdict::Answered, 2));
    // More than its asker takes is truncated.
    let mut long = answer_to(&message, 0);
    long[7] = 40;
    for _ in 1..40 {
        long.extend_from_slice(&[0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 192, 0, 2, 1]);
    }
    server.progress(Instant::ZERO, exchange, Progress::Message(&long));
    let all = events(&mut server);
    let [_, Event::Answer(_, answer)] = &all[..] else { panic!("{all:?}") };
    assert_eq!((answer.len(), read(answer).flags & 0x0200), (29, 0x0200));
    // A transfer is not passed on.
    out.clear();
    let verdict =
        server.query(Instant::ZERO, TCP, &ask("example.org", kind::AXFR, None), None, &mut out);
    assert_eq!((verdict, read(&out).rcode), (Verdict::Answered, 5));
}
