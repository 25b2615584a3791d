//! Questions to a server, as messages.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;
use proptest::prelude::*;

use super::message::HEADER;
use super::*;
use crate::discovery::{Attributes, Document, Registry};
use crate::id::{ConnId, Key};
use crate::time::Instant;

const UDP: Asker = Asker::Datagram(
    SocketId(0),
    core::net::SocketAddr::new(core::net::IpAddr::V4(core::net::Ipv4Addr::LOCALHOST), 4242),
);
const TCP: Asker = Asker::Stream(ConnId(Key::new(0, 0)));

/// A name as a zone file has it.
fn name(text: &str) -> Name {
    let (mut labels, mut rest) = (vec![Vec::new()], text.bytes());
    while let Some(byte) = rest.next() {
        match (byte, rest.clone().next()) {
            (b'.', _) => labels.push(Vec::new()),
            (b'\\', Some(b'0'..=b'9')) => {
                let digits = rest.by_ref().take(3).map(|digit| u32::from(digit - b'0'));
                labels
                    .last_mut()
                    .unwrap()
                    .push(digits.fold(0, |sum, digit| 10 * sum + digit) as u8);
            }
            (b'\\', _) => labels.last_mut().unwrap().extend(rest.next()),
            _ => labels.last_mut().unwrap().push(byte),
        }
    }
    Name::from_labels(labels.iter().filter(|label| !label.is_empty()).map(Vec::as_slice)).unwrap()
}

/// A question.
fn ask(text: &str, kind: u16, edns: Option<(u16, u8)>) -> Vec<u8> {
    let mut message = vec![0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(edns.is_some())];
    let name = name(text);
    message.extend_from_slice(name.wire());
    message.extend_from_slice(&kind.to_be_bytes());
    message.extend_from_slice(&IN.to_be_bytes());
    if let Some((size, version)) = edns {
        message.extend_from_slice(&[0, 0, 41]);
        message.extend_from_slice(&size.to_be_bytes());
        message.extend_from_slice(&[0, version, 0x80, 0, 0, 0]);
    }
    message
}

/// An answer, read by hand.
#[derive(Clone, PartialEq, Debug, Default)]
struct Read {
    rcode: u16,
    flags: u16,
    question: String,
    /// Of each section, `OWNER TYPE DATA`.
    sections: [Vec<String>; 3],
    edns: Option<(u16, u8)>,
    length: usize,
}

fn word(message: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([message[at], message[at + 1]])
}

fn read(message: &[u8]) -> Read {
    let flags = word(message, 2);
    assert_eq!((word(message, 0), flags >> 15), (0xabcd, 1));
    let mut read =
        Read { rcode: flags & 15, flags: flags & 0x7ff0, length: message.len(), ..Read::default() };
    let mut at = HEADER;
    for _ in 0..word(message, 4) {
        let (name, end) = Name::read(message, at).unwrap();
        read.question = name.to_string();
        at = end + 4;
    }
    for (nth, section) in read.sections.iter_mut().enumerate() {
        for _ in 0..word(message, 6 + 2 * nth) {
            let (owner, fields) = Name::read(message, at).unwrap();
            let (kind, length) = (word(message, fields), usize::from(word(message, fields + 8)));
            let begin = fields + 10;
            let data = &message[begin..begin + length];
            at = begin + length;
            if kind == kind::OPT {
                assert_eq!(owner, Name::ROOT);
                read.rcode |= u16::from(message[fields + 4]) << 4;
                assert_eq!(message[fields + 6], 0x80, "DO is given back");
                read.edns = Some((word(message, fields + 2), message[fields + 5]));
                continue;
            }
            assert_eq!(message[fields + 2..fields + 8], [0, 1, 0, 0, 0, 0], "IN, and a TTL of 0");
            let name = |at| Name::read(message, at).unwrap().0.to_string();
            let data = match kind {
                kind::A => {
                    format!("A {}", data.iter().map(u8::to_string).collect::<Vec<_>>().join("."))
                }
                kind::AAAA => {
                    let bytes: [u8; 16] = data.try_into().unwrap();
                    format!("AAAA {}", core::net::Ipv6Addr::from(bytes))
                }
                kind::NS => format!("NS {}", name(begin)),
                kind::SOA => format!("SOA {} {}", name(begin), word(message, at - 18)),
                kind::SRV => {
                    assert_eq!(data[..4], [0, 1, 0, 1]);
                    assert_eq!(Name::read(data, 6).map(|it| it.1), Some(length), "no pointer");
                    format!("SRV {} {}", word(data, 4), name(begin + 6))
                }
                kind::TXT | kind::HINFO => {
                    let (mut rest, mut strings) = (data, Vec::new());
                    while let Some((length, behind)) = rest.split_first() {
                        let (string, behind) = behind.split_at(usize::from(*length));
                        strings.push(String::from_utf8_lossy(string).into_owned());
                        rest = behind;
                    }
                    format!(
                        "{} {}",
                        if kind == kind::TXT { "TXT" } else { "HINFO" },
                        strings.join("|")
                    )
                }
                other => panic!("{other}"),
            };
            section.push(format!("{owner} {data}"));
        }
    }
    assert_eq!(at, message.len(), "nothing is behind");
    read
}

struct World {
    server: Server,
    registry: Registry,
}

impl World {
    fn new() -> Self {
        Self { server: Server::new(Config::new(7)), registry: Registry::new() }
    }

    fn put(&mut self, service: &str, address: &str, attributes: &[(&str, &str)]) {
        let attributes: Attributes =
            attributes.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        let attributes = (!attributes.is_empty()).then_some(attributes);
        self.registry.put(service, address, attributes, self.registry.index() + 1);
    }

    fn send(&mut self, asker: Asker, message: &[u8]) -> Option<Read> {
        let mut out = b"before".to_vec();
        let verdict =
            self.server.query(Instant::ZERO, asker, message, Some(&self.registry), &mut out);
        match verdict {
            Verdict::Answered => Some(read(&out[6..])),
            Verdict::Ignored => {
                assert_eq!(out, b"before");
                None
            }
            Verdict::Forwarded => panic!("nobody is asked"),
        }
    }

    fn ask(&mut self, name: &str, kind: u16) -> Read {
        self.send(UDP, &ask(name, kind, None)).unwrap()
    }

    /// The answer's data, in order, without the owner, which is the question's name.
    fn data(&mut self, asker: Asker, name: &str, kind: u16) -> Vec<String> {
        let read = self.send(asker, &ask(name, kind, None)).unwrap();
        assert_eq!((read.rcode, read.flags & 0x0680), (0, 0x0400), "{name}: {read:?}");
        let owner = format!("{} ", read.question);
        let mut all: Vec<String> = read.sections[0]
            .iter()
            .map(|record| record.strip_prefix(&owner).expect("the question's spelling").to_string())
            .collect();
        all.sort();
        all
    }
}

const SOA: &str = "discoverd. SOA discoverd. ";

#[test]
fn a_service_has_its_instances_records() {
    let mut world = World::new();
    world.put("web", "10.0.0.1:80", &[("zone", "a"), ("weight", "2")]);
    world.put("web", "[::1]:81", &[("zone", "a"), ("weight", "2")]);
    // Another port of a machine is no other address, and no attributes no text.
    world.put("web", "10.0.0.1:82", &[]);
    assert_eq!(world.data(UDP, "web.discoverd", kind::A), ["A 10.0.0.1"]);
    assert_eq!(world.data(UDP, "web.discoverd.", kind::AAAA), ["AAAA ::1"]);
    assert_eq!(world.data(UDP, "web.discoverd", kind::TXT), ["TXT weight=2|zone=a"]);
    let read = world.ask("web.discoverd", kind::SRV);
    let [mut targets, none, mut beside] = read.sections;
    targets.sort();
    beside.sort();
    // printf tcp-10.0.0.1:80 | md5sum
    assert_eq!(
        targets,
        [
            "web.discoverd. SRV 80 e15086afcc9b0dda9e8d8cb223ff8556.web._i.discoverd.",
            "web.discoverd. SRV 81 e098cbd7a742ccdea6c87847b30fb70f.web._i.discoverd.",
            "web.discoverd. SRV 82 51fe55de035ef6f047188dcd5a425094.web._i.discoverd.",
        ]
    );
    assert!(none.is_empty());
    assert_eq!(beside.len(), 3);
    assert!(
        beside.contains(&"e15086afcc9b0dda9e8d8cb223ff8556.web._i.discoverd. A 10.0.0.1".into())
    );
    assert!(beside.contains(&"e098cbd7a742ccdea6c87847b30fb70f.web._i.discoverd. AAAA ::1".into()));
    for record in &targets {
        let (_, target) = record.rsplit_once(' ').unwrap();
        let addresses = [kind::A, kind::AAAA].map(|kind| world.data(UDP, target, kind)).concat();
        assert_eq!(addresses.len(), 1, "{target}");
        assert_eq!(world.data(UDP, target, kind::SRV).len(), 1);
    }
    assert_eq!(world.data(UDP, "web.discoverd", kind::ANY), ["HINFO RFC8482|"]);
}

#[test]
fn what_is_not_there_is_told_apart() {
    let mut world = World::new();
    world.put("web", "10.0.0.1:80", &[]);
    world.put("a.b.c", "10.0.0.1:80", &[]);
    world.registry.set_document("empty", Document::Service, Some("".into()), 9);
    let id = "e15086afcc9b0dda9e8d8cb223ff8556";
    let other = "e15086afcc9b0dda9e8d8cb223ff8557";
    for (name, kind, rcode) in [
        ("web.discoverd", kind::AAAA, 0),
        ("web.discoverd", kind::TXT, 0),
        ("web.discoverd", 65, 0),
        ("nosuch.discoverd", kind::A, 3),
        ("nosuch.discoverd", kind::ANY, 3),
        ("x.web.discoverd", kind::A, 3),
        ("leader.nosuch.discoverd", kind::A, 3),
        ("leader.discoverd", kind::A, 3),
        ("_web._tcp.discoverd", kind::A, 0),
        ("_web._udp.discoverd", kind::SRV, 3),
        ("_nosuch._tcp.discoverd", kind::SRV, 3),
        ("_._tcp.discoverd", kind::SRV, 3),
        (&format!("{other}.web._i.discoverd"), kind::A, 3),
        (&format!("{id}.nosuch._i.discoverd"), kind::A, 3),
        (&format!("{id}._i.discoverd"), kind::A, 3),
        (&format!("{id}.web._i.discoverd"), kind::AAAA, 0),
        // A name has no records, but there are names below it (RFC 8020).
        ("_i.discoverd", kind::A, 0),
        ("_tcp.discoverd", kind::SRV, 0),
        ("web._i.discoverd", kind::A, 0),
        ("nosuch._i.discoverd", kind::A, 3),
        ("b.c.discoverd", kind::A, 0),
        ("c.discoverd", kind::A, 0),
        ("b.discoverd", kind::A, 3),
        ("discoverd", kind::A, 0),
        // It was made, and nobody is there yet.
        ("empty.discoverd", kind::A, 0),
        ("leader.empty.discoverd", kind::A, 0),
    ] {
        let read = world.ask(name, kind);
        assert_eq!((read.rcode, read.flags & 0x0400), (rcode, 0x0400), "{name} {kind}");
        assert!(read.sections[0].is_empty() && read.sections[2].is_empty(), "{name}: {read:?}");
        assert!(read.sections[1].len() == 1 && read.sections[1][0].starts_with(SOA), "{read:?}");
    }
    assert_eq!(world.data(UDP, "DISCOVERD", kind::NS), ["NS DISCOVERD."]);
    assert_eq!(world.data(UDP, "discoverd", kind::SOA), [format!("SOA discoverd. {}", 9)]);
}

#[test]
fn names_are_found_however_they_are_spelled() {
    let mut world = World::new();
    world.put("web", "10.0.0.1:80", &[]);
    world.put("Web", "10.0.0.2:80", &[]);
    // The same instance in both.
    world.put("Web", "10.0.0.1:80", &[]);
    world.put("WEB.example", "10.0.0.3:80", &[("proto", "http")]);
    world.put("häß 1", "10.0.0.4:80", &[]);
    world.put("a..b", "10.0.0.5:80", &[]);
    for name in ["web.discoverd", "wEB.DiscoverD", "WEB.discoverd"] {
        assert_eq!(world.data(TCP, name, kind::A), ["A 10.0.0.1", "A 10.0.0.2"]);
        assert_eq!(world.data(TCP, name, kind::SRV).len(), 2);
        assert_eq!(world.data(TCP, &format!("leader.{name}"), kind::A), ["A 10.0.0.1"]);
    }
    for name in ["web.example.discoverd", "Web.Example.discoverd", "web\\.example.discoverd"] {
        assert_eq!(world.data(UDP, name, kind::A), ["A 10.0.0.3"], "{name}");
        let target = world.data(UDP, name, kind::SRV)[0].rsplit_once(' ').unwrap().1.to_string();
        assert!(target.contains(&name[..3]), "the target is spelled as the question is: {target}");
        assert_eq!(world.data(UDP, &target, kind::A), ["A 10.0.0.3"]);
    }
    assert_eq!(world.data(UDP, "_web.example._HTTP.discoverd", kind::SRV).len(), 1);
    assert_eq!(world.ask("_web.example._tcp.discoverd", kind::SRV).rcode, 3);
    assert_eq!(world.data(UDP, "häß 1.discoverd", kind::A), ["A 10.0.0.4"]);
    assert_eq!(world.data(UDP, "a\\.\\.b.discoverd", kind::A), ["A 10.0.0.5"]);
    // What was known a moment ago is not.
    world.registry.remove("Web", "10.0.0.2:80", 20);
    world.registry.remove("Web", "10.0.0.1:80", 21);
    assert_eq!(world.data(TCP, "web.discoverd", kind::A), ["A 10.0.0.1"]);
    world.registry.remove("web", "10.0.0.1:80", 22);
    assert_eq!(world.ask("web.discoverd", kind::A).rcode, 3);
}

#[test]
fn names_with_a_meaning_of_their_own_come_first() {
    let mut world = World::new();
    world.put("leader.web", "10.0.0.9:80", &[]);
    world.put("_x._y", "10.0.0.8:80", &[]);
    world.put("_z", "10.0.0.7:80", &[]);
    assert_eq!(world.data(UDP, "leader.web.discoverd", kind::A), ["A 10.0.0.9"]);
    assert_eq!(world.data(UDP, "_x._y.discoverd", kind::A), ["A 10.0.0.8"]);
    assert_eq!(world.data(UDP, "_z.discoverd", kind::A), ["A 10.0.0.7"]);
    world.put("web", "10.0.0.1:80", &[]);
    assert_eq!(world.data(UDP, "leader.web.discoverd", kind::A), ["A 10.0.0.1"]);
    assert_eq!(world.data(UDP, "leader.leader.web.discoverd", kind::A), ["A 10.0.0.9"]);
}

#[test]
fn the_leader_is_the_registry_s() {
    let mut world = World::new();
    world.put("web", "10.0.0.1:80", &[]);
    world.put("web", "10.0.0.2:80", &[("zone", "b")]);
    assert_eq!(world.data(UDP, "leader.web.discoverd", kind::A), ["A 10.0.0.1"]);
    world.registry.set_document("web", Document::Leader, Some("10.0.0.2:80".into()), 9);
    assert_eq!(world.data(UDP, "Leader.web.discoverd", kind::A), ["A 10.0.0.2"]);
    assert_eq!(world.data(UDP, "leader.web.discoverd", kind::TXT), ["TXT zone=b"]);
    let read = world.ask("leader.web.discoverd", kind::SRV);
    assert_eq!((read.sections[0].len(), read.sections[2].len()), (1, 1));
    assert!(read.sections[2][0].ends_with(".web._i.discoverd. A 10.0.0.2"), "{read:?}");
}

#[test]
fn addresses_of_other_kinds() {
    let mut world = World::new();
    for (address, a, aaaa, srv) in [
        ("10.0.0.1", 1, 0, None),
        ("::1", 0, 1, None),
        ("db.internal:5432", 0, 0, Some("SRV 5432 db.internal.")),
        ("db.internal.:5432", 0, 0, Some("SRV 5432 db.internal.")),
        ("localhost:1", 0, 0, Some("SRV 1 localhost.")),
        ("db.internal", 0, 0, None),
        ("db..internal:1", 0, 0, None),
        ("a b:1", 0, 0, None),
        ("häß:1", 0, 0, None),
        ("[fe80::1%2]:80", 0, 0, None),
        ("10.0.0.1:99999", 0, 0, None),
        (":80", 0, 0, None),
        ("nonsense", 0, 0, None),
    ] {
        world.registry = Registry::new();
        world.server = Server::new(Config::new(1));
        world.put("web", address, &[("k", "v")]);
        assert_eq!(world.data(UDP, "web.discoverd", kind::A).len(), a, "{address}");
        assert_eq!(world.data(UDP, "web.discoverd", kind::AAAA).len(), aaaa, "{address}");
        let targets = world.data(UDP, "web.discoverd", kind::SRV);
        assert_eq!(targets.first().map(String::as_str), srv, "{address}");
        assert_eq!(world.data(UDP, "web.discoverd", kind::TXT), ["TXT k=v"]);
    }
}

#[test]
fn a_long_name_has_no_target() {
    let mut world = World::new();
    let label = "x".repeat(60);
    // 61 * 3 + 1 + 10 bytes, and with 25 more there is just room for an instance's name.
    for (last, fits) in [(24, true), (25, false)] {
        let service = format!("{label}.{label}.{label}.{}", "y".repeat(last));
        world.put(&service, "10.0.0.1:80", &[]);
        let read = world.ask(&format!("{service}.discoverd"), kind::SRV);
        assert_eq!(read.sections[0].len(), usize::from(fits), "{last}");
        assert_eq!(world.data(UDP, &format!("{service}.discoverd"), kind::A), ["A 10.0.0.1"]);
    }
}

#[test]
fn a_datagram_has_three_records_by_chance_a_stream_all() {
    let mut world = World::new();
    for nth in 0..70 {
        world.put("web", &format!("10.0.0.{nth}:80"), &[("n", &nth.to_string())]);
    }
    let (mut seen, mut orders) = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..1000 {
        let read = world.ask("web.discoverd", kind::A);
        assert_eq!(
            (read.sections[0].len(), read.flags & 0x0200),
            (3, 0),
            "three are no truncation"
        );
        let distinct: BTreeSet<_> = read.sections[0].iter().cloned().collect();
        assert_eq!(distinct.len(), 3);
        orders.insert(read.sections[0].clone());
        seen.extend(distinct);
    }
    assert!(seen.len() == 70 && orders.len() > 900, "{} {}", seen.len(), orders.len());
    assert_eq!(world.data(UDP, "web.discoverd", kind::SRV).len(), 3);
    assert_eq!(world.data(UDP, "web.discoverd", kind::TXT).len(), 3);
    for kind in [kind::A, kind::SRV, kind::TXT] {
        let all: BTreeSet<_> = world.data(TCP, "web.discoverd", kind).into_iter().collect();
        assert_eq!(all.len(), 70);
    }
    let firsts: BTreeSet<_> = (0..500)
        .map(|_| {
            world.send(TCP, &ask("web.discoverd", kind::A, None)).unwrap().sections[0][0].clone()
        })
        .collect();
    assert!(firsts.len() > 60, "any of them may be the first: {}", firsts.len());
}

#[test]
fn a_stream_s_answer_ends_where_64_kib_do() {
    let mut world = World::new();
    for nth in 0..5000_u32 {
        let [_, _, high, low] = nth.to_be_bytes();
        world.put("web", &format!("10.0.{high}.{low}:80"), &[]);
    }
    for (kind, edns) in [(kind::A, None), (kind::SRV, Some((4096, 0)))] {
        let read = world.send(TCP, &ask("web.discoverd", kind, edns)).unwrap();
        assert!(read.length <= 65_535 && read.length > 65_400, "{}", read.length);
        assert_eq!(read.flags & 0x0200, 0x0200);
    }
    // Behind 16 KiB a name cannot be pointed to.
    let mut world = World::new();
    for nth in 0..400_u32 {
        world.put("web", &format!("10.0.0.1:{}", 1000 + nth), &[]);
    }
    let read = world.send(TCP, &ask("web.discoverd", kind::SRV, None)).unwrap();
    assert_eq!((read.sections[0].len(), read.sections[2].len()), (400, 400));
}

#[test]
fn what_does_not_fit_in_is_truncated() {
    let mut world = World::new();
    for nth in 0..3 {
        world.put(
            "web",
            &format!("10.0.0.{nth}:80"),
            &[("text", &format!("{nth}{}", "x".repeat(299)))],
        );
    }
    let none = world.send(UDP, &ask("web.discoverd", kind::TXT, None)).unwrap();
    assert_eq!((none.flags & 0x0200, none.sections[0].len()), (0x0200, 1));
    assert!(none.length <= 512 && none.sections[0][0].contains("x|xxx"), "{none:?}");
    for (size, records) in [(0, 1), (512, 1), (800, 2), (1232, 3), (65_535, 3)] {
        let read = world.send(UDP, &ask("web.discoverd", kind::TXT, Some((size, 0)))).unwrap();
        assert_eq!(read.sections[0].len(), records, "{size}");
        assert_eq!(read.flags & 0x0200 == 0, records == 3);
        assert_eq!(read.edns, Some((1232, 0)));
        assert!(read.length <= usize::from(size.clamp(512, 1232)));
    }
    // 16 KiB of attributes are more than any datagram takes.
    world.put("big", "10.0.0.1:1", &[("k", &"x".repeat(16_000))]);
    let read = world.send(UDP, &ask("big.discoverd", kind::TXT, Some((65_535, 0)))).unwrap();
    assert_eq!((read.flags & 0x0200, read.sections[0].len()), (0x0200, 0));
    assert_eq!(world.data(TCP, "big.discoverd", kind::TXT)[0].matches('|').count(), 62);
    // Addresses beside are left out before records are.
    let long = format!("{}.{}", "y".repeat(40), "z".repeat(15));
    for nth in 0..3 {
        world.put(&long, &format!("[::{nth}]:80"), &[]);
    }
    let read = world.ask(&format!("{long}.discoverd"), kind::SRV);
    assert_eq!((read.flags & 0x0200, read.sections[0].len()), (0, 3), "{read:?}");
    assert!(read.sections[2].len() < 3);
}

#[test]
fn what_is_no_question_for_the_zone() {
    let mut world = World::new();
    world.put("web", "10.0.0.1:80", &[]);
    let web = ask("web.discoverd", kind::A, None);
    let changed = |at: usize, byte: u8| {
        let mut message = web.clone();
        message[at] = byte;
        message
    };
    // Answers, and what has no whole header, are not answered.
    for message in [&web[..0], &web[..11], &changed(2, 0x81), &changed(2, 0xa8)] {
        assert_eq!(world.send(UDP, message), None);
    }
    let behind = [&web[..], b"x"].concat();
    let pointer = [&web[..HEADER], b"\xc0\x0c", &[0, 1, 0, 1]].concat();
    let opt = ask("web.discoverd", kind::A, Some((512, 0)));
    let mut two_opts = [&opt[..], &opt[opt.len() - 11..]].concat();
    two_opts[11] = 2;
    for (message, rcode) in [
        (&web[..HEADER], 1),
        (&web[..20], 1),
        (&web[..web.len() - 1], 1),
        (&behind, 1),
        (&pointer, 1),
        (&two_opts, 1),
        // No question, two, and records that are not there.
        (&changed(5, 0), 1),
        (&changed(5, 2), 1),
        (&changed(4, 1), 1),
        (&changed(7, 1), 1),
        (&changed(11, 1), 1),
        // An update, a status.
        (&changed(2, 0x28), 4),
        (&changed(2, 0x11), 4),
    ] {
        let read = world.send(UDP, message).unwrap();
        assert_eq!((read.rcode, read.length), (rcode, HEADER), "{message:?}");
        assert_eq!(read.flags & 0x0100 != 0, message[2] & 1 != 0, "RD is given back");
    }
    for (name, kind, class, rcode) in [
        ("web.example.org", kind::A, IN, 5),
        ("", kind::NS, IN, 5),
        ("discoverd.org", kind::A, IN, 5),
        ("xdiscoverd", kind::A, IN, 5),
        ("discoverd", kind::AXFR, IN, 5),
        ("discoverd", kind::IXFR, IN, 5),
        // The class of version.bind, and of all.
        ("web.discoverd", kind::A, 3, 5),
        ("web.discoverd", kind::A, 255, 0),
    ] {
        let mut message = ask(name, kind, Some((1232, 0)));
        let at = message.len() - 11;
        message[at - 2..at].copy_from_slice(&u16::to_be_bytes(class));
        let read = world.send(UDP, &message).unwrap();
        assert_eq!((read.rcode, read.edns.is_some()), (rcode, true), "{name}");
        assert_eq!(
            read.flags & 0x0480 == 0x0400,
            rcode == 0,
            "AA is for the zone, RA for recursors"
        );
    }
    let read = world.send(UDP, &ask("web.discoverd", kind::A, Some((1232, 1)))).unwrap();
    assert_eq!((read.rcode, read.edns, read.sections[0].len()), (16, Some((1232, 0)), 0));
    assert_eq!(world.ask("web.discoverd", kind::A).edns, None);
}

#[test]
fn who_does_not_know_says_so() {
    let mut world = World::new();
    let mut out = Vec::new();
    let query = ask("web.discoverd", kind::A, None);
    world.server.query(Instant::ZERO, UDP, &query, None, &mut out);
    assert_eq!((read(&out).rcode, read(&out).sections), (2, Default::default()));
}

#[test]
fn services_that_are_gone_are_forgotten() {
    let mut world = World::new();
    for nth in 0..2000 {
        let name = format!("s{nth}");
        world.put(&name, "10.0.0.1:80", &[]);
        world.ask(&format!("{name}.discoverd"), kind::A);
        world.registry.remove(&name, "10.0.0.1:80", world.registry.index() + 1);
    }
    assert!(world.server.services() < 200, "{}", world.server.services());
}

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

proptest! {
    /// Any bytes are answered within bounds or not at all; what is answered can be read.
    #[test]
    fn any_datagram_is_taken(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut world = World::new();
        world.put("web", "10.0.0.1:80", &[]);
        let mut out = Vec::new();
        world.server.query(Instant::ZERO, UDP, &bytes, Some(&world.registry), &mut out);
        prop_assert!(out.len() <= 1232);
        if !out.is_empty() {
            prop_assert_eq!((&out[..2], out[2] & 0x80), (&bytes[..2], 0x80));
        }
    }

    /// Whatever is registered, each name of it answers, in a size that was asked for; what SRV records name can be asked for.
    #[test]
    fn any_service_is_found(
        name in "[a-zA-Z_. ]{1,12}",
        addresses in prop::collection::btree_set("(10\\.0\\.0\\.[0-9]:[0-9]{1,3}|\\[::[0-9]\\]:[0-9]|host\\.x:[0-9]|[a-z:]{1,4})", 1..8),
        size in 0..2000_u16,
    ) {
        let mut world = World::new();
        for address in &addresses {
            world.put(&name, address, &[("k", "v")]);
        }
        let asked = format!("{}.discoverd", name.replace('.', "\\."));
        for kind in [kind::A, kind::AAAA, kind::SRV, kind::TXT] {
            let message = ask(&asked, kind, Some((size, 0)));
            let answer = world.send(UDP, &message).unwrap();
            prop_assert_eq!(answer.rcode, 0);
            prop_assert!(answer.length <= usize::from(size.clamp(512, 1232)));
            let all = world.send(TCP, &message).unwrap().sections;
            if kind == kind::SRV {
                for record in all[0].iter().filter(|it| it.contains("._i.discoverd.")) {
                    let (_, target) = record.split_once(" SRV ").unwrap();
                    let (_, target) = target.split_once(' ').unwrap();
                    let found = [kind::A, kind::AAAA].map(|kind| world.data(UDP, target, kind).len());
                    prop_assert_eq!(found[0] + found[1], 1, "{}", record);
                }
            }
        }
    }

    #[test]
    fn a_question_is_read_as_it_was_written(
        labels in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..20), 0..8),
        kind: u16, class: u16, id: u16, size: u16, dnssec: bool, has_edns: bool,
    ) {
        let name = Name::from_labels(labels.iter().map(Vec::as_slice)).unwrap();
        let edns = has_edns.then_some(Edns { size, version: 0, dnssec });
        let query = Query { id: 1, flags: 0x0110, question: Question { name, kind, class }, edns };
        let mut message = Vec::new();
        query.ask(id, size, &mut message);
        prop_assert_eq!(Query::read(&message), Ok(Query { id, ..query }));
        for length in 0..message.len() {
            prop_assert!(Query::read(&message[..length]).is_err());
        }
    }
}
