//! What a session touches on an engine, by its requests.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::play::path;
use crate::session::{Session, Side};
use crate::wire::{self, Message};

/// Names of what a session makes, changes or removes.
#[derive(Default, Debug)]
pub(super) struct Needs {
    pub(super) containers: BTreeSet<String>,
    pub(super) volumes: BTreeSet<String>,
    pub(super) networks: BTreeSet<String>,
    /// With a tag: those that it makes or removes.
    pub(super) images: BTreeSet<String>,
    /// Those that must be there.
    pub(super) images_used: BTreeSet<String>,
    /// It prunes, or its answers tell of all that is there.
    pub(super) everything: bool,
}

/// The images that all sessions share.
pub(super) const IMAGES: [&str; 2] = ["busybox:latest", "tiny:latest"];
/// Networks that every engine has.
pub(super) const NETWORKS: [&str; 4] = ["bridge", "host", "none", "podman"];

impl Needs {
    pub(super) fn of(session: &Session) -> Self {
        let mut needs = Self::default();
        for conn in session.connections() {
            let sides = [Side::Client, Side::Engine].map(|side| session.stream(conn, side));
            for exchange in wire::exchanges(&sides[0], &sides[1]) {
                needs.request(&exchange.request);
            }
        }
        needs
    }

    fn request(&mut self, request: &Message) {
        let query = query(&request.start);
        let asked =
            |key: &str| query.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
        let body: Value = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
        let parts: Vec<&str> = path(request).split('/').skip(1).collect();
        let method = request.method();
        match (method, parts.as_slice()) {
            (_, [_, "prune"]) | ("GET", ["info" | "events" | "volumes" | "networks"]) => {
                self.everything = true
            }
            ("GET", ["containers" | "images", "json"] | ["system", "df"] | ["images", "get"]) => {
                self.everything = true
            }
            ("POST", ["images", "load"]) => self.everything = true,
            ("POST", ["containers", "create"]) => {
                self.containers.extend(asked("name").map(str::to_owned));
                let binds = body["HostConfig"]["Binds"].as_array().into_iter().flatten();
                let named = |bind: &Value| bind.as_str()?.split(':').next().map(str::to_owned);
                self.volumes.extend(binds.filter_map(named).filter(|source| !source.contains('/')));
                let image = body["Image"].as_str().map(tagged);
                self.images_used.extend(image.filter(|image| IMAGES.contains(&image.as_str())));
            }
            ("POST", ["volumes", "create"]) => {
                self.volumes.extend(body["Name"].as_str().map(str::to_owned))
            }
            ("POST", ["networks", "create"]) => {
                self.networks.extend(body["Name"].as_str().map(str::to_owned))
            }
            ("POST", ["images", "create"]) => {
                let image = asked("repo").map(|repo| with_tag(repo, asked("tag")));
                self.images.extend(image);
            }
            ("POST", ["commit"]) => {
                self.images.extend(asked("repo").map(|repo| with_tag(repo, asked("tag"))))
            }
            ("POST", ["build"]) => {
                let tags = query.iter().filter(|(name, _)| name == "t");
                self.images.extend(tags.map(|(_, value)| tagged(value)));
                self.everything = true;
            }
            ("POST", ["images", .., "tag"]) => {
                self.images.extend(asked("repo").map(|repo| with_tag(repo, asked("tag"))));
            }
            ("DELETE", ["images", name @ ..]) => {
                self.images.insert(tagged(&name.join("/")));
            }
            ("GET" | "HEAD", _) => {}
            (_, ["containers", name, ..]) if !is_id(name) => {
                self.containers.insert((*name).to_owned());
                self.containers.extend(asked("name").map(str::to_owned));
            }
            (_, ["volumes", name, ..]) => {
                self.volumes.insert((*name).to_owned());
            }
            (_, ["networks", name, ..]) if !is_id(name) && !NETWORKS.contains(name) => {
                self.networks.insert((*name).to_owned());
            }
            _ => {}
        }
    }
}

fn is_id(name: &str) -> bool {
    name.len() >= 12 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn with_tag(repo: &str, tag: Option<&str>) -> String {
    match tag.filter(|tag| !tag.is_empty()) {
        Some(tag) => format!("{repo}:{tag}"),
        None => tagged(repo),
    }
}

pub(super) fn tagged(name: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or(name);
    if last.contains([':', '@']) { name.to_owned() } else { format!("{name}:latest") }
}

fn query(start: &str) -> Vec<(String, String)> {
    let target = start.split(' ').nth(1).unwrap_or_default();
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), decoded(value))).collect()
}

fn decoded(text: &str) -> String {
    let mut out = Vec::new();
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let hex = text.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (bytes[at], hex) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 2;
            }
            (b'+', _) => out.push(b' '),
            (byte, _) => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(requests: &[&str]) -> Needs {
        let mut needs = Needs::default();
        for request in requests {
            let (line, body) = request.split_once('\n').unwrap_or((request, ""));
            let text = format!("{line} HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            needs.request(&wire::exchanges(text.as_bytes(), b"").remove(0).request);
        }
        needs
    }

    #[test]
    fn requests_tell_what_they_touch() {
        let needs = needs(&[
            "POST /v1.41/containers/create?name=c1\n{\"Image\":\"busybox\",\"HostConfig\":{\"Binds\":[\"data:/v\",\"/tmp:/t\"]}}",
            "DELETE /containers/c2?force=1",
            "POST /v1.41/containers/6c72e2fe7e3c/start",
            "POST /v1.41/containers/c3/rename?name=c4",
            "GET /v1.41/containers/c9/json",
            "POST /networks/create\n{\"Name\":\"n1\"}",
            "POST /images/busybox/tag?repo=a%2Fb&tag=2",
            "DELETE /v1.41/images/x",
            "POST /commit?repo=made",
        ]);
        let names = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>().join(" ");
        assert_eq!(names(&needs.containers), "c1 c2 c3 c4");
        assert_eq!(names(&needs.volumes), "data");
        assert_eq!(names(&needs.networks), "n1");
        assert_eq!(names(&needs.images), "a/b:2 made:latest x:latest");
        assert_eq!(names(&needs.images_used), "busybox:latest");
        assert!(!needs.everything);
    }

    #[test]
    fn what_prunes_or_lists_touches_everything() {
        for request in [
            "POST /containers/prune",
            "GET /v1.41/containers/json?all=1",
            "GET /events",
            "GET /system/df",
            "POST /images/load",
        ] {
            assert!(needs(&[request]).everything, "{request}");
        }
    }
}
