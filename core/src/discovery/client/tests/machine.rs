//! Registrations, sets and those who follow them, on one connection.

use super::*;
use crate::discovery::client::{Error, Leaders};
use crate::discovery::{Attributes, TTL};

#[test]
fn a_registration_has_heartbeats_until_it_is_let_go() {
    for codec in CODECS {
        let mut scene = Scene::greeted(codec);
        let id = scene.client.register(scene.now, args("web", ":80"));
        assert_eq!(scene.client.registration(id).unwrap().address(), None);
        scene.run();
        let (call, method, asked) = scene.call();
        assert_eq!((method, asked), (Method::Register, args("web", ":80")));
        scene.reply(call, Ok("h:80"));
        assert_eq!(scene.client.registration(id).unwrap().address(), Some("h:80"));
        let mut last = scene.now;
        for _ in 0..100 {
            while scene.calls.is_empty() {
                scene.pass(millis(1));
            }
            let (at, ..) = scene.calls[0];
            let (call, method, asked) = scene.call();
            assert_eq!((method, asked), (Method::Register, args("web", ":80")));
            assert!((secs(3)..=secs(5)).contains(&(at - last)), "{:?}", at - last);
            last = at;
            scene.reply(call, Ok("h:80"));
        }
        scene.client.unregister(scene.now, id);
        scene.run();
        let (call, method, asked) = scene.call();
        assert_eq!((method, asked), (Method::Unregister, args("web", ":80")));
        assert!(scene.client.registration(id).is_some());
        scene.reply(call, Ok(""));
        assert!(scene.client.registration(id).is_none());
        scene.pass(secs(60));
        assert_eq!((scene.calls.len(), &scene.notices[..]), (0, &[][..]));
    }
}

/// Many that begin together do not go on together.
#[test]
fn heartbeats_spread_over_two_seconds() {
    let mut scene = Scene::greeted(Codec::Json);
    for nth in 0..1000 {
        scene.client.register(scene.now, args("web", &format!("{nth}:80")));
    }
    scene.run();
    let mut buckets = [0; 4];
    let start = scene.now;
    while start + secs(5) > scene.now {
        for (at, call, _, asked) in core::mem::take(&mut scene.calls) {
            if at >= start + secs(3) {
                let late = (at - start).saturating_sub(secs(3));
                buckets[(late.as_millis() / 501) as usize] += 1;
            }
            scene.reply(call, Ok(&asked.address));
        }
        scene.pass(millis(1));
    }
    assert!(buckets.iter().all(|count| (200..300).contains(count)), "{buckets:?}");
}

#[test]
fn attributes_change_at_once_and_come_with_every_heartbeat() {
    let mut scene = Scene::greeted(Codec::Gob);
    let id = scene.client.register(scene.now, args("web", "a:80"));
    scene.run();
    let (call, ..) = scene.call();
    let attributes = Some(Attributes::from([("zone".into(), "a".into())]));
    // While the first call is under way: the next one waits for it.
    scene.client.set_attributes(scene.now, id, attributes.clone());
    scene.run();
    assert_eq!(scene.calls, []);
    scene.reply(call, Ok("a:80"));
    for _ in 0..2 {
        let (call, method, asked) = scene.call();
        assert_eq!((method, &asked.attributes), (Method::Register, &attributes));
        scene.reply(call, Ok("a:80"));
        assert_eq!(scene.calls, []);
        scene.pass(secs(5));
    }
}

#[test]
fn what_is_refused_at_first_is_given_up_and_later_tried_again() {
    for codec in CODECS {
        let mut scene = Scene::greeted(codec);
        let id = scene.client.register(scene.now, args("a/b", "a:80"));
        scene.run();
        let (call, ..) = scene.call();
        scene.reply(call, Err("discoverd: Name is bad"));
        let error = Error::Refused("discoverd: Name is bad".into());
        assert_eq!(scene.client.registration(id).unwrap().error(), Some(&error));
        scene.pass(secs(60));
        scene.client.unregister(scene.now, id);
        scene.run();
        assert!(scene.calls.is_empty() && scene.client.registration(id).is_none());

        let id = scene.client.register(scene.now, args("web", "a:80"));
        scene.run();
        let (call, ..) = scene.call();
        scene.reply(call, Ok("a:80"));
        scene.pass(secs(5));
        let (call, ..) = scene.call();
        scene.reply(call, Err("discoverd: no quorum"));
        assert_eq!(
            scene.notices.pop().unwrap().to_string(),
            "discoverd refuses the heartbeat of web at a:80: discoverd: no quorum"
        );
        assert_eq!(scene.client.registration(id).unwrap().address(), Some("a:80"));
        // That is said once, and that it is over.
        for answer in [Err("discoverd: no quorum"), Ok("a:80"), Ok("a:80")] {
            scene.pass(secs(5));
            let (call, method, _) = scene.call();
            assert_eq!(method, Method::Register);
            scene.reply(call, answer);
        }
        let said: Vec<String> = scene.notices.drain(..).map(|it| it.to_string()).collect();
        assert_eq!(said, ["discoverd takes the heartbeat of web at a:80 again"]);
    }
}

#[test]
fn out_and_in_again() {
    let mut scene = Scene::greeted(Codec::Json);
    let id = scene.client.prepare(args("web", "a:80"));
    scene.run();
    assert_eq!(scene.calls, []);
    for _ in 0..2 {
        scene.client.set_online(scene.now, id, true);
        scene.client.set_online(scene.now, id, true);
        scene.run();
        let (call, method, _) = scene.call();
        assert_eq!(method, Method::Register);
        // Turned around before it is answered.
        scene.client.set_online(scene.now, id, false);
        scene.run();
        scene.reply(call, Ok("a:80"));
        let (call, method, _) = scene.call();
        assert_eq!(method, Method::Unregister);
        assert_eq!(scene.client.registration(id).unwrap().address(), None);
        scene.reply(call, Ok(""));
        scene.pass(secs(30));
        assert_eq!(scene.calls, []);
    }
}

/// Somebody lets go of an instance and registers it anew, while the first is still under way.
#[test]
fn an_old_registration_does_not_end_a_new_one() {
    let mut scene = Scene::greeted(Codec::Json);
    let old = scene.client.register(scene.now, args("web", "a:80"));
    scene.run();
    let (call, ..) = scene.call();
    scene.client.unregister(scene.now, old);
    let new = scene.client.register(scene.now, args("web", "a:80"));
    scene.reply(call, Ok("a:80"));
    let (call, method, _) = scene.call();
    assert_eq!(method, Method::Register);
    scene.reply(call, Ok("a:80"));
    assert!(scene.client.registration(old).is_none());
    scene.client.unregister(scene.now, new);
    scene.run();
    assert_eq!(scene.call().1, Method::Unregister);
}

#[test]
fn a_set_and_who_follows_it() {
    for codec in CODECS {
        let mut scene = Scene::greeted(codec);
        let set = scene.client.subscribe(scene.now, "web", Attributes::new());
        let early = scene.client.watch(set, true).unwrap();
        scene.run();
        let (stream, method, asked) = scene.call();
        assert_eq!((method, asked), (Method::Subscribe, args("web", "")));
        scene.update(stream, &[online("b", 5), online("a", 3)]);
        assert!(!scene.client.set(set).unwrap().is_current());
        scene.update(stream, &[Update::MARKER, online("c", 7)]);
        assert!(scene.client.set(set).unwrap().is_current());
        let (late, new) = (scene.client.watch(set, true), scene.client.watch(set, false));
        let (late, new) = (late.unwrap(), new.unwrap());
        assert_eq!(scene.told(early), "+b +a = +c");
        assert_eq!((&*scene.told(late), &*scene.told(new)), ("+a +b +c =", ""));
        // Several states of one are the last one; who was never told of somebody need not hear that he is gone.
        scene.update(stream, &[offline("a"), online("d", 8), offline("d"), online("a", 9)]);
        assert_eq!(scene.told(new), "~a");
        scene.update(stream, &[offline("b"), online("e", 10), online("e", 11)]);
        assert_eq!(scene.told(late), "~a -b +e");
        let leader = scene.client.set(set).unwrap().leader().unwrap();
        assert_eq!((&*leader.address, leader.created), ("c", 7));
        scene.client.unsubscribe(scene.now, set);
        scene.run();
        assert_eq!(scene.server.streams(), 0);
        assert!(scene.client.set(set).is_none() && scene.client.next(early).is_none());
    }
}

/// One who does not read costs no more than who is there and who was.
#[test]
fn a_watch_is_bounded() {
    let mut scene = Scene::greeted(Codec::Json);
    let set = scene.client.subscribe(scene.now, "web", Attributes::new());
    let watch = scene.client.watch(set, true).unwrap();
    scene.run();
    let (stream, ..) = scene.call();
    scene.update(stream, &[online("0", 1), Update::MARKER]);
    assert_eq!(scene.told(watch), "+0 =");
    for created in 2..5_000 {
        let (new, old) = (format!("{created}"), format!("{}", created - 2));
        scene.update(stream, &[online(&new, created), offline(&old), Update::MARKER]);
    }
    let told = scene.told(watch);
    assert_eq!(told, "-0 +4998 +4999 =", "{told}");
}

#[test]
fn a_set_is_bounded() {
    for codec in CODECS {
        let mut scene = Scene::with(codec, |config| config.set = 10_000);
        let set = scene.client.subscribe(scene.now, "web", Attributes::new());
        scene.run();
        let (stream, ..) = scene.call();
        // What had been said by then comes all the same.
        let all: Vec<_> = (1..100).map(|created| online(&format!("{created}"), created)).collect();
        scene.update(stream, &all);
        assert_eq!(
            scene.client.set_error(set).unwrap().to_string(),
            "the instances of \"web\" need more than 10000 bytes: raise the limit of a set"
        );
        assert_eq!(
            (scene.client.set(set).unwrap().members().count(), scene.server.streams()),
            (0, 0)
        );
        scene.pass(secs(60));
        assert_eq!(scene.client.server(), Some(crate::discovery::client::SERVER));
    }
}

/// A failed subscription says its marker first; taken for a marker it would end everybody.
#[test]
fn the_marker_of_a_subscription_that_fails_ends_nobody() {
    for codec in CODECS {
        let mut scene = Scene::greeted(codec);
        let set = scene.client.subscribe(scene.now, "web", Attributes::new());
        let watch = scene.client.watch(set, true).unwrap();
        scene.run();
        let (stream, ..) = scene.call();
        scene.update(stream, &[online("a", 3), Update::MARKER]);
        assert_eq!(scene.told(watch), "+a =");
        scene.reply(stream, Err("discoverd: no quorum"));
        assert!(!scene.client.set(set).unwrap().is_current());
        assert_eq!(
            scene.notices.pop().unwrap().to_string(),
            "discoverd refuses the subscription to web: discoverd: no quorum"
        );
        for _ in 0..3 {
            assert_eq!(scene.calls, []);
            scene.pass(secs(1));
            let (stream, ..) = scene.call();
            scene.update(stream, &[Update::MARKER]);
            scene.pass(millis(40));
            scene.reply(stream, Err("discoverd: no quorum"));
            assert_eq!(scene.told(watch), "");
        }
        scene.pass(secs(1));
        let (stream, ..) = scene.call();
        scene.update(stream, &[Update::MARKER]);
        scene.pass(millis(49));
        assert_eq!(scene.told(watch), "");
        scene.pass(millis(1));
        assert_eq!(scene.told(watch), "-a =");
        // What comes behind it says at once that it was meant.
        let set = scene.client.subscribe(scene.now, "web", Attributes::new());
        scene.run();
        let (stream, ..) = scene.call();
        scene.update(stream, &[Update::MARKER, online("x", 9)]);
        assert!(scene.client.set(set).unwrap().is_current());
        // The first time a failure is told.
        let set = scene.client.subscribe(scene.now, "web", Attributes::new());
        scene.run();
        let (stream, ..) = scene.call();
        scene.update(stream, &[Update::MARKER]);
        scene.reply(stream, Err("discoverd: Name is bad"));
        let error = Error::Refused("discoverd: Name is bad".into());
        assert_eq!(scene.client.set_error(set), Some(&error));
        scene.pass(secs(10));
        assert_eq!(scene.calls, []);
    }
}

#[test]
fn leaders_one_after_the_other() {
    let mut scene = Scene::greeted(Codec::Gob);
    let set = scene.client.subscribe(scene.now, "web", Attributes::new());
    scene.run();
    let (stream, ..) = scene.call();
    let mut leaders = Leaders::default();
    for (updates, leader) in [
        (&[online("b", 5)][..], None),
        (&[online("a", 3)], None),
        (&[Update::MARKER], Some(("a", 3))),
        (&[online("c", 7)], None),
        (&[offline("a")], Some(("b", 5))),
        (&[offline("b"), online("b", 9), offline("c")], Some(("b", 9))),
        (&[offline("b")], None),
        (&[online("b", 10)], Some(("b", 10))),
    ] {
        scene.update(stream, updates);
        let found = leaders.next(scene.client.set(set).unwrap());
        let found = found.as_ref().map(|member| (&*member.address, member.created));
        assert_eq!(found, leader);
    }
    // While it is not known who is there, nobody new leads.
    scene.lose();
    assert!(scene.client.set(set).unwrap().leader().is_some());
    assert_eq!(leaders.next(scene.client.set(set).unwrap()), None);
}

#[test]
fn calls_that_wait_are_few() {
    let mut scene = Scene::greeted(Codec::Json);
    for nth in 0..1000 {
        scene.client.register(scene.now, args("web", &format!("{nth}:80")));
    }
    scene.run();
    assert_eq!(scene.calls.len(), 64);
    for _ in 0..1000 {
        let (_, call, _, asked) = scene.calls.remove(0);
        scene.reply(call, Ok(&asked.address));
    }
    assert_eq!(scene.calls, []);
}

#[test]
fn who_closes_says_good_bye() {
    for answers in [true, false] {
        let mut scene = Scene::greeted(Codec::Json);
        for nth in 0..3 {
            scene.client.register(scene.now, args("web", &format!("{nth}:80")));
        }
        scene.run();
        for (_, call, _, asked) in core::mem::take(&mut scene.calls) {
            scene.reply(call, Ok(&asked.address));
        }
        scene.client.close(scene.now);
        scene.run();
        assert_eq!((scene.calls.len(), scene.client.is_over()), (3, false));
        if answers {
            for (_, call, method, _) in core::mem::take(&mut scene.calls) {
                assert_eq!(method, Method::Unregister);
                scene.reply(call, Ok(""));
            }
        } else {
            scene.pass(secs(1));
        }
        assert!(scene.client.is_over() && scene.closed == [1]);
        // Nothing can be begun any more.
        let id = scene.client.register(scene.now, args("web", "a:80"));
        let set = scene.client.subscribe(scene.now, "web", Attributes::new());
        scene.pass(secs(100));
        assert_eq!((scene.dialed.len(), scene.client.poll_timeout()), (1, None));
        assert!(scene.client.registration(id).unwrap().address().is_none());
        assert_eq!(scene.client.set_error(set), Some(&Error::Closed));
    }
    // Without a connection there is nothing to wait for.
    let mut scene = Scene::new(Codec::Gob, &["a:1"]);
    scene.listens = Listens::Never;
    scene.client.register(scene.now, args("web", "a:80"));
    scene.run();
    scene.client.close(scene.now);
    scene.run();
    assert!(scene.client.is_over() && scene.closed == [1]);
}

#[test]
fn half_the_usual_time_to_live() {
    assert_eq!(Config::default().heartbeat * 2, TTL);
}
