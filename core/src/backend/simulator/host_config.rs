//! How a container uses its host (`HostConfig`): as its client wrote it, with the engine's defaults filled in.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::config::is_false;
use super::versions::Dialect;

type Texts = Option<Vec<String>>;
/// What is echoed and never looked into.
type Echo = Option<Vec<Value>>;

/// What is `None` is null, or left out where the engine leaves it out.
#[derive(Serialize, Deserialize, Clone, PartialEq, Default, Debug)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct HostConfig {
    pub(super) binds: Texts,
    #[serde(rename = "ContainerIDFile")]
    pub(super) container_id_file: String,
    pub(super) log_config: LogConfig,
    pub(super) network_mode: String,
    pub(super) port_bindings: Option<PortMap>,
    pub(super) restart_policy: RestartPolicy,
    pub(super) auto_remove: bool,
    pub(super) volume_driver: String,
    pub(super) volumes_from: Texts,
    pub(super) cap_add: Texts,
    pub(super) cap_drop: Texts,
    pub(super) cgroupns_mode: String,
    pub(super) dns: Texts,
    pub(super) dns_options: Texts,
    pub(super) dns_search: Texts,
    pub(super) extra_hosts: Texts,
    pub(super) group_add: Texts,
    pub(super) ipc_mode: String,
    pub(super) cgroup: String,
    #[serde(serialize_with = "null_if_none")]
    pub(super) links: Texts,
    pub(super) oom_score_adj: i64,
    pub(super) pid_mode: String,
    pub(super) privileged: bool,
    pub(super) publish_all_ports: bool,
    pub(super) readonly_rootfs: bool,
    pub(super) security_opt: Texts,
    #[serde(rename = "UTSMode")]
    pub(super) uts_mode: String,
    pub(super) userns_mode: String,
    pub(super) shm_size: i64,
    pub(super) runtime: String,
    pub(super) console_size: Option<Vec<u32>>,
    pub(super) isolation: String,
    pub(super) cpu_shares: i64,
    pub(super) memory: i64,
    pub(super) nano_cpus: i64,
    pub(super) cgroup_parent: String,
    pub(super) blkio_weight: u16,
    pub(super) blkio_weight_device: Echo,
    pub(super) blkio_device_read_bps: Echo,
    pub(super) blkio_device_write_bps: Echo,
    #[serde(rename = "BlkioDeviceReadIOps")]
    pub(super) blkio_device_read_iops: Echo,
    #[serde(rename = "BlkioDeviceWriteIOps")]
    pub(super) blkio_device_write_iops: Echo,
    pub(super) cpu_period: i64,
    pub(super) cpu_quota: i64,
    pub(super) cpu_realtime_period: i64,
    pub(super) cpu_realtime_runtime: i64,
    pub(super) cpuset_cpus: String,
    pub(super) cpuset_mems: String,
    pub(super) devices: Echo,
    pub(super) device_cgroup_rules: Texts,
    pub(super) device_requests: Echo,
    /// Until 1.41, as the next one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) kernel_memory: Option<i64>,
    #[serde(rename = "KernelMemoryTCP", skip_serializing_if = "Option::is_none")]
    pub(super) kernel_memory_tcp: Option<i64>,
    pub(super) memory_reservation: i64,
    pub(super) memory_swap: i64,
    pub(super) memory_swappiness: Option<i64>,
    pub(super) oom_kill_disable: Option<bool>,
    pub(super) pids_limit: Option<i64>,
    pub(super) ulimits: Echo,
    pub(super) cpu_count: i64,
    pub(super) cpu_percent: i64,
    #[serde(rename = "IOMaximumIOps")]
    pub(super) io_maximum_iops: u64,
    #[serde(rename = "IOMaximumBandwidth")]
    pub(super) io_maximum_bandwidth: u64,
    pub(super) masked_paths: Texts,
    pub(super) readonly_paths: Texts,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mounts: Option<Vec<MountSpec>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tmpfs: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) storage_opt: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sysctls: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) annotations: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) init: Option<bool>,
}

/// Container ports, such as `80/tcp`, and what they are published as.
pub(super) type PortMap = BTreeMap<String, Option<Vec<PortBinding>>>;

/// Where a port is published; empty where the engine chooses.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Default, Debug)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct PortBinding {
    pub(super) host_ip: String,
    pub(super) host_port: String,
}

#[derive(Serialize, Deserialize, Clone, PartialEq, Default, Debug)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct LogConfig {
    pub(super) r#type: String,
    config: BTreeMap<String, String>,
}

/// What happens when a container's process ends.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Default, Debug)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct RestartPolicy {
    pub(super) name: String,
    pub(super) maximum_retry_count: i64,
}

impl RestartPolicy {
    pub(super) fn is_none(&self) -> bool {
        matches!(&*self.name, "" | "no")
    }
}

/// One of `HostConfig.Mounts`.
#[derive(Serialize, Deserialize, Clone, PartialEq, Default, Debug)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct MountSpec {
    pub(super) r#type: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) source: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) target: String,
    #[serde(skip_serializing_if = "is_false")]
    pub(super) read_only: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    consistency: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bind_options: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) volume_options: Option<VolumeOptions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tmpfs_options: Option<Value>,
}

#[derive(Serialize, Deserialize, Clone, PartialEq, Default, Debug)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct VolumeOptions {
    #[serde(skip_serializing_if = "is_false")]
    no_copy: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    driver_config: Option<Value>,
}

const MASKED: [&str; 10] = [
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
];
const READ_ONLY: [&str; 5] =
    ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// An engine makes the list anew from the links that there are.
fn null_if_none<S: serde::Serializer>(texts: &Texts, serializer: S) -> Result<S::Ok, S::Error> {
    texts.as_ref().filter(|texts| !texts.is_empty()).serialize(serializer)
}

impl HostConfig {
    /// Fills in the engine's defaults.
    pub(super) fn complete(&mut self, dialect: Dialect) {
        let or = |own: &mut String, default: &str| {
            if own.is_empty() {
                own.push_str(default);
            }
        };
        or(&mut self.log_config.r#type, "json-file");
        or(&mut self.network_mode, "default");
        // The old engine runs on a host with the first version of control groups, where they are shared.
        or(&mut self.cgroupns_mode, if dialect.is_legacy() { "host" } else { "private" });
        or(&mut self.ipc_mode, "private");
        or(&mut self.runtime, "runc");
        if self.shm_size == 0 {
            self.shm_size = 64 << 20;
        }
        if self.memory > 0 && self.memory_swap == 0 {
            self.memory_swap = 2 * self.memory;
        }
        let unset = |number: i64| number != -1 && number != 0;
        self.memory_swappiness = self.memory_swappiness.filter(|number| unset(*number));
        self.pids_limit = self.pids_limit.filter(|number| unset(*number));
        self.console_size.get_or_insert_with(|| Vec::from([0, 0]));
        let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
        if !self.privileged {
            self.masked_paths.get_or_insert_with(|| texts(&MASKED));
            self.readonly_paths.get_or_insert_with(|| texts(&READ_ONLY));
        }
    }

    /// With the fields that one version has and another has not.
    pub(super) fn shown(&self, dialect: Dialect) -> Self {
        let mut shown = self.clone();
        shown.kernel_memory = dialect.until(42, self.kernel_memory.unwrap_or(0));
        shown.kernel_memory_tcp = dialect.until(42, self.kernel_memory_tcp.unwrap_or(0));
        if dialect.is_legacy() {
            shown.oom_kill_disable.get_or_insert(false);
        }
        shown
    }

    /// The network that it is on in the beginning.
    pub(super) fn network(&self) -> &str {
        match &*self.network_mode {
            "" | "default" => "bridge",
            name => name,
        }
    }
}
