//! `tar`.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::{MAX_TEXT, Output, Sys};
use crate::backend::simulator::files::tar::{Entry, EntryKind, Reader, Writer, unpack};
use crate::backend::simulator::files::{Errno, Kind, Node};

pub(super) fn tar(sys: &mut Sys<'_, '_>, args: &[String], done: &mut Output) -> u8 {
    match run(sys, args, done) {
        Ok(()) => 0,
        Err(text) => {
            done.complain(&format!("tar: {text}"));
            1
        }
    }
}

fn run(sys: &mut Sys<'_, '_>, args: &[String], done: &mut Output) -> Result<(), String> {
    let (mut action, mut file, mut verbose) = (None, "-".to_string(), false);
    let mut folder = sys.cwd().to_string();
    let mut names = Vec::new();
    let mut rest = args[1..].iter();
    let mut first = true;
    while let Some(arg) = rest.next() {
        // The first word is a bundle of options, with a dash or without.
        let bundle = if core::mem::take(&mut first) {
            Some(arg.trim_start_matches('-'))
        } else {
            arg.strip_prefix('-')
        };
        let Some(letters) = bundle.filter(|letters| !letters.is_empty()) else {
            names.push(arg.clone());
            continue;
        };
        let mut value =
            || rest.next().cloned().ok_or_else(|| "option requires an argument".to_string());
        for letter in letters.chars() {
            match letter {
                'c' | 'x' | 't' => action = Some(letter),
                'f' => file = value()?,
                'C' => {
                    let target = value()?;
                    folder = sys.system.files.canonical(&folder, &target).map_err(|error| {
                        format!("can't change directory to '{target}': {error}")
                    })?;
                }
                'v' => verbose = true,
                'p' | 'o' | 'k' | 'h' => {}
                letter => return Err(format!("invalid option -- '{letter}'")),
            }
        }
    }
    let cwd = sys.cwd();
    match action {
        Some('c') => create(sys, &cwd, &folder, &file, &names, verbose, done),
        Some(action) => {
            let bytes = if file == "-" {
                read_all(sys)?
            } else {
                let content = sys
                    .system
                    .files
                    .read(&cwd, &file)
                    .map_err(|error| format!("can't open '{file}': {error}"))?;
                content.to_vec()
            };
            let mut reader = Reader::new(MAX_TEXT as u64);
            let entries = reader.feed(&bytes).and_then(|entries| reader.finish().map(|()| entries));
            for entry in entries.map_err(|error| error.to_string())? {
                let wanted = |name: &String| {
                    let own = entry.name.trim_end_matches('/');
                    own == name
                        || own
                            .strip_prefix(name.trim_end_matches('/'))
                            .is_some_and(|rest| rest.starts_with('/'))
                };
                if !names.is_empty() && !names.iter().any(wanted) {
                    continue;
                }
                if action == 't' || verbose {
                    done.line(&shown(&entry, action == 't' && verbose));
                }
                if action == 'x' {
                    unpack(&mut sys.system.files, &folder, &entry, false)
                        .map_err(|error| format!("can't open '{}': {error}", entry.name))?;
                }
            }
            Ok(())
        }
        None => Err("must specify exactly one of 'cxt'".into()),
    }
}

fn shown(entry: &Entry, long: bool) -> String {
    if !long {
        return entry.name.clone();
    }
    let (kind, size) = match &entry.kind {
        EntryKind::File(content) => (Kind::File(Arc::default()), content.len()),
        EntryKind::Symlink(target) => (Kind::Symlink(target.as_str().into()), 0),
        EntryKind::Directory => (Kind::Directory(Default::default()), 0),
        _ => (Kind::File(Arc::default()), 0),
    };
    let letters = Node { meta: entry.meta, kind, inode: 0 }.letters();
    let when = super::list::Civil::of(entry.meta.mtime);
    format!(
        "{letters} {}/{} {size:>9} {}-{:02}-{:02} {:02}:{:02}:{:02} {}",
        entry.meta.uid,
        entry.meta.gid,
        when.year,
        when.month,
        when.day,
        when.hour,
        when.minute,
        when.second,
        entry.name
    )
}

/// All of stdin, which must be there already.
fn read_all(sys: &mut Sys<'_, '_>) -> Result<Vec<u8>, String> {
    let mut all = Vec::new();
    loop {
        match sys.read(0, 65_536) {
            Ok(bytes) if bytes.is_empty() || all.len() > 2 * MAX_TEXT => return Ok(all),
            Ok(bytes) => all.extend(bytes),
            Err(error) => return Err(error.to_string()),
        }
    }
}

fn create(
    sys: &mut Sys<'_, '_>,
    cwd: &str,
    folder: &str,
    file: &str,
    names: &[String],
    verbose: bool,
    done: &mut Output,
) -> Result<(), String> {
    if names.is_empty() {
        return Err("empty archive".into());
    }
    let mut writer = Writer::new();
    for name in names {
        let files = &sys.system.files;
        let node =
            files.node(folder, name, false).map_err(|error: Errno| format!("{name}: {error}"))?;
        let own = name.trim_start_matches('/');
        writer.add_all(if own.is_empty() { "." } else { own }, node);
    }
    let mut bytes = Vec::new();
    while writer.read(&mut bytes, 65_536) {
        if bytes.len() > 4 * MAX_TEXT {
            return Err(Errno::FBig.to_string());
        }
    }
    if verbose {
        let mut reader = Reader::new(u64::MAX >> 1);
        for entry in reader.feed(&bytes).map_err(|error| error.to_string())? {
            if file == "-" { done.complain(&entry.name) } else { done.line(&entry.name) }
        }
    }
    if file == "-" {
        done.out.append(&mut bytes);
        return Ok(());
    }
    sys.system
        .files
        .write(cwd, file, &bytes)
        .map(drop)
        .map_err(|error| format!("can't open '{file}': {error}"))
}
