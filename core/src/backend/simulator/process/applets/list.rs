//! `ls` and `stat`.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::{Options, Output, Sys};
use crate::backend::simulator::files::{Kind, Name, Node, View};

/// The name of a user or group, or its number.
pub(super) fn name_of(files: &View<'_>, file: &str, id: u32) -> String {
    let text = files
        .read("/", file)
        .map(|text| String::from_utf8_lossy(&text).into_owned())
        .unwrap_or_default();
    let number = id.to_string();
    let known = text.lines().find(|line| line.split(':').nth(2) == Some(number.as_str()));
    known.and_then(|line| line.split(':').next()).map_or(number, Into::into)
}

pub(super) fn ls(sys: &mut Sys<'_, '_>, args: &[String], done: &mut Output) -> u8 {
    let Some(options) = Options::parse(args, "la1dRAFhtrSicsnCxgoLHp", "w", done) else { return 1 };
    let cwd = sys.cwd();
    let tty = sys.tty(1).is_some();
    let files = &sys.system.files;
    let long = options.has('l') || options.has('n') || options.has('g') || options.has('o');
    let style = Style { long, numeric: options.has('n'), options: &options, now: files.now, tty };
    let mut status = 0;
    let operands = if options.operands.is_empty() {
        Vec::from([".".to_string()])
    } else {
        options.operands.clone()
    };
    let (mut plain, mut folders) = (Vec::new(), Vec::new());
    for path in &operands {
        let follow = !long && !options.has('d') || path.ends_with('/');
        let found = files.node(&cwd, path, follow).or_else(|_| files.node(&cwd, path, false));
        match found {
            Ok(node) if node.is_directory() && !options.has('d') => folders.push(path.clone()),
            Ok(node) => plain.push((Name::from(path.as_str()), node)),
            Err(error) => {
                done.complain(&format!("ls: {path}: {error}"));
                status = 1;
            }
        }
    }
    let titles =
        folders.len() + plain.len() > 1 || status != 0 && operands.len() > 1 || options.has('R');
    let mut first = plain.is_empty();
    style.print(files, plain, done);
    folders.reverse();
    while let Some(folder) = folders.pop() {
        let entries = match files.list(&cwd, &folder) {
            Ok(entries) => entries,
            Err(error) => {
                done.complain(&format!("ls: can't open '{folder}': {error}"));
                status = 1;
                continue;
            }
        };
        if titles {
            let gap = if core::mem::take(&mut first) { "" } else { "\n" };
            done.line(&format!("{gap}{folder}:"));
        }
        let mut shown: Vec<(Name, Arc<Node>)> = Vec::new();
        if options.has('a') {
            for name in [".", ".."] {
                if let Ok(node) = files.node(&cwd, &format!("{folder}/{name}"), true) {
                    shown.push((name.into(), node));
                }
            }
        }
        let hidden = options.has('a') || options.has('A');
        shown.extend(entries.into_iter().filter(|(name, _)| hidden || !name.starts_with('.')));
        if options.has('R') {
            let below = shown
                .iter()
                .filter(|(name, node)| node.is_directory() && !matches!(&**name, "." | ".."));
            let below: Vec<String> =
                below.map(|(name, _)| format!("{}/{name}", folder.trim_end_matches('/'))).collect();
            folders.extend(below.into_iter().rev());
        }
        if long {
            let blocks: u64 = shown.iter().map(|(_, node)| blocks(node)).sum();
            done.line(&format!("total {blocks}"));
        }
        style.print(files, shown, done);
    }
    status
}

/// KiB on the disk.
fn blocks(node: &Node) -> u64 {
    match node.kind {
        Kind::Symlink(_) | Kind::Device { .. } | Kind::Fifo => 0,
        _ => node.size().div_ceil(4096) * 4,
    }
}

struct Style<'a> {
    long: bool,
    numeric: bool,
    options: &'a Options,
    now: i64,
    tty: bool,
}

impl Style<'_> {
    fn print(&self, files: &View<'_>, mut shown: Vec<(Name, Arc<Node>)>, done: &mut Output) {
        if self.options.has('t') {
            shown.sort_by_key(|(_, node)| core::cmp::Reverse(node.meta.mtime));
        }
        if self.options.has('S') {
            shown.sort_by_key(|(_, node)| core::cmp::Reverse(node.size()));
        }
        if self.options.has('r') {
            shown.reverse();
        }
        if !self.long {
            let names: Vec<String> =
                shown.iter().map(|(name, node)| self.name(name, node)).collect();
            return if self.tty && !self.options.has('1') {
                columns(&names, done);
            } else {
                names.iter().for_each(|name| done.line(name));
            };
        }
        let rows: Vec<[String; 4]> = shown
            .iter()
            .map(|(_, node)| {
                let size = match node.kind {
                    Kind::Device { major, minor, .. } => format!("{major:3}, {minor:3}"),
                    _ if self.options.has('h') => human(node.size()),
                    _ => node.size().to_string(),
                };
                let owner = |file, id: u32| {
                    if self.numeric { id.to_string() } else { name_of(files, file, id) }
                };
                [
                    links(node).to_string(),
                    owner("/etc/passwd", node.meta.uid),
                    owner("/etc/group", node.meta.gid),
                    size,
                ]
            })
            .collect();
        for ((name, node), [links, user, group, size]) in shown.iter().zip(&rows) {
            let mut line = String::new();
            if self.options.has('i') {
                line.push_str(&format!("{:7} ", node.inode));
            }
            let width = if self.options.has('h') { 7 } else { 9 };
            line.push_str(&format!(
                "{} {links:>4} {user:<8} {group:<8} {size:>width$} {} {}",
                node.letters(),
                self.time(node.meta.mtime),
                self.name(name, node)
            ));
            if let Kind::Symlink(target) = &node.kind {
                line.push_str(" -> ");
                line.push_str(target);
            }
            done.line(&line);
        }
    }

    fn name(&self, name: &str, node: &Node) -> String {
        let sign = match node.kind {
            Kind::Directory(_) if self.options.has('F') || self.options.has('p') => "/",
            Kind::Symlink(_) if self.options.has('F') => "@",
            Kind::File(_) if self.options.has('F') && node.meta.mode & 0o111 != 0 => "*",
            _ => "",
        };
        format!("{name}{sign}")
    }

    fn time(&self, mtime: i64) -> String {
        let when = Civil::of(mtime);
        let month = MONTHS[when.month as usize - 1];
        // Half a year ago the time of the day is no longer of interest.
        if (self.now - mtime).abs() < 365 * 43_200 {
            format!("{month} {:2} {:02}:{:02}", when.day, when.hour, when.minute)
        } else {
            format!("{month} {:2}  {}", when.day, when.year)
        }
    }
}

/// Links that a kernel would count: a folder's are those of its folders.
fn links(node: &Node) -> usize {
    node.entries()
        .map_or(1, |entries| 2 + entries.values().filter(|entry| entry.is_directory()).count())
}

fn human(size: u64) -> String {
    let (mut size, mut unit) = (size * 10, 0);
    while size >= 10_240 && unit < 4 {
        size = size.div_ceil(1024);
        unit += 1;
    }
    match unit {
        0 => (size / 10).to_string(),
        _ => format!("{}.{}{}", size / 10, size % 10, ["", "K", "M", "G", "T"][unit]),
    }
}

fn columns(names: &[String], done: &mut Output) {
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0) + 2;
    let count = (80 / width).max(1);
    let rows = names.len().div_ceil(count);
    for row in 0..rows {
        let cells = names.iter().skip(row).step_by(rows.max(1));
        let line: String = cells.map(|name| format!("{name:<width$}")).collect();
        done.line(line.trim_end());
    }
}

pub(super) const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A moment on the calendar, in UTC.
pub(super) struct Civil {
    pub(super) year: i64,
    pub(super) month: i64,
    pub(super) day: i64,
    pub(super) hour: i64,
    pub(super) minute: i64,
    pub(super) second: i64,
    /// 0 is Sunday.
    pub(super) weekday: i64,
    /// From 1.
    pub(super) day_of_year: i64,
}

impl Civil {
    pub(super) fn of(seconds: i64) -> Self {
        let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        // Years begin in March here, so that the leap day is their last.
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let from_march = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * from_march + 2) / 153;
        let day = from_march - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let before = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334][month as usize - 1];
        Self {
            year,
            month,
            day,
            hour: rest / 3600,
            minute: rest / 60 % 60,
            second: rest % 60,
            weekday: (days + 4).rem_euclid(7),
            day_of_year: before + day + i64::from(leap && month > 2),
        }
    }
}

pub(super) fn stat(sys: &mut Sys<'_, '_>, args: &[String], done: &mut Output) -> u8 {
    let Some(options) = Options::parse(args, "Lft", "c", done) else { return 1 };
    let cwd = sys.cwd();
    let files = &sys.system.files;
    let mut status = 0;
    for path in &options.operands {
        let node = match files.node(&cwd, path, options.has('L')) {
            Ok(node) => node,
            Err(error) => {
                done.complain(&format!("stat: can't stat '{path}': {error}"));
                status = 1;
                continue;
            }
        };
        let user = name_of(files, "/etc/passwd", node.meta.uid);
        let group = name_of(files, "/etc/group", node.meta.gid);
        let kind = match &node.kind {
            Kind::File(content) if content.is_empty() => "regular empty file",
            Kind::File(_) => "regular file",
            Kind::Directory(_) => "directory",
            Kind::Symlink(_) => "symbolic link",
            Kind::Device { block: true, .. } => "block special file",
            Kind::Device { .. } => "character special file",
            Kind::Fifo => "fifo",
        };
        let when = Civil::of(node.meta.mtime);
        let time = format!(
            "{}-{:02}-{:02} {:02}:{:02}:{:02}.000000000 +0000",
            when.year, when.month, when.day, when.hour, when.minute, when.second
        );
        let Some(format) = options.value('c') else {
            let target = match &node.kind {
                Kind::Symlink(target) => format!("{path} -> {target}"),
                _ => path.clone(),
            };
            done.line(&format!("  File: {target}"));
            done.line(&format!(
                "  Size: {:<10}\tBlocks: {:<10} IO Block: 4096   {kind}",
                node.size(),
                blocks(&node) * 2
            ));
            done.line(&format!(
                "Device: 1h/1d\tInode: {:<10}  Links: {}",
                node.inode,
                links(&node)
            ));
            done.line(&format!(
                "Access: ({:04o}/{})  Uid: ({:5}/{user:>8})   Gid: ({:5}/{group:>8})",
                node.meta.mode,
                node.letters(),
                node.meta.uid,
                node.meta.gid
            ));
            for what in ["Access", "Modify", "Change"] {
                done.line(&format!("{what}: {time}"));
            }
            continue;
        };
        let mut line = String::new();
        let mut chars = format.chars();
        while let Some(c) = chars.next() {
            if c != '%' {
                line.push(c);
                continue;
            }
            match chars.next() {
                Some('n') => line.push_str(path),
                Some('s') => line.push_str(&node.size().to_string()),
                Some('a') => line.push_str(&format!("{:o}", node.meta.mode)),
                Some('A') => line.push_str(&node.letters()),
                Some('f') => line.push_str(&format!("{:x}", node.st_mode())),
                Some('F') => line.push_str(kind),
                Some('u') => line.push_str(&node.meta.uid.to_string()),
                Some('g') => line.push_str(&node.meta.gid.to_string()),
                Some('U') => line.push_str(&user),
                Some('G') => line.push_str(&group),
                Some('i') => line.push_str(&node.inode.to_string()),
                Some('h') => line.push_str(&links(&node).to_string()),
                Some('Y' | 'X' | 'Z') => line.push_str(&node.meta.mtime.to_string()),
                Some('y' | 'x' | 'z') => line.push_str(&time),
                Some('b') => line.push_str(&(blocks(&node) * 2).to_string()),
                Some('B') => line.push_str("512"),
                Some('N') => match &node.kind {
                    Kind::Symlink(target) => line.push_str(&format!("'{path}' -> '{target}'")),
                    _ => line.push_str(&format!("'{path}'")),
                },
                Some('%') | None => line.push('%'),
                Some(c) => line.extend(['%', c]),
            }
        }
        done.line(&line);
    }
    status
}
