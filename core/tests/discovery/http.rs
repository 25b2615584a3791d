//! The door for curl and browsers: every route and error, however its bytes are cut.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use libswarm::discovery::{Agent, Memory, TTL, instance_id};
use libswarm::node::{CloseReason, Config};
use libswarm::rpc::{Codec, Method};
use libswarm::{ConnId, Instant};
use serde_json::{Value, json};

use crate::etcd::{Member, Model};
use crate::peer::{Disk, World, args};

/// A response: its status, head and body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    fn code(&self) -> String {
        let error = self.json();
        let message = error["message"].as_str().expect("there is a message");
        assert!(message.starts_with("discoverd: "), "{message}");
        assert_eq!(error["retry"], json!(self.status == 503));
        assert_eq!(error.as_object().expect("it is an object").len(), 3);
        error["code"].as_str().expect("there is a code").to_owned()
    }
}

/// The first response of these bytes, if it is whole, and what is behind it.
pub(crate) fn response(bytes: &[u8]) -> Option<(Answer, &[u8])> {
    let end = bytes.windows(4).position(|it| it == b"\r\n\r\n")? + 4;
    let head = String::from_utf8(bytes[..end].to_vec()).expect("a head is text");
    let status = head.split(' ').nth(1).expect("there is a status").parse().expect("a number");
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("Content-Length: "))
        .map_or(0, |length| length.parse().expect("a number"));
    let rest = &bytes[end..];
    let body = String::from_utf8(rest.get(..length)?.to_vec()).expect("a body is text");
    Some((Answer { status, head, body }, &rest[length..]))
}

pub(crate) fn open(world: &mut World) -> ConnId {
    world.connect_raw(Codec::Json)
}

pub(crate) fn request(method: &str, path: &str, body: &str) -> String {
    let content = if body.is_empty() {
        String::new()
    } else {
        format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len())
    };
    format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:1111\r\n{content}\r\n{body}")
}

/// Sends a request, and takes its answer.
pub(crate) fn ask_raw(world: &mut World, id: ConnId, request: &str) -> Answer {
    world.peers.get_mut(&id).unwrap().raw.clear();
    world.send(id, request.as_bytes());
    let raw = &world.peers[&id].raw;
    let (answer, rest) =
        response(raw).unwrap_or_else(|| panic!("{request:?}: {:?}", String::from_utf8_lossy(raw)));
    assert!(rest.is_empty(), "{:?}", String::from_utf8_lossy(rest));
    answer
}

pub(crate) fn ask(world: &mut World, method: &str, path: &str, body: &str) -> Answer {
    let id = open(world);
    let answer = ask_raw(world, id, &request(method, path, body));
    assert_eq!(world.peers[&id].closed, None, "it is kept open");
    answer
}

pub(crate) fn done(world: &mut World, method: &str, path: &str, body: &str) -> Answer {
    let answer = ask(world, method, path, body);
    assert_eq!(answer.status, 200, "{method} {path} {body}: {answer:?}");
    answer
}

pub(crate) fn instance(service: &str, addr: &str) -> (String, String) {
    let id = instance_id("tcp", addr);
    (format!("/services/{service}/instances/{id}"), json!({"id": id, "addr": addr}).to_string())
}

pub(crate) fn put(world: &mut World, service: &str, addr: &str) {
    let (path, body) = instance(service, addr);
    done(world, "PUT", &path, &body);
}

#[test]
fn the_life_of_a_service() {
    let mut world = World::in_memory();
    let world = &mut world;
    assert_eq!(done(world, "GET", "/ping", "").body, "");
    assert_eq!(done(world, "GET", "/services", "").json(), json!([]));
    assert_eq!(done(world, "PUT", "/services/web", "").body, "");
    done(world, "PUT", "/services/db", r#"{"leader_type":"manual"}"#);
    assert_eq!(done(world, "GET", "/services", "").json(), json!(["db", "web"]));
    assert_eq!(done(world, "GET", "/services/web/instances", "").json(), json!([]));
    put(world, "web", "10.0.0.1:80");
    let (id, addr) = (instance_id("udp", "10.0.0.2:53"), "10.0.0.2:53");
    let body = json!({"id": id, "addr": addr, "proto": "udp", "meta": {"zone": "a"}, "x": 1});
    let path = format!("/services/web/instances/{id}");
    let shown = json!({"id": id, "addr": addr, "proto": "udp", "meta": {"zone": "a"}, "index": 4});
    for _ in 0..3 {
        // The same again is a heartbeat.
        assert_eq!(done(world, "PUT", &path, &body.to_string()).json(), shown);
    }
    let first = json!({"id": instance_id("tcp", "10.0.0.1:80"), "addr": "10.0.0.1:80",
        "proto": "tcp", "index": 3});
    assert_eq!(done(world, "GET", "/services/web/instances", "").json(), json!([first, shown]));
    assert_eq!(done(world, "GET", "/services/web/leader", "").json(), first);
    done(world, "PUT", "/services/web/leader", &json!({"id": id}).to_string());
    assert_eq!(done(world, "GET", "/services/web/leader", "").json(), shown);
    // Who is without an address of its own gets the server's.
    let (_, body) = instance("db", ":5432");
    let own = format!("/services/db/instances/{}", instance_id("tcp", ":5432"));
    let whole = instance_id("tcp", "127.0.0.1:5432");
    assert_eq!(done(world, "PUT", &own, &body).json()["id"], json!(whole));
    assert_eq!(ask(world, "GET", "/services/db/leader", "").status, 404, "nobody was named");
    done(world, "PUT", "/services/db/leader", &json!({"id": whole}).to_string());
    assert_eq!(done(world, "GET", "/services/db/leader", "").json()["addr"], "127.0.0.1:5432");
    done(world, "DELETE", &path, "");
    assert_eq!(done(world, "GET", "/services/web/leader", "").json(), first);
    done(world, "DELETE", "/services/web", "");
    assert_eq!(ask(world, "GET", "/services/web/instances", "").status, 404);
    assert_eq!(done(world, "GET", "/services", "").json(), json!(["db"]));
    world.pass(TTL);
    assert_eq!(done(world, "GET", "/services/db/instances", "").json(), json!([]));
    done(world, "PUT", "/services/web", "{}");
}

#[test]
fn metadata_is_compared_and_set() {
    let mut world = World::in_memory();
    let world = &mut world;
    done(world, "PUT", "/services/web", "");
    let path = "/services/web/meta";
    assert_eq!(ask(world, "GET", path, "").status, 404);
    let late = ask(world, "PUT", path, r#"{"data":1,"index":7}"#);
    assert_eq!((late.status, &*late.code()), (412, "precondition_failed"));
    let body =
        "{\"data\":{\"b\":[1.50, 12345678901234567890123],\n \"a\":\"\\u00e4 \"},\"index\":0}";
    let answer = done(world, "PUT", path, body);
    let expected = r#"{"data":{"b":[1.50,12345678901234567890123],"a":"\u00e4 "},"index":2}"#;
    assert_eq!(answer.body, expected, "it comes back as it was put");
    assert_eq!(done(world, "GET", path, "").body, expected);
    let exists = ask(world, "PUT", path, r#"{"data":1}"#);
    assert_eq!((exists.status, &*exists.code()), (409, "object_exists"));
    assert_eq!(done(world, "PUT", path, r#"{"data":null,"index":2}"#).json()["index"], 3);
    let late = ask(world, "PUT", path, r#"{"data":1,"index":2}"#);
    assert_eq!(late.status, 412);
    assert!(late.body.contains("its index is 3: read it again"), "{late:?}");
    assert_eq!(done(world, "GET", path, "").body, r#"{"data":null,"index":3}"#);
}

#[test]
fn what_is_wrong_is_said() {
    let mut world = World::in_memory();
    let world = &mut world;
    done(world, "PUT", "/services/web", "");
    put(world, "web", "a:1");
    let (path, body) = instance("web", "a:1");
    let (other, no_service) = (instance("web", "b:1").0, instance("none", "a:1").0);
    let udp = instance_id("udp", "a:1");
    let udp_path = format!("/services/web/instances/{udp}");
    let long = "x".repeat(256);
    for (method, path, body, status, code, said) in [
        ("GET", "/", "", 200, "", ""),
        ("GET", "/x", "", 404, "object_not_found", "path"),
        ("GET", "/services/", "", 404, "object_not_found", "path"),
        ("POST", "/services/web", "", 405, "validation_error", "use GET, HEAD, PUT, DELETE"),
        ("DELETE", "/ping", "", 405, "validation_error", "use GET, HEAD"),
        ("PUT", "/services", "{}", 405, "validation_error", "use GET, HEAD"),
        ("GET", &path, "", 405, "validation_error", "use PUT, DELETE"),
        ("PUT", "/services/web", "", 409, "object_exists", "service \"web\" already exists"),
        (
            "PUT",
            "/services/Web",
            "",
            400,
            "validation_error",
            "lowercase letters, digits and hyphens",
        ),
        ("PUT", "/services/a%2Fb", "", 400, "validation_error", "a '/'"),
        ("PUT", "/services/%ff", "", 400, "validation_error", "no percent-encoded UTF-8"),
        ("PUT", &format!("/services/{long}"), "", 400, "validation_error", "use at most 255"),
        ("PUT", "/services/b", "{", 400, "validation_error", "not the JSON that belongs here"),
        ("PUT", "/services/b", r#"{"leader_type":"x"}"#, 400, "validation_error", "use \"oldest\""),
        ("DELETE", "/services/b", "", 404, "object_not_found", "service \"b\" not found"),
        ("GET", "/services/b/meta", "", 404, "object_not_found", "service \"b\" not found"),
        ("PUT", "/services/b/meta", r#"{"data":1}"#, 404, "object_not_found", "service \"b\""),
        ("PUT", "/services/web/meta", "{}", 400, "validation_error", "missing field `data`"),
        ("GET", "/services/b/instances", "", 404, "object_not_found", "service \"b\" not found"),
        ("PUT", &no_service, &body, 404, "object_not_found", "service \"none\" not found"),
        ("PUT", &other, &body, 400, "validation_error", "the MD5 of \"tcp-a:1\""),
        (
            "PUT",
            &path,
            r#"{"id":"x","addr":"a:1"}"#,
            400,
            "validation_error",
            "id \"x\" does not fit",
        ),
        ("PUT", &path, "{}", 400, "validation_error", "missing field `addr`"),
        ("PUT", &path, r#"{"addr":""}"#, 400, "validation_error", "Addr must be set"),
        ("PUT", &path, r#"{"addr":"a:1","proto":"T"}"#, 400, "validation_error", "lowercase"),
        ("PUT", &path, r#"{"addr":"a:1","meta":{"k":1}}"#, 400, "validation_error", "string"),
        (
            "PUT",
            &udp_path,
            r#"{"addr":"a:1","proto":"udp"}"#,
            409,
            "object_exists",
            "with proto \"tcp\"",
        ),
        ("DELETE", &other, "", 404, "object_not_found", "instance"),
        ("GET", "/services/b/leader", "", 404, "object_not_found", "service \"b\" not found"),
        ("PUT", "/services/web/leader", "", 400, "validation_error", "JSON"),
        ("PUT", "/services/web/leader", r#"{"id":"x"}"#, 404, "object_not_found", "instance \"x\""),
    ] {
        let answer = ask(world, method, path, body);
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
        if !code.is_empty() {
            assert_eq!(answer.code(), code, "{method} {path}");
            assert!(answer.body.contains(&said.replace('"', "\\\"")), "{said}: {}", answer.body);
        }
        let allowed = answer.head.contains("\r\nAllow: ");
        assert_eq!(allowed, status == 405, "{answer:?}");
    }
    let attributes: serde_json::Map<String, Value> =
        (0..257).map(|nth| (nth.to_string(), json!("x"))).collect();
    let many = json!({"addr": "a:1", "meta": attributes}).to_string();
    assert!(ask(world, "PUT", &path, &many).body.contains("use at most 256"));
    let id = open(world);
    let form = "PUT /services/c HTTP/1.1\r\nHost: [::1]:1\r\nContent-Length: 2\r\n\
        Content-Type: application/x-www-form-urlencoded\r\n\r\n{}";
    assert!(ask_raw(world, id, form).body.contains("send Content-Type: application/json"));
}

#[test]
fn whose_bodies_need_a_content_type() {
    let mut world = World::in_memory();
    let world = &mut world;
    put_service(world);
    let (path, body) = instance("web", "a:1");
    let leader = json!({"id": instance_id("tcp", "a:1")}).to_string();
    for (path, body, status) in [
        (&*path, &*body, 200),
        ("/services/db", "{}", 400),
        ("/services/web/meta", r#"{"data":1}"#, 400),
        ("/services/web/leader", &leader, 400),
    ] {
        let id = open(world);
        let bare = request("PUT", path, body).replace("Content-Type: application/json\r\n", "");
        let answer = ask_raw(world, id, &bare);
        assert_eq!(answer.status, status, "{path}: {answer:?}");
        let said = answer.body.contains("send Content-Type: application/json");
        assert_eq!(said, status == 400, "{path}: {answer:?}");
    }
}

/// An instance's protocol stands among its attributes, under that key.
#[test]
fn a_protocol_is_no_metadata() {
    let mut world = World::in_memory();
    let world = &mut world;
    put_service(world);
    for (proto, value) in [("tcp", "http"), ("udp", "http"), ("udp", "udp"), ("tcp", "N O")] {
        let id = instance_id(proto, "a:1");
        let path = format!("/services/web/instances/{id}");
        let body = json!({"addr": "a:1", "proto": proto, "meta": {"proto": value, "zone": "a"}});
        let answer = ask(world, "PUT", &path, &body.to_string());
        assert_eq!((answer.status, &*answer.code()), (400, "validation_error"), "{answer:?}");
        let said = format!("meta has the key \"proto\", of value {value:?}");
        assert!(answer.json()["message"].as_str().unwrap().contains(&said), "{answer:?}");
    }
    assert_eq!(done(world, "GET", "/services/web/instances", "").json(), json!([]));
}

/// PUT takes the id of an address that the server completes, so the others do.
#[test]
fn an_instance_is_found_by_the_id_it_was_put_with() {
    let external = Agent::new(Box::new(Memory::new(TTL)), Some("2001:db8::1".into()));
    let external = World::of(Config::default(), external);
    for (mut world, whole) in [(World::in_memory(), "127.0.0.1:80"), (external, "[2001:db8::1]:80")]
    {
        let world = &mut world;
        put_service(world);
        let (path, body) = instance("web", ":80");
        for path in [path.clone(), format!("/services/web/instances/{}", instance_id("tcp", whole))]
        {
            put(world, "web", "a:1");
            assert_eq!(done(world, "PUT", &path, &body).json()["addr"], whole);
            let id = json!({"id": instance_id("tcp", ":80")}).to_string();
            done(world, "PUT", "/services/web/leader", &id);
            assert_eq!(done(world, "GET", "/services/web/leader", "").json()["addr"], whole);
            done(world, "DELETE", &path, "");
            let left = done(world, "GET", "/services/web/instances", "").json();
            assert_eq!(left.as_array().expect("they are listed").len(), 1, "{left}");
            assert_eq!(left[0]["addr"], "a:1");
        }
        for (proto, addr) in [("udp", ":80"), ("tcp", ":81"), ("tcp", "80"), ("tcp", "")] {
            let path = format!("/services/web/instances/{}", instance_id(proto, addr));
            assert_eq!(ask(world, "DELETE", &path, "").status, 404, "{proto} {addr}");
        }
    }
}

#[test]
fn heads_alone() {
    let mut world = World::in_memory();
    put_service(&mut world);
    for (path, length) in [("/ping", 0), ("/services", 7), ("/services/web/instances", 2)] {
        let id = open(&mut world);
        world.send(id, request("HEAD", path, "").as_bytes());
        let said = String::from_utf8_lossy(&world.peers[&id].raw).into_owned();
        assert!(said.starts_with("HTTP/1.1 200 OK\r\n") && said.ends_with("\r\n\r\n"), "{said}");
        assert!(said.contains(&format!("\r\nContent-Length: {length}\r\n")), "{said}");
        // The connection can be used on, also behind the head of a stream.
        let stream = request("HEAD", "/services/web", "");
        world.peers.get_mut(&id).unwrap().raw.clear();
        world.send(id, stream.as_bytes());
        let said = String::from_utf8_lossy(&world.peers[&id].raw).into_owned();
        assert!(said.contains("text/event-stream") && said.ends_with("\r\n\r\n"), "{said}");
        assert_eq!(ask_raw(&mut world, id, &request("GET", "/services", "")).body, "[\"web\"]");
    }
    assert_eq!(world.subscriptions(), 0);
}

fn put_service(world: &mut World) {
    done(world, "PUT", "/services/web", "");
}

#[test]
fn bodies_are_bounded() {
    let mut world = World::in_memory();
    let world = &mut world;
    let text = format!("{{\"data\":\"{}\"}}", "x".repeat(65_525));
    assert_eq!(text.len(), 65_536);
    put_service(world);
    done(world, "PUT", "/services/web/meta", &text);
    let long = format!("{text} ");
    let id = open(world);
    let answer = ask_raw(world, id, &request("PUT", "/services/web/meta", &long));
    assert_eq!((answer.status, &*answer.code()), (413, "validation_error"));
    assert!(answer.head.contains("\r\nConnection: close\r\n"));
    // In chunks, and without end.
    let id = open(world);
    world.send(
        id,
        b"PUT /services/web HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n",
    );
    for _ in 0..100 {
        world.send(id, b"1000\r\n");
        world.send(id, &[b'x'; 0x1000]);
        world.send(id, b"\r\n");
    }
    let (answer, _) = response(&world.peers[&id].raw).expect("it is answered");
    assert_eq!(answer.status, 413);
    let chunked = "PUT /services/c HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\
        Content-Type: application/json; charset=utf-8\r\n\r\n1\r\n{\r\n1;x=y\r\n}\r\n0\r\n\r\n";
    let id = open(world);
    assert_eq!(ask_raw(world, id, chunked).status, 200);
    // Whoever asks first is told to go on, or why not.
    let id = open(world);
    let head = "PUT /services/d HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n\
        Content-Type: application/json\r\nContent-Length: 2\r\n\r\n";
    world.send(id, head.as_bytes());
    assert_eq!(world.peers[&id].raw, b"HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(ask_raw(world, id, "{}").status, 200);
    let id = open(world);
    let head = head.replace("/services/d", "/none");
    let answer = ask_raw(world, id, &head);
    assert_eq!(answer.status, 404);
    assert!(answer.head.contains("\r\nConnection: close\r\n"));
    // Who begins and does not go on is not waited for.
    let id = open(world);
    world.send(id, b"PUT /services/e HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{");
    world.pass(Duration::from_secs(61));
    assert_eq!(response(&world.peers[&id].raw).expect("it is answered").0.status, 408);
}

/// The same bytes, cut anywhere, get the same answers.
#[test]
fn every_split_gives_the_same() {
    let (path, body) = instance("web", "a:1");
    let mut script = String::new();
    for (method, path, body) in [
        ("PUT", "/services/web", "{}"),
        ("PUT", &*path, &*body),
        ("GET", "/services/web/instances", ""),
        ("HEAD", "/services", ""),
        ("PUT", "/services/web/meta", r#"{"data":{"a":1}}"#),
        ("POST", "/services/web/meta", "x"),
        ("GET", "/services/web/leader", ""),
        ("DELETE", "/services/web", ""),
        ("GET", "/nothing", ""),
        ("GET", "/services", ""),
    ] {
        script.push_str(&request(method, path, body));
    }
    script.push_str(
        "PUT /services/c HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\
        Content-Type: application/json\r\n\r\n2\r\n{}\r\n0\r\nX: y\r\n\r\n",
    );
    script.push_str("GET /services HTTP/1.0\r\n\r\n");
    let play = |pieces: &[&[u8]]| {
        let mut world = World::in_memory();
        let id = open(&mut world);
        for piece in pieces {
            world.send(id, piece);
        }
        let peer = &world.peers[&id];
        assert!(peer.shutdown, "it is over behind HTTP/1.0");
        peer.raw.clone()
    };
    let bytes = script.as_bytes();
    let whole = play(&[bytes]);
    assert_eq!(String::from_utf8_lossy(&whole).matches("HTTP/1.").count(), 12);
    for at in 1..bytes.len() {
        assert_eq!(play(&[&bytes[..at], &bytes[at..]]), whole, "cut at {at}");
    }
    let each: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(play(&each), whole);
}

#[test]
fn the_rpc_is_behind_the_same_door() {
    let mut world = World::in_memory();
    let world = &mut world;
    let id = open(world);
    assert_eq!(ask_raw(world, id, &request("GET", "/ping", "")).status, 200);
    let answer = ask_raw(world, id, &request("GET", "/_goRPC_", ""));
    assert_eq!((answer.status, &*answer.body), (405, "405 must CONNECT\n"));
    world.peers.get_mut(&id).unwrap().raw.clear();
    let accept = Codec::Json.media_type();
    let call = r#"{"method":"Agent.Register","params":[{"Name":"h\u00e4 1","Addr":":1"}],"id":1}"#;
    let connect = format!("CONNECT /_goRPC_ HTTP/1.1\r\nAccept: {accept}\r\n\r\n{call}");
    world.send(id, connect.as_bytes());
    let said = String::from_utf8_lossy(&world.peers[&id].raw).into_owned();
    let reply = "{\"id\":1,\"result\":\"127.0.0.1:1\",\"error\":null}\n";
    assert_eq!(said, format!("HTTP/1.0 200 Connected to Go RPC\n\n{reply}"));
    // What came through the one is seen through the other.
    assert_eq!(done(world, "GET", "/services", "").json(), json!(["h\u{e4} 1"]));
    let path = "/services/h%C3%A4%201/instances";
    assert_eq!(done(world, "GET", path, "").json()[0]["addr"], "127.0.0.1:1");
    let own = instance_id("tcp", "b:2");
    done(world, "PUT", &format!("{path}/{own}"), r#"{"addr":"b:2","meta":{"k":"v"}}"#);
    let caller = world.connect(Codec::Gob);
    world.call(caller, Method::Subscribe, &args("h\u{e4} 1", ""));
    let told = format!("{:?}", world.events(caller));
    assert!(told.contains("b:2") && told.contains("127.0.0.1:1") && told.contains("\"k\": \"v\""));
    done(world, "DELETE", "/services/h%c3%a4%201", "");
    assert_eq!(world.events(caller).len(), 2);
}

#[test]
fn other_sites_are_kept_out() {
    let mut world = World::in_memory();
    let world = &mut world;
    for (head, status) in [
        ("PUT /services/a HTTP/1.1\r\nHost: 10.0.0.1\r\nOrigin: http://evil.example", 403),
        ("PUT /services/a HTTP/1.1\r\nHost: evil.example:1111", 403),
        ("GET /services HTTP/1.1\r\nHost: evil.example:1111\r\nUser-Agent: Mozilla/5.0", 403),
        ("GET / HTTP/1.1\r\nHost: evil.example:1111\r\nSec-Fetch-Site: cross-site", 403),
        ("GET /services HTTP/1.1\r\nHost: disco:1111\r\nUser-Agent: curl/8", 200),
        ("PUT /services/a HTTP/1.1\r\nHost: 10.0.0.1\r\nOrigin: http://10.0.0.1", 200),
    ] {
        let id = open(world);
        let answer = ask_raw(world, id, &format!("{head}\r\n\r\n"));
        assert_eq!(answer.status, status, "{head}: {answer:?}");
        assert!(status == 200 || answer.code() == "validation_error");
    }
    assert_eq!(done(world, "GET", "/services", "").json(), json!(["a"]));
    let named = Agent::new(Box::new(Memory::new(TTL)), Some("disco".into()));
    let mut world = World::of(Config::default(), named);
    let id = open(&mut world);
    let put = "PUT /services/a HTTP/1.1\r\nHost: disco:1111\r\n\r\n";
    assert_eq!(ask_raw(&mut world, id, put).status, 200, "it is the server's own name");
}

#[test]
fn the_page_is_one_file_that_runs_nothing_else() {
    let mut world = World::in_memory();
    let page = done(&mut world, "GET", "/?x", "");
    assert!(page.head.contains("Content-Type: text/html; charset=utf-8\r\n"));
    assert!(page.head.contains("default-src 'none'"), "{}", page.head);
    assert!(!page.body.contains("http://") && !page.body.contains("https://"));
}

#[test]
fn a_store_that_cannot_says_so() {
    let model = Arc::new(Mutex::new(Model::new(1)));
    model.lock().unwrap().set_member(0, Member::Down);
    let mut world = World::on_etcd(&model, 0, Instant::ZERO);
    for (method, path, body) in [
        ("GET", "/services", ""),
        ("GET", "/services/web/instances", ""),
        ("PUT", "/services/web", "{}"),
    ] {
        let answer = ask(&mut world, method, path, body);
        assert_eq!((answer.status, &*answer.code()), (503, "service_unavailable"));
    }
    assert_eq!(done(&mut world, "GET", "/ping", "").body, "");
    model.lock().unwrap().set_member(0, Member::Up);
    world.pass(Duration::from_secs(2));
    done(&mut world, "PUT", "/services/web", "{}");
    // What is asked while etcd goes away is answered within its deadline.
    model.lock().unwrap().set_member(0, Member::Silent);
    let id = open(&mut world);
    world.send(id, request("PUT", "/services/web/meta", r#"{"data":1}"#).as_bytes());
    assert!(world.peers[&id].raw.is_empty());
    world.pass(Duration::from_secs(7));
    assert_eq!(response(&world.peers[&id].raw).expect("it is answered").0.status, 503);
}

#[test]
fn what_was_answered_survives_the_process() {
    let mut world = World::on_disk(Disk::default(), Instant::ZERO);
    done(&mut world, "PUT", "/services/web", r#"{"leader_type":"manual"}"#);
    done(&mut world, "PUT", "/services/web/meta", r#"{"data":[1]}"#);
    put(&mut world, "web", "a:1");
    let id = json!({"id": instance_id("tcp", "a:1")}).to_string();
    done(&mut world, "PUT", "/services/web/leader", &id);
    world.disk.slow = true;
    let late = open(&mut world);
    world.send(late, request("DELETE", "/services/web", "").as_bytes());
    assert!(world.peers[&late].raw.is_empty(), "it is not on the disk yet");
    let mut disk = std::mem::take(&mut world.disk);
    disk.slow = false;
    let mut world = World::on_disk(disk, Instant::ZERO);
    let world = &mut world;
    assert_eq!(done(world, "GET", "/services/web/meta", "").body, r#"{"data":[1],"index":2}"#);
    assert_eq!(done(world, "GET", "/services/web/leader", "").json()["addr"], "a:1");
    done(world, "DELETE", "/services/web", "");
    let disk = std::mem::take(&mut world.disk);
    let mut world = World::on_disk(disk, Instant::ZERO);
    assert_eq!(done(&mut world, "GET", "/services", "").json(), json!([]));
}

#[test]
fn a_half_closed_client_is_answered() {
    let mut world = World::in_memory();
    world.disk.slow = true;
    let id = open(&mut world);
    world.send(id, request("PUT", "/services/web", "").as_bytes());
    world.send(id, request("GET", "/services", "").as_bytes());
    world.half_close(id);
    let peer = &world.peers[&id];
    let said = String::from_utf8_lossy(&peer.raw).into_owned();
    assert!(said.ends_with("[\"web\"]"), "{said}");
    assert_eq!(peer.closed, Some(CloseReason::PeerClosed));
    // In the middle of a body there is nothing to answer.
    let id = open(&mut world);
    world.send(id, b"PUT /services/b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{");
    world.half_close(id);
    assert!(world.peers[&id].closed.is_some());
    assert_eq!(done(&mut world, "GET", "/services", "").body, "[\"web\"]");
}

/// Each request has its own time to come, however many come on one connection.
#[test]
fn who_sends_one_request_behind_the_other_is_not_cut_off() {
    let mut world = World::in_memory();
    let id = open(&mut world);
    let one = request("GET", "/ping", "");
    let (head, tail) = one.split_at(20);
    world.send(id, head.as_bytes());
    for _ in 0..160 {
        world.pass(Duration::from_millis(500));
        // The rest of that request, and the beginning of the next.
        world.send(id, format!("{tail}{head}").as_bytes());
    }
    let raw = String::from_utf8_lossy(&world.peers[&id].raw).into_owned();
    assert_eq!((raw.matches("200 OK").count(), raw.contains("408")), (160, false));
}

/// Each took a look at all that were left: with some thousands of them nothing else was answered for a minute.
#[test]
fn many_instances_end_one_by_one_in_no_time() {
    const COUNT: usize = 2000;
    let agent = || Agent::new(Box::new(Memory::new(TTL)), Some("10.0.0.9".into()));
    let mut world = World::of(Config::default(), agent());
    assert_eq!(ask(&mut world, "PUT", "/services/web", "").status, 200);
    let id = open(&mut world);
    let path = |nth: usize| {
        let of = instance_id("tcp", &format!("10.0.0.1:{nth}"));
        format!("/services/web/instances/{of}")
    };
    for nth in 0..COUNT {
        let body = json!({"addr": format!("10.0.0.1:{nth}")}).to_string();
        assert_eq!(ask_raw(&mut world, id, &request("PUT", &path(nth), &body)).status, 200);
    }
    let begun = std::time::Instant::now();
    for nth in (0..COUNT).rev() {
        assert_eq!(ask_raw(&mut world, id, &request("DELETE", &path(nth), "")).status, 200);
        assert_eq!(ask_raw(&mut world, id, &request("DELETE", &path(nth), "")).status, 404);
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

/// An instance is found by its id as it is now, whatever came and went since somebody looked for another.
#[test]
fn ids_follow_their_instances() {
    let mut world = World::in_memory();
    ask(&mut world, "PUT", "/services/web", "");
    let of = |protocol: &str, address: &str| instance_id(protocol, address);
    let path = |id: &str| format!("/services/web/instances/{id}");
    let leads = |world: &mut World, id: &str| {
        ask(world, "PUT", "/services/web/leader", &json!({"id": id}).to_string()).status
    };
    let a = of("tcp", "a:80");
    ask(&mut world, "PUT", &path(&a), r#"{"addr":"a:80"}"#);
    assert_eq!((leads(&mut world, &a), leads(&mut world, &of("tcp", "b:80"))), (200, 404));
    // One comes, one gets another protocol, one goes.
    let client = world.connect(Codec::Json);
    world.call(client, Method::Register, &args("web", "b:80"));
    world.call(client, Method::Register, &crate::peer::with("proto", "udp", args("web", "a:80")));
    assert_eq!(leads(&mut world, &of("tcp", "b:80")), 200);
    assert_eq!((leads(&mut world, &a), leads(&mut world, &of("udp", "a:80"))), (404, 200));
    world.call(client, Method::Unregister, &args("web", "b:80"));
    assert_eq!(leads(&mut world, &of("tcp", "b:80")), 404);
    for odd in ["", "x", &a.to_uppercase(), &a[1..], &"\u{e4}".repeat(16)] {
        assert_eq!(leads(&mut world, odd), 404, "{odd:?}");
    }
}
