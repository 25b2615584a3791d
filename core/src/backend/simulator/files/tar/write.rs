//! Writes archives in pieces.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::BLOCK;
use super::header::{self, checksum};
use crate::backend::simulator::files::{Kind, Node};

/// Writes an archive: nodes are added with their names, and its bytes are taken as they are wanted.
#[derive(Default)]
pub struct Writer {
    left: VecDeque<(String, Arc<Node>, bool)>,
    /// A file's content, how much of it is written, and what stands behind it.
    content: Option<(Arc<Vec<u8>>, usize)>,
    ended: bool,
}

impl Writer {
    /// An empty archive.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one node, without what is below it. A folder's name gets a slash behind it.
    pub fn add(&mut self, name: &str, node: impl Into<Arc<Node>>) {
        self.left.push_back((name.into(), node.into(), false));
    }

    /// Adds a node and all below it. With an empty name the node itself is left out.
    pub fn add_all(&mut self, name: &str, node: impl Into<Arc<Node>>) {
        self.left.push_back((name.into(), node.into(), true));
    }

    /// Appends the next bytes, at least `about` of them if there are so many; false when all were taken.
    pub fn read(&mut self, out: &mut Vec<u8>, about: usize) -> bool {
        let start = out.len();
        while out.len() - start < about.max(1) {
            if let Some((content, from)) = self.content.take() {
                let to = content.len().min(from + about.clamp(BLOCK, 1 << 20));
                out.extend_from_slice(&content[from..to]);
                if to < content.len() {
                    self.content = Some((content, to));
                } else {
                    out.resize(
                        out.len() + content.len().next_multiple_of(BLOCK) - content.len(),
                        0,
                    );
                }
                continue;
            }
            let Some((name, node, all)) = self.left.pop_front() else {
                if !core::mem::replace(&mut self.ended, true) {
                    out.resize(out.len() + 2 * BLOCK, 0);
                    return true;
                }
                return out.len() > start;
            };
            if all && let Some(entries) = node.entries() {
                let way = if name.is_empty() {
                    String::new()
                } else {
                    format!("{}/", name.trim_end_matches('/'))
                };
                for (child, entry) in entries.iter().rev() {
                    self.left.push_front((format!("{way}{child}"), entry.clone(), true));
                }
            }
            if !name.is_empty() {
                write_header(&name, &node, out);
                if let Kind::File(content) = &node.kind {
                    self.content = Some((content.clone(), 0));
                }
            }
        }
        true
    }
}

fn write_header(name: &str, node: &Node, out: &mut Vec<u8>) {
    let name = if node.is_directory() {
        format!("{}/", name.trim_end_matches('/'))
    } else {
        name.to_string()
    };
    let (kind, link, size, device) = match &node.kind {
        Kind::File(content) => (b'0', "", content.len() as u64, (0, 0)),
        Kind::Directory(_) => (b'5', "", 0, (0, 0)),
        Kind::Symlink(target) => (b'2', &**target, 0, (0, 0)),
        Kind::Device { block, major, minor } => {
            (if *block { b'4' } else { b'3' }, "", 0, (*major, *minor))
        }
        Kind::Fifo => (b'6', "", 0, (0, 0)),
    };
    let mut extended = String::new();
    let split = split(&name);
    if split.is_none() {
        record(&mut extended, "path", &name);
    }
    if link.len() > header::LINK.1 {
        record(&mut extended, "linkpath", link);
    }
    if size > 0o77_777_777_777 {
        record(&mut extended, "size", &size.to_string());
    }
    let mtime = node.meta.mtime;
    if mtime < 0 {
        record(&mut extended, "mtime", &mtime.to_string());
    }
    for (key, id) in [("uid", node.meta.uid), ("gid", node.meta.gid)] {
        if id > 0o7_777_777 {
            record(&mut extended, key, &id.to_string());
        }
    }
    if !extended.is_empty() {
        let mut block = [0; BLOCK];
        put(&mut block, header::NAME, b"PaxHeaders.0/entry");
        octal(&mut block, header::MODE, 0o644);
        octal(&mut block, header::SIZE, extended.len() as u64);
        finish(block, b'x', out);
        out.extend_from_slice(extended.as_bytes());
        out.resize(out.len() + extended.len().next_multiple_of(BLOCK) - extended.len(), 0);
    }
    let mut block = [0; BLOCK];
    let (prefix, short) = split.unwrap_or(("", &name));
    put(&mut block, header::PREFIX, prefix.as_bytes());
    put(&mut block, header::NAME, short.as_bytes());
    put(&mut block, header::LINK, link.as_bytes());
    octal(&mut block, header::MODE, u64::from(node.meta.mode));
    octal(&mut block, header::UID, u64::from(node.meta.uid));
    octal(&mut block, header::GID, u64::from(node.meta.gid));
    octal(&mut block, header::SIZE, size);
    octal(&mut block, header::MTIME, u64::try_from(mtime).unwrap_or(0));
    octal(&mut block, header::MAJOR, u64::from(device.0));
    octal(&mut block, header::MINOR, u64::from(device.1));
    finish(block, kind, out);
}

/// A record of a pax header: its length, which counts itself, and what it says.
fn record(out: &mut String, key: &str, value: &str) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length.to_string().len() + rest != length {
        length = length.to_string().len() + rest;
    }
    out.push_str(&format!("{length} {key}={value}\n"));
}

/// A name in the two fields that there are for it: `None` if it does not fit.
fn split(name: &str) -> Option<(&str, &str)> {
    if name.len() <= header::NAME.1 {
        return Some(("", name));
    }
    let fits = |at: &usize| {
        *at <= header::PREFIX.1 && name.len() - at - 1 <= header::NAME.1 && at + 1 < name.len()
    };
    let slash = name.match_indices('/').map(|(at, _)| at).find(fits)?;
    Some((&name[..slash], &name[slash + 1..]))
}

fn put(block: &mut [u8; BLOCK], (offset, length): (usize, usize), bytes: &[u8]) {
    let length = bytes.len().min(length);
    block[offset..offset + length].copy_from_slice(&bytes[..length]);
}

/// A number; one that is too big stands in a pax header, and here are zeros.
fn octal(block: &mut [u8; BLOCK], place: (usize, usize), value: u64) {
    let digits = place.1 - 1;
    let text = format!("{value:0digits$o}");
    let text = if text.len() > digits { format!("{:0digits$o}", 0) } else { text };
    put(block, place, text.as_bytes());
}

fn finish(mut block: [u8; BLOCK], kind: u8, out: &mut Vec<u8>) {
    block[header::KIND] = kind;
    put(&mut block, header::MAGIC, b"ustar\0");
    put(&mut block, (263, 2), b"00");
    let sum = checksum(&block);
    put(&mut block, header::CHECKSUM, format!("{sum:06o}\0 ").as_bytes());
    out.extend_from_slice(&block);
}
