//! One connection at a time, in both codecs: what the original does wrong, ends, limits.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use libswarm::discovery::{Agent, Memory, TTL};
use libswarm::node::{CloseReason, Config, Input, Refusal};
use libswarm::rpc::{Codec, Error, Method, Update};
use libswarm::{ConnId, Instant, Node, http1};

use crate::etcd::{Member, Model};
use crate::peer::{Disk, World, args, with};
use libswarm::rpc::ClientEvent::{self, Answer, Ended};

const CODECS: [Codec; 2] = [Codec::Gob, Codec::Json];

/// The updates among events, as text.
fn updates(events: &[ClientEvent]) -> String {
    let words = events.iter().filter_map(|event| match event {
        ClientEvent::Update(_, update) if update.is_marker() => Some("=".to_owned()),
        ClientEvent::Update(_, Update { address, online, .. }) => {
            Some(format!("{}{address}", if *online { '+' } else { '-' }))
        }
        _ => None,
    });
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn the_life_of_a_service() {
    for codec in CODECS {
        let mut world = World::in_memory();
        let (one, two) = (world.connect(codec), world.connect(codec));
        let stream = world.call(two, Method::Subscribe, &args("web", ""));
        let call = world.call(one, Method::Register, &args("web", ":80"));
        assert_eq!(world.events(one), [Answer(call, Ok("127.0.0.1:80".into()))]);
        assert_eq!(updates(&world.events(two)), "= +127.0.0.1:80");
        world.call(one, Method::Register, &with("k", "v", args("web", "b:80")));
        world.pass(TTL - Duration::from_nanos(1));
        world.call(one, Method::Register, &with("k", "v", args("web", "b:80")));
        assert_eq!(updates(&world.events(two)), "+b:80");
        world.pass(Duration::from_nanos(1));
        assert_eq!(updates(&world.events(two)), "-127.0.0.1:80");
        world.close_stream(two, stream);
        assert_eq!(world.events(two), [Ended(stream, Ok(()))]);
        assert_eq!(world.subscriptions(), 0);
        world.call(one, Method::Unregister, &args("web", "b:80"));
        assert_eq!(world.events(two), []);
    }
}

/// An empty address ended the original's process.
#[test]
fn errors_are_of_one_call() {
    for codec in CODECS {
        let mut world = World::in_memory();
        let id = world.connect(codec);
        let call = world.call(id, Method::Unregister, &args("web", ""));
        assert_eq!(world.events(id), [Answer(call, Err("discoverd: Addr must be set".into()))]);
        // A subscription that fails has its marker before its error.
        let call = world.call(id, Method::Subscribe, &args("", ""));
        let error = "discoverd: Name must be set".to_owned();
        assert_eq!(
            world.events(id),
            [ClientEvent::Update(call, Update::MARKER), Ended(call, Err(error))]
        );
        let call = world.call(id, Method::Register, &args("web", "a:80"));
        assert_eq!(world.events(id), [Answer(call, Ok("a:80".into()))]);
    }
}

/// The original lost updates of a slow subscriber, and then sent none at all.
#[test]
fn a_slow_subscriber_gets_the_latest_of_each() {
    for codec in CODECS {
        let mut world = World::in_memory();
        let (slow, fast, writer) =
            (world.connect(codec), world.connect(codec), world.connect(codec));
        for id in [slow, fast] {
            world.call(id, Method::Subscribe, &args("web", ""));
        }
        world.events(slow);
        world.peers.get_mut(&slow).unwrap().stalled = true;
        for round in 0..1000 {
            let value = format!("{round}{}", "x".repeat(500));
            world.call(writer, Method::Register, &with("k", &value, args("web", "a:80")));
            world.call(writer, Method::Register, &args("web", &format!("{round}:80")));
            if round >= 10 {
                let old = args("web", &format!("{}:80", round - 10));
                world.call(writer, Method::Unregister, &old);
            }
        }
        // Who reads is told of everything.
        assert_eq!(updates(&world.events(fast)).split(' ').count(), 1 + 1000 + 1000 + 990);
        // What is kept for who does not is bounded, and no more than that was written.
        assert!(world.peers[&slow].waiting.len() < 128 * 1024);
        world.resume(slow);
        let events = world.events(slow);
        let text = updates(&events);
        assert!(text.split(' ').count() < 1_000, "{}", text.split(' ').count());
        let mut view = std::collections::BTreeSet::new();
        for word in text.split(' ') {
            match word.split_at(1) {
                ("+", address) => _ = view.insert(address),
                (_, address) => assert!(view.remove(address), "{address} was never told"),
            }
        }
        assert_eq!(
            (view.len(), view.contains("999:80"), view.contains("989:80")),
            (11, true, false)
        );
    }
}

/// In the original something could happen between the two, and was lost or told twice.
#[test]
fn a_snapshot_and_what_comes_behind_it_are_one() {
    for codec in CODECS {
        let mut world = World::in_memory();
        let writer = world.connect(codec);
        let mut readers = Vec::new();
        for round in 0..30 {
            let reader = world.connect(codec);
            world.call(writer, Method::Register, &args("web", &format!("{round}:80")));
            if round % 3 == 0 {
                world.call(writer, Method::Unregister, &args("web", &format!("{}:80", round / 2)));
            }
            // What was there is told only when something has changed again.
            world.peers.get_mut(&reader).unwrap().stalled = true;
            let stream = world.call(reader, Method::Subscribe, &args("web", ""));
            world.call(
                writer,
                Method::Register,
                &with("n", "1", args("web", &format!("{round}:80"))),
            );
            readers.push((reader, stream));
        }
        let mut first = None;
        for (reader, stream) in readers {
            world.resume(reader);
            let mut view = std::collections::BTreeMap::new();
            for event in world.events(reader) {
                let ClientEvent::Update(of, update) = event else { panic!("{event:?}") };
                assert_eq!(of, stream);
                let new = (update.created, update.attributes.clone());
                if update.is_marker() {
                } else if update.online {
                    let old = view.insert(update.address.to_string(), new.clone());
                    assert!(old.as_ref() != Some(&new), "{} is told twice", update.address);
                } else {
                    assert!(view.remove(&*update.address).is_some());
                }
            }
            assert_eq!(*first.get_or_insert_with(|| view.clone()), view);
        }
        assert_eq!(first.unwrap().len(), 21);
    }
}

/// This stopped the original's successor: its subscribers had queues, and who filled one was waited for.
#[test]
fn seventy_instances_and_a_subscriber_that_reads_nothing() {
    for codec in CODECS {
        let mut world = World::in_memory();
        let (reader, writer, other) =
            (world.connect(codec), world.connect(codec), world.connect(codec));
        world.call(reader, Method::Subscribe, &args("web", ""));
        world.peers.get_mut(&reader).unwrap().stalled = true;
        let attribute = "y".repeat(10_000);
        for nth in 0..70 {
            let of = with("n", &attribute, args("web", &format!("{nth}:80")));
            let call = world.call(writer, Method::Register, &of);
            let answer = Answer(call, Ok(format!("{nth}:80")));
            assert_eq!(world.events(writer), [answer], "{codec:?}: instance {nth}");
        }
        world.call(other, Method::Subscribe, &args("web", ""));
        assert_eq!(updates(&world.events(other)).split(' ').count(), 71);
        world.resume(reader);
        assert_eq!(updates(&world.events(reader)).split(' ').count(), 71);
    }
}

/// A subscriber that is gone costs nothing any more; the original kept its watch until the next event.
#[test]
fn who_is_gone_is_told_nothing() {
    for codec in CODECS {
        for how in ["broken", "shut down"] {
            let mut world = World::in_memory();
            let (gone, writer) = (world.connect(codec), world.connect(codec));
            world.call(gone, Method::Subscribe, &args("web", ""));
            world.peers.get_mut(&gone).unwrap().stalled = true;
            world.call(writer, Method::Register, &args("web", "a:80"));
            if how == "broken" {
                world.input(Input::Broken(gone));
            } else {
                world.resume(gone);
                world.half_close(gone);
                assert!(world.peers[&gone].closed.is_some());
            }
            assert_eq!((world.subscriptions(), world.node.connections()), (0, 1));
            world.call(writer, Method::Unregister, &args("web", "a:80"));
        }
    }
}

/// And one that has not begun waits: its client would take an end for there being nobody.
#[test]
fn a_stream_whose_store_is_away_ends_with_an_error() {
    for codec in CODECS {
        let model = Arc::new(Mutex::new(Model::new(2)));
        let mut world = World::on_etcd(&model, 0, Instant::ZERO);
        let (early, late) = (world.connect(codec), world.connect(codec));
        world.call(early, Method::Subscribe, &args("web", ""));
        assert_eq!(updates(&world.events(early)), "=");
        for which in 0..2 {
            model.lock().unwrap().set_member(which, Member::Down);
        }
        world.pass(Duration::from_secs(1));
        world.call(late, Method::Subscribe, &args("web", ""));
        let call = world.call(late, Method::Register, &args("web", "a:80"));
        world.pass(2 * TTL);
        let ended = world.events(early);
        let [Ended(_, Err(error))] = &*ended else { panic!("{ended:?}") };
        assert!(error.starts_with("discoverd: etcd cannot be watched: "), "{error}");
        let refused = world.events(late);
        let [Answer(of, Err(error))] = &*refused else { panic!("{refused:?}") };
        assert!(*of == call && error.contains("etcd does not do it: "), "{error}");
        assert_eq!(world.subscriptions(), 1);
        // Nobody wants its connections any more: none is left but those that are used.
        for which in 0..2 {
            model.lock().unwrap().set_member(which, Member::Up);
        }
        world.pass(Duration::from_secs(2));
        for _ in 0..20 {
            world.call(late, Method::Register, &args("web", "a:80"));
        }
        assert_eq!(updates(&world.events(late)), "= +a:80");
        assert!(world.node.upstream_connections() <= 3, "{}", world.node.upstream_connections());
    }
}

#[test]
fn calls_before_the_end_of_a_client_s_half_are_answered() {
    for codec in CODECS {
        let mut disk = Disk::default();
        disk.slow = true;
        let mut world = World::on_disk(disk, Instant::ZERO);
        let id = world.connect(codec);
        world.call(id, Method::Subscribe, &args("web", ""));
        let call = world.call(id, Method::Register, &args("web", "a:80"));
        assert_eq!(updates(&world.events(id)), "=");
        world.half_close(id);
        assert_eq!((world.events(id), world.peers[&id].closed), (vec![], None));
        assert_eq!(world.subscriptions(), 0);
        world.work_disk();
        assert_eq!(world.events(id), [Answer(call, Ok("a:80".into()))]);
        assert_eq!(world.peers[&id].closed, Some(CloseReason::PeerClosed));
    }
}

#[test]
fn what_is_unreadable_ends_the_connection() {
    for (codec, bytes, error) in [
        (Codec::Gob, &b"\x01\x00"[..], Error::Gob),
        (Codec::Json, b"garbage", Error::Json),
        (Codec::Json, b"{]", Error::Json),
    ] {
        let mut world = World::in_memory();
        let id = world.connect(codec);
        world.send(id, bytes);
        assert!(world.peers[&id].shutdown);
        world.half_close(id);
        assert_eq!(world.peers[&id].closed, Some(CloseReason::Unreadable(error)));
        assert_eq!(world.events(id), []);
    }
}

#[test]
fn a_head_has_its_time_and_a_stream_has_for_ever() {
    let mut world = World::in_memory();
    let (slow, idle) = (world.connect_raw(Codec::Gob), world.connect(Codec::Gob));
    let fresh = world.connect_raw(Codec::Gob);
    world.call(idle, Method::Subscribe, &args("web", ""));
    world.send(slow, b"CONNECT /_goRPC_ HTTP/1.0\r\n");
    world.pass(Duration::from_secs(60));
    assert!(
        world.peers[&slow].text().starts_with("HTTP/1.1 408 "),
        "{}",
        world.peers[&slow].text()
    );
    world.pass(Duration::from_secs(24 * 3600));
    assert!(world.peers[&slow].closed.is_some());
    assert!(world.peers[&idle].closed.is_none() && world.peers[&fresh].closed.is_none());
    let (writer, _) = (world.connect(Codec::Json), world.events(idle));
    world.call(writer, Method::Register, &args("web", "a:80"));
    assert_eq!(updates(&world.events(idle)), "+a:80");
}

#[test]
fn http_is_answered_and_ended() {
    let mut world = World::in_memory();
    let id = world.connect_raw(Codec::Gob);
    world.send(id, b"GET /containers/json HTTP/1.0\r\n\r\n");
    let said = String::from_utf8_lossy(&world.peers[&id].raw).into_owned();
    assert!(said.starts_with("HTTP/1.0 404 ") && said.contains("\"object_not_found\""), "{said}");
    world.half_close(id);
    assert_eq!(world.peers[&id].closed, Some(CloseReason::Finished));
    let id = world.connect_raw(Codec::Gob);
    world.send(id, b"\x16\x03\x01\x02\x00");
    world.half_close(id);
    let error = Error::Head(http1::Error::StartLine);
    assert_eq!(world.peers[&id].closed, Some(CloseReason::Unreadable(error)));
}

#[test]
fn calls_that_wait_hold_back_what_comes_behind_them() {
    let mut disk = Disk::default();
    disk.slow = true;
    let mut world = World::on_disk(disk, Instant::ZERO);
    let id = world.connect(Codec::Gob);
    let count = 3_000;
    for nth in 0..count {
        world.call(
            id,
            Method::Register,
            &with("k", &"v".repeat(1000), args("web", &format!("{nth}"))),
        );
    }
    // Some are under way, some are read, and the rest has to wait in the network.
    assert!(world.peers[&id].out.len() > 2_500_000, "{}", world.peers[&id].out.len());
    while world.disk.doing.is_some() {
        world.work_disk();
        world.send(id, b"");
    }
    assert_eq!(world.events(id).len(), count);
}

/// It was lost where the socket did not take all of it at once.
#[test]
fn a_stop_lets_an_answer_be_written_to_its_end() {
    for codec in CODECS {
        let mut world = World::in_memory();
        let id = world.connect(codec);
        world.peers.get_mut(&id).unwrap().stalled = true;
        let call = world.call(id, Method::Register, &args("web", "a:80"));
        world.input(Input::Stop);
        assert_eq!(world.peers[&id].closed, None);
        world.resume(id);
        assert_eq!(world.events(id), [Answer(call, Ok("a:80".into()))]);
        world.half_close(id);
        assert!(world.node.is_stopped());
    }
}

#[test]
fn a_stop_answers_what_waits_and_ends_the_rest() {
    let mut disk = Disk::default();
    disk.slow = true;
    let mut world = World::on_disk(disk, Instant::ZERO);
    let (idle, stream, waits) =
        (world.connect(Codec::Gob), world.connect(Codec::Gob), world.connect(Codec::Json));
    world.call(stream, Method::Subscribe, &args("web", ""));
    let call = world.call(waits, Method::Register, &args("web", "a:80"));
    world.input(Input::Stop);
    let closed = |world: &World, id: ConnId| world.peers[&id].closed;
    for id in [idle, stream] {
        assert_eq!(closed(&world, id), Some(CloseReason::Stopped));
    }
    assert!(closed(&world, waits).is_none() && !world.node.is_stopped());
    assert_eq!(world.node.accept_discovery(world.now), Err(Refusal::Stopping));
    world.work_disk();
    assert_eq!(world.events(waits), [Answer(call, Ok("a:80".into()))]);
    world.half_close(waits);
    assert!(world.node.is_stopped());
}

#[test]
fn connections_are_counted_with_all_others() {
    let mut config = Config::default();
    config.max_connections = 2;
    let mut world = World::of(config, Agent::new(Box::new(Memory::new(TTL)), None));
    let first = world.connect(Codec::Gob);
    world.node.accept(world.now).unwrap();
    assert_eq!(world.node.accept_discovery(world.now), Err(Refusal::TooManyConnections));
    world.input(Input::Broken(first));
    assert!(world.node.accept_discovery(world.now).is_ok());
    let mut none = Node::new(Config::default(), libswarm::job::Engine::new(1));
    assert_eq!(none.accept_discovery(Instant::ZERO), Err(Refusal::NoAgent));
}
