//! The init layer: what an engine puts between an image and what a container changes, so that there is always a place to
//! mount `/proc`, `/dev` and the files of the network on.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::{ChangeKind, Meta, Name, Node, Tree, diff};

/// What is laid where the image has nothing of that name.
const FOLDERS: [&str; 6] = ["dev", "dev/pts", "dev/shm", "etc", "proc", "sys"];
const FILES: [&str; 5] =
    [".dockerenv", "dev/console", "etc/hostname", "etc/hosts", "etc/resolv.conf"];

fn names(path: &str) -> Vec<Name> {
    path.split('/').filter(|name| !name.is_empty()).map(Name::from).collect()
}

impl Tree {
    /// This image's files with the init layer on them: what a new container's root is.
    ///
    /// `export` shows the layer, `diff` and `commit` do not.
    #[must_use]
    pub fn with_init_layer(&self, mtime: i64) -> Self {
        let mut tree = self.clone();
        let mut lay = |path: &str, node: Node| {
            let path = names(path);
            if tree.get(&path).is_none() {
                // Where something else is in the way, or there is no room, the image stays as it is.
                let _ = tree.put(&path, Arc::new(node));
            }
        };
        for path in FOLDERS {
            lay(path, Node::directory(Meta::new(0o755, mtime)));
        }
        for path in FILES {
            lay(path, Node::file(Vec::new(), Meta::new(0o755, mtime)));
        }
        lay("etc/mtab", Node::symlink("/proc/mounts", Meta::new(0o777, mtime)));
        tree
    }

    /// A container's files without what the init layer gave it, for an image of them; `base` is the root that the container
    /// of this image began with.
    #[must_use]
    pub fn without_init_layer(&self, base: &Self, image: &Self) -> Self {
        if self.is_same(base) {
            return image.clone();
        }
        let mut tree = self.clone();
        // Ordered by path: from behind, what a folder holds comes before the folder.
        for laid in diff(image, base).iter().rev().filter(|laid| laid.kind == ChangeKind::Added) {
            let path = names(&laid.path);
            let is_as_laid = |(now, then): (&Arc<Node>, &Arc<Node>)| {
                let empty = now.entries().is_some_and(alloc::collections::BTreeMap::is_empty);
                let same = empty && then.is_directory() || now.kind == then.kind;
                same && Meta { mtime: 0, ..now.meta } == Meta { mtime: 0, ..then.meta }
            };
            if tree.get(&path).zip(base.get(&path)).is_some_and(is_as_laid) {
                let _ = tree.take(&path);
            }
        }
        tree
    }
}

#[cfg(test)]
mod tests {
    use super::{FILES, FOLDERS, names};
    use crate::backend::simulator::files::{Meta, Node, Tree, diff};
    use alloc::sync::Arc;
    use alloc::vec::Vec;

    fn file(content: &str) -> Arc<Node> {
        Node::file(content, Meta::new(0o644, 7)).into()
    }

    #[test]
    fn an_empty_image_gets_all_of_it() {
        let root = Tree::new().with_init_layer(7);
        for path in FOLDERS {
            assert!(root.get(&names(path)).unwrap().is_directory(), "{path}");
        }
        for path in FILES {
            assert_eq!(root.get(&names(path)).unwrap().meta.mode, 0o755, "{path}");
        }
        assert!(diff(&Tree::new(), &root.without_init_layer(&root, &Tree::new())).is_empty());
    }

    #[test]
    fn what_the_image_has_stays() {
        let mut image = Tree::new();
        image.put(&names("etc"), file("no folder")).unwrap();
        image.put(&names("proc"), Node::symlink("elsewhere", Meta::new(0o777, 0)).into()).unwrap();
        let root = image.with_init_layer(7);
        assert_eq!(root.get(&names("etc")), image.get(&names("etc")));
        assert_eq!(root.get(&names("proc")).unwrap().kind, image.get(&names("proc")).unwrap().kind);
    }

    #[test]
    fn a_commit_takes_only_what_the_container_made() {
        let image = Tree::new();
        let base = image.with_init_layer(7);
        let mut tree = base.clone();
        tree.put(&names("etc/own"), file("own")).unwrap();
        tree.put(&names("etc/hosts"), file("changed")).unwrap();
        let taken = tree.without_init_layer(&base, &image);
        let shown: Vec<_> = diff(&image, &taken).iter().map(|change| change.path.clone()).collect();
        assert_eq!(shown, ["/etc", "/etc/hosts", "/etc/own"]);
    }
}
