//! `GET /containers/{id}/json`: all there is to know of one container.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;
use serde::{Serialize, Serializer};

use super::clock::Rfc3339;
use super::config::Shown as ShownConfig;
use super::container::{Container, State};
use super::endpoint::EndpointSettings;
use super::health::Shown as ShownHealth;
use super::host_config::{HostConfig, PortBinding};
use super::links::CONTAINER;
use super::list::{Slashed, listens};
use super::mounts::Shown as ShownMount;
use super::versions::Dialect;
use super::world::World;

/// One container (`ContainerInspectResponse`).
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Inspected<'a> {
    id: &'a str,
    created: Rfc3339,
    path: &'a str,
    args: Vec<&'a str>,
    state: ContainerState<'a>,
    image: &'a str,
    resolv_conf_path: String,
    hostname_path: String,
    hosts_path: String,
    log_path: String,
    name: Slashed<'a>,
    restart_count: u32,
    driver: &'static str,
    platform: &'static str,
    mount_label: &'static str,
    process_label: &'static str,
    app_armor_profile: &'static str,
    #[serde(rename = "ExecIDs")]
    exec_ids: Option<Vec<&'a str>>,
    host_config: HostConfig,
    graph_driver: GraphDriver,
    #[serde(skip_serializing_if = "Option::is_none")]
    size_rw: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size_root_fs: Option<u64>,
    mounts: Vec<ShownMount<'a>>,
    config: ShownConfig<'a>,
    network_settings: NetworkSettings<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ContainerState<'a> {
    status: &'static str,
    running: bool,
    paused: bool,
    restarting: bool,
    #[serde(rename = "OOMKilled")]
    oom_killed: bool,
    dead: bool,
    pid: u32,
    exit_code: i32,
    error: &'a str,
    started_at: Moment,
    finished_at: Moment,
    #[serde(skip_serializing_if = "Option::is_none")]
    health: Option<ShownHealth<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct GraphDriver {
    data: GraphData,
    name: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct GraphData {
    lower_dir: String,
    merged_dir: String,
    upper_dir: String,
    work_dir: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct NetworkSettings<'a> {
    /// Until 1.51, as all that is flat here.
    #[serde(skip_serializing_if = "Option::is_none")]
    bridge: Option<&'static str>,
    #[serde(rename = "SandboxID")]
    sandbox_id: &'a str,
    #[serde(flatten)]
    link_local: Option<LinkLocal>,
    ports: BTreeMap<String, Option<Vec<PortBinding>>>,
    sandbox_key: String,
    #[serde(flatten)]
    default_bridge: Option<DefaultBridge<'a>>,
    networks: BTreeMap<&'a str, EndpointSettings<'a>>,
}

#[derive(Serialize, Default)]
#[serde(rename_all = "PascalCase")]
struct LinkLocal {
    hairpin_mode: bool,
    #[serde(rename = "LinkLocalIPv6Address")]
    link_local_ipv6_address: &'static str,
    #[serde(rename = "LinkLocalIPv6PrefixLen")]
    link_local_ipv6_prefix_len: u8,
}

/// What stood in `NetworkSettings` when a container had but one network; until 1.51.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DefaultBridge<'a> {
    #[serde(rename = "SecondaryIPAddresses")]
    secondary_ip_addresses: (),
    #[serde(rename = "SecondaryIPv6Addresses")]
    secondary_ipv6_addresses: (),
    #[serde(rename = "EndpointID")]
    endpoint_id: &'a str,
    gateway: String,
    #[serde(rename = "GlobalIPv6Address")]
    global_ipv6_address: &'static str,
    #[serde(rename = "GlobalIPv6PrefixLen")]
    global_ipv6_prefix_len: u8,
    #[serde(rename = "IPAddress")]
    ip_address: String,
    #[serde(rename = "IPPrefixLen")]
    ip_prefix_len: u8,
    #[serde(rename = "IPv6Gateway")]
    ipv6_gateway: &'static str,
    mac_address: String,
}

/// A moment that may not have come; the engine writes Go's zero time then.
struct Moment(Option<Duration>);

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Some(moment) => Rfc3339(moment).serialize(serializer),
            None => serializer.serialize_str("0001-01-01T00:00:00Z"),
        }
    }
}

/// The storage driver.
pub(super) const DRIVER: &str = "overlay2";
/// Where the engine keeps its files.
pub(super) const ROOT: &str = "/var/lib/docker";

impl<'a> Inspected<'a> {
    pub(super) fn of(
        container: &'a Container,
        world: &'a World,
        size: bool,
        dialect: Dialect,
    ) -> Self {
        let id = &container.id;
        // Made when it is first started.
        let file_of = |id: &str, name: &str| match container.started {
            Some(_) => format!("{ROOT}/containers/{id}/{name}"),
            None => String::new(),
        };
        let file = |name: &str| file_of(id, name);
        // Who shares a network shares what is written for it.
        let network = container.host.network_mode.strip_prefix(CONTAINER).unwrap_or(id);
        let size_rw = if size { world.size_rw_of(container) } else { 0 };
        // One that has ended can still be asked for, but its container does not name it any more.
        let runs = |id: &&str| world.execs.all.get(*id).is_some_and(|e| e.exit_code.is_none());
        let execs: Vec<&str> = container.execs.iter().map(|id| &**id).filter(runs).collect();
        let image = world.images.get(&container.image).map_or(0, |image| image.size());
        Self {
            id,
            created: Rfc3339(container.created),
            path: container.path(),
            args: container.args(),
            state: ContainerState::of(container),
            image: &container.image,
            resolv_conf_path: file_of(network, "resolv.conf"),
            hostname_path: file_of(network, "hostname"),
            hosts_path: file_of(network, "hosts"),
            log_path: file(&format!("{id}-json.log")),
            name: Slashed(&container.name),
            restart_count: container.restarts,
            driver: DRIVER,
            platform: "linux",
            mount_label: "",
            process_label: "",
            app_armor_profile: "",
            exec_ids: (!execs.is_empty()).then_some(execs),
            host_config: HostConfig {
                links: world.links_of(container),
                ..container.host.shown(dialect)
            },
            graph_driver: GraphDriver::of(container),
            size_rw: size.then_some(size_rw),
            size_root_fs: size.then_some(image + size_rw),
            mounts: container.mounts.iter().map(|mount| mount.shown()).collect(),
            config: ShownConfig::of(&container.config, container.hostname(), dialect),
            network_settings: NetworkSettings::of(container, world, dialect),
        }
    }
}

impl<'a> ContainerState<'a> {
    fn of(container: &'a Container) -> Self {
        let state = container.state;
        Self {
            status: state.name(),
            running: state.is_running(),
            paused: state == State::Paused,
            restarting: state == State::Restarting,
            oom_killed: container.oom_killed,
            dead: state == State::Dead,
            pid: container.pid,
            exit_code: container.exit_code,
            error: container.error.as_deref().unwrap_or_default(),
            started_at: Moment(container.started),
            finished_at: Moment(container.finished),
            health: container.health.as_ref().map(|health| health.shown()),
        }
    }
}

/// What a container's image is called: what its client called it, or the id if that means another one now.
pub(super) fn shown_image<'a>(container: &'a Container, world: &World) -> &'a str {
    let named = &container.config.image;
    match world.images.find(named) {
        Some(image) if image.id != container.image => &container.image,
        _ => named,
    }
}

impl GraphDriver {
    fn of(container: &Container) -> Self {
        let layer = |id: &str| format!("{ROOT}/{DRIVER}/{id}");
        let (own, image) =
            (layer(&container.id), layer(container.image.trim_start_matches("sha256:")));
        let data = GraphData {
            lower_dir: format!("{own}-init/diff:{image}/diff"),
            merged_dir: format!("{own}/merged"),
            upper_dir: format!("{own}/diff"),
            work_dir: format!("{own}/work"),
        };
        Self { data, name: DRIVER }
    }
}

impl<'a> NetworkSettings<'a> {
    fn of(container: &'a Container, world: &'a World, dialect: Dialect) -> Self {
        let networks = EndpointSettings::all(container, world, dialect);
        let sandbox = container.sandbox.as_deref().unwrap_or_default();
        let key = match container.host.network() {
            "host" => "default",
            _ => sandbox.get(..12).unwrap_or_default(),
        };
        Self {
            bridge: dialect.until(52, ""),
            link_local: dialect.until(52, LinkLocal::default()),
            default_bridge: dialect.until(52, DefaultBridge::of(networks.get("bridge"))),
            sandbox_id: sandbox,
            sandbox_key: match sandbox {
                "" => String::new(),
                _ => format!("/var/run/docker/netns/{key}"),
            },
            ports: ports(container),
            networks,
        }
    }
}

/// The ports of a running container, and where they are published.
fn ports(container: &Container) -> BTreeMap<String, Option<Vec<PortBinding>>> {
    let mut ports = BTreeMap::new();
    let Some(run) = &container.run else { return ports };
    for exposed in container.config.exposed_ports.iter().flat_map(|ports| ports.keys()) {
        ports.insert(exposed.clone(), None);
    }
    for published in &run.published {
        let key = format!("{}/{}", published.private, published.protocol.name());
        let bindings: &mut Option<Vec<PortBinding>> = ports.entry(key).or_default();
        let binding = |ip: &str| PortBinding {
            host_ip: ip.to_string(),
            host_port: published.public.to_string(),
        };
        bindings
            .get_or_insert_default()
            .extend(listens(&published.host_ip).into_iter().map(binding));
    }
    ports
}

impl<'a> DefaultBridge<'a> {
    /// The same of the default bridge's endpoint; empty without one.
    fn of(endpoint: Option<&EndpointSettings<'a>>) -> Self {
        let text = |text: for<'e> fn(&'e EndpointSettings<'a>) -> &'e String| {
            endpoint.map(text).cloned().unwrap_or_default()
        };
        Self {
            secondary_ip_addresses: (),
            secondary_ipv6_addresses: (),
            endpoint_id: endpoint.map_or("", |endpoint| endpoint.endpoint_id),
            gateway: text(|endpoint| &endpoint.gateway),
            global_ipv6_address: "",
            global_ipv6_prefix_len: 0,
            ip_address: text(|endpoint| &endpoint.ip_address),
            ip_prefix_len: endpoint.map_or(0, |endpoint| endpoint.ip_prefix_len),
            ipv6_gateway: "",
            mac_address: text(|endpoint| &endpoint.mac_address),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::versions::{Dialect, NEWEST};
    use super::super::world::tests::{LEGACY, four, world};
    use super::Inspected;
    use crate::docker::version::ApiVersion;
    use alloc::format;
    use alloc::vec::Vec;
    use serde_json::{Value, json};

    fn inspected(nth: usize, size: bool, dialect: Dialect) -> Value {
        let world = four();
        let inspected =
            Inspected::of(world.containers.iter().nth(nth).unwrap(), &world, size, dialect);
        serde_json::to_value(inspected).unwrap()
    }

    #[test]
    fn a_running_container_has_all_that_dockerd_20_10_says() {
        let web = inspected(0, false, LEGACY);
        let id = web["Id"].as_str().unwrap();
        assert_eq!(web["Name"], json!("/web"));
        assert_eq!(web["Created"], json!("2026-11-22T02:51:34Z"));
        assert_eq!((&web["Path"], &web["Args"]), (&json!("sleep"), &json!(["infinity"])));
        assert_eq!(
            web["State"],
            json!({
                "Status": "running", "Running": true, "Paused": false, "Restarting": false,
                "OOMKilled": false, "Dead": false, "Pid": 2000, "ExitCode": 0, "Error": "",
                "StartedAt": "2026-11-22T02:51:34Z", "FinishedAt": "0001-01-01T00:00:00Z",
            })
        );
        assert_eq!(
            web["LogPath"],
            json!(alloc::format!("/var/lib/docker/containers/{id}/{id}-json.log"))
        );
        assert_eq!(web["Config"]["Hostname"], json!(id[..12]));
        assert_eq!(web["HostConfig"]["KernelMemory"], json!(0));
        assert_eq!(web["HostConfig"]["PortBindings"], json!({}));
        assert_eq!(web["NetworkSettings"]["IPAddress"], json!("172.17.0.2"));
        assert_eq!(web["NetworkSettings"]["Ports"], json!({}));
        assert_eq!((web.get("SizeRw"), web.get("SizeRootFs")), (None, None));
    }

    #[test]
    fn sizes_come_when_asked_for_even_if_zero() {
        let web = inspected(0, true, NEWEST);
        assert_eq!((&web["SizeRw"], &web["SizeRootFs"]), (&json!(0), &json!(4_276_840)));
    }

    #[test]
    fn one_that_ended_has_no_process_and_no_address() {
        let ex = inspected(3, false, LEGACY);
        assert_eq!((&ex["State"]["Running"], &ex["State"]["Pid"]), (&json!(false), &json!(0)));
        assert_eq!(ex["NetworkSettings"]["IPAddress"], json!(""));
    }

    #[test]
    fn old_fields_go_with_their_version() {
        let at = |minor| inspected(0, false, Dialect::new(ApiVersion::new(1, minor)));
        let network = |minor: u16, key: &str| at(minor)["NetworkSettings"].get(key).is_some();
        for key in ["Bridge", "HairpinMode", "IPAddress", "MacAddress", "SecondaryIPAddresses"] {
            assert_eq!((network(51, key), network(52, key)), (true, false), "{key}");
        }
        for key in ["KernelMemory", "KernelMemoryTCP"] {
            let has = |minor| at(minor)["HostConfig"].get(key).is_some();
            assert_eq!((has(41), has(42)), (true, false), "{key}");
        }
        let on_build = |minor| at(minor)["Config"].get("OnBuild").is_some();
        assert_eq!((on_build(51), on_build(52)), (true, false));
    }

    #[test]
    fn addresses_follow_each_other() {
        let mut names = alloc::vec::Vec::new();
        names.extend((0..300).map(|nth| format!("c{nth}")));
        let world = world(&names.iter().map(|name| &**name).collect::<Vec<_>>());
        let last = Inspected::of(world.containers.iter().last().unwrap(), &world, false, NEWEST);
        let last = serde_json::to_value(last).unwrap();
        let bridge = &last["NetworkSettings"]["Networks"]["bridge"];
        assert_eq!(bridge["IPAddress"], json!("172.17.1.45"));
        assert_eq!(bridge["MacAddress"], json!("02:42:ac:11:01:2d"));
    }
}
