//! How a container is attached to a network, and how that looks to clients (`EndpointSettings`).

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::Ipv4Addr;
use serde::{Deserialize, Serialize};

use super::container::Container;
use super::networks::Network;
use super::versions::Dialect;
use super::world::World;

/// A container's place on one network.
#[derive(Clone)]
pub(super) struct Endpoint {
    /// The network's name.
    pub(super) network: Arc<str>,
    /// What the client asked for, if it asked for anything.
    pub(super) asked: Option<Box<Asked>>,
    /// While it runs.
    pub(super) joined: Option<Joined>,
    /// It has been on the network before, which the engine remembers.
    pub(super) was_joined: bool,
}

/// What a container has of a network while it runs.
#[derive(Clone)]
pub(super) struct Joined {
    pub(super) id: Arc<str>,
    /// `None` on a network without addresses.
    pub(super) address: Option<Ipv4Addr>,
}

/// What a client may ask for in `EndpointsConfig` and `connect`.
#[derive(Serialize, Deserialize, Clone, PartialEq, Default, Debug)]
#[serde(default)]
pub(super) struct Asked {
    #[serde(rename = "IPAMConfig")]
    pub(super) ipam_config: Option<AskedAddress>,
    #[serde(rename = "Links")]
    pub(super) links: Option<Vec<String>>,
    #[serde(rename = "Aliases")]
    pub(super) aliases: Option<Vec<String>>,
    #[serde(rename = "MacAddress")]
    pub(super) mac_address: String,
    #[serde(rename = "DriverOpts")]
    pub(super) driver_opts: Option<BTreeMap<String, String>>,
}

/// The addresses that a client chooses (`EndpointIPAMConfig`).
#[derive(Serialize, Deserialize, Clone, PartialEq, Default, Debug)]
#[serde(default)]
pub(super) struct AskedAddress {
    #[serde(rename = "IPv4Address", skip_serializing_if = "String::is_empty")]
    pub(super) ipv4: String,
    #[serde(rename = "IPv6Address", skip_serializing_if = "String::is_empty")]
    pub(super) ipv6: String,
    #[serde(rename = "LinkLocalIPs", skip_serializing_if = "Vec::is_empty")]
    link_local: Vec<String>,
}

impl Endpoint {
    pub(super) fn new(network: Arc<str>, asked: Option<Box<Asked>>) -> Self {
        Self { network, asked, joined: None, was_joined: false }
    }

    pub(super) fn address(&self) -> Option<Ipv4Addr> {
        self.joined.as_ref()?.address
    }

    /// The client's, or else the one that the engine derives from the address.
    pub(super) fn mac(&self) -> String {
        match (&self.asked, self.address()) {
            (Some(asked), Some(_)) if !asked.mac_address.is_empty() => asked.mac_address.clone(),
            (_, Some(address)) => mac_of(address),
            (_, None) => String::new(),
        }
    }
}

/// The address of a card that the engine derives from the one that it has on its network.
pub(super) fn mac_of(address: Ipv4Addr) -> String {
    let [a, b, c, d] = address.octets();
    format!("02:42:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
}

/// A container's place on one network (`EndpointSettings`). Its addresses are empty while it does not run.
#[derive(Serialize)]
pub(super) struct EndpointSettings<'a> {
    #[serde(rename = "IPAMConfig")]
    ipam_config: Option<&'a AskedAddress>,
    #[serde(rename = "Links")]
    links: Option<&'a [String]>,
    #[serde(rename = "Aliases")]
    aliases: Option<Vec<&'a str>>,
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
    driver_opts: Option<&'a BTreeMap<String, String>>,
    /// Since 1.48.
    #[serde(rename = "GwPriority", skip_serializing_if = "Option::is_none")]
    gw_priority: Option<i64>,
    /// Since 1.44. The default bridge resolves no names.
    #[serde(rename = "DNSNames", skip_serializing_if = "Option::is_none")]
    dns_names: Option<Option<Vec<&'a str>>>,
}

impl<'a> EndpointSettings<'a> {
    /// All of a container's, by the networks' names.
    pub(super) fn all(
        container: &'a Container,
        world: &'a World,
        dialect: Dialect,
    ) -> BTreeMap<&'a str, Self> {
        let settings = |endpoint: &'a Endpoint| {
            let network = world.networks.named(&endpoint.network);
            (&*endpoint.network, Self::of(container, endpoint, network, dialect))
        };
        container.endpoints.iter().map(settings).collect()
    }

    /// As [`all`](Self::all), with as much as a list shows of them.
    pub(super) fn listed(
        container: &'a Container,
        world: &'a World,
        dialect: Dialect,
    ) -> BTreeMap<&'a str, Self> {
        let mut all = Self::all(container, world, dialect);
        for settings in all.values_mut() {
            (settings.links, settings.aliases, settings.driver_opts) = (None, None, None);
            settings.dns_names = settings.dns_names.as_ref().map(|_| None);
        }
        all
    }

    fn of(
        container: &'a Container,
        endpoint: &'a Endpoint,
        network: Option<&'a Network>,
        dialect: Dialect,
    ) -> Self {
        let asked = endpoint.asked.as_deref();
        let user_defined = network.is_some_and(|network| !network.is_predefined());
        let own = asked.and_then(|asked| asked.aliases.as_deref()).unwrap_or_default();
        let own = own.iter().map(String::as_str);
        let names = || {
            let mut names: Vec<&str> = own.clone().collect();
            names.push(container.short_id());
            names
        };
        let joined = endpoint.joined.as_ref();
        // The old engine added the short id to a container's aliases, the new one keeps both apart.
        let aliases = match dialect.before(45) {
            true => (user_defined && endpoint.was_joined).then(names),
            false => asked.and_then(|asked| asked.aliases.as_ref()).map(|_| own.clone().collect()),
        };
        let dns_names = (user_defined && joined.is_some()).then(|| {
            let mut dns = Vec::from([&*container.name]);
            dns.extend(names());
            dns
        });
        let mut settings = Self {
            ipam_config: asked.and_then(|asked| asked.ipam_config.as_ref()),
            links: asked.and_then(|asked| asked.links.as_deref()),
            aliases: aliases.or_else(|| {
                asked.and_then(|asked| asked.aliases.as_ref()).map(|_| own.clone().collect())
            }),
            network_id: "",
            endpoint_id: "",
            gateway: String::new(),
            ip_address: String::new(),
            ip_prefix_len: 0,
            ipv6_gateway: "",
            global_ipv6_address: "",
            global_ipv6_prefix_len: 0,
            mac_address: match asked {
                Some(asked) if !endpoint.was_joined => asked.mac_address.clone(),
                _ => String::new(),
            },
            driver_opts: asked.and_then(|asked| asked.driver_opts.as_ref()),
            gw_priority: dialect.since(48, 0),
            dns_names: dialect.since(44, dns_names),
        };
        let Some(network) = network else { return settings };
        if endpoint.was_joined {
            settings.network_id = &network.id;
        }
        if let Some(joined) = joined {
            settings.endpoint_id = &joined.id;
            if let (Some(address), Some(subnet)) = (joined.address, &network.subnet) {
                if !network.internal {
                    settings.gateway = subnet.gateway.to_string();
                }
                settings.ip_address = address.to_string();
                settings.ip_prefix_len = subnet.prefix;
                settings.mac_address = endpoint.mac();
            }
        }
        settings
    }
}
