//! Files of a container, running or not: what they are, and what has become of them.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;
use serde::Serialize;

use super::clock::Rfc3339;
use super::container::Serial;
use super::failures::{invalid, not_found};
use super::files::tar::{Reader, Writer, unpack};
use super::files::{Errno, Kind, Node, Place, View, diff};
use super::versions::Dialect;
use super::world::World;
use crate::job::{Body, Failure, Job};

/// What is known of a path; clients find it in a header.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Stat {
    name: String,
    size: u64,
    mode: u32,
    mtime: Rfc3339,
    link_target: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Change<'a> {
    path: &'a str,
    kind: u8,
}

/// The mode of a node as Go's `os.FileMode` has it.
fn go_mode(node: &Node) -> u32 {
    let kind = match &node.kind {
        Kind::File(_) => 0,
        Kind::Directory(_) => 1 << 31,
        Kind::Symlink(_) => 1 << 27,
        Kind::Device { block: true, .. } => 1 << 26,
        Kind::Device { .. } => 1 << 26 | 1 << 21,
        Kind::Fifo => 1 << 25,
    };
    let mode = u32::from(node.meta.mode);
    let bit = |from: u32, to: u32| if mode & from != 0 { 1 << to } else { 0 };
    kind | mode & 0o777 | bit(0o4000, 23) | bit(0o2000, 22) | bit(0o1000, 20)
}

/// The container and the path that a job names.
fn wanted(world: &World, job: &Job, dialect: Dialect) -> Result<(Serial, String), Failure> {
    let serial = world.serial(&job.arg(0).unwrap_or_default(), dialect)?;
    match job.env("path").as_deref() {
        None | Some("") => Err(invalid("bad parameter: 'path' cannot be empty")),
        Some(path) => Ok((serial, path.to_string())),
    }
}

/// What stands at a path, without following the last link.
fn find(world: &mut World, serial: Serial, path: &str) -> Option<(Place, Arc<Node>)> {
    let mounts = world.mounts_for_copies(serial)?;
    let view = View::new(&mut world.store, &mounts, 0);
    let (place, node) = view.locate("/", path, path.ends_with('/')).ok()?;
    Some((place, node?))
}

fn missed(job: &Job, path: &str) -> Failure {
    let container = job.arg(0).unwrap_or_default();
    not_found(format!("Could not find the file {path} in container {container}"))
}

fn stat_of(place: &Place, node: &Node) -> Result<String, Failure> {
    let seconds = u64::try_from(node.meta.mtime).unwrap_or(0);
    let stat = Stat {
        name: place.names().last().map_or_else(|| "/".to_string(), ToString::to_string),
        size: node.size(),
        mode: go_mode(node),
        mtime: Rfc3339(Duration::from_secs(seconds)),
        link_target: match &node.kind {
            Kind::Symlink(target) => target.to_string(),
            _ => String::new(),
        },
    };
    serde_json::to_string(&stat).map_err(|error| super::failures::system(error.to_string()))
}

/// `HEAD …/archive`: what the header says, as JSON.
pub(super) fn stat(world: &mut World, job: &Job, dialect: Dialect) -> Result<String, Failure> {
    let (serial, path) = wanted(world, job, dialect)?;
    let (place, node) = find(world, serial, &path).ok_or_else(|| missed(job, &path))?;
    stat_of(&place, &node)
}

/// `GET …/archive`: what stands at a path, as an archive, and what it is.
pub(super) fn copy(
    world: &mut World,
    job: &Job,
    dialect: Dialect,
) -> Result<(String, Vec<u8>), Failure> {
    let (serial, path) = wanted(world, job, dialect)?;
    let (place, node) = find(world, serial, &path).ok_or_else(|| missed(job, &path))?;
    let mut writer = Writer::new();
    match place.names().last() {
        Some(name) => writer.add_all(name, Arc::clone(&node)),
        None => writer.add_all("/", Arc::clone(&node)),
    }
    let mut archive = Vec::new();
    while writer.read(&mut archive, 1 << 20) {}
    world.emit_of("archive-path", serial, &[]);
    Ok((stat_of(&place, &node)?, archive))
}

/// `PUT …/archive`: lays an archive into a folder of the container.
fn extract(world: &mut World, job: &Job, body: &[u8], dialect: Dialect) -> Result<(), Failure> {
    let (serial, path) = wanted(world, job, dialect)?;
    let read_only = world.containers.get(serial).is_some_and(|c| c.host.readonly_rootfs);
    let mut mounts = world.mounts_for_copies(serial).ok_or_else(|| missed(job, &path))?;
    mounts.set_read_only(read_only);
    let now = i64::try_from(world.now.as_secs()).unwrap_or(i64::MAX);
    let mut view = View::new(&mut world.store, &mounts, now);
    let Ok((place, Some(node))) = view.locate("/", &path, true) else {
        return Err(missed(job, &path));
    };
    if !node.is_directory() {
        return Err(invalid("extraction point is not a directory"));
    }
    drop(node);
    let folder = place.text();
    let refused = |words: String| {
        super::failures::system(format!("Error processing tar file(exit status 1): {words}"))
    };
    let body = super::gzip::plain(body, 512 << 20).map_err(|words| refused(words.into()))?;
    let mut reader = Reader::new(512 << 20);
    for entry in reader.feed(&body).map_err(|error| refused(error.to_string()))? {
        unpack(&mut view, &folder, &entry, false).map_err(|error| match error {
            Errno::RoFs => super::failures::forbidden("container rootfs is marked read-only"),
            error => refused(format!("{}: {}", entry.name, error.text().to_lowercase())),
        })?;
    }
    reader.finish().map_err(|error| refused(error.to_string()))?;
    world.emit_of("extract-to-dir", serial, &[]);
    Ok(())
}

pub(super) fn answer(
    world: &mut World,
    name: &str,
    job: &Job,
    body: &[u8],
    dialect: Dialect,
) -> Result<Option<Body>, Failure> {
    match name {
        "container_extract" => return extract(world, job, body, dialect).map(|()| Some("".into())),
        "container_changes" => {}
        _ => return Ok(None),
    }
    let container = world.find(&job.arg(0).unwrap_or_default(), dialect)?;
    let tree = container.tree.and_then(|tree| world.store.get(tree));
    let changes = match (world.images.root(&container.image), tree) {
        (Some(base), Some(tree)) => diff(&base, tree),
        _ => Vec::new(),
    };
    let shown: Vec<Change<'_>> = changes
        .iter()
        .map(|change| Change { path: &change.path, kind: change.kind as u8 })
        .collect();
    let none = shown.is_empty();
    Ok(Some(super::json(&(!none).then_some(shown))?))
}
