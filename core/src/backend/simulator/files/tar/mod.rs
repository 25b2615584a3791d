//! Archives as `tar` has them: read in whatever pieces they come, written in pieces of a bounded size.
//!
//! Read are ustar (POSIX.1-1988), the long names of GNU tar and the extended headers of pax (POSIX.1-2001), which is what
//! docker's clients and `docker save` send; written is ustar, with pax headers where a name, a link or a number does not fit.

mod header;
mod read;
mod write;

pub use read::{Entry, EntryKind, Reader, TarError, Unpacked, unpack};
pub use write::Writer;

/// Bytes of a block; everything is a number of blocks.
pub const BLOCK: usize = 512;
