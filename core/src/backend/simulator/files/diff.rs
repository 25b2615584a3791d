//! What has changed between two trees, as `docker diff` tells it.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use super::{Meta, Node, Tree};

/// What has happened to a path; the numbers are those of the API's `Kind`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum ChangeKind {
    /// Content, permissions, owner or (of a folder) entries are others.
    Modified = 0,
    /// It was not there.
    Added = 1,
    /// It is gone, with all that was below it.
    Deleted = 2,
}

/// A path that differs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// What has happened to it.
    pub kind: ChangeKind,
    /// From the root, with a slash first.
    pub path: String,
}

impl fmt::Display for Change {
    /// As the CLI's `docker diff` shows it: `A /tmp/x`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = match self.kind {
            ChangeKind::Modified => 'C',
            ChangeKind::Added => 'A',
            ChangeKind::Deleted => 'D',
        };
        write!(f, "{letter} {}", self.path)
    }
}

/// The changes from one tree to another, ordered by path; the folders of a change come before it, as modified.
///
/// What the two share is passed over, so the cost is that of the changes.
#[must_use]
pub fn diff(base: &Tree, now: &Tree) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut path = String::new();
    compare(base.root(), now.root(), &mut path, &mut changes);
    changes.sort_unstable_by(|one, other| one.path.cmp(&other.path));
    changes
}

fn compare(base: &Arc<Node>, now: &Arc<Node>, path: &mut String, changes: &mut Vec<Change>) {
    if Arc::ptr_eq(base, now) {
        return;
    }
    let (Some(before), Some(after)) = (base.entries(), now.entries()) else {
        let same = base.kind == now.kind && base.meta == now.meta;
        if !same {
            changes.push(Change { kind: ChangeKind::Modified, path: path.clone() });
            add_below(now, path, changes);
        }
        return;
    };
    let own = changes.len();
    let length = path.len();
    let mut names: Vec<_> = before.keys().chain(after.keys()).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        path.push('/');
        path.push_str(name);
        match (before.get(name), after.get(name)) {
            (Some(base), Some(now)) => compare(base, now, path, changes),
            (None, Some(now)) => {
                changes.push(Change { kind: ChangeKind::Added, path: path.clone() });
                add_below(now, path, changes);
            }
            (Some(_), None) => {
                changes.push(Change { kind: ChangeKind::Deleted, path: path.clone() });
            }
            (None, None) => {}
        }
        path.truncate(length);
    }
    // A folder's time says no more than its entries do.
    let meta = Meta { mtime: now.meta.mtime, ..base.meta };
    if (changes.len() > own || meta != now.meta) && !path.is_empty() {
        changes.push(Change { kind: ChangeKind::Modified, path: path.clone() });
    }
}

fn add_below(node: &Node, path: &mut String, changes: &mut Vec<Change>) {
    let length = path.len();
    for (name, child) in node.entries().into_iter().flatten() {
        path.push('/');
        path.push_str(name);
        changes.push(Change { kind: ChangeKind::Added, path: path.clone() });
        add_below(child, path, changes);
        path.truncate(length);
    }
}
