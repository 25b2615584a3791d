//! What makes, changes and removes files.

use alloc::format;
use alloc::string::{String, ToString};

use super::{Options, Output, Sys};
use crate::backend::simulator::files::{Errno, Kind, Node, View};

pub(super) fn mkdir(sys: &mut Sys<'_, '_>, args: &[String], done: &mut Output) -> u8 {
    let Some(options) = Options::parse(args, "pv", "m", done) else { return 1 };
    let (cwd, mask) = (sys.cwd(), sys.process().umask);
    let mode = options.value('m').and_then(|text| change_mode(text, 0o777, true));
    let mut status = 0;
    for path in &options.operands {
        let files = &mut sys.system.files;
        let made = match options.has('p') {
            true => files.mkdir_all(&cwd, path, 0o777 & !mask),
            false => files.mkdir(&cwd, path, 0o777 & !mask),
        };
        let made = made.and_then(|_| match mode {
            Some(mode) => files.set_meta(&cwd, path, true, |meta| meta.mode = mode),
            None => Ok(()),
        });
        if let Err(error) = made {
            done.complain(&format!("mkdir: can't create directory '{path}': {error}"));
            status = 1;
        }
    }
    status
}

pub(super) fn rmdir(sys: &mut Sys<'_, '_>, args: &[String], done: &mut Output) -> u8 {
    let Some(options) = Options::parse(args, "p", "", done) else { return 1 };
    let cwd = sys.cwd();
    let mut status = 0;
    for path in &options.operands {
        if let Err(error) = sys.system.files.rmdir(&cwd, path) {
            done.complain(&format!("rmdir: '{path}': {error}"));
            status = 1;
        }
    }
    status
}

pub(super) fn rm(sys: &mut Sys<'_, '_>, args: &[String], done: &mut Output) -> u8 {
    let Some(options) = Options::parse(args, "rRfiv", "", done) else { return 1 };
    let cwd = sys.cwd();
    let (recursive, force) = (options.has('r') || options.has('R'), options.has('f'));
    let mut status = 0;
    for path in &options.operands {
        let files = &mut sys.system.files;
        let removed = match files.locate(&cwd, path, false) {
            Ok((_, None)) | Err(Errno::NoEnt | Errno::NotDir) if force => Ok(()),
            Ok((_, Some(node))) if node.is_directory() && !recursive => {
                done.complain(&format!("rm: '{path}' is a directory"));
                status = 1;
                continue;
            }
            Ok((place, Some(node))) => {
                drop(node);
                files.take(&place).map(drop)
            }
            Ok((_, None)) => Err(Errno::NoEnt),
            Err(error) => Err(error),
        };
        if let Err(error) = removed {
            done.complain(&format!("rm: can't remove '{path}': {error}"));
            status = 1;
        }
    }
    status
}

pub(super) fn touch(sys: &mut Sys<'_, '_>, args: &[String], done: &mut Output) -> u8 {
    let Some(options) = Options::parse(args, "camh", "dtr", done) else { return 1 };
    let (cwd, mask) = (sys.cwd(), sys.process().umask);
    let files = &mut sys.system.files;
    let given = options.value('d').map(|text| text.trim_start_matches('@').parse::<i64>());
    let now = match (given, options.value('r')) {
        (Some(Ok(time)), _) => time,
        (_, Some(path)) => files.node(&cwd, path, true).map_or(files.now, |node| node.meta.mtime),
        _ => files.now,
    };
    let mut status = 0;
    for path in &options.operands {
        let there = files.exists(&cwd, path);
        if !there && options.has('c') {
            continue;
        }
        let made =
            if there { Ok(()) } else { files.create(&cwd, path, 0o666 & !mask, false).map(drop) };
        let touched = made.and_then(|()| files.set_meta(&cwd, path, true, |meta| meta.mtime = now));
        if let Err(error) = touched {
            done.complain(&format!("touch: {path}: {error}"));
            status = 1;
        }
    }
    status
}

/// The mode that `u+x,go-w` or `755` makes of another.
pub(super) fn change_mode(text: &str, old: u16, directory: bool) -> Option<u16> {
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return u16::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777);
    }
    let mut mode = old;
    for clause in text.split(',') {
        let at = clause.find(['+', '-', '='])?;
        let mut who = 0;
        for letter in clause[..at].chars() {
            who |= match letter {
                'u' => 0o4700,
                'g' => 0o2070,
                'o' => 0o1007,
                'a' => 0o7777,
                _ => return None,
            };
        }
        let who = if who == 0 { 0o7777 } else { who };
        let mut bits = 0;
        for letter in clause[at + 1..].chars() {
            bits |= match letter {
                'r' => 0o444,
                'w' => 0o222,
                'x' => 0o111,
                'X' if directory || mode & 0o111 != 0 => 0o111,
                'X' => 0,
                's' => 0o6000,
                't' => 0o1000,
                'u' => (mode >> 6 & 7) * 0o111,
                'g' => (mode >> 3 & 7) * 0o111,
                'o' => (mode & 7) * 0o111,
                _ => return None,
            };
        }
        mode = match clause.as_bytes()[at] {
            b'+' => mode | bits & who,
            b'-' => mode & !(bits & who),
            _ => mode & !(who & 0o777) | bits & who,
        };
    }
    Some(mode)
}

/// Calls for a path and, if that is wanted, for all below it.
fn each(
    files: &mut View<'_>,
    cwd: &str,
    path: &str,
    recursive: bool,
    work: &mut dyn FnMut(&mut View<'_>, &str, &Node) -> Result<(), Errno>,
) -> Result<(), Errno> {
    let mut left = alloc::vec![path.to_string()];
    while let Some(path) = left.pop() {
        let node = files.node(cwd, &path, !recursive)?;
        if recursive && let Some(entries) = node.entries() {
            left.extend(
                entries.keys().map(|name| format!("{}/{name}", path.trim_end_matches('/'))),
            );
        }
        work(files, &path, &node)?;
    }
    Ok(())
}

pub(super) fn chmod(sys: &mut Sys<'_, '_>, args: &[String], done: &mut Output) -> u8 {
    // `-x` is a mode.
    let modes = |arg: &String| {
        arg.starts_with('-') && arg.len() > 1 && arg[1..].chars().all(|c| "rwxXst".contains(c))
    };
    let args: alloc::vec::Vec<String> =
        args.iter().map(|arg| if modes(arg) { format!("a{arg}") } else { arg.clone() }).collect();
    let Some(options) = Options::parse(&args, "Rvcf", "", done) else { return 1 };
    let Some((text, paths)) = options.operands.split_first() else { return 1 };
    let cwd = sys.cwd();
    let mut status = 0;
    for path in paths {
        let files = &mut sys.system.files;
        let changed = each(files, &cwd, path, options.has('R'), &mut |files, path, node| {
            if matches!(node.kind, Kind::Symlink(_)) {
                return Ok(());
            }
            let mode =
                change_mode(text, node.meta.mode, node.is_directory()).ok_or(Errno::Inval)?;
            files.set_meta(&cwd, path, true, |meta| meta.mode = mode)
        });
        match changed {
            Ok(()) => {}
            Err(Errno::Inval) => {
                done.complain(&format!("chmod: invalid mode '{text}'"));
                return 1;
            }
            Err(error) => {
                done.complain(&format!("chmod: {path}: {error}"));
                status = 1;
            }
        }
    }
    status
}

/// The number that a user or group has.
fn id_of(files: &View<'_>, file: &str, name: &str) -> Option<u32> {
    let text = files
        .read("/", file)
        .map(|text| String::from_utf8_lossy(&text).into_owned())
        .unwrap_or_default();
    let line = text.lines().find(|line| line.split(':').next() == Some(name));
    line.and_then(|line| line.split(':').nth(2)).unwrap_or(name).parse().ok()
}

pub(super) fn chown(sys: &mut Sys<'_, '_>, args: &[String], done: &mut Output) -> u8 {
    let Some(options) = Options::parse(args, "Rvhf", "", done) else { return 1 };
    let Some((text, paths)) = options.operands.split_first() else { return 1 };
    let own = super::base(&args[0]);
    let (user, group) = match text.split_once([':', '.']) {
        _ if own == "chgrp" => ("", text.as_str()),
        Some((user, group)) => (user, group),
        None => (text.as_str(), ""),
    };
    let cwd = sys.cwd();
    let files = &mut sys.system.files;
    let uid = id_of(files, "/etc/passwd", user);
    let gid = id_of(files, "/etc/group", group);
    if !user.is_empty() && uid.is_none() {
        done.complain(&format!("{own}: unknown user {user}"));
        return 1;
    }
    if !group.is_empty() && gid.is_none() {
        done.complain(&format!("{own}: unknown group {group}"));
        return 1;
    }
    let mut status = 0;
    for path in paths {
        let changed = each(files, &cwd, path, options.has('R'), &mut |files, path, _| {
            if files.uid != 0 {
                return Err(Errno::Perm);
            }
            files.set_meta(&cwd, path, !options.has('h'), |meta| {
                meta.uid = uid.unwrap_or(meta.uid);
                meta.gid = gid.unwrap_or(meta.gid);
            })
        });
        if let Err(error) = changed {
            done.complain(&format!("{own}: {path}: {error}"));
            status = 1;
        }
    }
    status
}

pub(super) fn ln(sys: &mut Sys<'_, '_>, args: &[String], done: &mut Output) -> u8 {
    let Some(options) = Options::parse(args, "sfnv", "", done) else { return 1 };
    let cwd = sys.cwd();
    let files = &mut sys.system.files;
    let (targets, last) = match options.operands.as_slice() {
        [] => return 1,
        [one] => (core::slice::from_ref(one), "."),
        [targets @ .., last] => (targets, last.as_str()),
    };
    let mut status = 0;
    for target in targets {
        let link_to_folder = options.has('n')
            && files
                .node(&cwd, last, false)
                .is_ok_and(|node| matches!(node.kind, Kind::Symlink(_)));
        let path = if files.is_directory(&cwd, last) && !link_to_folder {
            format!("{}/{}", last.trim_end_matches('/'), super::base(target.trim_end_matches('/')))
        } else {
            last.to_string()
        };
        if options.has('f') {
            let _ = files.unlink(&cwd, &path);
        }
        let made = if options.has('s') {
            files.symlink(&cwd, target, &path)
        } else {
            match (files.node(&cwd, target, false), files.locate(&cwd, &path, false)) {
                (Ok(node), Ok((place, None))) if !node.is_directory() => files.put(&place, node),
                (Ok(node), Ok((_, None))) if node.is_directory() => Err(Errno::Perm),
                (Ok(_), Ok(_)) => Err(Errno::Exist),
                (Err(error), _) | (_, Err(error)) => Err(error),
            }
        };
        if let Err(error) = made {
            done.complain(&format!("ln: {path}: {error}"));
            status = 1;
        }
    }
    status
}

pub(super) fn readlink(sys: &mut Sys<'_, '_>, args: &[String], done: &mut Output) -> u8 {
    let Some(options) = Options::parse(args, "fnv", "", done) else { return 1 };
    let cwd = sys.cwd();
    let files = &sys.system.files;
    let mut status = 0;
    for path in &options.operands {
        let text = if options.has('f') {
            files.locate(&cwd, path, true).ok().map(|(place, _)| place.text())
        } else {
            match files.node(&cwd, path, false).map(|node| node.kind.clone()) {
                Ok(Kind::Symlink(target)) => Some(target.to_string()),
                _ => None,
            }
        };
        match text {
            Some(text) if options.has('n') => done.out.extend_from_slice(text.as_bytes()),
            Some(text) => done.line(&text),
            None => status = 1,
        }
    }
    status
}

pub(super) fn realpath(sys: &mut Sys<'_, '_>, args: &[String], done: &mut Output) -> u8 {
    let cwd = sys.cwd();
    let mut status = 0;
    for path in &args[1..] {
        match sys.system.files.locate(&cwd, path, true) {
            Ok((place, _)) => done.line(&place.text()),
            Err(error) => {
                done.complain(&format!("realpath: {path}: {error}"));
                status = 1;
            }
        }
    }
    status
}

pub(super) fn truncate(sys: &mut Sys<'_, '_>, args: &[String], done: &mut Output) -> u8 {
    let Some(options) = Options::parse(args, "c", "s", done) else { return 1 };
    let Some(length) = options.value('s').and_then(size) else {
        done.complain("truncate: invalid number");
        return 1;
    };
    let cwd = sys.cwd();
    let mut status = 0;
    for path in &options.operands {
        let files = &mut sys.system.files;
        let done_ =
            files.create(&cwd, path, 0o644, false).and_then(|place| files.truncate(&place, length));
        if let Err(error) = done_ {
            done.complain(&format!("truncate: {path}: {error}"));
            status = 1;
        }
    }
    status
}

/// A number with a unit: `1k`, `2M`.
pub(super) fn size(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" | "c" => 1,
        "b" => 512,
        "k" | "K" | "kB" => 1 << 10,
        "m" | "M" | "MB" => 1 << 20,
        "g" | "G" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

pub(super) fn mktemp(sys: &mut Sys<'_, '_>, args: &[String], done: &mut Output) -> u8 {
    let Some(options) = Options::parse(args, "dqtu", "p", done) else { return 1 };
    let template = options.operands.first().cloned().unwrap_or_else(|| "/tmp/tmp.XXXXXX".into());
    let cwd = sys.cwd();
    let mut seed = sys.system.unix.as_nanos() as u64 ^ (u64::from(sys.pid) << 32);
    let files = &mut sys.system.files;
    for _ in 0..100 {
        let mut path = template.trim_end_matches('X').to_string();
        for _ in path.len()..template.len() {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            path.push(b"abcdefghijklmnopqrstuvwxyzABCDEF"[(seed >> 59) as usize] as char);
        }
        if files.exists(&cwd, &path) {
            continue;
        }
        let made = match options.has('d') {
            true => files.mkdir(&cwd, &path, 0o700).map(drop),
            false => files.create(&cwd, &path, 0o600, false).map(drop),
        };
        return match made {
            Ok(()) => {
                done.line(&path);
                0
            }
            Err(error) => {
                done.complain(&format!("mktemp: (null): {error}"));
                1
            }
        };
    }
    1
}

pub(super) fn cmp(sys: &mut Sys<'_, '_>, args: &[String], done: &mut Output) -> u8 {
    let Some(options) = Options::parse(args, "sl", "", done) else { return 2 };
    let [one, other, ..] = options.operands.as_slice() else { return 2 };
    let cwd = sys.cwd();
    let read = |path: &String| {
        sys.system.files.read(&cwd, path).map_err(|error| format!("cmp: {path}: {error}"))
    };
    let (left, right) = match (read(one), read(other)) {
        (Ok(left), Ok(right)) => (left, right),
        (Err(text), _) | (_, Err(text)) => {
            done.complain(&text);
            return 2;
        }
    };
    if left == right {
        return 0;
    }
    if !options.has('s') {
        match left.iter().zip(right.iter()).position(|(left, right)| left != right) {
            Some(at) => {
                let line = left[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
                done.line(&format!("{one} {other} differ: char {}, line {line}", at + 1));
            }
            None => {
                let short = if left.len() < right.len() { one } else { other };
                done.complain(&format!("cmp: EOF on {short}"));
            }
        }
    }
    1
}
