//! Things that clients look for and that are not there: `docker inspect NAME` asks for one of each kind until it is found.

use alloc::format;

use super::world::World;
use crate::job::{Failure, FailureKind, Job};

/// The failure of a job about an image, a network, a volume, a plugin or a part of a swarm that the simulator does not have.
/// `None` for all other jobs, and for what is there.
pub(super) fn failure(job: &Job, world: &World) -> Option<Failure> {
    let name = job.arg(0).unwrap_or_default();
    let not_found = |message| Some(Failure::new(FailureKind::NotFound, message));
    match job.name() {
        "image_inspect" if !world.has_image(&name) => {
            let last = name.rsplit('/').next().unwrap_or_default();
            let tag = if last.contains([':', '@']) { "" } else { ":latest" };
            not_found(format!("no such image: {name}: No such image: {name}{tag}"))
        }
        "network_inspect" if !world.has_network(&name) => {
            not_found(format!("network {name} not found"))
        }
        "volume_inspect" => not_found(format!("get {name}: no such volume")),
        "plugin_inspect" => not_found(format!("plugin \"{name}\" not found")),
        "service_inspect" | "secret_inspect" | "node_inspect" | "task_inspect"
        | "config_inspect" | "services" | "secrets" | "nodes" | "tasks" | "configs"
        | "swarm_inspect" => Some(Failure::new(
            FailureKind::Unavailable,
            "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to \
                 connect this node to swarm and try again.",
        )),
        _ => None,
    }
}
