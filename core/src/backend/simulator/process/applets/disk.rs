//! `mount`, `df`, `du`.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{Options, Output, Sys};
use crate::backend::simulator::files::{Kind, Node};

/// Source, place, kind and whether it is read-only.
fn mounts(sys: &Sys<'_, '_>) -> Vec<(String, String, &'static str, bool)> {
    let mounts = sys.system.files.mounts();
    let mut all =
        Vec::from([("overlay".to_string(), "/".to_string(), "overlay", mounts.read_only())]);
    for (source, place) in [("proc", "/proc"), ("tmpfs", "/dev"), ("sysfs", "/sys")] {
        all.push((
            source.into(),
            place.into(),
            if place == "/dev" { "tmpfs" } else { source },
            false,
        ));
    }
    for mount in mounts.list() {
        let place: String = mount.path.iter().map(|name| format!("/{name}")).collect();
        let kind = if &*mount.source == "tmpfs" { "tmpfs" } else { "ext4" };
        all.push((mount.source.to_string(), place, kind, mount.read_only));
    }
    all
}

pub(super) fn mount(sys: &mut Sys<'_, '_>, args: &[String], done: &mut Output) -> u8 {
    if args.len() > 1 {
        let own = super::base(&args[0]);
        done.complain(&format!("{own}: permission denied (are you root?)"));
        return 1;
    }
    for (source, place, kind, read_only) in mounts(sys) {
        let access = if read_only { "ro" } else { "rw" };
        done.line(&format!("{source} on {place} type {kind} ({access},relatime)"));
    }
    0
}

pub(super) fn df(sys: &mut Sys<'_, '_>, args: &[String], done: &mut Output) -> u8 {
    let Some(options) = Options::parse(args, "hkPTmai", "", done) else { return 1 };
    let human = options.has('h');
    done.line(&format!(
        "Filesystem           {} Use% Mounted on",
        if human { "     Size      Used Available" } else { "1K-blocks      Used Available" }
    ));
    let show = |kib: u64| match kib {
        _ if !human => kib.to_string(),
        0..1024 => format!("{kib}.0K"),
        1024..1_048_576 => format!("{:.1}M", kib as f64 / 1024.0),
        _ => format!("{:.1}G", kib as f64 / 1_048_576.0),
    };
    for (source, place, kind, _) in mounts(sys) {
        if matches!(kind, "proc" | "sysfs") {
            continue;
        }
        let files = &sys.system.files;
        let tree =
            files.locate("/", &place, true).ok().and_then(|(at, _)| files.store().get(at.tree()));
        let Some(tree) = tree else { continue };
        let (size, used) = (tree.limits().bytes / 1024, tree.used().bytes.div_ceil(1024));
        let free = size.saturating_sub(used);
        let percent = (used * 100).div_ceil(size.max(1));
        done.line(&format!(
            "{source:<20} {:>9} {:>9} {:>9} {percent:>3}% {place}",
            show(size),
            show(used),
            show(free)
        ));
    }
    0
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
