//! The trees of an engine, and which of them a container sees.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::{Errno, Limits, MAX_NAME, Meta, Name, Node, Tree};

/// A tree in a [`Store`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TreeId(u32);

/// The trees of an engine: the roots of its containers, its volumes, what it binds.
///
/// What every container has, `/dev`, `/proc` and `/sys`, stands here once.
#[derive(Debug)]
pub struct Store {
    trees: Vec<Option<Tree>>,
    free: Vec<u32>,
    full: bool,
    pub(super) kernel: Vec<(Name, TreeId)>,
}

impl Store {
    /// A store of what the kernel gives.
    #[must_use]
    pub fn new() -> Self {
        let mut store =
            Self { trees: Vec::new(), free: Vec::new(), full: false, kernel: Vec::new() };
        for (name, tree) in [("dev", Tree::dev()), ("proc", Tree::proc()), ("sys", Tree::new())] {
            let id = store.insert(tree);
            store.kernel.push((name.into(), id));
        }
        store
    }

    /// Keeps a tree. Its id is free again after [`Store::remove`].
    pub fn insert(&mut self, mut tree: Tree) -> TreeId {
        self.bound(&mut tree);
        if let Some(id) = self.free.pop() {
            self.trees[id as usize] = Some(tree);
            return TreeId(id);
        }
        self.trees.push(Some(tree));
        TreeId(u32::try_from(self.trees.len() - 1).unwrap_or(u32::MAX))
    }

    /// How many trees it keeps.
    #[cfg(test)]
    pub(in super::super) fn len(&self) -> usize {
        self.trees.len() - self.free.len()
    }

    /// Lets the disk that all trees are on have no room any more, or room again: until then whatever makes one of them
    /// larger fails with `ENOSPC`.
    pub fn set_full(&mut self, full: bool) {
        if self.full == full {
            return;
        }
        self.full = full;
        let mut trees = core::mem::take(&mut self.trees);
        for tree in trees.iter_mut().flatten() {
            self.bound(tree);
        }
        self.trees = trees;
    }

    /// Gives a tree the limits of the disk. One that has them already stays a clone of what it was cloned from.
    fn bound(&self, tree: &mut Tree) {
        let none = Limits { bytes: 0, nodes: 0 };
        if self.full && tree.limits() != none {
            tree.set_limits(none);
        } else if !self.full && tree.limits() == none {
            tree.set_limits(Limits::default());
        }
    }

    /// The tree of that id.
    #[must_use]
    pub fn get(&self, id: TreeId) -> Option<&Tree> {
        self.trees.get(id.0 as usize)?.as_ref()
    }

    /// The tree of that id, to be changed.
    pub fn get_mut(&mut self, id: TreeId) -> Option<&mut Tree> {
        self.trees.get_mut(id.0 as usize)?.as_mut()
    }

    /// Takes a tree out; who still sees it finds nothing there.
    pub fn remove(&mut self, id: TreeId) -> Option<Tree> {
        let tree = self.trees.get_mut(id.0 as usize)?.take();
        if tree.is_some() {
            self.free.push(id.0);
        }
        tree
    }
}

impl Default for Store {
    fn default() -> Self {
        Self::new()
    }
}

/// A tree at a place in a container.
#[derive(Clone, Debug)]
pub struct Mount {
    /// Where, as names from the container's root; not empty.
    pub path: Vec<Name>,
    /// What `mount` and `df` call it.
    pub source: Arc<str>,
    /// What is there.
    pub tree: TreeId,
    /// Whether changes are refused with `EROFS`.
    pub read_only: bool,
}

/// What a container sees: a root, and what is mounted over it.
#[derive(Clone, Debug)]
pub struct Mounts {
    root: TreeId,
    read_only: bool,
    list: Vec<Mount>,
}

impl Mounts {
    /// A root and nothing else (and `/dev`, `/proc` and `/sys`, which every container has).
    #[must_use]
    pub const fn new(root: TreeId) -> Self {
        Self { root, read_only: false, list: Vec::new() }
    }

    /// The root's tree.
    #[must_use]
    pub const fn root(&self) -> TreeId {
        self.root
    }

    /// Whether changes of the root are refused with `EROFS` (`docker run --read-only`).
    #[must_use]
    pub const fn read_only(&self) -> bool {
        self.read_only
    }

    /// Sets whether changes of the root are refused.
    pub const fn set_read_only(&mut self, read_only: bool) {
        self.read_only = read_only;
    }

    /// What is mounted.
    #[must_use]
    pub fn list(&self) -> &[Mount] {
        &self.list
    }

    /// Mounts a tree at an absolute path, and makes the folder (or, for a file's tree, the file) to mount it on, as Docker
    /// does. A later mount at the same path hides an earlier one. Symbolic links are not followed.
    ///
    /// # Errors
    ///
    /// `EINVAL` for the root or a path with `..`, and what making the folder fails with.
    pub fn add(
        &mut self,
        store: &mut Store,
        path: &str,
        source: &str,
        tree: TreeId,
        read_only: bool,
    ) -> Result<(), Errno> {
        let path: Vec<Name> =
            path.split('/').filter(|name| !matches!(*name, "" | ".")).map(Name::from).collect();
        if path.is_empty() || path.iter().any(|name| &**name == "..") {
            return Err(Errno::Inval);
        }
        if path.iter().any(|name| name.len() > MAX_NAME) {
            return Err(Errno::NameTooLong);
        }
        let file = store.get(tree).is_some_and(|tree| !tree.root().is_directory());
        let below = self.list.iter().rfind(|mount| path.starts_with(&mount.path));
        let (under, from) = below.map_or((self.root, 0), |mount| (mount.tree, mount.path.len()));
        let under = store.get_mut(under).ok_or(Errno::NoEnt)?;
        for end in from + 1..=path.len() {
            if under.get(&path[from..end]).is_none() {
                let mtime = under.root().meta.mtime;
                let node = match file && end == path.len() {
                    true => Node::file(Vec::new(), Meta::new(0o644, mtime)),
                    false => Node::directory(Meta::new(0o755, mtime)),
                };
                under.put(&path[from..end], Arc::new(node))?;
            }
        }
        self.list.push(Mount { path, source: source.into(), tree, read_only });
        Ok(())
    }
}
