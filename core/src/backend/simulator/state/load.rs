//! From a state file's documents to a world.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::Ipv4Addr;

use super::super::container::{self, Serial};
use super::super::endpoint::{Asked, Joined};
use super::super::images::{self, Layer};
use super::super::links::CONTAINER;
use super::super::mounts::{MountKind, MountPoint};
use super::super::networks::{NewNetwork, Pool, Published, parse_port, parse_subnet};
use super::super::process::{Behaviour, Signal};
use super::super::reference::Reference;
use super::super::versions::Dialect;
use super::super::volumes::NewVolume;
use super::super::world::World;
use super::super::{catalogue, create};
use super::document::{
    Container, Document, Endpoint, Health, Image, Mount, Network, State, Volume,
};
use super::place::{Place, Problem};
use crate::docker::version::ApiVersion;

const DIALECT: Dialect = Dialect::new(ApiVersion::MAX);

/// Containers of which each needs the next one to run.
const MAX_PASSES: usize = 100;

impl World {
    /// Puts what a document describes into a world in which nothing has happened yet. Nobody hears of it.
    pub(super) fn furnish(&mut self, document: &Document) -> Result<(), Problem> {
        let root = Place::default();
        let first = self.images.newest_first().first().map(|image| Arc::clone(&image.id));
        let says_where =
            |network: &Network| network.name == "bridge" && network.ipam.config.is_some();
        let movable = !document.networks.iter().any(says_where);
        for (nth, network) in document.networks.iter().enumerate() {
            self.add_network(network, movable, &root.key("networks").nth(nth))?;
        }
        for (nth, volume) in document.volumes.iter().enumerate() {
            self.add_volume(volume, &root.key("volumes").nth(nth))?;
        }
        if let Some(images) = &document.images {
            self.images.clear();
            for (nth, image) in images.iter().enumerate() {
                self.add_image(image, &root.key("images").nth(nth))?;
            }
        }
        let place = |nth| root.key("containers").nth(nth);
        let mut made = Vec::new();
        for (nth, container) in document.containers.iter().enumerate() {
            let listed = document.images.is_some();
            made.push(self.add_container(container, (listed, movable), &place(nth))?);
        }
        // A container may say that its busybox is another one than that which is there from the beginning.
        if let Some(first) = first.filter(|_| document.images.is_none())
            && self.images.tags_of(&first).next().is_none()
            && !self.containers.iter().any(|container| container.image == first)
        {
            self.images.remove(&first);
        }
        for (nth, serial) in made.iter().enumerate() {
            self.restore_links(*serial, DIALECT)
                .map_err(|refused| place(nth).key("HostConfig").problem(refused.message))?;
        }
        // Who has an address already keeps it, and the others get what is left.
        let made = || made.iter().zip(&document.containers).enumerate();
        for (nth, (serial, container)) in made() {
            self.take_addresses(*serial, container, &place(nth))?;
        }
        let mut left: Vec<_> = made().collect();
        for pass in 0.. {
            // Who is linked to another one, or shares its network, runs only when that does.
            let before = left.len();
            let mut later = Vec::new();
            for (nth, (serial, container)) in left {
                if self.check_neighbours(*serial).is_err() {
                    later.push((nth, (serial, container)));
                } else {
                    self.revive(*serial, container, &place(nth))?;
                }
            }
            left = later;
            if left.is_empty() || left.len() == before || pass == MAX_PASSES {
                break;
            }
        }
        for (nth, (serial, container)) in left {
            // One that runs may have outlived what it is linked to.
            let links = self.links.put_aside(*serial);
            self.revive(*serial, container, &place(nth))?;
            self.links.put_back(*serial, links);
        }
        self.notices.clear();
        self.bus = super::super::bus::Bus::default();
        Ok(())
    }

    /// Makes a network. The default bridge is `movable` if nothing says where it is: then it makes room.
    fn add_network(
        &mut self,
        network: &Network,
        movable: bool,
        place: &Place,
    ) -> Result<(), Problem> {
        if network.name.is_empty() {
            return Err(place.key("Name").problem("a network needs a name"));
        }
        if self.networks.is_missing_bridge(&network.name) {
            return Ok(());
        }
        let pools = network.ipam.config.as_deref().unwrap_or_default();
        // The simulated engine has no IPv6.
        let pool = pools.iter().find(|pool| pool.subnet.contains('.')).cloned();
        if let Some(known) = self.networks.named_mut(&network.name) {
            if !known.is_predefined() {
                let words = format!("there are two networks of the name {:?}", network.name);
                return Err(place.key("Name").problem(words));
            }
            if let Some(pool) = pool {
                let subnet = parse_subnet(&pool)
                    .map_err(|refused| place.key("IPAM").problem(refused.message))?;
                known.subnet = Some(subnet);
                known.ipam = network.ipam.clone();
            }
            if !network.options.is_empty() {
                known.options.clone_from(&network.options);
            }
        } else {
            let mut ipam = network.ipam.clone();
            let wanted = pool.as_ref().and_then(|pool| parse_subnet(pool).ok());
            if movable && let Some(wanted) = wanted {
                self.networks.move_bridge_from(&wanted);
            }
            ipam.config = pool.map(|pool| Vec::from([pool]));
            let new = NewNetwork {
                name: network.name.clone(),
                driver: network.driver.clone(),
                internal: network.internal,
                attachable: network.attachable,
                enable_ipv6: network.enable_ipv6,
                ipam: Some(ipam),
                options: network.options.clone(),
                labels: network.labels.clone(),
            };
            self.create_network(new).map_err(|refused| place.clone().problem(refused.message))?;
        }
        let is_other = |other: &super::super::networks::Network| *other.name != *network.name;
        let mut others = self.networks.all.iter().filter(|other| is_other(other));
        let twice = others.any(|other| other.id == network.id);
        let created = network.created.0;
        if let Some(known) = self.networks.named_mut(&network.name) {
            if !network.id.is_empty() {
                check_id(&network.id, twice, &place.key("Id"))?;
                known.id.clone_from(&network.id);
            }
            known.created = created.unwrap_or(known.created);
            known.labels.clone_from(&network.labels);
        }
        Ok(())
    }

    fn add_volume(&mut self, volume: &Volume, place: &Place) -> Result<(), Problem> {
        if volume.name.is_empty() {
            return Err(place.key("Name").problem("a volume needs a name"));
        }
        if self.volumes.all.contains_key(&*volume.name) {
            let words = format!("there are two volumes of the name {:?}", volume.name);
            return Err(place.key("Name").problem(words));
        }
        let new = NewVolume {
            name: volume.name.clone(),
            driver: volume.driver.clone(),
            driver_opts: volume.options.clone(),
            labels: volume.labels.clone(),
        };
        let name =
            self.create_volume(new).map_err(|refused| place.clone().problem(refused.message))?;
        if let Some(made) = self.volumes.all.get_mut(&name) {
            made.created = volume.created_at.0.unwrap_or(made.created);
            made.anonymous = is_digits(&volume.name);
        }
        Ok(())
    }

    fn add_image(&mut self, image: &Image, place: &Place) -> Result<(), Problem> {
        let mut names = Vec::new();
        for (nth, tag) in image.repo_tags.iter().enumerate().filter(|(_, tag)| is_name(tag)) {
            match Reference::parse(tag) {
                Ok(name) if name.digest.is_none() => names.push(name),
                Ok(_) | Err(_) => {
                    let words = format!("{tag:?} is no name of an image: write it as redis:7");
                    return Err(place.key("RepoTags").nth(nth).problem(words));
                }
            }
        }
        let mut digests = Vec::new();
        for (nth, text) in image.repo_digests.iter().enumerate().filter(|(_, text)| is_name(text)) {
            let parsed =
                Reference::parse(text).ok().and_then(|name| Some((name.name, name.digest?)));
            let Some(parsed) = parsed else {
                let words =
                    format!("{text:?} is no name with a digest: write it as redis@sha256:…");
                return Err(place.key("RepoDigests").nth(nth).problem(words));
            };
            digests.push(parsed);
        }
        if names.is_empty() && image.id.is_empty() {
            return Err(place.key("RepoTags").problem("an image needs a name or an Id"));
        }
        let known = names
            .first()
            .map_or(("", "latest"), |name| (&*name.name, name.tag.as_deref().unwrap_or("latest")));
        let (mut made, digest) = catalogue::image(known.0, known.1);
        if !image.id.is_empty() {
            let twice = self.images.get(&image.id).is_some();
            let digits = image.id.strip_prefix("sha256:").unwrap_or_default();
            check_id(digits, twice, &place.key("Id"))?;
            made.id = image.id.as_str().into();
        }
        made.parent = (!image.parent.is_empty()).then(|| image.parent.as_str().into());
        made.created = image.created.0.unwrap_or(made.created);
        made.comment.clone_from(&image.comment);
        made.author.clone_from(&image.author);
        made.container.clone_from(&image.container);
        let own = image.container_config.clone().filter(|_| !image.container.is_empty());
        made.container_config = own.map(Arc::new);
        if let Some(config) = &image.config {
            made.config = Arc::new(config.clone());
        }
        describe_layers(&mut made, image);
        let id = Arc::clone(&made.id);
        if self.images.get(&id).is_some() {
            let words = format!("there are two images of the name {}", known.0);
            return Err(place.key("RepoTags").problem(words));
        }
        if let Some(behaviour) = &image.behaviour {
            check_behaviour(behaviour, &place.key("Behaviour"))?;
            self.images.behave(&id, Arc::clone(behaviour));
        }
        self.images.insert(made);
        if digests.is_empty() && image.id.is_empty() {
            digests.push((known.0.to_string(), digest));
        }
        for (name, digest) in digests {
            self.images.add_digest(&name, &digest, &id);
        }
        let tagged = image.metadata.last_tag_time.0;
        for (nth, name) in names.iter().enumerate() {
            if self.images.find(&name.tagged()).is_some() {
                let words = format!("there are two images of the name {}", name.tagged());
                return Err(place.key("RepoTags").nth(nth).problem(words));
            }
            self.images.name(&name.tagged(), &id, tagged);
        }
        Ok(())
    }

    /// The image that a container is made of; one that is not there is as a registry would have it.
    fn image_of(
        &mut self,
        container: &Container,
        listed: bool,
        place: &Place,
    ) -> Result<Arc<images::Image>, Problem> {
        let (id, name) = (&*container.image, &*container.config.image);
        let known = match id {
            "" => self.images.find(name),
            id => self.images.get(id),
        };
        if let Some(image) = known {
            return Ok(Arc::clone(image));
        }
        let name = if name.is_empty() { "busybox" } else { name };
        let reference = Reference::parse(name).ok().filter(|name| name.digest.is_none());
        let (mut image, digest) = match &reference {
            Some(name) => catalogue::image(&name.name, name.tag.as_deref().unwrap_or("latest")),
            None => catalogue::image("", "latest"),
        };
        if !id.is_empty() {
            let digits = id.strip_prefix("sha256:").unwrap_or_default();
            check_id(digits, false, &place.key("Image"))?;
            image.id = id.into();
        }
        let id = Arc::clone(&image.id);
        self.images.insert(image);
        // Where images are listed, the list says what a name means.
        if let Some(name) = reference
            && (self.images.find(&name.tagged()).is_none() || !listed)
        {
            self.images.name(&name.tagged(), &id, None);
            self.images.add_digest(&name.name, &digest, &id);
        }
        match self.images.get(&id) {
            Some(image) => Ok(Arc::clone(image)),
            None => Err(place.key("Image").problem("there is no such image")),
        }
    }

    fn add_container(
        &mut self,
        given: &Container,
        (listed, movable): (bool, bool),
        place: &Place,
    ) -> Result<Serial, Problem> {
        let image = self.image_of(given, listed, place)?;
        let (mut config, mut host) = (given.config.clone(), given.host_config.clone());
        let refused = |key: &str| {
            let place = place.key(key);
            move |failure: crate::job::Failure| place.problem(failure.message)
        };
        if config.image.is_empty() {
            config.image = match self.images.tags_of(&image.id).next() {
                Some(name) => name.to_string(),
                None => image.id.to_string(),
            };
        }
        // An answer has the name that the container has without one of its own.
        if !config.hostname.is_empty() && given.id.get(..12) == Some(&*config.hostname)
            || host.network() == "host" && config.hostname == super::super::info::HOSTNAME
        {
            config.hostname.clear();
        }
        if given.path.is_empty() {
            config.inherit(&image.config);
        } else if config.argv().next().is_none() {
            config.cmd = Some([core::slice::from_ref(&given.path), &*given.args].concat());
        }
        if config.argv().next().is_none() {
            return Err(place.key("Config").problem("neither Cmd nor Entrypoint says what runs"));
        }
        // An answer has the name of the container whose network is shared, which no client may ask for.
        let shares = host.network().starts_with(CONTAINER);
        let hostname = if shares { core::mem::take(&mut config.hostname) } else { String::new() };
        create::check(&config, &host, &BTreeMap::new(), DIALECT).map_err(refused("HostConfig"))?;
        if shares {
            config.hostname = hostname;
        }
        host.complete(DIALECT);
        let id = match &*given.id {
            "" => self.hex_id(),
            id => {
                let twice = self.containers.with_prefix(id).next().is_some();
                check_id(id, twice, &place.key("Id"))?;
                id.into()
            }
        };
        let name = Some(&*given.name).filter(|name| !name.is_empty());
        let name = self.reserve(name, DIALECT).map_err(refused("Name"))?;
        let serial = self.containers.next_serial();
        let mounts = match &given.mounts {
            None => self
                .make_mounts(serial, &config, &host, &image, DIALECT)
                .map_err(refused("HostConfig"))?,
            Some(mounts) => self.add_mounts(serial, mounts, &place.key("Mounts"))?,
        };
        let asked: BTreeMap<String, Asked> = given
            .network_settings
            .networks
            .iter()
            .map(|(name, endpoint)| (name.clone(), asked_of(endpoint, &id)))
            .collect();
        for (name, endpoint) in &given.network_settings.networks {
            let place = place.key("NetworkSettings").key("Networks");
            self.need_network(name, endpoint, movable, &place)?;
        }
        let endpoints = create::make_endpoints(&host, asked);
        let (config, host) = self.share(config, host);
        let created = given.created.0.unwrap_or(self.now);
        let mut container = container::Container::new(serial, id, name, &image.id, config, host);
        (container.created, container.endpoints, container.mounts) = (created, endpoints, mounts);
        if let Some(behaviour) = &given.behaviour {
            check_behaviour(behaviour, &place.key("Behaviour"))?;
            self.performances.insert(serial, Arc::clone(behaviour));
        }
        self.containers.insert(container);
        self.touch();
        Ok(serial)
    }

    fn add_mounts(
        &mut self,
        serial: Serial,
        mounts: &[Mount],
        place: &Place,
    ) -> Result<Vec<MountPoint>, Problem> {
        let mut made = Vec::new();
        for (nth, mount) in mounts.iter().enumerate() {
            let place = place.nth(nth);
            if !mount.destination.starts_with('/') {
                let words = format!("{:?} is no absolute path", mount.destination);
                return Err(place.key("Destination").problem(words));
            }
            let (kind, source, tree) = match &*mount.r#type {
                "bind" => {
                    (MountKind::Bind, mount.source.as_str().into(), self.bound(&mount.source))
                }
                "tmpfs" => {
                    let tree = self.store.insert(super::super::files::Tree::new());
                    (MountKind::Tmpfs, "tmpfs".into(), tree)
                }
                "volume" | "" => {
                    if !self.volumes.all.contains_key(&*mount.name) {
                        let volume = Volume { name: mount.name.clone(), ..Volume::default() };
                        self.add_volume(&volume, &place)?;
                    }
                    let volume = self.volumes.all.get_mut(&*mount.name);
                    let Some(volume) = volume else { continue };
                    volume.users.insert(serial);
                    (MountKind::Volume, Arc::clone(&volume.name), volume.tree)
                }
                other => {
                    let words =
                        format!("{other:?} is no type of a mount: use bind, volume or tmpfs");
                    return Err(place.key("Type").problem(words));
                }
            };
            made.push(MountPoint {
                kind,
                source,
                destination: mount.destination.as_str().into(),
                mode: mount.mode.clone(),
                writable: mount.rw.unwrap_or(true),
                tree,
            });
        }
        Ok(made)
    }

    /// A network that only a container speaks of is made as that container sees it.
    fn need_network(
        &mut self,
        name: &str,
        seen: &Endpoint,
        movable: bool,
        place: &Place,
    ) -> Result<(), Problem> {
        if self.networks.named(name).is_some() {
            return Ok(());
        }
        let pool = match seen.ip_address.parse::<Ipv4Addr>() {
            Ok(address) if (1..=30).contains(&seen.ip_prefix_len) => {
                let prefix = seen.ip_prefix_len;
                let base = u32::from(address) & (u32::MAX << (32 - u32::from(prefix)));
                let subnet = format!("{}/{prefix}", Ipv4Addr::from(base));
                Some(Pool { subnet, gateway: seen.gateway.clone(), ..Pool::default() })
            }
            _ => None,
        };
        let mut network = Network { name: name.to_string(), ..Network::default() };
        network.ipam.config = pool.map(|pool| Vec::from([pool]));
        if self.networks.find(&seen.network_id).is_err() {
            network.id.clone_from(&seen.network_id);
        }
        self.add_network(&network, movable, &place.key(name))
    }

    fn take_addresses(
        &mut self,
        serial: Serial,
        given: &Container,
        place: &Place,
    ) -> Result<(), Problem> {
        let runs = status_of(given, place)?.is_running();
        let Some(container) = self.containers.get_mut(serial) else { return Ok(()) };
        let mut wanted = Vec::new();
        for (nth, endpoint) in container.endpoints.iter_mut().enumerate() {
            let Some(seen) = given.network_settings.networks.get(&*endpoint.network) else {
                continue;
            };
            if self.networks.is_missing_bridge(&endpoint.network) {
                continue;
            }
            endpoint.was_joined = !seen.network_id.is_empty();
            if runs && !seen.endpoint_id.is_empty() {
                wanted.push((nth, Arc::clone(&endpoint.network), seen));
            }
        }
        for (nth, network, seen) in wanted {
            let place = place.key("NetworkSettings").key("Networks").key(&network);
            let address = match &*seen.ip_address {
                "" => None,
                text => {
                    let place = place.key("IPAddress");
                    let words = || place.clone().problem(format!("{text:?} is no IPv4 address"));
                    Some((text.parse::<Ipv4Addr>().map_err(|_| words())?, place))
                }
            };
            let joined = self.networks.join(&network, serial, address.as_ref().map(|at| at.0));
            let joined = joined.map_err(|failure| {
                address.map_or(place, |(_, place)| place).problem(failure.message)
            })?;
            if let Some(container) = self.containers.get_mut(serial)
                && let Some(endpoint) = container.endpoints.get_mut(nth)
            {
                let id = seen.endpoint_id.as_str().into();
                endpoint.joined = Some(Joined { id, address: joined });
            }
        }
        Ok(())
    }

    /// Gives a container its past, and starts its program if it runs.
    fn revive(&mut self, serial: Serial, given: &Container, place: &Place) -> Result<(), Problem> {
        let status = status_of(given, place)?;
        let nothing = State::default();
        let state = given.state.as_ref().unwrap_or(&nothing);
        let whole = place;
        let place = place.key("State");
        if matches!(status, container::State::Running | container::State::Paused) {
            // What cannot be simulated runs as a daemon does that has nothing to say.
            if !self.can_launch(serial) {
                self.performances.insert(serial, Arc::new(daemon()));
            }
            self.start(serial).map_err(|failure| place.key("Status").problem(failure.message))?;
            self.take_ports(serial, given, whole)?;
        }
        let instant = self.instant;
        let now = self.now;
        let Some(container) = self.containers.get_mut(serial) else { return Ok(()) };
        container.state = status;
        container.oom_killed = state.oom_killed;
        container.exit_code = state.exit_code;
        container.restarts = given.restart_count;
        container.error = (!state.error.is_empty()).then(|| state.error.as_str().into());
        if status.is_running() {
            container.pid = if state.pid == 0 { container.pid } else { state.pid };
            container.started = state.started_at.0.or(container.started);
            if !given.network_settings.sandbox_id.is_empty() {
                container.sandbox = Some(given.network_settings.sandbox_id.as_str().into());
            }
        } else {
            container.started = state.started_at.0;
            let sandbox = given.network_settings.sandbox_id.as_str();
            container.sandbox = (!sandbox.is_empty()).then(|| sandbox.into());
        }
        container.finished = state.finished_at.0;
        match status {
            container::State::Restarting => {
                container.finished = container.finished.or(Some(now));
                self.agenda.add(instant, super::super::world::Due::Restart(serial));
            }
            container::State::Exited | container::State::Dead => {
                container.started = container.started.or(Some(container.created));
                container.finished = container.finished.or(Some(now));
            }
            _ => {}
        }
        // One of which nothing is said stays as it is where checks have just begun.
        if let Some(health) = &state.health
            && let Some(health) = health_of(health, &place.key("Health"))?
        {
            container.health = Some(health);
        }
        Ok(())
    }

    /// Publishes the ports that a running container had, where it had them.
    fn take_ports(
        &mut self,
        serial: Serial,
        given: &Container,
        place: &Place,
    ) -> Result<(), Problem> {
        let mut wanted: Vec<(Published, &String)> = Vec::new();
        for (port, bindings) in &given.network_settings.ports {
            let place = place.key("NetworkSettings").key("Ports").key(port);
            let (private, protocol) =
                parse_port(port).map_err(|refused| place.clone().problem(refused.message))?;
            for (nth, binding) in bindings.iter().flatten().enumerate() {
                let words = || format!("{:?} is no port of the host", binding.host_port);
                let place = || place.nth(nth).key("HostPort");
                let public = binding.host_port.parse().map_err(|_| place().problem(words()))?;
                // One port on all addresses is listed for both kinds.
                let host_ip = match &*binding.host_ip {
                    "0.0.0.0" | "::" => String::new(),
                    ip => ip.to_string(),
                };
                let published = Published { private, protocol, host_ip, public };
                if !wanted.iter().any(|(known, _)| *known == published) {
                    wanted.push((published, port));
                }
            }
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let run = self.containers.get_mut(serial).and_then(|container| container.run.as_mut());
        let Some(run) = run else { return Ok(()) };
        let old = core::mem::take(&mut run.published);
        self.networks.unpublish(&old);
        for (published, port) in &wanted {
            if self.networks.publish(serial, published.protocol, published.public).is_none() {
                let place = place.key("NetworkSettings").key("Ports").key(port);
                let words = format!("the port {} of the host is taken already", published.public);
                return Err(place.problem(words));
            }
        }
        if let Some(run) = self.containers.get_mut(serial).and_then(|c| c.run.as_mut()) {
            run.published = wanted.into_iter().map(|(published, _)| published).collect();
        }
        Ok(())
    }
}

/// What a program is taken to do that the simulator cannot run.
fn daemon() -> Behaviour {
    let signals = ["TERM", "INT", "QUIT"].map(|name| (name.to_string(), Some(0)));
    Behaviour { signals: signals.into(), ..Behaviour::default() }
}

fn is_digits(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether it is more than what an old engine wrote for an image without a name.
fn is_name(text: &str) -> bool {
    !text.starts_with("<none>")
}

fn check_id(id: &str, twice: bool, place: &Place) -> Result<(), Problem> {
    if !is_digits(id) {
        let words =
            "it is no id: use 64 of the digits 0 to 9 and a to f, for an image behind sha256:";
        return Err(place.clone().problem(words));
    }
    if twice {
        return Err(place.clone().problem("this id is there twice"));
    }
    Ok(())
}

fn check_behaviour(behaviour: &Behaviour, place: &Place) -> Result<(), Problem> {
    match behaviour.signals.keys().find(|name| Signal::parse(name).is_none()) {
        None => Ok(()),
        Some(name) => {
            let words = format!("{name:?} is no signal: use a name such as TERM, or a number");
            Err(place.key("signals").key(name).problem(words))
        }
    }
}

/// The state that a container is in. One of which nothing is said runs.
fn status_of(given: &Container, place: &Place) -> Result<container::State, Problem> {
    let Some(state) = &given.state else { return Ok(container::State::Running) };
    if !state.status.is_empty() {
        return container::State::named(&state.status).ok_or_else(|| {
            let words = format!(
                "{:?} is no state: use one of created, running, paused, restarting, removing, exited, dead",
                state.status
            );
            place.key("State").key("Status").problem(words)
        });
    }
    Ok(match state {
        State { paused: true, .. } => container::State::Paused,
        State { restarting: true, .. } => container::State::Restarting,
        State { running: true, .. } => container::State::Running,
        State { dead: true, .. } => container::State::Dead,
        State { started_at, finished_at, exit_code, .. } => {
            match started_at.0.is_none() && finished_at.0.is_none() && *exit_code == 0 {
                true => container::State::Created,
                false => container::State::Exited,
            }
        }
    })
}

fn health_of(health: &Health, place: &Place) -> Result<Option<Box<container::Health>>, Problem> {
    let status = match &*health.status {
        "none" | "" => return Ok(None),
        "starting" => "starting",
        "healthy" => "healthy",
        "unhealthy" => "unhealthy",
        other => {
            let words = format!("{other:?} is no health: use starting, healthy, unhealthy or none");
            return Err(place.key("Status").problem(words));
        }
    };
    let log = health.log.iter().map(|probe| container::Probe {
        start: probe.start.0.unwrap_or_default(),
        end: probe.end.0.unwrap_or_default(),
        exit_code: probe.exit_code,
        output: probe.output.clone(),
    });
    let failing_streak = health.failing_streak;
    Ok(Some(Box::new(container::Health { status, failing_streak, log: log.collect() })))
}

/// What a client asked for of what an engine shows: not the name that each container has, nor the address of its card that
/// follows from that on the network.
fn asked_of(endpoint: &Endpoint, id: &str) -> Asked {
    let mut asked = endpoint.asked.clone();
    if let Some(aliases) = &mut asked.aliases {
        aliases.retain(|alias| Some(&**alias) != id.get(..12));
    }
    if asked.aliases.as_ref().is_some_and(Vec::is_empty) {
        asked.aliases = None;
    }
    if let Ok(address) = endpoint.ip_address.parse::<Ipv4Addr>()
        && asked.mac_address == super::super::endpoint::mac_of(address)
    {
        asked.mac_address.clear();
    }
    asked
}

/// Layers as an image names them; its size is that of the lowest one, for nothing tells of the others'.
fn describe_layers(made: &mut images::Image, image: &Image) {
    let size = image.size.unwrap_or_else(|| made.size());
    let tree = made.tree.clone();
    let digests = &image.root_fs.layers;
    if !digests.is_empty() {
        let layer = |(nth, digest): (usize, &String)| Layer {
            digest: digest.clone(),
            size: if nth == 0 { size } else { 0 },
            tree: tree.clone(),
        };
        made.layers = digests.iter().enumerate().map(layer).collect();
        let step = made.history.iter().find(|step| !step.empty_layer).cloned();
        made.history.retain(|step| step.empty_layer);
        let steps = digests.iter().filter_map(|_| step.clone());
        made.history.splice(0..0, steps);
    } else if let Some(layer) = made.layers.first_mut() {
        layer.size = size;
    }
}
