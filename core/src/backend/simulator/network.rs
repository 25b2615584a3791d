//! How a container's network looks to clients.

use alloc::string::{String, ToString};
use serde::Serialize;

use super::container::{Container, State};
use super::versions::Dialect;
use super::world::Network;

/// A container's place on one network (`EndpointSettings`). Its addresses are empty while it does not run.
#[derive(Serialize)]
pub(super) struct EndpointSettings<'a> {
    #[serde(rename = "IPAMConfig")]
    ipam_config: (),
    #[serde(rename = "Links")]
    links: (),
    #[serde(rename = "Aliases")]
    aliases: (),
    #[serde(rename = "NetworkID")]
    network_id: &'a str,
    #[serde(rename = "EndpointID")]
    pub(super) endpoint_id: &'a str,
    #[serde(rename = "Gateway")]
    pub(super) gateway: String,
    #[serde(rename = "IPAddress")]
    pub(super) ip_address: String,
    #[serde(rename = "IPPrefixLen")]
    pub(super) ip_prefix_len: u8,
    #[serde(rename = "IPv6Gateway")]
    ipv6_gateway: &'static str,
    #[serde(rename = "GlobalIPv6Address")]
    global_ipv6_address: &'static str,
    #[serde(rename = "GlobalIPv6PrefixLen")]
    global_ipv6_prefix_len: u8,
    #[serde(rename = "MacAddress")]
    pub(super) mac_address: String,
    #[serde(rename = "DriverOpts")]
    driver_opts: (),
    /// Since 1.48.
    #[serde(rename = "GwPriority", skip_serializing_if = "Option::is_none")]
    gw_priority: Option<i64>,
    /// Since 1.44. The default bridge resolves no names.
    #[serde(rename = "DNSNames", skip_serializing_if = "Option::is_none")]
    dns_names: Option<()>,
}

impl<'a> EndpointSettings<'a> {
    pub(super) fn of(container: &'a Container, network: &'a Network, dialect: Dialect) -> Self {
        let mut settings = Self {
            ipam_config: (),
            links: (),
            aliases: (),
            network_id: &network.id,
            endpoint_id: "",
            gateway: String::new(),
            ip_address: String::new(),
            ip_prefix_len: 0,
            ipv6_gateway: "",
            global_ipv6_address: "",
            global_ipv6_prefix_len: 0,
            mac_address: String::new(),
            driver_opts: (),
            gw_priority: dialect.since(48, 0),
            dns_names: dialect.since(44, ()),
        };
        if container.state == State::Created {
            settings.network_id = "";
        }
        if container.state.is_running() {
            settings.endpoint_id = &container.endpoint.id;
            settings.gateway = network.gateway.to_string();
            settings.ip_address = container.endpoint.address.to_string();
            settings.ip_prefix_len = network.prefix;
            settings.mac_address = container.endpoint.mac();
        }
        settings
    }
}
