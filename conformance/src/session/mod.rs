//! What a client and an engine said to each other, as a text file.
//!
//! ```text
//! swarm-session 1
//! name: ping
//! client: curl
//!
//! 0.001 1 open
//! 0.001 1 >
//!   | GET /_ping HTTP/1.1\r\n
//!   | Host: docker\r\n
//!   | \r\n
//! 0.002 1 <
//!   | HTTP/1.1 200 OK\r\n
//!   | Content-Length: 2\r\n
//!   | \r\n
//!   | OK
//! 0.003 1 > close
//! end 4
//! ```
//!
//! The first line names the format and its version. Headers follow, `key: value`, then a blank line, then events in the
//! order of time: seconds since the start, the connection's number, what happened. `open` is the client's; `>` comes from
//! the client and `<` from the engine. `end` is the end of that side's bytes (a half-close), `close` that side's closing of
//! the connection altogether. The last line counts the events, so that a truncated file is noticed.
//!
//! The bytes of a chunk stand on the indented lines below it, one after the other:
//!
//! - `| text`: printable ASCII as it is, `\r`, `\n`, `\t`, `\\` and `\xNN`. Lines of a file are broken after a line feed,
//!   and where they would get too long, preferably after a comma: so a change in a JSON document is a small diff.
//! - `= hex`: bytes that are not text, 32 to a line.
//! - `* COUNT text`: that text, so many times, such as the blocks of a tar.
//! - `? HASH FROM LENGTH`: so many bytes from that one on of a content that is known by its SHA-256 only. Stand-ins take its
//!   place, made by a rule (`generated.rs` says which), the same wherever parts of the content pass.
//!
//! ```
//! use libswarm_conformance::session::{Session, Side, What};
//!
//! let text = "swarm-session 1\nname: ping\n\n0.001 1 open\n0.002 1 <\n  * 100 ab\nend 2\n";
//! let session: Session = text.parse().unwrap();
//! assert_eq!(session.header("name"), Some("ping"));
//! assert_eq!(session.events[1].what, What::Data(Side::Engine, b"ab".repeat(100)));
//! assert_eq!(session.to_string(), text);
//! ```

mod bytes;
mod generated;
mod large;
mod read;
mod redact;
mod write;

pub use read::ReadError;

/// Everything that happened on all connections of one scenario.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Session {
    /// What is known of it, in the order of the file: `name`, `client`, `command`, `exit` and whatever else.
    pub headers: Vec<(String, String)>,
    /// In the order of time.
    pub events: Vec<Event>,
}

/// One thing that happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// Milliseconds since the start of the recording.
    pub at: u64,
    /// The number of the connection, from 1 in the order of opening.
    pub conn: u32,
    /// What happened to it.
    pub what: What,
}

/// What happened to a connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum What {
    /// The client has opened it.
    Open,
    /// These bytes came from that side; never empty.
    Data(Side, Vec<u8>),
    /// That side sends nothing more.
    End(Side),
    /// That side has closed the connection: it sends nothing more and takes nothing more.
    Close(Side),
}

/// An end of a connection.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Side {
    /// The docker client.
    Client,
    /// The engine.
    Engine,
}

impl Session {
    /// The value of that header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The numbers of its connections, in the order of opening.
    pub fn connections(&self) -> impl Iterator<Item = u32> {
        self.events.iter().filter(|event| event.what == What::Open).map(|event| event.conn)
    }

    /// All that one side sent on a connection.
    #[must_use]
    pub fn stream(&self, conn: u32, side: Side) -> Vec<u8> {
        let mut stream = Vec::new();
        for event in self.events.iter().filter(|event| event.conn == conn) {
            match &event.what {
                What::Data(from, bytes) if *from == side => stream.extend_from_slice(bytes),
                _ => {}
            }
        }
        stream
    }
}
