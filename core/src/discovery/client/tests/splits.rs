//! However the bytes and the time are cut, the same becomes of it.

use super::*;
use crate::discovery::Attributes;
use crate::discovery::client::{RegistrationId, SetId};
use proptest::prelude::*;

/// What a program knows in the end.
fn known(client: &mut Client, (id, set, watch): (RegistrationId, SetId, WatchId)) -> String {
    let mut told = Vec::new();
    while let Some(change) = client.next(watch) {
        told.push(change);
    }
    format!("{:?} {told:?} {:?}", client.registration(id).unwrap().address(), client.set(set))
}

fn wants(client: &mut Client) -> (RegistrationId, SetId, WatchId) {
    let id = client.register(Instant::ZERO, args("web", "a:80"));
    let set = client.subscribe(Instant::ZERO, "web", Attributes::new());
    (id, set, client.watch(set, true).unwrap())
}

/// What a server says from its greeting on, and what is known then.
fn session(codec: Codec) -> (Vec<u8>, String) {
    let mut scene = Scene::new(codec, &["a:1"]);
    let wanted = wants(&mut scene.client);
    scene.run();
    let (call, stream) = (scene.calls[0].1, scene.calls[1].1);
    scene.update(stream, &[online("b", 5), online("c", 3)]);
    scene.reply(call, Ok("h:80"));
    let attributes = Attributes::from([("<&>".to_string(), "\u{2028}é".to_string())]);
    let attributes = Some(alloc::borrow::Cow::Owned(attributes));
    let with = Update { attributes, ..online("d", 7) };
    scene.update(stream, &[Update::MARKER, with, offline("b")]);
    (scene.said, known(&mut scene.client, wanted))
}

fn fed(codec: Codec, pieces: &[&[u8]]) -> String {
    let mut config = Config { codec, ..Config::default() };
    config.servers = vec!["a:1".into()];
    let mut client = Client::new(config, Instant::ZERO, 7);
    let wanted = wants(&mut client);
    let drain = |client: &mut Client| {
        while let Some(action) = client.poll(&mut Vec::new()) {
            match action {
                Action::Connect { conn, .. } => {
                    client.handle(Instant::ZERO, Input::Connected(conn));
                }
                Action::Write(conn) => client.handle(Instant::ZERO, Input::Sent(conn)),
                other => panic!("{other:?}"),
            }
        }
    };
    drain(&mut client);
    for piece in pieces {
        client.handle(Instant::ZERO, Input::Received(1, piece));
        drain(&mut client);
    }
    known(&mut client, wanted)
}

#[test]
fn every_split_means_the_same() {
    for codec in CODECS {
        let (bytes, expected) = session(codec);
        // The greeting comes alone: nothing is said before the first call.
        let greeting = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 2;
        let (greeting, rest) = bytes.split_at(greeting);
        for cut in 0..=rest.len() {
            let (one, two) = rest.split_at(cut);
            assert_eq!(fed(codec, &[greeting, one, two]), expected, "{codec:?} cut at {cut}");
        }
        for cut in 0..=greeting.len() {
            let (one, two) = greeting.split_at(cut);
            assert_eq!(fed(codec, &[one, two, rest]), expected);
        }
        let single: Vec<_> = bytes.chunks(1).collect();
        assert_eq!(fed(codec, &single), expected);
    }
}

/// A minute in which servers come and go, as (time, what): and the client is asked at `extra` moments what time it is.
fn minute(seed: u64, extra: &[u64]) -> String {
    let mut scene = Scene::new(Codec::Json, &["a:1", "b:1"]);
    let mut random = fastrand::Rng::with_seed(seed);
    let events: Vec<_> = (0..20).map(|_| (random.u64(..60_000), random.u8(..4))).collect();
    let mut moments: Vec<_> = events.iter().map(|(at, what)| (*at, Some(*what))).collect();
    moments.extend(extra.iter().map(|at| (*at, None)));
    moments.sort_by_key(|(at, what)| (*at, what.is_none()));
    for nth in 0..3 {
        scene.client.register(scene.now, args("web", &format!("{nth}:80")));
    }
    scene.client.subscribe(scene.now, "web", Attributes::new());
    let mut log = Vec::new();
    let answer = |scene: &mut Scene, log: &mut Vec<String>| {
        while !scene.calls.is_empty() {
            let (at, call, method, asked) = scene.calls.remove(0);
            log.push(format!("{at} {method:?} {}", asked.address));
            match method {
                Method::Subscribe => scene.update(call, &[online("x", 1), Update::MARKER]),
                _ => scene.reply(call, Ok(&asked.address)),
            }
        }
    };
    scene.run();
    answer(&mut scene, &mut log);
    for (at, what) in moments.into_iter().chain([(60_000, None)]) {
        let at = Instant::new(millis(at));
        while let Some(due) = scene.client.poll_timeout().filter(|due| *due <= at) {
            scene.now = scene.now.max(due);
            scene.handle(Input::Timeout);
            answer(&mut scene, &mut log);
        }
        scene.now = at;
        match what {
            None => scene.handle(Input::Timeout),
            Some(0) if scene.conn.is_some() => scene.lose(),
            Some(1) => scene.listens = Listens::No,
            Some(_) => scene.listens = Listens::Yes,
        }
        answer(&mut scene, &mut log);
    }
    log.extend(scene.dialed.iter().map(|(at, name)| format!("{at} dials {name}")));
    log.extend(scene.notices.iter().map(ToString::to_string));
    log.join("\n")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_split_of_the_bytes_means_the_same(cuts in prop::collection::vec(0usize..1000, 0..12)) {
        for codec in CODECS {
            let (bytes, expected) = session(codec);
            let greeting = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 2;
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
            cuts.extend([0, greeting, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<_> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            prop_assert_eq!(fed(codec, &pieces), expected);
        }
    }

    #[test]
    fn any_split_of_the_time_means_the_same(
        seed in 0u64..1000,
        extra in prop::collection::vec(0u64..60_000, 0..40),
    ) {
        prop_assert_eq!(minute(seed, &extra), minute(seed, &[]));
    }

    /// Whatever a server says, it is an error or it is understood.
    #[test]
    fn rubbish_is_survived(
        json in any::<bool>(),
        keep in 0usize..1000,
        rubbish in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let codec = if json { Codec::Json } else { Codec::Gob };
        let (bytes, _) = session(codec);
        let mut scene = Scene::new(codec, &["a:1"]);
        wants(&mut scene.client);
        scene.run();
        let greeting = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 2;
        let conn = scene.conn.unwrap();
        let keep = &bytes[greeting..][..keep % (bytes.len() - greeting)];
        for piece in [keep, &rubbish] {
            scene.client.handle(scene.now, Input::Received(conn, piece));
        }
        scene.listens = Listens::No;
        scene.run();
        scene.pass(secs(20));
    }
}
