//! The rows of the Docker Engine API, in the order of its specification.
//!
//! Statuses and reply forms are those that dockerd 20.10 was seen to send, else the specification's.
//! The versions are those of the API's published history.

use super::routes::Reply::{Empty, Hijack, Json, JsonStream, Octets, Stream, Tar, Text, Upgrade};
use super::routes::{Endless, Reply, Route};
use super::version::ApiVersion;

/// Logs go on for as long as they are followed.
const FOLLOWED: Endless = Endless::If("follow");

pub(super) static ROUTES: [Route; 113] = [
    get("/containers/json", "containers", 200, Json),
    post("/containers/create", "create", 201, Json),
    get("/containers/{id}/json", "container_inspect", 200, Json),
    get("/containers/{id}/top", "top", 200, Json),
    get("/containers/{id}/logs", "logs", 200, Stream).endless(FOLLOWED),
    get("/containers/{id}/changes", "container_changes", 200, Json),
    get("/containers/{id}/export", "export", 200, Octets),
    get("/containers/{id}/stats", "container_stats", 200, Stream)
        .endless(Endless::Unless("stream")),
    post("/containers/{id}/resize", "resize", 200, Empty),
    post("/containers/{id}/start", "start", 204, Empty),
    post("/containers/{id}/stop", "stop", 204, Empty),
    post("/containers/{id}/restart", "restart", 204, Empty),
    post("/containers/{id}/kill", "kill", 204, Empty),
    post("/containers/{id}/update", "container_update", 200, Json),
    post("/containers/{id}/rename", "container_rename", 204, Empty),
    post("/containers/{id}/pause", "pause", 204, Empty),
    post("/containers/{id}/unpause", "unpause", 204, Empty),
    post("/containers/{id}/attach", "attach", 200, Hijack),
    get("/containers/{id}/attach/ws", "attach_ws", 101, Upgrade),
    // The CLI sends `start` only once it has seen the head of the answer to `wait`.
    post("/containers/{id}/wait", "wait", 200, JsonStream).endless(Endless::Yes),
    delete("/containers/{id}", "container_delete", 204, Empty),
    head("/containers/{id}/archive", "container_archive_info", 200, Empty),
    // The engine's job `container_copy` answered `POST /containers/{id}/copy`, which API 1.24
    // dropped in favour of this.
    get("/containers/{id}/archive", "container_copy", 200, Tar),
    put("/containers/{id}/archive", "container_extract", 200, Empty),
    post("/containers/prune", "container_prune", 200, Json).since(25),
    // In no specification: dockerd serves checkpoints when its experimental features are on, for
    // `docker checkpoint` and `docker start --checkpoint`.
    get("/containers/{id}/checkpoints", "checkpoints", 200, Json).since(25),
    post("/containers/{id}/checkpoints", "checkpoint_create", 201, Empty).since(25),
    delete("/containers/{id}/checkpoints/{checkpoint}", "checkpoint_delete", 204, Empty).since(25),
    get("/images/json", "images", 200, Json),
    post("/build", "build", 200, JsonStream),
    post("/build/prune", "build_prune", 200, Json).since(31),
    // In no specification: how a client ends a BuildKit build, by the build's id in the query.
    post("/build/cancel", "build_cancel", 200, Empty).since(39),
    post("/images/create", "pull", 200, JsonStream),
    get("/images/{name}/json", "image_inspect", 200, Json),
    get("/images/{name}/attestations", "image_attestations", 200, Json).since(55),
    get("/images/{name}/history", "history", 200, Json),
    post("/images/{name}/push", "push", 200, JsonStream),
    post("/images/{name}/tag", "tag", 201, Empty),
    delete("/images/{name}", "image_delete", 200, Json),
    get("/images/search", "search", 200, Json),
    post("/images/prune", "image_prune", 200, Json).since(25),
    post("/auth", "auth", 200, Json),
    get("/info", "info", 200, Json),
    get("/version", "version", 200, Json),
    get("/_ping", "ping", 200, Text),
    // Came with 1.40, but answers whatever the version: the CLI asks it for the version.
    head("/_ping", "ping", 200, Text),
    post("/commit", "commit", 201, Json),
    // `until` bounds it, but the client that closes first still cancels it.
    get("/events", "events", 200, JsonStream).endless(Endless::Yes),
    get("/system/df", "system_df", 200, Json).since(25),
    get("/images/{name}/get", "image_export", 200, Tar),
    get("/images/get", "images_export", 200, Tar),
    post("/images/load", "load", 200, JsonStream),
    post("/containers/{id}/exec", "exec_create", 201, Json),
    post("/exec/{id}/start", "exec_start", 200, Hijack),
    post("/exec/{id}/resize", "exec_resize", 200, Empty),
    get("/exec/{id}/json", "exec_inspect", 200, Json),
    get("/volumes", "volumes", 200, Json),
    post("/volumes/create", "volume_create", 201, Json),
    get("/volumes/{name}", "volume_inspect", 200, Json),
    put("/volumes/{name}", "volume_update", 200, Empty).since(42),
    delete("/volumes/{name}", "volume_delete", 204, Empty),
    post("/volumes/prune", "volume_prune", 200, Json).since(25),
    get("/networks", "networks", 200, Json),
    get("/networks/{id}", "network_inspect", 200, Json),
    delete("/networks/{id}", "network_delete", 204, Empty),
    post("/networks/create", "network_create", 201, Json),
    post("/networks/{id}/connect", "network_connect", 200, Empty),
    post("/networks/{id}/disconnect", "network_disconnect", 200, Empty),
    post("/networks/prune", "network_prune", 200, Json).since(25),
    get("/plugins", "plugins", 200, Json).since(25),
    get("/plugins/privileges", "plugin_privileges", 200, Json).since(25),
    // The specification says 204 of pull and upgrade; dockerd streams their progress.
    post("/plugins/pull", "plugin_pull", 200, JsonStream).since(25),
    get("/plugins/{name}/json", "plugin_inspect", 200, Json).since(25),
    delete("/plugins/{name}", "plugin_delete", 200, Empty).since(25),
    post("/plugins/{name}/enable", "plugin_enable", 200, Empty).since(25),
    post("/plugins/{name}/disable", "plugin_disable", 200, Empty).since(25),
    post("/plugins/{name}/upgrade", "plugin_upgrade", 200, JsonStream).since(26),
    post("/plugins/create", "plugin_create", 204, Empty).since(25),
    post("/plugins/{name}/push", "plugin_push", 200, JsonStream).since(25),
    post("/plugins/{name}/set", "plugin_set", 204, Empty).since(25),
    get("/nodes", "nodes", 200, Json),
    get("/nodes/{id}", "node_inspect", 200, Json),
    delete("/nodes/{id}", "node_delete", 200, Empty),
    post("/nodes/{id}/update", "node_update", 200, Empty),
    get("/swarm", "swarm_inspect", 200, Json),
    post("/swarm/init", "swarm_init", 200, Json),
    post("/swarm/join", "swarm_join", 200, Empty),
    post("/swarm/leave", "swarm_leave", 200, Empty),
    post("/swarm/update", "swarm_update", 200, Empty),
    get("/swarm/unlockkey", "swarm_unlock_key", 200, Json).since(25),
    post("/swarm/unlock", "swarm_unlock", 200, Empty).since(25),
    get("/services", "services", 200, Json),
    post("/services/create", "service_create", 201, Json),
    get("/services/{id}", "service_inspect", 200, Json),
    delete("/services/{id}", "service_delete", 200, Empty),
    post("/services/{id}/update", "service_update", 200, Json),
    get("/services/{id}/logs", "service_logs", 200, Stream).since(29).endless(FOLLOWED),
    get("/tasks", "tasks", 200, Json),
    get("/tasks/{id}", "task_inspect", 200, Json),
    get("/tasks/{id}/logs", "task_logs", 200, Stream).since(29).endless(FOLLOWED),
    get("/secrets", "secrets", 200, Json).since(25),
    post("/secrets/create", "secret_create", 201, Json).since(25),
    get("/secrets/{id}", "secret_inspect", 200, Json).since(25),
    delete("/secrets/{id}", "secret_delete", 204, Empty).since(25),
    post("/secrets/{id}/update", "secret_update", 200, Empty).since(25),
    get("/configs", "configs", 200, Json).since(30),
    post("/configs/create", "config_create", 201, Json).since(30),
    get("/configs/{id}", "config_inspect", 200, Json).since(30),
    delete("/configs/{id}", "config_delete", 204, Empty).since(30),
    post("/configs/{id}/update", "config_update", 200, Empty).since(30),
    get("/distribution/{name}/json", "distribution_inspect", 200, Json).since(30),
    post("/session", "session", 101, Upgrade).since(31),
    // In no specification: BuildKit's own API, which buildx uses.
    post("/grpc", "grpc", 101, Upgrade).since(39),
];

const fn get(path: &'static str, job: &'static str, success: u16, reply: Reply) -> Route {
    row("GET", path, job, success, reply)
}

const fn head(path: &'static str, job: &'static str, success: u16, reply: Reply) -> Route {
    row("HEAD", path, job, success, reply)
}

const fn post(path: &'static str, job: &'static str, success: u16, reply: Reply) -> Route {
    row("POST", path, job, success, reply)
}

const fn put(path: &'static str, job: &'static str, success: u16, reply: Reply) -> Route {
    row("PUT", path, job, success, reply)
}

const fn delete(path: &'static str, job: &'static str, success: u16, reply: Reply) -> Route {
    row("DELETE", path, job, success, reply)
}

const fn row(
    method: &'static str,
    path: &'static str,
    job: &'static str,
    success: u16,
    reply: Reply,
) -> Route {
    let (since, until, endless) = (ApiVersion::MIN, None, Endless::No);
    Route { method, path, job, since, until, success, reply, endless }
}

impl Route {
    const fn since(self, minor: u16) -> Self {
        Self { since: ApiVersion::new(1, minor), ..self }
    }

    const fn endless(self, endless: Endless) -> Self {
        Self { endless, ..self }
    }
}
