//! What the simulated engine holds, and what happens in it by itself.
//!
//! The world knows the rules and nothing of clients: it says what has happened ([`Notice`], [`Bus`]) and who has something
//! to do ([`World::ready`]), and the streams take that to whom it concerns.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Bound;
use core::time::Duration;

use super::bus::Bus;
use super::config::Config;
use super::container::{Container, Serial, State};
use super::exec::Execs;
use super::failures::{invalid, not_found, system};
use super::files::Store;
use super::host_config::HostConfig;
use super::images::Images;
use super::links::Links;
use super::networks::Networks;
use super::process::Behaviour;
use super::versions::Dialect;
use super::volumes::Volumes;
use crate::job::Failure;
use crate::time::Instant;

/// All of the engine's state.
pub(super) struct World {
    /// The daemon's own id, in the form of 20.10: twelve groups of four.
    pub(super) id: String,
    /// Since the Unix epoch; set with each event from outside.
    pub(super) now: Duration,
    pub(super) instant: Instant,
    pub(super) containers: Containers,
    pub(super) images: Images,
    /// No registry answers.
    pub(super) offline: bool,
    pub(super) networks: Networks,
    pub(super) volumes: Volumes,
    pub(super) execs: Execs,
    pub(super) links: Links,
    pub(super) store: Store,
    pub(super) bus: Bus,
    /// Containers whose processes have something to do.
    pub(super) ready: BTreeSet<Serial>,
    pub(super) agenda: Agenda,
    pub(super) notices: Vec<Notice>,
    pub(super) next_pid: u32,
    pub(super) random: fastrand::Rng,
    /// Changes with what lists of containers show, so that they can be kept.
    pub(super) revision: u64,
    /// What containers were lately created with: equal ones share it.
    shapes: (Vec<Arc<Config>>, Vec<Arc<HostConfig>>),
    /// What single containers do instead of running their program.
    pub(super) performances: BTreeMap<Serial, Arc<Behaviour>>,
}

/// Something that happened to a container, for those who wait for it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Notice {
    /// Its process has ended; by now it may run again.
    Exited {
        serial: Serial,
        exit_code: i32,
    },
    /// It ended and will not be started again by its policy.
    Stopped(Serial),
    /// It was started again after [`World::restart`].
    Restarted(Serial),
    /// It could not be started.
    NotStarted {
        serial: Serial,
        failure: Failure,
    },
    Removed {
        serial: Serial,
        exit_code: i32,
    },
}

/// The containers, in the order they were created, and by what clients call them.
#[derive(Default)]
pub(super) struct Containers {
    all: BTreeMap<Serial, Box<Container>>,
    by_id: BTreeMap<Arc<str>, Serial>,
    by_name: BTreeMap<Arc<str>, Serial>,
    next: Serial,
}

/// What is due, and when.
#[derive(Default)]
pub(super) struct Agenda {
    entries: BTreeMap<(Instant, u64), Due>,
    next: u64,
}

/// What happens at a moment that was agreed on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Due {
    /// A process sleeps until then.
    Advance(Serial),
    /// A container that was told to stop has not.
    Kill(Serial),
    /// A restart policy's pause is over.
    Restart(Serial),
    /// The next check of a container's health, or the end of the time for one.
    Probe(Serial),
    /// A container that was made to be removed has ended long enough ago.
    Remove(Serial),
}

/// A place in the [`Agenda`].
pub(super) type DueKey = (Instant, u64);

impl Agenda {
    pub(super) fn add(&mut self, at: Instant, due: Due) -> DueKey {
        let key = (at, self.next);
        self.next += 1;
        self.entries.insert(key, due);
        key
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn cancel(&mut self, key: Option<DueKey>) {
        if let Some(key) = key {
            self.entries.remove(&key);
        }
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.entries.keys().next().map(|(at, _)| *at)
    }

    pub(super) fn pop(&mut self, now: Instant) -> Option<Due> {
        let entry = self.entries.first_entry()?;
        (entry.key().0 <= now).then(|| entry.remove())
    }
}

impl Containers {
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// The oldest first.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Container> {
        self.all.values().map(|container| &**container)
    }

    pub(super) fn get(&self, serial: Serial) -> Option<&Container> {
        self.all.get(&serial).map(|container| &**container)
    }

    pub(super) fn get_mut(&mut self, serial: Serial) -> Option<&mut Container> {
        self.all.get_mut(&serial).map(|container| &mut **container)
    }

    /// The one that has this name, without a slash.
    pub(super) fn named(&self, name: &str) -> Option<&Container> {
        self.get(*self.by_name.get(name)?)
    }

    /// The serial that the next one will have.
    pub(super) const fn next_serial(&self) -> Serial {
        self.next
    }

    pub(super) fn insert(&mut self, container: Container) {
        self.next = container.serial + 1;
        self.by_id.insert(Arc::clone(&container.id), container.serial);
        self.by_name.insert(Arc::clone(&container.name), container.serial);
        self.all.insert(container.serial, Box::new(container));
    }

    pub(super) fn remove(&mut self, serial: Serial) -> Option<Box<Container>> {
        let container = self.all.remove(&serial)?;
        self.by_id.remove(&container.id);
        self.by_name.remove(&container.name);
        Some(container)
    }

    pub(super) fn rename(&mut self, serial: Serial, name: Arc<str>) {
        let Some(container) = self.all.get_mut(&serial) else { return };
        self.by_name.remove(&container.name);
        self.by_name.insert(Arc::clone(&name), serial);
        container.name = name;
    }

    /// Those whose id begins with `prefix`.
    pub(super) fn with_prefix<'a, 'p>(
        &'a self,
        prefix: &'p str,
    ) -> impl Iterator<Item = &'a Container> + use<'a, 'p> {
        self.by_id
            .range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
            .take_while(move |(id, _)| !prefix.is_empty() && id.starts_with(prefix))
            .filter_map(|(_, serial)| self.get(*serial))
    }

    /// By a full id or by a name, with or without its slash.
    pub(super) fn exactly(&self, wanted: &str) -> Option<&Container> {
        let serial = self.by_id.get(wanted).copied();
        let name = wanted.strip_prefix('/').unwrap_or(wanted);
        serial.and_then(|serial| self.get(serial)).or_else(|| self.named(name))
    }
}

impl World {
    /// An engine in which nothing has happened. `seed` is what its ids are drawn from.
    pub(super) fn new(now: Duration, instant: Instant, seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        Self {
            id: daemon_id(&mut random),
            now,
            instant,
            containers: Containers::default(),
            images: Images::new(),
            offline: false,
            networks: Networks::new(now, &mut random),
            volumes: Volumes::default(),
            execs: Execs::default(),
            links: Links::default(),
            store: Store::new(),
            bus: Bus::default(),
            ready: BTreeSet::new(),
            agenda: Agenda::default(),
            notices: Vec::new(),
            next_pid: 2000,
            random,
            revision: 0,
            shapes: (Vec::new(), Vec::new()),
            performances: BTreeMap::new(),
        }
    }

    /// A new id of 64 digits.
    pub(super) fn hex_id(&mut self) -> Arc<str> {
        hex_id(&mut self.random).into()
    }

    /// The container that a client means by a full id, a name with or without its slash, or a prefix that only one id has.
    pub(super) fn find(&self, wanted: &str, dialect: Dialect) -> Result<&Container, Failure> {
        if let Some(exact) = self.containers.exactly(wanted) {
            return Ok(exact);
        }
        let mut with_prefix = self.containers.with_prefix(wanted);
        match (with_prefix.next(), with_prefix.next()) {
            (Some(only), None) => Ok(only),
            (Some(_), Some(_)) if dialect.is_legacy() => {
                Err(system(format!("Multiple IDs found with provided prefix: {wanted}")))
            }
            (Some(_), Some(_)) => {
                Err(invalid(format!("multiple IDs found with provided prefix: {wanted}")))
            }
            (None, _) => Err(not_found(format!("No such container: {wanted}"))),
        }
    }

    /// As [`find`](World::find), its place only.
    pub(super) fn serial(&self, wanted: &str, dialect: Dialect) -> Result<Serial, Failure> {
        self.find(wanted, dialect).map(|container| container.serial)
    }

    /// How many containers are in a state that `is` says yes to.
    pub(super) fn count(&self, is: impl Fn(State) -> bool) -> usize {
        self.containers.iter().filter(|container| is(container.state)).count()
    }

    /// Shares a configuration with a container that was created with the same.
    pub(super) fn share(
        &mut self,
        config: Config,
        host: HostConfig,
    ) -> (Arc<Config>, Arc<HostConfig>) {
        (shared(&mut self.shapes.0, config), shared(&mut self.shapes.1, host))
    }

    /// Notes that what is shown of a container has changed.
    pub(super) fn touch(&mut self) {
        self.revision += 1;
    }
}

/// The one of `known` that is equal, or a new one, which is kept for the next.
fn shared<T: PartialEq>(known: &mut Vec<Arc<T>>, new: T) -> Arc<T> {
    const KEPT: usize = 16;
    if let Some(place) = known.iter().position(|old| **old == new) {
        known[..=place].rotate_right(1);
        return Arc::clone(&known[0]);
    }
    known.truncate(KEPT - 1);
    known.insert(0, Arc::new(new));
    Arc::clone(&known[0])
}

/// An id that is not mistaken for a number when it is cut to twelve digits: the engine draws again then, too.
pub(super) fn hex_id(random: &mut fastrand::Rng) -> String {
    loop {
        let id: String = (0..4).map(|_| format!("{:016x}", random.u64(..))).collect();
        if !id.as_bytes()[..12].iter().all(u8::is_ascii_digit) {
            return id;
        }
    }
}

fn daemon_id(random: &mut fastrand::Rng) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut id = String::new();
    for group in 0..12 {
        if group > 0 {
            id.push(':');
        }
        id.extend((0..4).map(|_| char::from(ALPHABET[random.usize(..32)])));
    }
    id
}

#[cfg(test)]
pub(super) mod tests {
    use super::{Container, World};
    use crate::backend::simulator::container::{Serial, State};
    use crate::backend::simulator::versions::{Dialect, NEWEST};
    use crate::docker::version::ApiVersion;
    use crate::time::Instant;
    use alloc::string::ToString;
    use alloc::vec::Vec;
    use core::time::Duration;

    pub(in crate::backend::simulator) const START: Duration = Duration::from_secs(1_795_315_894);
    pub(in crate::backend::simulator) const LEGACY: Dialect = Dialect::new(ApiVersion::new(1, 41));

    /// Running containers of these names.
    pub(in crate::backend::simulator) fn world(names: &[&str]) -> World {
        let mut world = World::new(START, Instant::ZERO, 7);
        for name in names {
            world.create_sleeping(name).unwrap();
        }
        world
    }

    /// The container that was created after so many others.
    pub(in crate::backend::simulator) fn nth(world: &mut World, nth: usize) -> &mut Container {
        let serial: Serial = world.containers.iter().nth(nth).unwrap().serial;
        world.containers.get_mut(serial).unwrap()
    }

    /// Gives the container of that name an id that begins so.
    pub(in crate::backend::simulator) fn set_id(world: &mut World, name: &str, start: &str) {
        let serial = world.containers.named(name).unwrap().serial;
        let mut container = *world.containers.remove(serial).unwrap();
        let mut id = container.id.to_string();
        id.replace_range(..start.len(), start);
        container.id = id.into();
        let next = world.containers.next;
        world.containers.insert(container);
        world.containers.next = next;
    }

    /// Four containers, in this order: `web` and `db` run, `cr` was never started, `ex` ended with 0.
    pub(in crate::backend::simulator) fn four() -> World {
        let mut world = world(&["web", "db", "cr", "ex"]);
        let cr = nth(&mut world, 2);
        (cr.state, cr.started, cr.pid, cr.sandbox) = (State::Created, None, 0, None);
        for endpoint in &mut cr.endpoints {
            (endpoint.joined, endpoint.was_joined) = (None, false);
        }
        let ex = nth(&mut world, 3);
        (ex.state, ex.finished, ex.pid) = (State::Exited, Some(START), 0);
        for endpoint in &mut ex.endpoints {
            endpoint.joined = None;
        }
        world
    }

    #[test]
    fn containers_are_found_by_id_name_and_unique_prefix() {
        let mut world = world(&["web", "db"]);
        set_id(&mut world, "web", "a1");
        set_id(&mut world, "db", "a2");
        let found = |wanted: &str| match world.find(wanted, NEWEST) {
            Ok(Container { name, .. }) => name.to_string(),
            Err(failure) => failure.message.into_owned(),
        };
        assert_eq!(found("web"), "web");
        assert_eq!(found("/db"), "db");
        assert_eq!(found(&world.containers.named("web").unwrap().id), "web");
        assert_eq!(found("a2"), "db");
        assert_eq!(found("a"), "multiple IDs found with provided prefix: a");
        assert_eq!(found("we"), "No such container: we");
        assert_eq!(found(""), "No such container: ");
        assert_eq!(found("A1"), "No such container: A1");
    }

    #[test]
    fn a_name_wins_over_a_prefix() {
        let mut world = world(&["web", "db"]);
        set_id(&mut world, "web", "db");
        assert_eq!(world.find("db", NEWEST).map(|container| &*container.name), Ok("db"));
    }

    #[test]
    fn ids_look_like_ids() {
        let mut world = world(&["web", "db"]);
        let mut ids: Vec<_> = world.containers.iter().map(|c| c.id.clone()).collect();
        ids.push(world.hex_id());
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
    fn containers_created_alike_share_what_they_were_created_with() {
        let mut world = world(&["web", "db"]);
        let web = alloc::sync::Arc::clone(&nth(&mut world, 0).config);
        assert!(alloc::sync::Arc::ptr_eq(&web, &nth(&mut world, 1).config));
    }
}
