//! Small seeded worlds of several servers of discovery on one etcd or one ZooKeeper of three members, to whom all kinds of things
//! happen.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use libswarm::Instant;
use libswarm::discovery::{Attributes, Event, Store, StoreError, SubscriptionId, TTL};

use crate::bench::{Bench, Model};
use crate::etcd::{self, Member};
use crate::zookeeper;

/// How many; `DISCOVERY_WORLDS` in the environment is another number.
const WORLDS: u64 = 100;
const STEPS: u32 = 120;
const ADDRESSES: [&str; 5] = ["a", "b", "c", "d", "e"];

/// What a subscriber makes of what it is told.
struct Subscriber {
    at: (usize, SubscriptionId),
    view: BTreeMap<String, (u64, Option<usize>)>,
    current: bool,
}

/// An instance whose client lives.
#[derive(Clone, Copy)]
struct Life {
    /// When the last heartbeat that was answered with success was sent, and the instance's Created then.
    good: Option<(Instant, u64)>,
    tried: Instant,
}

struct Play<M> {
    bench: Bench<M>,
    random: fastrand::Rng,
    subscribers: Vec<Subscriber>,
    living: BTreeMap<&'static str, Life>,
    /// Addresses that are being unregistered, and those of which it is not known whether they were.
    ending: BTreeMap<u64, &'static str>,
    unsure: BTreeSet<&'static str>,
    /// Registrations that wait for their answer, and when they were asked for.
    asked: BTreeMap<u64, (&'static str, Instant)>,
    /// Whose each Created was.
    created: BTreeMap<u64, String>,
    latest: BTreeMap<String, u64>,
}

impl<M: Model> Play<M> {
    fn new(seed: u64) -> Self {
        let mut bench = Bench::new(2, 3);
        bench.reads = true;
        bench.now = Instant::new(Duration::from_secs(1));
        Self {
            bench,
            random: fastrand::Rng::with_seed(seed),
            subscribers: Vec::new(),
            living: BTreeMap::new(),
            ending: BTreeMap::new(),
            unsure: BTreeSet::new(),
            asked: BTreeMap::new(),
            created: BTreeMap::new(),
            latest: BTreeMap::new(),
        }
    }

    fn store(&mut self) -> usize {
        self.random.usize(..self.bench.stores.len())
    }

    fn subscribe(&mut self, at: usize) {
        let at = self.bench.subscribe(at);
        self.subscribers.push(Subscriber { at, view: BTreeMap::new(), current: false });
        self.listen();
    }

    fn register(&mut self, address: &'static str) {
        if self.ending.values().any(|of| *of == address) || self.unsure.contains(address) {
            return;
        }
        let (at, count) = (self.store(), self.random.usize(..3));
        let attributes = (count > 0).then(|| -> Attributes {
            (1..count).map(|nth| (nth.to_string(), String::new())).collect()
        });
        let request = self.bench.start(at, address, attributes);
        self.asked.insert(request, (address, self.bench.now));
        let life = Life { good: None, tried: self.bench.now };
        self.living.entry(address).or_insert(life).tried = self.bench.now;
        self.listen();
    }

    /// Takes note of answers, and of what subscribers are told.
    fn listen(&mut self) {
        self.bench.settle();
        for (request, result) in std::mem::take(&mut self.bench.done) {
            if let Some(address) = self.ending.remove(&request) {
                if matches!(result, Err(StoreError::Unavailable(_))) {
                    self.unsure.insert(address);
                }
                continue;
            }
            let Some((address, sent)) = self.asked.remove(&request) else { continue };
            let Some(life) = self.living.get_mut(address) else { continue };
            if result.is_err() {
                continue;
            }
            let created = self.bench.model().instances().get(&format!("web/{address}")).copied();
            if let Some((before, old)) = life.good
                && self.bench.now - before < TTL
            {
                assert_eq!(created, Some(old), "{address} lived, and was gone in between");
            }
            life.good = created.map(|created| (sent, created));
        }
        for (at, id, event) in std::mem::take(&mut self.bench.told) {
            let Some(subscriber) = self.subscribers.iter_mut().find(|it| it.at == (at, id)) else {
                continue;
            };
            match event {
                Event::Current => assert!(!std::mem::replace(&mut subscriber.current, true)),
                Event::Online(it) => {
                    let new = (it.created, it.attributes.as_ref().map(BTreeMap::len));
                    let old = subscriber.view.insert(it.address.to_string(), new);
                    assert_ne!(old, Some(new), "{} is told twice", it.address);
                    assert!(old.is_none_or(|old| old.0 <= new.0), "Created went back");
                    let owner =
                        self.created.entry(it.created).or_insert_with(|| it.address.to_string());
                    assert_eq!(**owner, *it.address, "two have one Created");
                }
                Event::Offline(it) => {
                    let known = subscriber.view.remove(&*it.address);
                    assert!(known.is_some(), "{} was never told", it.address);
                }
                other => panic!("{other:?}"),
            }
        }
        for (at, id, _) in std::mem::take(&mut self.bench.ended) {
            self.subscribers.retain(|it| it.at != (at, id));
        }
        let there = self.bench.model().instances();
        for (name, created) in there {
            let before = self.latest.insert(name, created);
            assert!(before.is_none_or(|before| before <= created));
        }
    }

    fn step(&mut self) {
        let address = ADDRESSES[self.random.usize(..ADDRESSES.len())];
        match self.random.u8(..100) {
            0..25 => self.register(address),
            25..33 => {
                // It is only ended where nothing is asked for it, so that it is known what comes of it.
                if self.asked.values().all(|(of, _)| *of != address) {
                    self.living.remove(address);
                    let at = self.store();
                    let request = self.bench.start_unregister(at, address);
                    self.ending.insert(request, address);
                }
            }
            33..42 => {
                let at = self.store();
                self.subscribe(at);
            }
            42..46 => {
                if !self.subscribers.is_empty() {
                    let which = self.random.usize(..self.subscribers.len());
                    let Subscriber { at: (at, id), .. } = self.subscribers.swap_remove(which);
                    self.bench.stores[at].unsubscribe(id);
                }
            }
            46..58 => {
                let which = self.random.usize(..3);
                let state = match self.random.u8(..6) {
                    0 => Member::Down,
                    1 => Member::Silent,
                    2 => Member::Alone,
                    _ => Member::Up,
                };
                self.bench.set(which, state);
            }
            58..78 => self.bench.model().trouble(&mut self.random),
            78..81 => {
                let which = self.store();
                self.bench.replace(which);
                self.subscribers.retain(|it| it.at.0 != which);
                // Whoever asked there does not know what came of it.
                self.asked.clear();
                self.unsure.extend(std::mem::take(&mut self.ending).into_values());
                for life in self.living.values_mut() {
                    life.good = None;
                }
            }
            81..84 => {
                let which = self.random.usize(..4);
                self.bench.frozen = Some(which).filter(|which| *which < self.bench.stores.len());
            }
            _ => {
                let time = Duration::from_millis(self.random.u64(..3_000));
                self.bench.pass(time);
                self.beat();
            }
        }
        self.listen();
    }

    fn beat(&mut self) {
        self.listen();
        let now = self.bench.now;
        let due: Vec<_> = self
            .living
            .iter()
            .filter(|(_, life)| now - life.tried >= Duration::from_secs(3))
            .map(|(address, _)| *address)
            .collect();
        due.into_iter().for_each(|address| self.register(address));
    }

    /// Everything is well again: all views are what there is, and all who live are in it.
    fn settle(&mut self) {
        for which in 0..3 {
            self.bench.set(which, Member::Up);
        }
        self.bench.model().calm();
        self.bench.frozen = None;
        for at in 0..self.bench.stores.len() {
            self.subscribe(at);
        }
        for _ in 0..8 {
            self.bench.pass(Duration::from_secs(2));
            self.beat();
        }
        self.bench.pass(Duration::from_secs(1));
        self.listen();
        assert_eq!(self.asked.len() + self.ending.len(), 0, "every request is answered");
        let there = self.bench.model().instances();
        for subscriber in &self.subscribers {
            assert!(subscriber.current, "its marker is missing");
            let view: BTreeMap<String, u64> = subscriber
                .view
                .iter()
                .map(|(address, (created, _))| (format!("web/{address}"), *created))
                .collect();
            assert_eq!(view, there, "a view differs from what there is");
        }
        for address in self.living.keys() {
            assert!(there.contains_key(&format!("web/{address}")), "{address} lives");
        }
        self.bench.model().check();
        let leaders: Vec<_> = self
            .bench
            .stores
            .iter()
            .map(|it| it.store.registry().unwrap().leader("web").map(|it| it.address.to_string()))
            .collect();
        assert_eq!(leaders[0], leaders[1], "they agree on the leader");
    }
}

fn play<M: Model>() {
    let worlds = std::env::var("DISCOVERY_WORLDS").ok().and_then(|it| it.parse().ok());
    for seed in 0..worlds.unwrap_or(WORLDS) {
        let mut play = Play::<M>::new(seed);
        let played = catch_unwind(AssertUnwindSafe(|| {
            for _ in 0..STEPS {
                play.step();
            }
            play.settle();
        }));
        if let Err(panic) = played {
            eprintln!("seed {seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn several_on_one_etcd() {
    play::<etcd::Model>();
}

#[test]
fn several_on_one_zookeeper() {
    play::<zookeeper::Model>();
}
