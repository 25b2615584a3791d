//! Simulated file systems: what a container's processes see, what `cp`, `diff`, `commit` and `export` take away.
//!
//! A [`Tree`] is a whole file system in one pointer. A clone shares everything with the original until one of them
//! changes, and then copies only the way from the root to the change: an image, the container made of it and the image
//! committed from that container are three clones. A [`Store`] holds the trees of an engine by [`TreeId`]; [`Mounts`] says
//! which of them one container sees, and where; a [`View`] puts the two together for the time of a call and resolves
//! paths as a kernel does.
//!
//! ```
//! use libswarm::backend::simulator::files::{Mounts, Store, Tree, View, diff};
//!
//! let image = Tree::busybox();
//! let mut store = Store::new();
//! let mut mounts = Mounts::new(store.insert(image.clone()));
//! let data = store.insert(Tree::new());
//! mounts.add(&mut store, "/data", "myvolume", data, false).unwrap();
//!
//! let mut view = View::new(&mut store, &mounts, 1_700_000_000);
//! view.write("/", "tmp/greeting", b"hello\n").unwrap();
//! view.write("/", "/data/kept", b"in the volume").unwrap();
//! assert_eq!(view.read("/tmp", "../tmp/greeting").unwrap().as_slice(), b"hello\n");
//!
//! let changes = diff(&image, store.get(mounts.root()).unwrap());
//! let changes: Vec<String> = changes.iter().map(|change| change.to_string()).collect();
//! assert_eq!(changes, ["A /data", "C /tmp", "A /tmp/greeting"]);
//! ```
//!
//! What is different from a kernel: a hard link is a copy; a file that is removed while it is open cannot be read any
//! more; only the write and read bits of the file itself and of its folder are checked, not those of the way to it.
//!
//! Nothing grows without bound: a tree has [`Limits`] (`ENOSPC`), a path at most [`MAX_PATH`] bytes and [`MAX_DEPTH`] names
//! (`ENAMETOOLONG`), a resolution follows at most 40 symbolic links (`ELOOP`). [`tar`] reads and writes archives in pieces.

mod diff;
mod errno;
mod image;
mod init;
mod mounts;
mod node;
pub mod tar;
mod tree;
mod view;

pub use diff::{Change, ChangeKind, diff};
pub use errno::Errno;
pub(super) use image::APPLET;
pub use mounts::{Mount, Mounts, Store, TreeId};
pub use node::{Directory, Kind, Meta, Name, Node};
pub use tree::{Limits, Tree};
pub use view::{Place, View};

/// The bytes of the longest path (Linux: PATH_MAX).
pub const MAX_PATH: usize = 4096;
/// The bytes of the longest name (Linux: NAME_MAX).
pub const MAX_NAME: usize = 255;
/// Names in the deepest path.
pub const MAX_DEPTH: usize = 256;

#[cfg(test)]
mod tests;
