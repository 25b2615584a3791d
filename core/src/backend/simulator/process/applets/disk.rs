//! `mount`, `df`, `du`.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{Options, Output, Sys};
use crate::backend::simulator::files::{Kind, Node};

/// What is mounted at a place.
struct FileSystem {
    source: String,
    place: String,
    kind: &'static str,
    read_only: bool,
    /// KiB in all, and those that are used; none where there is nothing to count.
    blocks: Option<(u64, u64)>,
}

/// What the kernel mounts in every container, behind the root.
const KERNEL: [(&str, &str, &str); 5] = [
    ("proc", "/proc", "proc"),
    ("tmpfs", "/dev", "tmpfs"),
    ("devpts", "/dev/pts", "devpts"),
    ("sysfs", "/sys", "sysfs"),
    ("mqueue", "/dev/mqueue", "mqueue"),
];

/// All that is mounted, in the order in which it was.
fn mounts(sys: &Sys<'_, '_>) -> Vec<FileSystem> {
    let files = &sys.system.files;
    let counted = |place: &str| {
        let (at, _) = files.locate("/", place, true).ok()?;
        let tree = files.store().get(at.tree())?;
        Some((tree.limits().bytes / 1024, tree.used().bytes.div_ceil(1024)))
    };
    let mounts = files.mounts();
    let mut all = Vec::from([FileSystem {
        source: "overlay".into(),
        place: "/".into(),
        kind: "overlay",
        read_only: mounts.read_only(),
        blocks: counted("/"),
    }]);
    all.extend(KERNEL.map(|(source, place, kind)| FileSystem {
        source: source.into(),
        place: place.into(),
        kind,
        read_only: kind == "sysfs",
        blocks: match source {
            "tmpfs" => counted(place),
            _ => None,
        },
    }));
    all.extend(mounts.list().iter().map(|mount| {
        let place: String = mount.path.iter().map(|name| format!("/{name}")).collect();
        FileSystem {
            source: mount.source.to_string(),
            kind: if matches!(&*mount.source, "tmpfs" | "shm") { "tmpfs" } else { "ext4" },
            read_only: mount.read_only,
            blocks: counted(&place),
            place,
        }
    }));
    all
}

pub(super) fn mount(sys: &mut Sys<'_, '_>, args: &[String], done: &mut Output) -> u8 {
    if args.len() > 1 {
        let own = super::base(&args[0]);
        done.complain(&format!("{own}: permission denied (are you root?)"));
        return 1;
    }
    for FileSystem { source, place, kind, read_only, .. } in mounts(sys) {
        let access = if read_only { "ro" } else { "rw" };
        done.line(&format!("{source} on {place} type {kind} ({access},relatime)"));
    }
    0
}

/// The file system that a path is on: the last one of those that are mounted deepest.
fn holding(sys: &mut Sys<'_, '_>, all: &[FileSystem], path: &str) -> Option<usize> {
    let cwd = sys.cwd();
    let path = sys.system.files.canonical(&cwd, path).ok()?;
    let holds = |place: &str| {
        let below = path.strip_prefix(place.trim_end_matches('/'));
        below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let holding = all.iter().enumerate().filter(|(_, one)| holds(&one.place));
    holding.max_by_key(|(_, one)| one.place.len()).map(|(nth, _)| nth)
}

pub(super) fn df(sys: &mut Sys<'_, '_>, args: &[String], done: &mut Output) -> u8 {
    let Some(options) = Options::parse(args, "hkPTmai", "", done) else { return 1 };
    let (human, mut status) = (options.has('h'), 0);
    let all = mounts(sys);
    let mut shown: Vec<&FileSystem> = Vec::new();
    for path in &options.operands {
        match holding(sys, &all, path) {
            Some(nth) => shown.push(&all[nth]),
            None => {
                done.complain(&format!("df: {path}: can't find mount point"));
                status = 1;
            }
        }
    }
    if options.operands.is_empty() {
        shown.extend(all.iter().filter(|one| one.blocks.is_some() || options.has('a')));
    }
    done.line(&format!(
        "Filesystem           {} Use% Mounted on",
        if human { "     Size      Used Available" } else { "1K-blocks      Used Available" }
    ));
    let show = |kib: u64| match kib {
        _ if !human => kib.to_string(),
        0 => "0".into(),
        1..1024 => format!("{kib}.0K"),
        1024..1_048_576 => format!("{:.1}M", kib as f64 / 1024.0),
        _ => format!("{:.1}G", kib as f64 / 1_048_576.0),
    };
    for FileSystem { source, place, blocks, .. } in shown {
        let (size, used) = blocks.unwrap_or_default();
        let free = size.saturating_sub(used);
        let percent = (used * 100).div_ceil(size.max(1));
        done.line(&format!(
            "{source:<20} {:>9} {:>9} {:>9} {percent:>3}% {place}",
            show(size),
            show(used),
            show(free)
        ));
    }
    status
}

pub(super) fn du(sys: &mut Sys<'_, '_>, args: &[String], done: &mut Output) -> u8 {
    let Some(options) = Options::parse(args, "sahkcmx", "d", done) else { return 1 };
    let cwd = sys.cwd();
    let paths = if options.operands.is_empty() {
        Vec::from([".".to_string()])
    } else {
        options.operands.clone()
    };
    let mut status = 0;
    for path in paths {
        match sys.system.files.node(&cwd, &path, false) {
            Ok(node) => {
                let total = walk(&node, &path, &options, true, done);
                if !node.is_directory() {
                    done.line(&format!("{total}\t{path}"));
                }
            }
            Err(error) => {
                done.complain(&format!("du: {path}: {error}"));
                status = 1;
            }
        }
    }
    status
}

/// Adds up KiB; trees are not deeper than a path is long.
fn walk(node: &Node, path: &str, options: &Options, top: bool, done: &mut Output) -> u64 {
    let Kind::Directory(entries) = &node.kind else { return node.size().div_ceil(4096) * 4 };
    let mut total = 4;
    for (name, entry) in entries {
        let path = format!("{}/{name}", path.trim_end_matches('/'));
        let size = walk(entry, &path, options, false, done);
        if options.has('a') && !entry.is_directory() {
            done.line(&format!("{size}\t{path}"));
        }
        total += size;
    }
    if top || !options.has('s') {
        done.line(&format!("{total}\t{path}"));
    }
    total
}
