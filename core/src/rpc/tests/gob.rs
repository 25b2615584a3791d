//! Gob that another program could have written: an encoder of any type, independent of the one that is tested.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::golden::unhex;
use super::{Codec, Peer};
use crate::rpc::{Attributes, Error, Limits, ServerEvent};

/// A value of some type.
#[derive(Clone, Debug)]
enum Any {
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f64),
    Text(String),
    Slice(Vec<Any>),
    Map(Vec<(String, Any)>),
    Struct(Vec<(String, Any)>),
}

/// Writes as the specification of encoding/gob says, with ids from 64 or wherever.
struct Writer {
    next: i64,
    out: Vec<u8>,
}

fn uint(value: u64, out: &mut Vec<u8>) {
    if value <= 0x7f {
        out.push(value as u8);
    } else {
        let bytes: Vec<u8> = value.to_be_bytes().into_iter().skip_while(|b| *b == 0).collect();
        out.push(!(bytes.len() as u8) + 1);
        out.extend(bytes);
    }
}

fn int(value: i64, out: &mut Vec<u8>) {
    uint(if value < 0 { (!value as u64) << 1 | 1 } else { (value as u64) << 1 }, out);
}

fn text(value: &str, out: &mut Vec<u8>) {
    uint(value.len() as u64, out);
    out.extend(value.bytes());
}

impl Writer {
    fn message(&mut self, payload: &[u8]) {
        uint(payload.len() as u64, &mut self.out);
        self.out.extend(payload);
    }

    /// Defines the type of a value, and gives its id.
    fn define(&mut self, value: &Any) -> i64 {
        let mut body = Vec::new();
        match value {
            Any::Bool(_) => return 1,
            Any::Int(_) => return 2,
            Any::Uint(_) => return 3,
            Any::Float(_) => return 4,
            Any::Text(_) => return 6,
            Any::Slice(all) => {
                let of = all.first().map_or(6, |first| self.define(first));
                body.extend([2, 1, 1]);
                text("[]x", &mut body);
                body.extend([0, 1]);
                int(of, &mut body);
                body.extend([0, 0]);
            }
            Any::Map(all) => {
                let of = all.first().map_or(6, |(_, first)| self.define(first));
                body.extend([4, 1, 0, 1]);
                int(6, &mut body);
                body.push(1);
                int(of, &mut body);
                body.extend([0, 0]);
            }
            Any::Struct(all) => {
                let ids: Vec<i64> = all.iter().map(|(_, value)| self.define(value)).collect();
                body.extend([3, 1, 1]);
                text("S", &mut body);
                body.extend([0, 1]);
                uint(all.len() as u64, &mut body);
                for ((name, _), id) in all.iter().zip(ids) {
                    body.push(1);
                    text(name, &mut body);
                    body.push(1);
                    int(id, &mut body);
                    body.push(0);
                }
                body.extend([0, 0]);
            }
        }
        let id = self.next;
        self.next += 1;
        let mut payload = Vec::new();
        int(-id, &mut payload);
        payload.extend(body);
        self.message(&payload);
        id
    }

    fn value(&mut self, value: &Any) {
        let id = self.define(value);
        let mut payload = Vec::new();
        int(id, &mut payload);
        if !matches!(value, Any::Struct(_)) {
            payload.push(0);
        }
        encode(value, &mut payload);
        self.message(&payload);
    }
}

fn encode(value: &Any, out: &mut Vec<u8>) {
    match value {
        Any::Bool(value) => out.push(u8::from(*value)),
        Any::Int(value) => int(*value, out),
        Any::Uint(value) => uint(*value, out),
        Any::Float(value) => uint(value.to_bits().swap_bytes(), out),
        Any::Text(value) => text(value, out),
        Any::Slice(all) => {
            uint(all.len() as u64, out);
            all.iter().for_each(|value| encode(value, out));
        }
        Any::Map(all) => {
            uint(all.len() as u64, out);
            for (key, value) in all {
                text(key, out);
                encode(value, out);
            }
        }
        Any::Struct(all) => {
            let mut last = 0;
            for (at, (_, value)) in all.iter().enumerate() {
                // A zero may be left out or not.
                if !matches!(value, Any::Int(0) | Any::Bool(false)) {
                    uint(at as u64 + 1 - last, out);
                    last = at as u64 + 1;
                    encode(value, out);
                }
            }
            out.push(0);
        }
    }
}

/// Values whose elements are all of one type, as Go's are.
fn anything() -> impl Strategy<Value = Any> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Any::Bool),
        any::<i64>().prop_map(Any::Int),
        any::<u64>().prop_map(Any::Uint),
        any::<f64>().prop_map(Any::Float),
        "\\PC{0,200}".prop_map(Any::Text),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            (inner.clone(), 0_usize..4).prop_map(|(of, count)| Any::Slice(alloc::vec![of; count])),
            (inner.clone(), 0_usize..4).prop_map(|(of, count)| Any::Map(
                (0..count).map(|nth| (format!("{nth}"), of.clone())).collect()
            )),
            prop::collection::vec(inner, 0..4).prop_map(|all| Any::Struct(
                all.into_iter().enumerate().map(|(at, of)| (format!("x{at}"), of)).collect()
            )),
        ]
    })
}

proptest! {
    #[test]
    fn fields_are_found_among_any_others(
        (first, second) in (anything(), anything()), name in "\\PC{0,20}", seq: u64, id in 64_i64..100_000,
        attributes in prop::option::of(prop::collection::btree_map("[a-z]{0,200}", "\\PC{0,9}", 0..4)),
        place in any::<prop::sample::Index>(),
    ) {
        let mut peer = Peer::greeted(Codec::Gob);
        let mut writer = Writer { next: id, out: Vec::new() };
        writer.value(&Any::Struct(alloc::vec![
            ("Extra".into(), first),
            ("Seq".into(), Any::Uint(seq)),
            ("ServiceMethod".into(), Any::Text("Agent.Register".into())),
        ]));
        let mut args = alloc::vec![("Name".into(), Any::Text(name.clone())), ("Other".into(), second)];
        // An empty map of this type would be one of strings, too.
        if let Some(attributes) = &attributes {
            let pairs = attributes.iter().map(|(key, value)| (key.clone(), Any::Text(value.clone())));
            args.insert(place.index(3), ("Attrs".into(), Any::Map(pairs.collect())));
        }
        writer.value(&Any::Struct(args));
        peer.send(&writer.out);
        prop_assert_eq!(peer.error, None);
        let (call, _, args) = peer.call();
        prop_assert_eq!(args.name, name);
        prop_assert_eq!(args.attributes, attributes);
        peer.server.fail(call, "x", &mut peer.out);
        let mut expected = Vec::new();
        text("Agent.Register", &mut expected);
        if seq != 0 {
            expected.push(1);
            uint(seq, &mut expected);
        }
        prop_assert!(peer.out.windows(expected.len()).any(|window| window == expected));
    }

    #[test]
    fn any_argument_is_answered(value in anything()) {
        let mut peer = Peer::greeted(Codec::Gob);
        let header = |seq| Any::Struct(alloc::vec![
            ("ServiceMethod".into(), Any::Text("Agent.Register".into())), ("Seq".into(), Any::Uint(seq)),
        ]);
        let mut writer = Writer { next: 70, out: Vec::new() };
        writer.value(&header(7));
        writer.value(&value);
        writer.value(&header(8));
        writer.value(&Any::Struct(alloc::vec![("Name".into(), Any::Text("after".into()))]));
        peer.send(&writer.out);
        prop_assert_eq!(peer.error, None);
        // A structure without fields is one that has none of ours.
        let fits = matches!(&value, Any::Struct(fields) if fields.is_empty());
        prop_assert_eq!(peer.events.len(), if fits { 2 } else { 1 });
        let Some(ServerEvent::Call { args, .. }) = peer.events.last() else { panic!() };
        prop_assert_eq!(&*args.name, "after");
        prop_assert_eq!(peer.out.windows(4).any(|window| window == b"gob:"), !fits);
    }

    #[test]
    fn no_bytes_make_it_panic_or_wait_for_ever(bytes: Vec<u8>, cut in 0_usize..167) {
        let mut peer = Peer::greeted(Codec::Gob);
        peer.send(&unhex(FIRST)[..cut]);
        peer.send(&bytes);
        peer.send(&bytes);
    }
}

/// The first request of a session.
const FIRST: &str = "2fff81030101075265717565737401ff82000102010d536572766963654d6574686f64010c00010353657101060000\
    0013ff82010e4167656e742e52656769737465720\
    02fff83030101044172677301ff8400010301044e616d65010c00010441646472010c000105417474727301ff86000000\
    21ff85040101116d61705b737472696e675d737472696e6701ff8600010c010c0000\
    10ff8401046361704101053a3730303100";

/// Sends a message.
fn refused(peer: &mut Peer, hex: &str) -> Error {
    peer.send(&unhex(hex));
    peer.error.expect("it is refused")
}

#[test]
fn what_is_no_gob_ends_the_connection() {
    for hex in [
        // No message, no id, a length of nine bytes.
        "00",
        "0100",
        "f7",
        // A value of a type that nobody has defined, and one that is no header.
        "02ff8200",
        "03040054",
        // A definition of something built in, of a type twice, of nothing, of two things at once, with more behind it.
        "0a0b030102ff8400000000",
        "0aff83030102ff84000000 0aff83030102ff84000000",
        "04ff830000",
        "0dff8301 0102ff840000 02 00 00 00 00",
        "0bff83030102ff8400000000",
    ] {
        let mut peer = Peer::greeted(Codec::Gob);
        assert_eq!(refused(&mut peer, hex), Error::Gob, "{hex}");
    }
}

#[test]
fn a_length_is_bounded_before_its_bytes_come() {
    let mut peer = Peer::greeted(Codec::Gob);
    let mut length = Vec::new();
    uint(256 * 1024 + 1, &mut length);
    peer.send(&length);
    assert_eq!(peer.error, Some(Error::MessageTooLong));
    let mut peer = Peer::greeted(Codec::Gob);
    peer.send(&[0xf8; 9]);
    assert_eq!(peer.error, Some(Error::MessageTooLong));
}

#[test]
fn definitions_are_bounded() {
    let mut peer = Peer::greeted(Codec::Gob);
    let mut writer = Writer { next: 64, out: Vec::new() };
    for _ in 0..10_000 {
        writer.define(&Any::Slice(Vec::new()));
    }
    peer.send(&writer.out);
    assert_eq!(peer.error, Some(Error::TooManyDefinitions));
}

/// One without a name takes a byte of the definition, and a look at it for every message.
#[test]
fn fields_are_bounded() {
    for (count, error) in [(100, None), (10_000, Some(Error::TooManyDefinitions))] {
        let mut peer = Peer::greeted(Codec::Gob);
        let mut structure = Vec::new();
        int(-70, &mut structure);
        structure.extend([3, 2]);
        uint(count, &mut structure);
        structure.extend((0..count).map(|_| 0));
        structure.extend([0, 0]);
        let mut writer = Writer { next: 0, out: Vec::new() };
        writer.message(&structure);
        peer.send(&writer.out);
        assert_eq!(peer.error, error, "{count} fields");
    }
}

#[test]
fn a_type_of_itself_is_not_followed_for_ever() {
    let mut peer = Peer::greeted(Codec::Gob);
    peer.send(&unhex(FIRST));
    peer.events.clear();
    // Type 70 is a slice of itself, 71 a structure of Name and of one of those.
    let mut slice = Vec::new();
    int(-70, &mut slice);
    slice.extend([2, 1, 0, 1]);
    int(70, &mut slice);
    slice.extend([0, 0]);
    let mut structure = Vec::new();
    int(-71, &mut structure);
    structure.extend([3, 2, 2, 1]);
    text("Name", &mut structure);
    structure.extend([1, 12, 0, 1]);
    text("Deep", &mut structure);
    structure.push(1);
    int(70, &mut structure);
    structure.extend([0, 0, 0]);
    let mut value = Vec::new();
    int(71, &mut value);
    value.push(2);
    value.extend([1; 100_000]);
    value.extend([0, 0]);
    let mut writer = Writer { next: 0, out: Vec::new() };
    for message in [&slice, &structure] {
        writer.message(message);
    }
    writer.out.extend(unhex("15ff82010e4167656e742e5265676973746572010100"));
    writer.message(&value);
    peer.send(&writer.out);
    assert_eq!((peer.error, peer.events.len()), (None, 0));
    assert!(peer.out.windows(13).any(|window| window == b"gob: bad data"));
}

#[test]
fn a_wrong_field_is_named() {
    for (field, message) in [
        (("Name", Any::Uint(7)), "gob: wrong type (string) for received field S.Name"),
        (
            ("Attrs", Any::Text("x".into())),
            "gob: wrong type (map[string]string) for received field S.Attrs",
        ),
        (
            ("Attrs", Any::Map([("a".into(), Any::Uint(1))].into())),
            "gob: wrong type (map[string]string) for received field S.Attrs",
        ),
    ] {
        let mut peer = Peer::greeted(Codec::Gob);
        let mut writer = Writer { next: 65, out: Vec::new() };
        let method = Any::Text("Agent.Register".into());
        writer.value(&Any::Struct([("ServiceMethod".into(), method)].into()));
        writer.value(&Any::Struct([(field.0.into(), field.1)].into()));
        peer.send(&writer.out);
        let out = String::from_utf8_lossy(&peer.out).into_owned();
        assert!(out.contains(message), "{out:?}");
    }
}

#[test]
fn a_name_that_is_not_utf_8_is_refused_alone() {
    let mut peer = Peer::greeted(Codec::Gob);
    let mut bytes = unhex(FIRST);
    let at = bytes.windows(4).position(|window| window == b"capA").unwrap();
    bytes[at] = 0xff;
    peer.send(&bytes);
    assert!(peer.events.is_empty() && peer.error.is_none());
    assert!(peer.out.windows(30).any(|window| window == b"discoverd: Name is not UTF-8\x00\x0a"));
}

#[test]
fn empty_attributes_are_some() {
    let mut writer = Writer { next: 65, out: Vec::new() };
    let method = Any::Text("Agent.Register".into());
    writer.value(&Any::Struct([("ServiceMethod".into(), method)].into()));
    writer.value(&Any::Struct([("Attrs".into(), Any::Map(Vec::new()))].into()));
    let mut peer = Peer::with(Limits::default());
    peer.send(super::connect(Codec::Gob).as_bytes());
    peer.send(&writer.out);
    assert_eq!(peer.call().2.attributes, Some(Attributes::new()));
    let _: Box<[u8]> = peer.out.into();
}
