//! What a client sends to be built: an archive with a Dockerfile in it.

use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::backend::simulator::failures::{invalid, system};
use crate::backend::simulator::files::{Name, Tree};
use crate::backend::simulator::mounts::names;
use crate::backend::simulator::{image_api, transfer};
use crate::job::Failure;

/// Bytes of a Dockerfile.
const MAX_DOCKERFILE: usize = 1 << 20;

/// Reads an archive, which may be compressed; returns its files, and the Dockerfile among them.
///
/// A `.dockerignore` is for clients: of what it names the engine removes only itself and the Dockerfile.
///
/// # Errors
///
/// In the engine's words: no archive, no Dockerfile.
pub(super) fn read(archive: &[u8], dockerfile: &str) -> Result<(Context, String), Failure> {
    let (mut tree, mut marks) = (Tree::new(), Marks::new());
    if !archive.is_empty() {
        let entries = transfer::entries(archive).map_err(system)?;
        let marked = entries.iter().filter(|entry| !entry.mark.is_empty());
        marks.extend(marked.map(|entry| (names(&entry.name), entry.mark.clone())));
        transfer::lay(&mut tree, entries).map_err(system)?;
    }
    let mut path = names(dockerfile);
    if tree.get(&path).is_none() && dockerfile == DEFAULT {
        path = names("dockerfile");
    }
    let content = tree.get(&path).and_then(|node| node.content()).cloned();
    let Some(content) = content else {
        return Err(system(format!("Cannot locate specified Dockerfile: {dockerfile}")));
    };
    if content.is_empty() {
        return Err(invalid(format!("the Dockerfile ({dockerfile}) cannot be empty")));
    }
    if content.len() > MAX_DOCKERFILE {
        let length = content.len();
        return Err(invalid(format!(
            "the Dockerfile ({dockerfile}) has {length} bytes, and the simulator reads {MAX_DOCKERFILE} at most"
        )));
    }
    let text = String::from_utf8_lossy(&content).into_owned();
    let ignore = names(".dockerignore");
    if let Some(patterns) = tree.get(&ignore).and_then(|node| node.content()).cloned() {
        let patterns = String::from_utf8_lossy(&patterns);
        for (file, name) in [(&ignore, Cow::from(".dockerignore")), (&path, path.join("/").into())]
        {
            if is_ignored(&patterns, &name) {
                let _ = tree.take(file);
            }
        }
    }
    Ok((Context { tree, marks }, text))
}

/// What an archive said of its files beside what they are, by their paths.
pub(super) type Marks = BTreeMap<Vec<Name>, String>;

/// What a client sent.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) tree: Tree,
    pub(super) marks: Marks,
}

/// The Dockerfile that is looked for if the client names none.
pub(super) const DEFAULT: &str = "Dockerfile";

/// Whether the lines of a `.dockerignore` name a file: the last one that fits counts, `!` takes back.
fn is_ignored(patterns: &str, name: &str) -> bool {
    let mut ignored = false;
    for line in patterns.lines().map(str::trim) {
        let (wanted, pattern) = match line.strip_prefix('!') {
            Some(pattern) => (false, pattern.trim()),
            None => (true, line),
        };
        let pattern = pattern.trim_start_matches('/').trim_end_matches('/');
        let pattern = pattern.strip_prefix("**/").unwrap_or(pattern);
        if !pattern.is_empty()
            && !line.starts_with('#')
            && image_api::glob(pattern.as_bytes(), name.as_bytes())
        {
            ignored = wanted;
        }
    }
    ignored
}

#[cfg(test)]
pub(super) mod tests {
    use super::{Context, is_ignored, read};
    use crate::backend::simulator::files::tar::Writer;
    use crate::backend::simulator::files::{Meta, Node};
    use crate::backend::simulator::gzip::tests::gzip;
    use crate::backend::simulator::mounts::names;
    use alloc::string::ToString;
    use alloc::vec::Vec;

    /// An archive of files; a name with a slash at its end is a folder's.
    pub(in crate::backend::simulator) fn tar(files: &[(&str, &str)]) -> Vec<u8> {
        let mut writer = Writer::new();
        for (name, content) in files {
            match name.strip_suffix('/') {
                Some(name) => writer.add(name, Node::directory(Meta::new(0o755, 1))),
                None => writer.add(name, Node::file(*content, Meta::new(0o644, 1))),
            }
        }
        let mut archive = Vec::new();
        while writer.read(&mut archive, 1 << 20) {}
        archive
    }

    #[test]
    fn the_dockerfile_is_found() {
        let archive = tar(&[("dockerfile", "FROM a"), ("sub/", ""), ("sub/Other", "FROM b")]);
        assert_eq!(read(&archive, "Dockerfile").unwrap().1, "FROM a");
        assert_eq!(read(&gzip(&archive), "sub/Other").unwrap().1, "FROM b");
        let words = |archive: &[u8], name| read(archive, name).unwrap_err().message.to_string();
        assert_eq!(words(&archive, "nosuch"), "Cannot locate specified Dockerfile: nosuch");
        assert_eq!(words(b"", "Dockerfile"), "Cannot locate specified Dockerfile: Dockerfile");
        let empty = tar(&[("Dockerfile", "")]);
        assert_eq!(words(&empty, "Dockerfile"), "the Dockerfile (Dockerfile) cannot be empty");
        assert!(read(&[b'x'; 2000], "Dockerfile").is_err());
    }

    #[test]
    fn the_dockerfile_may_be_ignored_itself() {
        let archive =
            tar(&[("Dockerfile", "FROM a"), (".dockerignore", "Docker*\nb\n"), ("b", "")]);
        let (Context { tree, .. }, _) = read(&archive, "Dockerfile").unwrap();
        assert!(tree.get(&names("Dockerfile")).is_none());
        assert!(tree.get(&names("b")).is_some() && tree.get(&names(".dockerignore")).is_some());
        assert!(!is_ignored("*\n!Dockerfile", "Dockerfile") && !is_ignored("#*", "#x"));
    }
}
