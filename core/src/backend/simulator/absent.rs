//! Things that clients look for and that are not there: `docker inspect NAME` asks for one of each kind until it is found.

use alloc::format;

use super::failures::invalid;
use crate::job::{Failure, FailureKind, Job};

/// The failure of a job about a plugin or a part of a swarm, which the simulator does not have; `None` for all other jobs.
pub(super) fn failure(job: &Job) -> Option<Failure> {
    let name = job.arg(0).unwrap_or_default();
    let not_found = |message| Some(Failure::new(FailureKind::NotFound, message));
    match job.name() {
        "plugin_inspect" | "plugin_delete" | "plugin_enable" | "plugin_disable"
        | "plugin_upgrade" | "plugin_push" | "plugin_set" => {
            not_found(format!("plugin \"{name}\" not found"))
        }
        "plugin_privileges" | "plugin_pull" => {
            let name = job.env("remote").unwrap_or_default();
            let name = name.rsplit_once(':').map_or(&*name, |(name, _)| name);
            not_found(format!(
                "pull access denied for {name}, repository does not exist or may require 'docker login': denied: \
                 requested access to the resource is denied"
            ))
        }
        "plugin_create" => Some(invalid("the simulated engine runs no plugins")),
        "swarm_init" | "swarm_join" => {
            Some(Failure::new(FailureKind::Unavailable, "the simulated engine is part of no swarm"))
        }
        "swarm_leave" | "swarm_unlock" => {
            Some(Failure::new(FailureKind::Unavailable, "This node is not part of a swarm"))
        }
        "service_inspect" | "secret_inspect" | "node_inspect" | "task_inspect"
        | "config_inspect" | "services" | "secrets" | "nodes" | "tasks" | "configs"
        | "swarm_inspect" | "swarm_update" | "swarm_unlock_key" | "service_create"
        | "service_delete" | "service_update" | "secret_create" | "config_create"
        | "node_update" | "node_delete" | "service_logs" | "task_logs" => Some(Failure::new(
            FailureKind::Unavailable,
            "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to \
                 connect this node to swarm and try again.",
        )),
        _ => None,
    }
}
