//! The store in ZooKeeper, against the model: what it shows its users while ZooKeeper has its troubles.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use libswarm::Instant;
use libswarm::discovery::store::suite;
use libswarm::discovery::store::zookeeper::{Config, DEADLINE};
use libswarm::discovery::{
    Attributes, Document, Expect, Store, StoreError, StoreEvent, StoreInput, TTL, Zookeeper,
};
use libswarm::job::Upstream;

use crate::bench::{self, OnModel, Told};
use crate::etcd::Member;
use crate::etcd_store::port;
use crate::zookeeper::Model;

/// Where the model's servers are: their ports are 1, 2, 3.
pub(crate) fn config(servers: usize, seed: u64) -> Config {
    let endpoint = |nth: usize| {
        let address = format!("tcp://zookeeper:{}", nth + 1).parse().expect("an address");
        Arc::new(Upstream { address, connect_timeout: Duration::from_secs(2) })
    };
    let endpoints = (0..servers).map(endpoint).collect();
    Config { endpoints, chroot: String::new(), auth: None, ttl: TTL, seed }
}

impl bench::Model for Model {
    fn new(members: usize) -> Self {
        Self::new(members)
    }

    fn open(
        &self,
        now: Instant,
        user: usize,
        credentials: Option<(String, String)>,
    ) -> Box<dyn Store> {
        let mut config = config(self.servers(), user as u64);
        // Each begins at another.
        config.endpoints.rotate_left(user % self.servers());
        let auth = credentials.map(|(name, password)| format!("{name}:{password}"));
        Box::new(Zookeeper::new(now, Config { auth, ..config }))
    }

    fn advance(&mut self, now: Instant) {
        self.advance(now);
    }

    fn due(&self) -> Option<Instant> {
        self.due()
    }

    fn carry(&mut self, user: usize, event: StoreEvent) -> Option<StoreEvent> {
        match event {
            StoreEvent::Connect { id, upstream } => {
                self.connect((user, id), port(&upstream.address.to_string()));
            }
            StoreEvent::Write(id, bytes) => self.write((user, id), &bytes),
            StoreEvent::Close(id) => self.close((user, id)),
            other => return Some(other),
        }
        None
    }

    fn told(&mut self, user: usize) -> Option<Told> {
        self.pop(user).map(|(id, wired)| Told::Wire(id, wired))
    }

    fn disconnect(&mut self, user: usize) {
        self.disconnect(user);
    }

    fn set_member(&mut self, which: usize, state: Member) {
        self.set_member(which, state);
    }

    fn instances(&self) -> BTreeMap<String, u64> {
        self.instances()
    }

    fn trouble(&mut self, random: &mut fastrand::Rng) {
        match random.u8(..20) {
            0..4 => self.collect(),
            4..7 => self.restart(),
            7..10 => self.put_by_others("/elsewhere", "x"),
            10..15 => self.lost_answers = random.u32(..3),
            _ => self.lags = Some(random.usize(..6)).filter(|which| *which < self.servers()),
        }
    }

    fn calm(&mut self) {
        self.lost_answers = 0;
        self.lags = None;
    }

    fn check(&self) {
        let (holders, there) = (self.holders(), self.instances().len());
        assert!((there..=2 * there).contains(&holders), "{holders} hold {there} instances");
    }
}

type Bench = bench::Bench<Model>;

#[test]
fn the_suite_passes() {
    let mut seed = 0;
    let mut open = || -> Box<dyn Store> {
        seed += 1;
        let model = Arc::new(Mutex::new(Model::new(3)));
        Box::new(OnModel::new(&model, seed, Instant::ZERO, None))
    };
    suite(TTL, &mut open, &mut |_| Ok(()));
}

const SECOND: Duration = Duration::from_secs(1);

const ALL: [usize; 3] = [0, 1, 2];

/// How often that operation was asked for.
fn asked(bench: &Bench, code: i32) -> u32 {
    bench.model().asked.get(&code).copied().unwrap_or(0)
}

#[test]
fn two_agree_on_created_and_the_leader() {
    let mut bench = Bench::new(2, 3);
    let (one, two) = (bench.subscribe(0), bench.subscribe(1));
    bench.register(0, "a");
    bench.register(1, "b");
    bench.register(0, "c");
    let there = bench.model().instances();
    let shown =
        ["a", "b", "c"].map(|it| format!("+{it}@{}", there[&format!("web/{it}")])).join(" ");
    assert!(there["web/a"] < there["web/b"] && there["web/b"] < there["web/c"]);
    assert_eq!(bench.read(one), format!("= {shown}"));
    assert_eq!(bench.read(two), format!("= {shown}"));
    // A client goes on at the other one, which holds it too; nobody notices when the first lets it go.
    for _ in 0..4 {
        bench.pass(4 * SECOND);
        for address in ["a", "b", "c"] {
            bench.register(1, address);
        }
    }
    assert_eq!((bench.read(one), bench.read(two)), (String::new(), String::new()));
    assert_eq!(bench.model().instances(), there);
    assert_eq!(bench.model().holders(), 3);
    bench.pass(8 * SECOND);
    bench.register(1, "c");
    bench.start(1, "c", Some(Attributes::new()));
    bench.pass(4 * SECOND);
    let created = there["web/c"];
    for stream in [one, two] {
        let shown = bench.read(stream);
        let both = ["-a -b", "-b -a"].map(|gone| format!("+c@{created}(0) {gone}"));
        assert!(both.contains(&shown), "{shown}");
    }
    // What one has just ended, the other one does not keep alive, though it has not heard of that.
    bench.model().lags = Some(2);
    assert_eq!(bench.unregister(0, "c"), Some(Ok(())));
    let again = bench.start(1, "c", Some(Attributes::new()));
    bench.pass(SECOND);
    assert_eq!(bench.done.get(&again), None, "it asks first");
    bench.model().lags = None;
    bench.pass(SECOND);
    assert_eq!(bench.done.remove(&again), Some(Ok(())));
    let latest = bench.model().instances()["web/c"];
    assert!(latest > created);
    assert_eq!(bench.read(one), format!("+c@{latest}(0)"), "which is another one");
}

/// A server that does not know whether it still holds an instance finds out before it answers for it.
#[test]
fn who_has_let_go_unheard_holds_again() {
    let mut bench = Bench::new(2, 3);
    bench.register(0, "a");
    bench.pass(5 * SECOND);
    bench.register(1, "a");
    let there = bench.model().instances();
    assert_eq!(bench.model().holders(), 2);
    bench.model().lost_answers = 1;
    bench.pass(6 * SECOND);
    assert_eq!(bench.model().lost_answers, 0);
    assert_eq!(bench.model().holders(), 1);
    for _ in 0..5 {
        bench.register(0, "a");
        bench.pass(4 * SECOND);
        assert_eq!(bench.model().instances(), there);
    }
    assert_eq!(bench.model().holders(), 1);
}

#[test]
fn heartbeats_change_nothing() {
    let mut bench = Bench::new(1, 1);
    for nth in 0..20 {
        bench.register(0, &nth.to_string());
    }
    let changes = [1, 2, 5, 14, 19].map(|code| asked(&bench, code));
    let reads = asked(&bench, 4);
    for beat in 1..=10 {
        bench.pass(5 * SECOND);
        let syncs = asked(&bench, 9);
        for nth in 0..20 {
            bench.start(0, &nth.to_string(), None);
        }
        bench.settle();
        assert!(asked(&bench, 9) - syncs <= 20, "{beat}");
    }
    assert_eq!(changes, [1, 2, 5, 14, 19].map(|code| asked(&bench, code)));
    assert_eq!(reads, asked(&bench, 4));
    assert_eq!(bench.done.len(), 200);
}

/// Reconnected in time it is the same session, and nobody notices; else what was held is gone, for all.
#[test]
fn sessions_end() {
    let mut bench = Bench::new(2, 3);
    bench.register(0, "a");
    bench.register(1, "b");
    let (one, two) = (bench.subscribe(0), bench.subscribe(1));
    bench.read(one);
    bench.read(two);
    bench.frozen = Some(0);
    bench.pass(4 * SECOND);
    bench.register(1, "b");
    bench.frozen = None;
    bench.register(0, "a");
    bench.pass(4 * SECOND);
    assert_eq!((bench.read(one), bench.read(two)), (String::new(), String::new()));
    let created = bench.model().instances()["web/a"];
    bench.frozen = Some(0);
    for _ in 0..3 {
        bench.pass(5 * SECOND);
        bench.register(1, "b");
    }
    assert_eq!(bench.read(two), "-a");
    assert_eq!(bench.model().holders(), 1);
    // It has a subscriber who does not know yet, and a client who has waited.
    bench.frozen = None;
    bench.pass(SECOND);
    assert_eq!(bench.read(one), "-a");
    bench.register(0, "a");
    let again = bench.model().instances()["web/a"];
    assert!(again > created);
    assert_eq!((bench.read(one), bench.read(two)), (format!("+a@{again}"), format!("+a@{again}")));
    assert_eq!(bench.ended, []);
}

/// Whoever dies leaves its instances for a TTL, so that their clients can go on elsewhere.
#[test]
fn a_server_dies() {
    let mut bench = Bench::new(2, 3);
    for address in ["a", "b"] {
        bench.register(0, address);
    }
    let stream = bench.subscribe(1);
    bench.read(stream);
    bench.replace(0);
    bench.pass(3 * SECOND);
    bench.register(1, "a");
    bench.pass(8 * SECOND);
    assert_eq!(bench.read(stream), "-b");
    bench.register(1, "a");
    assert_eq!(bench.read(stream), "");
    // What nobody holds is replaced by another.
    bench.register(0, "b");
    assert!(bench.read(stream).starts_with("+b@"));
    assert_eq!(bench.model().holders(), 2);
}

#[test]
fn what_nobody_needs_is_removed() {
    let mut bench = Bench::new(1, 1);
    bench.register(0, "a");
    assert_eq!(bench.unregister(0, "a"), Some(Ok(())));
    bench.register(0, "b");
    bench.pass(11 * SECOND);
    bench.model().collect();
    let left = ["/discoverd", "/discoverd/instances", "/discoverd/services"];
    assert_eq!(bench.model().paths(), left);
    bench.register(0, "a");
    bench.replace(0);
    bench.pass(11 * SECOND);
    assert_eq!(bench.model().paths().len(), 5);
    for _ in 0..2 {
        bench.model().collect();
    }
    assert_eq!(bench.model().paths(), left);
    bench.register(0, "a");
}

#[test]
fn streams_end_with_an_error_if_zookeeper_stays_away() {
    let mut bench = Bench::new(1, 3);
    let stream = bench.subscribe(0);
    assert_eq!(bench.read(stream), "=");
    ALL.into_iter().for_each(|which| bench.set(which, Member::Down));
    bench.pass(TTL - SECOND);
    assert_eq!(bench.ended, []);
    // What cannot be known is not said to be so.
    let late = bench.subscribe(0);
    assert_eq!(bench.read(late), "");
    assert!(bench.stores[0].registry().is_ok());
    bench.pass(SECOND + SECOND);
    assert!(bench.stores[0].registry().is_err());
    let ended = std::mem::take(&mut bench.ended);
    let [(0, id, error)] = &*ended else { panic!("{ended:?}") };
    assert!(
        *id == stream.1 && error.starts_with("ZooKeeper cannot be watched: zookeeper:"),
        "{error}"
    );
    let request = bench.start(0, "a", None);
    bench.pass(DEADLINE);
    let Some(Err(error)) = bench.done.remove(&request) else { panic!("it cannot be registered") };
    assert!(error.to_string().starts_with("ZooKeeper does not do it: zookeeper:"), "{error}");
    bench.pass(60 * SECOND);
    assert_eq!(bench.stores[0].warnings.len(), 1, "{:?}", bench.stores[0].warnings);
    let all = "ZooKeeper is lost (zookeeper:2, zookeeper:3, zookeeper:1): ";
    assert!(bench.stores[0].warnings[0].starts_with(all), "{:?}", bench.stores[0].warnings);
    ALL.into_iter().for_each(|which| bench.set(which, Member::Up));
    bench.pass(2 * SECOND);
    assert_eq!(bench.read(late), "=");
    bench.register(0, "a");
    assert!(bench.read(late).starts_with("+a@"));
    assert_eq!(bench.stores[0].warnings[1..], ["ZooKeeper is found again"]);
}

/// One that stands still answers nobody, and its connections stay.
#[test]
fn a_server_that_is_silent_is_left_for_the_next() {
    let mut bench = Bench::new(1, 3);
    bench.register(0, "a");
    let stream = bench.subscribe(0);
    let shown = bench.read(stream);
    for which in ALL {
        bench.set(which, Member::Silent);
        let request = bench.start(0, "a", Some(Attributes::new()));
        bench.pass(DEADLINE - SECOND);
        assert_eq!(bench.done.remove(&request), Some(Ok(())), "{which}");
        bench.set(which, Member::Up);
        bench.pass(SECOND);
    }
    // Without anything to do it is found out all the same, in time for the session.
    bench.set(0, Member::Silent);
    bench.pass(4 * TTL / 5);
    bench.register(0, "a");
    bench.pass(2 * TTL / 5);
    let created = bench.model().instances()["web/a"];
    assert_eq!(bench.read(stream), format!("+a@{created}"));
    assert_eq!(shown, format!("+a@{created} ="));
    assert_eq!(bench.ended, []);
}

#[test]
fn a_quorum_comes_back() {
    let mut bench = Bench::new(1, 3);
    bench.register(0, "a");
    let stream = bench.subscribe(0);
    bench.read(stream);
    bench.set(0, Member::Down);
    bench.set(1, Member::Down);
    let request = bench.start(0, "a", None);
    bench.pass(4 * SECOND);
    assert_eq!(bench.done.get(&request), None);
    bench.set(0, Member::Up);
    bench.pass(2 * SECOND);
    assert_eq!(bench.done.remove(&request), Some(Ok(())));
    // However long that takes, nobody is gone before a whole TTL more.
    bench.set(0, Member::Down);
    bench.pass(6 * TTL);
    bench.set(0, Member::Up);
    bench.pass(TTL - SECOND);
    assert_eq!(bench.model().instances().len(), 1);
    bench.register(0, "a");
    bench.set(1, Member::Up);
    bench.set(2, Member::Alone);
    bench.pass(SECOND);
    bench.register(0, "b");
    assert_eq!(bench.model().instances().len(), 2);
}

#[test]
fn answers_that_are_lost_do_no_harm() {
    for lost in 1..6 {
        let mut bench = Bench::new(1, 1);
        let stream = bench.subscribe(0);
        bench.read(stream);
        for attributes in [None, Some(Attributes::new())] {
            bench.model().lost_answers = lost;
            let request = bench.start(0, "a", attributes.clone());
            bench.pass(4 * SECOND);
            assert_eq!(bench.done.remove(&request), Some(Ok(())), "{lost}");
            let shown = bench.read(stream);
            assert!(shown.starts_with("+a@") && !shown.contains(' '), "{lost}: {shown}");
            bench.model().lost_answers = 0;
            assert_eq!(bench.model().holders(), 1);
        }
        bench.model().lost_answers = lost;
        let gone = bench.unregister(0, "a");
        bench.pass(4 * SECOND);
        let next = bench.next;
        assert_eq!(gone.or_else(|| bench.done.remove(&next)), Some(Ok(())), "{lost}");
        assert_eq!(bench.read(stream), "-a");
        assert_eq!(bench.model().holders(), 0);
    }
}

#[test]
fn documents_are_written_once_whatever_is_lost() {
    for lost in 0..4 {
        let mut bench = Bench::new(2, 1);
        bench.model().lost_answers = lost;
        let keep = |bench: &mut Bench, at: usize, text: Option<&str>, expect| {
            let request = bench.keep(at, text, expect);
            bench.pass(3 * SECOND);
            bench.kept.remove(&request).expect("it is answered")
        };
        let first = keep(&mut bench, 0, Some("1"), Expect::Absent).unwrap();
        let exists = keep(&mut bench, 1, Some("2"), Expect::Absent);
        assert_eq!(exists, Err(StoreError::Exists { index: first }));
        bench.model().lost_answers = lost;
        let second = keep(&mut bench, 1, Some("2"), Expect::Is(first)).unwrap();
        bench.model().lost_answers = lost;
        // Deleted and written again it has the version that it had, but is another one.
        assert!(keep(&mut bench, 0, None, Expect::Is(second)).is_ok());
        let third = keep(&mut bench, 0, Some("2"), Expect::Absent).unwrap();
        assert!(third > second && second > first, "{first} {second} {third}");
        let late = keep(&mut bench, 1, Some("3"), Expect::Is(second));
        assert_eq!(late, Err(StoreError::Precondition { index: third }));
        for at in 0..2 {
            assert_eq!(bench.document(at), Some(("2".into(), third)));
        }
    }
}

#[test]
fn a_zookeeper_that_has_lost_everything_is_read_anew() {
    let mut bench = Bench::new(1, 1);
    for address in ["a", "b", "c"] {
        bench.register(0, address);
    }
    let stream = bench.subscribe(0);
    bench.read(stream);
    bench.model().wipe();
    // Who has seen more than it has is refused, for as long as it may be one that is just behind.
    bench.pass(2 * TTL);
    ALL.into_iter().for_each(|_| bench.settle());
    let again = bench.subscribe(0);
    assert_eq!(bench.read(again), "=");
    bench.register(0, "b");
    assert!(bench.read(again).starts_with("+b@"));
}

#[test]
fn what_others_write_is_left_alone() {
    let mut bench = Bench::without_stores(1);
    let root = "/discoverd/instances/web";
    for (path, data) in [
        ("/odd", "x"),
        ("/odd/me", ""),
        ("/%zz/me", ""),
        ("/theirs", r#"{"attributes":{"k":"v"}}"#),
        ("/theirs/me", ""),
        ("/nobody", r#"{"attributes":null}"#),
    ] {
        bench.model().put_by_others(&format!("{root}{path}"), data);
    }
    bench.model().put_by_others("/discoverd/services/web/other", "x");
    let at = bench.open();
    let stream = bench.subscribe(at);
    let created = bench.model().instances()["web/theirs"];
    assert_eq!(bench.read(stream), format!("+theirs@{created}(1) ="));
    assert_eq!(bench.stores[at].warnings.len(), 1);
    // What nobody holds is not there; who registers it holds it.
    bench.register(at, "nobody");
    assert!(bench.read(stream).starts_with("+nobody@"));
    bench.register(at, "odd");
    assert!(bench.read(stream).starts_with("+odd@"));
    bench.pass(TTL + SECOND);
    assert_eq!(bench.read(stream), "-nobody");
    bench.model().put_by_others(&format!("{root}/theirs"), "nonsense");
    bench.settle();
    assert_eq!(bench.read(stream), "-theirs");
}

#[test]
fn users_and_passwords() {
    let mut bench = Bench::without_stores(2);
    bench.user = Some(("me".into(), "se:cret".into()));
    let at = bench.open();
    bench.register(at, "a");
    bench.model().restart();
    bench.pass(SECOND);
    bench.register(at, "b");
    assert_eq!(bench.stores[at].warnings, [""; 0]);
    for user in [None, Some(("me".to_owned(), "wrong".to_owned()))] {
        bench.user = user;
        let at = bench.open();
        let request = bench.start(at, "c", None);
        let error = bench.done.remove(&request).unwrap().unwrap_err().to_string();
        let hint = "permission denied (-102): name a user with --zookeeper-auth who may";
        assert!(error.contains(hint), "{error}");
        let reads = asked(&bench, 12);
        bench.pass(10 * SECOND);
        assert!(asked(&bench, 12) - reads < 50);
        assert_eq!(bench.stores[at].warnings.len(), 1, "{:?}", bench.stores[at].warnings);
    }
}

#[test]
fn one_that_is_too_old_is_told_to_be() {
    let mut bench = Bench::without_stores(1);
    bench.model().is_old = true;
    let at = bench.open();
    let request = bench.start(at, "a", None);
    let error = bench.done.remove(&request).unwrap().unwrap_err().to_string();
    assert!(error.contains("older than ZooKeeper 3.6"), "{error}");
}

/// Else two nodes could be one instance.
#[test]
fn names_that_nobody_may_register_are_left_alone() {
    let mut bench = Bench::new(1, 1);
    bench.register(0, "a");
    for path in ["web/b%2Fc", "web%2Fb/c", "web/x%0Ay", "%2Fweb/meta"] {
        let path = format!("/discoverd/instances/{path}");
        bench.model().put_by_others(&path, r#"{"attributes":null,"text":"phantom"}"#);
        bench.model().put_by_others(&format!("{path}/0x1"), "");
    }
    bench.settle();
    let again = bench.open();
    for at in [0, again] {
        let registry = bench.stores[at].store.registry().expect("it is known");
        let all: Vec<_> = registry.services().collect();
        assert_eq!(all.len(), 1, "{all:?}");
        assert_eq!(registry.instances("web").count(), 1);
        assert_eq!(registry.document("web", Document::Meta), None);
    }
    assert!(
        bench.stores[0]
            .warnings
            .iter()
            .any(|it| it.contains("is nothing that discoverd has written"))
    );
}

/// One that answers each greeting with no session is lost, as others are, and not dialed again at once.
#[test]
fn who_grants_no_session_is_dialed_after_a_pause() {
    let mut store = Zookeeper::new(Instant::ZERO, config(1, 1));
    let mut dials = 0;
    while dials < 100
        && let Some(event) = store.poll()
    {
        match event {
            StoreEvent::Connect { id, .. } => {
                dials += 1;
                store.handle(Instant::ZERO, StoreInput::Connected(id));
            }
            StoreEvent::Write(id, _) => {
                let mut greeting = vec![0, 0, 0, 36, 0, 0, 0, 0, 0, 0, 0, 0];
                greeting.extend_from_slice(&[0; 8]);
                greeting.extend_from_slice(&[0, 0, 0, 16]);
                greeting.extend_from_slice(&[0; 16]);
                store.handle(Instant::ZERO, StoreInput::Received(id, &greeting));
            }
            _ => {}
        }
    }
    assert_eq!(dials, 1);
    assert!(store.poll_timeout().is_some_and(|due| due > Instant::ZERO));
}
