//! The store in etcd, against the model: what it shows its users while etcd has its troubles.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use libswarm::Instant;
use libswarm::discovery::store::etcd::{Config, DEADLINE};
use libswarm::discovery::store::suite;
use libswarm::discovery::{Attributes, Etcd, Store, StoreEvent, StoreInput, TTL};
use libswarm::job::Upstream;

use crate::bench::{self, OnModel, Told, shown};
use crate::etcd::{Member, Model};

/// Where the model's members are: their ports are 1, 2, 3.
pub(crate) fn config(members: usize, seed: u64) -> Config {
    let endpoint = |nth: usize| {
        let address = format!("http://etcd:{}", nth + 1).parse().expect("an address");
        Arc::new(Upstream { address, connect_timeout: Duration::from_secs(2) })
    };
    Config { endpoints: (0..members).map(endpoint).collect(), user: None, ttl: TTL, seed }
}

pub(crate) fn port(upstream: &str) -> usize {
    let (_, port) = upstream.rsplit_once(':').expect("it has a port");
    port.parse::<usize>().expect("a number") - 1
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
        let config = config(self.members.len(), user as u64);
        Box::new(Etcd::new(now, Config { user: credentials, ..config }))
    }

    fn advance(&mut self, now: Instant) {
        self.advance(now);
    }

    fn due(&self) -> Option<Instant> {
        self.due()
    }

    fn carry(&mut self, user: usize, event: StoreEvent) -> Option<StoreEvent> {
        match event {
            StoreEvent::Exchange(it) => {
                let member = port(&it.upstream.address.to_string());
                self.begin((user, it.id), member, it.target, &it.headers, &it.body);
            }
            StoreEvent::Abandon(id) => self.abandon((user, id)),
            other => return Some(other),
        }
        None
    }

    fn told(&mut self, user: usize) -> Option<Told> {
        self.pop(user).map(|(id, piece)| Told::Exchange(id, piece))
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
            0..4 => self.compact(),
            4..7 => self.restart(),
            7..10 => self.put_by_others("/elsewhere", "x"),
            10..15 => self.lost_answers = random.u32(..3),
            _ => self.watches_lag = random.bool(),
        }
    }

    fn calm(&mut self) {
        self.lost_answers = 0;
        self.watches_lag = false;
    }

    fn check(&self) {
        assert_eq!(self.leases(), self.instances().len(), "no lease is left over");
    }
}

/// How often that was asked for.
fn asked(bench: &Bench, target: &str) -> u32 {
    bench.model().asked.get(target).copied().unwrap_or(0)
}

pub(crate) type Bench = bench::Bench<Model>;

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

#[test]
fn two_agree_on_created_and_the_leader() {
    let mut bench = Bench::new(2, 3);
    let (one, two) = (bench.subscribe(0), bench.subscribe(1));
    bench.register(0, "a");
    bench.register(1, "b");
    bench.register(0, "c");
    assert_eq!(bench.read(one), "= +a@2 +b@3 +c@4");
    assert_eq!(bench.read(two), "= +a@2 +b@3 +c@4");
    // A client goes on at the other one, which keeps the lease it finds; nobody notices.
    bench.pass(8 * SECOND);
    for address in ["a", "b", "c"] {
        bench.register(1, address);
    }
    bench.pass(8 * SECOND);
    assert_eq!((bench.read(one), bench.read(two)), (String::new(), String::new()));
    assert_eq!(bench.model().leases(), 3);
    bench.register(1, "c");
    bench.start(1, "c", Some(Attributes::new()));
    bench.pass(2 * SECOND);
    for stream in [one, two] {
        let shown = bench.read(stream);
        assert!(shown == "+c@4(0) -a -b" || shown == "+c@4(0) -b -a", "{shown}");
    }
    for store in &bench.stores {
        let leader = store.store.registry().unwrap().leader("web").unwrap();
        assert_eq!((&*leader.address, leader.created), ("c", 4));
    }
    // What one has just ended, the other one does not keep alive.
    bench.model().watches_lag = true;
    let ended = bench.unregister(0, "c");
    assert_eq!(ended, None, "it is to be heard first");
    let again = bench.start(1, "c", Some(Attributes::new()));
    assert_eq!(bench.model().instances().len(), 1);
    bench.model().watches_lag = false;
    bench.now = bench.now + SECOND;
    bench.stores[0].handle(bench.now, StoreInput::Timeout);
    bench.settle();
    assert_eq!(bench.done.remove(&again), Some(Ok(())));
    let created = bench.model().instances()["web/c"];
    assert!(created > 4);
    assert_eq!(bench.read(two), format!("+c@{created}(0)"));
}

#[test]
fn a_heartbeat_is_one_call_and_a_lease_is_not_granted_twice() {
    let mut bench = Bench::new(1, 1);
    bench.register(0, "a");
    let (grants, txns, ranges) = (
        asked(&bench, "/v3/lease/grant"),
        asked(&bench, "/v3/kv/txn"),
        asked(&bench, "/v3/kv/range"),
    );
    for beat in 1..=20 {
        bench.pass(5 * SECOND);
        bench.register(0, "a");
        assert_eq!(asked(&bench, "/v3/lease/keepalive"), beat);
    }
    assert_eq!(
        (grants, txns, ranges),
        (
            asked(&bench, "/v3/lease/grant"),
            asked(&bench, "/v3/kv/txn"),
            asked(&bench, "/v3/kv/range")
        )
    );
}

/// The original's streams stayed open and silent for ever.
#[test]
fn streams_go_on_after_a_restart_of_etcd() {
    let mut bench = Bench::new(2, 1);
    bench.register(0, "a");
    let stream = bench.subscribe(1);
    assert_eq!(bench.read(stream), "+a@2 =");
    for _ in 0..3 {
        bench.model().restart();
        bench.pass(SECOND);
        bench.register(0, "b");
        assert_eq!(bench.unregister(0, "a"), Some(Ok(())));
        let shown = bench.read(stream);
        assert!(shown.starts_with("+b@") && shown.ends_with(" -a"), "{shown}");
        bench.register(0, "a");
        assert_eq!(bench.unregister(0, "b"), Some(Ok(())));
        bench.read(stream);
    }
    // What happens while nothing is heard comes later, once.
    bench.stores[1].model().watches_lag = true;
    bench.start(0, "late", None);
    bench.model().restart();
    bench.model().watches_lag = false;
    bench.pass(SECOND);
    let shown = bench.read(stream);
    assert!(shown.starts_with("+late@") && !shown.contains(' '), "{shown}");
    assert_eq!(bench.ended, []);
}

#[test]
fn streams_end_with_an_error_if_etcd_stays_away() {
    let mut bench = Bench::new(1, 3);
    let stream = bench.subscribe(0);
    assert_eq!(bench.read(stream), "=");
    for which in 0..3 {
        bench.set(which, Member::Down);
    }
    bench.pass(TTL - SECOND);
    assert_eq!(bench.ended, []);
    // What cannot be known is not said to be so.
    let late = bench.subscribe(0);
    assert_eq!(bench.read(late), "");
    bench.pass(SECOND + SECOND);
    let ended = std::mem::take(&mut bench.ended);
    let [(0, id, error)] = &*ended else { panic!("{ended:?}") };
    assert!(*id == stream.1 && error.starts_with("etcd cannot be watched: etcd:"), "{error}");
    let request = bench.start(0, "a", None);
    bench.pass(DEADLINE);
    let Some(Err(error)) = bench.done.remove(&request) else { panic!("it cannot be registered") };
    assert!(error.to_string().starts_with("etcd does not do it: etcd:"), "{error}");
    bench.pass(60 * SECOND);
    assert_eq!(bench.stores[0].warnings.len(), 1, "{:?}", bench.stores[0].warnings);
    assert!(bench.stores[0].warnings[0].starts_with("etcd is lost (etcd:1, etcd:2, etcd:3): "));
    for which in 0..3 {
        bench.set(which, Member::Up);
    }
    bench.pass(SECOND);
    assert_eq!(bench.stores[0].warnings[1..], ["etcd is found again"]);
    bench.register(0, "a");
    let stream = bench.subscribe(0);
    assert_eq!((bench.read(stream), bench.read(late)), ("+a@2 =".into(), "= +a@2".into()));
}

#[test]
fn who_subscribes_before_etcd_is_there_waits() {
    let mut bench = Bench::without_stores(1);
    bench.model().set_member(0, Member::Down);
    let at = bench.open();
    let stream = bench.subscribe(at);
    bench.pass(3 * SECOND);
    assert_eq!(bench.read(stream), "");
    bench.set(0, Member::Up);
    bench.pass(2 * SECOND);
    bench.register(at, "a");
    assert_eq!(bench.read(stream), "= +a@2");
}

#[test]
fn a_silent_member_is_left_for_the_next_one() {
    let mut bench = Bench::new(2, 3);
    bench.register(0, "a");
    let stream = bench.subscribe(0);
    assert_eq!(bench.read(stream), "+a@2 =");
    bench.set(0, Member::Silent);
    // Its watch is quiet: that it is alive is looked at now and then.
    bench.pass(8 * SECOND);
    let request = bench.start(0, "b", None);
    bench.pass(Duration::ZERO);
    assert_eq!(bench.done.remove(&request), Some(Ok(())));
    assert_eq!(bench.read(stream), "+b@3");
    // A request that meets one that has just fallen silent takes a little longer.
    bench.set(1, Member::Silent);
    bench.set(0, Member::Up);
    let request = bench.start(0, "c", None);
    assert_eq!(bench.done.get(&request), None);
    bench.pass(3 * SECOND);
    assert_eq!(bench.done.remove(&request), Some(Ok(())));
    let shown = bench.read(stream);
    assert!(shown.starts_with("+c@") && !shown.contains(' '), "{shown}");
    // It goes on, and does what it was sent long ago.
    bench.set(1, Member::Up);
    bench.pass(SECOND);
    assert_eq!(bench.read(stream), "");
    assert_eq!(bench.ended, []);
}

#[test]
fn a_quorum_comes_back() {
    let mut bench = Bench::new(1, 3);
    bench.register(0, "a");
    let stream = bench.subscribe(0);
    assert_eq!(bench.read(stream), "+a@2 =");
    bench.set(0, Member::Down);
    bench.set(1, Member::Down);
    let request = bench.start(0, "a", None);
    bench.pass(4 * SECOND);
    assert_eq!(bench.done.get(&request), None);
    bench.set(0, Member::Up);
    bench.pass(SECOND);
    assert_eq!(bench.done.remove(&request), Some(Ok(())));
    bench.register(0, "b");
    assert_eq!(bench.read(stream), "+b@3");
    // One that has lost the others is left, too.
    bench.set(1, Member::Up);
    bench.set(2, Member::Alone);
    bench.pass(SECOND);
    bench.register(0, "c");
    assert_eq!(bench.read(stream), "+c@4");
}

/// The original could lose or double what happened between its snapshot and its watch.
#[test]
fn nothing_is_lost_or_doubled_by_compaction() {
    let mut bench = Bench::new(2, 2);
    for address in ["a", "b", "c", "d", "e", "f", "g"] {
        bench.register(0, address);
    }
    let stream = bench.subscribe(1);
    assert_eq!(bench.read(stream), "+g@8 +f@7 +e@6 +d@5 +c@4 +b@3 +a@2 =");
    // Nothing is heard for a while, and then what was to be heard is no longer there to be told.
    bench.model().watches_lag = true;
    bench.start(0, "b", Some(Attributes::new()));
    bench.unregister(0, "c");
    bench.start(0, "h", None);
    bench.unregister(0, "a");
    bench.start(0, "a", None);
    bench.model().put_by_others("/elsewhere", "x");
    bench.model().compact();
    bench.model().watches_lag = false;
    bench.pass(SECOND);
    assert_eq!(bench.read(stream), "-c +b@3(0) +h@11 +a@14");
    bench.register(0, "i");
    assert!(bench.read(stream).starts_with("+i@"));
    assert_eq!(bench.ended, []);
}

#[test]
fn what_cannot_be_read_again_after_a_compaction_is_not_known() {
    let mut bench = Bench::new(1, 1);
    bench.register(0, "a");
    bench.subscribe(0);
    bench.model().watches_lag = true;
    bench.model().put_by_others("/elsewhere", "x");
    bench.model().put_by_others("/elsewhere", "y");
    bench.model().compact();
    // The watch says that it was compacted, and nothing else comes.
    bench.model().lost_answers = u32::MAX;
    bench.model().watches_lag = false;
    bench.pass(TTL - SECOND);
    assert_eq!(bench.ended, []);
    assert!(bench.stores[0].store.registry().is_ok());
    bench.pass(SECOND + SECOND);
    assert_eq!(bench.ended.len(), 1);
    assert!(bench.stores[0].store.registry().is_err(), "nobody can say whether a is still there");
    bench.model().lost_answers = 0;
    bench.pass(2 * SECOND);
    let stream = bench.subscribe(0);
    assert_eq!(bench.read(stream), "=", "nobody has sent its heartbeats");
}

/// In the original both could happen.
#[test]
fn nothing_is_lost_between_the_snapshot_and_the_watch() {
    let mut bench = Bench::without_stores(1);
    bench.reads = true;
    let key = |address: &str| format!("/discoverd/instances/web/{address}");
    let (none, some) = (r#"{"attributes":null}"#, r#"{"attributes":{}}"#);
    for address in ["a", "b", "c", "d"] {
        bench.model().put_by_others(&key(address), none);
    }
    bench.model().put_by_others(&key("b"), some);
    bench.model().behind_the_snapshot =
        vec![(key("e"), none.into()), (key("a"), some.into()), (key("a"), none.into())];
    bench.model().set_member(0, Member::Down);
    let at = bench.open();
    let stream = bench.subscribe(at);
    bench.set(0, Member::Up);
    bench.pass(SECOND);
    let told = std::mem::take(&mut bench.told);
    assert!(told.iter().all(|(of, id, _)| (*of, *id) == stream));
    let shown: Vec<String> = told.iter().map(|(.., event)| shown(event)).collect();
    assert_eq!(shown.join(" "), "+d@5 +c@4 +b@3(0) +a@2 = +e@7 +a@2(0) +a@2");
}

#[test]
fn an_etcd_that_has_lost_everything_is_read_anew() {
    let mut bench = Bench::new(1, 1);
    for address in ["a", "b", "c"] {
        bench.register(0, address);
    }
    let stream = bench.subscribe(0);
    bench.read(stream);
    bench.model().wipe();
    bench.pass(SECOND);
    assert_eq!(bench.read(stream), "-a -b -c");
    bench.register(0, "b");
    assert_eq!(bench.read(stream), "+b@2");
}

#[test]
fn answers_that_are_lost_do_no_harm() {
    for lost in 1..6 {
        let mut bench = Bench::new(1, 1);
        let stream = bench.subscribe(0);
        bench.read(stream);
        bench.model().lost_answers = lost;
        let request = bench.start(0, "a", None);
        bench.pass(3 * SECOND);
        assert_eq!(bench.done.remove(&request), Some(Ok(())), "{lost}");
        assert_eq!(bench.read(stream), "+a@2");
        assert_eq!(bench.model().leases(), 1);
        bench.model().lost_answers = lost;
        let request = bench.start(0, "a", Some(Attributes::new()));
        bench.pass(3 * SECOND);
        assert_eq!(bench.done.remove(&request), Some(Ok(())), "{lost}");
        assert_eq!(bench.read(stream), "+a@2(0)");
        bench.model().lost_answers = lost;
        let gone = bench.unregister(0, "a");
        bench.pass(3 * SECOND);
        assert_eq!(gone.or_else(|| bench.done.remove(&bench.next)), Some(Ok(())), "{lost}");
        assert_eq!((bench.read(stream), bench.model().leases()), ("-a".into(), 0));
    }
}

#[test]
fn what_others_write_is_left_alone() {
    let mut bench = Bench::without_stores(1);
    for (key, value) in [
        ("/discoverd/instances/web", "x"),
        ("/discoverd/instances/web/odd", "x"),
        ("/discoverd/instances/web/a/b", r#"{"attributes":null}"#),
        ("/discoverd/instances/web/theirs", r#"{"attributes":{"k":"v"}}"#),
        ("/discoverd/instances0", "x"),
    ] {
        bench.model().put_by_others(key, value);
    }
    let at = bench.open();
    let stream = bench.subscribe(at);
    assert_eq!(bench.read(stream), "+theirs@5(1) =");
    assert_eq!(bench.stores[at].warnings.len(), 1);
    // Who registers it gives it a lease.
    bench.start(at, "theirs", Some(Attributes::from([("k".into(), "v".into())])));
    assert_eq!((bench.read(stream), bench.model().leases()), (String::new(), 1));
    bench.pass(TTL + SECOND);
    assert_eq!(bench.read(stream), "-theirs");
    bench.model().put_by_others("/discoverd/instances/web/a", r#"{"attributes":null}"#);
    assert!(bench.read(stream).starts_with("+a@"));
    bench.model().put_by_others("/discoverd/instances/web/a", "nonsense");
    assert_eq!(bench.read(stream), "-a");
    bench.register(at, "a");
    assert!(bench.read(stream).starts_with("+a@"));
}

#[test]
fn users_and_passwords() {
    let mut bench = Bench::without_stores(2);
    bench.model().set_user("discoverd", "se:cr\"et");
    bench.user = Some(("discoverd".into(), "se:cr\"et".into()));
    let at = bench.open();
    let stream = bench.subscribe(at);
    bench.register(at, "a");
    assert_eq!(bench.read(stream), "= +a@2");
    // Tokens end.
    for round in 0..3 {
        bench.model().forget_tokens();
        bench.register(at, "a");
        bench.pass(6 * SECOND);
        bench.register(at, &round.to_string());
        assert!(bench.read(stream).contains(&format!("+{round}@")));
    }
    assert_eq!(bench.stores[at].warnings, [""; 0]);
    bench.user = Some(("discoverd".into(), "wrong".into()));
    let at = bench.open();
    let before = asked(&bench, "/v3/auth/authenticate");
    let request = bench.start(at, "a", None);
    let error = bench.done.remove(&request).unwrap().unwrap_err().to_string();
    assert!(error.contains("invalid user ID or password: look at --etcd-user"), "{error}");
    bench.pass(10 * SECOND);
    let again = asked(&bench, "/v3/auth/authenticate") - before;
    assert!(again <= 11, "{again} attempts");
    assert_eq!(bench.stores[at].warnings.len(), 1, "{:?}", bench.stores[at].warnings);
}

/// Nobody registers here, so nothing but the watch finds out that the token has ended.
#[test]
fn a_watch_that_is_not_permitted_may_have_an_old_token() {
    let mut bench = Bench::without_stores(1);
    bench.model().set_user("discoverd", "secret");
    bench.model().is_vague = true;
    bench.user = Some(("discoverd".into(), "secret".into()));
    let at = bench.open();
    let stream = bench.subscribe(at);
    assert_eq!(bench.read(stream), "=");
    bench.model().forget_tokens();
    bench.pass(8 * SECOND);
    bench.model().put_by_others("/discoverd/instances/web/a", r#"{"attributes":null}"#);
    bench.pass(SECOND);
    assert_eq!(bench.read(stream), "+a@2");
}

/// Etcd takes a tenth of a second of its processor for a password.
#[test]
fn a_token_that_has_ended_is_asked_for_once() {
    let mut bench = Bench::without_stores(1);
    bench.model().set_user("discoverd", "secret");
    bench.user = Some(("discoverd".into(), "secret".into()));
    let at = bench.open();
    bench.register(at, "a");
    let before = asked(&bench, "/v3/auth/authenticate");
    bench.set(0, Member::Silent);
    let all: Vec<u64> = (0..100).map(|nth| bench.start(at, &nth.to_string(), None)).collect();
    bench.model().forget_tokens();
    bench.set(0, Member::Up);
    bench.pass(SECOND);
    for request in all {
        assert_eq!(bench.done.remove(&request), Some(Ok(())));
    }
    assert_eq!(asked(&bench, "/v3/auth/authenticate") - before, 1);
}
