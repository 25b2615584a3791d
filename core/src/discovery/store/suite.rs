//! What every store has to pass.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use super::{Interest, Persist, Store, StoreError, StoreEvent, StoreInput};
use crate::discovery::{Document, Event, Expect, Registration, SubscriptionId};
use crate::rpc::Attributes;
use crate::time::Instant;

/// Holds a store to what [`Store`] says. `open` makes an empty one whose instances stay for `ttl`, anew for each check;
/// `persist` does with a store's file what it asks for.
///
/// ```
/// use std::time::Duration;
/// use libswarm::discovery::{Memory, store};
///
/// let ttl = Duration::from_secs(10);
/// store::suite(ttl, &mut || Box::new(Memory::new(ttl)), &mut |_| Ok(()));
/// ```
///
/// # Panics
///
/// The store fails a check; the message says which.
pub fn suite(
    ttl: Duration,
    open: &mut dyn FnMut() -> Box<dyn Store>,
    persist: &mut dyn FnMut(Persist) -> Result<(), String>,
) {
    suite_late(ttl, Duration::ZERO, open, persist);
}

/// As [`suite`], of a store that may find out as much as `late` after the time that a registration has expired. Twice that is
/// less than the TTL.
///
/// # Panics
///
/// The store fails a check; the message says which.
pub fn suite_late(
    ttl: Duration,
    late: Duration,
    open: &mut dyn FnMut() -> Box<dyn Store>,
    persist: &mut dyn FnMut(Persist) -> Result<(), String>,
) {
    let checks: [fn(&mut Bench<'_>); 13] = [
        registers,
        changes_attributes,
        unregisters,
        shows_the_newest_first,
        expires_in_time,
        keeps_services_apart,
        coalesces,
        interleaves,
        keeps_documents,
        compares_and_sets,
        documents_stay,
        tells_services_whole,
        goes_on_where_it_was,
    ];
    for check in checks {
        let store = open();
        check(&mut Bench {
            store,
            persist,
            ttl,
            late,
            now: Instant::ZERO,
            next: 0,
            done: Vec::new(),
            kept: Vec::new(),
        });
    }
}

/// A store, and what it has told.
struct Bench<'a> {
    store: Box<dyn Store>,
    persist: &'a mut dyn FnMut(Persist) -> Result<(), String>,
    ttl: Duration,
    late: Duration,
    now: Instant,
    next: u64,
    done: Vec<(u64, Result<(), StoreError>)>,
    kept: Vec<(u64, Result<u64, StoreError>)>,
}

impl Bench<'_> {
    fn settle(&mut self) {
        self.listen();
        while let Some(what) = self.store.poll_persist() {
            let result = (self.persist)(what);
            let input = match &result {
                Ok(()) => StoreInput::Persisted,
                Err(reason) => StoreInput::PersistFailed(reason),
            };
            self.store.handle(self.now, input);
            self.listen();
        }
    }

    fn listen(&mut self) {
        while let Some(event) = self.store.poll() {
            match event {
                StoreEvent::Done(request, result) => self.done.push((request, result)),
                StoreEvent::Kept(request, result) => self.kept.push((request, result)),
                StoreEvent::Ended(subscription, error) => panic!("{subscription}: {error}"),
                StoreEvent::Ready(_) | StoreEvent::Warn(_) => {}
                StoreEvent::Exchange(_)
                | StoreEvent::Abandon(_)
                | StoreEvent::Connect { .. }
                | StoreEvent::Write(..)
                | StoreEvent::Close(_) => {
                    panic!("whoever opens such a store carries what it asks of others")
                }
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.store.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.store.handle(self.now, StoreInput::Timeout);
            self.settle();
        }
        self.now = end;
    }

    fn result(&mut self) -> Result<(), StoreError> {
        self.settle();
        let (request, result) = self.done.pop().expect("the request is answered");
        assert_eq!(request + 1, self.next, "the request that was made is answered");
        assert!(self.done.is_empty(), "a request is answered once");
        result
    }

    fn start(&mut self, service: &str, address: &str, attributes: Option<Attributes>) {
        let registration =
            Registration { service: service.into(), address: address.into(), attributes };
        self.store.register(self.now, self.next, registration);
        self.next += 1;
    }

    fn register_with(&mut self, service: &str, address: &str, attributes: Option<Attributes>) {
        self.start(service, address, attributes);
        assert_eq!(self.result(), Ok(()), "{service} {address} is registered");
    }

    fn register(&mut self, service: &str, address: &str) {
        self.register_with(service, address, None);
    }

    fn unregister(&mut self, service: &str, address: &str) -> Result<(), StoreError> {
        self.store.unregister(self.now, self.next, service, address);
        self.next += 1;
        self.result()
    }

    fn subscribe(&mut self, service: &str) -> SubscriptionId {
        self.follow(Interest::Instances(service))
    }

    fn follow(&mut self, interest: Interest<'_>) -> SubscriptionId {
        let id = self.store.subscribe(self.now, interest);
        self.settle();
        id
    }

    fn keep(
        &mut self,
        service: &str,
        which: Document,
        text: Option<&str>,
        expect: Expect,
    ) -> Result<u64, StoreError> {
        let text = text.map(String::from);
        self.store.keep(self.now, self.next, service, which, text, expect);
        self.next += 1;
        self.settle();
        let (request, result) = self.kept.pop().expect("the request is answered");
        assert_eq!(request + 1, self.next, "the request that was made is answered");
        assert!(self.kept.is_empty(), "a request is answered once");
        result
    }

    fn document(&self, service: &str, which: Document) -> Option<(String, u64)> {
        let registry = self.store.registry().expect("it is known what there is");
        registry.document(service, which).map(|kept| (kept.text.to_string(), kept.index))
    }

    /// All that there is to read, as text; and the indices of those who are online.
    fn read(&mut self, id: SubscriptionId) -> (String, Vec<u64>) {
        self.settle();
        let (mut text, mut created) = (Vec::new(), Vec::new());
        while let Some(event) = self.store.next(id) {
            text.push(match &event {
                Event::Online(it) | Event::Updated(it) => {
                    created.push(it.created);
                    let attributes = it.attributes.as_ref().map(|all| {
                        let pairs: Vec<_> = all.iter().map(|(k, v)| format!("{k}={v}")).collect();
                        format!("({})", pairs.join(","))
                    });
                    let sign = if matches!(event, Event::Online(_)) { '+' } else { '~' };
                    format!("{sign}{}{}", it.address, attributes.unwrap_or_default())
                }
                Event::Offline(it) => format!("-{}", it.address),
                Event::Leader(it) => format!("!{}", it.address),
                Event::Leaderless(_) => "!".to_string(),
                Event::Document(service, which, kept) => {
                    let text = kept.as_ref().map_or("", |kept| &kept.text);
                    format!("{service}/{}:{text}", which.name())
                }
                Event::Current => "=".to_string(),
                Event::Resumed => "r".to_string(),
            });
        }
        (text.join(" "), created)
    }

    fn text(&mut self, id: SubscriptionId) -> String {
        self.read(id).0
    }
}

fn pair(key: &str, value: &str) -> Attributes {
    Attributes::from([(key.to_string(), value.to_string())])
}

fn registers(bench: &mut Bench<'_>) {
    let id = bench.subscribe("web");
    assert_eq!(bench.text(id), "=", "a service that nobody knows is empty");
    bench.register("web", "a");
    let (text, first) = bench.read(id);
    assert_eq!(text, "+a");
    assert!(first[0] > 0, "0 is not an index");
    bench.register("web", "a");
    assert_eq!(bench.text(id), "", "a heartbeat is silent");
    bench.register("web", "b");
    let (text, second) = bench.read(id);
    assert_eq!(text, "+b");
    assert!(second > first, "created grows");
}

fn changes_attributes(bench: &mut Bench<'_>) {
    let id = bench.subscribe("web");
    bench.register("web", "a");
    let first = bench.read(id).1;
    for (attributes, text) in [
        (Some(Attributes::new()), "+a()"),
        (Some(Attributes::new()), ""),
        (Some(pair("k", "v")), "+a(k=v)"),
        (Some(pair("k", "v")), ""),
        (Some(pair("k", "w")), "+a(k=w)"),
        (None, "+a"),
        (None, ""),
    ] {
        bench.register_with("web", "a", attributes);
        let (shown, created) = bench.read(id);
        assert_eq!(shown, text);
        assert!(created.iter().all(|it| *it == first[0]), "created stays: {created:?}");
    }
    bench.register("web", "b");
    assert!(bench.read(id).1 > first);
}

fn unregisters(bench: &mut Bench<'_>) {
    let id = bench.subscribe("web");
    let nobody = bench.unregister("web", "a");
    assert!(matches!(nobody, Err(StoreError::NotFound { .. })), "{nobody:?}");
    bench.register("web", "a");
    bench.register("web", "b");
    let (_, before) = bench.read(id);
    assert_eq!(bench.unregister("web", "a"), Ok(()));
    assert!(
        matches!(bench.unregister("web", "a"), Err(StoreError::NotFound { index }) if index > 2)
    );
    assert_eq!(bench.text(id), "-a");
    bench.register("web", "a");
    let (text, again) = bench.read(id);
    assert_eq!(text, "+a");
    assert!(again[0] > before[1], "who comes back is younger than those who stayed");
}

fn shows_the_newest_first(bench: &mut Bench<'_>) {
    for address in ["c", "a", "b"] {
        bench.register("web", address);
    }
    // A change of attributes is no new start.
    bench.register_with("web", "c", Some(Attributes::new()));
    let id = bench.subscribe("web");
    let (text, created) = bench.read(id);
    assert_eq!(text, "+b +a +c() =");
    assert!(created.is_sorted_by(|a, b| a > b), "{created:?}");
    assert_eq!(bench.unregister("web", "a"), Ok(()));
    let second = bench.subscribe("web");
    assert_eq!(bench.text(second), "+b +c() =");
    assert_eq!(bench.text(id), "-a");
}

fn expires_in_time(bench: &mut Bench<'_>) {
    let tick = Duration::from_nanos(1);
    let (ttl, late, id) = (bench.ttl, bench.late, bench.subscribe("web"));
    bench.register("web", "a");
    bench.register("web", "b");
    bench.pass(ttl / 2);
    bench.register("web", "b");
    bench.text(id);
    bench.pass(ttl / 2 - tick);
    assert_eq!(bench.text(id), "", "nobody goes before the TTL is over");
    bench.pass(tick + late);
    assert_eq!(bench.text(id), "-a");
    bench.pass(ttl / 2 - tick - late);
    assert_eq!(bench.text(id), "");
    bench.pass(tick + late);
    assert_eq!(bench.text(id), "-b");
    bench.register("web", "a");
    assert_eq!(bench.text(id), "+a", "who expired can come back");
    for _ in 0..5 {
        bench.pass(ttl - tick - late);
        bench.register("web", "a");
    }
    assert_eq!(bench.text(id), "", "who has heartbeats stays");
}

fn keeps_services_apart(bench: &mut Bench<'_>) {
    let (web, other) = (bench.subscribe("web"), bench.subscribe("web2"));
    bench.register("web", "a");
    assert_eq!((bench.text(web), bench.text(other)), ("= +a".into(), "=".into()));
    bench.register("web2", "a");
    assert_eq!(bench.unregister("web", "a"), Ok(()));
    assert_eq!((bench.text(web), bench.text(other)), ("-a".into(), "+a".into()));
    bench.store.unsubscribe(web);
    bench.register("web", "a");
    assert_eq!(bench.text(web), "", "who does not want to hear is not told");
}

fn coalesces(bench: &mut Bench<'_>) {
    bench.register("web", "old");
    let id = bench.subscribe("web");
    bench.text(id);
    for round in 0..1000 {
        bench.register_with("web", "old", Some(pair("k", &round.to_string())));
        bench.register("web", "new");
        bench.register("web", &round.to_string());
        assert_eq!(bench.unregister("web", &round.to_string()), Ok(()));
        if round % 2 == 0 {
            assert_eq!(bench.unregister("web", "new"), Ok(()));
        }
    }
    assert_eq!(bench.text(id), "+old(k=999) +new", "the latest state of each, and no more");
}

/// Requests that are made before any is answered hold in their order.
fn interleaves(bench: &mut Bench<'_>) {
    let id = bench.subscribe("web");
    bench.start("web", "a", None);
    bench.start("web", "a", None);
    bench.start("web", "a", Some(pair("k", "v")));
    bench.store.unregister(bench.now, bench.next, "web", "a");
    bench.store.unregister(bench.now, bench.next + 1, "web", "a");
    bench.next += 2;
    bench.start("web", "a", None);
    bench.settle();
    let mut results = core::mem::take(&mut bench.done);
    results.sort_by_key(|(request, _)| *request);
    let failed: Vec<u64> =
        results.iter().filter(|(_, result)| result.is_err()).map(|(request, _)| *request).collect();
    assert_eq!((results.len(), failed), (6, [4].into()), "{results:?}");
    let text = bench.text(id);
    assert!(text.starts_with('=') && text.ends_with("+a"), "{text}");
    let second = bench.subscribe("web");
    assert_eq!(bench.text(second), "+a =");
}

fn keeps_documents(bench: &mut Bench<'_>) {
    use Document::{Leader, Meta, Service};
    let instances = bench.subscribe("web");
    assert_eq!(bench.text(instances), "=");
    assert_eq!(bench.document("web", Service), None);
    let first = bench.keep("web", Service, Some("oldest"), Expect::Absent).expect("it is kept");
    assert!(first > 0, "0 is not an index");
    assert_eq!(bench.document("web", Service), Some(("oldest".into(), first)));
    let long = "\u{e4}\"\\\n\0 ".repeat(5_000);
    let second = bench.keep("web", Meta, Some(&long), Expect::Any).expect("it is kept");
    assert!(second > first, "the index grows");
    assert_eq!(bench.document("web", Meta), Some((long, second)));
    // The same again is a change, for who compares the index.
    let third = bench.keep("web", Service, Some("oldest"), Expect::Any).expect("it is kept");
    assert!(third > second);
    bench.register("web", "a");
    let (text, created) = bench.read(instances);
    assert_eq!(text, "+a", "who reads instances is not told of documents");
    assert!(created[0] > third, "documents and instances have one index");
    bench.register("web", "b");
    bench.text(instances);
    let leader = |bench: &Bench<'_>| {
        let registry = bench.store.registry().expect("it is known what there is");
        registry.leader("web").map(|it| it.address.to_string())
    };
    assert_eq!(leader(bench).as_deref(), Some("a"), "the oldest leads");
    assert!(bench.keep("web", Leader, Some("b"), Expect::Any).is_ok());
    assert_eq!(leader(bench).as_deref(), Some("b"), "who was named leads");
    assert_eq!(bench.unregister("web", "b"), Ok(()));
    assert_eq!(leader(bench).as_deref(), Some("a"), "unless it is not there");
    assert!(bench.keep("web", Service, Some("manual"), Expect::Any).is_ok());
    assert_eq!(leader(bench), None, "and then nobody else does where that was said");
    let names = |bench: &Bench<'_>| -> Vec<String> {
        let registry = bench.store.registry().expect("it is known what there is");
        registry.services().map(ToString::to_string).collect()
    };
    bench.register("db", "x");
    assert_eq!(names(bench), ["db", "web"]);
    assert_eq!(bench.unregister("web", "a"), Ok(()));
    for which in Document::ALL {
        assert!(bench.keep("web", which, None, Expect::Any).is_ok());
        assert_eq!(bench.document("web", which), None);
    }
    assert_eq!(names(bench), ["db"]);
    assert_eq!(bench.keep("web", Meta, None, Expect::Any), Ok(0), "it is gone already");
    assert_eq!(bench.text(instances), "-b -a");
}

fn compares_and_sets(bench: &mut Bench<'_>) {
    use Document::Meta;
    let wrong = bench.keep("web", Meta, Some("x"), Expect::Is(1));
    assert_eq!(wrong, Err(StoreError::Precondition { index: 0 }));
    let first = bench.keep("web", Meta, Some("1"), Expect::Absent).expect("it is not there");
    let again = bench.keep("web", Meta, Some("2"), Expect::Absent);
    assert_eq!(again, Err(StoreError::Exists { index: first }));
    let second = bench.keep("web", Meta, Some("2"), Expect::Is(first)).expect("it is as it was");
    let late = bench.keep("web", Meta, Some("3"), Expect::Is(first));
    assert_eq!(late, Err(StoreError::Precondition { index: second }));
    let late = bench.keep("web", Meta, None, Expect::Is(first));
    assert_eq!(late, Err(StoreError::Precondition { index: second }));
    assert_eq!(bench.document("web", Meta), Some(("2".into(), second)));
    assert!(bench.keep("web", Meta, None, Expect::Is(second)).is_ok());
    assert_eq!(bench.document("web", Meta), None);
    let third = bench.keep("web", Meta, Some("4"), Expect::Absent).expect("it is gone");
    assert!(third > second, "the index does not come again");
    // Of many at once one has its way.
    for round in 0..5 {
        let text = Some(round.to_string());
        bench.store.keep(bench.now, bench.next, "web", Meta, text, Expect::Is(third));
        bench.next += 1;
    }
    bench.settle();
    let results = core::mem::take(&mut bench.kept);
    let done: Vec<u64> = results.iter().filter_map(|(_, result)| result.clone().ok()).collect();
    assert_eq!((results.len(), done.len()), (5, 1), "{results:?}");
    let (_, index) = bench.document("web", Meta).expect("it is there");
    assert_eq!(index, done[0], "the answer says the index");
}

fn documents_stay(bench: &mut Bench<'_>) {
    bench.register("web", "a");
    let index = bench.keep("web", Document::Meta, Some("m"), Expect::Any).expect("it is kept");
    bench.pass(bench.ttl * 3);
    bench.settle();
    assert_eq!(bench.document("web", Document::Meta), Some(("m".into(), index)));
}

fn tells_services_whole(bench: &mut Bench<'_>) {
    use Document::{Leader, Meta, Service};
    assert!(bench.keep("web", Service, Some("oldest"), Expect::Any).is_ok());
    assert!(bench.keep("web", Meta, Some("1"), Expect::Any).is_ok());
    for address in ["c", "a", "b"] {
        bench.register("web", address);
    }
    let one = bench.follow(Interest::Service("web", None));
    let all = bench.follow(Interest::All(None));
    let snapshot = "+c +a +b !c web/service:oldest web/meta:1 =";
    assert_eq!(bench.text(one), snapshot, "the oldest first");
    assert_eq!(bench.text(all), snapshot);
    bench.register_with("web", "a", Some(pair("k", "v")));
    assert_eq!((bench.text(one), bench.text(all)), ("~a(k=v)".into(), "~a(k=v)".into()));
    assert_eq!(bench.unregister("web", "c"), Ok(()));
    assert_eq!(bench.text(one), "-c !a", "and who leads now");
    assert!(bench.keep("web", Leader, Some("b"), Expect::Any).is_ok());
    assert_eq!(bench.text(one), "web/leader:b !b");
    bench.register("db", "x");
    assert_eq!(bench.text(one), "");
    assert_eq!(bench.text(all), "-c web/leader:b !b +x !x");
    assert!(bench.keep("web", Meta, None, Expect::Any).is_ok());
    assert_eq!(bench.text(one), "web/meta:");
    let second = bench.follow(Interest::All(None));
    assert_eq!(bench.text(second), "+x !x +a(k=v) +b !b web/service:oldest web/leader:b =");
    // Of what changes while nobody reads, the latest state.
    for round in 0..100 {
        bench.register_with("web", "a", Some(pair("k", &round.to_string())));
        assert!(bench.keep("web", Meta, Some(&round.to_string()), Expect::Any).is_ok());
        bench.register("db", "y");
        assert_eq!(bench.unregister("db", "y"), Ok(()));
    }
    assert_eq!(bench.text(one), "~a(k=99) web/meta:99");
}

/// What [`Store::told`] says is good for another subscription, or all is told again.
fn goes_on_where_it_was(bench: &mut Bench<'_>) {
    for address in ["a", "b", "c"] {
        bench.register("web", address);
    }
    let id = bench.follow(Interest::Service("web", None));
    assert_eq!(bench.text(id), "+a +b +c !a =");
    let told = bench.store.told(id);
    bench.store.unsubscribe(id);
    bench.register("web", "d");
    assert_eq!(bench.unregister("web", "a"), Ok(()));
    bench.register_with("web", "b", Some(pair("k", "v")));
    assert_eq!(bench.unregister("web", "c"), Ok(()));
    bench.register("web", "c");
    assert!(bench.keep("web", Document::Meta, Some("m"), Expect::Any).is_ok());
    let again = bench.follow(Interest::Service("web", told));
    let text = bench.text(again);
    if told.is_some() {
        assert_eq!(text, "+d -a !b ~b(k=v) ~c web/meta:m r");
    } else {
        assert_eq!(text, "+b(k=v) +d +c !b web/meta:m =");
    }
    let told = bench.store.told(again);
    let once_more = bench.follow(Interest::All(told));
    let text = bench.text(once_more);
    assert!(if told.is_some() { text == "r" } else { text.ends_with('=') }, "{text}");
}
