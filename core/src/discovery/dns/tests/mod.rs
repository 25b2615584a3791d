//! Questions to a server, as messages.

mod answers;
mod random;
mod recursion;

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

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
