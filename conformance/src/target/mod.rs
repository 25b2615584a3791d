//! What a session is played against: an engine behind a socket, a node in memory, or the recording itself.

mod memory;
mod mirror;
mod sockets;

use std::time::Duration;

pub use memory::Memory;
pub use mirror::Mirror;
pub use sockets::Sockets;

/// Something that clients connect to. Connections have the numbers of the recording.
pub trait Target {
    /// Opens a connection.
    ///
    /// # Errors
    ///
    /// Nobody is there.
    fn open(&mut self, conn: u32) -> Result<(), String>;
    /// Sends bytes. One that does not take them shows in [`next`](Self::next).
    fn send(&mut self, conn: u32, bytes: &[u8]);
    /// Ends the client's half.
    fn end(&mut self, conn: u32);
    /// Closes the connection; nothing is heard of it any more.
    fn close(&mut self, conn: u32);
    /// What the target does next, if it does something within that time.
    fn next(&mut self, limit: Duration) -> Option<Said>;
    /// The time since some start, by which pauses are measured.
    fn now(&self) -> Duration;
}

/// What a target did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Said {
    /// It sent bytes.
    Data(u32, Vec<u8>),
    /// It ended its half, or the whole connection.
    End(u32),
    /// The connection broke.
    Broken(u32, String),
}

impl Said {
    /// The connection's number.
    #[must_use]
    pub const fn conn(&self) -> u32 {
        match self {
            Self::Data(conn, _) | Self::End(conn) | Self::Broken(conn, _) => *conn,
        }
    }
}
