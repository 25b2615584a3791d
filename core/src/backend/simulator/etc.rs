//! The files that an engine mounts over `/etc` while a container runs: who it is, and whom it knows.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::Ipv4Addr;

use super::container::{Container, Serial};
use super::files::{Limits, Meta, Mounts, Node, Tree, TreeId};
use super::mounts::names;
use super::world::{Containers, World};

/// What `/etc/hosts` says in every container.
const LOCAL: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\n\
                     ff00::0\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n";
/// Asked where the host knows no other server.
const SERVERS: [&str; 2] = ["8.8.8.8", "8.8.4.4"];
/// The engine's own server, on networks that somebody made.
const OWN_SERVER: &str = "127.0.0.11";

/// What the host's disk is called.
const DISK: &str = "/dev/vda1";
/// A tmpfs of each container's own.
const SHARED_MEMORY: &str = "/dev/shm";
/// Bytes of it if nothing else is asked for.
const SHM_SIZE: u64 = 64 << 20;

fn shared_memory(asked: i64) -> Tree {
    let mut tree = Tree::of(Node::directory(Meta::new(0o1777, 0)));
    let bytes = u64::try_from(asked).ok().filter(|bytes| *bytes > 0).unwrap_or(SHM_SIZE);
    tree.set_limits(Limits { bytes, ..tree.limits() });
    tree
}

/// Where `--init` mounts its program.
pub(super) const INIT: &str = "/sbin/docker-init";

/// What the engine's own server answers a container: who has this name, or this address, on a network that somebody made and
/// that both are on. On the default bridge nobody has a name.
pub(super) fn look_up(containers: &Containers, asks: &Container, name: &str) -> Option<Ipv4Addr> {
    let wanted: Option<Ipv4Addr> = name.parse().ok();
    let joined = asks.endpoints.iter().filter(|endpoint| endpoint.joined.is_some());
    joined.into_iter().find_map(|own| {
        let named = !matches!(&*own.network, "bridge" | "host" | "none");
        let asked = own.asked.as_deref();
        // A link gives another container a name for this one only.
        let link = asked.and_then(|asked| asked.links.as_deref()).into_iter().flatten();
        let linked = link.filter_map(|link| link.split_once(':')).find(|(_, alias)| *alias == name);
        let meant = linked.map_or(name, |(container, _)| container);
        containers.iter().find_map(|other| {
            let endpoint = other.endpoints.iter().find(|other| other.network == own.network)?;
            let address = endpoint.address()?;
            let aliases = endpoint.asked.as_ref().and_then(|asked| asked.aliases.as_deref());
            let is_called = || {
                *other.name == *meant
                    || other.short_id() == meant
                    || aliases.into_iter().flatten().any(|alias| alias == meant)
            };
            (wanted == Some(address) || named && is_called()).then_some(address)
        })
    })
}

impl World {
    /// Mounts what a container that starts needs beside its own mounts, but for the places where it has mounts itself.
    pub(super) fn mount_engine_files(
        &mut self,
        serial: Serial,
        mounts: &mut Mounts,
        made: &mut Vec<TreeId>,
    ) {
        let Some(container) = self.containers.get(serial) else { return };
        let now = i64::try_from(self.now.as_secs()).unwrap_or(i64::MAX);
        let mut files = Vec::from([
            ("/etc/resolv.conf", DISK, Node::file(self.resolv_conf(serial), Meta::new(0o644, now))),
            (
                "/etc/hostname",
                DISK,
                Node::file(format!("{}\n", container.hostname()), Meta::new(0o644, now)),
            ),
            ("/etc/hosts", DISK, Node::file(self.hosts(serial), Meta::new(0o644, now))),
        ]);
        if container.host.init == Some(true) {
            let program = Node::file(super::files::APPLET, Meta::new(0o755, now));
            files.push((INIT, DISK, program));
        }
        let mut trees = Vec::from([(SHARED_MEMORY, "shm", shared_memory(container.host.shm_size))]);
        trees.extend(files.into_iter().map(|(path, source, node)| (path, source, Tree::of(node))));
        for (path, source, tree) in trees {
            let place = names(path);
            if mounts.list().iter().any(|mount| place.starts_with(&mount.path)) {
                continue;
            }
            let tree = self.store.insert(tree);
            made.push(tree);
            // A place where nothing can be mounted stays as it is.
            let _ = mounts.add(&mut self.store, path, source, tree, path == INIT);
        }
    }

    /// What can be copied from and to a container: its files, its volumes, and the engine's files while it runs; no tmpfs.
    pub(super) fn mounts_for_copies(&mut self, serial: Serial) -> Option<Mounts> {
        let mut mounts = self.mounts_of(serial)?;
        let run = self.containers.get(serial).and_then(|container| container.run.as_ref());
        let own = run.into_iter().flat_map(|run| run.mounts.list());
        let shown: Vec<_> = ["/etc/resolv.conf", "/etc/hostname", "/etc/hosts"]
            .into_iter()
            .filter_map(|path| {
                let place = names(path);
                Some((path, own.clone().find(|mount| mount.path == place)?.tree))
            })
            .collect();
        for (path, tree) in shown {
            let _ = mounts.add(&mut self.store, path, DISK, tree, false);
        }
        Some(mounts)
    }

    fn hosts(&self, serial: Serial) -> String {
        let mut text = String::from(LOCAL);
        let Some(container) = self.containers.get(serial) else { return text };
        for extra in container.host.extra_hosts.iter().flatten() {
            if let Some((name, address)) = extra.split_once(':') {
                text.push_str(&format!("{address}\t{name}\n"));
            }
        }
        let joined = container.endpoints.iter().filter_map(|endpoint| endpoint.joined.as_ref());
        for address in joined.filter_map(|joined| joined.address) {
            text.push_str(&format!("{address}\t{}\n", container.hostname()));
        }
        text
    }

    fn resolv_conf(&self, serial: Serial) -> String {
        let Some(container) = self.containers.get(serial) else { return String::new() };
        let host = &container.host;
        let own: Vec<&str> = host.dns.iter().flatten().map(|server| &**server).collect();
        let user_defined = !matches!(host.network(), "default" | "bridge" | "host" | "none");
        let (servers, options) = match () {
            () if user_defined => (&[OWN_SERVER][..], Some("ndots:0")),
            () if own.is_empty() => (&SERVERS[..], None),
            () => (&own[..], None),
        };
        let mut text = String::new();
        let search: Vec<&str> = host.dns_search.iter().flatten().map(|domain| &**domain).collect();
        if !search.is_empty() {
            text.push_str(&format!("search {}\n", search.join(" ")));
        }
        for server in servers {
            text.push_str(&format!("nameserver {server}\n"));
        }
        let asked = host.dns_options.iter().flatten().map(|option| &**option);
        let options: Vec<&str> = asked.chain(options).collect();
        if !options.is_empty() {
            text.push_str(&format!("options {}\n", options.join(" ")));
        }
        text
    }
}
