//! A whole file system as a persistent tree.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::node::Measure;
use super::{Errno, Kind, MAX_DEPTH, Meta, Name, Node};

/// What a tree may hold at most; more is `ENOSPC`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// The bytes of all files together.
    pub bytes: u64,
    /// Files, folders and links.
    pub nodes: u64,
}

impl Default for Limits {
    /// 256 MiB in 65,536 nodes.
    fn default() -> Self {
        Self { bytes: 256 << 20, nodes: 1 << 16 }
    }
}

/// A file system: a clone costs a reference count, and shares what neither of the two has changed.
#[derive(Clone, Debug)]
pub struct Tree(Arc<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    root: Arc<Node>,
    used: Limits,
    limits: Limits,
    next_inode: u64,
}

impl Tree {
    /// An empty folder of root's, mode 755.
    #[must_use]
    pub fn new() -> Self {
        Self::of(Node::directory(Meta::new(0o755, 0)))
    }

    /// A tree whose root is this node: also a single file, to be mounted as `/etc/hosts` is.
    #[must_use]
    pub fn of(mut root: Node) -> Self {
        root.inode = 1;
        let Measure { nodes, bytes, .. } = root.measure();
        let (used, limits) = (Limits { bytes, nodes }, Limits::default());
        Self(Arc::new(Inner { root: Arc::new(root), used, limits, next_inode: 2 }))
    }

    /// The root.
    #[must_use]
    pub fn root(&self) -> &Arc<Node> {
        &self.0.root
    }

    /// What it holds now.
    #[must_use]
    pub fn used(&self) -> Limits {
        self.0.used
    }

    /// What it may hold.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.0.limits
    }

    /// Sets what it may hold; what is in it already stays, even if it is more.
    pub fn set_limits(&mut self, limits: Limits) {
        Arc::make_mut(&mut self.0).limits = limits;
    }

    /// Whether two trees are clones of which neither has changed.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The node at these names, without following links.
    #[must_use]
    pub fn get(&self, path: &[Name]) -> Option<&Arc<Node>> {
        path.iter().try_fold(&self.0.root, |node, name| node.entries()?.get(name))
    }

    /// Puts a node at these names, in place of what is there.
    ///
    /// # Errors
    ///
    /// `ENOENT` or `ENOTDIR` if the folder that is to hold it is none, `ENOSPC` over the limits, `ENAMETOOLONG` if it gets
    /// too deep, `EBUSY` for the root.
    pub fn put(&mut self, path: &[Name], node: Arc<Node>) -> Result<(), Errno> {
        let Some((name, folder)) = path.split_last() else { return Err(Errno::Busy) };
        self.folder(folder)?;
        let added = node.measure();
        let removed =
            self.get(path).map_or(Measure { nodes: 0, bytes: 0, depth: 0 }, |old| old.measure());
        if added.depth + folder.len() > MAX_DEPTH {
            return Err(Errno::NameTooLong);
        }
        let used = self.charge(added, removed)?;
        let inner = Arc::make_mut(&mut self.0);
        inner.used = used;
        let mut node = node;
        Arc::make_mut(&mut node).inode = inner.next_inode;
        inner.next_inode += 1;
        if let Some(Kind::Directory(entries)) =
            walk(&mut inner.root, folder).map(|node| &mut node.kind)
        {
            entries.insert(name.clone(), node);
        }
        Ok(())
    }

    /// Takes the node at these names away, with all below it.
    ///
    /// # Errors
    ///
    /// `ENOENT` if there is none, `EBUSY` for the root.
    pub fn take(&mut self, path: &[Name]) -> Result<Arc<Node>, Errno> {
        let Some((name, folder)) = path.split_last() else { return Err(Errno::Busy) };
        let Measure { nodes, bytes, .. } = self.get(path).ok_or(Errno::NoEnt)?.measure();
        let inner = Arc::make_mut(&mut self.0);
        inner.used.nodes = inner.used.nodes.saturating_sub(nodes);
        inner.used.bytes = inner.used.bytes.saturating_sub(bytes);
        match walk(&mut inner.root, folder).map(|node| &mut node.kind) {
            Some(Kind::Directory(entries)) => entries.remove(name).ok_or(Errno::NoEnt),
            _ => Err(Errno::NoEnt),
        }
    }

    /// Changes permissions, owner or time of the node at these names.
    ///
    /// # Errors
    ///
    /// `ENOENT` if there is none.
    pub fn set_meta(&mut self, path: &[Name], change: impl FnOnce(&mut Meta)) -> Result<(), Errno> {
        if self.get(path).is_none() {
            return Err(Errno::NoEnt);
        }
        let inner = Arc::make_mut(&mut self.0);
        if let Some(node) = walk(&mut inner.root, path) {
            change(&mut node.meta);
        }
        Ok(())
    }

    /// Makes a file `length` bytes long, with zeros if it was shorter.
    ///
    /// # Errors
    ///
    /// `ENOENT` if there is no regular file at these names, `ENOSPC` over the limits.
    pub fn truncate(&mut self, path: &[Name], length: u64) -> Result<(), Errno> {
        self.edit(path, length, |content, length| content.resize(length, 0), Some(length))
    }

    /// Writes into a file; a gap before `offset` is filled with zeros.
    ///
    /// # Errors
    ///
    /// `ENOENT` if there is no regular file at these names, `ENOSPC` over the limits, with nothing written.
    pub fn write_at(&mut self, path: &[Name], offset: u64, bytes: &[u8]) -> Result<(), Errno> {
        let end = offset.checked_add(bytes.len() as u64).ok_or(Errno::FBig)?;
        let write = |content: &mut Vec<u8>, end: usize| {
            if content.len() < end {
                content.resize(end, 0);
            }
            content[end - bytes.len()..end].copy_from_slice(bytes);
        };
        self.edit(path, end, write, None)
    }

    /// Changes a file's content to be `end` bytes long: at least, or `exact`ly.
    fn edit(
        &mut self,
        path: &[Name],
        end: u64,
        change: impl FnOnce(&mut Vec<u8>, usize),
        exact: Option<u64>,
    ) -> Result<(), Errno> {
        let old = self.get(path).and_then(|node| node.content()).ok_or(Errno::NoEnt)?.len() as u64;
        let none = Measure { nodes: 0, bytes: old, depth: 0 };
        let used = self.charge(Measure { bytes: exact.unwrap_or(old.max(end)), ..none }, none)?;
        let end = usize::try_from(end).map_err(|_| Errno::FBig)?;
        let inner = Arc::make_mut(&mut self.0);
        inner.used = used;
        if let Some(Kind::File(content)) = walk(&mut inner.root, path).map(|node| &mut node.kind) {
            change(Arc::make_mut(content), end);
        }
        Ok(())
    }

    fn charge(&self, added: Measure, removed: Measure) -> Result<Limits, Errno> {
        let (used, limits) = (self.0.used, self.0.limits);
        let next = |used: u64, added: u64, removed: u64, limit: u64| {
            let next = used.saturating_add(added).saturating_sub(removed);
            if added > removed && next > limit { Err(Errno::NoSpc) } else { Ok(next) }
        };
        Ok(Limits {
            bytes: next(used.bytes, added.bytes, removed.bytes, limits.bytes)?,
            nodes: next(used.nodes, added.nodes, removed.nodes, limits.nodes)?,
        })
    }

    fn folder(&self, path: &[Name]) -> Result<&Node, Errno> {
        let node = self.get(path).ok_or(Errno::NoEnt)?;
        if node.is_directory() { Ok(node) } else { Err(Errno::NotDir) }
    }
}

impl Default for Tree {
    fn default() -> Self {
        Self::new()
    }
}

/// The node at these names, ready to be changed: what it shares with other trees on the way is copied.
fn walk<'a>(root: &'a mut Arc<Node>, path: &[Name]) -> Option<&'a mut Node> {
    path.iter().try_fold(Arc::make_mut(root), |node, name| match &mut node.kind {
        Kind::Directory(entries) => entries.get_mut(name).map(Arc::make_mut),
        _ => None,
    })
}
