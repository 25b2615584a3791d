//! What is mounted into a container: named and anonymous volumes, folders of the host, tmpfs.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use serde::Serialize;
use serde_json::Value;

use super::config::Config;
use super::container::{Container, Serial};
use super::failures::invalid;
use super::files::{Mounts, Name, Node, Tree, TreeId};
use super::host_config::{HostConfig, MountSpec};
use super::images::Image;
use super::versions::Dialect;
use super::volumes::NewVolume;
use super::world::World;
use crate::job::Failure;

/// A place in a container where something else is than its own files.
#[derive(Clone)]
pub(super) struct MountPoint {
    pub(super) kind: MountKind,
    /// The volume's name, or the folder on the host.
    pub(super) source: Arc<str>,
    pub(super) destination: Arc<str>,
    /// As the client wrote it: `ro`, `z`…
    pub(super) mode: String,
    /// How mounts below it spread, of a folder of the host.
    pub(super) propagation: Option<&'static str>,
    pub(super) writable: bool,
    pub(super) tree: TreeId,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum MountKind {
    Bind,
    Volume,
    Tmpfs,
}

/// One of an inspected container's `Mounts`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Shown<'a> {
    r#type: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    source: String,
    destination: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    driver: &'static str,
    mode: &'a str,
    #[serde(rename = "RW")]
    rw: bool,
    propagation: &'static str,
}

impl MountPoint {
    pub(super) fn shown(&self) -> Shown<'_> {
        let (r#type, name, driver, propagation) = match self.kind {
            MountKind::Bind => ("bind", "", "", self.propagation.unwrap_or("rprivate")),
            MountKind::Volume => ("volume", &*self.source, "local", ""),
            MountKind::Tmpfs => ("tmpfs", "", "", ""),
        };
        let source = match self.kind {
            MountKind::Bind => self.source.to_string(),
            MountKind::Volume => format!("{}/volumes/{}/_data", super::inspect::ROOT, self.source),
            MountKind::Tmpfs => String::new(),
        };
        let (destination, mode) = (&*self.destination, &*self.mode);
        Shown { r#type, name, source, destination, driver, mode, rw: self.writable, propagation }
    }
}

/// A word that says how mounts spread.
pub(super) fn spreads(word: &str) -> Option<&'static str> {
    ["private", "rprivate", "shared", "rshared", "slave", "rslave"]
        .into_iter()
        .find(|known| *known == word)
}

/// The names of an absolute path.
pub(super) fn names(path: &str) -> Vec<Name> {
    path.split('/').filter(|name| !matches!(*name, "" | ".")).map(Name::from).collect()
}

impl World {
    /// Makes the mounts that a new container asks for, and the volumes that they need.
    pub(super) fn make_mounts(
        &mut self,
        serial: Serial,
        config: &Config,
        host: &HostConfig,
        image: &Image,
        dialect: Dialect,
    ) -> Result<Vec<MountPoint>, Failure> {
        let mut made: Vec<MountPoint> = Vec::new();
        if let Err(failure) = self.collect_mounts(&mut made, config, host, image, dialect) {
            self.drop_tmpfs(&made);
            return Err(failure);
        }
        for mount in &made {
            if mount.kind == MountKind::Volume
                && let Some(volume) = self.volumes.all.get_mut(&mount.source)
            {
                volume.users.insert(serial);
            }
        }
        Ok(made)
    }

    fn collect_mounts(
        &mut self,
        made: &mut Vec<MountPoint>,
        config: &Config,
        host: &HostConfig,
        image: &Image,
        dialect: Dialect,
    ) -> Result<(), Failure> {
        for from in host.volumes_from.iter().flatten() {
            let (name, mode) = from.split_once(':').unwrap_or((from, "rw"));
            let other = self.find(name, dialect)?.mounts.clone();
            for mount in other {
                let tree = match mount.kind {
                    // It is not shared: it goes with its container.
                    MountKind::Tmpfs => self.store.insert(Tree::new()),
                    MountKind::Bind | MountKind::Volume => mount.tree,
                };
                let writable = mount.writable && mode != "ro";
                self.put_mount(made, MountPoint { writable, tree, ..mount });
            }
        }
        for bind in host.binds.iter().flatten() {
            let mount = self.bind(bind, image, dialect)?;
            self.put_mount(made, mount);
        }
        for spec in host.mounts.iter().flatten() {
            let mount = self.mount(spec, image)?;
            self.put_mount(made, mount);
        }
        for path in config.volumes.iter().flat_map(|volumes| volumes.keys()) {
            if !made.iter().any(|mount| *mount.destination == **path) {
                let mount = self.mount_volume("", path, image, None)?;
                made.push(mount);
            }
        }
        Ok(())
    }

    /// Adds a mount, in place of one at the same destination.
    fn put_mount(&mut self, made: &mut Vec<MountPoint>, mount: MountPoint) {
        if let Some(old) = made.iter().position(|old| old.destination == mount.destination) {
            let old = made.remove(old);
            self.drop_tmpfs(&[old]);
        }
        made.push(mount);
    }

    /// Lets go of what is in memory only: the trees of tmpfs.
    fn drop_tmpfs(&mut self, mounts: &[MountPoint]) {
        for mount in mounts.iter().filter(|mount| mount.kind == MountKind::Tmpfs) {
            self.store.remove(mount.tree);
        }
    }

    /// `source:destination[:mode]`, or a destination alone.
    fn bind(&mut self, text: &str, image: &Image, dialect: Dialect) -> Result<MountPoint, Failure> {
        let parts: Vec<&str> = text.split(':').collect();
        let (source, destination, mode) = match parts[..] {
            [destination] => ("", destination, ""),
            [source, destination] => (source, destination, ""),
            [source, destination, mode] => (source, destination, mode),
            _ => return Err(invalid(format!("invalid volume specification: '{text}'"))),
        };
        let known = |word: &str| {
            matches!(
                word,
                "ro" | "rw"
                    | "z"
                    | "Z"
                    | "nocopy"
                    | "private"
                    | "rprivate"
                    | "shared"
                    | "rshared"
                    | "slave"
                    | "rslave"
                    | "consistent"
                    | "cached"
                    | "delegated"
            )
        };
        if !mode.is_empty() && !mode.split(',').all(known) {
            return Err(dialect.invalid(format!("invalid mode: {mode}")));
        }
        if !destination.starts_with('/') {
            return Err(invalid(format!(
                "invalid volume specification: '{text}': invalid mount config for type \"volume\": invalid mount path: \
                 '{destination}' mount path must be absolute"
            )));
        }
        if names(destination).is_empty() {
            return Err(invalid(format!(
                "invalid volume specification: '{text}': invalid mount config for type \"volume\": invalid \
                 specification: destination can't be '/'"
            )));
        }
        let writable = !mode.split(',').any(|word| word == "ro");
        let propagation = mode.split(',').find_map(spreads);
        let mount = if source.starts_with('/') {
            self.mount_bind(source, destination)
        } else {
            self.mount_volume(source, destination, image, None)?
        };
        // The engine writes `z` where a volume has no mode of its own.
        let mode = match mount.kind {
            MountKind::Volume if mode.is_empty() => String::from("z"),
            _ => mode.to_string(),
        };
        Ok(MountPoint { mode, propagation, writable, ..mount })
    }

    fn mount(&mut self, spec: &MountSpec, image: &Image) -> Result<MountPoint, Failure> {
        let kind = &*spec.r#type;
        let refused = |words: &str| {
            Err(invalid(format!("invalid mount config for type \"{kind}\": {words}")))
        };
        if !spec.target.starts_with('/') {
            return match &*spec.target {
                "" => refused("field Target must not be empty"),
                target => {
                    refused(&format!("invalid mount path: '{target}' mount path must be absolute"))
                }
            };
        }
        let mount = match kind {
            "bind" if spec.source.is_empty() => return refused("field Source must not be empty"),
            "bind" => {
                let asked = spec.bind_options.as_ref().and_then(|all| all.get("Propagation"));
                let propagation = asked.and_then(Value::as_str).and_then(spreads);
                MountPoint { propagation, ..self.mount_bind(&spec.source, &spec.target) }
            }
            "volume" => {
                let labels = spec.volume_options.as_ref().map(|options| options.labels.clone());
                let mut mount = self.mount_volume(&spec.source, &spec.target, image, labels)?;
                mount.mode = String::from("z");
                mount
            }
            "tmpfs" => MountPoint {
                kind: MountKind::Tmpfs,
                source: "tmpfs".into(),
                destination: spec.target.as_str().into(),
                mode: String::new(),
                propagation: None,
                writable: true,
                tree: self.store.insert(Tree::new()),
            },
            _ => return Err(invalid(format!("mount type unknown: \"{kind}\""))),
        };
        Ok(MountPoint { writable: !spec.read_only, ..mount })
    }

    /// The host has folders of all names, and they are empty until a container writes into them.
    fn mount_bind(&mut self, source: &str, destination: &str) -> MountPoint {
        let tree = self.bound(source);
        MountPoint {
            kind: MountKind::Bind,
            source: source.into(),
            destination: destination.into(),
            mode: String::new(),
            propagation: None,
            writable: true,
            tree,
        }
    }

    /// The files of a folder of the host.
    pub(super) fn bound(&mut self, source: &str) -> TreeId {
        match self.volumes.binds.get(source) {
            Some(tree) => *tree,
            None => {
                let tree = self.store.insert(Tree::new());
                self.volumes.binds.insert(source.into(), tree);
                tree
            }
        }
    }

    /// A volume, which is made if it is not there; an empty one gets what the image has at that place.
    fn mount_volume(
        &mut self,
        name: &str,
        destination: &str,
        image: &Image,
        labels: Option<BTreeMap<String, String>>,
    ) -> Result<MountPoint, Failure> {
        let new = NewVolume { name: name.into(), labels, ..NewVolume::default() };
        let name = self.create_volume(new)?;
        let tree = self.volumes.find(&name)?.tree;
        let is_empty = |node: &Node| node.entries().is_some_and(BTreeMap::is_empty);
        if let Some(content) = image.tree.get(&names(destination))
            && content.is_directory()
            && !is_empty(content)
            && let Some(volume) = self.store.get_mut(tree)
            && is_empty(volume.root())
        {
            *volume = Tree::of(Node::clone(content));
        }
        Ok(MountPoint {
            kind: MountKind::Volume,
            source: name,
            destination: destination.into(),
            mode: String::new(),
            propagation: None,
            writable: true,
            tree,
        })
    }

    /// The container's own tree, made from its image's the first time it is needed.
    pub(super) fn root_tree(&mut self, serial: Serial) -> Option<TreeId> {
        let container = self.containers.get_mut(serial)?;
        if let Some(tree) = container.tree {
            return Some(tree);
        }
        let nothing = || Tree::new().with_init_layer(0);
        let tree = self.images.keep_root(&container.image).unwrap_or_else(nothing);
        let id = self.store.insert(tree);
        container.tree = Some(id);
        Some(id)
    }

    /// What a container's processes see.
    pub(super) fn mounts_of(&mut self, serial: Serial) -> Option<Mounts> {
        let root = self.root_tree(serial)?;
        let container = self.containers.get(serial)?;
        let mut mounts = Mounts::new(root);
        for mount in &container.mounts {
            let source = if mount.kind == MountKind::Tmpfs { "tmpfs" } else { "/dev/vda1" };
            // A place where nothing can be mounted (a file in the way) stays as it is.
            let _ = mounts.add(
                &mut self.store,
                &mount.destination,
                source,
                mount.tree,
                !mount.writable,
            );
        }
        Some(mounts)
    }

    /// Gives up what a container that is removed had mounted; with `anonymous`, volumes that nobody named go, too.
    pub(super) fn release_mounts(&mut self, container: &Container, anonymous: bool) {
        if let Some(tree) = container.tree {
            self.store.remove(tree);
        }
        for mount in &container.mounts {
            match mount.kind {
                MountKind::Tmpfs => {
                    self.store.remove(mount.tree);
                }
                MountKind::Bind => {}
                MountKind::Volume => {
                    let Some(volume) = self.volumes.all.get_mut(&mount.source) else { continue };
                    volume.users.remove(&container.serial);
                    if anonymous && volume.anonymous && volume.users.is_empty() {
                        let _ = self.delete_volume(&mount.source, true);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::create::NewContainer;
    use super::super::files::{Meta, Node};
    use super::super::world::World;
    use super::super::world::tests::{LEGACY, world};
    use super::names;
    use alloc::string::{String, ToString};
    use serde_json::{Value, json};

    fn create(world: &mut World, name: &str, host: &Value) -> Result<u64, String> {
        let body = json!({"Image": "busybox", "HostConfig": host}).to_string();
        let new = NewContainer::parse(body.as_bytes(), LEGACY);
        let created = new.and_then(|new| world.create(Some(name), new, LEGACY));
        created.map(|(serial, _)| serial).map_err(|failure| failure.message.to_string())
    }

    #[test]
    fn a_tmpfs_is_its_container_s_own_also_with_the_volumes_of_another_one() {
        let mut world = world(&["web"]);
        let web = world.containers.named("web").unwrap().serial;
        let tmpfs = json!({"Mounts": [{"Type": "tmpfs", "Target": "/t"}]});
        let first = create(&mut world, "c1", &tmpfs).unwrap();
        let second = create(&mut world, "c2", &json!({"VolumesFrom": ["c1"]})).unwrap();
        let tree = |world: &World, serial| world.containers.get(serial).unwrap().mounts[0].tree;
        assert_ne!(tree(&world, first), tree(&world, second));
        world.drop_container(first, true);
        let third = create(&mut world, "c3", &tmpfs).unwrap();
        let theirs = tree(&world, third);
        let file = Node::file("theirs", Meta::new(0o644, 0));
        world.store.get_mut(theirs).unwrap().put(&names("/f"), file.into()).unwrap();
        world.drop_container(second, true);
        assert!(world.store.get(theirs).unwrap().get(&names("/f")).is_some());
        assert!(world.containers.get(web).is_some());
    }

    #[test]
    fn a_container_that_cannot_be_made_leaves_no_tmpfs_behind() {
        let mut world = world(&[]);
        create(&mut world, "c0", &json!({})).unwrap();
        let before = world.store.len();
        let twice =
            json!({"Mounts": [{"Type": "tmpfs", "Target": "/t"}, {"Type": "zz", "Target": "/u"}]});
        create(&mut world, "c1", &twice).unwrap_err();
        assert_eq!(world.store.len(), before);
        let twice = json!({"Mounts": [{"Type": "tmpfs", "Target": "/t"}, {"Type": "tmpfs", "Target": "/t"}]});
        let serial = create(&mut world, "c1", &twice).unwrap();
        world.drop_container(serial, true);
        assert_eq!(world.store.len(), before);
    }
}
