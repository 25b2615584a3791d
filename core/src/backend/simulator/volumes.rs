//! The volumes of the engine: folders that outlive containers.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use core::time::Duration;
use serde::Deserialize;

use super::container::Serial;
use super::failures::{conflict, invalid, not_found};
use super::files::{Tree, TreeId};
use super::inspect::ROOT;
use super::world::World;
use crate::job::Failure;

/// All volumes, by name.
#[derive(Default)]
pub(super) struct Volumes {
    pub(super) all: BTreeMap<Arc<str>, Volume>,
    /// What containers have bound of the host, by its path there.
    pub(super) binds: BTreeMap<Arc<str>, TreeId>,
}

/// One volume of the driver `local`.
pub(super) struct Volume {
    pub(super) name: Arc<str>,
    pub(super) created: Duration,
    pub(super) labels: Option<BTreeMap<String, String>>,
    pub(super) options: Option<BTreeMap<String, String>>,
    /// Nobody chose its name.
    pub(super) anonymous: bool,
    pub(super) tree: TreeId,
    /// The containers that have it.
    pub(super) users: BTreeSet<Serial>,
}

/// What `POST /volumes/create` asks for.
#[derive(Deserialize, Default, Debug)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct NewVolume {
    pub(super) name: String,
    pub(super) driver: String,
    pub(super) driver_opts: Option<BTreeMap<String, String>>,
    pub(super) labels: Option<BTreeMap<String, String>>,
}

impl Volume {
    /// Where the host has it.
    pub(super) fn mountpoint(&self) -> String {
        format!("{ROOT}/volumes/{}/_data", self.name)
    }
}

impl Volumes {
    pub(super) fn find(&self, name: &str) -> Result<&Volume, Failure> {
        self.all.get(name).ok_or_else(|| not_found(format!("get {name}: no such volume")))
    }
}

impl World {
    /// Makes a volume unless it is there; returns its name.
    pub(super) fn create_volume(&mut self, new: NewVolume) -> Result<Arc<str>, Failure> {
        let NewVolume { name, driver, driver_opts, labels } = new;
        let anonymous = name.is_empty();
        let name: Arc<str> = if anonymous { self.hex_id() } else { name.into() };
        if !matches!(&*driver, "" | "local" | "default") {
            return Err(not_found(format!(
                "create {name}: error looking up volume plugin {driver}: plugin \"{driver}\" not found"
            )));
        }
        if self.volumes.all.contains_key(&name) {
            return Ok(name);
        }
        if name.len() == 1 {
            return Err(invalid(format!(
                "create {name}: volume name is too short, names should be at least two alphanumeric characters"
            )));
        }
        if !super::is_name(&name) {
            return Err(invalid(format!(
                "create {name}: \"{name}\" includes invalid characters for a local volume name, only \
                 \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path"
            )));
        }
        let volume = Volume {
            name: Arc::clone(&name),
            created: self.now,
            labels,
            options: driver_opts,
            anonymous,
            tree: self.store.insert(Tree::new()),
            users: BTreeSet::new(),
        };
        self.volumes.all.insert(Arc::clone(&name), volume);
        self.emit("volume", "create", &name, &[("driver", "local")]);
        Ok(name)
    }

    /// Removes a volume. `force` is content with one that is not there.
    pub(super) fn delete_volume(&mut self, name: &str, force: bool) -> Result<(), Failure> {
        let volume = match self.volumes.find(name) {
            Ok(volume) => volume,
            Err(_) if force => return Ok(()),
            Err(failure) => return Err(failure),
        };
        if !volume.users.is_empty() {
            let ids = volume.users.iter().filter_map(|user| self.containers.get(*user));
            let ids =
                ids.map(|container| &*container.id).collect::<alloc::vec::Vec<_>>().join(", ");
            return Err(conflict(format!("remove {name}: volume is in use - [{ids}]")));
        }
        if let Some(volume) = self.volumes.all.remove(name) {
            self.store.remove(volume.tree);
        }
        self.emit("volume", "destroy", name, &[("driver", "local")]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::world::tests::world;
    use super::NewVolume;

    fn named(name: &str, driver: &str) -> NewVolume {
        NewVolume { name: name.into(), driver: driver.into(), ..NewVolume::default() }
    }

    #[test]
    fn volumes_are_made_once_and_removed_when_nobody_has_them() {
        let mut world = world(&[]);
        assert_eq!(world.create_volume(named("v1", "")).as_deref(), Ok("v1"));
        assert_eq!(world.create_volume(named("v1", "local")).as_deref(), Ok("v1"));
        assert_eq!(world.volumes.all.len(), 1);
        let anonymous = world.create_volume(named("", "")).unwrap();
        assert_eq!(anonymous.len(), 64);
        world.volumes.all.get_mut("v1").unwrap().users.insert(99);
        let used = world.delete_volume("v1", false).unwrap_err();
        assert_eq!(used.message, "remove v1: volume is in use - []");
        world.volumes.all.get_mut("v1").unwrap().users.clear();
        assert_eq!(world.delete_volume("v1", false), Ok(()));
        assert_eq!(world.delete_volume("v1", true), Ok(()));
        let missed = world.delete_volume("v1", false).unwrap_err();
        assert_eq!(missed.message, "get v1: no such volume");
    }

    #[test]
    fn bad_names_and_drivers_are_refused_as_by_the_engine() {
        let mut world = world(&[]);
        let refused = world.create_volume(named("b/d", "")).unwrap_err().message;
        assert_eq!(
            refused,
            "create b/d: \"b/d\" includes invalid characters for a local volume name, only \
             \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path"
        );
        let refused = world.create_volume(named("v1", "nosuch")).unwrap_err().message;
        assert_eq!(
            refused,
            "create v1: error looking up volume plugin nosuch: plugin \"nosuch\" not found"
        );
    }
}
