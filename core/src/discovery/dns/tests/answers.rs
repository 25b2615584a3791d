//! What the zone has, and what it has not.

use super::*;

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
        ("b.c._i.discoverd", kind::A, 0),
        ("C._i.discoverd", kind::A, 0),
        ("b._i.discoverd", kind::A, 3),
        ("b.c._tcp.discoverd", kind::A, 0),
        ("c._TCP.discoverd", kind::SRV, 0),
        ("b._tcp.discoverd", kind::SRV, 3),
        ("web._tcp.discoverd", kind::SRV, 3),
        ("c._udp.discoverd", kind::SRV, 3),
        ("_udp.discoverd", kind::SRV, 3),
        ("_nosuch.discoverd", kind::A, 3),
        ("_.discoverd", kind::A, 3),
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
fn a_protocol_s_name_is_there_while_anybody_speaks_it() {
    let mut world = World::new();
    let rcode = |world: &mut World| {
        ["_http.discoverd", "_tcp.discoverd"].map(|name| world.ask(name, kind::A).rcode)
    };
    assert_eq!(rcode(&mut world), [3, 3]);
    world.put("web", "10.0.0.1:80", &[("proto", "http")]);
    world.put("web", "10.0.0.2:80", &[("proto", "http")]);
    assert_eq!(rcode(&mut world), [0, 3]);
    world.put("web", "10.0.0.1:80", &[]);
    assert_eq!(rcode(&mut world), [0, 0]);
    world.put("web", "10.0.0.1:80", &[("a", "b")]);
    world.registry.remove("web", "10.0.0.2:80", 20);
    assert_eq!(rcode(&mut world), [3, 0]);
    world.registry.remove("web", "10.0.0.1:80", 21);
    assert_eq!(rcode(&mut world), [3, 3]);
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
        assert_eq!(read.flags & 0x0200, 0, "there is nowhere to ask for more");
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
