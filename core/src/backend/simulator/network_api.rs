//! The requests about networks.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use super::body;
use super::clock::Rfc3339;
use super::endpoint::{Asked, Endpoint};
use super::failures::{conflict, forbidden, invalid, system};
use super::filters::{Filters, invalid as invalid_filter};
use super::networks::{Ipam, Network, NewNetwork};
use super::versions::Dialect;
use super::world::World;
use crate::job::{Body, Failure, Job};

/// A network, as clients see it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Shown<'a> {
    name: &'a str,
    id: &'a str,
    created: Rfc3339,
    scope: &'static str,
    driver: &'a str,
    #[serde(rename = "EnableIPv4", skip_serializing_if = "Option::is_none")]
    enable_ipv4: Option<bool>,
    #[serde(rename = "EnableIPv6")]
    enable_ipv6: bool,
    #[serde(rename = "IPAM")]
    ipam: &'a Ipam,
    internal: bool,
    attachable: bool,
    ingress: bool,
    config_from: ConfigFrom,
    config_only: bool,
    containers: BTreeMap<&'a str, Member<'a>>,
    options: &'a BTreeMap<String, String>,
    labels: &'a BTreeMap<String, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ConfigFrom {
    network: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Member<'a> {
    name: &'a str,
    #[serde(rename = "EndpointID")]
    endpoint_id: &'a str,
    mac_address: String,
    #[serde(rename = "IPv4Address")]
    ipv4_address: String,
    #[serde(rename = "IPv6Address")]
    ipv6_address: &'static str,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Connect {
    container: String,
    force: bool,
    endpoint_config: Option<Asked>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Created<'a> {
    id: &'a str,
    warning: &'static str,
}

const KNOWN: [&str; 7] = ["dangling", "driver", "id", "label", "name", "scope", "type"];

impl<'a> Shown<'a> {
    /// A list does not say who is attached.
    pub(super) fn of(
        network: &'a Network,
        world: &'a World,
        members: bool,
        dialect: Dialect,
    ) -> Self {
        let member = |serial: &u64| {
            let container = world.containers.get(*serial)?;
            let endpoint = container.endpoints.iter().find(|e| e.network == network.name)?;
            let prefix = network.subnet.as_ref().map_or(0, |subnet| subnet.prefix);
            let address = endpoint.address().map(|address| format!("{address}/{prefix}"));
            let member = Member {
                name: &container.name,
                endpoint_id: endpoint.joined.as_ref().map_or("", |joined| &joined.id),
                mac_address: endpoint.mac(),
                ipv4_address: address.unwrap_or_default(),
                ipv6_address: "",
            };
            Some((&*container.id, member))
        };
        Self {
            name: &network.name,
            id: &network.id,
            created: Rfc3339(network.created),
            scope: "local",
            driver: &network.driver,
            enable_ipv4: dialect.since(47, true),
            enable_ipv6: network.enable_ipv6,
            ipam: &network.ipam,
            internal: network.internal,
            attachable: network.attachable,
            ingress: false,
            config_from: ConfigFrom { network: "" },
            config_only: false,
            containers: match members {
                true => network.members.iter().filter_map(member).collect(),
                false => BTreeMap::new(),
            },
            options: &network.options,
            labels: &network.labels,
        }
    }
}

/// The networks that a list shows.
fn select<'w>(
    world: &'w World,
    filters: &Filters,
    dialect: Dialect,
) -> Result<Vec<&'w Network>, Failure> {
    filters.only(&KNOWN, dialect)?;
    let dangling = filters.boolean("dangling", dialect)?;
    if let Some(kind) = filters.values("type").find(|kind| !matches!(*kind, "custom" | "builtin")) {
        return Err(invalid_filter("type", Some(kind), dialect));
    }
    let some = |key: &str, is: &dyn Fn(&str) -> bool| {
        filters.get(key).is_none_or(|values| values.is_empty() || values.iter().any(|v| is(v)))
    };
    let all = world.networks.all.iter().filter(|network| {
        some("name", &|name| network.name.contains(name))
            && some("id", &|id| network.id.starts_with(id))
            && some("driver", &|driver| network.driver == driver)
            && some("scope", &|scope| scope == "local")
            && some("type", &|kind| (kind == "builtin") == network.is_predefined())
            && dangling.is_none_or(|dangling| {
                dangling == (network.members.is_empty() && !network.is_predefined())
            })
            && super::prune::labels_match(filters, Some(&network.labels))
    });
    Ok(all.collect())
}

pub(super) fn answer(
    world: &mut World,
    name: &str,
    job: &Job,
    body: &[u8],
    dialect: Dialect,
) -> Result<Option<Body>, Failure> {
    let wanted = job.arg(0).unwrap_or_default();
    Ok(Some(match name {
        "networks" => {
            let filters = Filters::parse(&job.env("filters").unwrap_or_default(), dialect)?;
            let selected = select(world, &filters, dialect)?;
            let shown = |network| Shown::of(network, world, false, dialect);
            super::json(&selected.into_iter().map(shown).collect::<Vec<_>>())?
        }
        "network_inspect" => {
            let network = world.networks.find(&wanted)?;
            super::json(&Shown::of(network, world, true, dialect))?
        }
        "network_create" => {
            let new: NewNetwork = body::decode(body, "NetworkCreateRequest", dialect)?;
            let id = world.create_network(new)?;
            super::json(&Created { id: &id, warning: "" })?
        }
        "network_delete" => {
            world.delete_network(&wanted)?;
            Body::Static(b"")
        }
        "network_connect" => {
            world.networks.find(&wanted)?;
            let connect: Connect = body::decode(body, "NetworkConnect", dialect)?;
            world.connect(&wanted, connect, dialect)?;
            Body::Static(b"")
        }
        "network_disconnect" => {
            let connect: Connect = body::decode(body, "NetworkDisconnect", dialect)?;
            world.disconnect(&wanted, &connect, dialect)?;
            Body::Static(b"")
        }
        _ => return Ok(None),
    }))
}

impl World {
    /// Attaches a container to one more network.
    fn connect(&mut self, wanted: &str, connect: Connect, dialect: Dialect) -> Result<(), Failure> {
        let network = Arc::clone(&self.networks.find(wanted)?.name);
        let container = self.find(&connect.container, dialect)?;
        let serial = container.serial;
        let (mode, running) = (container.host.network(), container.run.is_some());
        if mode == "host" || &*network == "host" {
            return Err(invalid(
                "container cannot be disconnected from host network or connected to host network",
            ));
        }
        if mode.starts_with("container:") {
            return Err(invalid(
                "container sharing network namespace with another container or host cannot be connected to any other \
                 network",
            ));
        }
        let on_none = container.endpoints.iter().any(|endpoint| &*endpoint.network == "none");
        if on_none || &*network == "none" {
            return Err(invalid(
                "container cannot be connected to multiple networks with one of the networks in private (none) mode",
            ));
        }
        if container.endpoints.iter().any(|endpoint| endpoint.network == network) {
            let name = &container.name;
            return Err(forbidden(format!(
                "endpoint with name {name} already exists in network {network}"
            )));
        }
        let mut asked = connect.endpoint_config.unwrap_or_default();
        asked.ipam_config = asked.ipam_config.filter(|config| *config != Default::default());
        let address = match asked.ipam_config.as_ref().map(|config| config.ipv4.as_str()) {
            None | Some("") => None,
            Some(text) => {
                Some(text.parse().map_err(|_| invalid(format!("invalid IPv4 address: {text}")))?)
            }
        };
        let nothing =
            Asked { aliases: asked.aliases.clone().filter(Vec::is_empty), ..Asked::default() };
        let asked = (asked != nothing).then(|| Box::new(asked));
        let Some(container) = self.containers.get_mut(serial) else { return Ok(()) };
        container.endpoints.push(Endpoint::new(Arc::clone(&network), asked));
        let nth = container.endpoints.len() - 1;
        if running && let Err(failure) = self.attach(serial, nth, &network, address) {
            if let Some(container) = self.containers.get_mut(serial) {
                container.endpoints.pop();
            }
            return Err(failure);
        }
        self.touch();
        Ok(())
    }

    fn disconnect(
        &mut self,
        wanted: &str,
        connect: &Connect,
        dialect: Dialect,
    ) -> Result<(), Failure> {
        let network = Arc::clone(&self.networks.find(wanted)?.name);
        let container = match self.find(&connect.container, dialect) {
            Ok(container) => container,
            Err(_) if connect.force => return Ok(()),
            Err(failure) => return Err(failure),
        };
        let (serial, id) = (container.serial, Arc::clone(&container.id));
        if container.host.network() == "host" && &*network == "host" {
            return Err(conflict(
                "container cannot be disconnected from host network or connected to host network",
            ));
        }
        let place = container.endpoints.iter().position(|endpoint| endpoint.network == network);
        let Some(place) = place else {
            let words = format!("container {id} is not connected to the network {wanted}");
            return Err(if dialect.is_legacy() { system(words) } else { forbidden(words) });
        };
        let Some(container) = self.containers.get_mut(serial) else { return Ok(()) };
        let endpoint = container.endpoints.remove(place);
        if let Some(joined) = endpoint.joined {
            self.networks.leave(&network, serial, joined.address);
            self.emit_attachment("disconnect", &network, &id);
        }
        self.touch();
        Ok(())
    }
}
