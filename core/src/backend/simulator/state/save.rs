//! From a world to a state file.

use alloc::vec::Vec;
use serde::Serialize;
use serde_json::{Value, json};

use super::super::container::{Container, State};
use super::super::faults::Fault;
use super::super::inspect::Inspected;
use super::super::versions::Dialect;
use super::super::world::World;
use super::super::{image_api, network_api, volume_api};
use crate::docker::version::ApiVersion;

/// The version in whose form things are written: the last one that shows what an image was made of.
const DIALECT: Dialect = Dialect::new(ApiVersion::new(1, 44));

#[derive(Serialize)]
struct Document {
    containers: Vec<Value>,
    images: Vec<Value>,
    networks: Vec<Value>,
    volumes: Vec<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    faults: Vec<Value>,
}

/// The document that makes this world again, as text for people, too.
pub(in super::super) fn save<'f>(
    world: &World,
    faults: impl Iterator<Item = &'f Fault>,
) -> Vec<u8> {
    let document = Document {
        containers: containers(world),
        images: images(world),
        networks: world
            .networks
            .all
            .iter()
            .map(|network| {
                let mut shown = value(&network_api::Shown::of(network, world, false, DIALECT));
                forget(&mut shown, "Containers");
                shown
            })
            .collect(),
        volumes: world
            .volumes
            .all
            .values()
            .map(|volume| value(&volume_api::Shown::of(volume)))
            .collect(),
        faults: faults.map(value).collect(),
    };
    let mut text = serde_json::to_vec_pretty(&document).unwrap_or_default();
    text.push(b'\n');
    text
}

fn containers(world: &World) -> Vec<Value> {
    // Nothing would go on to remove one that is made to go when it ends, and is just going.
    let is_going = |it: &Container| it.state == State::Removing && it.host.auto_remove;
    let stay = world.containers.iter().filter(|container| !is_going(container));
    let written = stay.map(|container| {
        let mut shown = value(&Inspected::of(container, world, false, DIALECT));
        // They end with the process that they were started beside.
        forget(&mut shown, "ExecIDs");
        if let Some(behaviour) = world.performances.get(&container.serial) {
            shown["Behaviour"] = value(&**behaviour);
        }
        shown
    });
    written.collect()
}

fn images(world: &World) -> Vec<Value> {
    // An image comes behind what it was built on.
    let written = world.images.newest_first().into_iter().rev().map(|image| {
        let shown = image_api::inspect(world, image, DIALECT);
        let mut shown: Value = shown
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok())
            .unwrap_or_else(|| json!({"Id": image.id}));
        if let Some(behaviour) = world.images.behaviour(&image.id) {
            shown["Behaviour"] = value(&**behaviour);
        }
        shown
    });
    written.collect()
}

fn value(thing: &impl Serialize) -> Value {
    serde_json::to_value(thing).unwrap_or_default()
}

fn forget(shown: &mut Value, key: &str) {
    if let Some(fields) = shown.as_object_mut() {
        fields.remove(key);
    }
}
