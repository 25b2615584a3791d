//! The registry as a zone of DNS, `discoverd.`, for every resolver there is; and other names, from other servers.
//!
//! ```text
//! NAME.discoverd               A AAAA SRV TXT   the instances of a service
//! _NAME._PROTO.discoverd       SRV              those of them whose protocol that is (RFC 2782)
//! leader.NAME.discoverd        A AAAA SRV TXT   the one that leads
//! ID.NAME._i.discoverd         A AAAA SRV TXT   one of them, as SRV records name it
//! discoverd                    SOA NS           the zone
//! ```
//!
//! - The case of ASCII letters makes no difference: services whose names differ in nothing else answer together. The question's
//!   spelling is kept in the answer. A service `web.example` is `web.example.discoverd`.
//! - `PROTO` is the [protocol](super::Instance::protocol) of an instance, which is its attribute `proto` or else `tcp`; `ID` is its
//!   [id](super::Instance::id).
//! - An instance at `IP:PORT` has an A or AAAA record, and an SRV record whose target is its `ID.NAME._i.discoverd`, with the
//!   address beside it. One at `HOST:PORT` has an SRV record with that host as its target, and no address: whoever looks for it
//!   knows better from where. One without a port has no SRV record, and an address with a zone (`fe80::1%2`) none at all. A name
//!   that leaves less than 47 of DNS's 255 bytes has no SRV record either.
//! - A TXT record has an instance's attributes, each as `key=value` in a string of its own; what is longer than 255 bytes goes on
//!   in the next string.
//! - A question for ANY is answered with one HINFO record (RFC 8482).
//! - Every TTL is 0. Over UDP three records are told, picked by chance, over TCP as many as fit in 64 KiB, beginning with any:
//!   of SRV records some 950.
//! - A name that is not there is NXDOMAIN, one that has no such records NOERROR, both with the zone's SOA record. While the store
//!   does not know who is there, the answer is SERVFAIL.
//! - A zone's server has a name, which is the zone's own, and no address: its NS record is for those who look for one.
//!
//! A datagram has at most 512 bytes, or what the question's OPT record says up to 1,232; what does not fit in is truncated (TC),
//! and is to be had over TCP.
//!
//! Questions for other names are refused, unless there are recursors: then whoever can ask here can ask these. So name recursors
//! only where none but friends can ask.
//!
//! [`Server`] is the machine. It has no socket: it is given messages and gives answers, and says what recursors are to be asked.
//! [`Frames`] takes messages out of a TCP stream.

mod config;
mod frames;
mod message;
mod name;
mod recursors;
mod server;
#[cfg(test)]
mod tests;
mod zone;

pub use config::Config;
pub use frames::Frames;
pub use message::{Edns, IN, Query, QueryError, Question, Rcode, kind};
pub use name::Name;
pub use server::{Asker, Event, Progress, Server, SocketId, Verdict};

/// The zone's one label.
pub const ZONE: &str = "discoverd";

/// The largest datagram that is taken, and sent to whoever takes one: what passes everywhere in one piece (DNS Flag Day 2020).
pub const DATAGRAM: u16 = 1232;
/// The largest one that everybody takes (RFC 1035 section 2.3.4).
const SMALL_DATAGRAM: u16 = 512;
/// So many records of a service are told in one.
const DATAGRAM_RECORDS: usize = 3;

/// How a message travels.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Transport {
    /// In a datagram.
    Udp,
    /// In a stream, behind its length.
    Tcp,
}
