//! The networks of the engine: their subnets, the addresses they give out, and the host's ports.

use alloc::collections::btree_map::Entry;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::Ipv4Addr;
use core::time::Duration;
use serde::{Deserialize, Serialize};

use super::container::Serial;
use super::failures::{conflict, forbidden, invalid, not_found, system};
use super::world::{World, hex_id};
use crate::job::Failure;

/// All networks, in the order they were made.
pub(super) struct Networks {
    pub(super) all: Vec<Network>,
    /// The host's ports that are published, by protocol.
    ports: BTreeMap<(Protocol, u16), Serial>,
    /// Where the search for a free one goes on.
    next_port: u16,
}

/// What a port speaks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

impl Protocol {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

/// A container's port that the host has published.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Published {
    pub(super) private: u16,
    pub(super) protocol: Protocol,
    pub(super) host_ip: String,
    pub(super) public: u16,
}

/// A network with at most one IPv4 subnet.
pub(super) struct Network {
    pub(super) name: Arc<str>,
    pub(super) id: String,
    pub(super) created: Duration,
    pub(super) driver: String,
    pub(super) ipam: Ipam,
    pub(super) internal: bool,
    pub(super) attachable: bool,
    pub(super) enable_ipv6: bool,
    pub(super) options: BTreeMap<String, String>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) subnet: Option<Subnet>,
    /// The containers that are attached now.
    pub(super) members: BTreeSet<Serial>,
}

/// How addresses are given out, as clients write it and read it.
#[derive(Serialize, Deserialize, Clone, Default, Debug)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Ipam {
    pub(super) driver: String,
    pub(super) options: Option<BTreeMap<String, String>>,
    pub(super) config: Option<Vec<Pool>>,
}

/// One subnet of a network (`IPAMConfig`).
#[derive(Serialize, Deserialize, Clone, Default, Debug)]
#[serde(default)]
pub(super) struct Pool {
    #[serde(rename = "Subnet", skip_serializing_if = "String::is_empty")]
    pub(super) subnet: String,
    #[serde(rename = "IPRange", skip_serializing_if = "String::is_empty")]
    pub(super) ip_range: String,
    #[serde(rename = "Gateway", skip_serializing_if = "String::is_empty")]
    pub(super) gateway: String,
    #[serde(rename = "AuxiliaryAddresses", skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) auxiliary: BTreeMap<String, String>,
}

/// The addresses of a network.
pub(super) struct Subnet {
    pub(super) base: u32,
    pub(super) prefix: u8,
    pub(super) gateway: Ipv4Addr,
    taken: BTreeSet<u32>,
    /// Nothing below it is free.
    lowest: u32,
}

impl Subnet {
    fn new(base: u32, prefix: u8, gateway: Option<Ipv4Addr>) -> Self {
        let gateway = gateway.unwrap_or_else(|| Ipv4Addr::from(base + 1));
        Self { base, prefix, gateway, taken: BTreeSet::from([gateway.into()]), lowest: base + 1 }
    }

    /// The broadcast address.
    fn last(&self) -> u32 {
        self.base | (u32::MAX.checked_shr(self.prefix.into()).unwrap_or(0))
    }

    /// How many addresses are in use, the gateway's included.
    #[cfg(test)]
    pub(super) fn taken(&self) -> usize {
        self.taken.len()
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.base <= other.last() && other.base <= self.last()
    }

    fn holds(&self, address: Ipv4Addr) -> bool {
        (self.base..=self.last()).contains(&address.into())
    }

    /// The lowest free address.
    fn give(&mut self) -> Option<Ipv4Addr> {
        let last = self.last();
        while self.lowest < last && self.taken.contains(&self.lowest) {
            self.lowest += 1;
        }
        (self.lowest < last).then(|| {
            self.taken.insert(self.lowest);
            Ipv4Addr::from(self.lowest)
        })
    }

    fn take_back(&mut self, address: Ipv4Addr) {
        let address = u32::from(address);
        self.taken.remove(&address);
        self.lowest = self.lowest.min(address);
    }
}

impl Network {
    pub(super) fn is_predefined(&self) -> bool {
        matches!(&*self.name, "bridge" | "host" | "none")
    }
}

/// What `POST /networks/create` asks for.
#[derive(Deserialize, Default, Debug)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct NewNetwork {
    pub(super) name: String,
    pub(super) driver: String,
    pub(super) internal: bool,
    pub(super) attachable: bool,
    #[serde(rename = "EnableIPv6")]
    pub(super) enable_ipv6: bool,
    #[serde(rename = "IPAM")]
    pub(super) ipam: Option<Ipam>,
    pub(super) options: BTreeMap<String, String>,
    pub(super) labels: BTreeMap<String, String>,
}

/// The host's ports that are given to those who do not choose, as Linux does.
const EPHEMERAL: u16 = 32768;

impl Networks {
    pub(super) fn new(now: Duration, random: &mut fastrand::Rng) -> Self {
        let mut make = |name: &str, driver: &str, subnet: Option<Subnet>| {
            let config = subnet.as_ref().map(|subnet| Pool {
                subnet: format!("{}/{}", Ipv4Addr::from(subnet.base), subnet.prefix),
                gateway: subnet.gateway.to_string(),
                ..Pool::default()
            });
            let options = match name {
                "bridge" => [
                    ("com.docker.network.bridge.default_bridge", "true"),
                    ("com.docker.network.bridge.enable_icc", "true"),
                    ("com.docker.network.bridge.enable_ip_masquerade", "true"),
                    ("com.docker.network.bridge.host_binding_ipv4", "0.0.0.0"),
                    ("com.docker.network.bridge.name", "docker0"),
                    ("com.docker.network.driver.mtu", "1500"),
                ]
                .map(|(key, value)| (key.to_string(), value.to_string()))
                .into(),
                _ => BTreeMap::new(),
            };
            Network {
                name: name.into(),
                id: hex_id(random),
                created: now,
                driver: driver.into(),
                ipam: Ipam {
                    driver: "default".into(),
                    options: None,
                    config: Some(config.into_iter().collect()),
                },
                internal: false,
                attachable: false,
                enable_ipv6: false,
                options,
                labels: BTreeMap::new(),
                subnet,
                members: BTreeSet::new(),
            }
        };
        let bridge = Subnet::new(u32::from(Ipv4Addr::new(172, 17, 0, 0)), 16, None);
        let all = Vec::from([
            make("bridge", "bridge", Some(bridge)),
            make("host", "host", None),
            make("none", "null", None),
        ]);
        Self { all, ports: BTreeMap::new(), next_port: EPHEMERAL }
    }

    /// Takes the default network away, as `dockerd --bridge none` has none.
    pub(super) fn remove_bridge(&mut self) {
        self.all.retain(|network| &*network.name != "bridge");
    }

    /// Whether a network is the default one, and that is not there.
    pub(super) fn is_missing_bridge(&self, name: &str) -> bool {
        name == "bridge" && self.named(name).is_none()
    }

    pub(super) fn named(&self, name: &str) -> Option<&Network> {
        self.all.iter().find(|network| &*network.name == name)
    }

    pub(super) fn named_mut(&mut self, name: &str) -> Option<&mut Network> {
        self.all.iter_mut().find(|network| &*network.name == name)
    }

    /// The network that a client means by its name, its id or the beginning of it.
    pub(super) fn find(&self, wanted: &str) -> Result<&Network, Failure> {
        let exact = self.all.iter().find(|network| network.id == wanted);
        if let Some(network) = exact.or_else(|| self.named(wanted)) {
            return Ok(network);
        }
        let mut found =
            self.all.iter().filter(|network| !wanted.is_empty() && network.id.starts_with(wanted));
        match (found.next(), found.next()) {
            (Some(only), None) => Ok(only),
            (Some(_), Some(_)) => Err(invalid(format!(
                "network {wanted} is ambiguous (2 matches found based on ID prefix)"
            ))),
            (None, _) => Err(not_found(format!("network {wanted} not found"))),
        }
    }

    /// Attaches a container: gives it an address, the one it asked for or the lowest that is free.
    pub(super) fn join(
        &mut self,
        name: &str,
        container: Serial,
        wanted: Option<Ipv4Addr>,
    ) -> Result<Option<Ipv4Addr>, Failure> {
        let Some(network) = self.named_mut(name) else {
            return Err(not_found(format!("network {name} not found")));
        };
        let id = network.id.clone();
        let address = match (&mut network.subnet, wanted) {
            (None, _) => None,
            (Some(subnet), Some(address)) => {
                if !subnet.holds(address) {
                    return Err(invalid(format!(
                        "Invalid address {address}: It does not belong to any of this network's subnets"
                    )));
                }
                if !subnet.taken.insert(address.into()) {
                    return Err(forbidden("Address already in use"));
                }
                Some(address)
            }
            (Some(subnet), None) => match subnet.give() {
                Some(address) => Some(address),
                None => {
                    return Err(system(format!(
                        "no available IPv4 addresses on this network's address pools: {name} ({id})"
                    )));
                }
            },
        };
        network.members.insert(container);
        Ok(address)
    }

    /// Detaches a container.
    pub(super) fn leave(&mut self, name: &str, container: Serial, address: Option<Ipv4Addr>) {
        if let Some(network) = self.named_mut(name) {
            network.members.remove(&container);
            if let (Some(subnet), Some(address)) = (&mut network.subnet, address) {
                subnet.take_back(address);
            }
        }
    }

    /// Publishes a port, at the one asked for or at a free one; the public port, or `None` if it is taken.
    pub(super) fn publish(
        &mut self,
        owner: Serial,
        protocol: Protocol,
        wanted: u16,
    ) -> Option<u16> {
        if wanted != 0 {
            let free = !self.ports.contains_key(&(protocol, wanted));
            return free.then(|| {
                self.ports.insert((protocol, wanted), owner);
                wanted
            });
        }
        for _ in EPHEMERAL..60999 {
            let port = self.next_port;
            self.next_port = if port >= 60998 { EPHEMERAL } else { port + 1 };
            if let Entry::Vacant(free) = self.ports.entry((protocol, port)) {
                free.insert(owner);
                return Some(port);
            }
        }
        None
    }

    /// How many of the host's ports are published.
    #[cfg(test)]
    pub(super) fn published(&self) -> usize {
        self.ports.len()
    }

    pub(super) fn unpublish(&mut self, published: &[Published]) {
        for port in published {
            self.ports.remove(&(port.protocol, port.public));
        }
    }

    /// The next of the engine's own subnets that overlaps with none in use.
    fn free_subnet(&self) -> Option<Subnet> {
        self.free_subnets().next()
    }

    fn free_subnets(&self) -> impl Iterator<Item = Subnet> {
        let sixteens = (17..32).map(|second| (Ipv4Addr::new(172, second, 0, 0), 16));
        let twenties = (0..16).map(|third| (Ipv4Addr::new(192, 168, third * 16, 0), 20));
        sixteens
            .chain(twenties)
            .map(|(base, prefix)| Subnet::new(base.into(), prefix, None))
            .filter(|subnet| !self.overlaps(subnet))
    }

    /// Gives the default bridge another subnet if it has this one and nobody is on it.
    pub(super) fn move_bridge_from(&mut self, wanted: &Subnet) {
        let Some(bridge) = self.named_mut("bridge") else { return };
        let overlaps = bridge.subnet.as_ref().is_some_and(|subnet| subnet.overlaps(wanted));
        if !overlaps || !bridge.members.is_empty() {
            return;
        }
        let free = self.free_subnets().find(|subnet| !subnet.overlaps(wanted));
        if let (Some(bridge), Some(subnet)) = (self.named_mut("bridge"), free) {
            bridge.ipam.config = Some(Vec::from([Pool {
                subnet: format!("{}/{}", Ipv4Addr::from(subnet.base), subnet.prefix),
                gateway: subnet.gateway.to_string(),
                ..Pool::default()
            }]));
            bridge.subnet = Some(subnet);
        }
    }

    fn overlaps(&self, subnet: &Subnet) -> bool {
        self.all
            .iter()
            .filter_map(|network| network.subnet.as_ref())
            .any(|old| old.overlaps(subnet))
    }
}

impl World {
    /// Makes a network; returns its id.
    pub(super) fn create_network(&mut self, new: NewNetwork) -> Result<String, Failure> {
        let NewNetwork { name, driver, internal, attachable, enable_ipv6, ipam, options, labels } =
            new;
        if name.trim().is_empty() {
            return Err(invalid("invalid name: name is empty"));
        }
        if matches!(&*name, "bridge" | "host" | "none" | "default") {
            return Err(forbidden(format!(
                "operation is not permitted on predefined {name} network "
            )));
        }
        if self.networks.named(&name).is_some() {
            return Err(conflict(format!("network with name {name} already exists")));
        }
        let driver = if driver.is_empty() { String::from("bridge") } else { driver };
        match &*driver {
            "bridge" | "macvlan" | "ipvlan" => {}
            "host" | "null" => {
                return Err(forbidden(format!(
                    "only one instance of \"{driver}\" network is allowed"
                )));
            }
            "overlay" => {
                return Err(Failure::new(
                    crate::job::FailureKind::Unavailable,
                    "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect \
                     this node to swarm and try again.",
                ));
            }
            _ => return Err(not_found(format!("plugin \"{driver}\" not found"))),
        }
        let mut ipam = ipam.unwrap_or_default();
        // What is of IPv6 is shown again, and no addresses are given of it.
        let (ipv6, ipv4): (Vec<Pool>, Vec<Pool>) = ipam
            .config
            .take()
            .unwrap_or_default()
            .into_iter()
            .partition(|pool| pool.subnet.contains(':'));
        let asked = ipv4.into_iter().next();
        let subnet = match asked.as_ref().filter(|pool| !pool.subnet.is_empty()) {
            Some(pool) => parse_subnet(pool)?,
            None => self.networks.free_subnet().ok_or_else(|| {
                not_found("could not find an available, non-overlapping IPv4 address pool among the defaults to assign \
                           to the network")
            })?,
        };
        if self.networks.overlaps(&subnet) {
            return Err(forbidden("Pool overlaps with other one on this address space"));
        }
        let pool = Pool {
            subnet: format!("{}/{}", Ipv4Addr::from(subnet.base), subnet.prefix),
            gateway: subnet.gateway.to_string(),
            ..asked.unwrap_or_default()
        };
        if ipam.driver.is_empty() {
            ipam.driver.push_str("default");
        }
        ipam.config = Some([pool].into_iter().chain(ipv6).collect());
        let id = self.hex_id().to_string();
        self.emit("network", "create", &id, &[("name", &name), ("type", &driver)]);
        self.networks.all.push(Network {
            name: name.into(),
            id: id.clone(),
            created: self.now,
            driver,
            ipam,
            internal,
            attachable,
            enable_ipv6,
            options,
            labels,
            subnet: Some(subnet),
            members: BTreeSet::new(),
        });
        Ok(id)
    }

    pub(super) fn delete_network(&mut self, wanted: &str) -> Result<(), Failure> {
        let network = self.networks.find(wanted)?;
        let (name, id, driver) =
            (Arc::clone(&network.name), network.id.clone(), network.driver.clone());
        if network.is_predefined() {
            return Err(forbidden(format!(
                "{name} is a pre-defined network and cannot be removed"
            )));
        }
        if !network.members.is_empty() {
            return Err(forbidden(format!(
                "error while removing network: network {name} id {id} has active endpoints"
            )));
        }
        self.networks.all.retain(|network| network.id != id);
        self.emit("network", "destroy", &id, &[("name", &name), ("type", &driver)]);
        Ok(())
    }

    /// Says that a container was attached to a network, or detached from it.
    pub(super) fn emit_attachment(&mut self, action: &'static str, network: &str, container: &str) {
        let Some(network) = self.networks.named(network) else { return };
        let (id, name, driver) =
            (network.id.clone(), Arc::clone(&network.name), network.driver.clone());
        let attributes = [("container", container), ("name", &*name), ("type", &*driver)];
        self.emit("network", action, &id, &attributes);
    }
}

pub(super) fn parse_subnet(pool: &Pool) -> Result<Subnet, Failure> {
    let refused =
        || invalid(format!("Invalid subnet {0} : invalid CIDR address: {0}", pool.subnet));
    let (base, prefix) = pool.subnet.split_once('/').ok_or_else(refused)?;
    let base: Ipv4Addr = base.parse().map_err(|_| refused())?;
    let prefix: u8 =
        prefix.parse().ok().filter(|prefix| (1..=30).contains(prefix)).ok_or_else(refused)?;
    let mask = u32::MAX << (32 - u32::from(prefix));
    let gateway = match &*pool.gateway {
        "" => None,
        text => Some(text.parse().map_err(|_| invalid(format!("invalid gateway address {text}")))?),
    };
    Ok(Subnet::new(u32::from(base) & mask, prefix, gateway))
}

/// Reads `80`, `80/tcp`.
pub(super) fn parse_port(text: &str) -> Result<(u16, Protocol), Failure> {
    let (port, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = match protocol {
        "tcp" | "TCP" | "" => Protocol::Tcp,
        "udp" | "UDP" => Protocol::Udp,
        "sctp" | "SCTP" => Protocol::Sctp,
        _ => return Err(invalid(format!("Invalid proto: {protocol}"))),
    };
    let port =
        port.parse().map_err(|_| invalid(format!("invalid port specification: \"{port}\"")))?;
    Ok((port, protocol))
}

#[cfg(test)]
mod tests {
    use super::super::world::tests::world;
    use super::{NewNetwork, Protocol, parse_port};
    use alloc::string::{String, ToString};
    use core::net::Ipv4Addr;

    fn new(name: &str, json: serde_json::Value) -> NewNetwork {
        let mut new: NewNetwork = serde_json::from_value(json).unwrap();
        new.name = name.into();
        new
    }

    #[test]
    fn networks_get_subnets_of_their_own() {
        let mut world = world(&[]);
        for name in ["n1", "n2"] {
            world.create_network(new(name, serde_json::json!({}))).unwrap();
        }
        let pool = |name| {
            world.networks.named(name).unwrap().ipam.config.as_ref().unwrap()[0].subnet.clone()
        };
        assert_eq!((pool("n1"), pool("n2")), ("172.18.0.0/16".into(), "172.19.0.0/16".into()));
    }

    #[test]
    fn refusals_are_those_of_the_engine() {
        let mut world = world(&[]);
        world.create_network(new("n1", serde_json::json!({}))).unwrap();
        let pool = serde_json::json!({"IPAM": {"Config": [{"Subnet": "172.18.5.0/24"}]}});
        for (name, asked, message) in [
            ("n1", serde_json::json!({}), "network with name n1 already exists"),
            (
                "host",
                serde_json::json!({}),
                "operation is not permitted on predefined host network ",
            ),
            ("m1", serde_json::json!({"Driver": "nosuch"}), "plugin \"nosuch\" not found"),
            ("m1", pool, "Pool overlaps with other one on this address space"),
        ] {
            let failure = world.create_network(new(name, asked)).unwrap_err();
            assert_eq!(failure.message, message);
        }
        let message = |wanted: &str, world: &mut super::World| {
            world.delete_network(wanted).unwrap_err().message.to_string()
        };
        assert_eq!(
            message("host", &mut world),
            "host is a pre-defined network and cannot be removed"
        );
        assert_eq!(message("nosuch", &mut world), "network nosuch not found");
        assert_eq!(world.delete_network("n1"), Ok(()));
    }

    #[test]
    fn addresses_are_the_lowest_that_are_free() {
        let mut world = world(&[]);
        let mut join =
            |serial, wanted| world.networks.join("bridge", serial, wanted).unwrap().unwrap();
        let at = |last| Ipv4Addr::new(172, 17, 0, last);
        assert_eq!((join(1, None), join(2, None)), (at(2), at(3)));
        assert_eq!(join(3, Some(at(9))), at(9));
        world.networks.leave("bridge", 1, Some(at(2)));
        assert_eq!(world.networks.join("bridge", 4, None), Ok(Some(at(2))));
        let taken = world.networks.join("bridge", 5, Some(at(9))).unwrap_err();
        assert_eq!(taken.message, "Address already in use");
    }

    #[test]
    fn a_published_port_is_taken() {
        let mut world = world(&[]);
        let mut publish = |wanted| world.networks.publish(1, Protocol::Tcp, wanted);
        assert_eq!((publish(8080), publish(8080)), (Some(8080), None));
        assert_eq!((publish(0), publish(0)), (Some(32768), Some(32769)));
        assert_eq!(parse_port("53/udp"), Ok((53, Protocol::Udp)));
        let refused = parse_port("80/xyz").unwrap_err().message;
        assert_eq!(String::from(refused), "Invalid proto: xyz");
    }
}
