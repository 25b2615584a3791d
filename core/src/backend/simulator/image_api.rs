//! The requests about images that need no archive.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use serde::Serialize;
use serde_json::{Value, json};

use super::clock::Rfc3339;
use super::config::{Config, Shown as ShownConfig};
use super::failures::{invalid, not_found};
use super::filters::{Filters, integer};
use super::images::{Gone, Image};
use super::inspect::DRIVER;
use super::reference::Reference;
use super::versions::Dialect;
use super::world::World;
use crate::job::{Body, Failure, Job};

/// One image in a list (`ImageSummary`).
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ImageSummary<'a> {
    containers: i64,
    created: u64,
    id: &'a str,
    labels: Option<&'a BTreeMap<String, String>>,
    parent_id: &'a str,
    repo_digests: Option<Vec<&'a str>>,
    repo_tags: Option<Vec<&'a str>>,
    shared_size: i64,
    size: u64,
    /// Until 1.43.
    #[serde(skip_serializing_if = "Option::is_none")]
    virtual_size: Option<u64>,
}

/// One image (`ImageInspect`).
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected<'a> {
    id: &'a str,
    repo_tags: Vec<&'a str>,
    repo_digests: Vec<&'a str>,
    parent: &'a str,
    comment: &'a str,
    created: Rfc3339,
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    container_config: Option<ShownConfig<'a>>,
    docker_version: &'static str,
    author: &'a str,
    config: ShownConfig<'a>,
    architecture: &'static str,
    os: &'static str,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    virtual_size: Option<u64>,
    graph_driver: Value,
    #[serde(rename = "RootFS")]
    root_fs: RootFs<'a>,
    metadata: Value,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct RootFs<'a> {
    r#type: &'static str,
    layers: Vec<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Step<'a> {
    comment: &'a str,
    created: u64,
    created_by: &'a str,
    id: &'a str,
    size: u64,
    tags: Option<Vec<&'a str>>,
}

/// One thing that was removed.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Deleted {
    #[serde(skip_serializing_if = "Option::is_none")]
    untagged: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted: Option<String>,
}

impl From<Gone> for Deleted {
    fn from(gone: Gone) -> Self {
        match gone {
            Gone::Untagged(name) => Self { untagged: Some(name), deleted: None },
            Gone::Deleted(id) | Gone::Layer(id, _) => Self { untagged: None, deleted: Some(id) },
        }
    }
}

const KNOWN: [&str; 6] = ["before", "dangling", "label", "reference", "since", "until"];

impl<'a> ImageSummary<'a> {
    fn of(image: &'a Image, world: &'a World, counted: bool, dialect: Dialect) -> Self {
        let tags: Vec<&str> = world.images.tags_of(&image.id).collect();
        let digests: Vec<&str> = world.images.digests_of(&image.id).collect();
        let users = world.containers.iter().filter(|container| container.image == image.id).count();
        // The old engine wrote null for none, and made up a name for an image that has none.
        let list = |list: Vec<&'a str>| match list.is_empty() {
            true if dialect.is_legacy() => None,
            _ => Some(list),
        };
        let dangling = dialect.is_legacy() && tags.is_empty() && digests.is_empty();
        Self {
            containers: if counted { users as i64 } else { -1 },
            created: image.created.as_secs(),
            id: &image.id,
            labels: image.config.labels.as_ref(),
            parent_id: image.parent.as_deref().unwrap_or_default(),
            repo_digests: if dangling { Some(Vec::from(["<none>@<none>"])) } else { list(digests) },
            repo_tags: if dangling { Some(Vec::from(["<none>:<none>"])) } else { list(tags) },
            shared_size: if counted { 0 } else { -1 },
            size: image.size(),
            virtual_size: dialect.until(44, image.size()),
        }
    }

    /// The images that are shown if not all are asked for, with what uses them.
    pub(super) fn used(world: &'a World, dialect: Dialect) -> Vec<Self> {
        let all = world.images.without_intermediate().into_iter();
        all.map(|image| Self::of(image, world, true, dialect)).collect()
    }
}

/// Whether a name matches a pattern with `*` and `?`.
pub(super) fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p + 1, t));
                p += 1;
            }
            Some(c) if *c == text[t] || *c == b'?' && text[t] != b'/' => (p, t) = (p + 1, t + 1),
            _ => match star {
                // A star does not reach beyond a slash.
                Some((after, from)) if text[from] != b'/' => {
                    star = Some((after, from + 1));
                    (p, t) = (after, from + 1);
                }
                _ => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

/// Whether a filter `reference` means an image of this name and tag.
fn matches_reference(wanted: &str, tagged: &str) -> bool {
    let (name, _) = tagged.rsplit_once(':').unwrap_or((tagged, ""));
    let last = name.rsplit('/').next().unwrap_or(name);
    let wanted = wanted.strip_prefix("docker.io/").unwrap_or(wanted);
    let wanted = wanted.strip_prefix("library/").unwrap_or(wanted).as_bytes();
    glob(wanted, tagged.as_bytes())
        || glob(wanted, name.as_bytes())
        || glob(wanted, last.as_bytes())
}

fn list(world: &World, job: &Job, dialect: Dialect) -> Result<Body, Failure> {
    let filters = Filters::parse(&job.env("filters").unwrap_or_default(), dialect)?;
    filters.only(&KNOWN, dialect)?;
    let dangling = filters.boolean("dangling", dialect)?;
    let created = |key| match filters.last(key) {
        Some(name) => world.images.get_named(name).map(|image| Some(image.created)),
        None => Ok(None),
    };
    let (before, since) = (created("before")?, created("since")?);
    let until = super::prune::until(&filters, world.now);
    let all = job.flag("all");
    let old_filter = job.env("filter").filter(|name| !name.is_empty());
    let shown = world.images.newest_first().into_iter().filter(|image| {
        let mut tags = world.images.tags_of(&image.id);
        let named = world.images.tags_of(&image.id).next().is_some()
            || world.images.digests_of(&image.id).next().is_some();
        let wanted = |tag: &str| {
            filters.get("reference").is_none_or(|wanted| {
                wanted.is_empty() || wanted.iter().any(|wanted| matches_reference(wanted, tag))
            }) && old_filter.as_deref().is_none_or(|wanted| matches_reference(wanted, tag))
        };
        let by_name = filters.get("reference").is_some() || old_filter.is_some();
        // Without `all`, what an image was built on is left out.
        let intermediate = world.images.is_intermediate(&image.id);
        before.is_none_or(|before| image.created < before)
            && since.is_none_or(|since| image.created > since)
            && until.is_none_or(|until| image.created <= until)
            && dangling.is_none_or(|dangling| dangling != named && !(dangling && intermediate))
            && (all || !intermediate)
            && (!by_name || tags.any(wanted))
            && super::prune::labels_match(&filters, image.config.labels.as_ref())
    });
    let shown = shown.map(|image| ImageSummary::of(image, world, false, dialect));
    super::json(&shown.collect::<Vec<_>>())
}

pub(super) fn inspect(world: &World, image: &Image, dialect: Dialect) -> Result<Body, Failure> {
    let nothing = Config::default();
    let own = image.container_config.as_deref().unwrap_or(&nothing);
    let hostname = match &*own.hostname {
        "" => image.container.get(..12).unwrap_or_default(),
        own => own,
    };
    let diff = format!("{}/{DRIVER}/{}/diff", super::inspect::ROOT, image.digits());
    let layers: Vec<&str> = image.layers.iter().map(|layer| layer.digest.as_str()).collect();
    let tagged = world.images.tagged_at(&image.id).map(Rfc3339);
    super::json(&Inspected {
        id: &image.id,
        repo_tags: world.images.tags_of(&image.id).collect(),
        repo_digests: world.images.digests_of(&image.id).collect(),
        parent: image.parent.as_deref().unwrap_or_default(),
        comment: &image.comment,
        created: Rfc3339(image.created),
        container: dialect.until(45, &image.container),
        container_config: dialect.until(45, ShownConfig::of(own, hostname, dialect)),
        docker_version: "20.10.24",
        author: &image.author,
        config: ShownConfig::of(&image.config, &image.config.hostname, dialect),
        architecture: "amd64",
        os: "linux",
        size: image.size(),
        virtual_size: dialect.until(44, image.size()),
        graph_driver: json!({"Data": {"UpperDir": diff}, "Name": DRIVER}),
        root_fs: RootFs { r#type: "layers", layers },
        metadata: match tagged {
            Some(tagged) => json!({"LastTagTime": tagged.to_string()}),
            None => json!({"LastTagTime": "0001-01-01T00:00:00Z"}),
        },
    })
}

/// What an image is made of, the newest step first. Steps whose image is not here are `<missing>`.
fn history(world: &World, image: &Arc<Image>) -> Result<Body, Failure> {
    let mut layers = image.layers.iter();
    let sizes: Vec<u64> = image
        .history
        .iter()
        .map(|step| if step.empty_layer { 0 } else { layers.next().map_or(0, |layer| layer.size) })
        .collect();
    let mut at = Some(image);
    let mut steps = Vec::new();
    for (step, size) in image.history.iter().zip(sizes).rev() {
        let tags: Option<Vec<&str>> = at.and_then(|image| {
            let tags: Vec<&str> = world.images.tags_of(&image.id).collect();
            (!tags.is_empty()).then_some(tags)
        });
        steps.push(Step {
            comment: &step.comment,
            created: step.created.as_secs(),
            created_by: &step.created_by,
            id: at.map_or("<missing>", |image| &image.id),
            size,
            tags,
        });
        at = at.and_then(|image| world.images.get(image.parent.as_deref()?));
    }
    super::json(&steps)
}

/// What a registry would find: the images that people know, by a part of their name.
fn search(world: &World, job: &Job) -> Result<Body, Failure> {
    let term = job.env("term").unwrap_or_default();
    if term.is_empty() {
        return Err(invalid("invalid search term: it is empty"));
    }
    let limit = match job.env("limit").as_deref() {
        None | Some("" | "0") => 25,
        Some(text) => usize::try_from(integer(text, "Atoi").map_err(invalid)?).unwrap_or(0),
    };
    if !(1..=100).contains(&limit) {
        return Err(invalid(format!("Limit {limit} is outside the range of [1, 100]")));
    }
    if world.offline {
        let url = format!("https://index.docker.io/v1/search?q={term}&n={limit}");
        return Err(super::registry::lookup_failed("index.docker.io", &url));
    }
    let found = super::catalogue::names().filter(|name| name.contains(&*term)).take(limit);
    let found = found.map(|name| {
        json!({
            "star_count": 1000, "is_official": true, "name": name, "is_automated": false,
            "description": format!("the image {name}, simulated"),
        })
    });
    super::json(&found.collect::<Vec<_>>())
}

pub(super) fn answer(
    world: &mut World,
    name: &str,
    job: &Job,
    _body: &[u8],
    dialect: Dialect,
) -> Result<Option<Body>, Failure> {
    let wanted = job.arg(0).unwrap_or_default();
    Ok(Some(match name {
        "images" => list(world, job, dialect)?,
        "image_inspect" => match world.images.find(&wanted) {
            Some(image) => inspect(world, image, dialect)?,
            None if dialect.is_legacy() => {
                let missed = Reference::missed(&wanted);
                return Err(not_found(format!("no such image: {wanted}: No such image: {missed}")));
            }
            None => {
                return Err(not_found(format!("No such image: {}", Reference::missed(&wanted))));
            }
        },
        "history" => history(world, world.images.get_named(&wanted)?)?,
        "tag" => {
            let repo = job.env("repo").unwrap_or_default();
            world.tag_image(&wanted, &repo, &job.env("tag").unwrap_or_default())?;
            Body::Static(b"")
        }
        "image_delete" => {
            let gone = world.delete_image(&wanted, job.flag("force"), !job.flag("noprune"))?;
            super::json(&gone.into_iter().map(Deleted::from).collect::<Vec<_>>())?
        }
        "search" => search(world, job)?,
        "distribution_inspect" => world.distribution(&wanted)?,
        _ => return Ok(None),
    }))
}

impl World {
    /// Whether an image is another one, or made of it.
    pub(super) fn is_made_of(&self, image: &str, ancestor: &str) -> bool {
        let mut at = Some(image);
        while let Some(id) = at {
            if id == ancestor {
                return true;
            }
            at = self.images.get(id).and_then(|image| image.parent.as_deref());
        }
        false
    }

    /// Bytes of all layers, each counted once.
    pub(super) fn layers_size(&self) -> u64 {
        let all = self.images.newest_first();
        let layers = all.iter().flat_map(|image| &image.layers);
        let once: BTreeMap<&str, u64> =
            layers.map(|layer| (layer.digest.as_str(), layer.size)).collect();
        once.values().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::matches_reference;

    #[test]
    fn references_are_patterns() {
        for (wanted, tagged, matches) in [
            ("busybox", "busybox:latest", true),
            ("busybox:latest", "busybox:latest", true),
            ("busybox:1", "busybox:latest", false),
            ("busy*", "busybox:latest", true),
            ("*", "busybox:latest", true),
            ("b?sybox:*", "busybox:latest", true),
            ("docker.io/library/busybox", "busybox:latest", true),
            ("user/*", "user/app:1", true),
            ("nosuch", "busybox:latest", false),
        ] {
            assert_eq!(matches_reference(wanted, tagged), matches, "{wanted} {tagged}");
        }
    }
}
