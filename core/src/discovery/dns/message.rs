//! Messages: questions as they come, and answers as they are written (RFC 1035 section 4, RFC 6891).
//!
//! This is by hand rather than by one of the crates for it: of a question there is one name to be read, answers repeat its bytes
//! as they came (a resolver may have chosen the case of its letters to recognise the answer by), and are written straight into
//! the buffer that the node was lent. What those crates are good for, the many types of records and zone files, has no use here.

use alloc::vec::Vec;

use super::name::Name;

/// The types of records that are known here (RFC 1035, 3596, 2782, 6891, 8482).
pub mod kind {
    /// An IPv4 address.
    pub const A: u16 = 1;
    /// The name of a server of a zone.
    pub const NS: u16 = 2;
    /// The beginning of a zone.
    pub const SOA: u16 = 6;
    /// What stands for all records of a name.
    pub const HINFO: u16 = 13;
    /// Texts.
    pub const TXT: u16 = 16;
    /// An IPv6 address.
    pub const AAAA: u16 = 28;
    /// A target and its port.
    pub const SRV: u16 = 33;
    /// What a message says of its sender.
    pub const OPT: u16 = 41;
    /// Changes of a zone.
    pub const IXFR: u16 = 251;
    /// A whole zone.
    pub const AXFR: u16 = 252;
    /// All records of a name.
    pub const ANY: u16 = 255;
}

/// The class of the internet.
pub const IN: u16 = 1;
/// All classes.
pub(super) const ANY_CLASS: u16 = 255;

/// How a question has fared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rcode {
    /// It is answered, if only with that there is nothing.
    NoError,
    /// It cannot be read.
    FormErr,
    /// It cannot be answered now.
    ServFail,
    /// There is no such name.
    NxDomain,
    /// Only questions are answered here.
    NotImp,
    /// This one is not answered here.
    Refused,
    /// This version of EDNS is not known here.
    BadVers,
}

impl Rcode {
    /// As IANA has numbered it; above 15 its upper part stands in the OPT record.
    const fn number(self) -> u16 {
        match self {
            Self::NoError => 0,
            Self::FormErr => 1,
            Self::ServFail => 2,
            Self::NxDomain => 3,
            Self::NotImp => 4,
            Self::Refused => 5,
            Self::BadVers => 16,
        }
    }
}

/// Bits of a header's second word.
pub(super) mod flag {
    pub(in super::super) const RESPONSE: u16 = 0x8000;
    pub(in super::super) const OPCODE: u16 = 0x7800;
    pub(in super::super) const AUTHORITATIVE: u16 = 0x0400;
    pub(in super::super) const TRUNCATED: u16 = 0x0200;
    pub(in super::super) const RECURSION_DESIRED: u16 = 0x0100;
    pub(in super::super) const RECURSION_AVAILABLE: u16 = 0x0080;
    pub(in super::super) const AUTHENTIC: u16 = 0x0020;
    pub(in super::super) const CHECKING_DISABLED: u16 = 0x0010;
    pub(in super::super) const RCODE: u16 = 0x000f;
}

/// What is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Question {
    /// The name, as it was spelled.
    pub name: Name,
    /// The type of records.
    pub kind: u16,
    /// Their class.
    pub class: u16,
}

/// What a message's OPT record says (RFC 6891).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Edns {
    /// The largest datagram that its sender takes.
    pub size: u16,
    /// The version; 0 is the only one there is.
    pub version: u8,
    /// Whether its sender understands DNSSEC's records.
    pub dnssec: bool,
}

/// A message that asks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Query {
    /// By which its answer is known.
    pub id: u16,
    /// The header's second word.
    pub(super) flags: u16,
    /// What is asked.
    pub question: Question,
    /// What its OPT record says, if it has one.
    pub edns: Option<Edns>,
}

/// Why a message is no question.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum QueryError {
    /// It has no whole header, or it is an answer: to answer it could go on for ever.
    Unanswerable,
    /// It is answered with its id, what of its flags is given back, and this.
    Answered(u16, u16, Rcode),
}

/// The length of a message's header.
pub(super) const HEADER: usize = 12;
/// The length of an OPT record without options.
const OPT: usize = 11;

fn word(message: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(message.get(at..at + 2)?.try_into().ok()?))
}

impl Query {
    /// Reads a message.
    ///
    /// # Errors
    ///
    /// It is no question that could be answered otherwise than the error says.
    pub fn read(message: &[u8]) -> Result<Self, QueryError> {
        let (Some(id), Some(flags), true) =
            (word(message, 0), word(message, 2), message.len() >= HEADER)
        else {
            return Err(QueryError::Unanswerable);
        };
        if flags & flag::RESPONSE != 0 {
            return Err(QueryError::Unanswerable);
        }
        if flags & flag::OPCODE != 0 {
            return Err(QueryError::Answered(id, flags, Rcode::NotImp));
        }
        Self::read_on(message, id, flags).ok_or(QueryError::Answered(id, flags, Rcode::FormErr))
    }

    fn read_on(message: &[u8], id: u16, flags: u16) -> Option<Self> {
        let counts = [4, 6, 8, 10].map(|at| word(message, at).unwrap_or(0));
        if counts[0] != 1 {
            return None;
        }
        let (question, mut at) = Question::read(message)?;
        let mut edns = None;
        for (count, additional) in [(counts[1], false), (counts[2], false), (counts[3], true)] {
            for _ in 0..count {
                let record = Record::read(message, at)?;
                at = record.end;
                if record.kind == kind::OPT {
                    // One of them, of the root, among the additional records (RFC 6891 section 6.1.1).
                    if !additional || edns.is_some() || record.name != Name::ROOT {
                        return None;
                    }
                    edns = Some(Edns {
                        size: record.class,
                        version: (record.ttl >> 16) as u8,
                        dnssec: record.ttl & 0x8000 != 0,
                    });
                }
            }
        }
        (at == message.len()).then_some(Self { id, flags, question, edns })
    }

    /// Writes a message that asks the same of another server: with its own id, and of the OPT record only what is not between
    /// its sender and this server alone.
    pub(super) fn ask(&self, id: u16, size: u16, out: &mut Vec<u8>) {
        let kept = flag::RECURSION_DESIRED | flag::AUTHENTIC | flag::CHECKING_DISABLED;
        for word in [id, self.flags & kept, 1, 0, 0, u16::from(self.edns.is_some())] {
            out.extend_from_slice(&word.to_be_bytes());
        }
        self.question.write(out);
        if let Some(edns) = &self.edns {
            write_opt(size, 0, edns.dnssec, out);
        }
    }
}

impl Question {
    /// The first question of a message, and where it ends.
    pub(super) fn read(message: &[u8]) -> Option<(Self, usize)> {
        let (name, at) = Name::read(message, HEADER)?;
        let question = Self { name, kind: word(message, at)?, class: word(message, at + 2)? };
        Some((question, at + 4))
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.name.wire());
        out.extend_from_slice(&self.kind.to_be_bytes());
        out.extend_from_slice(&self.class.to_be_bytes());
    }

    /// Whether both ask for the same.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.kind == other.kind && self.class == other.class && self.name.is(&other.name)
    }
}

/// A record of a message.
struct Record {
    name: Name,
    kind: u16,
    class: u16,
    ttl: u32,
    end: usize,
}

impl Record {
    fn read(message: &[u8], at: usize) -> Option<Self> {
        let (name, at) = Name::read(message, at)?;
        let ttl = u32::from(word(message, at + 4)?) << 16 | u32::from(word(message, at + 6)?);
        let end = at + 10 + usize::from(word(message, at + 8)?);
        let (kind, class) = (word(message, at)?, word(message, at + 2)?);
        (end <= message.len()).then_some(Self { name, kind, class, ttl, end })
    }
}

fn write_opt(size: u16, rcode: u16, dnssec: bool, out: &mut Vec<u8>) {
    out.push(0);
    out.extend_from_slice(&kind::OPT.to_be_bytes());
    out.extend_from_slice(&size.to_be_bytes());
    out.extend_from_slice(&[(rcode >> 4) as u8, 0]);
    out.extend_from_slice(&(u16::from(dnssec) << 15).to_be_bytes());
    out.extend_from_slice(&[0, 0]);
}

/// Answers a message that is no question.
pub(super) fn refuse(id: u16, flags: u16, rcode: Rcode, out: &mut Vec<u8>) {
    let kept = flags & (flag::OPCODE | flag::RECURSION_DESIRED | flag::CHECKING_DISABLED);
    for word in [id, flag::RESPONSE | kept | rcode.number(), 0, 0, 0, 0] {
        out.extend_from_slice(&word.to_be_bytes());
    }
}

/// Where a record stands in an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Section {
    Answer = 0,
    Authority = 1,
    Additional = 2,
}

/// An answer that is being written behind what its buffer holds.
pub(super) struct Reply<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    /// The answer's largest length without the OPT record.
    room: usize,
    counts: [u16; 3],
    flags: u16,
    id: u16,
    edns: Option<Edns>,
}

impl<'a> Reply<'a> {
    /// An answer to `query` of at most `size` bytes, without records. `flags` are those of this server's.
    pub(super) fn new(query: &Query, flags: u16, size: usize, out: &'a mut Vec<u8>) -> Self {
        let start = out.len();
        out.extend_from_slice(&[0; HEADER]);
        query.question.write(out);
        let kept = query.flags & (flag::RECURSION_DESIRED | flag::CHECKING_DISABLED);
        Self {
            out,
            start,
            room: size.saturating_sub(if query.edns.is_some() { OPT } else { 0 }),
            counts: [0; 3],
            flags: flag::RESPONSE | flags | kept,
            id: query.id,
            edns: query.edns,
        }
    }

    /// How long it is so far.
    pub(super) fn len(&self) -> usize {
        self.out.len() - self.start
    }

    /// Adds a record of that owner, a name or a pointer to one, if it fits in; with a TTL of 0, since everything may change at
    /// any time. Returns where its data begins, from the message's beginning.
    pub(super) fn record(
        &mut self,
        section: Section,
        owner: Owner<'_>,
        kind: u16,
        data: impl FnOnce(&mut Vec<u8>),
    ) -> Option<usize> {
        let before = self.out.len();
        match owner {
            Owner::At(place) => self.out.extend_from_slice(&(0xc000 | place).to_be_bytes()),
            Owner::Name(name) => self.out.extend_from_slice(name.wire()),
        }
        self.out.extend_from_slice(&kind.to_be_bytes());
        self.out.extend_from_slice(&[0, IN as u8, 0, 0, 0, 0, 0, 0]);
        let begin = self.out.len();
        data(self.out);
        let fits = self.len() <= self.room;
        match u16::try_from(self.out.len() - begin) {
            Ok(length) if fits && self.counts[section as usize] < u16::MAX => {
                self.out[begin - 2..begin].copy_from_slice(&length.to_be_bytes());
                self.counts[section as usize] += 1;
                Some(begin - self.start)
            }
            _ => {
                self.out.truncate(before);
                None
            }
        }
    }

    /// Says that not all fitted in, so that it is asked for again over TCP.
    pub(super) fn truncate(&mut self) {
        self.flags |= flag::TRUNCATED;
    }

    /// Completes it. `size` is that of the largest datagram that is taken here.
    pub(super) fn finish(self, rcode: Rcode, size: u16) {
        let Self { out, start, flags, id, edns, counts, .. } = self;
        let mut additional = counts[2];
        let number = rcode.number();
        if let Some(edns) = edns {
            write_opt(size, number, edns.dnssec, out);
            additional += 1;
        }
        let words = [id, flags | number & flag::RCODE, 1, counts[0], counts[1], additional];
        for (nth, word) in words.into_iter().enumerate() {
            out[start + 2 * nth..start + 2 * nth + 2].copy_from_slice(&word.to_be_bytes());
        }
    }
}

/// Whose a record is.
#[derive(Clone, Copy)]
pub(super) enum Owner<'a> {
    /// The name at that place of the message, which is below 16 KiB.
    At(u16),
    Name(&'a Name),
}
