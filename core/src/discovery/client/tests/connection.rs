//! Connections that break, servers that are gone, answers that are lost.

use super::*;
use crate::discovery::Attributes;
use crate::discovery::client::Error;

#[test]
fn a_lost_server_is_dialed_again_each_second() {
    let mut scene = Scene::greeted(Codec::Gob);
    let id = scene.client.register(scene.now, args("web", "a:80"));
    let set = scene.client.subscribe(scene.now, "web", Attributes::new());
    let watch = scene.client.watch(set, true).unwrap();
    scene.run();
    let stream = scene.calls[1].1;
    let call = scene.calls[0].1;
    scene.reply(call, Ok("a:80"));
    scene.update(stream, &[online("b", 5), online("a", 3), Update::MARKER]);
    assert_eq!(scene.told(watch), "+b +a =");
    scene.calls.clear();
    scene.pass(millis(500));
    scene.listens = Listens::No;
    scene.lose();
    scene.pass(secs(3));
    let at = |millis| Instant::new(Duration::from_millis(millis));
    let dialed: Vec<_> = scene.dialed.iter().map(|(at, _)| *at).collect();
    assert_eq!(dialed, [at(0), at(1000), at(2000), at(3000)]);
    // What was known stays, and it is said that it may be old.
    assert_eq!((scene.client.set(set).unwrap().members().count(), &*scene.told(watch)), (2, ""));
    assert!(!scene.client.set(set).unwrap().is_current());
    scene.listens = Listens::Yes;
    scene.pass(secs(1));
    // Both at once.
    let methods: Vec<_> = scene.calls.iter().map(|(at, _, method, _)| (*at, *method)).collect();
    assert_eq!(methods, [(at(4000), Method::Register), (at(4000), Method::Subscribe)]);
    let (call, stream) = (scene.calls[0].1, scene.calls[1].1);
    scene.reply(call, Ok("a:80"));
    scene.update(stream, &[online("c", 7), online("a", 3)]);
    assert_eq!(scene.told(watch), "+c");
    scene.update(stream, &[Update::MARKER]);
    assert_eq!(scene.told(watch), "-b =");
    assert_eq!(scene.client.registration(id).unwrap().address(), Some("a:80"));
    let notices: Vec<_> = scene.notices.iter().map(ToString::to_string).collect();
    assert_eq!(notices[0], "lost discoverd at a:1: broken");
    assert_eq!(notices[1], "no discoverd at a:1: refused");
    assert_eq!(notices.last().unwrap(), "found discoverd at a:1");
}

#[test]
fn what_was_registered_comes_back_at_once() {
    for codec in CODECS {
        let mut scene = Scene::greeted(codec);
        for nth in 0..3 {
            scene.client.register(scene.now, args("web", &format!("{nth}:80")));
        }
        scene.run();
        for (_, call, _, asked) in core::mem::take(&mut scene.calls) {
            scene.reply(call, Ok(&asked.address));
        }
        // No heartbeat is due for another second and a half.
        scene.pass(millis(1500));
        scene.lose();
        let asked: Vec<_> =
            scene.calls.iter().map(|(at, .., asked)| (*at, &*asked.address)).collect();
        let now = scene.now;
        assert_eq!(asked, [(now, "0:80"), (now, "1:80"), (now, "2:80")]);
    }
}

#[test]
fn the_next_of_several_is_dialed_at_once() {
    let mut scene = Scene::new(Codec::Json, &["a:1", "b:1", "c:1"]);
    scene.run();
    scene.pass(secs(100));
    scene.listens = Listens::No;
    scene.dialed.clear();
    scene.lose();
    let at = |seconds| Instant::new(secs(seconds));
    let dialed = |scene: &Scene| -> Vec<(Instant, String)> {
        scene.dialed.iter().map(|(at, name)| (*at, name.to_string())).collect()
    };
    let named = |at, name: &str| (at, name.to_string());
    assert_eq!(
        dialed(&scene),
        [named(at(100), "b:1"), named(at(100), "c:1"), named(at(100), "a:1")]
    );
    assert_eq!(
        scene.client.unreachable().unwrap().to_string(),
        "no discoverd at a:1: refused, nor at b:1: refused, nor at c:1: refused; start one, or say where it is with \
         DISCOVERD=HOST:PORT"
    );
    scene.dialed.clear();
    scene.pass(secs(1));
    assert_eq!(
        dialed(&scene),
        [named(at(101), "b:1"), named(at(101), "c:1"), named(at(101), "a:1")]
    );
    scene.listens = Listens::Yes;
    scene.pass(secs(1));
    assert_eq!((scene.client.server(), scene.client.unreachable()), (Some("b:1"), None));
}

/// A server that lets everybody in and throws everybody out is no reason to dial without a pause.
#[test]
fn a_server_that_flaps_is_dialed_once_a_second() {
    let mut scene = Scene::new(Codec::Json, &["a:1", "b:1"]);
    scene.run();
    for _ in 0..1000 {
        if scene.conn.is_some() {
            scene.lose();
        }
        scene.pass(millis(10));
    }
    assert!((20..=22).contains(&scene.dialed.len()), "{}", scene.dialed.len());
}

#[test]
fn a_server_that_does_not_answer_is_given_up() {
    for owed in ["a connection", "a greeting", "a call", "a stream"] {
        let mut scene = Scene::new(Codec::Gob, &["a:1"]);
        if owed == "a connection" {
            scene.listens = Listens::Never;
        }
        scene.run();
        if owed == "a greeting" {
            scene = Scene::new(Codec::Gob, &["a:1"]);
            let Some(Action::Connect { conn, .. }) = scene.client.poll(&mut Vec::new()) else {
                panic!()
            };
            scene.conn = Some(conn);
            scene.client.handle(scene.now, Input::Connected(conn));
            scene.client.poll(&mut Vec::new());
        }
        match owed {
            "a call" => _ = scene.client.register(scene.now, args("web", "a:80")),
            "a stream" => _ = scene.client.subscribe(scene.now, "web", Attributes::new()),
            _ => {}
        }
        if owed != "a greeting" {
            scene.run();
        }
        scene.listens = Listens::No;
        scene.pass(millis(9_999));
        let early = scene.closed.len();
        scene.pass(millis(1));
        let (patient, reason) = match owed {
            "a call" | "a stream" => (0, "lost discoverd at a:1: it has not answered for 10s"),
            _ => (1, "no discoverd at a:1: it takes too long"),
        };
        assert_eq!((early, scene.closed.len()), (patient, 1), "{owed}");
        assert_eq!(scene.notices[0].to_string(), reason, "{owed}");
    }
}

/// A server that has nothing to say is not dead; its system is asked whether it is there.
#[test]
fn silence_is_no_fault() {
    let mut scene = Scene::greeted(Codec::Json);
    let set = scene.client.subscribe(scene.now, "web", Attributes::new());
    scene.run();
    let (stream, ..) = scene.call();
    scene.update(stream, &[online("a", 3), Update::MARKER]);
    scene.pass(secs(24 * 3600));
    assert!(scene.client.set(set).unwrap().is_current() && scene.client.poll_timeout().is_none());
}

#[test]
fn first_answers_have_their_time() {
    let mut scene = Scene::new(Codec::Json, &["a:1", "b:1"]);
    scene.listens = Listens::No;
    scene.run();
    let id = scene.client.register(scene.now, args("web", "a:80"));
    let set = scene.client.subscribe(scene.now, "web", Attributes::new());
    scene.pass(millis(9_999));
    assert_eq!(scene.client.registration(id).unwrap().error(), None);
    scene.pass(millis(1));
    let refused = |name: &str| (name.into(), "refused".to_string());
    let error = Error::Unreachable(vec![refused("a:1"), refused("b:1")]);
    assert_eq!(scene.client.registration(id).unwrap().error(), Some(&error));
    assert_eq!(scene.client.set_error(set), Some(&error));
    // Given up is given up.
    scene.listens = Listens::Yes;
    scene.pass(secs(1));
    assert!(scene.client.server().is_some());
    assert_eq!(scene.calls, []);
}

/// What a lost answer would have said is asked again, or known.
#[test]
fn an_answer_that_is_lost_is_asked_for_again() {
    for codec in CODECS {
        let mut scene = Scene::greeted(codec);
        let id = scene.client.register(scene.now, args("web", "a:80"));
        scene.run();
        scene.call();
        scene.lose();
        scene.pass(secs(1));
        let (call, method, _) = scene.call();
        assert_eq!(method, Method::Register);
        scene.reply(call, Ok("a:80"));
        scene.client.unregister(scene.now, id);
        scene.run();
        scene.call();
        scene.lose();
        scene.pass(secs(1));
        let (call, method, _) = scene.call();
        assert_eq!(method, Method::Unregister);
        // The first one has come through.
        scene.reply(call, Err("100: Key not found (/discover/services/web/a:80) [18]"));
        assert!(scene.client.registration(id).is_none());
        assert!(!scene.notices.iter().any(|it| matches!(it, Notice::Refused { .. })));
    }
}

#[test]
fn what_cannot_be_unregistered_expires() {
    let mut scene = Scene::greeted(Codec::Gob);
    let id = scene.client.register(scene.now, args("web", "a:80"));
    scene.run();
    let (call, ..) = scene.call();
    scene.reply(call, Ok("a:80"));
    scene.listens = Listens::No;
    scene.lose();
    scene.client.unregister(scene.now, id);
    scene.pass(millis(9_999));
    assert!(scene.client.registration(id).is_some());
    scene.pass(millis(1));
    assert!(scene.client.registration(id).is_none());
    // Somebody else may have registered there since.
    scene.listens = Listens::Yes;
    scene.pass(secs(1));
    assert_eq!((scene.client.server(), scene.calls.len()), (Some("a:1"), 0));
}

#[test]
fn what_is_unreadable_ends_the_connection() {
    for (codec, bytes, reason) in
        [(Codec::Gob, &b"\x01\x00"[..], "malformed gob"), (Codec::Json, b"]", "malformed JSON")]
    {
        let mut scene = Scene::greeted(codec);
        let conn = scene.conn.unwrap();
        scene.listens = Listens::No;
        scene.handle(Input::Received(conn, bytes));
        assert_eq!(scene.closed, [conn]);
        assert_eq!(scene.notices[0].to_string(), format!("lost discoverd at a:1: {reason}"));
        // What comes late is of nobody's.
        scene.handle(Input::Received(conn, b"x"));
        scene.handle(Input::Sent(conn));
        scene.handle(Input::Ended(conn));
        scene.handle(Input::Closed(conn, "late"));
        assert_eq!(scene.notices.len(), 1);
    }
    let mut scene = Scene::greeted(Codec::Json);
    let conn = scene.conn.unwrap();
    scene.listens = Listens::No;
    scene.handle(Input::Received(conn, b"{\"id\":"));
    scene.handle(Input::Ended(conn));
    assert_eq!(
        scene.notices[0].to_string(),
        "lost discoverd at a:1: the connection ended inside a message"
    );
}
