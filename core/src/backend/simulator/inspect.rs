//! `GET /containers/{id}/json`: all there is to know of one container.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use core::time::Duration;
use serde::{Serialize, Serializer};

use super::clock::Rfc3339;
use super::container::{Container, State};
use super::host_config::{Config, HostConfig};
use super::list::Slashed;
use super::network::EndpointSettings;
use super::versions::Dialect;
use super::world::World;

/// One container (`ContainerInspectResponse`).
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Inspected<'a> {
    id: &'a str,
    created: Rfc3339,
    path: &'a str,
    args: &'a [String],
    state: ContainerState,
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
    exec_ids: (),
    host_config: HostConfig,
    graph_driver: GraphDriver,
    #[serde(skip_serializing_if = "Option::is_none")]
    size_rw: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size_root_fs: Option<u64>,
    mounts: [(); 0],
    config: Config<'a>,
    network_settings: NetworkSettings<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ContainerState {
    status: &'static str,
    running: bool,
    paused: bool,
    restarting: bool,
    #[serde(rename = "OOMKilled")]
    oom_killed: bool,
    dead: bool,
    pid: u32,
    exit_code: i32,
    error: &'static str,
    started_at: Moment,
    finished_at: Moment,
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
    #[serde(flatten)]
    default_bridge: Option<DefaultBridge<'a>>,
    #[serde(rename = "SandboxID")]
    sandbox_id: &'a str,
    sandbox_key: String,
    ports: BTreeMap<(), ()>,
    networks: BTreeMap<&'a str, EndpointSettings<'a>>,
}

/// What stood in `NetworkSettings` when a container had but one network; until 1.51.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DefaultBridge<'a> {
    bridge: &'static str,
    hairpin_mode: bool,
    #[serde(rename = "LinkLocalIPv6Address")]
    link_local_ipv6_address: &'static str,
    #[serde(rename = "LinkLocalIPv6PrefixLen")]
    link_local_ipv6_prefix_len: u8,
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
        let file = |name: &str| format!("{ROOT}/containers/{id}/{name}");
        Self {
            id,
            created: Rfc3339(container.created),
            path: &container.path,
            args: &container.args,
            state: ContainerState::of(container),
            image: world.image.id,
            resolv_conf_path: file("resolv.conf"),
            hostname_path: file("hostname"),
            hosts_path: file("hosts"),
            log_path: file(&format!("{id}-json.log")),
            name: Slashed(&container.name),
            restart_count: 0,
            driver: DRIVER,
            platform: "linux",
            mount_label: "",
            process_label: "",
            app_armor_profile: "",
            exec_ids: (),
            host_config: HostConfig::of(world, dialect),
            graph_driver: GraphDriver::of(container, world),
            size_rw: size.then_some(container.size_rw),
            size_root_fs: size.then_some(world.image.size + container.size_rw),
            mounts: [],
            config: Config::of(container, &world.image, dialect),
            network_settings: NetworkSettings::of(container, world, dialect),
        }
    }
}

impl ContainerState {
    fn of(container: &Container) -> Self {
        let state = container.state;
        Self {
            status: state.name(),
            running: state.is_running(),
            paused: state == State::Paused,
            restarting: state == State::Restarting,
            oom_killed: false,
            dead: state == State::Dead,
            pid: container.pid,
            exit_code: container.exit_code,
            error: "",
            started_at: Moment(container.started),
            finished_at: Moment(container.finished),
        }
    }
}

impl GraphDriver {
    fn of(container: &Container, world: &World) -> Self {
        let layer = |id: &str| format!("{ROOT}/{DRIVER}/{id}");
        let (own, image) =
            (layer(&container.id), layer(world.image.id.trim_start_matches("sha256:")));
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
        let endpoint = EndpointSettings::of(container, &world.network, dialect);
        let sandbox = &container.endpoint.sandbox;
        Self {
            default_bridge: dialect.until(52, DefaultBridge::of(&endpoint)),
            sandbox_id: sandbox,
            sandbox_key: format!("/var/run/docker/netns/{}", &sandbox[..12]),
            ports: BTreeMap::new(),
            networks: [(world.network.name, endpoint)].into(),
        }
    }
}

impl<'a> DefaultBridge<'a> {
    fn of(endpoint: &EndpointSettings<'a>) -> Self {
        Self {
            bridge: "",
            hairpin_mode: false,
            link_local_ipv6_address: "",
            link_local_ipv6_prefix_len: 0,
            secondary_ip_addresses: (),
            secondary_ipv6_addresses: (),
            endpoint_id: endpoint.endpoint_id,
            gateway: endpoint.gateway.clone(),
            global_ipv6_address: "",
            global_ipv6_prefix_len: 0,
            ip_address: endpoint.ip_address.clone(),
            ip_prefix_len: endpoint.ip_prefix_len,
            ipv6_gateway: "",
            mac_address: endpoint.mac_address.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::versions::{Dialect, NEWEST};
    use super::super::world::tests::{LEGACY, four, world};
    use super::Inspected;
    use crate::docker::version::ApiVersion;
    use serde_json::{Value, json};

    fn inspected(nth: usize, size: bool, dialect: Dialect) -> Value {
        let world = four();
        let inspected = Inspected::of(&world.containers[nth], &world, size, dialect);
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
        let world = world(&["a1"; 300]);
        let last = Inspected::of(&world.containers[299], &world, false, NEWEST);
        let last = serde_json::to_value(last).unwrap();
        let bridge = &last["NetworkSettings"]["Networks"]["bridge"];
        assert_eq!(bridge["IPAddress"], json!("172.17.1.45"));
        assert_eq!(bridge["MacAddress"], json!("02:42:ac:11:01:2d"));
    }
}
