//! Containers that know each other by other names (`docker run --link`), and those that share a network with another one
//! (`--network container:NAME`).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::config::Config;
use super::container::{Container, Serial};
use super::failures::{conflict, invalid, not_found, system};
use super::host_config::HostConfig;
use super::networks::parse_port;
use super::versions::Dialect;
use super::world::World;
use crate::job::Failure;

/// What a `HostConfig.NetworkMode` begins with that names another container.
pub(super) const CONTAINER: &str = "container:";

/// All links.
#[derive(Default)]
pub(super) struct Links {
    /// From a container, by the name it uses, to the other one.
    from: BTreeMap<Serial, BTreeMap<String, Serial>>,
    /// To a container: who has a name for it, and which.
    to: BTreeMap<Serial, BTreeSet<(Serial, String)>>,
}

impl Links {
    fn add(&mut self, from: Serial, alias: &str, to: Serial) {
        if let Some(old) = self.from.entry(from).or_default().insert(alias.to_string(), to) {
            self.forget_one(old, from, alias);
        }
        self.to.entry(to).or_default().insert((from, alias.to_string()));
    }

    fn forget_one(&mut self, to: Serial, from: Serial, alias: &str) {
        if let Some(known) = self.to.get_mut(&to) {
            known.remove(&(from, alias.to_string()));
            if known.is_empty() {
                self.to.remove(&to);
            }
        }
    }

    fn remove(&mut self, from: Serial, alias: &str) -> bool {
        let Some(to) = self.from.get_mut(&from).and_then(|links| links.remove(alias)) else {
            return false;
        };
        self.forget_one(to, from, alias);
        true
    }

    /// Takes a container's links away for a while.
    pub(super) fn put_aside(&mut self, from: Serial) -> BTreeMap<String, Serial> {
        self.from.remove(&from).unwrap_or_default()
    }

    pub(super) fn put_back(&mut self, from: Serial, links: BTreeMap<String, Serial>) {
        if !links.is_empty() {
            self.from.insert(from, links);
        }
    }

    /// A container is removed, and with it all links from and to it.
    pub(super) fn forget(&mut self, serial: Serial) {
        for (alias, to) in self.from.remove(&serial).unwrap_or_default() {
            self.forget_one(to, serial, &alias);
        }
        for (from, alias) in self.to.remove(&serial).unwrap_or_default() {
            if let Some(links) = self.from.get_mut(&from) {
                links.remove(&alias);
            }
        }
    }
}

/// The container and the name for it of `NAME:ALIAS`.
fn parse(link: &str) -> Result<(&str, &str), Failure> {
    if link.is_empty() {
        return Err(system("empty string specified for links"));
    }
    let parts: Vec<&str> = link.split(':').collect();
    match parts[..] {
        [name] | [name, ""] => Ok((name, name.trim_start_matches('/'))),
        // As the engine itself writes it: /NAME:/OWN/ALIAS.
        [name, alias] => Ok((name, alias.rsplit('/').next().unwrap_or(alias))),
        _ => Err(system(format!("bad format for links: {link}"))),
    }
}

/// Whether a container that shares a network may have what else it asks for.
pub(super) fn check(config: &Config, host: &HostConfig) -> Result<(), Failure> {
    let refused = |words: &str| Err(invalid(format!("conflicting options: {words}")));
    let some = |list: &Option<Vec<String>>| list.as_ref().is_some_and(|list| !list.is_empty());
    let mode = &*host.network_mode;
    if mode == "host" && some(&host.links) {
        return refused(
            "host type networking can't be used with links. This would result in undefined behavior",
        );
    }
    let Some(name) = mode.strip_prefix(CONTAINER) else { return Ok(()) };
    if name.is_empty() {
        return Err(invalid("Invalid network mode: invalid container format container:<name|id>"));
    }
    if !config.hostname.is_empty() {
        return refused("hostname and the network mode");
    }
    if some(&host.links) {
        return refused(
            "container type network can't be used with links. This would result in undefined behavior",
        );
    }
    if some(&host.dns) {
        return refused("dns and the network mode");
    }
    if some(&host.extra_hosts) {
        return refused("custom host-to-IP mapping and the network mode");
    }
    if !config.mac_address.is_empty() {
        return refused("mac-address and the network mode");
    }
    if host.publish_all_ports || host.port_bindings.as_ref().is_some_and(|ports| !ports.is_empty())
    {
        return refused("port publishing and the container type network mode");
    }
    if config.exposed_ports.as_ref().is_some_and(|ports| !ports.is_empty()) {
        return refused("port exposing and the container type network mode");
    }
    Ok(())
}

impl World {
    /// The containers that a new one is linked to, and the names it has for them. On networks that people have made there are
    /// no links of this kind.
    pub(super) fn find_links(
        &self,
        host: &mut HostConfig,
        dialect: Dialect,
    ) -> Result<Vec<(String, Serial)>, Failure> {
        let links = host.links.take().unwrap_or_default();
        let mut found = Vec::new();
        for link in &links {
            let (name, alias) = parse(link)?;
            let container = self.find(name, dialect).map_err(|failure| {
                invalid(format!("could not get container for {name}: {}", failure.message))
            })?;
            found.push((alias.to_string(), container.serial));
        }
        if host.network() != "bridge" {
            found.clear();
        }
        Ok(found)
    }

    /// Links a container as its configuration says, which a state file may hold as the engine shows it.
    pub(super) fn restore_links(
        &mut self,
        serial: Serial,
        dialect: Dialect,
    ) -> Result<(), Failure> {
        let Some(container) = self.containers.get(serial) else { return Ok(()) };
        if container.host.links.is_none() {
            return Ok(());
        }
        let mut host = (*container.host).clone();
        let links = self.find_links(&mut host, dialect)?;
        self.add_links(serial, &links);
        if let Some(container) = self.containers.get_mut(serial) {
            container.host = Arc::new(host);
        }
        Ok(())
    }

    pub(super) fn add_links(&mut self, serial: Serial, links: &[(String, Serial)]) {
        for (alias, to) in links {
            self.links.add(serial, alias, *to);
        }
    }

    /// A container's links as its configuration shows them: `/NAME:/OWN/ALIAS`.
    pub(super) fn links_of(&self, container: &Container) -> Option<Vec<String>> {
        let own = &container.name;
        let links = self.links.from.get(&container.serial)?;
        let shown = links.iter().filter_map(|(alias, to)| {
            let other = &self.containers.get(*to)?.name;
            Some(format!("/{other}:/{own}/{alias}"))
        });
        Some(shown.collect())
    }

    /// The names that others have for a container, with theirs before them.
    pub(super) fn linked_names(&self, serial: Serial) -> Vec<(&str, &str)> {
        let Some(known) = self.links.to.get(&serial) else { return Vec::new() };
        let name = |(from, alias): &'_ (Serial, String)| -> Option<(&str, &str)> {
            let place = self.links.from.get(from)?.get_key_value(alias)?;
            Some((&*self.containers.get(*from)?.name, place.0.as_str()))
        };
        known.iter().filter_map(name).collect()
    }

    /// Whether all that a container is linked to can be reached, and whose network it shares, if it shares one.
    pub(super) fn check_neighbours(&self, serial: Serial) -> Result<Option<Serial>, Failure> {
        let Some(container) = self.containers.get(serial) else { return Ok(None) };
        for (alias, to) in self.links.from.get(&serial).into_iter().flatten() {
            let Some(other) = self.containers.get(*to) else { continue };
            if !other.state.is_running() {
                let (name, own) = (&other.name, &container.name);
                return Err(system(format!(
                    "Cannot link to a non running container: /{name} AS /{own}/{alias}"
                )));
            }
        }
        let Some(name) = container.host.network_mode.strip_prefix(CONTAINER) else {
            return Ok(None);
        };
        let other = self.containers.exactly(name);
        let other = other.or_else(|| self.containers.with_prefix(name).next());
        let other = other.ok_or_else(|| not_found(format!("No such container: {name}")))?;
        if other.serial == serial {
            return Err(system("cannot join own network"));
        }
        if !other.state.is_running() {
            let id = &other.id;
            return Err(conflict(format!("cannot join network of a non running container: {id}")));
        }
        Ok(Some(other.serial))
    }

    /// The variables that tell a container's processes of those it is linked to.
    pub(super) fn links_env(&self, serial: Serial) -> Vec<String> {
        let mut env = Vec::new();
        let Some(container) = self.containers.get(serial) else { return env };
        for (alias, to) in self.links.from.get(&serial).into_iter().flatten() {
            let Some(other) = self.containers.get(*to) else { continue };
            let name = alias.to_uppercase().replace('-', "_");
            let bridge = other.endpoints.iter().find(|endpoint| &*endpoint.network == "bridge");
            if let Some(address) = bridge.and_then(super::endpoint::Endpoint::address) {
                let exposed = other.config.exposed_ports.iter().flat_map(|ports| ports.keys());
                let mut ports: Vec<_> = exposed.filter_map(|port| parse_port(port).ok()).collect();
                ports.sort_unstable();
                if let Some((port, protocol)) = ports.first() {
                    env.push(format!("{name}_PORT={}://{address}:{port}", protocol.name()));
                }
                for (port, protocol) in ports {
                    let (protocol, upper) = (protocol.name(), protocol.name().to_uppercase());
                    env.push(format!("{name}_PORT_{port}_{upper}={protocol}://{address}:{port}"));
                    env.push(format!("{name}_PORT_{port}_{upper}_ADDR={address}"));
                    env.push(format!("{name}_PORT_{port}_{upper}_PORT={port}"));
                    env.push(format!("{name}_PORT_{port}_{upper}_PROTO={protocol}"));
                }
            }
            env.push(format!("{name}_NAME=/{}/{alias}", container.name));
            for pair in other.config.env.iter().flatten() {
                let key = pair.split('=').next().unwrap_or_default();
                if !matches!(key, "HOME" | "PATH") {
                    env.push(format!("{name}_ENV_{pair}"));
                }
            }
        }
        env
    }

    /// Removes a container's link under another name: `OWN/ALIAS`.
    pub(super) fn remove_link(&mut self, wanted: &str, dialect: Dialect) -> Result<(), Failure> {
        let name = wanted.trim_start_matches('/');
        let Some((own, alias)) = name.split_once('/') else {
            self.find(wanted, dialect)?;
            return Err(conflict("Conflict, cannot remove the default name of the container"));
        };
        let Some(container) = self.containers.named(own) else {
            return Err(system(format!("Cannot get parent /{own} for name /{name}")));
        };
        let serial = container.serial;
        match self.links.remove(serial, alias) {
            true => {
                self.touch();
                Ok(())
            }
            false => Err(not_found(format!("No such link: /{name}"))),
        }
    }

    /// The mode with the id of the container that it names, if that is there.
    pub(super) fn settle_mode(&self, host: &mut HostConfig, dialect: Dialect) {
        let Some(name) = host.network_mode.strip_prefix(CONTAINER) else { return };
        if let Ok(other) = self.find(name, dialect) {
            let id = Arc::clone(&other.id);
            host.network_mode = format!("{CONTAINER}{id}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::create::NewContainer;
    use super::super::inspect::Inspected;
    use super::super::world::World;
    use super::super::world::tests::{LEGACY, world};
    use alloc::format;
    use alloc::string::{String, ToString};
    use serde_json::{Value, json};

    fn create(world: &mut World, name: &str, host: &Value, config: &Value) -> Result<(), String> {
        let mut body = json!({"Image": "busybox", "Cmd": ["sleep", "1"], "HostConfig": host});
        for (key, value) in config.as_object().into_iter().flatten() {
            body[key] = value.clone();
        }
        let new = NewContainer::parse(body.to_string().as_bytes(), LEGACY);
        let created = new.and_then(|new| world.create(Some(name), new, LEGACY));
        created.map(drop).map_err(|failure| failure.message.into_owned())
    }

    fn start(world: &mut World, name: &str) -> Result<(), String> {
        let serial = world.containers.named(name).unwrap().serial;
        world.start(serial).map_err(|failure| failure.message.into_owned())
    }

    fn inspect(world: &World, name: &str) -> Value {
        let container = world.containers.named(name).unwrap();
        serde_json::to_value(Inspected::of(container, world, false, LEGACY)).unwrap()
    }

    #[test]
    fn linked_containers_have_more_names() {
        let mut world = world(&["la"]);
        create(&mut world, "lb", &json!({"Links": ["la:alias", "la"]}), &json!({})).unwrap();
        assert_eq!(
            inspect(&world, "lb")["HostConfig"]["Links"],
            json!(["/la:/lb/alias", "/la:/lb/la"])
        );
        assert_eq!(inspect(&world, "la")["HostConfig"]["Links"], Value::Null);
        let la = world.containers.named("la").unwrap().serial;
        assert_eq!(world.linked_names(la), [("lb", "alias"), ("lb", "la")]);
        start(&mut world, "lb").unwrap();
        world.remove_link("lb/alias", LEGACY).unwrap();
        assert_eq!(
            world.remove_link("/lb/alias", LEGACY).unwrap_err().message,
            "No such link: /lb/alias"
        );
        assert_eq!(inspect(&world, "lb")["HostConfig"]["Links"], json!(["/la:/lb/la"]));
        world.drop_container(la, true);
        assert_eq!(inspect(&world, "lb")["HostConfig"]["Links"], json!(null));
    }

    #[test]
    fn processes_are_told_of_links() {
        let mut world = world(&[]);
        let db = json!({"ExposedPorts": {"90/tcp": {}, "80/udp": {}}, "Env": ["A=b", "HOME=/h"]});
        create(&mut world, "db", &json!({}), &db).unwrap();
        create(&mut world, "web", &json!({"Links": ["db:my-db"]}), &json!({})).unwrap();
        let refused = "Cannot link to a non running container: /db AS /web/my-db";
        assert_eq!(start(&mut world, "web"), Err(refused.to_string()));
        start(&mut world, "db").unwrap();
        let web = world.containers.named("web").unwrap().serial;
        let env = world.links_env(web);
        assert_eq!(env[0], "MY_DB_PORT=udp://172.17.0.2:80");
        assert_eq!(
            env[5..],
            [
                "MY_DB_PORT_90_TCP=tcp://172.17.0.2:90",
                "MY_DB_PORT_90_TCP_ADDR=172.17.0.2",
                "MY_DB_PORT_90_TCP_PORT=90",
                "MY_DB_PORT_90_TCP_PROTO=tcp",
                "MY_DB_NAME=/web/my-db",
                "MY_DB_ENV_A=b"
            ]
        );
    }

    #[test]
    fn a_network_is_shared_with_a_container_that_runs() {
        let mut world = world(&["la"]);
        let id = world.containers.named("la").unwrap().id.to_string();
        create(&mut world, "lb", &json!({"NetworkMode": "container:la"}), &json!({})).unwrap();
        start(&mut world, "lb").unwrap();
        let lb = inspect(&world, "lb");
        assert_eq!(lb["HostConfig"]["NetworkMode"], json!(format!("container:{id}")));
        assert_eq!(lb["Config"]["Hostname"], json!(id[..12]));
        assert_eq!(lb["HostsPath"], json!(format!("/var/lib/docker/containers/{id}/hosts")));
        let settings = &lb["NetworkSettings"];
        assert_eq!((&settings["SandboxID"], &settings["Networks"]), (&json!(""), &json!({})));
        for (name, mode, words) in [
            ("lc", "container:nosuch", "No such container: nosuch".to_string()),
            ("ld", "container:ld", "cannot join own network".to_string()),
        ] {
            create(&mut world, name, &json!({"NetworkMode": mode}), &json!({})).unwrap();
            assert_eq!(start(&mut world, name), Err(words));
        }
        create(&mut world, "le", &json!({}), &json!({})).unwrap();
        let le = world.containers.named("le").unwrap().id.to_string();
        create(&mut world, "lf", &json!({"NetworkMode": "container:le"}), &json!({})).unwrap();
        let words = format!("cannot join network of a non running container: {le}");
        assert_eq!(start(&mut world, "lf"), Err(words));
    }

    #[test]
    fn what_goes_with_no_shared_network_is_refused() {
        let mut world = world(&["la"]);
        for (host, config, words) in [
            (
                json!({"Links": ["nosuch:x"]}),
                json!({}),
                "could not get container for nosuch: No such container: nosuch",
            ),
            (json!({"Links": ["a:b:c"]}), json!({}), "bad format for links: a:b:c"),
            (json!({"Links": [""]}), json!({}), "empty string specified for links"),
            (
                json!({"Links": ["la:x"], "NetworkMode": "host"}),
                json!({}),
                "conflicting options: host type networking can't be used with links. This would result in undefined behavior",
            ),
            (
                json!({"NetworkMode": "container:"}),
                json!({}),
                "Invalid network mode: invalid container format container:<name|id>",
            ),
            (
                json!({"NetworkMode": "container:la"}),
                json!({"Hostname": "h"}),
                "conflicting options: hostname and the network mode",
            ),
            (
                json!({"NetworkMode": "container:la", "PublishAllPorts": true}),
                json!({}),
                "conflicting options: port publishing and the container type network mode",
            ),
            (
                json!({"NetworkMode": "container:la"}),
                json!({"ExposedPorts": {"80/tcp": {}}}),
                "conflicting options: port exposing and the container type network mode",
            ),
            (
                json!({"NetworkMode": "container:la", "Dns": ["1.1.1.1"]}),
                json!({}),
                "conflicting options: dns and the network mode",
            ),
        ] {
            assert_eq!(create(&mut world, "lc", &host, &config), Err(words.to_string()));
        }
    }
}
