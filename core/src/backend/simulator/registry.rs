//! Registries: `pull` and `push`, with the progress that people watch. Every image can be pulled, but from registries on this
//! machine, where nobody answers, and but for those whose names say that they do not exist; offline none can.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;
use serde_json::{Value, json};

use super::Simulator;
use super::catalogue;
use super::clients::Task;
use super::failures::{invalid, not_found, system};
use super::images::Image;
use super::reference::Reference;
use super::versions::Dialect;
use super::world::World;
use crate::id::JobId;
use crate::job::{Body, Cx, Failure, Job, Status, Stdio};

/// Lines that a client is told, each after a pause.
pub(super) struct Script {
    pub(super) lines: VecDeque<Vec<u8>>,
    /// What happens with the last line: an image comes under a name, with a digest.
    pub(super) then: Option<(String, Arc<Image>, String)>,
}

/// Between two lines of progress.
const PAUSE: Duration = Duration::from_millis(10);

/// What dockerd says when nobody answers at an address.
pub(super) fn unreachable(registry: &str) -> Failure {
    system(format!(
        "Get \"http://{registry}/v2/\": dial tcp {registry}: connect: connection refused"
    ))
}

/// What dockerd says where no name can be looked up. Docker's own registry has another name on the wire.
pub(super) fn unknown_host(registry: &str) -> Failure {
    let host = match registry {
        "docker.io" | "index.docker.io" => "registry-1.docker.io",
        other => other,
    };
    lookup_failed(host, &format!("https://{host}/v2/"))
}

/// What dockerd says when the name in a URL cannot be looked up.
pub(super) fn lookup_failed(host: &str, url: &str) -> Failure {
    system(format!("Get \"{url}\": dial tcp: lookup {host} on {RESOLVER}: no such host"))
}

/// Bytes of the manifest of an image with one layer.
const MANIFEST_SIZE: u64 = 528;

/// Where the simulated host looks names up.
const RESOLVER: &str = "10.0.2.3:53";

/// What dockerd says of a URL that it cannot get: there is nobody at an address, and nothing knows a name.
pub(super) fn download(url: &str) -> Failure {
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (name, port) = host.split_once(':').unwrap_or((host, ""));
    if name.parse::<core::net::Ipv4Addr>().is_err() && name != "localhost" {
        return lookup_failed(name, url);
    }
    let port = match (port, scheme) {
        ("", "https") => "443",
        ("", _) => "80",
        (port, _) => port,
    };
    system(format!("Get \"{url}\": dial tcp {name}:{port}: connect: connection refused"))
}

/// Whether a registry is on this machine, where the engine would find nobody.
fn is_here(registry: &str) -> bool {
    registry.starts_with("127.") || registry.starts_with("localhost")
}

pub(super) fn line(value: &Value) -> Vec<u8> {
    let mut line = serde_json::to_vec(value).unwrap_or_default();
    line.extend_from_slice(b"\r\n");
    line
}

pub(super) fn error_line(message: &str) -> Vec<u8> {
    line(&json!({"errorDetail": {"message": message}, "error": message}))
}

/// The progress of one layer, as a bar that a terminal shows.
fn progress(status: &str, id: &str, current: u64, total: u64) -> Value {
    let filled = usize::try_from(current * 50 / total.max(1)).unwrap_or(50).min(50);
    let head = if filled < 50 { ">" } else { "" };
    let bar = format!("[{}{head}{}]", "=".repeat(filled), " ".repeat(50 - filled - head.len()));
    let text = format!("{bar}  {}/{}", human(current), human(total));
    json!({"status": status, "progressDetail": {"current": current, "total": total}, "progress": text, "id": id})
}

/// A size with four digits, in the units of 1000.
fn human(bytes: u64) -> String {
    let mut size = bytes as f64;
    let mut unit = 0;
    while size >= 1000.0 && unit < 4 {
        size /= 1000.0;
        unit += 1;
    }
    let digits = match size {
        size if size >= 1000.0 || unit == 0 => 0,
        size if size >= 100.0 => 1,
        size if size >= 10.0 => 2,
        _ => 3,
    };
    let text = format!("{size:.digits$}");
    let text =
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{}", ["B", "kB", "MB", "GB", "TB"][unit])
}

impl World {
    /// Why the registry of an image cannot be reached, if it cannot.
    pub(super) fn no_registry(&self, reference: &Reference) -> Option<Failure> {
        match reference.registry() {
            Some(registry) if is_here(registry) => Some(unreachable(registry)),
            registry => self.offline.then(|| unknown_host(registry.unwrap_or("docker.io"))),
        }
    }

    /// Whether a name says itself that no registry has it: tests ask for such to be refused.
    fn is_none(reference: &Reference) -> bool {
        let letters = |c: &char| c.is_ascii_alphanumeric();
        let name: String = reference.name.chars().filter(letters).collect();
        ["nosuch", "notexist", "nonexist", "notfound"].iter().any(|word| name.contains(word))
    }

    /// The story of a pull: what its client is told, and what it brings.
    pub(super) fn pull_script(&self, reference: &Reference) -> Result<Script, Failure> {
        if let Some(failure) = self.no_registry(reference) {
            return Err(failure);
        }
        if Self::is_none(reference) {
            let name = &reference.name;
            return Err(not_found(format!(
                "pull access denied for {name}, repository does not exist or may require 'docker login': denied: \
                 requested access to the resource is denied"
            )));
        }
        let tag = reference.tag.clone().unwrap_or_else(|| "latest".to_string());
        let (image, digest) = catalogue::image(&reference.name, &tag);
        let digest = reference.digest.clone().unwrap_or(digest);
        let image = Arc::new(image);
        let known = self.images.get(&image.id).is_some();
        let short = |layer: &super::images::Layer| layer.digest[7..19].to_string();
        let repository = reference.full_name();
        let repository = repository.strip_prefix("docker.io/").unwrap_or(&repository);
        let what = match &reference.digest {
            Some(digest) => digest.clone(),
            None => tag,
        };
        let mut lines = VecDeque::from([line(
            &json!({"status": format!("Pulling from {repository}"), "id": what}),
        )]);
        if !known {
            for layer in &image.layers {
                let (id, size) = (short(layer), layer.size);
                let plain =
                    |status: &str| line(&json!({"status": status, "progressDetail": {}, "id": id}));
                lines.push_back(plain("Pulling fs layer"));
                for part in [1, 2, 3] {
                    lines.push_back(line(&progress("Downloading", &id, size * part / 3, size)));
                }
                lines.push_back(plain("Verifying Checksum"));
                lines.push_back(plain("Download complete"));
                for part in [1, 2] {
                    lines.push_back(line(&progress("Extracting", &id, size * part / 2, size)));
                }
                lines.push_back(plain("Pull complete"));
            }
        }
        lines.push_back(line(&json!({"status": format!("Digest: {digest}")})));
        let name = match &reference.digest {
            Some(digest) => format!("{}@{digest}", reference.name),
            None => reference.tagged(),
        };
        let status = match known {
            true => format!("Status: Image is up to date for {name}"),
            false => format!("Status: Downloaded newer image for {name}"),
        };
        lines.push_back(line(&json!({"status": status})));
        Ok(Script { lines, then: Some((name, image, digest)) })
    }

    /// What a pull brings is there now.
    pub(super) fn end_script(&mut self, (name, image, digest): (String, Arc<Image>, String)) {
        let (now, image_id) = (self.now, Arc::clone(&image.id));
        self.images.insert(Image::clone(&image));
        let repository = match name.split_once('@') {
            Some((repository, _)) => repository.to_string(),
            None => {
                self.images.tag(&name, &image_id, now);
                name.rsplit_once(':').map_or(name.as_str(), |(name, _)| name).to_string()
            }
        };
        self.images.add_digest(&repository, &digest, &image_id);
        self.emit("image", "pull", &name, &[("name", &repository)]);
    }

    /// `GET /distribution/{name}/json`: what the registry has of an image.
    pub(super) fn distribution(&self, wanted: &str) -> Result<Body, Failure> {
        let reference = Reference::parse(wanted).map_err(invalid)?;
        if let Some(failure) = self.no_registry(&reference) {
            return Err(failure);
        }
        let tag = reference.tag.as_deref().unwrap_or("latest");
        let (_, digest) = catalogue::image(&reference.name, tag);
        super::json(&json!({
            "Descriptor": {
                "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
                "digest": reference.digest.unwrap_or(digest), "size": MANIFEST_SIZE,
            },
            "Platforms": [{"architecture": "amd64", "os": "linux"}],
        }))
    }
}

impl Simulator {
    pub(super) fn pull(
        &mut self,
        cx: &mut Cx<'_>,
        id: JobId,
        job: &Job,
        _dialect: Dialect,
    ) -> Result<(), Failure> {
        let from = job.env("fromImage").unwrap_or_default();
        let mut reference = Reference::parse(&from).map_err(invalid)?;
        let tag = job.env("tag").unwrap_or_default();
        if tag.starts_with("sha256:") {
            reference.digest = Some(tag.to_string());
        } else if !tag.is_empty() {
            if !super::reference::is_tag(&tag) {
                return Err(invalid("invalid tag format"));
            }
            reference.tag = Some(tag.to_string());
        }
        let world = self.world.as_ref().expect("made with the first job");
        let script = world.pull_script(&reference)?;
        cx.begin(id, Stdio::Raw);
        self.keep(id, Task::Script(script));
        self.tell_script(cx, id);
        Ok(())
    }

    pub(super) fn push(&mut self, cx: &mut Cx<'_>, id: JobId, job: &Job) -> Result<(), Failure> {
        let name = job.arg(0).unwrap_or_default();
        let mut reference = Reference::parse(&name).map_err(invalid)?;
        if let Some(tag) = job.env("tag").filter(|tag| !tag.is_empty()) {
            reference.tag = Some(tag.to_string());
        }
        let full = reference.full_name();
        let mut lines = VecDeque::from([line(
            &json!({"status": format!("The push refers to repository [{full}]")}),
        )]);
        let world = self.world.as_ref().expect("made with the first job");
        let image = world.images.find(&reference.tagged());
        match (image, world.no_registry(&reference)) {
            (None, _) => {
                let words =
                    format!("An image does not exist locally with the tag: {}", reference.name);
                lines.push_back(error_line(&words));
            }
            (Some(_), Some(failure)) => lines.push_back(error_line(&failure.message)),
            (Some(image), None) => {
                for layer in &image.layers {
                    let (id, size) = (layer.digest[7..19].to_string(), layer.size);
                    let plain = |status: &str| {
                        line(&json!({"status": status, "progressDetail": {}, "id": id}))
                    };
                    lines.push_back(plain("Preparing"));
                    for part in [1, 2, 3] {
                        lines.push_back(line(&progress("Pushing", &id, size * part / 3, size)));
                    }
                    lines.push_back(plain("Pushed"));
                }
                let tag = reference.tag.as_deref().unwrap_or("latest");
                let digest =
                    format!("sha256:{}", catalogue::digits(&format!("manifest {}", image.id)));
                let status = format!("{tag}: digest: {digest} size: {MANIFEST_SIZE}");
                lines.push_back(line(&json!({"status": status})));
                let aux = json!({"Tag": tag, "Digest": digest, "Size": MANIFEST_SIZE});
                lines.push_back(line(&json!({"progressDetail": {}, "aux": aux})));
                let (id, name) = (Arc::clone(&image.id), reference.tagged());
                let world = self.world.as_mut().expect("made with the first job");
                world.emit("image", "push", &name, &[("name", &reference.name)]);
                let _ = id;
            }
        }
        cx.begin(id, Stdio::Raw);
        self.keep(id, Task::Script(Script { lines, then: None }));
        self.tell_script(cx, id);
        Ok(())
    }

    /// Tells the next line, and all the rest when nothing keeps it.
    pub(super) fn tell_script(&mut self, cx: &mut Cx<'_>, id: JobId) {
        let pause = self.control.faults.pull_pause().unwrap_or(PAUSE);
        let Some(Task::Script(script)) = self.tasks.get_mut(&id) else { return };
        if let Some(line) = script.lines.pop_front() {
            // A client that reads slowly is told later.
            if cx.room(id) < line.len() {
                script.lines.push_front(line);
                cx.timer(id, cx.now() + pause, 0);
                return;
            }
            cx.write(id, &line);
        }
        if !script.lines.is_empty() {
            cx.timer(id, cx.now() + pause, 0);
            return;
        }
        if let Some(then) = script.then.take() {
            let world = self.world.as_mut().expect("made with the first job");
            world.end_script(then);
        }
        self.forget(id);
        cx.exit(id, Status::Ok);
    }
}

#[cfg(test)]
mod tests {
    use super::{human, progress};

    #[test]
    fn sizes_have_four_digits() {
        for (bytes, text) in [
            (0, "0B"),
            (999, "999B"),
            (1000, "1kB"),
            (1500, "1.5kB"),
            (2_156_000, "2.156MB"),
            (116_513_622, "116.5MB"),
        ] {
            assert_eq!(human(bytes), text);
        }
    }

    #[test]
    fn a_bar_fills() {
        let bar = |current| {
            progress("Downloading", "a", current, 100)["progress"].as_str().unwrap().len()
        };
        assert_eq!(bar(50) - "50B".len(), bar(100) - "100B".len());
        assert!(
            progress("Downloading", "a", 100, 100)["progress"].as_str().unwrap().contains("=]")
        );
    }
}
