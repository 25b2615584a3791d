//! What the simulated engine holds: its containers, the image they run and the network they are on.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::Ipv4Addr;
use core::time::Duration;

use super::container::{Container, Endpoint, State};
use super::versions::Dialect;
use crate::job::{Cx, Failure, FailureKind};

/// All of the engine's state.
pub(super) struct World {
    /// The daemon's own id, in the form of 20.10: twelve groups of four.
    pub(super) id: String,
    /// In the order they were created.
    pub(super) containers: Vec<Container>,
    pub(super) image: Image,
    pub(super) network: Network,
    /// Changes with everything above, so that answers made from it can be kept.
    pub(super) revision: u64,
}

/// An image, by its name with a tag.
pub(super) struct Image {
    pub(super) name: &'static str,
    pub(super) id: &'static str,
    pub(super) digest: &'static str,
    pub(super) created: Duration,
    /// Bytes of all its layers.
    pub(super) size: u64,
    pub(super) command: &'static [&'static str],
    pub(super) env: &'static [&'static str],
}

/// A network with one IPv4 subnet.
pub(super) struct Network {
    pub(super) name: &'static str,
    pub(super) id: String,
    pub(super) gateway: Ipv4Addr,
    pub(super) prefix: u8,
}

/// How many containers have an address on the bridge: a /16 without its own, the gateway's and the broadcast address.
pub(super) const MAX_CONTAINERS: usize = (1 << 16) - 3;

impl World {
    /// An engine that has just started a container of each name. `random` draws what ids are made of.
    pub(super) fn new(names: &[String], now: Duration, mut random: impl FnMut() -> u64) -> Self {
        let network = Network {
            name: "bridge",
            id: hex_id(&mut random),
            gateway: Ipv4Addr::new(172, 17, 0, 1),
            prefix: 16,
        };
        let image = Image {
            name: "busybox:latest",
            id: "sha256:7f619c1ecd95bdb701f17ea69f6946ba214484cb76a702b5d79b85d28465672c",
            digest: "sha256:82978c6101def361cd7aa913992c3c35b1f850d4db8da69cc0f1fd0f8a59bd8f",
            created: Duration::from_secs(1_727_386_302),
            size: 4_276_840,
            command: &["sleep", "infinity"],
            env: &["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
        };
        let first = u32::from(network.gateway) + 1;
        let containers = (0u32..)
            .zip(names)
            .map(|(nth, name)| Container {
                id: hex_id(&mut random),
                name: name.clone(),
                path: image.command[0].to_string(),
                args: image.command[1..].iter().map(ToString::to_string).collect(),
                labels: BTreeMap::new(),
                created: now,
                state: State::Running,
                pid: 2000 + nth,
                exit_code: 0,
                started: Some(now),
                finished: None,
                size_rw: 0,
                endpoint: Endpoint {
                    id: hex_id(&mut random),
                    sandbox: hex_id(&mut random),
                    address: Ipv4Addr::from(first + nth),
                },
            })
            .collect();
        Self { id: daemon_id(&mut random), containers, image, network, revision: 0 }
    }

    /// The container that a client means by a full id, a name with or without its slash, or a prefix that only one id has.
    pub(super) fn find(&self, wanted: &str, dialect: Dialect) -> Result<&Container, Failure> {
        if let Some(exact) = self.exactly(wanted) {
            return Ok(exact);
        }
        let mut with_prefix =
            self.containers.iter().filter(|c| !wanted.is_empty() && c.id.starts_with(wanted));
        match (with_prefix.next(), with_prefix.next()) {
            (Some(only), None) => Ok(only),
            (Some(_), Some(_)) if dialect.is_legacy() => Err(Failure::new(
                FailureKind::System,
                format!("Multiple IDs found with provided prefix: {wanted}"),
            )),
            (Some(_), Some(_)) => Err(Failure::new(
                FailureKind::InvalidParameter,
                format!("multiple IDs found with provided prefix: {wanted}"),
            )),
            (None, _) => {
                Err(Failure::new(FailureKind::NotFound, format!("No such container: {wanted}")))
            }
        }
    }

    /// As [`find`](World::find), without prefixes.
    pub(super) fn exactly(&self, wanted: &str) -> Option<&Container> {
        let name = wanted.strip_prefix('/').unwrap_or(wanted);
        self.containers
            .iter()
            .find(|container| container.id == wanted)
            .or_else(|| self.containers.iter().find(|container| container.name == name))
    }

    /// Whether a client means the image by this: its name with or without its tag, its id or the beginning of that.
    pub(super) fn has_image(&self, wanted: &str) -> bool {
        let Image { name, id, .. } = self.image;
        let id = id.trim_start_matches("sha256:");
        let wanted_id = wanted.trim_start_matches("sha256:");
        name == wanted
            || name.strip_suffix(":latest") == Some(wanted)
            || (!wanted_id.is_empty() && id.starts_with(wanted_id))
    }

    /// Whether a client means a network that is there: by its name, its id or the beginning of that.
    pub(super) fn has_network(&self, wanted: &str) -> bool {
        let Network { name, id, .. } = &self.network;
        *name == wanted || (!wanted.is_empty() && id.starts_with(wanted))
    }

    /// How many containers are in a state that `is` says yes to.
    pub(super) fn count(&self, is: impl Fn(State) -> bool) -> usize {
        self.containers.iter().filter(|container| is(container.state)).count()
    }
}

impl Image {
    /// Whether a client means this image by `wanted`: its id or the beginning of it, or a name, with or without the
    /// registry's part, the tag or a digest.
    pub(super) fn is_called(&self, wanted: &str) -> bool {
        let digits = self.id.trim_start_matches("sha256:");
        let id = wanted.strip_prefix("sha256:").unwrap_or(wanted);
        if !id.is_empty() && digits.starts_with(id) {
            return true;
        }
        let name = wanted.strip_prefix("docker.io/").unwrap_or(wanted);
        let name = name.strip_prefix("library/").unwrap_or(name);
        let (repository, _) = self.repository();
        match name.split_once('@') {
            Some((name, digest)) => {
                digest == self.digest && (name == repository || name == self.name)
            }
            None => name == repository || name == self.name,
        }
    }

    /// Its name in its two parts.
    pub(super) fn repository(&self) -> (&'static str, &'static str) {
        self.name.split_once(':').unwrap_or((self.name, "latest"))
    }
}

/// Draws what a [`World`] is made of from a backend's door.
pub(super) fn create(cx: &mut Cx<'_>, names: &[String]) -> World {
    let now = cx.unix_time();
    World::new(names, now, || cx.random())
}

/// An id that is not mistaken for a number when it is cut to twelve digits: the engine draws again then, too.
fn hex_id(random: &mut impl FnMut() -> u64) -> String {
    loop {
        let id: String = (0..4).map(|_| format!("{:016x}", random())).collect();
        if !id.as_bytes()[..12].iter().all(u8::is_ascii_digit) {
            return id;
        }
    }
}

fn daemon_id(random: &mut impl FnMut() -> u64) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut id = String::new();
    for group in 0..12 {
        if group > 0 {
            id.push(':');
        }
        let bits = random();
        id.extend((0..4).map(|nth| char::from(ALPHABET[(bits >> (5 * nth)) as usize % 32])));
    }
    id
}

#[cfg(test)]
pub(super) mod tests {
    use super::{Container, World, hex_id};
    use crate::backend::simulator::container::State;
    use crate::backend::simulator::versions::{Dialect, NEWEST};
    use crate::docker::version::ApiVersion;
    use alloc::string::{String, ToString};
    use alloc::vec::Vec;
    use core::time::Duration;

    pub(in crate::backend::simulator) const START: Duration = Duration::from_secs(1_795_315_894);
    pub(in crate::backend::simulator) const LEGACY: Dialect = Dialect::new(ApiVersion::new(1, 41));

    pub(in crate::backend::simulator) fn world(names: &[&str]) -> World {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut random = fastrand::Rng::with_seed(7);
        World::new(&names, START, || random.u64(..))
    }

    /// Four containers, in this order: `web` and `db` run, `cr` was never started, `ex` ended with 0.
    pub(in crate::backend::simulator) fn four() -> World {
        let mut world = world(&["web", "db", "cr", "ex"]);
        let [.., cr, ex] = &mut world.containers[..] else { unreachable!("four were made") };
        (cr.state, cr.started, cr.pid) = (State::Created, None, 0);
        (ex.state, ex.finished, ex.pid) = (State::Exited, Some(START), 0);
        world
    }

    #[test]
    fn containers_are_found_by_id_name_and_unique_prefix() {
        let mut world = world(&["web", "db"]);
        for (container, digit) in world.containers.iter_mut().zip(["a1", "a2"]) {
            container.id.replace_range(..2, digit);
        }
        let found = |wanted: &str| match world.find(wanted, NEWEST) {
            Ok(Container { name, .. }) => name.clone(),
            Err(failure) => failure.message.into_owned(),
        };
        assert_eq!(found("web"), "web");
        assert_eq!(found("/db"), "db");
        assert_eq!(found(&world.containers[0].id), "web");
        assert_eq!(found("a2"), "db");
        assert_eq!(found("a"), "multiple IDs found with provided prefix: a");
        assert_eq!(found("we"), "No such container: we");
        assert_eq!(found(""), "No such container: ");
        assert_eq!(found("A1"), "No such container: A1");
    }

    #[test]
    fn a_name_wins_over_a_prefix() {
        let mut world = world(&["web", "db"]);
        world.containers[0].id.replace_range(..2, "db");
        assert_eq!(world.find("db", NEWEST).map(|container| container.name.as_str()), Ok("db"));
    }

    #[test]
    fn ids_look_like_ids() {
        let world = world(&["web", "db"]);
        let mut ids: Vec<&str> = world.containers.iter().map(|c| c.id.as_str()).collect();
        ids.push(&world.network.id);
        for id in &ids {
            assert_eq!(id.len(), 64);
            assert!(id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')), "{id}");
        }
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 3);
        assert_eq!(world.id.len(), 12 * 4 + 11);
    }

    #[test]
    fn an_id_that_reads_as_a_number_is_drawn_again() {
        let mut draws =
            [0x1234_5678_9012_3456, 0, 0, 0, 0xa000_0000_0000_0000, 0, 0, 0].into_iter();
        assert!(hex_id(&mut || draws.next().expect("two ids")).starts_with("a000000000000000"));
    }

    #[test]
    fn an_image_has_many_names() {
        let image = world(&[]).image;
        let digits = image.id.trim_start_matches("sha256:");
        for name in ["busybox", "busybox:latest", "library/busybox", "docker.io/library/busybox"] {
            assert!(image.is_called(name), "{name}");
        }
        assert!(image.is_called(image.id) && image.is_called(&digits[..12]));
        assert!(image.is_called(&alloc::format!("busybox@{}", image.digest)));
        for name in ["", "busy", "BUSYBOX", "busybox:1", "example.com/busybox", "sha256:"] {
            assert!(!image.is_called(name), "{name}");
        }
    }
}
