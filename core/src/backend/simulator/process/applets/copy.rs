//! `cp`, `mv`, `install`.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;

use super::{Options, Output, Sys};
use crate::backend::simulator::files::{Errno, Kind, Node, View};

/// Copies a node to a path; of a folder's copy the files of the same names are replaced.
fn copy(
    files: &mut View<'_>,
    cwd: &str,
    node: &Arc<Node>,
    to: &str,
    keep: bool,
) -> Result<(), Errno> {
    let (place, old) = files.locate(cwd, to, true)?;
    let meta = |files: &View<'_>, node: &Node| {
        if keep { node.meta } else { files.meta(node.meta.mode & 0o777) }
    };
    match (&node.kind, old.as_deref()) {
        (Kind::Directory(entries), Some(Node { kind: Kind::Directory(_), .. })) => {
            drop(old);
            for (name, entry) in entries {
                copy(files, cwd, entry, &format!("{}/{name}", to.trim_end_matches('/')), keep)?;
            }
            Ok(())
        }
        (Kind::Directory(_), Some(_)) => Err(Errno::NotDir),
        (Kind::Directory(entries), None) => {
            let meta = meta(files, node);
            files.put(&place, Node::directory(meta))?;
            for (name, entry) in entries {
                copy(files, cwd, entry, &format!("{}/{name}", to.trim_end_matches('/')), keep)?;
            }
            if keep { files.set_meta(cwd, to, true, |own| *own = node.meta) } else { Ok(()) }
        }
        (_, Some(Node { kind: Kind::Directory(_), .. })) => Err(Errno::IsDir),
        (kind, old) => {
            let mut meta = meta(files, node);
            if let Some(old) = old.filter(|_| !keep) {
                files.allowed(&old.meta, 2)?;
                meta = crate::backend::simulator::files::Meta { mtime: files.now, ..old.meta };
            }
            files.put(&place, Node { meta, kind: kind.clone(), inode: 0 })
        }
    }
}

/// Where a file goes whose target may be a folder.
fn into(files: &View<'_>, cwd: &str, from: &str, to: &str) -> String {
    if !files.is_directory(cwd, to) {
        return to.to_string();
    }
    let name = super::base(from.trim_end_matches('/'));
    if matches!(name, "." | ".." | "") {
        to.to_string()
    } else {
        format!("{}/{name}", to.trim_end_matches('/'))
    }
}

pub(super) fn cp(sys: &mut Sys<'_, '_>, args: &[String], done: &mut Output) -> u8 {
    let Some(options) = Options::parse(args, "arRfpdLPHivnT", "", done) else { return 1 };
    let Some((to, from)) = options.operands.split_last().filter(|(_, from)| !from.is_empty())
    else {
        done.complain("cp: missing file operand");
        return 1;
    };
    let recursive = ['a', 'r', 'R'].into_iter().any(|letter| options.has(letter));
    let keep = options.has('a') || options.has('p');
    let follow = options.has('L') || !(recursive || options.has('d') || options.has('P'));
    let cwd = sys.cwd();
    let files = &mut sys.system.files;
    if from.len() > 1 && !files.is_directory(&cwd, to) {
        done.complain(&format!("cp: target '{to}': Not a directory"));
        return 1;
    }
    let mut status = 0;
    for path in from {
        let node = match files.node(&cwd, path, follow) {
            Ok(node) => node,
            Err(error) => {
                done.complain(&format!("cp: can't stat '{path}': {error}"));
                status = 1;
                continue;
            }
        };
        if node.is_directory() && !recursive {
            done.complain(&format!("cp: omitting directory '{path}'"));
            status = 1;
            continue;
        }
        let target = if options.has('T') { to.clone() } else { into(files, &cwd, path, to) };
        let same = files.canonical(&cwd, path);
        if same.is_ok() && same == files.canonical(&cwd, &target) {
            done.complain(&format!("cp: '{path}' and '{target}' are the same file"));
            status = 1;
            continue;
        }
        if options.has('n') && files.exists(&cwd, &target) {
            continue;
        }
        if let Err(error) = copy(files, &cwd, &node, &target, keep) {
            done.complain(&format!("cp: can't create '{target}': {error}"));
            status = 1;
        }
    }
    status
}

pub(super) fn mv(sys: &mut Sys<'_, '_>, args: &[String], done: &mut Output) -> u8 {
    let Some(options) = Options::parse(args, "finvT", "", done) else { return 1 };
    let Some((to, from)) = options.operands.split_last().filter(|(_, from)| !from.is_empty())
    else {
        done.complain("mv: missing file operand");
        return 1;
    };
    let cwd = sys.cwd();
    let files = &mut sys.system.files;
    if from.len() > 1 && !files.is_directory(&cwd, to) {
        done.complain(&format!("mv: target '{to}' is not a directory"));
        return 1;
    }
    let mut status = 0;
    for path in from {
        let target = into(files, &cwd, path, to);
        if options.has('n') && files.exists(&cwd, &target) {
            continue;
        }
        if let Err(error) = files.rename(&cwd, path, &target) {
            done.complain(&format!("mv: can't rename '{path}': {error}"));
            status = 1;
        }
    }
    status
}

pub(super) fn install(sys: &mut Sys<'_, '_>, args: &[String], done: &mut Output) -> u8 {
    let Some(options) = Options::parse(args, "dDcsp", "mog", done) else { return 1 };
    let mode = options
        .value('m')
        .and_then(|text| super::files::change_mode(text, 0, true))
        .unwrap_or(0o755);
    let cwd = sys.cwd();
    let files = &mut sys.system.files;
    let result = if options.has('d') {
        options.operands.iter().try_for_each(|path| files.mkdir_all(&cwd, path, mode).map(drop))
    } else {
        let Some((to, from)) = options.operands.split_last() else { return 1 };
        from.iter().try_for_each(|path| {
            let node = files.node(&cwd, path, true)?;
            let target = into(files, &cwd, path, to);
            if let Some((folder, _)) =
                target.rsplit_once('/').filter(|(folder, _)| options.has('D') && !folder.is_empty())
            {
                files.mkdir_all(&cwd, folder, 0o755)?;
            }
            copy(files, &cwd, &node, &target, false)?;
            files.set_meta(&cwd, &target, true, |meta| meta.mode = mode)
        })
    };
    match result {
        Ok(()) => 0,
        Err(error) => {
            done.complain(&format!("install: {error}"));
            1
        }
    }
}
