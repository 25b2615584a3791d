//! What may stand in a state file: the engine's own inspect JSON, as far as a simulated engine goes by it.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::super::clock::parse_rfc3339;
use super::super::config::Config;
use super::super::endpoint::Asked;
use super::super::faults::Fault;
use super::super::host_config::{HostConfig, PortBinding};
use super::super::networks::Ipam;
use super::super::process::Behaviour;

/// A whole state file.
#[derive(Deserialize, Default, Debug)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Document {
    pub(super) containers: Vec<Container>,
    /// Without it there is what is there from the beginning; with it there is what it says.
    pub(super) images: Option<Vec<Image>>,
    pub(super) networks: Vec<Network>,
    pub(super) volumes: Vec<Volume>,
    pub(super) faults: Vec<Fault>,
}

/// A moment, if it has come: Go's zero time is none.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Moment(pub(super) Option<Duration>);

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        // An image without a date has an empty one.
        let text = String::deserialize(from)?;
        if text.is_empty() || text.starts_with("0001-01-01T00:00:00") {
            return Ok(Self(None));
        }
        match parse_rfc3339(&text) {
            Some(moment) => Ok(Self(Some(moment))),
            None => Err(D::Error::custom(format!(
                "{text:?} is no time: write it as 2026-11-22T09:30:00.5Z, not before 1970"
            ))),
        }
    }
}

#[derive(Deserialize, Default, Debug)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Container {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) created: Moment,
    /// Stands in every answer of an engine: then the configuration is complete and takes nothing from the image.
    pub(super) path: String,
    pub(super) args: Vec<String>,
    pub(super) state: Option<State>,
    pub(super) image: String,
    pub(super) restart_count: u32,
    pub(super) host_config: HostConfig,
    pub(super) config: Config,
    pub(super) mounts: Option<Vec<Mount>>,
    pub(super) network_settings: NetworkSettings,
    pub(super) behaviour: Option<Arc<Behaviour>>,
}

#[derive(Deserialize, Default, Debug)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct State {
    pub(super) status: String,
    pub(super) running: bool,
    pub(super) paused: bool,
    pub(super) restarting: bool,
    #[serde(rename = "OOMKilled")]
    pub(super) oom_killed: bool,
    pub(super) dead: bool,
    pub(super) pid: u32,
    pub(super) exit_code: i32,
    pub(super) error: String,
    pub(super) started_at: Moment,
    pub(super) finished_at: Moment,
    pub(super) health: Option<Health>,
}

#[derive(Deserialize, Default, Debug)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Health {
    pub(super) status: String,
    pub(super) failing_streak: u32,
    pub(super) log: Vec<Probe>,
}

#[derive(Deserialize, Default, Debug)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Probe {
    pub(super) start: Moment,
    pub(super) end: Moment,
    pub(super) exit_code: i32,
    pub(super) output: String,
}

#[derive(Deserialize, Default, Debug)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Mount {
    pub(super) r#type: String,
    pub(super) name: String,
    pub(super) source: String,
    pub(super) destination: String,
    pub(super) mode: String,
    #[serde(rename = "RW")]
    pub(super) rw: Option<bool>,
    pub(super) propagation: String,
}

#[derive(Deserialize, Default, Debug)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct NetworkSettings {
    #[serde(rename = "SandboxID")]
    pub(super) sandbox_id: String,
    pub(super) ports: BTreeMap<String, Option<Vec<PortBinding>>>,
    pub(super) networks: BTreeMap<String, Endpoint>,
}

#[derive(Deserialize, Default, Debug)]
#[serde(default)]
pub(super) struct Endpoint {
    #[serde(flatten)]
    pub(super) asked: Asked,
    #[serde(rename = "NetworkID")]
    pub(super) network_id: String,
    #[serde(rename = "EndpointID")]
    pub(super) endpoint_id: String,
    #[serde(rename = "Gateway")]
    pub(super) gateway: String,
    #[serde(rename = "IPAddress")]
    pub(super) ip_address: String,
    #[serde(rename = "IPPrefixLen")]
    pub(super) ip_prefix_len: u8,
}

#[derive(Deserialize, Default, Debug)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Image {
    pub(super) id: String,
    pub(super) repo_tags: Vec<String>,
    pub(super) repo_digests: Vec<String>,
    pub(super) parent: String,
    pub(super) comment: String,
    pub(super) created: Moment,
    pub(super) container: String,
    pub(super) container_config: Option<Config>,
    pub(super) author: String,
    pub(super) config: Option<Config>,
    pub(super) size: Option<u64>,
    #[serde(rename = "RootFS")]
    pub(super) root_fs: RootFs,
    pub(super) metadata: Metadata,
    pub(super) behaviour: Option<Arc<Behaviour>>,
}

#[derive(Deserialize, Default, Debug)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct RootFs {
    pub(super) layers: Vec<String>,
}

#[derive(Deserialize, Default, Debug)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Metadata {
    pub(super) last_tag_time: Moment,
}

#[derive(Deserialize, Default, Debug)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Network {
    pub(super) name: String,
    pub(super) id: String,
    pub(super) created: Moment,
    pub(super) driver: String,
    #[serde(rename = "EnableIPv6")]
    pub(super) enable_ipv6: bool,
    #[serde(rename = "IPAM")]
    pub(super) ipam: Ipam,
    pub(super) internal: bool,
    pub(super) attachable: bool,
    pub(super) options: BTreeMap<String, String>,
    pub(super) labels: BTreeMap<String, String>,
}

#[derive(Deserialize, Default, Debug)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Volume {
    pub(super) name: String,
    pub(super) created_at: Moment,
    pub(super) driver: String,
    pub(super) labels: Option<BTreeMap<String, String>>,
    pub(super) options: Option<BTreeMap<String, String>>,
}

/// Without nulls, which mean to Go's programs that nothing is there; but in a behaviour they mean something.
pub(super) fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(key, value)| match &*key {
                    "Behaviour" => (key, value),
                    _ => (key, without_nulls(value)),
                })
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.into_iter().map(without_nulls).collect()),
        other => other,
    }
}
