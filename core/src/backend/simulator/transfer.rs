//! Archives of images and of containers: `save`, `load`, `import`, `export`.
//!
//! What is saved is the form that `docker load` of any engine takes: a configuration whose digest is the image's id, and a
//! layer for each step that changed files, known by its digest.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::body;
use super::clock::Rfc3339;
use super::commit::apply;
use super::config::Config;
use super::failures::{invalid, not_found, system};
use super::files::tar::{Entry, EntryKind, Reader, Writer};
use super::files::{ChangeKind, Kind, Meta, Node, Tree, diff};
use super::gzip;
use super::images::{History, Image, Layer};
use super::mounts::names;
use super::reference::Reference;
use super::registry::{error_line, line};
use super::versions::Dialect;
use super::world::World;
use crate::job::{Body, Failure, Job};

/// Bytes of one file in an archive that a client sends.
pub(super) const MOST: u64 = 512 << 20;

/// `sha256:` and the digest in hexadecimal digits.
pub(super) fn digest(bytes: &[u8]) -> String {
    let digits: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{digits}")
}

/// The whole of an archive.
fn written(mut writer: Writer) -> Vec<u8> {
    let mut archive = Vec::new();
    while writer.read(&mut archive, 1 << 20) {}
    archive
}

/// What a layer adds, changes and, as whiteouts, removes.
pub(super) fn layer_tar(base: Option<&Tree>, tree: &Tree) -> Vec<u8> {
    let mut writer = Writer::new();
    let Some(base) = base else {
        writer.add_all("", Arc::clone(tree.root()));
        return written(writer);
    };
    for change in diff(base, tree) {
        let path = change.path.trim_start_matches('/');
        if change.kind == ChangeKind::Deleted {
            let (way, name) = path.rsplit_once('/').map_or(("", path), |(way, name)| (way, name));
            let slash = if way.is_empty() { "" } else { "/" };
            let empty = Node::file(Vec::new(), Meta::new(0, 0));
            writer.add(&format!("{way}{slash}.wh.{name}"), empty);
        } else if let Some(node) = tree.get(&names(path)) {
            writer.add(path, Arc::clone(node));
        }
    }
    written(writer)
}

/// The configuration as images are known by: its digest is the id.
fn config_json(image: &Image, digests: &[String]) -> Vec<u8> {
    let step = |step: &History| {
        let mut fields = Map::new();
        let mut add = |key: &str, value: &str| {
            if !value.is_empty() {
                fields.insert(key.into(), value.into());
            }
        };
        add("created", &Rfc3339(step.created).to_string());
        add("created_by", &step.created_by);
        add("author", &step.author);
        add("comment", &step.comment);
        if step.empty_layer {
            fields.insert("empty_layer".into(), true.into());
        }
        Value::Object(fields)
    };
    let mut document = json!({
        "architecture": "amd64", "os": "linux", "docker_version": "20.10.24",
        "created": Rfc3339(image.created).to_string(),
        "config": *image.config,
        "history": image.history.iter().map(step).collect::<Vec<_>>(),
        "rootfs": {"type": "layers", "diff_ids": digests},
    });
    for (key, value) in
        [("comment", &image.comment), ("author", &image.author), ("container", &image.container)]
    {
        if !value.is_empty() {
            document[key] = value.as_str().into();
        }
    }
    if let Some(config) = &image.container_config {
        document["container_config"] = serde_json::to_value(&**config).unwrap_or_default();
    }
    serde_json::to_vec(&document).unwrap_or_default()
}

/// The id that follows from what an image is.
pub(super) fn config_digest(image: &Image) -> String {
    let digests: Vec<String> = image.layers.iter().map(|layer| layer.digest.clone()).collect();
    digest(&config_json(image, &digests))
}

/// The layers as archives.
fn layer_tars(image: &Image) -> Vec<Vec<u8>> {
    let mut base = None;
    let mut archives = Vec::new();
    for layer in &image.layers {
        archives.push(layer_tar(base, &layer.tree));
        base = Some(&layer.tree);
    }
    archives
}

/// An archive of images, each with the names that it was asked for by.
fn save(world: &World, wanted: &[String], dialect: Dialect) -> Result<Vec<u8>, Failure> {
    let mut writer = Writer::new();
    let (mut manifest, mut repositories) =
        (Vec::new(), BTreeMap::<String, BTreeMap<String, String>>::new());
    let file = |content: Vec<u8>| Node::file(content, Meta::new(0o644, 0));
    let mut chosen: Vec<(Arc<Image>, Vec<String>)> = Vec::new();
    for name in wanted {
        let image = world.images.find(name).ok_or_else(|| match dialect.is_legacy() {
            true => not_found(format!("No such image: {name}")),
            false => not_found(format!("No such image: {}", Reference::missed(name))),
        })?;
        let hex = name.strip_prefix("sha256:").unwrap_or(name);
        let tag = (!image.digits().starts_with(hex)).then(|| Reference::parse(name).ok()).flatten();
        let tag =
            tag.filter(|reference| reference.digest.is_none()).map(|reference| reference.tagged());
        match chosen.iter_mut().find(|(known, _)| known.id == image.id) {
            Some((_, tags)) => tags.extend(tag),
            None => chosen.push((Arc::clone(image), tag.into_iter().collect())),
        }
    }
    for (image, tags) in chosen {
        let archives = layer_tars(&image);
        let digests: Vec<String> = archives.iter().map(|archive| digest(archive)).collect();
        let config = config_json(&image, &digests);
        let name = digest(&config).trim_start_matches("sha256:").to_string();
        let mut paths = Vec::new();
        let mut parent = String::new();
        for (archive, diff_id) in archives.into_iter().zip(&digests) {
            // A layer is also known by all that is below it.
            let chain = digest(format!("{parent} {diff_id}").as_bytes());
            let id = chain.trim_start_matches("sha256:").to_string();
            writer.add(&id, Node::directory(Meta::new(0o755, 0)));
            writer.add(&format!("{id}/VERSION"), file(b"1.0".to_vec()));
            let about = match &*parent {
                "" => json!({"id": id}),
                parent => json!({"id": id, "parent": parent}),
            };
            writer.add(&format!("{id}/json"), file(about.to_string().into_bytes()));
            writer.add(&format!("{id}/layer.tar"), file(archive));
            paths.push(format!("{id}/layer.tar"));
            parent = id;
        }
        writer.add(&format!("{name}.json"), file(config));
        for tag in &tags {
            if let Some((repository, tag)) = tag.rsplit_once(':') {
                let tags = repositories.entry(repository.to_string()).or_default();
                tags.insert(tag.to_string(), parent.clone());
            }
        }
        let tags = if tags.is_empty() { Value::Null } else { json!(tags) };
        manifest.push(json!({"Config": format!("{name}.json"), "RepoTags": tags, "Layers": paths}));
    }
    let mut text = Value::Array(manifest).to_string();
    text.push('\n');
    writer.add("manifest.json", file(text.into_bytes()));
    if !repositories.is_empty() {
        let mut text = serde_json::to_string(&repositories).unwrap_or_default();
        text.push('\n');
        writer.add("repositories", file(text.into_bytes()));
    }
    Ok(written(writer))
}

/// All that is in an archive, which may be compressed.
pub(super) fn entries(bytes: &[u8]) -> Result<Vec<Entry>, String> {
    let bytes = gzip::plain(bytes, MOST as usize)?;
    let mut reader = Reader::new(MOST);
    let entries = reader.feed(&bytes).map_err(|error| error.to_string())?;
    reader.finish().map_err(|error| error.to_string())?;
    if entries.is_empty() && !reader.is_complete() {
        return Err("unexpected EOF".into());
    }
    Ok(entries)
}

/// Lays a layer's entries over a tree; `.wh.NAME` removes NAME.
pub(super) fn lay(tree: &mut Tree, entries: Vec<Entry>) -> Result<u64, String> {
    let mut size = 0;
    for entry in entries {
        let path = names(&entry.name);
        if path.iter().any(|name| &**name == "..") {
            return Err(format!("invalid path in archive: {}", entry.name));
        }
        let Some((last, way)) = path.split_last() else { continue };
        for end in 1..=way.len() {
            if tree.get(&way[..end]).is_none_or(|node| !node.is_directory()) {
                let folder = Node::directory(Meta::new(0o755, entry.meta.mtime));
                tree.put(&way[..end], folder.into()).map_err(|error| error.to_string())?;
            }
        }
        if let Some(hidden) = last.strip_prefix(".wh.") {
            let mut gone = way.to_vec();
            if hidden == ".wh..opq" {
                let folder = Node::directory(Meta::new(0o755, entry.meta.mtime));
                tree.put(way, folder.into()).map_err(|error| error.to_string())?;
            } else {
                gone.push(hidden.into());
                let _ = tree.take(&gone);
            }
            continue;
        }
        let kind = match entry.kind {
            EntryKind::File(content) => {
                size += content.len() as u64;
                Kind::File(Arc::new(content))
            }
            EntryKind::Directory if tree.get(&path).is_some_and(|node| node.is_directory()) => {
                let meta = entry.meta;
                tree.set_meta(&path, |old| *old = meta).map_err(|error| error.to_string())?;
                continue;
            }
            EntryKind::Directory => Kind::Directory(BTreeMap::new()),
            EntryKind::Symlink(target) => Kind::Symlink(target.into()),
            EntryKind::Link(target) => match tree.get(&names(&target)) {
                Some(node) => node.kind.clone(),
                None => return Err(format!("invalid hardlink {} -> {target}", entry.name)),
            },
            EntryKind::Device { block, major, minor } => Kind::Device { block, major, minor },
            EntryKind::Fifo => Kind::Fifo,
        };
        let node = Node { meta: entry.meta, kind, inode: 0 };
        tree.put(&path, node.into()).map_err(|error| error.to_string())?;
    }
    Ok(size)
}

/// A moment as RFC 3339 has it, to the second.
fn moment(text: &str) -> Option<Duration> {
    let number = |range: core::ops::Range<usize>| text.get(range)?.parse::<i64>().ok();
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    // Days since 1970 in the proleptic Gregorian calendar, years beginning in March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days =
        365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 719_469;
    let nanos = text.get(19..).and_then(|rest| rest.strip_prefix('.')).map_or(0, |rest| {
        let digits: String = rest
            .chars()
            .take_while(char::is_ascii_digit)
            .chain("000000000".chars())
            .take(9)
            .collect();
        digits.parse().unwrap_or(0)
    });
    let seconds = u64::try_from(days * 86_400 + hour * 3600 + minute * 60 + second).ok()?;
    Some(Duration::new(seconds, nanos))
}

/// Loads an archive of images; the lines that its client is told.
fn load(world: &mut World, bytes: &[u8], dialect: Dialect) -> Vec<u8> {
    match try_load(world, bytes, dialect) {
        Ok(lines) => lines,
        Err(words) => error_line(&words),
    }
}

fn try_load(world: &mut World, bytes: &[u8], dialect: Dialect) -> Result<Vec<u8>, String> {
    let entries_of = |bytes: &[u8]| {
        entries(bytes).map_err(|words| format!("Error processing tar file(exit status 1): {words}"))
    };
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for entry in entries_of(bytes)? {
        if let EntryKind::File(content) = entry.kind {
            files.insert(entry.name.trim_start_matches("./").into(), content);
        }
    }
    let missing = |name: &str| {
        format!("open /var/lib/docker/tmp/docker-import/{name}: no such file or directory")
    };
    let manifest = files.get("manifest.json").ok_or_else(|| missing("manifest.json"))?;
    let manifest: Vec<Value> =
        serde_json::from_slice(manifest).map_err(|error| error.to_string())?;
    let mut lines = Vec::new();
    for described in manifest {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
        let name = text(&described["Config"]);
        let config_bytes = files.get(&name).ok_or_else(|| missing(&name))?;
        let document: Value =
            serde_json::from_slice(config_bytes).map_err(|error| error.to_string())?;
        let id = digest(config_bytes);
        let known = world.images.get(&id).cloned().or_else(|| {
            let all = world.images.newest_first();
            let same = |image: &&&Arc<Image>| {
                let digests: Vec<_> =
                    layer_tars(image).iter().map(|archive| digest(archive)).collect();
                digest(&config_json(image, &digests)) == id
            };
            all.iter().find(same).map(|image| Arc::clone(image))
        });
        let image = match known {
            Some(image) => image,
            None => {
                let mut tree = Tree::new();
                let mut layers = Vec::new();
                for path in described["Layers"].as_array().into_iter().flatten() {
                    let path = text(path);
                    let archive = files.get(&path).ok_or_else(|| missing(&path))?;
                    let archive = gzip::plain(archive, MOST as usize)?;
                    let size = lay(&mut tree, entries_of(&archive)?)?;
                    layers.push(Layer { digest: digest(&archive), size, tree: tree.clone() });
                }
                let config = body::typed::<Config>(
                    body::cleaned(document["config"].clone()),
                    "Config",
                    dialect,
                );
                let step = |step: &Value| History {
                    created: moment(&text(&step["created"])).unwrap_or_default(),
                    created_by: text(&step["created_by"]),
                    author: text(&step["author"]),
                    comment: text(&step["comment"]),
                    empty_layer: step["empty_layer"].as_bool().unwrap_or(false),
                };
                let container_config = &document["container_config"];
                let container_config = (!container_config.is_null())
                    .then(|| {
                        body::typed::<Config>(
                            body::cleaned(container_config.clone()),
                            "Config",
                            dialect,
                        )
                    })
                    .and_then(Result::ok);
                let image = Image {
                    id: id.into(),
                    parent: None,
                    created: moment(&text(&document["created"])).unwrap_or_default(),
                    comment: text(&document["comment"]),
                    author: text(&document["author"]),
                    container: text(&document["container"]),
                    container_config: container_config.map(Arc::new),
                    config: config.map_err(|failure| failure.message.to_string())?.into(),
                    layers,
                    history: document["history"]
                        .as_array()
                        .into_iter()
                        .flatten()
                        .map(step)
                        .collect(),
                    tree,
                };
                world.images.insert(image.clone());
                Arc::new(image)
            }
        };
        let tags: Vec<String> =
            described["RepoTags"].as_array().into_iter().flatten().map(text).collect();
        for tag in &tags {
            let now = world.now;
            world.images.tag(tag, &image.id, now);
            let said = format!("Loaded image: {tag}\n");
            lines.extend(line(&json!({"stream": said})));
        }
        if tags.is_empty() {
            lines.extend(line(&json!({"stream": format!("Loaded image ID: {}\n", image.id)})));
        }
        let name = image.id.to_string();
        world.emit("image", "load", &name, &[("name", &name)]);
    }
    Ok(lines)
}

/// Makes an image of a container's files.
fn import(world: &mut World, job: &Job, bytes: &[u8]) -> Result<Vec<u8>, Failure> {
    let text = |key| job.env(key).unwrap_or_default().into_owned();
    let source = text("fromSrc");
    if source != "-" {
        return Err(system(format!("Get \"{source}\": the simulated engine is on no network")));
    }
    let reference = match &*text("repo") {
        "" => None,
        repo => {
            let mut reference = Reference::parse(repo).map_err(invalid)?;
            if !text("tag").is_empty() {
                reference.tag = Some(text("tag"));
            }
            Some(reference)
        }
    };
    let mut config = Config::default();
    let changes =
        job.envs().filter(|(key, _)| key == "changes").map(|(_, change)| change.into_owned());
    for change in changes.collect::<Vec<_>>().iter().flat_map(|change| change.lines()) {
        apply(change, &mut config)?;
    }
    let mut tree = Tree::new();
    let laid = entries(bytes).and_then(|entries| lay(&mut tree, entries));
    let size = match laid {
        Ok(size) => size,
        Err(words) => {
            return Ok(error_line(&format!("Error processing tar file(exit status 1): {words}")));
        }
    };
    let comment = match &*text("message") {
        "" => String::from("Imported from -"),
        message => message.to_string(),
    };
    let step = History {
        created: world.now,
        created_by: String::new(),
        author: String::new(),
        comment: comment.clone(),
        empty_layer: false,
    };
    let layer = Layer { digest: digest(&layer_tar(None, &tree)), size, tree: tree.clone() };
    let mut image = Image {
        id: "".into(),
        parent: None,
        created: world.now,
        comment,
        author: String::new(),
        container: String::new(),
        container_config: Some(Config::default().into()),
        config: config.into(),
        layers: Vec::from([layer]),
        history: Vec::from([step]),
        tree,
    };
    image.id = config_digest(&image).into();
    let (id, now) = (Arc::clone(&image.id), world.now);
    world.images.insert(image);
    if let Some(reference) = reference {
        world.images.tag(&reference.tagged(), &id, now);
    }
    world.emit("image", "import", &id, &[("name", &id)]);
    Ok(line(&json!({"status": id})))
}

/// A container's files, without what is mounted.
fn export(world: &mut World, job: &Job, dialect: Dialect) -> Result<Vec<u8>, Failure> {
    let serial = world.serial(&job.arg(0).unwrap_or_default(), dialect)?;
    let tree = world.root_tree(serial).and_then(|tree| world.store.get(tree)).cloned();
    let mut writer = Writer::new();
    if let Some(tree) = tree {
        writer.add_all("", Arc::clone(tree.root()));
    }
    world.emit_of("export", serial, &[]);
    Ok(written(writer))
}

pub(super) fn answer(
    world: &mut World,
    name: &str,
    job: &Job,
    body: &[u8],
    dialect: Dialect,
) -> Result<Option<Body>, Failure> {
    Ok(Some(Body::Owned(match name {
        "image_export" => save(world, &[job.arg(0).unwrap_or_default().into_owned()], dialect)?,
        "images_export" => {
            let names = job.envs().filter(|(key, _)| key == "names");
            let names: Vec<String> = names.map(|(_, name)| name.into_owned()).collect();
            save(world, &names, dialect)?
        }
        "load" => load(world, body, dialect),
        "pull" => import(world, job, body)?,
        "export" => export(world, job, dialect)?,
        _ => return Ok(None),
    })))
}

#[cfg(test)]
mod tests {
    use super::super::world::tests::{LEGACY, world};
    use super::{import, load, moment, save};
    use crate::backend::simulator::files::tar::Writer;
    use crate::backend::simulator::files::{Meta, Node};
    use crate::job::Job;
    use alloc::string::{String, ToString};
    use alloc::vec::Vec;
    use core::time::Duration;

    fn tiny() -> Vec<u8> {
        let mut writer = Writer::new();
        writer.add("hello", Node::file("hello\n", Meta::new(0o755, 0)));
        writer.add("data", Node::directory(Meta::new(0o755, 0)));
        super::written(writer)
    }

    #[test]
    fn what_is_imported_saved_and_loaded_is_the_same_image() {
        let mut world = world(&[]);
        let job = Job::new("pull").with_env("fromSrc", "-").with_env("repo", "tiny:1");
        import(&mut world, &job, &tiny()).unwrap();
        let id = world.images.find("tiny:1").unwrap().id.clone();
        let archive = save(&world, &["tiny:1".to_string()], LEGACY).unwrap();
        world.delete_image("tiny:1", false, true).unwrap();
        assert!(world.images.get(&id).is_none());
        let said = load(&mut world, &archive, LEGACY);
        assert_eq!(
            String::from_utf8(said).unwrap(),
            "{\"stream\":\"Loaded image: tiny:1\\n\"}\r\n"
        );
        let image = world.images.find("tiny:1").unwrap();
        assert_eq!(image.id, id);
        let hello = image.tree.get(&super::names("/hello")).unwrap();
        assert_eq!(hello.content().unwrap().as_slice(), b"hello\n");
    }

    #[test]
    fn a_pulled_image_comes_back_as_itself() {
        let mut world = world(&[]);
        let id = world.images.find("busybox").unwrap().id.clone();
        let archive = save(&world, &["busybox".to_string()], LEGACY).unwrap();
        load(&mut world, &archive, LEGACY);
        assert_eq!(world.images.find("busybox").unwrap().id, id);
        assert_eq!(world.images.len(), 1);
    }

    #[test]
    fn what_is_no_archive_is_refused_in_the_stream() {
        let mut world = world(&[]);
        let said = String::from_utf8(load(&mut world, b"junk\n", LEGACY)).unwrap();
        assert_eq!(
            said,
            "{\"error\":\"Error processing tar file(exit status 1): unexpected EOF\",\"errorDetail\":{\"message\":\
             \"Error processing tar file(exit status 1): unexpected EOF\"}}\r\n"
        );
        let missed = save(&world, &["nosuch".to_string()], LEGACY).unwrap_err();
        assert_eq!(missed.message, "No such image: nosuch");
    }

    #[test]
    fn moments_are_read() {
        assert_eq!(moment("1970-01-01T00:00:00Z"), Some(Duration::ZERO));
        assert_eq!(
            moment("2020-01-06T09:06:59.5Z"),
            Some(Duration::new(1_578_301_619, 500_000_000))
        );
        assert_eq!(moment("yesterday"), None);
    }
}
