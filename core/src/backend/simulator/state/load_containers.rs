//! The containers of a state file: what they are, and then what they do.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::Ipv4Addr;

use super::super::container::{self, Serial};
use super::super::create;
use super::super::endpoint::{Asked, Joined};
use super::super::links::CONTAINER;
use super::super::mounts::{MountKind, MountPoint, spreads};
use super::super::networks::{Pool, Published, parse_port};
use super::super::process::Behaviour;
use super::super::world::World;
use super::document::{Container, Endpoint, Health, Mount, Network, State, Volume};
use super::load::{DIALECT, Whole, check_behaviour, check_id};
use super::place::{Place, Problem};

impl World {
    pub(super) fn add_container(
        &mut self,
        given: &Container,
        whole: &Whole,
        place: &Place,
    ) -> Result<Serial, Problem> {
        let image = self.image_of(given, whole.images, place)?;
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
            if whole.networks && endpoint.endpoint_id.is_empty() {
                continue;
            }
            let place = place.key("NetworkSettings").key("Networks");
            self.need_network(name, endpoint, whole.movable, &place)?;
        }
        let endpoints = create::make_endpoints(&host, "", asked);
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

    pub(super) fn add_mounts(
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
                propagation: spreads(&mount.propagation),
                writable: mount.rw.unwrap_or(true),
                tree,
            });
        }
        Ok(made)
    }

    /// A network that only a container speaks of is made as that container sees it.
    pub(super) fn need_network(
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

    pub(super) fn take_addresses(
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
    pub(super) fn revive(
        &mut self,
        serial: Serial,
        given: &Container,
        place: &Place,
    ) -> Result<(), Problem> {
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
    pub(super) fn take_ports(
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
