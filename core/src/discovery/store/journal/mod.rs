//! A store on disk: what it has acknowledged survives its process, and a power cut.

mod disk;
mod record;
#[cfg(test)]
mod tests;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use super::{Interest, Persist, Store, StoreError, StoreEvent, StoreInput, check_expected};
use crate::discovery::{Document, Event, Expect, Instance, Registration, Registry, SubscriptionId};
use crate::rpc::Attributes;
use crate::time::Instant;
use disk::{Health, Rewrite, Work};
use record::{MAGIC, Record};

/// Keeps registrations in a file that only grows, until it is written anew.
///
/// A change is written first, and acknowledged and told to subscribers when it is on the disk. While the disk is at work, the
/// changes that come are collected, and written together. Heartbeats are not written. When the file has become twice as long
/// as what is true needs, that is written to another file, piece by piece beside what goes on, which then takes its place.
///
/// Once read back ([`load`](Journal::load)), nobody's lease ends before two TTLs have passed.
#[derive(Debug)]
pub struct Journal {
    registry: Registry,
    ttl: Duration,
    now: Instant,
    due: bool,
    /// The index of the last change, whether written or not.
    index: u64,
    /// What becomes of instances that changes under way are about.
    pending: Unsaved,
    /// The same of documents: the index of the change, and whether they are there behind it.
    pending_documents: BTreeMap<(String, Document), (u64, bool)>,
    /// Changes that are to be written next.
    collected: Batch,
    /// Those that are being written.
    written: Batch,
    /// Those that are on the disk, and not told yet.
    safe: VecDeque<Step>,
    /// The file is being worked on.
    busy: Option<Work>,
    /// Bytes of the file, and of those that what is true would take.
    size: u64,
    live: u64,
    /// Writing it anew has failed: it is not tried again before it has become this long.
    patience: u64,
    rewrite: Option<Rewrite>,
    /// The last thing that was done was to append changes.
    appended: bool,
    health: Health,
    warnings: VecDeque<String>,
}

#[derive(Debug)]
struct Pending {
    index: u64,
    state: Option<(u64, Option<Attributes>)>,
}

/// By service and address.
#[derive(Default, Debug)]
struct Unsaved(BTreeMap<String, BTreeMap<String, Pending>>);

impl Unsaved {
    fn get(&self, service: &str, address: &str) -> Option<&Pending> {
        self.0.get(service)?.get(address)
    }

    fn insert(&mut self, service: &str, address: &str, pending: Pending) {
        let all = match self.0.get_mut(service) {
            Some(all) => all,
            None => self.0.entry(service.to_string()).or_default(),
        };
        all.insert(address.to_string(), pending);
    }

    /// That change is safe; there may be later ones.
    fn done(&mut self, service: &str, address: &str, index: u64) {
        let Some(all) = self.0.get_mut(service) else { return };
        if all.get(address).is_some_and(|pending| pending.index == index) {
            all.remove(address);
        }
        if all.is_empty() {
            self.0.remove(service);
        }
    }

    fn clear(&mut self) {
        self.0.clear();
    }
}

#[derive(Default, Debug)]
struct Batch {
    bytes: Vec<u8>,
    steps: Vec<Step>,
}

/// What happens once a change is safe.
#[derive(Debug)]
enum Step {
    Change(Record),
    Answer(u64, Result<(), StoreError>),
    Kept(u64, Result<u64, StoreError>),
}

/// Why a file is no journal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct JournalError;

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "the file is not a journal of this program's: move it away, or use another data folder",
        )
    }
}

impl core::error::Error for JournalError {}

impl Journal {
    /// Reads a journal back; `file` is all that it holds, and may be empty. Returns the store and how many bytes of the file
    /// are whole: what is appended goes there, and what is behind that now is to be gone before. It had not been acknowledged.
    ///
    /// # Errors
    ///
    /// The file begins as no journal does.
    pub fn load(now: Instant, ttl: Duration, file: &[u8]) -> Result<(Self, u64), JournalError> {
        let mut journal = Self {
            registry: Registry::new(),
            ttl,
            now,
            due: false,
            index: 0,
            pending: Unsaved::default(),
            pending_documents: BTreeMap::new(),
            collected: Batch::default(),
            written: Batch::default(),
            safe: VecDeque::new(),
            busy: None,
            size: 0,
            live: 0,
            patience: 0,
            rewrite: None,
            appended: false,
            health: Health::Good,
            warnings: VecDeque::new(),
        };
        let Some(mut rest) = file.strip_prefix(MAGIC) else {
            // The first write of all may have been torn, and a file system may put zeros in its place.
            let begun = MAGIC.iter().zip(file).take_while(|(ours, found)| ours == found).count();
            let torn = file[begun..].iter().all(|byte| *byte == 0);
            return if torn { Ok((journal, 0)) } else { Err(JournalError) };
        };
        while let Some((record, behind)) = record::read(rest) {
            journal.apply(record);
            rest = behind;
        }
        let whole = (file.len() - rest.len()) as u64;
        // Zeros are room that was made ahead of what was to come.
        if let Some(last) = rest.iter().rposition(|byte| *byte != 0) {
            let cut = last + 1;
            journal.warnings.push_back(format!(
                "the last {cut} bytes of the journal, from {whole} on, are not whole and are cut off: they were not written to the \
                 end, or the disk has damaged them"
            ));
        }
        journal.index = journal.registry.index();
        journal.size = whole;
        journal.registry.spare(now + ttl.saturating_mul(2));
        let mut last: Option<Arc<Instance>> = None;
        while let Some(instance) =
            journal.registry.behind(last.as_ref().map(|it| (&*it.service, &*it.address)))
        {
            let instance = Arc::clone(instance);
            journal.registry.keep(&instance.service, &instance.address, now);
            last = Some(instance);
        }
        Ok((journal, whole))
    }

    fn apply(&mut self, record: Record) {
        match record {
            Record::Put { index, created, service, address, attributes } => {
                self.put((&service, &address), attributes, created, index);
            }
            Record::Remove { index, service, address } => {
                if let Some(gone) = self.registry.remove(&service, &address, index) {
                    self.live -= size(&gone);
                }
                self.registry.advance(index);
            }
            Record::Index(index) => self.registry.advance(index),
            Record::Keep { index, service, which, text } => {
                if let Some(before) = self.registry.document(&service, which) {
                    self.live -= Record::keep_size(&service, &before.text);
                }
                if let Some(text) = &text {
                    self.live += Record::keep_size(&service, text);
                }
                self.registry.set_document(&service, which, text.map(Into::into), index);
            }
        }
    }

    fn put(
        &mut self,
        (service, address): (&str, &str),
        attributes: Option<Attributes>,
        created: u64,
        index: u64,
    ) {
        self.live += Record::put_size((service, address), attributes.as_ref());
        if let Some(before) =
            self.registry.put_created(service, address, attributes, created, index)
        {
            self.live -= size(&before);
        }
    }

    /// What an instance will be once all that is under way is written.
    fn state(&self, service: &str, address: &str) -> Option<(u64, Option<&Attributes>)> {
        if let Some(pending) = self.pending.get(service, address) {
            let state = pending.state.as_ref();
            return state.map(|(created, attributes)| (*created, attributes.as_ref()));
        }
        let instance = self.registry.get(service, address)?;
        Some((instance.created, instance.attributes.as_ref()))
    }

    /// Collects a change.
    fn change(&mut self, record: Record) {
        let out = &mut self.collected.bytes;
        match &record {
            Record::Put { index, created, service, address, attributes } => {
                Record::put((*index, *created), (service, address), attributes.as_ref(), out);
                let state = Some((*created, attributes.clone()));
                self.pending.insert(service, address, Pending { index: *index, state });
            }
            Record::Remove { index, service, address } => {
                Record::remove(*index, service, address, out);
                self.pending.insert(service, address, Pending { index: *index, state: None });
            }
            Record::Index(index) => return Record::index(*index, out),
            Record::Keep { index, service, which, text } => {
                Record::keep(*index, (service, *which), text.as_deref(), out);
                let key = (service.clone(), *which);
                self.pending_documents.insert(key, (*index, text.is_some()));
            }
        }
        self.collected.steps.push(Step::Change(record));
    }

    /// Answers a request that changes nothing: at once, unless it speaks of a change that is under way.
    fn answer(&mut self, key: (&str, &str), request: u64, result: Result<(), StoreError>) {
        let answer = Step::Answer(request, result);
        if self.pending.get(key.0, key.1).is_none() {
            self.safe.push_back(answer);
        } else {
            self.collected.steps.push(answer);
        }
    }
}

/// Bytes that it takes.
fn size(instance: &Instance) -> u64 {
    Record::put_size((&instance.service, &instance.address), instance.attributes.as_ref())
}

fn put(instance: &Instance, out: &mut Vec<u8>) {
    // Nobody needs to know when the attributes were last changed.
    Record::put(
        (instance.created, instance.created),
        (&instance.service, &instance.address),
        instance.attributes.as_ref(),
        out,
    );
}

impl Store for Journal {
    fn register(&mut self, now: Instant, request: u64, registration: Registration) {
        let Registration { service, address, attributes } = registration;
        let known = self.state(&service, &address);
        let created = known.map(|(created, _)| created);
        let same = known.is_some_and(|(_, known)| known == attributes.as_ref());
        self.registry.keep(&service, &address, now + self.ttl);
        if same {
            return self.answer((&service, &address), request, Ok(()));
        }
        if let Some(error) = self.unavailable() {
            return self.answer((&service, &address), request, Err(error));
        }
        self.index += 1;
        let index = self.index;
        let created = created.unwrap_or(index);
        self.change(Record::Put { index, created, service, address, attributes });
        self.collected.steps.push(Step::Answer(request, Ok(())));
    }

    fn unregister(&mut self, _now: Instant, request: u64, service: &str, address: &str) {
        if self.state(service, address).is_none() {
            let index = self.index;
            return self.answer((service, address), request, Err(StoreError::NotFound { index }));
        }
        if let Some(error) = self.unavailable() {
            return self.answer((service, address), request, Err(error));
        }
        self.remove(service, address);
        self.collected.steps.push(Step::Answer(request, Ok(())));
    }

    fn keep(
        &mut self,
        _now: Instant,
        request: u64,
        service: &str,
        which: Document,
        text: Option<String>,
        expect: Expect,
    ) {
        let key = (service.to_string(), which);
        let found = match self.pending_documents.get(&key) {
            Some((index, is_there)) => is_there.then_some(*index),
            None => self.registry.document(service, which).map(|kept| kept.index),
        };
        let is_nothing = text.is_none() && found.is_none();
        let result = match check_expected(found, expect) {
            Ok(()) if is_nothing => Ok(0),
            Ok(()) => self.unavailable().map_or(Ok(self.index + 1), Err),
            Err(error) => Err(error),
        };
        if let Ok(index @ 1..) = result {
            self.index = index;
            self.change(Record::Keep { index, service: service.to_string(), which, text });
        }
        let answer = Step::Kept(request, result);
        if self.pending_documents.contains_key(&key) {
            self.collected.steps.push(answer);
        } else {
            self.safe.push_back(answer);
        }
    }

    fn registry(&self) -> Result<&Registry, StoreError> {
        Ok(&self.registry)
    }

    fn subscribe(&mut self, _now: Instant, interest: Interest<'_>) -> SubscriptionId {
        self.registry.subscribe(interest)
    }

    fn unsubscribe(&mut self, subscription: SubscriptionId) {
        self.registry.unsubscribe(subscription);
    }

    fn next(&mut self, subscription: SubscriptionId) -> Option<Event> {
        self.registry.next(subscription)
    }

    fn told(&self, subscription: SubscriptionId) -> Option<u64> {
        self.registry.told(subscription)
    }

    fn handle(&mut self, now: Instant, input: StoreInput<'_>) {
        self.now = self.now.max(now);
        match input {
            StoreInput::Timeout => self.due = true,
            StoreInput::Persisted => self.persisted(),
            StoreInput::PersistFailed(reason) => self.persist_failed(reason),
            _ => {}
        }
    }

    fn poll(&mut self) -> Option<StoreEvent> {
        loop {
            // Subscribers are told of one change before the next one happens.
            if let Some(id) = self.registry.poll_ready() {
                return Some(StoreEvent::Ready(id));
            }
            match self.safe.pop_front() {
                Some(Step::Answer(request, result)) => {
                    return Some(StoreEvent::Done(request, result));
                }
                Some(Step::Kept(request, result)) => {
                    return Some(StoreEvent::Kept(request, result));
                }
                Some(Step::Change(record)) => self.commit(record),
                None if self.due => match self.registry.expired(self.now, self.ttl) {
                    Some(gone) => self.expire(&gone),
                    None => self.due = false,
                },
                None if self.busy.is_none() && self.collected.bytes.is_empty() => {
                    // Answers behind changes that are safe by now.
                    self.safe.extend(self.collected.steps.drain(..));
                    if self.safe.is_empty() {
                        return self.warnings.pop_front().map(StoreEvent::Warn);
                    }
                }
                None => return self.warnings.pop_front().map(StoreEvent::Warn),
            }
        }
    }

    fn poll_persist(&mut self) -> Option<Persist> {
        // What is on the disk has to be in the registry before more is done.
        if self.safe.is_empty() { self.work() } else { None }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let retry = match &self.health {
            Health::Failed { again, .. } => Some(*again),
            Health::Good | Health::Trying { .. } => None,
        };
        [self.registry.poll_timeout(), retry].into_iter().flatten().min()
    }
}

impl Journal {
    fn remove(&mut self, service: &str, address: &str) {
        self.index += 1;
        let (service, address) = (service.to_string(), address.to_string());
        self.change(Record::Remove { index: self.index, service, address });
    }

    fn expire(&mut self, gone: &Instance) {
        if self.health != Health::Good {
            // It could come back from the disk.
            self.registry.keep(&gone.service, &gone.address, self.now + self.ttl);
        } else if self.state(&gone.service, &gone.address).is_some() {
            self.remove(&gone.service, &gone.address);
        }
    }

    /// A change is on the disk.
    fn commit(&mut self, record: Record) {
        if let Record::Put { index, service, address, .. }
        | Record::Remove { index, service, address } = &record
        {
            self.pending.done(service, address, *index);
        }
        if let Record::Keep { index, service, which, .. } = &record {
            let key = (service.clone(), *which);
            if self.pending_documents.get(&key).is_some_and(|(pending, _)| pending == index) {
                self.pending_documents.remove(&key);
            }
        }
        if let Record::Put { index, created, service, address, attributes } = record {
            self.put((&service, &address), attributes, created, index);
            self.registry.keep(&service, &address, self.now + self.ttl);
        } else {
            self.apply(record);
        }
    }
}
