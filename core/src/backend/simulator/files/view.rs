//! What one container sees of a store: paths resolved through links and mounts, and the calls on them.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::mounts::{Mounts, Store, TreeId};
use super::{Directory, Errno, Kind, MAX_DEPTH, MAX_NAME, MAX_PATH, Meta, Name, Node};

/// Symbolic links followed in one resolution (Linux: MAXSYMLINKS).
const MAX_LINKS: usize = 40;

/// A container's files for the time of a call.
///
/// Every call takes the folder that relative paths begin in (absolute, as [`Place::text`] gives it) and a path.
#[derive(Debug)]
pub struct View<'a> {
    store: &'a mut Store,
    mounts: &'a Mounts,
    /// The time that changes are marked with, in seconds since 1970.
    pub now: i64,
    /// Who acts: root (0) may do everything, others what the nodes allow.
    pub uid: u32,
    /// The group of who acts.
    pub gid: u32,
}

/// Where a path leads: all links are followed, and the tree is known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    path: Vec<Name>,
    tree: TreeId,
    /// The names of `path` that lead to the mount.
    prefix: usize,
    read_only: bool,
}

impl Place {
    /// The absolute path.
    #[must_use]
    pub fn text(&self) -> String {
        if self.path.is_empty() {
            return "/".into();
        }
        let mut text = String::new();
        for name in &self.path {
            text.push('/');
            text.push_str(name);
        }
        text
    }

    /// The tree it is in.
    #[must_use]
    pub const fn tree(&self) -> TreeId {
        self.tree
    }

    /// The names from its tree's root.
    #[must_use]
    pub fn inner(&self) -> &[Name] {
        &self.path[self.prefix..]
    }

    /// The names from the container's root.
    #[must_use]
    pub fn names(&self) -> &[Name] {
        &self.path
    }

    const fn writable(&self) -> Result<(), Errno> {
        if self.read_only { Err(Errno::RoFs) } else { Ok(()) }
    }

    /// Whether it is where something is mounted (or the root).
    #[must_use]
    pub fn is_mount(&self) -> bool {
        self.inner().is_empty()
    }
}

/// What a caller of [`View::allowed`] wants to do.
const READ: u16 = 4;
const WRITE: u16 = 2;

impl<'a> View<'a> {
    /// A view of these mounts, acting as root.
    #[must_use]
    pub const fn new(store: &'a mut Store, mounts: &'a Mounts, now: i64) -> Self {
        Self { store, mounts, now, uid: 0, gid: 0 }
    }

    /// The mounts.
    #[must_use]
    pub const fn mounts(&self) -> &Mounts {
        self.mounts
    }

    /// The trees.
    #[must_use]
    pub const fn store(&self) -> &Store {
        self.store
    }

    /// Where a path leads, and what is there: nothing, if only its last name is missing.
    ///
    /// Whether a link that the last name names is followed is up to `follow`; a slash behind it follows it anyhow.
    ///
    /// # Errors
    ///
    /// `ENOENT`, `ENOTDIR`, `ELOOP`, `ENAMETOOLONG`.
    pub fn locate(
        &self,
        cwd: &str,
        path: &str,
        follow: bool,
    ) -> Result<(Place, Option<Arc<Node>>), Errno> {
        if path.is_empty() {
            return Err(Errno::NoEnt);
        }
        if path.len() >= MAX_PATH {
            return Err(Errno::NameTooLong);
        }
        let mut walk = Walk::new(self)?;
        let mut left: Vec<Name> = Vec::new();
        let push = |left: &mut Vec<Name>, path: &str| {
            if path.ends_with('/') {
                left.push(".".into());
            }
            left.extend(path.rsplit('/').filter(|name| !name.is_empty()).map(Name::from));
        };
        push(&mut left, path);
        if !path.starts_with('/') {
            push(&mut left, cwd);
        }
        let mut links = 0;
        while let Some(name) = left.pop() {
            if !walk.here().is_directory() {
                return Err(Errno::NotDir);
            }
            match &*name {
                "." => continue,
                ".." => {
                    walk.up();
                    continue;
                }
                _ => {}
            }
            if name.len() > MAX_NAME || walk.path.len() >= MAX_DEPTH {
                return Err(Errno::NameTooLong);
            }
            let Some(next) = walk.child(self, &name) else {
                if left.iter().any(|name| &**name != ".") {
                    return Err(Errno::NoEnt);
                }
                walk.path.push(name);
                return Ok((self.place(walk.path), None));
            };
            if let Kind::Symlink(target) = &next.kind
                && (follow || !left.is_empty())
            {
                links += 1;
                if links > MAX_LINKS {
                    return Err(Errno::Loop);
                }
                if target.starts_with('/') {
                    walk.restart();
                }
                push(&mut left, target);
                continue;
            }
            walk.down(name, next);
        }
        let node = walk.here().clone();
        Ok((self.place(walk.path), Some(node)))
    }

    fn place(&self, path: Vec<Name>) -> Place {
        let (tree, prefix, read_only) = self.mount_of(&path);
        Place { path, tree, prefix, read_only }
    }

    fn mount_of(&self, path: &[Name]) -> (TreeId, usize, bool) {
        let mount = self.mounts.list().iter().rev().filter(|mount| path.starts_with(&mount.path));
        let longest =
            mount.reduce(|best, next| if next.path.len() > best.path.len() { next } else { best });
        let kernel = path.first().and_then(|first| {
            self.store
                .kernel
                .iter()
                .find(|(name, _)| name == first)
                .map(|(_, tree)| (*tree, 1, true))
        });
        match (longest, kernel) {
            (Some(mount), _) => (mount.tree, mount.path.len(), mount.read_only),
            (None, Some(kernel)) => kernel,
            (None, None) => (self.mounts.root(), 0, self.mounts.read_only()),
        }
    }

    /// The node that a path leads to.
    ///
    /// # Errors
    ///
    /// As [`View::locate`], and `ENOENT` if nothing is there.
    pub fn node(&self, cwd: &str, path: &str, follow: bool) -> Result<Arc<Node>, Errno> {
        self.locate(cwd, path, follow)?.1.ok_or(Errno::NoEnt)
    }

    /// Whether anything is there.
    #[must_use]
    pub fn exists(&self, cwd: &str, path: &str) -> bool {
        self.node(cwd, path, true).is_ok()
    }

    /// Whether a folder is there.
    #[must_use]
    pub fn is_directory(&self, cwd: &str, path: &str) -> bool {
        self.node(cwd, path, true).is_ok_and(|node| node.is_directory())
    }

    /// The absolute path that a path leads to, without links.
    ///
    /// # Errors
    ///
    /// As [`View::node`].
    pub fn canonical(&self, cwd: &str, path: &str) -> Result<String, Errno> {
        match self.locate(cwd, path, true)? {
            (place, Some(_)) => Ok(place.text()),
            _ => Err(Errno::NoEnt),
        }
    }

    /// What a folder holds, ordered by name.
    ///
    /// # Errors
    ///
    /// As [`View::node`]; `ENOTDIR` if it is none, `EACCES` if it may not be read.
    pub fn list(&self, cwd: &str, path: &str) -> Result<Directory, Errno> {
        let node = self.node(cwd, path, true)?;
        self.allowed(&node.meta, READ)?;
        node.entries().cloned().ok_or(Errno::NotDir)
    }

    /// A file's content.
    ///
    /// # Errors
    ///
    /// As [`View::node`]; `EISDIR`, `EACCES`, `EINVAL` for what has no content.
    pub fn read(&self, cwd: &str, path: &str) -> Result<Arc<Vec<u8>>, Errno> {
        let node = self.node(cwd, path, true)?;
        self.allowed(&node.meta, READ)?;
        match &node.kind {
            Kind::File(content) => Ok(content.clone()),
            Kind::Directory(_) => Err(Errno::IsDir),
            _ => Err(Errno::Inval),
        }
    }

    /// Makes a file of this content, mode 644, or replaces the content of one.
    ///
    /// # Errors
    ///
    /// As [`View::create`], and `ENOSPC`.
    pub fn write(&mut self, cwd: &str, path: &str, content: &[u8]) -> Result<Place, Errno> {
        let place = self.create(cwd, path, 0o644, true)?;
        self.write_at(&place, 0, content)?;
        Ok(place)
    }

    /// Opens a regular file to be written: one that is not there is made, with these permissions; one that is there is
    /// emptied if that is wanted.
    ///
    /// # Errors
    ///
    /// As [`View::locate`]; `EISDIR`, `EROFS`, `EACCES`, `ENOSPC`; `EINVAL` for what is no regular file.
    pub fn create(
        &mut self,
        cwd: &str,
        path: &str,
        mode: u16,
        truncate: bool,
    ) -> Result<Place, Errno> {
        let (place, node) = self.locate(cwd, path, true)?;
        match node.as_deref() {
            None if path.ends_with('/') => return Err(Errno::IsDir),
            None => {
                let meta = self.meta(mode);
                self.put(&place, Node::file(Vec::new(), meta))?;
            }
            Some(Node { kind: Kind::Directory(_), .. }) => return Err(Errno::IsDir),
            Some(Node { kind: Kind::File(content), meta, .. }) => {
                self.allowed(meta, WRITE)?;
                place.writable()?;
                let empty = content.is_empty();
                drop(node);
                if truncate && !empty {
                    self.truncate(&place, 0)?;
                }
            }
            Some(_) => return Err(Errno::Inval),
        }
        Ok(place)
    }

    /// What is at a place, now.
    #[must_use]
    pub fn at(&self, place: &Place) -> Option<&Arc<Node>> {
        self.store.get(place.tree)?.get(place.inner())
    }

    /// Writes into the regular file at a place; the folder must have been asked before.
    ///
    /// # Errors
    ///
    /// `ENOENT` if it is gone, `EROFS`, `ENOSPC`.
    pub fn write_at(&mut self, place: &Place, offset: u64, bytes: &[u8]) -> Result<(), Errno> {
        place.writable()?;
        let now = self.now;
        let tree = self.store.get_mut(place.tree).ok_or(Errno::NoEnt)?;
        tree.write_at(place.inner(), offset, bytes)?;
        tree.set_meta(place.inner(), |meta| meta.mtime = now)
    }

    /// Sets the length of the regular file at a place.
    ///
    /// # Errors
    ///
    /// `ENOENT` if it is gone, `EROFS`, `ENOSPC`.
    pub fn truncate(&mut self, place: &Place, length: u64) -> Result<(), Errno> {
        place.writable()?;
        let now = self.now;
        let tree = self.store.get_mut(place.tree).ok_or(Errno::NoEnt)?;
        tree.truncate(place.inner(), length)?;
        tree.set_meta(place.inner(), |meta| meta.mtime = now)
    }

    /// Puts a node at a place, in place of what is there.
    ///
    /// # Errors
    ///
    /// `EROFS`, `EACCES`, `ENOSPC`, and `EBUSY` for a mount.
    pub fn put(&mut self, place: &Place, node: impl Into<Arc<Node>>) -> Result<(), Errno> {
        self.writable_folder(place)?;
        let now = self.now;
        let tree = self.store.get_mut(place.tree).ok_or(Errno::NoEnt)?;
        tree.put(place.inner(), node.into())?;
        let folder = place.inner().split_last().map_or(&[][..], |(_, folder)| folder);
        tree.set_meta(folder, |meta| meta.mtime = now)
    }

    /// Takes away what is at a place, with all below it.
    ///
    /// # Errors
    ///
    /// `ENOENT`, `EROFS`, `EACCES`, and `EBUSY` for a mount or what holds one.
    pub fn take(&mut self, place: &Place) -> Result<Arc<Node>, Errno> {
        let holds = |path: &[Name]| path.starts_with(&place.path);
        if place.is_mount() || self.mounts.list().iter().any(|mount| holds(&mount.path)) {
            return Err(Errno::Busy);
        }
        self.writable_folder(place)?;
        let now = self.now;
        let tree = self.store.get_mut(place.tree).ok_or(Errno::NoEnt)?;
        let node = tree.take(place.inner())?;
        let folder = place.inner().split_last().map_or(&[][..], |(_, folder)| folder);
        tree.set_meta(folder, |meta| meta.mtime = now)?;
        Ok(node)
    }

    /// Makes a folder.
    ///
    /// # Errors
    ///
    /// As [`View::locate`] and [`View::put`]; `EEXIST`.
    pub fn mkdir(&mut self, cwd: &str, path: &str, mode: u16) -> Result<Place, Errno> {
        match self.locate(cwd, path, true)? {
            (_, Some(_)) => Err(Errno::Exist),
            (place, None) => {
                let meta = self.meta(mode);
                self.put(&place, Node::directory(meta))?;
                Ok(place)
            }
        }
    }

    /// Makes a folder and those on the way to it; it is no error if they are there.
    ///
    /// # Errors
    ///
    /// As [`View::mkdir`]; `EEXIST` or `ENOTDIR` if something else is in the way.
    pub fn mkdir_all(&mut self, cwd: &str, path: &str, mode: u16) -> Result<Place, Errno> {
        let mut end = 0;
        for name in path.split_inclusive('/') {
            end += name.len();
            let part = &path[..end];
            match self.locate(cwd, part, true)? {
                (place, None) => {
                    let meta = self.meta(mode);
                    self.put(&place, Node::directory(meta))?;
                }
                (_, Some(node)) if node.is_directory() => {}
                _ if end == path.len() => return Err(Errno::Exist),
                _ => return Err(Errno::NotDir),
            }
        }
        self.locate(cwd, path, true).map(|(place, _)| place)
    }

    /// Removes an empty folder.
    ///
    /// # Errors
    ///
    /// `ENOTDIR`, `ENOTEMPTY`, and as [`View::take`].
    pub fn rmdir(&mut self, cwd: &str, path: &str) -> Result<(), Errno> {
        let (place, node) = self.locate(cwd, path, false)?;
        let node = node.ok_or(Errno::NoEnt)?;
        let entries = node.entries().ok_or(Errno::NotDir)?;
        if !entries.is_empty() {
            return Err(Errno::NotEmpty);
        }
        drop(node);
        self.take(&place).map(drop)
    }

    /// Removes what is no folder.
    ///
    /// # Errors
    ///
    /// `EISDIR`, and as [`View::take`].
    pub fn unlink(&mut self, cwd: &str, path: &str) -> Result<(), Errno> {
        let (place, node) = self.locate(cwd, path, false)?;
        if node.ok_or(Errno::NoEnt)?.is_directory() {
            return Err(Errno::IsDir);
        }
        self.take(&place).map(drop)
    }

    /// Moves a node, in place of what is there (a file, or an empty folder if it is a folder itself).
    ///
    /// # Errors
    ///
    /// `EINVAL` into itself, `EISDIR`, `ENOTDIR`, `ENOTEMPTY`, and as [`View::put`] and [`View::take`]. From one tree to
    /// another it copies; that is no error here.
    pub fn rename(&mut self, cwd: &str, from: &str, to: &str) -> Result<(), Errno> {
        let (source, node) = self.locate(cwd, from, false)?;
        let node = node.ok_or(Errno::NoEnt)?;
        let (target, old) = self.locate(cwd, to, false)?;
        if source == target {
            return Ok(());
        }
        if target.path.starts_with(&source.path) {
            return Err(Errno::Inval);
        }
        match old.as_deref() {
            Some(old) if old.is_directory() && !node.is_directory() => return Err(Errno::IsDir),
            Some(old) if !old.is_directory() && node.is_directory() => return Err(Errno::NotDir),
            Some(Node { kind: Kind::Directory(entries), .. }) if !entries.is_empty() => {
                return Err(Errno::NotEmpty);
            }
            None if to.ends_with('/') && !node.is_directory() => return Err(Errno::NotDir),
            _ => {}
        }
        drop(old);
        self.writable_folder(&target)?;
        drop(node);
        let node = self.take(&source)?;
        self.put(&target, node.clone()).or_else(|error| self.put(&source, node).and(Err(error)))
    }

    /// Makes a symbolic link.
    ///
    /// # Errors
    ///
    /// `EEXIST`, and as [`View::put`].
    pub fn symlink(&mut self, cwd: &str, target: &str, path: &str) -> Result<(), Errno> {
        match self.locate(cwd, path, false)? {
            (_, Some(_)) => Err(Errno::Exist),
            (place, None) => {
                let meta = self.meta(0o777);
                self.put(&place, Node::symlink(target, meta))
            }
        }
    }

    /// Changes permissions, owner or time; only root and the owner may.
    ///
    /// # Errors
    ///
    /// As [`View::node`]; `EROFS`, `EPERM`.
    pub fn set_meta(
        &mut self,
        cwd: &str,
        path: &str,
        follow: bool,
        change: impl FnOnce(&mut Meta),
    ) -> Result<(), Errno> {
        let (place, node) = self.locate(cwd, path, follow)?;
        let owner = node.ok_or(Errno::NoEnt)?.meta.uid;
        if self.uid != 0 && self.uid != owner {
            return Err(Errno::Perm);
        }
        place.writable()?;
        self.store.get_mut(place.tree).ok_or(Errno::NoEnt)?.set_meta(place.inner(), change)
    }

    /// The meta of a node made now, by who acts.
    #[must_use]
    pub const fn meta(&self, mode: u16) -> Meta {
        Meta { mode, uid: self.uid, gid: self.gid, mtime: self.now }
    }

    /// Whether who acts may read (4), write (2) or execute (1) a node; root may all, but executes only what somebody may.
    ///
    /// # Errors
    ///
    /// `EACCES`.
    pub const fn allowed(&self, meta: &Meta, want: u16) -> Result<(), Errno> {
        let bits = match self.uid {
            0 if want == 1 => meta.mode | meta.mode >> 3 | meta.mode >> 6,
            0 => 7,
            uid if uid == meta.uid => meta.mode >> 6,
            _ if self.gid == meta.gid => meta.mode >> 3,
            _ => meta.mode,
        };
        if bits & want == want { Ok(()) } else { Err(Errno::Access) }
    }

    fn writable_folder(&self, place: &Place) -> Result<(), Errno> {
        place.writable()?;
        let Some((_, folder)) = place.inner().split_last() else { return Err(Errno::Busy) };
        let tree = self.store.get(place.tree).ok_or(Errno::NoEnt)?;
        let folder = tree.get(folder).ok_or(Errno::NoEnt)?;
        self.allowed(&folder.meta, WRITE)
    }
}

/// A way down from the root, name by name.
struct Walk {
    path: Vec<Name>,
    nodes: Vec<Arc<Node>>,
}

impl Walk {
    fn new(view: &View<'_>) -> Result<Self, Errno> {
        let root = view.store.get(view.mounts.root()).ok_or(Errno::NoEnt)?.root().clone();
        Ok(Self { path: Vec::new(), nodes: Vec::from([root]) })
    }

    fn here(&self) -> &Arc<Node> {
        // `up` and `restart` leave the root.
        &self.nodes[self.nodes.len() - 1]
    }

    fn up(&mut self) {
        if self.path.pop().is_some() {
            self.nodes.pop();
        }
    }

    fn restart(&mut self) {
        self.path.clear();
        self.nodes.truncate(1);
    }

    fn down(&mut self, name: Name, node: Arc<Node>) {
        self.path.push(name);
        self.nodes.push(node);
    }

    /// What is below this folder under a name: what is mounted there, or what it holds.
    fn child(&self, view: &View<'_>, name: &Name) -> Option<Arc<Node>> {
        let held = self.here().entries()?.get(name)?;
        let is_here = |path: &[Name]| {
            path.split_last().is_some_and(|(last, way)| last == name && way == self.path)
        };
        let mounted = view.mounts.list().iter().rfind(|mount| is_here(&mount.path));
        let kernel = || {
            let first = self.path.is_empty().then_some(&view.store.kernel)?;
            first.iter().find(|(known, _)| known == name).map(|(_, tree)| *tree)
        };
        match mounted.map(|mount| mount.tree).or_else(kernel) {
            Some(tree) => view.store.get(tree).map(|tree| tree.root().clone()),
            None => Some(held.clone()),
        }
    }
}
