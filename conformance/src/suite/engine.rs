//! The engine that sessions are played against: what it holds, and how it is left as it was.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::time::{Duration, Instant};

use libswarm::address::Remote;
use libswarm_host::Stream;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use serde_json::Value;

use super::needs::{IMAGES, NETWORKS, Needs};
use super::rootfs;
use crate::play::LABEL;
use crate::wire;

/// A Docker engine somewhere.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) remote: Remote,
    patience: Duration,
}

/// What an engine holds.
#[derive(Default, Debug)]
pub(super) struct Inventory {
    /// Names by id.
    pub(super) containers: BTreeMap<String, Vec<String>>,
    /// Tags by id.
    pub(super) images: BTreeMap<String, Vec<String>>,
    pub(super) volumes: BTreeSet<String>,
    pub(super) networks: BTreeSet<String>,
}

impl Inventory {
    /// Something that the session would change and that is there.
    pub(super) fn taken(&self, needs: &Needs, imported: &[String]) -> Option<String> {
        let first =
            |kind: &str, name: Option<&String>| name.map(|name| format!("the {kind} {name}"));
        let container = needs
            .containers
            .iter()
            .find(|name| self.containers.values().flatten().any(|there| there == *name));
        let image = needs.images.iter().find(|name| {
            !imported.contains(name) && self.images.values().flatten().any(|there| there == *name)
        });
        first("container", container)
            .or_else(|| first("volume", needs.volumes.intersection(&self.volumes).next()))
            .or_else(|| first("network", needs.networks.intersection(&self.networks).next()))
            .or_else(|| first("image", image))
    }

    /// Whether there is nothing but what every engine has and what we have imported.
    pub(super) fn is_empty(&self, imported: &[String]) -> bool {
        self.containers.is_empty()
            && self.volumes.is_empty()
            && self.networks.iter().all(|name| NETWORKS.contains(&name.as_str()))
            && self
                .images
                .values()
                .all(|tags| !tags.is_empty() && tags.iter().all(|tag| imported.contains(tag)))
    }
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

impl Engine {
    pub(super) const fn new(remote: Remote, patience: Duration) -> Self {
        Self { remote, patience }
    }

    /// One request on a connection of its own.
    fn ask(&self, method: &str, target: &str, body: &[u8]) -> Result<(u16, Vec<u8>), String> {
        let at = format!("{method} {target} at {}", self.remote);
        let said = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => {
                format!("{at}: no answer within {} s", self.patience.as_secs_f32())
            }
            _ => format!("{at}: {error}"),
        };
        let mut stream = libswarm_host::connect_plain(&self.remote, self.patience)
            .map_err(|error| format!("cannot connect to {}: {error}", self.remote))?;
        let limit = |stream: &Stream, which, time: Duration| {
            // None at all would be no limit.
            let time = time.max(Duration::from_millis(1));
            set_socket_timeout(stream, which, Some(time)).map_err(|error| said(error.into()))
        };
        limit(&stream, Timeout::Send, self.patience)?;
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: docker\r\nConnection: close\r\nContent-Type: application/x-tar\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(&[head.as_bytes(), body].concat()).map_err(said)?;
        let (mut got, mut piece) = (Vec::new(), vec![0; 64 * 1024]);
        // For the whole answer: one that comes drop by drop must not go on for ever.
        let until = Instant::now() + self.patience;
        loop {
            let whole = wire::exchanges(head.as_bytes(), &got)
                .into_iter()
                .next()
                .and_then(|one| one.response);
            let ended = whole
                .as_ref()
                .is_some_and(|message| message.complete && message.form != wire::Form::Close);
            if !ended {
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(said(std::io::ErrorKind::TimedOut.into()));
                }
                limit(&stream, Timeout::Recv, left)?;
                let length = stream.read(&mut piece).map_err(said)?;
                if length > 0 {
                    got.extend_from_slice(&piece[..length]);
                    if got.len() > 64 << 20 {
                        return Err(format!("{at}: the answer does not end"));
                    }
                    continue;
                }
            }
            let Some(message) = whole else {
                let start = got[..got.len().min(60)].escape_ascii();
                return Err(format!("{at}: no HTTP answer came, but \"{start}\""));
            };
            return Ok((message.status(), message.body));
        }
    }

    fn get(&self, target: &str) -> Result<Value, String> {
        match self.ask("GET", target, b"")? {
            (200, body) => serde_json::from_slice(&body)
                .map_err(|error| format!("GET {target}: what came is no JSON: {error}")),
            (status, body) => {
                Err(format!("GET {target}: {status} {}", String::from_utf8_lossy(&body).trim_end()))
            }
        }
    }

    pub(super) fn ping(&self) -> Result<(), String> {
        match self.ask("GET", "/_ping", b"")? {
            (200, _) => Ok(()),
            (status, _) => {
                Err(format!("{} is no Docker engine: GET /_ping gives {status}", self.remote))
            }
        }
    }

    pub(super) fn inventory(&self) -> Result<Inventory, String> {
        let mut all = Inventory::default();
        for container in self.get("/containers/json?all=1")?.as_array().into_iter().flatten() {
            let names = texts(&container["Names"])
                .iter()
                .map(|name| name.trim_start_matches('/').to_owned())
                .collect();
            all.containers.insert(container["Id"].as_str().unwrap_or_default().to_owned(), names);
        }
        for image in self.get("/images/json?all=1")?.as_array().into_iter().flatten() {
            let mut tags = texts(&image["RepoTags"]);
            // Podman's full names are those of the same images.
            let short: Vec<String> = tags
                .iter()
                .filter_map(|tag| {
                    tag.strip_prefix("docker.io/library/")
                        .or_else(|| tag.strip_prefix("localhost/"))
                })
                .map(str::to_owned)
                .collect();
            tags.extend(short);
            tags.retain(|tag| tag != "<none>:<none>");
            all.images.insert(image["Id"].as_str().unwrap_or_default().to_owned(), tags);
        }
        let names = |list: &Value| -> BTreeSet<String> {
            list.as_array()
                .into_iter()
                .flatten()
                .filter_map(|one| one["Name"].as_str())
                .map(str::to_owned)
                .collect()
        };
        // An engine without volumes or networks has none that could be lost.
        all.volumes = self.get("/volumes").map(|list| names(&list["Volumes"])).unwrap_or_default();
        all.networks = self.get("/networks").map(|list| names(&list)).unwrap_or_default();
        Ok(all)
    }

    /// Imports those of the images that are not there; returns which.
    pub(super) fn import_images(&self, rootfs: Option<&str>) -> Result<Vec<String>, String> {
        let there = self.inventory()?;
        let mut imported = Vec::new();
        for image in IMAGES {
            if there.images.values().flatten().any(|tag| tag == image) {
                continue;
            }
            let (tar, command) = match image {
                "busybox:latest" => (rootfs::busybox(rootfs)?, "CMD%20%5B%22sh%22%5D"),
                _ => (rootfs::tiny(), "CMD%20%5B%22%2Fhello%22%5D"),
            };
            let repo = image.trim_end_matches(":latest");
            let target =
                format!("/v1.24/images/create?fromSrc=-&repo={repo}&tag=latest&changes={command}");
            let (status, said) = self.ask("POST", &target, &tar)?;
            let said = String::from_utf8_lossy(&said).into_owned();
            if status != 200 || said.contains("\"error\"") {
                return Err(format!("cannot import {image}: {status} {}", said.trim_end()));
            }
            imported.push(image.to_owned());
        }
        Ok(imported)
    }

    pub(super) fn remove_image(&self, image: &str) {
        // What is in use or gone is not ours to fight for.
        let _ = self.ask("DELETE", &format!("/images/{image}?force=1"), b"");
    }

    /// Removes what a session has made. `ids` are those that the engine's answers named.
    pub(super) fn clean(&self, before: &Inventory, needs: &Needs, ids: &BTreeSet<String>) {
        let labelled = format!("filters=%7B%22label%22%3A%5B%22{LABEL}%22%5D%7D");
        let remove = |target: String| {
            // It may have removed itself meanwhile.
            let _ = self.ask("DELETE", &target, b"");
        };
        let named = |id: &str| {
            id.trim_start_matches("sha256:").get(..12).is_some_and(|id| ids.contains(id))
        };
        let mut containers = Vec::new();
        if let Ok(list) = self.get(&format!("/containers/json?all=1&{labelled}")) {
            containers.extend(
                list.as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(|one| one["Id"].as_str())
                    .map(str::to_owned),
            );
        }
        let Ok(now) = self.inventory() else { return };
        containers.extend(
            now.containers
                .iter()
                .filter(|(id, names)| {
                    !before.containers.contains_key(*id)
                        && (named(id) || names.iter().any(|name| needs.containers.contains(name)))
                })
                .map(|(id, _)| id.clone()),
        );
        for id in containers {
            remove(format!("/containers/{id}?force=1&v=1"));
        }
        for name in
            now.networks.difference(&before.networks).filter(|name| needs.networks.contains(*name))
        {
            remove(format!("/networks/{name}"));
        }
        for name in now
            .volumes
            .difference(&before.volumes)
            .filter(|name| needs.volumes.contains(*name) || named(name))
        {
            remove(format!("/volumes/{name}?force=1"));
        }
        let known: BTreeSet<&String> = before.images.values().flatten().collect();
        for tag in now
            .images
            .values()
            .flatten()
            .filter(|tag| !known.contains(tag) && needs.images.contains(*tag))
        {
            self.remove_image(tag);
        }
        for id in now.images.keys().filter(|id| !before.images.contains_key(*id)) {
            if named(id) {
                self.remove_image(id);
            }
        }
    }
}
