//! The journal, on a disk that forgets what was not made safe.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use proptest::prelude::*;

use super::disk::SMALL;
use super::{Journal, JournalError, MAGIC, Record};
use crate::discovery::store::{Persist, Store, StoreError, StoreEvent, StoreInput, suite};
use crate::discovery::{Document, Expect, Registration, TTL};
use crate::rpc::Attributes;
use crate::time::Instant;

fn seconds(seconds: u64) -> Instant {
    Instant::new(Duration::from_secs(seconds))
}

/// A folder with a journal, and perhaps the one that is to take its place.
#[derive(Clone, Default)]
struct Disk {
    file: Vec<u8>,
    next: Vec<u8>,
    replaced: u32,
    appends: u32,
}

impl Disk {
    fn persist(&mut self, what: &Persist) {
        match what {
            Persist::Append(bytes) => {
                self.appends += 1;
                self.file.extend_from_slice(bytes);
            }
            Persist::AppendNext { bytes, first } => {
                if *first {
                    self.next.clear();
                }
                self.next.extend_from_slice(bytes);
            }
            Persist::Replace => {
                self.replaced += 1;
                self.file = core::mem::take(&mut self.next);
            }
        }
    }
}

/// A journal, its disk, and what it has answered.
struct Bench {
    journal: Journal,
    disk: Disk,
    doing: Option<Persist>,
    done: Vec<(u64, Result<(), StoreError>)>,
    kept: Vec<(u64, Result<u64, StoreError>)>,
    warnings: Vec<String>,
    now: Instant,
}

impl Bench {
    fn open(disk: Disk, now: Instant) -> Self {
        let (journal, whole) = Journal::load(now, TTL, &disk.file).unwrap();
        let mut disk = disk;
        disk.file.truncate(whole as usize);
        disk.next.clear();
        let (done, kept, warnings) = (Vec::new(), Vec::new(), Vec::new());
        Self { journal, disk, doing: None, done, kept, warnings, now }
    }

    fn poll(&mut self) {
        while let Some(event) = self.journal.poll() {
            match event {
                StoreEvent::Done(request, result) => self.done.push((request, result)),
                StoreEvent::Kept(request, result) => self.kept.push((request, result)),
                StoreEvent::Warn(line) => self.warnings.push(line),
                StoreEvent::Ready(_) => {}
                _ => panic!("{event:?}"),
            }
        }
        if let Some(what) = self.journal.poll_persist() {
            assert_eq!(self.doing.replace(what), None, "one at a time");
        }
    }

    /// Does what is to be done with the disk; returns whether there was anything.
    fn work(&mut self) -> bool {
        self.poll();
        let Some(what) = self.doing.take() else { return false };
        self.disk.persist(&what);
        self.journal.handle(self.now, StoreInput::Persisted);
        self.poll();
        true
    }

    fn settle(&mut self) {
        while self.work() {}
    }

    fn fail(&mut self) {
        self.poll();
        self.doing.take().expect("it was at work");
        self.journal.handle(self.now, StoreInput::PersistFailed("no space left on device"));
        self.poll();
    }

    fn register(&mut self, request: u64, address: &str, attributes: Option<Attributes>) {
        let (service, address) = ("web".into(), address.into());
        let registration = Registration { service, address, attributes };
        self.journal.register(self.now, request, registration);
    }

    fn keep(&mut self, request: u64, service: &str, text: Option<&str>, expect: Expect) {
        let text = text.map(String::from);
        self.journal.keep(self.now, request, service, Document::Meta, text, expect);
    }

    fn documents(&self) -> BTreeMap<String, (String, u64)> {
        let all = self.journal.registry().unwrap().documents(None);
        all.map(|(name, _, kept)| (name.to_string(), (kept.text.to_string(), kept.index))).collect()
    }

    fn pass(&mut self, to: Instant) {
        while let Some(due) = self.journal.poll_timeout().filter(|due| *due <= to) {
            self.now = self.now.max(due);
            self.journal.handle(self.now, StoreInput::Timeout);
            self.settle();
        }
        self.now = to;
    }

    fn all(&self) -> BTreeMap<String, (u64, Option<Attributes>)> {
        let all = self.journal.registry().unwrap().instances("web");
        all.map(|it| (it.address.to_string(), (it.created, it.attributes.clone()))).collect()
    }

    fn restart(self, now: Instant) -> Self {
        Self::open(self.disk, now)
    }
}

#[test]
fn passes_the_suite() {
    let open: &mut dyn FnMut() -> Box<dyn Store> =
        &mut || Box::new(Journal::load(Instant::ZERO, TTL, &[]).unwrap().0);
    suite(TTL, open, &mut |_| Ok(()));
}

#[test]
fn what_is_acknowledged_is_on_the_disk() {
    let mut bench = Bench::open(Disk::default(), Instant::ZERO);
    bench.register(1, "a", None);
    bench.register(2, "b", Some(Attributes::from([("k".into(), "v".into())])));
    bench.poll();
    assert_eq!((bench.done.len(), bench.all().len()), (0, 0));
    bench.settle();
    assert_eq!(bench.done, [(1, Ok(())), (2, Ok(()))]);
    let before = bench.all();
    assert_eq!(before.len(), 2);
    let mut bench = bench.restart(Instant::ZERO);
    assert_eq!(bench.all(), before);
    // The index goes on.
    bench.register(3, "c", None);
    bench.settle();
    assert_eq!(bench.all()["c"].0, 3);
}

#[test]
fn documents_are_on_the_disk_as_instances_are() {
    let mut bench = Bench::open(Disk::default(), Instant::ZERO);
    bench.keep(1, "web", Some("1"), Expect::Absent);
    // What is under way counts for those who come behind it, and they are answered behind it.
    bench.keep(2, "web", Some("2"), Expect::Absent);
    bench.keep(3, "web", Some("3"), Expect::Is(1));
    bench.poll();
    assert_eq!((bench.kept.len(), bench.documents().len()), (0, 0));
    bench.settle();
    let exists = Err(StoreError::Exists { index: 1 });
    assert_eq!(bench.kept, [(1, Ok(1)), (2, exists), (3, Ok(2))]);
    bench.keep(4, "db", Some("x"), Expect::Any);
    bench.keep(5, "gone", Some("x"), Expect::Any);
    bench.keep(6, "gone", None, Expect::Any);
    bench.register(7, "a", None);
    bench.settle();
    let all = bench.documents();
    assert_eq!((all.len(), &all["web"]), (2, &("3".to_string(), 2)));
    assert_eq!((bench.documents().len(), bench.all()["a"].0), (2, 6));
    // Wherever the file is cut, there is what came before.
    for length in MAGIC.len()..bench.disk.file.len() {
        let disk = Disk { file: bench.disk.file[..length].to_vec(), ..Disk::default() };
        let cut = Bench::open(disk, Instant::ZERO).documents();
        assert!(cut.get("web").is_none_or(|(text, _)| text == "1" || text == "3"), "{length}");
    }
    let mut bench = bench.restart(Instant::ZERO);
    assert_eq!((bench.documents(), bench.journal.index), (all, 6));
    bench.pass(seconds(100));
    assert_eq!((bench.all().len(), bench.documents().len()), (0, 2));
}

/// Written before there were documents.
#[test]
fn an_older_journal_is_read() {
    let mut file = MAGIC.to_vec();
    Record::put((1, 1), ("web", "a"), None, &mut file);
    Record::remove(2, "web", "a", &mut file);
    Record::put((3, 3), ("web", "b"), None, &mut file);
    let mut bench = Bench::open(Disk { file, ..Disk::default() }, Instant::ZERO);
    assert_eq!(bench.all().len(), 1);
    bench.keep(1, "web", Some("x"), Expect::Any);
    bench.settle();
    assert_eq!(bench.restart(Instant::ZERO).documents()["web"], ("x".to_string(), 4));
}

#[test]
fn documents_are_written_anew_with_the_file() {
    let mut bench = Bench::open(Disk::default(), Instant::ZERO);
    let text = |round: u64| format!("{round:0>9000}");
    for round in 0..3_000_u64 {
        let name = format!("{}", round % 40);
        let kept = (round % 7 != 0).then(|| text(round));
        bench.keep(round, &name, kept.as_deref(), Expect::Any);
        bench.register(round, &name, None);
        if round % 3 == 0 {
            bench.work();
        }
        if round % 500 == 0 {
            bench.settle();
            let all = bench.documents();
            assert_eq!(Bench::open(bench.disk.clone(), Instant::ZERO).documents(), all, "{round}");
        }
    }
    bench.settle();
    assert!(bench.disk.replaced > 1, "{}", bench.disk.replaced);
    assert!(bench.disk.file.len() < 3 * SMALL as usize, "{}", bench.disk.file.len());
    let (all, live) = (bench.documents(), bench.journal.live);
    let again = bench.restart(Instant::ZERO);
    assert_eq!((again.documents(), again.journal.live), (all, live));
}

#[test]
fn changes_that_come_together_are_written_together() {
    let mut bench = Bench::open(Disk::default(), Instant::ZERO);
    bench.register(0, "first", None);
    bench.poll();
    for request in 1..100 {
        bench.register(request, &request.to_string(), None);
    }
    bench.settle();
    assert_eq!((bench.done.len(), bench.disk.appends), (100, 2));
}

#[test]
fn heartbeats_are_not_written_and_do_not_wait() {
    let mut bench = Bench::open(Disk::default(), Instant::ZERO);
    bench.register(1, "a", None);
    bench.settle();
    let length = bench.disk.file.len();
    bench.register(2, "b", None);
    bench.poll();
    bench.register(3, "a", None);
    bench.register(4, "b", None);
    bench.poll();
    // One for a change that is not safe yet has to wait with it.
    assert_eq!(bench.done[1..], [(3, Ok(()))]);
    bench.settle();
    assert_eq!(bench.done[2..], [(2, Ok(())), (4, Ok(()))]);
    let (longer, appends) = (bench.disk.file.len(), bench.disk.appends);
    assert!(longer > length);
    for request in 5..1000 {
        bench.register(request, "a", None);
        bench.settle();
    }
    assert_eq!((bench.disk.file.len(), bench.disk.appends), (longer, appends));
}

#[test]
fn after_a_restart_nobody_expires_before_two_ttls() {
    let mut bench = Bench::open(Disk::default(), Instant::ZERO);
    for address in ["a", "b"] {
        bench.register(1, address, None);
    }
    bench.settle();
    let mut bench = bench.restart(seconds(100));
    bench.pass(seconds(105));
    bench.register(1, "a", None);
    bench.register(2, "new", None);
    bench.settle();
    bench.pass(Instant::new(Duration::from_secs(120) - Duration::from_nanos(1)));
    assert_eq!(bench.all().len(), 3);
    bench.pass(seconds(120));
    assert!(bench.all().is_empty());
    assert!(bench.restart(seconds(200)).all().is_empty());
}

#[test]
fn a_torn_end_is_cut_off_and_written_over() {
    let mut bench = Bench::open(Disk::default(), Instant::ZERO);
    bench.register(1, "a", None);
    bench.settle();
    let whole = bench.disk.file.clone();
    bench.register(2, "b", None);
    bench.settle();
    for length in 0..bench.disk.file.len() {
        let mut disk = Disk { file: bench.disk.file[..length].to_vec(), ..Disk::default() };
        let rest = if length < MAGIC.len() { 0 } else { 0xaa };
        disk.file.extend(core::iter::repeat_n(rest, length % 3));
        let mut torn = Bench::open(disk, Instant::ZERO);
        torn.poll();
        let kept = usize::from(length >= whole.len());
        assert_eq!(torn.all().len(), kept, "{length}");
        assert!(torn.disk.file.len() <= length);
        torn.register(1, "c", None);
        torn.settle();
        let mut again = torn.restart(Instant::ZERO);
        again.poll();
        assert_eq!((again.all().len(), again.warnings.len()), (kept + 1, 0));
    }
    let mut torn = bench.disk.clone();
    torn.file.truncate(whole.len() + 5);
    let mut torn = Bench::open(torn, Instant::ZERO);
    torn.poll();
    let [warning] = &*torn.warnings else { panic!("{:?}", torn.warnings) };
    let from = whole.len();
    assert!(warning.starts_with(&format!("the last 5 bytes of the journal, from {from} on, are")));
}

#[test]
fn room_that_was_made_ahead_is_the_end() {
    let mut bench = Bench::open(Disk::default(), Instant::ZERO);
    bench.register(1, "a", None);
    bench.settle();
    let whole = bench.disk.file.len();
    bench.disk.file.resize(whole + 4096, 0);
    let mut again = bench.restart(Instant::ZERO);
    again.poll();
    assert_eq!((again.all().len(), again.warnings.len(), again.disk.file.len()), (1, 0, whole));
}

#[test]
fn a_file_in_which_all_is_true_is_not_written_anew() {
    let mut bench = Bench::open(Disk::default(), Instant::ZERO);
    let mut count = 0;
    while bench.disk.file.len() < 3 * SMALL as usize {
        bench.register(count, &count.to_string(), None);
        bench.settle();
        count += 1;
    }
    assert_eq!(bench.disk.replaced, 0);
    assert_eq!(bench.journal.live, bench.disk.file.len() as u64 - MAGIC.len() as u64);
    for gone in 0..count {
        bench.journal.unregister(bench.now, gone, "web", &gone.to_string());
        bench.settle();
    }
    assert_eq!(bench.journal.live, 0);
    assert!(bench.disk.replaced > 0 && bench.disk.file.len() <= SMALL as usize + 64);
}

#[test]
fn what_is_no_journal_is_left_alone() {
    for file in [&b"#!/bin/sh\n"[..], b"libswarm discovery journal 2\nabc", b"\0\0x"] {
        assert_eq!(Journal::load(Instant::ZERO, TTL, file).unwrap_err(), JournalError);
    }
    for file in [&MAGIC[..5], &[0; 100], b"libswarm\0\0\0"] {
        assert_eq!(Journal::load(Instant::ZERO, TTL, file).unwrap().1, 0);
    }
}

#[test]
fn the_file_is_written_anew_while_changes_go_on() {
    let mut bench = Bench::open(Disk::default(), Instant::ZERO);
    let attributes = |round: u64| Some(Attributes::from([("k".into(), format!("{round:0>400}"))]));
    for round in 0..2_000 {
        bench.register(round, &round.to_string(), None);
    }
    bench.settle();
    // Attributes change, instances come and go, in every stage of it.
    let (mut longest, mut request) = (0, 10_000);
    for round in 0..20_000_u64 {
        request += 1;
        match round % 4 {
            0 => bench.journal.unregister(bench.now, request, "web", &(round % 2_000).to_string()),
            1 => bench.register(request, &(round - 1).to_string(), None),
            _ => bench.register(request, &(round % 2_000).to_string(), attributes(round)),
        }
        if round % 7 == 0 {
            bench.work();
        }
        longest = longest.max(bench.disk.file.len());
        if round % 1_000 == 0 {
            // A crash at this moment loses nothing that was answered.
            let pending: usize = bench.journal.pending.0.values().map(BTreeMap::len).sum();
            let all = bench.all();
            let again = Bench::open(bench.disk.clone(), Instant::ZERO).all();
            let differ = all.iter().filter(|(key, state)| again.get(*key) != Some(state)).count();
            assert!(differ <= pending, "{round}: {differ}, {pending}");
        }
    }
    bench.settle();
    assert!(bench.disk.replaced > 1, "{}", bench.disk.replaced);
    assert!(longest < 4 * SMALL as usize, "{longest}");
    let all = bench.all();
    let index = bench.journal.index;
    let again = bench.restart(Instant::ZERO);
    assert_eq!((again.all(), again.journal.index), (all, index));
}

#[test]
fn a_disk_that_fails_is_said_and_tried_again() {
    let mut bench = Bench::open(Disk::default(), Instant::ZERO);
    bench.register(1, "a", None);
    bench.settle();
    bench.done.clear();
    bench.register(2, "b", None);
    bench.poll();
    bench.register(3, "c", None);
    bench.keep(10, "web", Some("m"), Expect::Any);
    // Half of it came to the disk.
    bench.disk.file.extend_from_slice(b"half a record");
    bench.fail();
    let error = StoreError::Unavailable(
        "the journal cannot be written: no space left on device".to_string(),
    );
    assert_eq!(bench.done, [(2, Err(error.clone())), (3, Err(error.clone()))]);
    assert_eq!(bench.kept, [(10, Err(error.clone()))]);
    bench.keep(11, "web", Some("m"), Expect::Absent);
    bench.poll();
    assert_eq!(bench.kept[1..], [(11, Err(error.clone()))]);
    assert_eq!(bench.warnings.len(), 1);
    // Heartbeats go on, changes do not, and nobody who is on the disk is said to be gone.
    bench.done.clear();
    bench.register(4, "a", None);
    bench.register(5, "d", None);
    bench.poll();
    assert_eq!(bench.done, [(4, Ok(())), (5, Err(error))]);
    assert_eq!(bench.all().len(), 1);
    bench.now = seconds(1);
    bench.journal.handle(bench.now, StoreInput::Timeout);
    bench.fail();
    assert_eq!(bench.warnings.len(), 1, "it is said once");
    bench.now = seconds(2);
    bench.journal.handle(bench.now, StoreInput::Timeout);
    bench.settle();
    assert_eq!(bench.warnings[1..], ["the journal can be written again"]);
    bench.done.clear();
    bench.register(6, "b", None);
    bench.settle();
    assert_eq!(bench.done, [(6, Ok(()))]);
    // Created does not come a second time, also if the disk has what was not acknowledged.
    assert!(bench.all()["b"].0 > 3);
    let all = bench.all();
    assert_eq!(bench.restart(seconds(3)).all(), all);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    /// Whatever is done, and wherever the power is cut: what was acknowledged is there, and nothing that nobody asked for.
    #[test]
    fn nothing_acknowledged_is_lost(
        operations in prop::collection::vec((0_u8..8, 0_u8..5, any::<u8>()), 1..120)
    ) {
        let mut bench = Bench::open(Disk::default(), Instant::ZERO);
        // What each address was acknowledged to be, and what it may be since.
        let mut known: BTreeMap<String, Vec<Option<u8>>> = BTreeMap::new();
        let mut asked: BTreeMap<u64, (String, Option<u8>)> = BTreeMap::new();
        for (request, (operation, which, value)) in operations.into_iter().enumerate() {
            let (request, address) = (request as u64, which.to_string());
            match operation {
                0..4 => {
                    let attributes = Attributes::from([(String::new(), value.to_string())]);
                    bench.register(request, &address, Some(attributes));
                    asked.insert(request, (address.clone(), Some(value)));
                    known.entry(address).or_insert_with(|| [None].into()).push(Some(value));
                }
                4 => {
                    bench.journal.unregister(bench.now, request, "web", &address);
                    asked.insert(request, (address.clone(), None));
                    known.entry(address).or_insert_with(|| [None].into()).push(None);
                }
                5 => _ = bench.work(),
                6 => bench.settle(),
                _ => {
                    // The power is cut: of what is being written, some is on the disk.
                    bench.poll();
                    if let Some(what) = bench.doing.take() {
                        match what {
                            Persist::Append(mut bytes) => {
                                bytes.truncate(bytes.len() * usize::from(value) / 255);
                                bench.disk.persist(&Persist::Append(bytes));
                            }
                            what if value > 128 => bench.disk.persist(&what),
                            _ => {}
                        }
                    }
                    let done = core::mem::take(&mut bench.done);
                    settled(&done, &mut asked, &mut known);
                    let disk = bench.disk.clone();
                    bench = Bench::open(disk, bench.now);
                    let all = bench.all();
                    for (address, states) in &mut known {
                        let is = all.get(address).map(|(_, attributes)| {
                            attributes.as_ref().unwrap()[""].parse::<u8>().unwrap()
                        });
                        prop_assert!(states.contains(&is), "{address} is {is:?}, not of {states:?}");
                        *states = [is].into();
                    }
                    prop_assert!(all.keys().all(|address| known.contains_key(address)));
                    asked.clear();
                }
            }
            bench.poll();
            let done = core::mem::take(&mut bench.done);
            settled(&done, &mut asked, &mut known);
        }
    }
}

/// An acknowledged change leaves no state before it possible.
fn settled(
    done: &[(u64, Result<(), StoreError>)],
    asked: &mut BTreeMap<u64, (String, Option<u8>)>,
    known: &mut BTreeMap<String, Vec<Option<u8>>>,
) {
    for (request, _) in done {
        let Some((address, state)) = asked.remove(request) else { continue };
        let states = known.get_mut(&address).unwrap();
        // Requests of an address are answered in order, so this is the first of that kind.
        if let Some(at) = states.iter().skip(1).position(|it| *it == state) {
            states.drain(..=at);
        }
    }
}

/// Whoever asks for that gets it, and not the end of the process.
#[test]
fn an_instance_may_stay_for_ever() {
    let (mut journal, _) = Journal::load(Instant::ZERO, Duration::MAX, b"").unwrap();
    let (service, address) = ("web".to_string(), "a:80".to_string());
    journal.register(Instant::ZERO, 1, Registration { service, address, attributes: None });
    let Some(Persist::Append(file)) = journal.poll_persist() else { panic!("it is written") };
    journal.handle(Instant::ZERO, StoreInput::Persisted);
    assert_eq!(journal.poll(), Some(StoreEvent::Done(1, Ok(()))));
    let (journal, _) = Journal::load(Instant::ZERO, Duration::MAX, &file).unwrap();
    assert_eq!(
        (journal.registry().unwrap().len(), journal.poll_timeout()),
        (1, Some(Instant::MAX))
    );
}
