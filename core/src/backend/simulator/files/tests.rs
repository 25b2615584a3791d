//! Paths, mounts, limits, changes, archives.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use proptest::prelude::*;

use super::tar::{EntryKind, Reader, TarError, Writer, unpack};
use super::{Errno, Kind, Limits, Meta, Mounts, Node, Store, Tree, View, diff};

fn with<R>(work: impl FnOnce(&mut View<'_>) -> R) -> (R, Tree) {
    let mut store = Store::new();
    let mut mounts = Mounts::new(store.insert(Tree::busybox()));
    let volume = store.insert(Tree::new());
    mounts.add(&mut store, "/data", "volume", volume, false).unwrap();
    mounts.add(&mut store, "/ro", "volume", volume, true).unwrap();
    let file = store.insert(Tree::of(Node::file("127.0.0.1 localhost\n", Meta::new(0o644, 0))));
    mounts.add(&mut store, "/etc/hosts", "hosts", file, false).unwrap();
    let result = work(&mut View::new(&mut store, &mounts, 7));
    let root = store.get(mounts.root()).unwrap().clone();
    (result, root)
}

#[test]
fn paths_are_resolved_as_a_kernel_does() {
    with(|view| {
        view.mkdir_all("/", "a/b/c", 0o755).unwrap();
        view.symlink("/", "b/c", "a/link").unwrap();
        view.symlink("/", "/a/link/..", "up").unwrap();
        view.symlink("/", "loop", "loop").unwrap();
        view.write("/a", "link/file", b"x").unwrap();
        for (path, place) in [
            ("a/link/file", Ok("/a/b/c/file")),
            ("up/c/../c/file", Ok("/a/b/c/file")),
            ("//a//./b/", Ok("/a/b")),
            ("../../..", Ok("/")),
            ("loop", Err(Errno::Loop)),
            ("a/nope/x", Err(Errno::NoEnt)),
            ("a/link/file/x", Err(Errno::NotDir)),
            ("a/link/file/", Err(Errno::NotDir)),
            ("", Err(Errno::NoEnt)),
        ] {
            assert_eq!(view.canonical("/", path), place.map(String::from), "{path}");
        }
        assert_eq!(view.canonical("/", &"x/".repeat(4000)), Err(Errno::NameTooLong));
        assert_eq!(view.mkdir("/", &"n".repeat(256), 0o755), Err(Errno::NameTooLong));
    });
}

#[test]
fn mounts_are_shared_and_may_be_read_only() {
    with(|view| {
        view.write("/", "/data/f", b"kept").unwrap();
        assert_eq!(view.read("/", "/ro/f").unwrap().as_slice(), b"kept");
        assert_eq!(view.write("/", "/ro/f", b""), Err(Errno::RoFs));
        assert_eq!(view.rmdir("/", "/data"), Err(Errno::NotEmpty));
        assert_eq!(view.unlink("/", "/etc/hosts"), Err(Errno::Busy));
        assert_eq!(view.read("/", "/etc/hosts").unwrap().as_slice(), b"127.0.0.1 localhost\n");
        assert_eq!(view.write("/", "/proc/x", b""), Err(Errno::RoFs));
        view.rename("/", "/data/f", "/tmp/f").unwrap();
        assert_eq!(view.list("/", "/ro").unwrap().len(), 0);
    });
}

#[test]
fn changes_are_told_as_docker_diff_does() {
    let ((), now) = with(|view| {
        view.write("/", "/tmp/new", b"x").unwrap();
        view.write("/", "/etc/passwd", b"x").unwrap();
        view.unlink("/", "/etc/group").unwrap();
        view.write("/", "/data/volume", b"x").unwrap();
    });
    let changes: Vec<String> =
        diff(&Tree::busybox(), &now).iter().map(ToString::to_string).collect();
    let expected =
        ["A /data", "C /etc", "D /etc/group", "C /etc/passwd", "A /ro", "C /tmp", "A /tmp/new"];
    assert_eq!(changes, expected);
}

#[test]
fn limits_are_kept() {
    let mut tree = Tree::new();
    tree.set_limits(Limits { bytes: 10, nodes: 2 });
    let name = ["f".into()];
    tree.put(&name, Node::file("12345", Meta::new(0o644, 0)).into()).unwrap();
    assert_eq!(tree.write_at(&name, 5, b"123456"), Err(Errno::NoSpc));
    tree.write_at(&name, 5, b"12345").unwrap();
    assert_eq!(
        tree.put(&["g".into()], Node::directory(Meta::new(0o755, 0)).into()),
        Err(Errno::NoSpc)
    );
    assert_eq!(tree.used(), Limits { bytes: 10, nodes: 2 });
    tree.take(&name).unwrap();
    assert_eq!(tree.used(), Limits { bytes: 0, nodes: 1 });
}

#[test]
fn a_clone_keeps_what_it_was() {
    let before = Tree::busybox();
    let mut after = before.clone();
    assert!(before.is_same(&after));
    let motd = ["etc".into(), "motd".into()];
    after.put(&motd, Node::file("hi", Meta::new(0o644, 0)).into()).unwrap();
    assert!(before.get(&motd).is_none() && after.get(&motd).is_some());
}

fn archive(nodes: &[(&str, Node)]) -> Vec<u8> {
    let mut writer = Writer::new();
    for (name, node) in nodes {
        writer.add(name, node.clone());
    }
    let mut bytes = Vec::new();
    while writer.read(&mut bytes, 700) {}
    bytes
}

fn sample() -> Vec<u8> {
    let long = format!("{}/{}", "d".repeat(120), "f".repeat(180));
    let meta = Meta { mode: 0o4750, uid: 3_000_000, gid: 5, mtime: 1_700_000_000 };
    archive(&[
        ("dir", Node::directory(meta)),
        ("dir/file", Node::file("x".repeat(1000), meta)),
        ("link", Node::symlink(&"t".repeat(150), meta)),
        (&long, Node::file("long", meta)),
    ])
}

#[test]
fn what_is_written_is_read() {
    let bytes = sample();
    for size in [1, 511, 512, 513, bytes.len()] {
        let mut reader = Reader::new(1 << 20);
        let entries: Vec<_> =
            bytes.chunks(size).flat_map(|piece| reader.feed(piece).unwrap()).collect();
        reader.finish().unwrap();
        assert!(reader.is_complete());
        assert_eq!(entries.len(), 4);
        assert_eq!((entries[0].name.as_str(), &entries[0].kind), ("dir/", &EntryKind::Directory));
        assert_eq!(entries[1].kind, EntryKind::File(b"x".repeat(1000)));
        assert_eq!(
            entries[1].meta,
            Meta { mode: 0o4750, uid: 3_000_000, gid: 5, mtime: 1_700_000_000 }
        );
        assert_eq!(entries[2].kind, EntryKind::Symlink("t".repeat(150)));
        assert_eq!(entries[3].name.len(), 301);
    }
}

#[test]
fn what_is_no_archive_is_refused() {
    let mut bytes = sample();
    assert_eq!(Reader::new(999).feed(&bytes), Err(TarError::TooBig { size: 1000 }));
    let mut reader = Reader::new(1 << 20);
    reader.feed(&bytes[..2000]).unwrap();
    assert_eq!(reader.finish(), Err(TarError::Truncated));
    bytes[3] ^= 1;
    assert_eq!(Reader::new(1 << 20).feed(&bytes), Err(TarError::Header { offset: 0 }));
}

#[test]
fn entries_stay_below_their_folder() {
    with(|view| {
        let entries = |nodes: &[(&str, Node)]| Reader::new(1 << 20).feed(&archive(nodes)).unwrap();
        let file = || Node::file("x", Meta::new(0o644, 0));
        for entry in entries(&[("a/b/c", file()), ("./d", file())]) {
            unpack(view, "/tmp", &entry, false).unwrap();
        }
        assert!(view.exists("/", "/tmp/a/b/c") && view.exists("/", "/tmp/d"));
        let out = entries(&[("../../etc/passwd", file())]);
        assert_eq!(unpack(view, "/tmp", &out[0], false), Err(Errno::Inval));
        for entry in entries(&[(".wh.d", file()), ("a/.wh..wh..opq", file())]) {
            unpack(view, "/tmp", &entry, true).unwrap();
        }
        assert!(!view.exists("/", "/tmp/d") && view.list("/", "/tmp/a").unwrap().is_empty());
        assert!(matches!(view.node("/", "/tmp", true).unwrap().kind, Kind::Directory(_)));
    });
}

proptest! {
    #[test]
    fn no_archive_panics_and_no_split_matters(
        changes in proptest::collection::vec((0..4096_usize, any::<u8>()), 0..8),
        mend in any::<bool>(),
        size in 1..2000_usize,
    ) {
        let mut bytes = sample();
        for (at, byte) in changes {
            bytes[at] = byte;
        }
        if mend {
            // With its checksum right a header is looked at more closely.
            let sum: u32 = bytes[..512].iter().enumerate().map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u32::from(*byte) }).sum();
            bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
        let read = |size: usize| {
            let mut reader = Reader::new(1 << 16);
            let mut entries = Vec::new();
            for piece in bytes.chunks(size) {
                match reader.feed(piece) {
                    Ok(more) => entries.extend(more),
                    Err(_) => break,
                }
            }
            reader.finish()
                .map(|()| entries)
        };
        prop_assert_eq!(read(size), read(1));
    }
}
