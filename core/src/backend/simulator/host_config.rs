//! What a container was created with: `HostConfig` and `Config`. The simulated ones were all created alike.

use alloc::collections::BTreeMap;
use alloc::string::String;
use serde::Serialize;

use super::container::Container;
use super::versions::Dialect;
use super::world::{Image, World};

type Empty = [(); 0];

/// How a container uses its host. What is `()` is null: not asked for.
#[derive(Serialize, Default)]
#[serde(rename_all = "PascalCase")]
pub(super) struct HostConfig {
    binds: (),
    #[serde(rename = "ContainerIDFile")]
    container_id_file: &'static str,
    log_config: LogConfig,
    network_mode: &'static str,
    port_bindings: BTreeMap<(), ()>,
    restart_policy: RestartPolicy,
    auto_remove: bool,
    volume_driver: &'static str,
    volumes_from: (),
    cap_add: (),
    cap_drop: (),
    cgroupns_mode: &'static str,
    dns: Empty,
    dns_options: Empty,
    dns_search: Empty,
    extra_hosts: (),
    group_add: (),
    ipc_mode: &'static str,
    cgroup: &'static str,
    links: (),
    oom_score_adj: i32,
    pid_mode: &'static str,
    privileged: bool,
    publish_all_ports: bool,
    readonly_rootfs: bool,
    security_opt: (),
    #[serde(rename = "UTSMode")]
    uts_mode: &'static str,
    userns_mode: &'static str,
    shm_size: u64,
    runtime: &'static str,
    console_size: [u32; 2],
    isolation: &'static str,
    cpu_shares: i64,
    memory: i64,
    nano_cpus: i64,
    cgroup_parent: &'static str,
    blkio_weight: u16,
    blkio_weight_device: Empty,
    blkio_device_read_bps: (),
    blkio_device_write_bps: (),
    #[serde(rename = "BlkioDeviceReadIOps")]
    blkio_device_read_iops: (),
    #[serde(rename = "BlkioDeviceWriteIOps")]
    blkio_device_write_iops: (),
    cpu_period: i64,
    cpu_quota: i64,
    cpu_realtime_period: i64,
    cpu_realtime_runtime: i64,
    cpuset_cpus: &'static str,
    cpuset_mems: &'static str,
    devices: Empty,
    device_cgroup_rules: (),
    device_requests: (),
    /// Until 1.41.
    #[serde(skip_serializing_if = "Option::is_none")]
    kernel_memory: Option<i64>,
    /// Until 1.41.
    #[serde(rename = "KernelMemoryTCP", skip_serializing_if = "Option::is_none")]
    kernel_memory_tcp: Option<i64>,
    memory_reservation: i64,
    memory_swap: i64,
    memory_swappiness: (),
    oom_kill_disable: (),
    pids_limit: (),
    ulimits: (),
    cpu_count: i64,
    cpu_percent: i64,
    #[serde(rename = "IOMaximumIOps")]
    io_maximum_iops: u64,
    #[serde(rename = "IOMaximumBandwidth")]
    io_maximum_bandwidth: u64,
    masked_paths: &'static [&'static str],
    readonly_paths: &'static [&'static str],
}

#[derive(Serialize, Default)]
#[serde(rename_all = "PascalCase")]
struct LogConfig {
    r#type: &'static str,
    config: BTreeMap<(), ()>,
}

#[derive(Serialize, Default)]
#[serde(rename_all = "PascalCase")]
struct RestartPolicy {
    name: &'static str,
    maximum_retry_count: u32,
}

impl HostConfig {
    pub(super) fn of(world: &World, dialect: Dialect) -> Self {
        Self {
            log_config: LogConfig { r#type: "json-file", ..LogConfig::default() },
            network_mode: world.network.name,
            restart_policy: RestartPolicy { name: "no", maximum_retry_count: 0 },
            cgroupns_mode: "private",
            ipc_mode: "private",
            shm_size: 64 << 20,
            runtime: "runc",
            kernel_memory: dialect.until(42, 0),
            kernel_memory_tcp: dialect.until(42, 0),
            masked_paths: &[
                "/proc/asound",
                "/proc/acpi",
                "/proc/kcore",
                "/proc/keys",
                "/proc/latency_stats",
                "/proc/timer_list",
                "/proc/timer_stats",
                "/proc/sched_debug",
                "/proc/scsi",
                "/sys/firmware",
            ],
            readonly_paths: &[
                "/proc/bus",
                "/proc/fs",
                "/proc/irq",
                "/proc/sys",
                "/proc/sysrq-trigger",
            ],
            ..Self::default()
        }
    }
}

/// What a container runs (`ContainerConfig`).
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Config<'a> {
    hostname: &'a str,
    domainname: &'static str,
    user: &'static str,
    attach_stdin: bool,
    attach_stdout: bool,
    attach_stderr: bool,
    tty: bool,
    open_stdin: bool,
    stdin_once: bool,
    env: &'static [&'static str],
    cmd: &'static [&'static str],
    image: &'static str,
    volumes: (),
    working_dir: &'static str,
    entrypoint: (),
    /// Until 1.51.
    #[serde(skip_serializing_if = "Option::is_none")]
    on_build: Option<()>,
    labels: &'a BTreeMap<String, String>,
}

impl<'a> Config<'a> {
    pub(super) fn of(container: &'a Container, image: &Image, dialect: Dialect) -> Self {
        Self {
            hostname: &container.id[..12],
            domainname: "",
            user: "",
            attach_stdin: false,
            attach_stdout: false,
            attach_stderr: false,
            tty: false,
            open_stdin: false,
            stdin_once: false,
            env: image.env,
            cmd: image.command,
            image: image.name,
            volumes: (),
            working_dir: "",
            entrypoint: (),
            on_build: dialect.until(52, ()),
            labels: &container.labels,
        }
    }
}
