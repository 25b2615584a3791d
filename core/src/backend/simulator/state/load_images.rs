//! The images of a state file, and those that only its containers name.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::super::catalogue;
use super::super::images::{self, Layer};
use super::super::reference::Reference;
use super::super::world::World;
use super::document::{Container, Image};
use super::load::{check_behaviour, check_id};
use super::place::{Place, Problem};

impl World {
    pub(super) fn add_image(&mut self, image: &Image, place: &Place) -> Result<(), Problem> {
        let mut names = Vec::new();
        for (nth, tag) in image.repo_tags.iter().enumerate().filter(|(_, tag)| is_name(tag)) {
            match Reference::parse(tag) {
                Ok(name) if name.digest.is_none() => names.push(name),
                Ok(_) | Err(_) => {
                    let words = format!("{tag:?} is no name of an image: write it as redis:7");
                    return Err(place.key("RepoTags").nth(nth).problem(words));
                }
            }
        }
        let mut digests = Vec::new();
        for (nth, text) in image.repo_digests.iter().enumerate().filter(|(_, text)| is_name(text)) {
            let parsed =
                Reference::parse(text).ok().and_then(|name| Some((name.name, name.digest?)));
            let Some(parsed) = parsed else {
                let words =
                    format!("{text:?} is no name with a digest: write it as redis@sha256:…");
                return Err(place.key("RepoDigests").nth(nth).problem(words));
            };
            digests.push(parsed);
        }
        if names.is_empty() && image.id.is_empty() {
            return Err(place.key("RepoTags").problem("an image needs a name or an Id"));
        }
        let known = names
            .first()
            .map_or(("", "latest"), |name| (&*name.name, name.tag.as_deref().unwrap_or("latest")));
        let (mut made, digest) = catalogue::image(known.0, known.1);
        if !image.id.is_empty() {
            let twice = self.images.get(&image.id).is_some();
            let digits = image.id.strip_prefix("sha256:").unwrap_or_default();
            check_id(digits, twice, &place.key("Id"))?;
            made.id = image.id.as_str().into();
        }
        made.parent = (!image.parent.is_empty()).then(|| image.parent.as_str().into());
        made.created = image.created.0.unwrap_or(made.created);
        made.comment.clone_from(&image.comment);
        made.author.clone_from(&image.author);
        made.container.clone_from(&image.container);
        let own = image.container_config.clone().filter(|_| !image.container.is_empty());
        made.container_config = own.map(Arc::new);
        if let Some(config) = &image.config {
            made.config = Arc::new(config.clone());
        }
        describe_layers(&mut made, image);
        let id = Arc::clone(&made.id);
        if self.images.get(&id).is_some() {
            let words = format!("there are two images of the name {}", known.0);
            return Err(place.key("RepoTags").problem(words));
        }
        if let Some(behaviour) = &image.behaviour {
            check_behaviour(behaviour, &place.key("Behaviour"))?;
            self.images.behave(&id, Arc::clone(behaviour));
        }
        self.images.insert(made);
        if digests.is_empty() && image.id.is_empty() {
            digests.push((known.0.to_string(), digest));
        }
        for (name, digest) in digests {
            self.images.add_digest(&name, &digest, &id);
        }
        let tagged = image.metadata.last_tag_time.0;
        for (nth, name) in names.iter().enumerate() {
            if self.images.find(&name.tagged()).is_some() {
                let words = format!("there are two images of the name {}", name.tagged());
                return Err(place.key("RepoTags").nth(nth).problem(words));
            }
            self.images.name(&name.tagged(), &id, tagged);
        }
        Ok(())
    }

    /// The image that a container is made of; one that is not there is as a registry would have it.
    pub(super) fn image_of(
        &mut self,
        container: &Container,
        listed: bool,
        place: &Place,
    ) -> Result<Arc<images::Image>, Problem> {
        let (id, name) = (&*container.image, &*container.config.image);
        let known = match id {
            "" => self.images.find(name),
            id => self.images.get(id),
        };
        if let Some(image) = known {
            return Ok(Arc::clone(image));
        }
        let name = if name.is_empty() { "busybox" } else { name };
        let reference = Reference::parse(name).ok().filter(|name| name.digest.is_none());
        let (mut image, digest) = match &reference {
            Some(name) => catalogue::image(&name.name, name.tag.as_deref().unwrap_or("latest")),
            None => catalogue::image("", "latest"),
        };
        if !id.is_empty() {
            let digits = id.strip_prefix("sha256:").unwrap_or_default();
            check_id(digits, false, &place.key("Image"))?;
            image.id = id.into();
        }
        let id = Arc::clone(&image.id);
        self.images.insert(image);
        // Where images are listed, the list says what a name means.
        if let Some(name) = reference
            && (self.images.find(&name.tagged()).is_none() || !listed)
        {
            self.images.name(&name.tagged(), &id, None);
            self.images.add_digest(&name.name, &digest, &id);
        }
        match self.images.get(&id) {
            Some(image) => Ok(Arc::clone(image)),
            None => Err(place.key("Image").problem("there is no such image")),
        }
    }
}

/// Whether it is more than what an old engine wrote for an image without a name.
fn is_name(text: &str) -> bool {
    !text.starts_with("<none>")
}

/// Layers as an image names them; its size is that of the lowest one, for nothing tells of the others'.
fn describe_layers(made: &mut images::Image, image: &Image) {
    let size = image.size.unwrap_or_else(|| made.size());
    let tree = made.tree.clone();
    let digests = &image.root_fs.layers;
    if !digests.is_empty() {
        let layer = |(nth, digest): (usize, &String)| Layer {
            digest: digest.clone(),
            size: if nth == 0 { size } else { 0 },
            tree: tree.clone(),
        };
        made.layers = digests.iter().enumerate().map(layer).collect();
        let step = made.history.iter().find(|step| !step.empty_layer).cloned();
        made.history.retain(|step| step.empty_layer);
        let steps = digests.iter().filter_map(|_| step.clone());
        made.history.splice(0..0, steps);
    } else if let Some(layer) = made.layers.first_mut() {
        layer.size = size;
    }
}
