//! The images of the engine and what they are called.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Bound;
use core::time::Duration;

use super::catalogue;
use super::config::Config;
use super::failures::{conflict, invalid, not_found};
use super::files::Tree;
use super::process::Behaviour;
use super::reference::Reference;
use super::world::World;
use crate::job::Failure;

/// An image. It never changes; what it is called does, and stands in [`Images`].
#[derive(Clone)]
pub(super) struct Image {
    /// `sha256:` and 64 digits.
    pub(super) id: Arc<str>,
    pub(super) parent: Option<Arc<str>>,
    pub(super) created: Duration,
    pub(super) comment: String,
    pub(super) author: String,
    /// The container that it was committed from, and what that was created with.
    pub(super) container: String,
    pub(super) container_config: Option<Arc<Config>>,
    pub(super) config: Arc<Config>,
    pub(super) layers: Vec<Layer>,
    pub(super) history: Vec<History>,
    pub(super) tree: Tree,
}

/// One layer of an image's files.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    /// `sha256:` and 64 digits.
    pub(super) digest: String,
    pub(super) size: u64,
    /// The image's files up to this layer.
    pub(super) tree: Tree,
}

/// How one step of an image came to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct History {
    pub(super) created: Duration,
    pub(super) created_by: String,
    pub(super) author: String,
    pub(super) comment: String,
    /// It has no layer of its own.
    pub(super) empty_layer: bool,
}

/// All images and all names.
pub(super) struct Images {
    all: BTreeMap<Arc<str>, Arc<Image>>,
    /// `busybox:latest` and what it means.
    tags: BTreeMap<String, Arc<str>>,
    /// `busybox@sha256:…` and what it means.
    digests: BTreeMap<String, Arc<str>>,
    tagged: BTreeMap<Arc<str>, Duration>,
    /// What those do that run no program.
    behaviours: BTreeMap<Arc<str>, Arc<Behaviour>>,
    /// What containers of an image begin with: they share it.
    roots: BTreeMap<Arc<str>, Tree>,
}

impl Image {
    /// Bytes of all its layers.
    pub(super) fn size(&self) -> u64 {
        self.layers.iter().map(|layer| layer.size).sum()
    }

    /// Its id without `sha256:`.
    pub(super) fn digits(&self) -> &str {
        self.id.trim_start_matches("sha256:")
    }

    pub(super) fn short_id(&self) -> &str {
        &self.digits()[..12]
    }
}

impl Images {
    /// Those that are there from the beginning.
    pub(super) fn new() -> Self {
        let mut images = Self {
            all: BTreeMap::new(),
            tags: BTreeMap::new(),
            digests: BTreeMap::new(),
            tagged: BTreeMap::new(),
            behaviours: BTreeMap::new(),
            roots: BTreeMap::new(),
        };
        images.need_busybox();
        images
    }

    /// Makes the image busybox if there is none of that name.
    pub(super) fn need_busybox(&mut self) {
        if self.tags.contains_key("busybox:latest") {
            return;
        }
        let (image, digest) = catalogue::image("busybox", "latest");
        self.digests.insert(format!("busybox@{digest}"), Arc::clone(&image.id));
        self.tags.insert("busybox:latest".into(), Arc::clone(&image.id));
        self.all.insert(Arc::clone(&image.id), image.into());
    }

    /// Forgets all of them.
    pub(super) fn clear(&mut self) {
        for all in [&mut self.tags, &mut self.digests] {
            all.clear();
        }
        self.all.clear();
        self.tagged.clear();
        self.behaviours.clear();
        self.roots.clear();
    }

    /// Says what containers of an image do instead of running its program.
    pub(super) fn behave(&mut self, id: &Arc<str>, behaviour: Arc<Behaviour>) {
        self.behaviours.insert(Arc::clone(id), behaviour);
    }

    /// What containers of an image do instead of running its program.
    pub(super) fn behaviour(&self, id: &str) -> Option<&Arc<Behaviour>> {
        self.behaviours.get(id)
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// The newest first.
    pub(super) fn newest_first(&self) -> Vec<&Arc<Image>> {
        let mut all: Vec<_> = self.all.values().collect();
        all.sort_by(|a, b| (b.created, &b.id).cmp(&(a.created, &a.id)));
        all
    }

    /// The newest first, without those that have no name and that others were built on.
    pub(super) fn without_intermediate(&self) -> Vec<&Arc<Image>> {
        let mut all = self.newest_first();
        all.retain(|image| !self.is_intermediate(&image.id));
        all
    }

    /// Whether an image has no name, and others were built on it.
    pub(super) fn is_intermediate(&self, id: &str) -> bool {
        self.tags_of(id).next().is_none()
            && self.digests_of(id).next().is_none()
            && self.has_children(id)
    }

    pub(super) fn get(&self, id: &str) -> Option<&Arc<Image>> {
        self.all.get(id)
    }

    pub(super) fn insert(&mut self, image: Image) {
        self.all.entry(Arc::clone(&image.id)).or_insert_with(|| image.into());
    }

    /// What a container of an image begins with: its files and the init layer.
    pub(super) fn root(&self, id: &str) -> Option<Tree> {
        let made = |image: &Arc<Image>| {
            let created = i64::try_from(image.created.as_secs()).unwrap_or(i64::MAX);
            image.tree.with_init_layer(created)
        };
        self.roots.get(id).cloned().or_else(|| self.all.get(id).map(made))
    }

    /// The same, kept for the next container.
    pub(super) fn keep_root(&mut self, id: &Arc<str>) -> Option<Tree> {
        let root = self.root(id)?;
        self.roots.insert(Arc::clone(id), root.clone());
        Some(root)
    }

    /// The image that a client means by an id, the beginning of one that no other has, or a name.
    pub(super) fn find(&self, wanted: &str) -> Option<&Arc<Image>> {
        let hex = wanted.strip_prefix("sha256:").unwrap_or(wanted);
        let is_hex = !hex.is_empty() && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_hex && let Some(exact) = self.all.get(&*format!("sha256:{hex}")) {
            return Some(exact);
        }
        if let Ok(reference) = Reference::parse(wanted) {
            let named = match &reference.digest {
                Some(digest) => self.digests.get(&format!("{}@{digest}", reference.name)),
                None => self.tags.get(&reference.tagged()),
            };
            if let Some(id) = named {
                return self.all.get(id);
            }
        }
        if !is_hex {
            return None;
        }
        let start = format!("sha256:{hex}");
        let mut found = self
            .all
            .range::<str, _>((Bound::Included(&*start), Bound::Unbounded))
            .take_while(|(id, _)| id.starts_with(&*start));
        let (_, only) = found.next()?;
        found.next().is_none().then_some(only)
    }

    /// As [`find`](Images::find), with the engine's words where it is not there.
    pub(super) fn get_named(&self, wanted: &str) -> Result<&Arc<Image>, Failure> {
        self.find(wanted)
            .ok_or_else(|| not_found(format!("No such image: {}", Reference::missed(wanted))))
    }

    /// Gives an image a name, which another one may lose.
    pub(super) fn tag(&mut self, name: &str, id: &Arc<str>, now: Duration) {
        self.tags.insert(name.to_string(), Arc::clone(id));
        self.tagged.insert(Arc::clone(id), now);
    }

    /// As [`tag`](Images::tag), for a name that it has had for long; `tagged` is when it last got one, if that is known.
    pub(super) fn name(&mut self, name: &str, id: &Arc<str>, tagged: Option<Duration>) {
        self.tags.insert(name.to_string(), Arc::clone(id));
        if let Some(tagged) = tagged {
            self.tagged.insert(Arc::clone(id), tagged);
        }
    }

    pub(super) fn add_digest(&mut self, name: &str, digest: &str, id: &Arc<str>) {
        self.digests.insert(format!("{name}@{digest}"), Arc::clone(id));
    }

    pub(super) fn untag(&mut self, name: &str) -> Option<Arc<str>> {
        self.tags.remove(name)
    }

    pub(super) fn remove_digest(&mut self, name: &str) {
        self.digests.remove(name);
    }

    pub(super) fn remove(&mut self, id: &str) {
        self.all.remove(id);
        self.tagged.remove(id);
        self.behaviours.remove(id);
        self.roots.remove(id);
        self.tags.retain(|_, image| &**image != id);
        self.digests.retain(|_, image| &**image != id);
    }

    pub(super) fn tags_of<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a str> {
        self.tags.iter().filter(move |(_, image)| &***image == id).map(|(tag, _)| tag.as_str())
    }

    pub(super) fn digests_of<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a str> {
        self.digests.iter().filter(move |(_, image)| &***image == id).map(|(name, _)| name.as_str())
    }

    pub(super) fn tagged_at(&self, id: &str) -> Option<Duration> {
        self.tagged.get(id).copied()
    }

    /// The layers of an image that no other image has, topmost first, each by the digest of all that is below it and itself.
    fn unused_layers(&self, image: &Image) -> impl Iterator<Item = Gone> {
        let shared = |other: &Arc<Image>| {
            let pairs = image.layers.iter().zip(&other.layers);
            pairs.take_while(|(own, other)| own.digest == other.digest).count()
        };
        let kept = self.all.values().map(shared).max().unwrap_or(0);
        let chain = image.layers.iter().scan(String::new(), |chain, layer| {
            *chain = match &**chain {
                "" => layer.digest.clone(),
                below => super::transfer::digest(format!("{below} {}", layer.digest).as_bytes()),
            };
            Some(Gone::Layer(chain.clone(), layer.size))
        });
        let unused: Vec<Gone> = chain.skip(kept).collect();
        unused.into_iter().rev()
    }

    pub(super) fn has_children(&self, id: &str) -> bool {
        self.all.values().any(|image| image.parent.as_deref() == Some(id))
    }
}

/// What became of an image that was removed: the engine's answer, in its order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Gone {
    Untagged(String),
    Deleted(String),
    /// A layer that no other image has, and its bytes.
    Layer(String, u64),
}

impl Gone {
    /// What it frees.
    pub(super) const fn bytes(&self) -> u64 {
        match self {
            Self::Layer(_, bytes) => *bytes,
            Self::Untagged(_) | Self::Deleted(_) => 0,
        }
    }
}

impl World {
    /// Gives an image another name.
    pub(super) fn tag_image(&mut self, wanted: &str, repo: &str, tag: &str) -> Result<(), Failure> {
        let id = Arc::clone(&self.images.get_named(wanted)?.id);
        let mut reference = Reference::parse(repo).map_err(invalid)?;
        if reference.digest.is_some() {
            return Err(invalid("refusing to create a tag with a digest reference"));
        }
        if !tag.is_empty() {
            if !super::reference::is_tag(tag) {
                return Err(invalid("invalid tag format"));
            }
            reference.tag = Some(tag.to_string());
        }
        let name = reference.tagged();
        self.images.tag(&name, &id, self.now);
        self.emit("image", "tag", &id, &[("name", &name)]);
        Ok(())
    }

    /// Removes a name of an image, and the image with its last name.
    pub(super) fn delete_image(
        &mut self,
        wanted: &str,
        force: bool,
        prune: bool,
    ) -> Result<Vec<Gone>, Failure> {
        let image = Arc::clone(self.images.get_named(wanted)?);
        let hex = wanted.strip_prefix("sha256:").unwrap_or(wanted);
        let by_id = image.digits().starts_with(hex);
        let tags: Vec<String> = self.images.tags_of(&image.id).map(ToString::to_string).collect();
        let mut gone = Vec::new();
        if by_id {
            let repositories = tags.iter().filter_map(|tag| tag.rsplit_once(':'));
            let mut repositories: Vec<_> = repositories.map(|(name, _)| name).collect();
            repositories.dedup();
            if repositories.len() > 1 && !force {
                return Err(conflict(format!(
                    "conflict: unable to delete {} (must be forced) - image is referenced in multiple repositories",
                    image.short_id()
                )));
            }
            self.check_unused(&image, force)?;
            for tag in &tags {
                self.untag_image(tag, &image, &mut gone);
            }
        } else {
            let reference = Reference::parse(wanted).map_err(invalid)?;
            let name = match &reference.digest {
                Some(digest) => format!("{}@{digest}", reference.name),
                None => reference.tagged(),
            };
            if tags.len() == 1 && tags[0] == name && !force {
                let user = self.containers.iter().find(|container| container.image == image.id);
                if let Some(container) = user {
                    return Err(conflict(format!(
                        "conflict: unable to remove repository reference \"{wanted}\" (must force) - container {} is \
                         using its referenced image {}",
                        container.short_id(),
                        image.short_id()
                    )));
                }
            }
            if reference.digest.is_some() {
                self.images.remove_digest(&name);
                gone.push(Gone::Untagged(name));
            } else {
                self.untag_image(&name, &image, &mut gone);
            }
            if self.images.tags_of(&image.id).next().is_some() {
                return Ok(gone);
            }
            if self.containers.iter().any(|container| container.image == image.id) {
                return Ok(gone);
            }
        }
        self.drop_image(&image, prune, &mut gone);
        Ok(gone)
    }

    /// Whether containers keep an image from being removed by its id.
    fn check_unused(&self, image: &Image, force: bool) -> Result<(), Failure> {
        if self.images.has_children(&image.id) {
            return Err(conflict(format!(
                "conflict: unable to delete {} (cannot be forced) - image has dependent child images",
                image.short_id()
            )));
        }
        let mut users = self.containers.iter().filter(|container| container.image == image.id);
        let mut all = self.containers.iter().filter(|container| container.image == image.id);
        let running = all.find(|container| container.state.is_running());
        let (who, how, what) = match (running, users.next()) {
            (Some(running), _) => (running, "cannot be forced", "running container"),
            (None, Some(stopped)) if !force => (stopped, "must be forced", "stopped container"),
            _ => return Ok(()),
        };
        Err(conflict(format!(
            "conflict: unable to delete {} ({how}) - image is being used by {what} {}",
            image.short_id(),
            who.short_id()
        )))
    }

    fn untag_image(&mut self, tag: &str, image: &Image, gone: &mut Vec<Gone>) {
        self.images.untag(tag);
        gone.push(Gone::Untagged(tag.to_string()));
        self.emit("image", "untag", &image.id, &[("name", &image.id)]);
        // The digest goes with the last tag of its repository.
        let repository = tag.rsplit_once(':').map_or(tag, |(name, _)| name);
        let other = self
            .images
            .tags_of(&image.id)
            .any(|tag| tag.rsplit_once(':').is_some_and(|(name, _)| name == repository));
        if !other {
            let prefix = format!("{repository}@");
            let digests: Vec<String> = self
                .images
                .digests_of(&image.id)
                .filter(|name| name.starts_with(&prefix))
                .map(ToString::to_string)
                .collect();
            for digest in digests {
                self.images.remove_digest(&digest);
                gone.push(Gone::Untagged(digest));
            }
        }
    }

    /// Removes an image that has no name any more, and those it was made of that nothing else needs.
    fn drop_image(&mut self, image: &Image, prune: bool, gone: &mut Vec<Gone>) {
        let mut next = Some(image.clone());
        while let Some(image) = next.take() {
            if self.images.has_children(&image.id) {
                return;
            }
            self.images.remove(&image.id);
            gone.push(Gone::Deleted(image.id.to_string()));
            gone.extend(self.images.unused_layers(&image));
            self.emit("image", "delete", &image.id, &[("name", &image.id)]);
            let parent = image.parent.as_deref().and_then(|id| self.images.get(id));
            next = parent
                .filter(|parent| {
                    prune
                        && self.images.tags_of(&parent.id).next().is_none()
                        && !self.containers.iter().any(|container| container.image == parent.id)
                })
                .map(|parent| Image::clone(parent));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::world::tests::world;
    use super::Gone;
    use alloc::format;
    use alloc::string::ToString;

    #[test]
    fn an_image_has_many_names() {
        let world = world(&[]);
        let image = world.images.find("busybox").unwrap();
        let digest = world.images.digests_of(&image.id).next().unwrap().to_string();
        for name in [
            "busybox:latest",
            "library/busybox",
            "docker.io/library/busybox",
            &digest,
            &image.id,
            image.digits(),
            image.short_id(),
        ] {
            assert_eq!(world.images.find(name).map(|found| &found.id), Some(&image.id), "{name}");
        }
        for name in ["", "busy", "BUSYBOX", "busybox:1", "example.com/busybox", "sha256:"] {
            assert!(world.images.find(name).is_none(), "{name}");
        }
    }

    #[test]
    fn the_last_name_takes_the_image_with_it() {
        let mut world = world(&[]);
        let id = world.images.find("busybox").unwrap().id.to_string();
        world.tag_image("busybox", "other", "1").unwrap();
        assert_eq!(
            world.delete_image("other:1", false, true).unwrap(),
            [Gone::Untagged("other:1".into())]
        );
        let gone = world.delete_image("busybox", false, true).unwrap();
        assert_eq!(gone.first(), Some(&Gone::Untagged("busybox:latest".into())));
        assert!(gone.contains(&Gone::Deleted(id)));
        assert!(matches!(gone.last(), Some(Gone::Layer(..))), "its layer goes last: {gone:?}");
        let missed = world.delete_image("busybox", false, true).unwrap_err();
        assert_eq!(missed.message, "No such image: busybox:latest");
    }

    #[test]
    fn an_image_in_use_stays() {
        let mut world = world(&["web"]);
        let image = world.images.find("busybox").unwrap().clone();
        let container = world.containers.named("web").unwrap().short_id().to_string();
        let refused = world.delete_image("busybox", false, true).unwrap_err();
        let short = image.short_id();
        assert_eq!(
            refused.message,
            format!(
                "conflict: unable to remove repository reference \"busybox\" (must force) - container {container} is \
                 using its referenced image {short}"
            )
        );
        let refused = world.delete_image(short, true, true).unwrap_err();
        assert_eq!(
            refused.message,
            format!(
                "conflict: unable to delete {short} (cannot be forced) - image is being used by running container \
                 {container}"
            )
        );
    }
}
