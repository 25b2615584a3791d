//! One file, folder or link.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// A name in a folder.
pub type Name = Arc<str>;
/// What a folder holds, ordered by name.
pub type Directory = BTreeMap<Name, Arc<Node>>;

/// Who may do what with a node, and when its content was changed last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Meta {
    /// The permission bits with setuid, setgid and sticky: 0 to 0o7777.
    pub mode: u16,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// The last change of the content, in seconds since 1970.
    pub mtime: i64,
}

impl Meta {
    /// root's, with these permission bits.
    #[must_use]
    pub const fn new(mode: u16, mtime: i64) -> Self {
        Self { mode, uid: 0, gid: 0, mtime }
    }
}

/// What a node is, with its content.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A regular file.
    File(Arc<Vec<u8>>),
    /// A folder.
    Directory(Directory),
    /// A symbolic link, with the path it names.
    Symlink(Arc<str>),
    /// A character device (or a block device).
    Device {
        /// Whether it is a block device.
        block: bool,
        /// The driver's number.
        major: u32,
        /// The device's number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
}

/// One file, folder, link or device.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Node {
    /// Permissions, owner and time.
    pub meta: Meta,
    /// What it is.
    pub kind: Kind,
    /// Its number, unique in its tree; 0 until it is put into one.
    pub inode: u64,
}

impl Node {
    /// A regular file.
    #[must_use]
    pub fn file(content: impl Into<Vec<u8>>, meta: Meta) -> Self {
        Self { meta, kind: Kind::File(Arc::new(content.into())), inode: 0 }
    }

    /// An empty folder.
    #[must_use]
    pub const fn directory(meta: Meta) -> Self {
        Self { meta, kind: Kind::Directory(BTreeMap::new()), inode: 0 }
    }

    /// A symbolic link.
    #[must_use]
    pub fn symlink(target: &str, meta: Meta) -> Self {
        Self { meta, kind: Kind::Symlink(target.into()), inode: 0 }
    }

    /// Whether it is a folder.
    #[must_use]
    pub const fn is_directory(&self) -> bool {
        matches!(self.kind, Kind::Directory(_))
    }

    /// What it holds, if it is a folder.
    #[must_use]
    pub const fn entries(&self) -> Option<&Directory> {
        match &self.kind {
            Kind::Directory(entries) => Some(entries),
            _ => None,
        }
    }

    /// Its content, if it is a regular file.
    #[must_use]
    pub const fn content(&self) -> Option<&Arc<Vec<u8>>> {
        match &self.kind {
            Kind::File(content) => Some(content),
            _ => None,
        }
    }

    /// Its size in bytes, as `stat` tells it.
    #[must_use]
    pub fn size(&self) -> u64 {
        match &self.kind {
            Kind::File(content) => content.len() as u64,
            Kind::Symlink(target) => target.len() as u64,
            Kind::Directory(_) => 4096,
            Kind::Device { .. } | Kind::Fifo => 0,
        }
    }

    /// `st_mode`: the kind of file and the permission bits.
    #[must_use]
    pub const fn st_mode(&self) -> u32 {
        let kind = match self.kind {
            Kind::File(_) => 0o100_000,
            Kind::Directory(_) => 0o040_000,
            Kind::Symlink(_) => 0o120_000,
            Kind::Device { block: true, .. } => 0o060_000,
            Kind::Device { block: false, .. } => 0o020_000,
            Kind::Fifo => 0o010_000,
        };
        kind | self.meta.mode as u32
    }

    /// The mode in the ten letters of `ls -l`.
    #[must_use]
    pub fn letters(&self) -> String {
        let mode = self.meta.mode;
        let mut letters = String::with_capacity(10);
        letters.push(match self.kind {
            Kind::File(_) => '-',
            Kind::Directory(_) => 'd',
            Kind::Symlink(_) => 'l',
            Kind::Device { block: true, .. } => 'b',
            Kind::Device { block: false, .. } => 'c',
            Kind::Fifo => 'p',
        });
        for (shift, special, mark) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
            let bits = mode >> shift;
            letters.push(if bits & 4 == 0 { '-' } else { 'r' });
            letters.push(if bits & 2 == 0 { '-' } else { 'w' });
            letters.push(match (mode & special != 0, bits & 1 != 0) {
                (true, true) => mark,
                (true, false) => mark.to_ascii_uppercase(),
                (false, true) => 'x',
                (false, false) => '-',
            });
        }
        letters
    }

    /// Nodes, bytes and levels of what begins here.
    pub(super) fn measure(&self) -> Measure {
        let own = match &self.kind {
            Kind::Directory(entries) => {
                let mut whole = Measure { nodes: 1, bytes: 0, depth: 1 };
                for child in entries.values() {
                    let below = child.measure();
                    whole.nodes += below.nodes;
                    whole.bytes += below.bytes;
                    whole.depth = whole.depth.max(below.depth + 1);
                }
                return whole;
            }
            _ => self.size(),
        };
        Measure { nodes: 1, bytes: own, depth: 1 }
    }
}

/// What a part of a tree takes.
#[derive(Clone, Copy)]
pub(super) struct Measure {
    pub(super) nodes: u64,
    pub(super) bytes: u64,
    pub(super) depth: usize,
}
