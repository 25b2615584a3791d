//! The discovery RPC: Go's `net/rpc` with streams, hijacked from HTTP, as state machines without sockets.
//!
//! [`Server`] and [`Client`] are the two ends of a connection. Bytes go in borrowed; what is to be written goes into a
//! buffer that the caller lends. Neither holds input: bytes that a call did not take are given to it again, with those that
//! came since. What follows is all that a client in another language has to know.
//!
//! # The handshake
//!
//! ```text
//! → CONNECT /_goRPC_ HTTP/1.0\r\n
//! → Accept: application/vnd.flynn.rpc-hijack+json\r\n
//! → \r\n
//! ← HTTP/1.0 200 Connected to Go RPC\n
//! ← \n
//! ```
//!
//! The lines of the answer end in LF alone. The codec is JSON if the media type that `Accept` names is
//! `application/vnd.flynn.rpc-hijack+json`, whatever its parameters, and gob for any other or none. HTTP/1.1 will do,
//! also without a `Host`. Another method on that path is answered with 405, another path with 404.
//!
//! The server sends nothing behind that answer until the first request has come. Requests may follow the CONNECT at once;
//! the original discoverd lost those, so [`Client`] waits.
//!
//! # JSON
//!
//! JSON values, one behind the other. What stands between requests is white space or nothing; each reply ends with a line
//! feed. `id` is any JSON value, and comes back as it was; a missing one is `null`. Keys match without regard to case, and
//! others are ignored.
//!
//! ```text
//! → {"method":"Agent.Register","params":[{"Name":"web","Addr":":80","Attrs":{"zone":"a"}}],"id":1}
//! ← {"id":1,"result":"127.0.0.1:80","error":null}
//! → {"method":"Agent.Subscribe","params":[{"Name":"web","Addr":"","Attrs":null}],"id":2}
//! ← {"id":2,"result":{"Name":"web","Addr":"127.0.0.1:80","Online":true,"Attrs":{"zone":"a"},"Created":7},"error":null}
//! ← {"id":2,"result":{"Name":"","Addr":"","Online":false,"Attrs":null,"Created":0},"error":null}
//! ← {"id":2,"result":{"Name":"web","Addr":"127.0.0.1:80","Online":false,"Attrs":null,"Created":0},"error":null}
//! → {"method":"CloseStream","params":[{}],"id":2}
//! ← {"id":2,"result":{},"error":"EOS"}
//! → {"method":"Agent.Unregister","params":[{"Name":"web","Addr":":80","Attrs":null}],"id":3}
//! ← {"id":3,"result":{},"error":"100: Key not found (/discover/services/web/127.0.0.1:80) [8]"}
//! ```
//!
//! # Gob
//!
//! A number without a sign is one byte below 128; otherwise a byte of 256 - n, and n bytes, the highest first. A number with
//! a sign is shifted left by one, and inverted with the lowest bit set if it was negative. A message is its length, a type id
//! (with a sign) and a value. A negative id defines the type of that id; the types that are there are bool 1, int 2, uint 3,
//! float 4, bytes 5, string 6. A structure is its fields that are not zero, each behind the distance of its number from that of
//! the last one (the first is number 1), and a 0. What is no structure stands behind a 0.
//!
//! A request is two values, `Request{ServiceMethod string; Seq uint}` and `Args{Name, Addr string; Attrs map[string]string}`;
//! their types are defined before they are first used. `Register("capA", ":7001")` as the first of a connection is
//!
//! ```text
//! 2f ff81 03 01 01 07 "Request" 01 ff82 00 01 02 01 0d "ServiceMethod" 01 0c 00 01 03 "Seq" 01 06 00 00 00      type 65
//! 13 ff82 01 0e "Agent.Register" 00                                                                              Seq 0 is left out
//! 2f ff83 03 01 01 04 "Args" 01 ff84 00 01 03 01 04 "Name" 01 0c 00 01 04 "Addr" 01 0c 00 01 05 "Attrs" 01 ff86 00 00 00
//! 21 ff85 04 01 01 11 "map[string]string" 01 ff86 00 01 0c 01 0c 00 00                                           type 67
//! 10 ff84 01 04 "capA" 01 05 ":7001" 00                                                                          type 66
//! ```
//!
//! and with attributes, as the second one,
//!
//! ```text
//! 15 ff82 01 0e "Agent.Register" 01 01 00
//! 20 ff84 01 04 "capA" 01 0b "10.0.0.2:80" 01 01 03 "foo" 03 "bar" 00
//! ```
//!
//! A response is `Response{ServiceMethod string; Seq uint; Error string}` and a body: a string for Register, `struct{}` for
//! Unregister and beside every error, `ServiceUpdate{Name, Addr string; Online bool; Attrs map[string]string; Created uint}`
//! for each update of a subscription.
//!
//! ```text
//! 3a ff81 03 01 01 08 "Response" 01 ff82 00 01 03 01 0d "ServiceMethod" 01 0c 00 01 03 "Seq" 01 06 00 01 05 "Error" 01 0c 00 00 00
//! 13 ff82 01 0e "Agent.Register" 00          11 0c 00 0e "127.0.0.1:7001"
//! 16 ff82 01 0f "Agent.Subscribe" 01 02 00   24 ff86 01 04 "capA" 01 0b "10.0.0.2:80" 01 01 01 01 03 "foo" 03 "bar" 01 24 00   online
//! 16 ff82 01 0f "Agent.Subscribe" 01 02 00   16 ff86 01 04 "capA" 01 0b "10.0.0.3:80" 00                                      offline
//! 16 ff82 01 0f "Agent.Subscribe" 01 02 00   03 ff86 00                                                                       marker
//! 1b ff82 01 0f "Agent.Subscribe" 01 02 01 03 "EOS" 00   03 ff84 00                                                           end
//! ```
//!
//! Type ids vary from program to program, and fields may come that nobody here knows: read definitions, expect no ids.
//! Attributes that are absent and attributes that are empty (`01 00`) differ.
//!
//! # The methods
//!
//! - `Agent.Register` with a name, an address and attributes registers a service's instance, and returns its address; one that
//!   begins with a colon has got the server's own address. The same again, before the TTL (10 s) is over, keeps it.
//! - `Agent.Unregister` with a name and an address ends that.
//! - `Agent.Subscribe` with a name is a stream: the instances that are online, the newest first; a marker, which is an update
//!   whose name and address are empty; then every change. An instance that is gone is an update that is not online.
//! - `CloseStream`, with the sequence number of a stream and any body, ends the stream. It has no answer of its own, only the
//!   stream's end: the error `EOS`.
//!
//! Answers and updates interleave in any order. After an error the connection can be used as before.

mod client;
mod error;
mod gob;
mod json;
mod message;
mod server;
#[cfg(test)]
mod tests;

pub use client::{Client, ClientEvent};
pub use error::Error;
pub use message::{Args, Attributes, Codec, Method, Reply, Update};
pub use server::{Server, ServerEvent};

use crate::http1;

/// The path that a client connects to.
pub const PATH: &str = "/_goRPC_";

/// What a server answers to a CONNECT, exactly.
const GREETING: &[u8] = b"HTTP/1.0 200 Connected to Go RPC\n\n";
/// How the end of a stream looks: an error that is none.
const END_OF_STREAM: &str = "EOS";
/// What a client calls to end a stream.
const CLOSE_STREAM: &str = "CloseStream";

/// What a connection may hold.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Of the head before the greeting.
    pub http: http1::Limits,
    /// Bytes of a message: a gob value, or a whole request or response in JSON. Default 256 KiB. A connection with a longer one
    /// is closed.
    pub message: usize,
    /// Bytes of all type definitions of a peer's that speaks gob. Default 16 KiB; the original's client needs 151.
    pub definitions: usize,
    /// Calls that wait for their answers. Further ones are not read until one is answered. Default 128.
    pub calls: usize,
    /// Streams that are open. A further one is refused. Default 1,024.
    pub streams: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            http: http1::Limits::default(),
            message: 256 * 1024,
            definitions: 16 * 1024,
            calls: 128,
            streams: 1024,
        }
    }
}
