//! Small seeded worlds: instances with heartbeats, subscribers, slow readers, connections that break, a clock that jumps, a
//! disk that is slow and a process that dies.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use libswarm::discovery::TTL;
use libswarm::node::Input;
use libswarm::rpc::{ClientEvent, Codec, Method};
use libswarm::{ConnId, Instant};

use crate::etcd::Model;
use crate::peer::{Disk, World, args, with};

/// Worlds of each kind; `DISCOVERY_WORLDS` in the environment is another number.
const WORLDS: u64 = 60;
const STEPS: u32 = 150;
const SERVICES: [&str; 2] = ["web", "db"];
const ADDRESSES: [&str; 5] = ["a:1", "b:1", "c:1", "d:1", ":9"];

/// So long that the buffers of a reader who is slow are soon full.
const VALUE: &str = match core::str::from_utf8(&[b'v'; 5_000]) {
    Ok(text) => text,
    Err(_) => "",
};

/// What a subscriber makes of what it is told.
struct Subscriber {
    conn: ConnId,
    stream: u64,
    service: &'static str,
    /// Since when, and how long its attribute is.
    view: BTreeMap<String, (u64, Option<usize>)>,
    current: bool,
    /// It has not always read, so a state may come again when those in between were left out.
    slow: bool,
}

/// Where registrations are kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Store {
    Memory,
    Journal,
    Etcd,
}

struct Play {
    world: World,
    random: fastrand::Rng,
    store: Store,
    /// How many nodes there were.
    nodes: usize,
    conns: Vec<ConnId>,
    subscribers: Vec<Subscriber>,
    /// Instances whose clients live and send heartbeats, and when the last one was answered.
    living: BTreeMap<(usize, usize), (ConnId, Instant)>,
    /// The highest Created that was told of, over all services.
    highest: u64,
}

impl Play {
    fn new(seed: u64, store: Store) -> Self {
        let world = match store {
            Store::Memory => World::in_memory(),
            Store::Journal => World::on_disk(Disk::default(), Instant::ZERO),
            Store::Etcd => World::on_etcd(&Arc::new(Mutex::new(Model::new(1))), 0, Instant::ZERO),
        };
        Self {
            world,
            random: fastrand::Rng::with_seed(seed),
            store,
            nodes: 1,
            conns: Vec::new(),
            subscribers: Vec::new(),
            living: BTreeMap::new(),
            highest: 0,
        }
    }

    fn conn(&mut self) -> ConnId {
        if self.conns.is_empty() || self.random.u8(..) < 40 {
            let codec = if self.random.bool() { Codec::Gob } else { Codec::Json };
            self.conns.push(self.world.connect(codec));
        }
        self.conns[self.random.usize(..self.conns.len())]
    }

    /// One that reads, so that an answer can be waited for.
    fn awake(&mut self) -> ConnId {
        let id = self.conn();
        if self.world.peers[&id].stalled {
            self.world.resume(id);
        }
        id
    }

    /// Calls, and whether it was answered with success.
    fn ask(
        &mut self,
        id: ConnId,
        method: Method,
        service: usize,
        address: usize,
        value: u8,
    ) -> bool {
        let of = args(SERVICES[service], ADDRESSES[address]);
        let of = if value == 0 { of } else { with("v", &VALUE.repeat(value.into()), of) };
        let call = self.world.call(id, method, &of);
        while self.world.disk.doing.is_some() {
            self.world.work_disk();
        }
        let is_answer =
            |event: &ClientEvent| matches!(event, ClientEvent::Answer(of, _) if *of == call);
        for _ in 0..100 {
            // An etcd that has just been started again is not known to be there at once.
            if self.store == Store::Etcd && !self.world.peers[&id].events.iter().any(is_answer) {
                self.world.pass(Duration::from_millis(20));
            }
        }
        self.read();
        let peer = self.world.peers.get_mut(&id).unwrap();
        let at = peer.events.iter().position(is_answer);
        let Some(ClientEvent::Answer(_, result)) = at.map(|at| peer.events.remove(at)) else {
            panic!("{method:?} has no answer")
        };
        result.is_ok()
    }

    /// Every subscriber reads what has come to it.
    fn read(&mut self) {
        for subscriber in &mut self.subscribers {
            let Some(peer) = self.world.peers.get_mut(&subscriber.conn) else { continue };
            peer.events.retain(|event| match event {
                ClientEvent::Update(of, update) if *of == subscriber.stream => {
                    if update.is_marker() {
                        assert!(!std::mem::replace(&mut subscriber.current, true), "two markers");
                        return false;
                    }
                    assert_eq!(update.name, subscriber.service);
                    let address = update.address.to_string();
                    if update.online {
                        let value = update.attributes.as_ref().map(|all| all["v"].len());
                        let new = (update.created, value);
                        let old = subscriber.view.insert(address, new);
                        assert!(
                            subscriber.slow || old.as_ref() != Some(&new),
                            "told twice: {new:?}"
                        );
                        assert!(old.is_none_or(|old| old.0 <= new.0), "Created went back");
                        self.highest = self.highest.max(new.0);
                    } else {
                        assert!(
                            subscriber.view.remove(&address).is_some(),
                            "{address} was unknown"
                        );
                    }
                    false
                }
                ClientEvent::Ended(of, _) if *of == subscriber.stream => panic!("it ended"),
                _ => true,
            });
        }
    }

    fn step(&mut self) {
        let (service, address) = (self.random.usize(..2), self.random.usize(..ADDRESSES.len()));
        match self.random.u8(..100) {
            0..30 => {
                let (id, value) = (self.awake(), self.random.u8(..4));
                assert!(self.ask(id, Method::Register, service, address, value));
                self.living.insert((service, address), (id, self.world.now));
            }
            30..40 => {
                let id = self.awake();
                let was = self.living.remove(&(service, address)).is_some();
                let is = self.ask(id, Method::Unregister, service, address, 0);
                assert!(is || !was, "a living instance is not registered");
            }
            40..55 => {
                let conn = self.conn();
                let stream = self.world.call(conn, Method::Subscribe, &args(SERVICES[service], ""));
                let (service, view) = (SERVICES[service], BTreeMap::new());
                let slow = self.world.peers[&conn].stalled;
                self.subscribers.push(Subscriber {
                    conn,
                    stream,
                    service,
                    view,
                    current: false,
                    slow,
                });
            }
            55..60 => {
                if !self.subscribers.is_empty() {
                    let which = self.random.usize(..self.subscribers.len());
                    let gone = self.subscribers.swap_remove(which);
                    self.world.close_stream(gone.conn, gone.stream);
                }
            }
            60..67 => {
                let id = self.conn();
                self.world.peers.get_mut(&id).unwrap().stalled = true;
                for subscriber in self.subscribers.iter_mut().filter(|it| it.conn == id) {
                    subscriber.slow = true;
                }
            }
            67..75 => {
                let id = self.conn();
                self.world.resume(id);
            }
            75..80 => self.lose(),
            80..83 if self.store != Store::Etcd => {
                // The process is stopped, and goes on much later; heartbeats have not been lost.
                self.world.now = self.world.now + Duration::from_secs(self.random.u64(..300));
                // Timers that are hardly late are as if nothing had been; then heartbeats have to be read first.
                let late = self
                    .world
                    .node
                    .poll_timeout()
                    .map_or(Duration::MAX, |due| self.world.now - due);
                if late > TTL / 20 && self.random.bool() {
                    self.world.input(Input::Timeout);
                }
                self.beat();
                self.world.input(Input::Timeout);
            }
            83..86 if self.store == Store::Journal => self.crash(),
            83..86 if self.store == Store::Etcd => self.replace(),
            86..89 if self.store == Store::Etcd => self.restart_etcd(),
            86..89 => self.world.disk.slow = self.store == Store::Journal && self.random.bool(),
            _ => {
                let time = Duration::from_millis(self.random.u64(..6_000));
                self.world.pass(time);
                while self.world.disk.doing.is_some() {
                    self.world.work_disk();
                }
                self.beat();
            }
        }
        self.read();
    }

    /// Those who live say so, if it is time.
    fn beat(&mut self) {
        let due: Vec<_> = self
            .living
            .iter()
            .filter(|(_, (_, last))| self.world.now - *last >= Duration::from_secs(3))
            .map(|(key, _)| *key)
            .collect();
        for key in due {
            let id = self.awake();
            // Whether it is still there as it was is seen by who was told.
            let before = self.created(key);
            assert!(self.ask(id, Method::Register, key.0, key.1, 0));
            if let (Some(before), Some(after)) = (before, self.created(key)) {
                assert_eq!(before, after, "a living instance was gone in between");
            }
            self.living.insert(key, (id, self.world.now));
        }
    }

    /// Since when an instance is there, from a subscriber that is current and reads.
    fn created(&mut self, (service, address): (usize, usize)) -> Option<u64> {
        self.read();
        let address =
            if ADDRESSES[address].starts_with(':') { "127.0.0.1:9" } else { ADDRESSES[address] };
        let awake = self.subscribers.iter().find(|it| {
            it.current && it.service == SERVICES[service] && !self.world.peers[&it.conn].stalled
        })?;
        let found = awake.view.get(address).map(|(created, _)| *created);
        Some(found.expect("a living instance is registered"))
    }

    /// A connection breaks.
    fn lose(&mut self) {
        if self.conns.is_empty() {
            return;
        }
        let gone = self.conns.swap_remove(self.random.usize(..self.conns.len()));
        self.subscribers.retain(|subscriber| subscriber.conn != gone);
        self.world.input(Input::Broken(gone));
        assert!(self.world.peers.remove(&gone).unwrap().closed.is_some());
    }

    /// The process dies, and comes back with what is on the disk.
    fn crash(&mut self) {
        let mut disk = std::mem::take(&mut self.world.disk);
        if let Some(what) = disk.doing.take() {
            if let libswarm::discovery::store::Persist::Append(bytes) = &what {
                disk.file.extend_from_slice(&bytes[..self.random.usize(..=bytes.len())]);
            } else if self.random.bool() {
                disk.persist(&what);
            }
        }
        disk.slow = false;
        let now = self.world.now;
        self.world = World::on_disk(disk, now);
        self.conns.clear();
        self.subscribers.clear();
    }

    /// The process dies, and its clients go on at another one on the same etcd.
    fn replace(&mut self) {
        let etcd = self.world.etcd.as_ref().unwrap();
        let model = Arc::clone(&etcd.model);
        model.lock().unwrap().disconnect(self.nodes - 1);
        self.world = World::on_etcd(&model, self.nodes, self.world.now);
        self.nodes += 1;
        self.conns.clear();
        self.subscribers.clear();
    }

    fn restart_etcd(&mut self) {
        let etcd = self.world.etcd.as_ref().unwrap();
        let mut model = etcd.model.lock().unwrap();
        if self.random.bool() {
            model.restart();
        } else {
            model.put_by_others("/elsewhere", "x");
            model.compact();
        }
        drop(model);
        self.world.run();
    }

    /// Everybody reads to the end: every view is the same, and has all who live.
    fn settle(&mut self) {
        self.world.disk.slow = false;
        while self.world.disk.doing.is_some() {
            self.world.work_disk();
        }
        if self.store == Store::Etcd {
            self.world.pass(Duration::from_millis(200));
        }
        for id in self.conns.clone() {
            self.world.resume(id);
        }
        self.read();
        assert_eq!(self.world.subscriptions(), self.subscribers.len());
        let id = self.world.connect(Codec::Gob);
        for (nth, service) in SERVICES.into_iter().enumerate() {
            let stream = self.world.call(id, Method::Subscribe, &args(service, ""));
            let view = BTreeMap::new();
            self.subscribers.push(Subscriber {
                conn: id,
                stream,
                service,
                view,
                current: false,
                slow: false,
            });
            self.read();
            let truth = self.subscribers.last().unwrap().view.clone();
            for subscriber in self.subscribers.iter().filter(|it| it.service == service) {
                assert!(subscriber.current, "its marker is missing");
                assert_eq!(subscriber.view, truth, "a view differs from the registry");
            }
            for (_, address) in self.living.keys().filter(|(service, _)| *service == nth) {
                let address = ADDRESSES[*address].replace(":9", "127.0.0.1:9");
                assert!(truth.contains_key(&address), "{service} {address} lives");
            }
            // Whoever comes now is younger than all before.
            let before = self.highest;
            let address = "new:1";
            self.world.call(id, Method::Register, &args(service, address));
            self.read();
            let created = self.subscribers.last().unwrap().view[address].0;
            assert!(created > before, "Created {created} after {before}");
            self.world.call(id, Method::Unregister, &args(service, address));
            self.read();
        }
    }
}

fn play(store: Store) {
    let worlds = std::env::var("DISCOVERY_WORLDS").ok().and_then(|it| it.parse().ok());
    for seed in 0..worlds.unwrap_or(WORLDS) {
        let mut play = Play::new(seed, store);
        let played = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..STEPS {
                play.step();
            }
            play.settle();
        }));
        if let Err(panic) = played {
            eprintln!("seed {seed}, store: {store:?}");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn in_memory() {
    play(Store::Memory);
}

#[test]
fn on_a_journal() {
    play(Store::Journal);
}

#[test]
fn on_an_etcd() {
    play(Store::Etcd);
}
