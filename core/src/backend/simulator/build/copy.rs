//! `COPY` and `ADD`: which files they mean, and how those are laid into an image.

use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use sha2::{Digest, Sha256};

use super::context::Marks;
use crate::backend::simulator::files::{Errno, Kind, MAX_DEPTH, Meta, Name, Node, Tree};
use crate::backend::simulator::mounts::names;
use crate::backend::simulator::process::pattern::Pattern;
use crate::backend::simulator::{gzip, registry, transfer};

/// A file or a folder that is copied.
pub(super) struct Source {
    /// The last name of where it is, links followed.
    name: Name,
    node: Arc<Node>,
    /// `file:` or `dir:` and digits: what the cache knows it by.
    hash: String,
}

/// Where files come from.
pub(super) struct Origin<'a> {
    pub(super) tree: &'a Tree,
    /// What the client's archive said beside; an image says nothing.
    pub(super) marks: Option<&'a Marks>,
}

impl Origin<'_> {
    /// It is an image, not what the client has sent.
    const fn is_image(&self) -> bool {
        self.marks.is_none()
    }
}

/// How files are laid.
pub(super) struct Laying<'a> {
    /// An absolute path; with a slash at the end it is a folder's.
    pub(super) dest: &'a str,
    /// Who owns them; `None` for who owned them before.
    pub(super) owner: Option<(u32, u32)>,
    /// Archives are taken apart.
    pub(super) unpack: bool,
    pub(super) now: i64,
}

/// Links that one path may lead over.
const MAX_LINKS: usize = 40;

/// Where a path leads in a tree, all links followed; names at its end may lead to nothing.
fn resolve(tree: &Tree, path: &str) -> Result<Vec<Name>, Errno> {
    let mut left: Vec<Name> = names(path);
    left.reverse();
    let (mut at, mut links) = (Vec::<Name>::new(), 0);
    while let Some(name) = left.pop() {
        if &*name == ".." {
            at.pop();
            continue;
        }
        if at.len() >= MAX_DEPTH {
            return Err(Errno::NameTooLong);
        }
        if tree.get(&at).is_some_and(|node| !node.is_directory()) {
            return Err(Errno::NotDir);
        }
        at.push(name);
        let Some(Kind::Symlink(target)) = tree.get(&at).map(|node| &node.kind) else { continue };
        links += 1;
        if links > MAX_LINKS {
            return Err(Errno::Loop);
        }
        at.pop();
        if target.starts_with('/') {
            at.clear();
        }
        left.extend(names(target).into_iter().rev());
    }
    Ok(at)
}

/// Files of one instruction.
///
/// # Errors
///
/// dockerd's words: nothing is there, or it cannot be got.
pub(super) fn find(
    origin: &Origin<'_>,
    paths: &[String],
    add: bool,
) -> Result<Vec<Source>, String> {
    let word = if add { "ADD" } else { "COPY" };
    let mut all = Vec::new();
    for path in paths {
        if path.starts_with("http://") || path.starts_with("https://") {
            return Err(match add {
                true => format!("{word} failed: {}", registry::download(path).message),
                false => format!("{word} failed: source can't be a URL for COPY"),
            });
        }
        find_one(origin, path, &mut all).map_err(|words| format!("{word} failed: {words}"))?;
    }
    match all.is_empty() {
        true => Err(format!("{word} failed: no source files were specified")),
        false => Ok(all),
    }
}

fn find_one(origin: &Origin<'_>, path: &str, all: &mut Vec<Source>) -> Result<(), String> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let path = path.strip_prefix("./").unwrap_or(path);
    let missed = || match origin.is_image() {
        true => format!("stat {path}: file does not exist"),
        false => format!(
            "file not found in build context or excluded by .dockerignore: stat {path}: file does not exist"
        ),
    };
    if has_wildcards(path) {
        let patterns: Vec<Pattern> =
            path.split('/').filter(|name| !matches!(*name, "" | ".")).map(Pattern::new).collect();
        let mut found = Vec::new();
        matching(&mut Vec::new(), origin.tree.root(), &patterns, &mut found);
        for place in found {
            all.push(source(origin, &place.join("/")).ok_or_else(missed_at(origin, &place))?);
        }
        return Ok(());
    }
    let mut depth = 0_isize;
    for name in names(path) {
        depth += if &*name == ".." { -1 } else { 1 };
        if depth < 0 {
            return Err(format!("forbidden path outside the build context: {path} ()"));
        }
    }
    all.push(source(origin, path).ok_or_else(missed)?);
    Ok(())
}

fn missed_at<'a>(origin: &'a Origin<'_>, place: &'a [Name]) -> impl FnOnce() -> String + 'a {
    move || {
        let path = place.join("/");
        match origin.is_image() {
            true => format!("stat {path}: file does not exist"),
            false => format!(
                "file not found in build context or excluded by .dockerignore: stat {path}: file does not exist"
            ),
        }
    }
}

fn source(origin: &Origin<'_>, path: &str) -> Option<Source> {
    let place = resolve(origin.tree, path).ok()?;
    let node = Arc::clone(origin.tree.get(&place)?);
    let kind = if node.is_directory() { "dir" } else { "file" };
    let name = place.last().cloned().unwrap_or_else(|| "".into());
    let mut hash = Sha256::new();
    let marks = origin.marks.filter(|marks| !marks.is_empty());
    let top = if node.is_directory() { "" } else { &*name };
    feed(&mut hash, top, &node, marks.map(|marks| (marks, place.clone())).as_mut());
    Some(Source { name, node, hash: format!("{kind}:{}", hex(hash)) })
}

/// All paths of a tree that fit, name by name; links are not followed on the way.
fn matching(at: &mut Vec<Name>, node: &Node, patterns: &[Pattern], found: &mut Vec<Vec<Name>>) {
    let (Some((pattern, rest)), Some(entries)) = (patterns.split_first(), node.entries()) else {
        return;
    };
    for (name, child) in entries.iter().filter(|(name, _)| pattern.matches(name)) {
        at.push(name.clone());
        match rest {
            [] => found.push(at.clone()),
            rest => matching(at, child, rest, found),
        }
        at.pop();
    }
}

fn has_wildcards(path: &str) -> bool {
    let mut chars = path.chars();
    while let Some(c) = chars.next() {
        match c {
            '*' | '?' | '[' => return true,
            '\\' => drop(chars.next()),
            _ => {}
        }
    }
    false
}

/// What a node is, but for when it was changed.
fn feed(hash: &mut Sha256, name: &str, node: &Node, mut marks: Option<&mut (&Marks, Vec<Name>)>) {
    if let Some(mark) = marks.as_deref().and_then(|(marks, place)| marks.get(place)) {
        hash.update(mark);
    }
    hash.update((name.len() as u64).to_le_bytes());
    hash.update(name);
    hash.update(node.st_mode().to_le_bytes());
    hash.update(node.meta.uid.to_le_bytes());
    hash.update(node.meta.gid.to_le_bytes());
    let mut bytes = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    match &node.kind {
        Kind::File(content) => bytes(content),
        Kind::Symlink(target) => bytes(target.as_bytes()),
        Kind::Device { major, minor, .. } => {
            bytes(&[major.to_le_bytes(), minor.to_le_bytes()].concat());
        }
        Kind::Fifo => {}
        Kind::Directory(entries) => {
            bytes(&(entries.len() as u64).to_le_bytes());
            for (name, child) in entries {
                if let Some((_, place)) = marks.as_deref_mut() {
                    place.push(name.clone());
                }
                feed(hash, name, child, marks.as_deref_mut());
                if let Some((_, place)) = marks.as_deref_mut() {
                    place.pop();
                }
            }
        }
    }
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What an image's history calls the files of one instruction.
pub(super) fn hash(sources: &[Source]) -> String {
    match sources {
        [only] => only.hash.clone(),
        several => {
            let mut hash = Sha256::new();
            several.iter().for_each(|source| hash.update(&source.hash));
            format!("multi:{}", hex(hash))
        }
    }
}

/// Who owns the copies: `user`, `user:group`, names or numbers.
///
/// # Errors
///
/// dockerd's words for a name that the image does not know.
pub(super) fn owner(tree: &Tree, chown: &str) -> Result<(u32, u32), String> {
    let (user, group) = chown.split_once(':').unwrap_or((chown, chown));
    let find = |file: &str, kind: &str, short: &str, name: &str| -> Result<u32, String> {
        if let Ok(number) = name.parse() {
            return Ok(number);
        }
        let refused = |words: String| {
            format!(
                "unable to convert uid/gid chown string to host mapping: can't find {short} for {kind} {name}: {words}"
            )
        };
        let content = tree.get(&names(file)).and_then(|node| node.content());
        let Some(content) = content else {
            return Err(refused(format!("open {file}: no such file or directory")));
        };
        let text = String::from_utf8_lossy(content);
        let line = text.lines().find(|line| line.split(':').next() == Some(name));
        line.and_then(|line| line.split(':').nth(2)?.parse().ok())
            .ok_or_else(|| refused(format!("no such {kind}: {name}")))
    };
    Ok((find("/etc/passwd", "user", "uid", user)?, find("/etc/group", "group", "gid", group)?))
}

/// Lays files into a tree.
///
/// # Errors
///
/// dockerd's words for a place where they cannot be.
pub(super) fn lay(tree: &mut Tree, sources: &[Source], how: &Laying<'_>) -> Result<(), String> {
    for source in sources {
        let laid = match source.node.entries() {
            Some(entries) => lay_folder(tree, entries, how)
                .map_err(|error| format!("failed to copy directory: mkdir {}: {error}", how.dest)),
            None => lay_file(tree, source, how),
        };
        laid.map_err(|words| format!("failed to copy files: {words}"))?;
    }
    Ok(())
}

fn lay_folder(
    tree: &mut Tree,
    entries: &BTreeMap<Name, Arc<Node>>,
    how: &Laying<'_>,
) -> Result<(), String> {
    let dest = resolve(tree, how.dest).map_err(|error| error.text().to_lowercase())?;
    let words = |error: Errno| error.text().to_lowercase();
    if let Some((_, parent)) = dest.split_last() {
        make_folders(tree, parent, (0, 0), how.now).map_err(words)?;
    }
    make_folders(tree, &dest, how.owner.unwrap_or((0, 0)), how.now).map_err(words)?;
    merge(tree, &mut dest.clone(), entries, how.owner).map_err(words)
}

/// Makes the folders of a path that are not there.
fn make_folders(tree: &mut Tree, path: &[Name], owner: (u32, u32), now: i64) -> Result<(), Errno> {
    for end in 1..=path.len() {
        match tree.get(&path[..end]) {
            Some(node) if node.is_directory() => {}
            Some(_) => return Err(Errno::NotDir),
            None => {
                let meta = Meta { mode: 0o755, uid: owner.0, gid: owner.1, mtime: now };
                tree.put(&path[..end], Node::directory(meta).into())?;
            }
        }
    }
    Ok(())
}

/// Makes a folder of root's, and those that it is in.
pub(super) fn make_folder(tree: &mut Tree, path: &str, now: i64) -> Result<(), Errno> {
    let path = resolve(tree, path)?;
    make_folders(tree, &path, (0, 0), now)
}

/// Lays what a folder holds over another one: folders are merged, all else replaces what is there.
fn merge(
    tree: &mut Tree,
    at: &mut Vec<Name>,
    entries: &BTreeMap<Name, Arc<Node>>,
    owner: Option<(u32, u32)>,
) -> Result<(), Errno> {
    for (name, node) in entries {
        at.push(name.clone());
        let meta = owned(node.meta, owner);
        match node.entries() {
            Some(entries) => {
                if tree.get(at).is_some_and(|old| old.is_directory()) {
                    tree.set_meta(at, |old| *old = meta)?;
                } else {
                    tree.put(at, Node::directory(meta).into())?;
                }
                merge(tree, at, entries, owner)?;
            }
            None => tree.put(at, Node { meta, kind: node.kind.clone(), inode: 0 }.into())?,
        }
        at.pop();
    }
    Ok(())
}

fn owned(meta: Meta, owner: Option<(u32, u32)>) -> Meta {
    match owner {
        Some((uid, gid)) => Meta { uid, gid, ..meta },
        None => meta,
    }
}

fn lay_file(tree: &mut Tree, source: &Source, how: &Laying<'_>) -> Result<(), String> {
    let words = |error: Errno| error.text().to_lowercase();
    let stat = |error: Errno| format!("lstat {}: {}", how.dest, words(error));
    let mut dest = resolve(tree, how.dest).map_err(stat)?;
    if how.unpack
        && let Some(content) = source.node.content()
        && let Some(archive) = archive(content)
    {
        make_folders(tree, &dest, (0, 0), how.now)
            .map_err(|error| format!("mkdir {}: {}", how.dest, words(error)))?;
        let below = dest.join("/");
        let mut entries = transfer::entries(&archive)?;
        for entry in &mut entries {
            entry.name = format!("{below}/{}", entry.name);
            if let crate::backend::simulator::files::tar::EntryKind::Link(target) = &mut entry.kind
            {
                *target = format!("{below}/{target}");
            }
        }
        return transfer::lay(tree, entries).map(drop);
    }
    if how.dest.ends_with('/') || tree.get(&dest).is_some_and(|node| node.is_directory()) {
        if tree.get(&dest).is_some_and(|node| !node.is_directory()) {
            let path = how.dest.trim_end_matches('/');
            return Err(format!("failed to create new directory: mkdir {path}: not a directory"));
        }
        dest.push(source.name.clone());
    }
    if let Some((_, parent)) = dest.split_last() {
        make_folders(tree, parent, how.owner.unwrap_or((0, 0)), how.now).map_err(stat)?;
    }
    let meta = owned(source.node.meta, how.owner);
    let node = Node { meta, kind: source.node.kind.clone(), inode: 0 };
    tree.put(&dest, node.into()).map_err(stat)
}

/// The tar that a file is, or holds compressed.
fn archive(content: &[u8]) -> Option<Cow<'_, [u8]>> {
    let plain = gzip::plain(content, transfer::MOST as usize).ok()?;
    let is_tar = plain.len() >= 512 && transfer::entries(&plain).is_ok_and(|all| !all.is_empty());
    is_tar.then_some(plain)
}

/// Where files are laid: `dest` as it stands, or below the working directory.
pub(super) fn destination(working_dir: &str, dest: &str) -> String {
    if dest.starts_with('/') {
        return dest.to_string();
    }
    let slash = if dest.ends_with('/') { "/" } else { "" };
    let path = [names(working_dir), names(dest)].concat().join("/");
    if path.is_empty() { "/".into() } else { format!("/{path}{slash}") }
}

#[cfg(test)]
mod tests {
    use super::{Laying, Marks, Origin, destination, find, hash, lay, owner};
    use crate::backend::simulator::build::context::tests::tar;
    use crate::backend::simulator::files::{Meta, Node, Tree};
    use crate::backend::simulator::mounts::names;
    use crate::backend::simulator::transfer;
    use alloc::format;
    use alloc::string::{String, ToString};
    use alloc::vec::Vec;

    fn tree(files: &[(&str, &str)]) -> Tree {
        let mut tree = Tree::new();
        transfer::lay(&mut tree, transfer::entries(&tar(files)).unwrap()).unwrap();
        tree
    }

    fn context() -> Tree {
        let archive = String::from_utf8(tar(&[("in/file", "hi")])).unwrap();
        let mut tree = tree(&[
            ("a", "1"),
            ("b", "2"),
            ("dir/", ""),
            ("dir/x", "xx"),
            ("dir/y", ""),
            ("arch.tar", &archive),
        ]);
        for (name, target) in [("l", "a"), ("ld", "dir"), ("dangling", "nosuch")] {
            let link = Node::symlink(target, Meta::new(0o777, 0));
            tree.put(&names(name), link.into()).unwrap();
        }
        tree
    }

    fn all(node: &Node, path: &str, out: &mut Vec<String>) {
        for (name, child) in node.entries().into_iter().flatten() {
            let path = format!("{path}/{name}");
            let owner = match (child.meta.uid, child.meta.gid) {
                (0, 0) => String::new(),
                (uid, gid) => format!(" {uid}:{gid}"),
            };
            let slash = if child.is_directory() { "/" } else { "" };
            out.push(format!("{path}{slash}{owner}"));
            all(child, &path, out);
        }
    }

    /// What `COPY` (or `ADD`) of these, the last of which is the destination, adds to an image.
    fn copied(paths: &str, add: bool, chown: &str) -> Result<String, String> {
        let mut sources: Vec<String> = paths.split(' ').map(ToString::to_string).collect();
        let dest = sources.pop().unwrap();
        let context = context();
        let found = find(&Origin { tree: &context, marks: Some(&Marks::new()) }, &sources, add)?;
        let mut image = tree(&[("hello", "hi"), ("data/", "")]);
        let owner = if chown.is_empty() { (0, 0) } else { owner(&image, chown)? };
        let how = Laying { dest: &dest, owner: Some(owner), unpack: add, now: 9 };
        lay(&mut image, &found, &how)?;
        let mut out = Vec::new();
        all(image.root(), "", &mut out);
        out.retain(|path| !matches!(&**path, "/hello" | "/data/"));
        Ok(out.join(" "))
    }

    #[test]
    fn files_are_where_dockerd_lays_them() {
        for (paths, laid) in [
            ("a /new", "/new"),
            ("a /new/", "/new/ /new/a"),
            ("a b /new/", "/new/ /new/a /new/b"),
            ("dir /new", "/new/ /new/x /new/y"),
            ("dir /data", "/data/x /data/y"),
            ("a /data", "/data/a"),
            ("l /new", "/new"),
            ("l /new/", "/new/ /new/a"),
            ("ld /new/", "/new/ /new/x /new/y"),
            ("a* /new/", "/new/ /new/a /new/arch.tar"),
            ("d*/x /new/", "/new/ /new/x"),
            ("d?r dir /new/", "/new/ /new/x /new/y"),
            ("[ab] /new/", "/new/ /new/a /new/b"),
            ("./dir/../a /new", "/new"),
            ("ld/x /new", "/new"),
            ("dir/. /new", "/new/ /new/x /new/y"),
            ("/a /", "/a"),
            ("arch.tar /new", "/new"),
        ] {
            assert_eq!(copied(paths, false, "").as_deref(), Ok(laid), "{paths}");
        }
        for (paths, chown, laid) in [
            ("arch.tar /new", "", "/new/ /new/in/ /new/in/file"),
            ("arch.tar /data/q.tar", "", "/data/q.tar/ /data/q.tar/in/ /data/q.tar/in/file"),
            ("a /n/m", "7", "/n/ 7:7 /n/m 7:7"),
            ("dir /n/m", "7:8", "/n/ /n/m/ 7:8 /n/m/x 7:8 /n/m/y 7:8"),
        ] {
            assert_eq!(copied(paths, true, chown).as_deref(), Ok(laid), "{paths}");
        }
    }

    #[test]
    fn refusals_are_those_of_dockerd() {
        let missing = "file not found in build context or excluded by .dockerignore: stat";
        for (paths, words) in [
            ("nosuch /x", format!("COPY failed: {missing} nosuch: file does not exist")),
            ("dangling /x", format!("COPY failed: {missing} dangling: file does not exist")),
            ("z* /x", "COPY failed: no source files were specified".into()),
            ("../a /x", "COPY failed: forbidden path outside the build context: ../a ()".into()),
            ("http://x/y /x", "COPY failed: source can't be a URL for COPY".into()),
            (
                "a /hello/",
                "failed to copy files: failed to create new directory: mkdir /hello: not a directory".into(),
            ),
            ("a /hello/x", "failed to copy files: lstat /hello/x: not a directory".into()),
            (
                "dir /hello",
                "failed to copy files: failed to copy directory: mkdir /hello: not a directory".into(),
            ),
        ] {
            assert_eq!(copied(paths, false, ""), Err(words), "{paths}");
        }
        let words = copied("a /x", false, "bogus").unwrap_err();
        assert!(words.ends_with("uid for user bogus: open /etc/passwd: no such file or directory"));
    }

    #[test]
    fn the_cache_knows_what_files_hold_and_not_when() {
        let hash_of = |files: &[(&str, &str)], marks: &[(&str, &str)]| {
            let tree = tree(files);
            let marks: Marks =
                marks.iter().map(|(path, mark)| (names(path), (*mark).to_string())).collect();
            hash(&find(&Origin { tree: &tree, marks: Some(&marks) }, &["d".into()], false).unwrap())
        };
        let one = hash_of(&[("d/", ""), ("d/a", "1")], &[]);
        assert!(one.starts_with("dir:") && one.len() == 68);
        assert_eq!(one, hash_of(&[("d/", ""), ("d/a", "1"), ("e", "")], &[("e", "root:root:0")]));
        assert_ne!(one, hash_of(&[("d/", ""), ("d/a", "2")], &[]));
        assert_ne!(one, hash_of(&[("d/", ""), ("d/a", "1")], &[("d/a", "root:root:0")]));
        assert!(hash_of(&[("d", "1")], &[]).starts_with("file:"));
    }

    #[test]
    fn destinations_begin_at_the_working_directory() {
        for (dir, dest, path) in [
            ("/q", "z", "/q/z"),
            ("", "./", "/"),
            ("/q", "d/", "/q/d/"),
            ("/q", ".", "/q"),
            ("/", "/x/", "/x/"),
        ] {
            assert_eq!(destination(dir, dest), path);
        }
    }
}
