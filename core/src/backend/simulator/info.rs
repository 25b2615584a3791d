//! `GET /info`.

use alloc::collections::BTreeMap;
use core::time::Duration;
use serde::Serialize;

use super::clock::Rfc3339;
use super::container::State;
use super::inspect::{DRIVER, ROOT};
use super::version::{KERNEL, PLATFORM};
use super::versions::{Dialect, Release};
use super::world::World;
use crate::docker::version::ApiVersion;

/// What the host is called.
pub(super) const HOSTNAME: &str = "simulator";

type Pairs = &'static [[&'static str; 2]];

/// What `docker info` shows (`SystemInfo`). What is `()` is null.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Info<'a> {
    #[serde(rename = "ID")]
    id: &'a str,
    containers: usize,
    containers_running: usize,
    containers_paused: usize,
    containers_stopped: usize,
    images: usize,
    driver: &'static str,
    driver_status: Pairs,
    plugins: Plugins,
    memory_limit: bool,
    swap_limit: bool,
    /// Until 1.41, as the next one.
    #[serde(skip_serializing_if = "Option::is_none")]
    kernel_memory: Option<bool>,
    #[serde(rename = "KernelMemoryTCP", skip_serializing_if = "Option::is_none")]
    kernel_memory_tcp: Option<bool>,
    cpu_cfs_period: bool,
    cpu_cfs_quota: bool,
    #[serde(rename = "CPUShares")]
    cpu_shares: bool,
    #[serde(rename = "CPUSet")]
    cpu_set: bool,
    pids_limit: bool,
    #[serde(rename = "IPv4Forwarding")]
    ipv4_forwarding: bool,
    /// Until 1.49, as the next one; the CLI warns of the old engine if it is false.
    #[serde(skip_serializing_if = "Option::is_none")]
    bridge_nf_iptables: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bridge_nf_ip6tables: Option<bool>,
    debug: bool,
    n_fd: usize,
    oom_kill_disable: bool,
    n_goroutines: usize,
    system_time: Rfc3339,
    logging_driver: &'static str,
    cgroup_driver: &'static str,
    cgroup_version: &'static str,
    n_events_listener: usize,
    kernel_version: &'static str,
    operating_system: &'static str,
    #[serde(rename = "OSVersion")]
    os_version: &'static str,
    #[serde(rename = "OSType")]
    os_type: &'static str,
    architecture: &'static str,
    index_server_address: &'static str,
    registry_config: RegistryConfig,
    #[serde(rename = "NCPU")]
    ncpu: usize,
    mem_total: u64,
    generic_resources: (),
    docker_root_dir: &'static str,
    http_proxy: &'static str,
    https_proxy: &'static str,
    no_proxy: &'static str,
    name: &'static str,
    labels: [(); 0],
    experimental_build: bool,
    server_version: &'static str,
    runtimes: BTreeMap<&'static str, Runtime>,
    default_runtime: &'static str,
    swarm: Swarm,
    live_restore_enabled: bool,
    isolation: &'static str,
    init_binary: &'static str,
    containerd_commit: Commit,
    runc_commit: Commit,
    init_commit: Commit,
    security_options: &'static [&'static str],
    /// Since 1.49.
    #[serde(skip_serializing_if = "Option::is_none")]
    firewall_backend: Option<Firewall>,
    /// Since 1.44.
    #[serde(rename = "CDISpecDirs", skip_serializing_if = "Option::is_none")]
    cdi_spec_dirs: Option<[&'static str; 2]>,
    /// Since 1.46.
    #[serde(skip_serializing_if = "Option::is_none")]
    containerd: Option<Containerd>,
    warnings: (),
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Plugins {
    volume: [&'static str; 1],
    network: [&'static str; 6],
    authorization: (),
    log: &'static [&'static str],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct RegistryConfig {
    /// Until 1.48, as the next one.
    #[serde(
        rename = "AllowNondistributableArtifactsCIDRs",
        skip_serializing_if = "Option::is_none"
    )]
    nondistributable_cidrs: Option<[(); 0]>,
    #[serde(
        rename = "AllowNondistributableArtifactsHostnames",
        skip_serializing_if = "Option::is_none"
    )]
    nondistributable_hostnames: Option<[(); 0]>,
    #[serde(rename = "InsecureRegistryCIDRs")]
    insecure_registry_cidrs: &'static [&'static str],
    index_configs: BTreeMap<&'static str, Index>,
    mirrors: [(); 0],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Index {
    name: &'static str,
    mirrors: [(); 0],
    secure: bool,
    official: bool,
}

#[derive(Serialize)]
struct Runtime {
    path: &'static str,
    /// Since 1.44.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<BTreeMap<&'static str, &'static str>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Swarm {
    #[serde(rename = "NodeID")]
    node_id: &'static str,
    node_addr: &'static str,
    local_node_state: &'static str,
    control_available: bool,
    error: &'static str,
    remote_managers: (),
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Commit {
    #[serde(rename = "ID")]
    id: &'static str,
    /// Until 1.48.
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Firewall {
    driver: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Containerd {
    address: &'static str,
    namespaces: Namespaces,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Namespaces {
    containers: &'static str,
    plugins: &'static str,
}

/// The drivers of logs.
const LOGS: &[&str] = &[
    "awslogs",
    "fluentd",
    "gcplogs",
    "gelf",
    "journald",
    "json-file",
    "local",
    "splunk",
    "syslog",
];
/// Those of 20.10.
const LEGACY_LOGS: &[&str] = &[
    "awslogs",
    "fluentd",
    "gcplogs",
    "gelf",
    "journald",
    "json-file",
    "local",
    "logentries",
    "splunk",
    "syslog",
];

impl<'a> Info<'a> {
    /// Of the engine that announces `newest`, with so many clients that read its events.
    pub(super) fn of(
        world: &'a World,
        newest: ApiVersion,
        listeners: usize,
        now: Duration,
        dialect: Dialect,
    ) -> Self {
        let release = Release::announcing(newest);
        let commit = |id| Commit { id, expected: dialect.until(49, id) };
        let (running, paused) = (
            world.count(|state| state == State::Running),
            world.count(|state| state == State::Paused),
        );
        let mut runtimes = BTreeMap::new();
        for name in ["io.containerd.runc.v2", "runc"] {
            let status = dialect.since(44, BTreeMap::new());
            runtimes.insert(name, Runtime { path: "runc", status });
        }
        Self {
            id: &world.id,
            containers: world.containers.len(),
            containers_running: running,
            containers_paused: paused,
            containers_stopped: world.containers.len() - running - paused,
            images: world.images.len(),
            driver: DRIVER,
            driver_status: &[
                ["Backing Filesystem", "extfs"],
                ["Supports d_type", "true"],
                ["Native Overlay Diff", "true"],
                ["userxattr", "false"],
            ],
            plugins: Plugins {
                volume: ["local"],
                network: ["bridge", "host", "ipvlan", "macvlan", "null", "overlay"],
                authorization: (),
                log: match dialect.is_legacy() {
                    true => LEGACY_LOGS,
                    false => LOGS,
                },
            },
            memory_limit: true,
            swap_limit: true,
            kernel_memory: dialect.until(42, true),
            kernel_memory_tcp: dialect.until(42, false),
            cpu_cfs_period: true,
            cpu_cfs_quota: true,
            cpu_shares: true,
            cpu_set: true,
            pids_limit: true,
            ipv4_forwarding: true,
            bridge_nf_iptables: dialect.until(50, dialect.is_legacy()),
            bridge_nf_ip6tables: dialect.until(50, dialect.is_legacy()),
            debug: false,
            n_fd: 24,
            oom_kill_disable: dialect.is_legacy(),
            n_goroutines: 40,
            system_time: Rfc3339(now),
            logging_driver: "json-file",
            cgroup_driver: if dialect.is_legacy() { "cgroupfs" } else { "systemd" },
            cgroup_version: if dialect.is_legacy() { "1" } else { "2" },
            n_events_listener: listeners,
            kernel_version: KERNEL,
            operating_system: PLATFORM,
            os_version: env!("CARGO_PKG_VERSION"),
            os_type: "linux",
            architecture: "x86_64",
            index_server_address: "https://index.docker.io/v1/",
            registry_config: RegistryConfig::of(dialect),
            ncpu: 4,
            mem_total: 8 << 30,
            generic_resources: (),
            docker_root_dir: ROOT,
            http_proxy: "",
            https_proxy: "",
            no_proxy: "",
            name: HOSTNAME,
            labels: [],
            experimental_build: false,
            server_version: release.engine,
            runtimes,
            default_runtime: "runc",
            swarm: Swarm {
                node_id: "",
                node_addr: "",
                local_node_state: "inactive",
                control_available: false,
                error: "",
                remote_managers: (),
            },
            live_restore_enabled: false,
            isolation: "",
            init_binary: "docker-init",
            containerd_commit: commit(release.containerd_commit),
            runc_commit: commit(release.runc_commit),
            init_commit: commit(release.init_commit),
            security_options: match dialect.is_legacy() {
                true => &["name=seccomp,profile=default"],
                false => &["name=seccomp,profile=builtin", "name=cgroupns"],
            },
            firewall_backend: dialect.since(49, Firewall { driver: "iptables" }),
            cdi_spec_dirs: dialect.since(44, ["/etc/cdi", "/var/run/cdi"]),
            containerd: dialect.since(
                46,
                Containerd {
                    address: "/run/containerd/containerd.sock",
                    namespaces: Namespaces { containers: "moby", plugins: "plugins.moby" },
                },
            ),
            warnings: (),
        }
    }
}

impl RegistryConfig {
    fn of(dialect: Dialect) -> Self {
        let hub = Index { name: "docker.io", mirrors: [], secure: true, official: true };
        Self {
            nondistributable_cidrs: dialect.until(49, []),
            nondistributable_hostnames: dialect.until(49, []),
            insecure_registry_cidrs: match dialect.is_legacy() {
                true => &["127.0.0.0/8"],
                false => &["::1/128", "127.0.0.0/8"],
            },
            index_configs: [("docker.io", hub)].into(),
            mirrors: [],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::versions::Dialect;
    use super::super::world::tests::{START, four};
    use super::Info;
    use crate::docker::version::ApiVersion;
    use serde_json::{Value, json};

    fn info(minor: u16) -> Value {
        let dialect = Dialect::new(ApiVersion::new(1, minor));
        let world = four();
        let info = Info::of(&world, ApiVersion::MAX, 3, START, dialect);
        serde_json::to_value(info).unwrap()
    }

    #[test]
    fn numbers_add_up() {
        let info = info(55);
        let count = |key: &str| info[key].as_u64().unwrap();
        assert_eq!(count("Containers"), 4);
        assert_eq!(count("ContainersRunning"), 2);
        assert_eq!(count("ContainersPaused"), 0);
        assert_eq!(count("ContainersStopped"), 2);
        assert_eq!(count("NEventsListener"), 3);
        assert_eq!(info["SystemTime"], json!("2026-11-22T02:51:34Z"));
    }

    #[test]
    fn fields_come_and_go_with_their_version() {
        for (key, until) in [
            ("/KernelMemory", 41),
            ("/KernelMemoryTCP", 41),
            ("/BridgeNfIptables", 49),
            ("/BridgeNfIp6tables", 49),
            ("/RegistryConfig/AllowNondistributableArtifactsCIDRs", 48),
            ("/RegistryConfig/AllowNondistributableArtifactsHostnames", 48),
            ("/RuncCommit/Expected", 48),
        ] {
            assert!(info(until).pointer(key).is_some(), "{key} in 1.{until}");
            assert!(info(until + 1).pointer(key).is_none(), "{key} after 1.{until}");
        }
        for (key, since) in [
            ("/CDISpecDirs", 44),
            ("/Runtimes/runc/status", 44),
            ("/Containerd", 46),
            ("/FirewallBackend", 49),
        ] {
            assert!(info(since - 1).pointer(key).is_none(), "{key} before 1.{since}");
            assert!(info(since).pointer(key).is_some(), "{key} in 1.{since}");
        }
        assert_eq!(info(41)["BridgeNfIptables"], json!(true), "else the CLI warns");
        assert_eq!(info(42)["BridgeNfIptables"], json!(false));
    }

    #[test]
    fn it_does_not_pass_for_a_real_engine() {
        assert_eq!(info(55)["OperatingSystem"], json!("libswarm simulator"));
    }
}
