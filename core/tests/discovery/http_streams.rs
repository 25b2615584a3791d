//! Streams of events: their order, how they are gone on with, and who reads too slowly.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use libswarm::discovery::{TTL, instance_id};
use libswarm::node::{CloseReason, Input};
use libswarm::rpc::{Codec, Method};
use libswarm::{ConnId, Instant};
use serde_json::{Value, json};

use crate::etcd::{Member, Model};
use crate::http::{ask_raw, done, instance, open, put, request, response};
use crate::peer::{Disk, World, args};

/// What a stream has said: (id, data), comments, and errors.
#[derive(Clone, PartialEq, Debug)]
enum Said {
    Event(Option<String>, Value),
    Comment,
    Error(Value),
}

/// Begins a stream, whose head is taken.
fn follow(world: &mut World, path: &str, headers: &str) -> ConnId {
    let id = open(world);
    let accept = "Accept: text/event-stream\r\n";
    let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{accept}{headers}\r\n");
    world.send(id, head.as_bytes());
    let raw = &mut world.peers.get_mut(&id).unwrap().raw;
    let end = raw.windows(4).position(|it| it == b"\r\n\r\n").expect("it begins") + 4;
    let head = String::from_utf8(raw.drain(..end).collect()).unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("\r\nContent-Type: text/event-stream\r\n"), "{head}");
    id
}

/// What it has said since, and whether that was all.
fn read(world: &mut World, id: ConnId) -> (Vec<Said>, bool) {
    let raw = std::mem::take(&mut world.peers.get_mut(&id).unwrap().raw);
    let (mut rest, mut text, mut over) = (&raw[..], String::new(), false);
    while !rest.is_empty() {
        let end = rest.windows(2).position(|it| it == b"\r\n").expect("chunks are whole");
        let size = std::str::from_utf8(&rest[..end]).unwrap();
        let size = usize::from_str_radix(size, 16).expect("a size");
        text.push_str(std::str::from_utf8(&rest[end + 2..end + 2 + size]).unwrap());
        assert_eq!(&rest[end + 2 + size..end + 4 + size], b"\r\n");
        rest = &rest[end + 4 + size..];
        over |= size == 0;
    }
    let mut said = Vec::new();
    for block in text.split("\n\n").filter(|block| !block.is_empty()) {
        let (mut id, mut data, mut is_error) = (None, None, false);
        for line in block.lines() {
            match line.split_once(": ").expect("it has a colon") {
                ("id", value) => id = Some(value.to_owned()),
                ("data", value) => data = Some(serde_json::from_str(value).expect("it is JSON")),
                ("event", "error") => is_error = true,
                ("", "keep-alive") => said.push(Said::Comment),
                ("retry", "1000") => {}
                other => panic!("{other:?}"),
            }
        }
        match data {
            Some(data) if is_error => said.push(Said::Error(data)),
            Some(data) => said.push(Said::Event(id, data)),
            None => {}
        }
    }
    (said, over)
}

/// The same in short: kinds, with addresses; and the last id.
fn short(world: &mut World, id: ConnId) -> (String, Option<String>) {
    let (said, over) = read(world, id);
    assert!(!over, "it goes on");
    let (mut text, mut last) = (Vec::new(), None);
    for said in said {
        let Said::Event(id, data) = said else { panic!("{said:?}") };
        last = id.or(last);
        let kind = data["kind"].as_str().unwrap();
        let address = data["instance"]["addr"].as_str().unwrap_or_default();
        let more = match kind {
            "current" if data["resumed"] == json!(true) => "r",
            "service_meta" => &data["service_meta"].to_string(),
            "service_created" => data["service"].as_str().unwrap(),
            _ => "",
        };
        text.push(format!(
            "{kind}{}{address}{more}",
            if address.len() + more.len() > 0 { ":" } else { "" }
        ));
    }
    (text.join(" "), last)
}

fn kinds(world: &mut World, id: ConnId) -> String {
    short(world, id).0
}

fn update(world: &mut World, service: &str, addr: &str, value: &str) {
    let (path, _) = instance(service, addr);
    let body = json!({"addr": addr, "meta": {"k": value}}).to_string();
    done(world, "PUT", &path, &body);
}

fn remove(world: &mut World, service: &str, addr: &str) {
    done(world, "DELETE", &instance(service, addr).0, "");
}

#[test]
fn events_come_in_order() {
    let mut world = World::in_memory();
    let world = &mut world;
    let early = follow(world, "/services/web", "");
    assert_eq!(kinds(world, early), "current", "it need not be there");
    done(world, "PUT", "/services/web", "");
    done(world, "PUT", "/services/web/meta", r#"{"data":{"a":[1]}}"#);
    for addr in ["c", "a", "b"] {
        put(world, "web", addr);
    }
    let meta = r#"service_meta:{"data":{"a":[1]},"index":2}"#;
    assert_eq!(kinds(world, early), format!("{meta} up:c leader:c up:a up:b"));
    let id = follow(world, "/services/web", "");
    let instances = follow(world, "/services/web/instances", "");
    let leaders = follow(world, "/services/web/leader", "");
    let all = follow(world, "/services", "");
    assert_eq!(kinds(world, id), format!("up:c up:a up:b leader:c {meta} current"));
    assert_eq!(kinds(world, instances), "up:c up:a up:b current");
    assert_eq!(kinds(world, leaders), "leader:c");
    assert_eq!(
        kinds(world, all),
        format!("up:c up:a up:b leader:c service_created:web {meta} current")
    );
    update(world, "web", "a", "v");
    put(world, "web", "b");
    remove(world, "web", "c");
    assert_eq!(kinds(world, id), "update:a down:c leader:a");
    let b = json!({"id": instance_id("tcp", "b")}).to_string();
    done(world, "PUT", "/services/web/leader", &b);
    done(world, "PUT", "/services/db", r#"{"leader_type":"manual"}"#);
    put(world, "db", "x");
    assert_eq!(kinds(world, id), "leader:b");
    assert_eq!(kinds(world, instances), "update:a down:c");
    assert_eq!(kinds(world, leaders), "leader:a leader:b");
    let events = "update:a down:c leader:a leader:b service_created:db up:x";
    assert_eq!(kinds(world, all), events);
    // A service's streams outlive it.
    done(world, "DELETE", "/services/web", "");
    assert_eq!(kinds(world, id), "down:a down:b service_meta:null");
    put_again(world);
    assert_eq!(kinds(world, id), "up:n leader:n");
    world.pass(TTL);
    let (said, _) = read(world, id);
    assert!(matches!(&said[..], [Said::Event(Some(_), down)] if down["kind"] == "down"));
    let whole = json!({"service": "web", "kind": "up", "instance":
        {"id": instance_id("tcp", "z"), "addr": "z", "proto": "tcp", "meta": {"k": "v"}, "index": 15}});
    update(world, "web", "z", "v");
    let (said, _) = read(world, id);
    let Said::Event(_, up) = &said[0] else { panic!("{said:?}") };
    assert_eq!(up["instance"]["addr"], whole["instance"]["addr"]);
    assert_eq!(up.as_object().unwrap().keys().collect::<Vec<_>>(), ["instance", "kind", "service"]);
}

/// Where each change is told before the next one happens, the oldest that were left led one after the other, and who was to lead
/// nothing led, too.
#[test]
fn a_service_that_is_deleted_has_no_new_leaders() {
    for kind in ["oldest", "manual"] {
        let mut world = World::on_disk(Disk::default(), Instant::ZERO);
        let world = &mut world;
        done(world, "PUT", "/services/web", &json!({"leader_type": kind}).to_string());
        for addr in ["a", "b", "c"] {
            put(world, "web", addr);
        }
        if kind == "oldest" {
            let b = json!({"id": instance_id("tcp", "b")}).to_string();
            done(world, "PUT", "/services/web/leader", &b);
        }
        let id = follow(world, "/services/web", "");
        kinds(world, id);
        done(world, "DELETE", "/services/web", "");
        let expected =
            if kind == "oldest" { "down:c down:a down:b" } else { "down:c down:b down:a" };
        assert_eq!(kinds(world, id), expected);
    }
}

/// It does not tell of instances, so it has to say so itself.
#[test]
fn a_stream_of_leaders_says_that_nobody_leads() {
    let mut world = World::in_memory();
    let world = &mut world;
    let id = follow(world, "/services/web/leader", "");
    for addr in ["a", "b"] {
        put_in(world, addr);
    }
    let (text, last) = short(world, id);
    assert_eq!(text, "leader:a");
    remove(world, "web", "a");
    assert_eq!(kinds(world, id), "leader:b", "there was always somebody");
    remove(world, "web", "b");
    assert_eq!(kinds(world, id), "leader");
    put_in(world, "c");
    assert_eq!(kinds(world, id), "leader:c");
    // Nor has one that is gone on with been told who leads.
    let last = short(world, id).1.or(last).unwrap();
    let id = follow(world, "/services/web/leader", &format!("Last-Event-ID: {last}\r\n"));
    assert_eq!(kinds(world, id), "leader:c");
    let last = {
        let id = follow(world, "/services/web", "");
        short(world, id).1.unwrap()
    };
    let id = follow(world, "/services/web/leader", &format!("Last-Event-ID: {last}\r\n"));
    assert_eq!(kinds(world, id), "");
    put_in(world, "d");
    remove(world, "web", "d");
    assert_eq!(kinds(world, id), "");
    remove(world, "web", "c");
    assert_eq!(kinds(world, id), "leader");
    put_in(world, "e");
    remove(world, "web", "e");
    assert_eq!(kinds(world, id), "leader:e leader");
}

/// Registers, where there may be no service yet.
fn put_in(world: &mut World, addr: &str) {
    let client = world.connect(Codec::Json);
    world.call(client, Method::Register, &args("web", addr));
}

fn put_again(world: &mut World) {
    done(world, "PUT", "/services/web", "");
    put(world, "web", "n");
}

#[test]
fn a_stream_is_gone_on_with() {
    let mut world = World::in_memory();
    let world = &mut world;
    done(world, "PUT", "/services/web", "");
    for addr in ["a", "b", "c"] {
        put(world, "web", addr);
    }
    let first = follow(world, "/services/web", "");
    let (all, last) = short(world, first);
    assert_eq!(all, "up:a up:b up:c leader:a current");
    let last = last.expect("the marker has an id");
    update(world, "web", "b", "v");
    remove(world, "web", "a");
    put(world, "web", "d");
    let header = format!("Last-Event-ID: {last}\r\n");
    let changes = "update:b down:a leader:b up:d current:r";
    for path in ["/services/web", "/services"] {
        let again = follow(world, path, &header);
        assert_eq!(kinds(world, again), changes, "{path}");
    }
    let again = follow(world, "/services/web/instances", &header);
    let (all, later) = short(world, again);
    assert_eq!(all, "update:b down:a up:d current:r");
    let nothing = follow(world, "/services/web", &format!("Last-Event-ID: {}\r\n", later.unwrap()));
    assert_eq!(kinds(world, nothing), "current:r");
    let whole = "up:b up:c up:d leader:b current";
    let (process, number) = last.split_once('-').unwrap();
    for wrong in [
        "x".to_owned(),
        "-".to_owned(),
        format!("{process}-"),
        format!("{process}-99999"),
        format!("{process}-x"),
        format!("1{process}-{number}"),
    ] {
        let again = follow(world, "/services/web", &format!("Last-Event-ID: {wrong}\r\n"));
        assert_eq!(kinds(world, again), whole, "{wrong}");
    }
    // Too long ago.
    done(world, "PUT", "/services/other", "");
    for _ in 0..4100 {
        put(world, "other", "x");
        remove(world, "other", "x");
    }
    let again = follow(world, "/services/web", &header);
    assert_eq!(kinds(world, again), whole);
}

#[test]
fn a_stream_says_that_it_is_alive() {
    let mut world = World::in_memory();
    let world = &mut world;
    let id = follow(world, "/services/web", "");
    read(world, id);
    world.pass(Duration::from_secs(10));
    done(world, "PUT", "/services/web", "");
    done(world, "PUT", "/services/web/meta", r#"{"data":1}"#);
    assert_eq!(read(world, id).0.len(), 1);
    world.pass(Duration::from_millis(14_999));
    assert_eq!(read(world, id).0, []);
    world.pass(Duration::from_millis(1));
    assert_eq!(read(world, id).0, [Said::Comment]);
    world.pass(Duration::from_secs(45));
    assert_eq!(read(world, id).0, [Said::Comment, Said::Comment, Said::Comment]);
    // One that does not read is not told so again and again.
    world.peers.get_mut(&id).unwrap().stalled = true;
    world.pass(Duration::from_secs(3600));
    assert!(world.peers[&id].waiting.len() < 100);
    world.resume(id);
    world.pass(Duration::from_secs(15));
    assert!(read(world, id).0.contains(&Said::Comment));
}

/// Its successor hung when a service had 70 instances and a subscriber read nothing.
#[test]
fn who_reads_nothing_keeps_nobody_waiting() {
    let mut world = World::in_memory();
    let world = &mut world;
    done(world, "PUT", "/services/web", "");
    let value = "v".repeat(10_000);
    let addr = |nth: u32| format!("10.0.0.{nth}:80");
    let [slow, slow_all] = ["/services/web", "/services"].map(|path| follow(world, path, ""));
    for id in [slow, slow_all] {
        world.peers.get_mut(&id).unwrap().stalled = true;
    }
    for round in 0..20 {
        for nth in 0..100 {
            update(world, "web", &addr(nth), &format!("{value}{round}"));
        }
    }
    let quick = follow(world, "/services/web", "");
    assert_eq!(read(world, quick).0.len(), 102);
    for id in [slow, slow_all] {
        // One write, and no more than what is said of each instance behind it.
        let waiting = world.peers[&id].waiting.len();
        assert!(waiting < 200_000, "{waiting}");
        world.resume(id);
        let mut seen = std::collections::BTreeMap::new();
        for said in read(world, id).0 {
            let Said::Event(_, data) = said else { panic!("{said:?}") };
            if let Some(addr) = data["instance"]["addr"].as_str() {
                seen.insert(addr.to_owned(), data["instance"]["meta"]["k"].clone());
            }
        }
        assert_eq!(seen.len(), 100);
        assert!(seen.values().all(|k| k.as_str().unwrap().ends_with("v19")), "the latest of each");
    }
    // A connection that reads nothing can ask on, up to a bound.
    for _ in 0..100 {
        world.send(slow, request("GET", "/services", "").as_bytes());
    }
    world.send(slow, &[b'x'; 1024 * 1024]);
    assert!(!world.peers[&slow].out.is_empty(), "it is not read without end");
    world.input(Input::Broken(slow));
    world.input(Input::Broken(quick));
    assert_eq!(world.subscriptions(), 1);
}

/// Many who ask for a long list and do not read it hold what one write may be, and not a copy each.
#[test]
fn long_lists_are_written_as_they_are_read() {
    let mut world = World::in_memory();
    let world = &mut world;
    done(world, "PUT", "/services/web", "");
    for nth in 0..200 {
        let (id, addr) =
            (instance_id("tcp", &format!("10.0.0.{nth}:80")), format!("10.0.0.{nth}:80"));
        let body = json!({"addr": addr, "proto": "tcp", "meta": {"k": "v".repeat(15_000)}});
        done(world, "PUT", &format!("/services/web/instances/{id}"), &body.to_string());
    }
    let asked = request("GET", "/services/web/instances", "") + &request("GET", "/ping", "");
    let lists: Vec<ConnId> = (0..3).map(|_| open(world)).collect();
    for id in &lists {
        world.peers.get_mut(id).unwrap().stalled = true;
        world.send(*id, asked.as_bytes());
        let waiting = world.peers[id].waiting.len();
        assert!((1..=128 * 1024).contains(&waiting), "{waiting}");
    }
    // One half-closes, and one is still at it when the server stops.
    world.half_close(lists[1]);
    for nth in 0..200 {
        let id = instance_id("tcp", &format!("10.0.0.{nth}:80"));
        done(world, "DELETE", &format!("/services/web/instances/{id}"), "");
    }
    for (nth, id) in lists.iter().enumerate() {
        if nth == 2 {
            world.input(Input::Stop);
            assert_eq!(world.peers[id].closed, None, "it is written to its end");
        }
        world.resume(*id);
        let peer = &world.peers[id];
        let (list, rest) = response(&peer.raw).expect("it is whole");
        let list = list.json();
        let list = list.as_array().expect("it is a list");
        assert_eq!(list.len(), 200, "as it was when it was asked for");
        assert!(list.iter().all(|it| it["meta"]["k"].as_str().is_some_and(|k| k.len() == 15_000)));
        assert!(list.is_sorted_by_key(|it| it["index"].as_u64()));
        assert_eq!(response(rest).map(|(ping, _)| ping.status), (nth < 2).then_some(200));
        let closed = (nth == 1).then_some(CloseReason::PeerClosed);
        assert_eq!((peer.closed, peer.shutdown), (closed, nth == 2));
    }
}

#[test]
fn who_is_gone_is_not_told() {
    let mut world = World::in_memory();
    for path in ["/services", "/services/web", "/services/web/leader"] {
        let id = follow(&mut world, path, "");
        assert_eq!(world.subscriptions(), 1);
        world.half_close(id);
        assert_eq!(world.subscriptions(), 0);
        assert_eq!(world.peers[&id].closed, Some(CloseReason::PeerClosed));
    }
    // The server stops: streams end as streams do.
    let id = follow(&mut world, "/services", "");
    read(&mut world, id);
    world.input(Input::Stop);
    assert_eq!(read(&mut world, id), (Vec::new(), true));
    assert_eq!(world.subscriptions(), 0);
}

/// A browser's EventSource would take a 503 for the end of its attempts.
#[test]
fn a_stream_waits_until_the_store_knows() {
    let model = Arc::new(Mutex::new(Model::new(1)));
    model.lock().unwrap().set_member(0, Member::Down);
    let mut world = World::on_etcd(&model, 0, Instant::ZERO);
    let all = ["/services", "/services/web", "/services/web/instances"]
        .map(|path| follow(&mut world, path, ""));
    world.pass(Duration::from_secs(40));
    for id in all {
        assert_eq!(read(&mut world, id), (vec![Said::Comment, Said::Comment], false));
    }
    model.lock().unwrap().set_member(0, Member::Up);
    world.pass(Duration::from_secs(6));
    for id in all {
        let (said, _) = read(&mut world, id);
        let [.., Said::Event(_, event)] = &said[..] else { panic!("{said:?}") };
        assert_eq!(event["kind"], "current");
    }
}

#[test]
fn a_stream_ends_with_what_is_known() {
    let model = Arc::new(Mutex::new(Model::new(1)));
    let mut world = World::on_etcd(&model, 0, Instant::ZERO);
    done(&mut world, "PUT", "/services/web", "");
    let id = follow(&mut world, "/services/web", "");
    assert_eq!(kinds(&mut world, id), "current");
    model.lock().unwrap().set_member(0, Member::Down);
    world.run();
    world.pass(TTL + Duration::from_secs(2));
    let (said, over) = read(&mut world, id);
    let [Said::Error(error)] = &said[..] else { panic!("{said:?}") };
    assert_eq!((&error["code"], &error["retry"]), (&json!("service_unavailable"), &json!(true)));
    assert!(over);
    // The connection can be used on.
    assert_eq!(ask_raw(&mut world, id, &request("GET", "/ping", "")).status, 200);
    let id = follow(&mut world, "/services/web", "");
    assert_eq!(read(&mut world, id).0, [], "it waits for etcd");
    model.lock().unwrap().set_member(0, Member::Up);
    world.pass(Duration::from_secs(2));
    assert_eq!(kinds(&mut world, id), "current");
}
