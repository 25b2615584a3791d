//! The images of a build, and how they are found again.

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use crate::backend::simulator::config::Config;
use crate::backend::simulator::files::{ChangeKind, Tree, diff};
use crate::backend::simulator::images::{History, Image, Images, Layer};
use crate::backend::simulator::mounts::names;
use crate::backend::simulator::transfer;

/// What one instruction makes of an image.
pub(super) struct Made {
    pub(super) tree: Tree,
    pub(super) config: Config,
    /// What the container was created with, by which the cache knows the instruction.
    pub(super) container_config: Config,
    /// The container's id, if there was one.
    pub(super) container: String,
    pub(super) author: String,
    pub(super) created: Duration,
}

/// An image of nothing: what `FROM scratch` begins with.
pub(super) fn scratch() -> Image {
    Image {
        id: "".into(),
        parent: None,
        created: Duration::ZERO,
        comment: String::new(),
        author: String::new(),
        container: String::new(),
        container_config: None,
        config: Config::default().into(),
        layers: Vec::new(),
        history: Vec::new(),
        tree: Tree::new(),
    }
}

/// The image that an instruction makes of the one before.
pub(super) fn child(parent: Option<&Image>, made: Made) -> Image {
    let nothing = Tree::new();
    let base = parent.map_or(&nothing, |parent| &parent.tree);
    let changes = if base.is_same(&made.tree) { Vec::new() } else { diff(base, &made.tree) };
    let mut layers = parent.map(|parent| parent.layers.clone()).unwrap_or_default();
    if !changes.is_empty() {
        let size = changes
            .iter()
            .filter(|change| change.kind != ChangeKind::Deleted)
            .filter_map(|change| made.tree.get(&names(&change.path))?.content())
            .map(|content| content.len() as u64)
            .sum();
        let archive = transfer::layer_tar(Some(base), &made.tree);
        let digest = transfer::digest(&archive);
        layers.push(Layer { digest, size, tree: made.tree.clone() });
    }
    let mut history = parent.map(|parent| parent.history.clone()).unwrap_or_default();
    history.push(History {
        created: made.created,
        created_by: made.container_config.cmd.as_deref().unwrap_or_default().join(" "),
        author: made.author.clone(),
        comment: String::new(),
        empty_layer: changes.is_empty(),
    });
    let mut image = Image {
        id: "".into(),
        parent: parent.map(|parent| Arc::clone(&parent.id)),
        created: made.created,
        comment: String::new(),
        author: made.author,
        container: made.container,
        container_config: Some(made.container_config.into()),
        config: made.config.into(),
        layers,
        history,
        tree: made.tree,
    };
    image.id = transfer::config_digest(&image).into();
    image
}

/// The newest image that was made of `parent` by a container created with `config`.
pub(super) fn cached(images: &Images, parent: Option<&str>, config: &Config) -> Option<Arc<Image>> {
    let is_it = |image: &&Arc<Image>| {
        image.parent.as_deref() == parent
            && image.container_config.as_ref().is_some_and(|made| is_same(made, config))
            && image.history.last().is_some_and(|step| !step.created_by.is_empty())
    };
    images.newest_first().into_iter().find(is_it).cloned()
}

/// Whether two containers were created to do the same. What is not looked at here follows from the parent.
fn is_same(one: &Config, other: &Config) -> bool {
    type Words = Option<Vec<String>>;
    let words = |words: &Words| words.as_deref().unwrap_or_default().to_vec();
    let keys = |config: &Config| -> [Vec<String>; 2] {
        [&config.exposed_ports, &config.volumes]
            .map(|set| set.iter().flatten().map(|(key, _)| key.to_string()).collect())
    };
    let labels =
        |config: &Config| config.labels.iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect::<Vec<_>>();
    one.user == other.user
        && one.tty == other.tty
        && one.open_stdin == other.open_stdin
        && words(&one.cmd) == words(&other.cmd)
        && words(&one.env) == words(&other.env)
        && words(&one.entrypoint) == words(&other.entrypoint)
        && keys(one) == keys(other)
        && labels(one) == labels(other)
}
