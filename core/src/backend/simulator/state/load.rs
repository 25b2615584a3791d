//! From a state file's documents to a world.

use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::super::networks::{NewNetwork, parse_subnet};
use super::super::process::{Behaviour, Signal};
use super::super::versions::Dialect;
use super::super::volumes::NewVolume;
use super::super::world::World;
use super::document::{Document, Network, Volume};
use super::place::{Place, Problem};
use crate::docker::version::ApiVersion;

pub(super) const DIALECT: Dialect = Dialect::new(ApiVersion::MAX);

/// Containers of which each needs the next one to run.
const MAX_PASSES: usize = 100;

/// What of an engine a document says completely.
pub(super) struct Whole {
    pub(super) images: bool,
    pub(super) networks: bool,
    /// Nothing says where the default bridge is.
    pub(super) movable: bool,
}

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
        // Whoever lists what every engine has lists all: then a container may be left to a network that is gone.
        let is_listed = |name: &&str| document.networks.iter().any(|known| known.name == **name);
        let networks = ["host", "none"].iter().all(is_listed);
        let place = |nth| root.key("containers").nth(nth);
        let mut made = Vec::new();
        for (nth, container) in document.containers.iter().enumerate() {
            let listed = document.images.is_some();
            let whole = Whole { images: listed, networks, movable };
            made.push(self.add_container(container, &whole, &place(nth))?);
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
    pub(super) fn add_network(
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

    pub(super) fn add_volume(&mut self, volume: &Volume, place: &Place) -> Result<(), Problem> {
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
}

pub(super) fn is_digits(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

pub(super) fn check_id(id: &str, twice: bool, place: &Place) -> Result<(), Problem> {
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

pub(super) fn check_behaviour(behaviour: &Behaviour, place: &Place) -> Result<(), Problem> {
    match behaviour.signals.keys().find(|name| Signal::parse(name).is_none()) {
        None => Ok(()),
        Some(name) => {
            let words = format!("{name:?} is no signal: use a name such as TERM, or a number");
            Err(place.key("signals").key(name).problem(words))
        }
    }
}
