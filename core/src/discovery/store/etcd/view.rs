//! What is in etcd, as it is known here: read once at a revision, and watched from there.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use super::api::{self, Kv, Watched};
use super::calls::{Outcome, Purpose};
use super::{Due, Etcd, Step, reason};
use crate::discovery::Document;
use crate::discovery::store::StoreEvent;
use crate::rpc::Attributes;
use crate::time::Instant;
use crate::timers::TimerKey;

/// A watch that says nothing for so long is replaced.
const QUIET: Duration = Duration::from_secs(5);
/// How long to wait before all members are tried again, at first and at most.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// The longest object that a watch may send. Etcd cuts what is longer than 1.5 MiB.
const LONGEST: usize = 16 * 1024 * 1024;

#[derive(Debug)]
pub(super) struct View {
    /// All that happened up to this revision is known, or in the steps to be taken.
    seen: i64,
    /// What is there has to be read, not just what has happened since.
    stale: bool,
    paging: Option<Paging>,
    watch: Option<Watch>,
    /// What is to take its place.
    next: Option<Watch>,
    due: Option<TimerKey>,
    /// How often it came to nothing since it was last up to date.
    failures: u32,
}

#[derive(Debug)]
struct Paging {
    call: u64,
    revision: i64,
    all: All,
}

/// All that there is.
#[derive(Default, Debug)]
pub(super) struct All {
    instances: BTreeMap<String, Found>,
    /// Texts, and when they were last changed.
    documents: BTreeMap<(String, Document), (String, i64)>,
}

#[derive(Debug)]
struct Watch {
    call: u64,
    endpoint: usize,
    /// What happened up to this revision is known from another watch.
    skip: i64,
    /// A piece without its end.
    unread: Vec<u8>,
    /// When it last said something.
    heard: Instant,
}

/// An instance in etcd.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) attributes: Option<Attributes>,
    pub(super) created: i64,
    pub(super) modified: i64,
    pub(super) lease: i64,
}

impl Default for View {
    fn default() -> Self {
        Self { seen: 0, stale: true, paging: None, watch: None, next: None, due: None, failures: 0 }
    }
}

impl View {
    pub(super) const fn seen(&self) -> i64 {
        self.seen
    }
}

impl Etcd {
    /// Goes on to be up to date.
    pub(super) fn seek(&mut self) {
        self.set_view_timer(None);
        if self.view.stale {
            let call = self.calls.call(self.now, Purpose::Page, api::RANGE, api::page(None, 0));
            self.view.paging = Some(Paging { call, revision: 0, all: All::default() });
        } else {
            self.begin_watch();
        }
    }

    fn begin_watch(&mut self) {
        let body = api::watch(self.view.seen + 1);
        let endpoint = self.calls.current();
        let call = self.calls.call(self.now, Purpose::Watch, api::WATCH, body);
        self.view.next =
            Some(Watch { call, endpoint, skip: 0, unread: Vec::new(), heard: self.now });
    }

    fn set_view_timer(&mut self, after: Option<Duration>) {
        if let Some(timer) = self.view.due.take() {
            self.timers.cancel(timer);
        }
        self.view.due = after.map(|after| self.set_timer(after, Due::View));
    }

    /// The time to try again has come, or to see whether the watch is alive.
    pub(super) fn view_due(&mut self, timer: TimerKey) {
        if self.view.due != Some(timer) {
            return;
        }
        self.view.due = None;
        match &self.view.watch {
            None => self.seek(),
            Some(watch) => {
                let quiet = self.now - watch.heard;
                if quiet < QUIET {
                    self.set_view_timer(Some(QUIET - quiet));
                } else if self.view.next.is_none() {
                    self.begin_watch();
                }
            }
        }
    }

    /// The watch goes where the other calls go.
    pub(super) fn follow(&mut self) {
        let current = self.calls.current();
        if self.view.next.is_none()
            && self.view.watch.as_ref().is_some_and(|it| it.endpoint != current)
        {
            self.begin_watch();
        }
    }

    pub(super) fn page_heard(&mut self, call: u64, outcome: Outcome) {
        let Some(mut paging) = self.view.paging.take_if(|paging| paging.call == call) else {
            return;
        };
        let Outcome::Reply(reply) = outcome else {
            // The revision of the first page may be compacted by now: then it begins anew.
            return self.view_failed(reason(outcome));
        };
        if paging.revision == 0 {
            paging.revision = reply.header.revision;
        }
        let last = reply.kvs.last().and_then(Kv::key);
        for kv in reply.kvs {
            if let (Some(document), Some((text, _))) = (kv.document(), kv.text()) {
                paging.all.documents.insert(document, (text, kv.mod_revision));
                continue;
            }
            let Some(name) = kv.name() else {
                self.is_odd(&kv);
                continue;
            };
            match found(kv) {
                Ok(found) => _ = paging.all.instances.insert(name, found),
                Err(kv) => self.is_odd(&kv),
            }
        }
        if reply.more && last.is_some() {
            let body = api::page(last.as_deref(), paging.revision);
            paging.call = self.calls.call(self.now, Purpose::Page, api::RANGE, body);
            self.view.paging = Some(paging);
            return;
        }
        if paging.revision < self.view.seen {
            let warning = "etcd has lost what it had: its revision went back";
            self.out.push_back(StoreEvent::Warn(warning.into()));
        }
        self.view.seen = paging.revision;
        self.view.stale = false;
        self.steps.push_back(Step::All(paging.all));
        self.release();
        self.begin_watch();
    }

    fn is_odd(&mut self, kv: &Kv) {
        if !kv.is_foreign() {
            self.mirror.say_odd(&kv.shown(), &mut self.out);
        }
    }

    pub(super) fn watch_heard(&mut self, call: u64, outcome: Outcome) {
        let view = &mut self.view;
        let watches = [&mut view.watch, &mut view.next];
        let Some(watch) = watches.into_iter().flatten().find(|watch| watch.call == call) else {
            return;
        };
        let Outcome::Piece(piece) = outcome else {
            return self.view_failed(reason(outcome));
        };
        watch.heard = self.now;
        let mut from = watch.unread.len();
        watch.unread.extend_from_slice(&piece);
        let mut unread = core::mem::take(&mut watch.unread);
        // One object a line, wherever chunks and packets end.
        let mut start = 0;
        while let Some(end) = memchr::memchr(b'\n', &unread[from..]) {
            let line = &unread[start..from + end];
            from += end + 1;
            start = from;
            if !line.trim_ascii().is_empty() && !self.watched(call, line) {
                return;
            }
        }
        unread.drain(..start);
        if unread.len() > LONGEST {
            return self.view_failed("what its watch says does not end".to_string());
        }
        let watches = [&mut self.view.watch, &mut self.view.next];
        if let Some(watch) = watches.into_iter().flatten().find(|watch| watch.call == call) {
            watch.unread = unread;
        }
    }

    /// Takes note of what a watch says. Returns whether it goes on.
    fn watched(&mut self, call: u64, line: &[u8]) -> bool {
        let Some(Watched { result, error }) = api::parse(line) else {
            self.view_failed("what its watch says is not etcd's".to_string());
            return false;
        };
        if let Some(error) = error {
            self.view_failed(error.to_string());
            return false;
        }
        if result.compact_revision > 0 {
            self.view.stale = true;
            self.drop_watches();
            self.seek();
            return false;
        }
        if result.canceled {
            self.calls.is_refused(call, &result.cancel_reason);
            self.view_failed(super::hint(result.cancel_reason));
            return false;
        }
        if result.created {
            if result.header.revision < self.view.seen {
                // Either this member is behind the others, or etcd has lost what it had: reading it all tells.
                self.view.stale = true;
                self.drop_watches();
                self.seek();
                return false;
            }
            self.opened(call);
        }
        let skip = self.view.watch.as_ref().map_or(0, |watch| watch.skip);
        for change in result.events {
            let is_deletion = change.is_deletion();
            let kv = change.kv;
            if kv.mod_revision <= skip {
                continue;
            }
            self.view.seen = self.view.seen.max(kv.mod_revision);
            if let Some((service, which)) = kv.document() {
                let kept = kv.text().filter(|_| !is_deletion);
                if kept.is_none() && !is_deletion {
                    self.is_odd(&kv);
                }
                let kept = kept.map(|(text, _)| text);
                self.steps.push_back(Step::Document((service, which), kept, kv.mod_revision));
                continue;
            }
            let Some(name) = kv.name() else {
                self.is_odd(&kv);
                continue;
            };
            let step = match found(kv) {
                _ if is_deletion => Step::Remove(name),
                Ok(found) => Step::Put(name, found),
                Err(kv) => {
                    self.is_odd(&kv);
                    Step::Remove(name)
                }
            };
            self.steps.push_back(step);
        }
        self.release();
        true
    }

    /// A watch is there: all that happens from now on is heard.
    fn opened(&mut self, call: u64) {
        let Some(mut watch) = self.view.next.take_if(|watch| watch.call == call) else { return };
        self.calls.is_open(call);
        watch.skip = self.view.seen;
        if let Some(old) = self.view.watch.replace(watch) {
            self.calls.abandon(self.now, old.call);
        } else {
            self.steps.push_back(Step::Live);
        }
        self.mirror.found(&mut self.out);
        self.view.failures = 0;
        self.set_view_timer(Some(QUIET));
    }

    fn drop_watches(&mut self) {
        let view = &mut self.view;
        for watch in [view.watch.take(), view.next.take()].into_iter().flatten() {
            self.calls.abandon(self.now, watch.call);
        }
        self.mirror.lost(self.now);
    }

    /// It came to nothing, and is tried again: at once, if there is a member that was not tried yet.
    fn view_failed(&mut self, reason: String) {
        self.drop_watches();
        self.mirror.set_trouble(reason);
        self.view.failures += 1;
        let members = u32::try_from(self.calls.endpoints()).unwrap_or(u32::MAX);
        if self.view.failures < members {
            return self.seek();
        }
        self.mirror.say_lost(&self.calls.shown(), &mut self.out);
        let rounds = (self.view.failures / members.max(1)).min(5);
        let pause = if self.view.failures.is_multiple_of(members) {
            (PAUSE * 2_u32.pow(rounds - 1)).min(LONGEST_PAUSE)
        } else {
            Duration::ZERO
        };
        self.set_view_timer(Some(pause));
    }

    /// Answers requests that have waited until this revision is known.
    fn release(&mut self) {
        while let Some(&(revision, key)) = self.unseen.first() {
            if revision > self.view.seen {
                return;
            }
            self.unseen.pop_first();
            self.steps.push_back(Step::Done(key));
        }
    }

    /// Tells the difference between what is known and what there is.
    pub(super) fn compare(&mut self, all: All) {
        let All { instances: all, documents } = all;
        self.compare_documents(documents);
        let mut changed: Vec<(String, Found)> = Vec::new();
        let gone: Vec<String> =
            self.held.keys().filter(|name| !all.contains_key(*name)).cloned().collect();
        for (name, found) in all {
            if self.held.get(&name).is_none_or(|held| held.modified != found.modified) {
                changed.push((name, found));
            }
        }
        // In the order in which they happened.
        changed.sort_by_key(|(_, found)| found.modified);
        for (name, found) in changed.into_iter().rev() {
            self.steps.push_front(Step::Put(name, found));
        }
        for name in gone.into_iter().rev() {
            self.steps.push_front(Step::Remove(name));
        }
    }
}

impl Etcd {
    fn compare_documents(&mut self, mut all: BTreeMap<(String, Document), (String, i64)>) {
        for (service, which, kept) in self.mirror.registry().documents(None) {
            let key = (service.to_string(), which);
            match all.get(&key) {
                Some((_, modified)) if modified.unsigned_abs() == kept.index => {
                    all.remove(&key);
                }
                Some(_) => {}
                None => self.steps.push_front(Step::Document(key, None, 0)),
            }
        }
        let mut changed: Vec<_> = all.into_iter().collect();
        changed.sort_by_key(|(_, (_, modified))| *modified);
        for (key, (text, modified)) in changed.into_iter().rev() {
            self.steps.push_front(Step::Document(key, Some(text), modified));
        }
    }
}

fn found(kv: Kv) -> Result<Found, Kv> {
    match kv.attributes() {
        Some(attributes) if kv.create_revision > 0 => Ok(Found {
            attributes,
            created: kv.create_revision,
            modified: kv.mod_revision,
            lease: kv.lease,
        }),
        _ => Err(kv),
    }
}
