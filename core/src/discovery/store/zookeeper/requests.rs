//! Requests of the store's users: what each takes at ZooKeeper, step by step. All are made while it is known what is there, and
//! begin anew if the connection is lost: nobody knows what an answer that did not come would have said, so each step holds only
//! for an instance as it was found.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::jute::{ANY, Change, Failed, Mode, Stat, code};
use super::session::{Purpose, Reply, is_refusal};
use super::{DEADLINE, Due, Step, Zookeeper, check_expected, refusal, unavailable, value};
use crate::discovery::Expect;
use crate::discovery::store::{StoreError, StoreEvent};
use crate::id::Key;
use crate::rpc::Attributes;
use crate::timers::TimerKey;

/// How long to wait before a request begins anew because what it was about has changed meanwhile, at first and at most.
const PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// So many requests may wait at once.
const MOST: usize = 100_000;

/// What was asked for, and how far that is.
#[derive(Debug)]
pub(super) struct Request {
    /// `None`: by this store itself.
    number: Option<u64>,
    pub(super) name: String,
    kind: Kind,
    stage: Stage,
    deadline: TimerKey,
    again: Option<TimerKey>,
    /// How often it had to begin anew.
    failures: u32,
    result: Option<Result<(), StoreError>>,
    /// The document was left so, or found so.
    modified: i64,
    trouble: String,
}

#[derive(Debug)]
pub(super) enum Kind {
    Register(Option<Attributes>),
    Unregister {
        /// It may have been done, for all that is known.
        unsure: bool,
    },
    /// To keep a document.
    Keep {
        text: Option<String>,
        expect: Expect,
        writer: u64,
        unsure: bool,
    },
    /// Nobody has sent a heartbeat for the TTL.
    Expire,
}

/// What is asked of ZooKeeper.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Stage {
    /// Others for the same instance come first, or it is not known yet what is there.
    Queued,
    /// Whether what is known is up to date.
    Beat,
    /// Who holds the instance.
    Look,
    /// The service's folder, for an instance that is to be created.
    Folder,
    /// To create it.
    Create,
    /// The same in place of one that nobody holds.
    Replace,
    /// To hold it, as this one does.
    Join(String),
    /// To change its attributes.
    Set,
    /// To delete it and those who hold it.
    Delete,
    /// To hold it no longer, and to delete it if nobody else does.
    Leave { alone: bool },
    /// How the folder of the document's service is, then how the document is.
    Read,
    /// The document, in that folder as it was at that version.
    Found(Option<i32>),
    /// To change the document, if nothing in its folder has changed since.
    Change,
    /// Nothing: it is done.
    Finished,
}

/// How this server holds an instance: by a child of its node that goes with the session.
#[derive(Debug)]
pub(super) struct Hold {
    timer: TimerKey,
    /// The last heartbeat's end.
    until: crate::time::Instant,
    /// When the instance was created that it holds.
    pub(super) created: i64,
    /// The transaction behind which it is there; that may still be on its way.
    pub(super) since: i64,
    /// It is there, not just to be expected.
    pub(super) sure: bool,
}

impl Zookeeper {
    pub(super) fn ask(&mut self, number: u64, name: String, kind: Kind) {
        if self.requests.len() >= MOST {
            let error = self.mirror.too_many();
            self.out.push_back(match kind {
                Kind::Keep { .. } => StoreEvent::Kept(number, Err(error)),
                _ => StoreEvent::Done(number, Err(error)),
            });
            return;
        }
        if let Kind::Register(_) = kind
            && let Some(hold) = self.holds.get_mut(&name)
        {
            // It lives, whatever comes of this.
            hold.until = self.now + self.ttl;
        }
        self.enqueue(Some(number), name, kind);
    }

    fn enqueue(&mut self, number: Option<u64>, name: String, kind: Kind) {
        let (timers, until) = (&mut self.timers, self.now + DEADLINE);
        let key = self.requests.insert_with(|key| Request {
            number,
            name: name.clone(),
            kind,
            stage: Stage::Queued,
            deadline: timers.set(until, Due::Deadline(key)),
            again: None,
            failures: 0,
            result: None,
            modified: 0,
            trouble: String::new(),
        });
        if self.queues.push(name, key) {
            self.start(key);
        }
    }

    /// It is known what is there, or that this will not be known: on with what waits for that.
    pub(super) fn restart_requests(&mut self) {
        let all: Vec<Key> = self.queues.first().collect();
        for key in all {
            if self.requests.get(key).is_some_and(|it| it.stage == Stage::Queued) {
                self.start(key);
            }
        }
    }

    fn start(&mut self, key: Key) {
        let Some(request) = self.requests.get_mut(key) else { return };
        request.stage = Stage::Queued;
        if self.view.is_refused() {
            return self.finish(key, Err(self.mirror.refuses(self.mirror.trouble())));
        }
        if !self.mirror.is_live() || request.again.is_some() {
            return;
        }
        let is_there = self.known.contains_key(&request.name);
        let holds = self.holds.get(&request.name);
        let stage = match &request.kind {
            Kind::Register(attributes) => match holds {
                Some(hold) if hold.sure && is_there => {
                    if self
                        .mirror
                        .instance(&request.name)
                        .is_some_and(|it| it.attributes == *attributes)
                    {
                        Stage::Beat
                    } else {
                        Stage::Set
                    }
                }
                _ if is_there => Stage::Look,
                _ => Stage::Create,
            },
            Kind::Unregister { .. } => Stage::Look,
            Kind::Keep { .. } => Stage::Read,
            Kind::Expire if holds.is_none_or(|hold| hold.until.max(self.spared) > self.now) => {
                return self.finish(key, Ok(()));
            }
            Kind::Expire => Stage::Leave { alone: true },
        };
        self.go(key, &stage);
    }

    /// Makes the call that a stage needs.
    fn go(&mut self, key: Key, stage: &Stage) {
        let Some(request) = self.requests.get_mut(key) else { return };
        request.stage = stage.clone();
        let name = request.name.clone();
        let data = match &request.kind {
            Kind::Register(attributes) => value::write(attributes.as_ref()),
            _ => Vec::new(),
        };
        let (now, acl, purpose) = (self.now, self.acl(), Purpose::Request(key));
        let (path, folder) = self.path(&name);
        let mine = format!("{path}/{}", self.session.name());
        let node = Change::Create { path: &path, data: &data, acl, mode: Mode::Container };
        let hold = Change::Create { path: &mine, data: b"", acl, mode: Mode::Ephemeral };
        let set = Change::Set { path: &path, data: &data, version: ANY };
        match stage {
            Stage::Queued | Stage::Finished | Stage::Delete | Stage::Change => return,
            Stage::Read => {
                self.session.sync(now, Purpose::Folder, &folder);
                return self.session.get(now, purpose, &folder);
            }
            Stage::Found(_) => return self.session.get(now, purpose, &path),
            Stage::Beat => {
                self.beats.push(key);
                return self.beat();
            }
            Stage::Look => {
                self.session.sync(now, Purpose::Folder, &path);
                return self.session.children(now, purpose, &path);
            }
            Stage::Folder => {
                self.make_folders();
                let folder =
                    Change::Create { path: &folder, data: b"", acl, mode: Mode::Container };
                return self.session.change(now, purpose, &folder);
            }
            Stage::Create => self.session.multi(now, purpose, &[node, hold]),
            Stage::Replace => {
                self.session.multi(now, purpose, &[Change::Delete { path: &path }, node, hold]);
            }
            Stage::Join(other) => {
                let other = format!("{path}/{other}");
                self.session.multi(now, purpose, &[Change::Check { path: &other }, hold, set]);
            }
            Stage::Set => {
                return self.session.multi(now, purpose, &[Change::Check { path: &mine }, set]);
            }
            Stage::Leave { alone } => {
                let both = [Change::Delete { path: &mine }, Change::Delete { path: &path }];
                let changes = if *alone { &both[..] } else { &both[..1] };
                return self.session.multi(now, purpose, changes);
            }
        }
        // From here on it may be there, and is to be taken back if it is forgotten.
        self.hold(&name);
    }

    /// Holds an instance for a TTL from now on.
    fn hold(&mut self, name: &str) {
        let until = self.now + self.ttl;
        if let Some(hold) = self.holds.get_mut(name) {
            (hold.until, hold.sure, hold.since) = (until, false, i64::MAX);
            return;
        }
        let timer = self.timers.set(until, Due::Lease(name.into()));
        let hold = Hold { timer, until, created: 0, since: i64::MAX, sure: false };
        self.holds.insert(name.into(), hold);
    }

    fn held(&mut self, key: Key, created: i64, since: i64) {
        let name = self.requests.get(key).map(|request| &request.name);
        if let Some(hold) = name.and_then(|name| self.holds.get_mut(name)) {
            (hold.created, hold.since, hold.sure) = (created, since, true);
        }
    }

    pub(super) fn let_go(&mut self, name: &str) {
        if let Some(hold) = self.holds.remove(name) {
            self.timers.cancel(hold.timer);
        }
    }

    /// The session is another one, and everything that it held is gone.
    pub(super) fn let_all_go(&mut self) {
        for hold in core::mem::take(&mut self.holds).into_values() {
            self.timers.cancel(hold.timer);
        }
    }

    /// The end of an instance's time, as it was when the timer was set.
    pub(super) fn lease_due(&mut self, name: String, timer: TimerKey) {
        let ttl = self.ttl;
        if self.now - timer.at() > ttl / super::LATE {
            // This program was stopped: heartbeats may wait to be read.
            self.spared = self.spared.max(self.now + ttl);
        }
        if !self.mirror.is_live() {
            self.spared = self.spared.max(self.now + ttl);
        }
        let Some(hold) = self.holds.get_mut(&name) else { return };
        let until = hold.until.max(self.spared);
        let is_over = until <= self.now;
        // It is looked at again, should it still be there then.
        let at = if is_over { self.now + ttl } else { until };
        hold.timer = self.timers.set(at, Due::Lease(name.clone()));
        if is_over {
            self.enqueue(None, name, Kind::Expire);
        }
    }

    /// Asks whether all is known that has happened, for all heartbeats that have come meanwhile.
    fn beat(&mut self) {
        if self.beating.is_empty() && !self.beats.is_empty() {
            core::mem::swap(&mut self.beating, &mut self.beats);
            self.session.sync(self.now, Purpose::Beat, &self.base);
        }
    }

    pub(super) fn beaten(&mut self, result: &Result<Reply, i32>) {
        if let Err(error) = result {
            return self.session.lose(self.now, &refusal(*error));
        }
        self.steps.extend(self.beating.drain(..).map(Step::Beaten));
        self.beat();
    }

    /// Everything is known that had happened when the heartbeat came.
    pub(super) fn check_beat(&mut self, key: Key) {
        let Some(request) = self.requests.get(key) else { return };
        let Kind::Register(attributes) = &request.kind else { return };
        let is_held = self.holds.get(&request.name).is_some_and(|hold| hold.sure);
        if is_held
            && self.mirror.instance(&request.name).is_some_and(|it| it.attributes == *attributes)
        {
            self.finish(key, Ok(()));
        } else {
            self.start(key);
        }
    }

    pub(super) fn request_heard(&mut self, key: Key, zxid: i64, result: Result<Reply, i32>) {
        self.heard_of(zxid);
        let Some(request) = self.requests.get(key) else { return };
        let failed = match (&result, &request.stage) {
            (Err(code), _) => Some(Failed { at: 0, code: *code }),
            (Ok(Reply::Multi(Err(failed))), _) => Some(*failed),
            _ => None,
        };
        match (request.stage.clone(), failed) {
            (_, Some(Failed { code, .. })) if is_refusal(code) => {
                let error = unavailable(&format!("ZooKeeper refuses it: {}", refusal(code)));
                self.finish(key, Err(error));
            }
            (Stage::Look, None) => {
                if let Ok(Reply::Children(children, stat)) = result {
                    self.looked(key, children, stat, zxid);
                }
            }
            (Stage::Look, Some(Failed { code: code::NO_NODE, .. })) => self.missing(key, zxid),
            (Stage::Read, None | Some(Failed { code: code::NO_NODE, .. })) => {
                let version = match result {
                    Ok(Reply::Data(_, stat)) => Some(stat.version),
                    _ => None,
                };
                self.go(key, &Stage::Found(version));
            }
            (Stage::Found(version), None | Some(Failed { code: code::NO_NODE, .. })) => {
                let found = match &result {
                    Ok(Reply::Data(data, stat)) => Some((&**data, stat.modified)),
                    _ => None,
                };
                self.found_document(key, version, found);
            }
            (Stage::Change, None) => self.changed(key, zxid),
            (Stage::Change, Some(Failed { code: code::BAD_VERSION, .. })) => {
                self.again(key, "the document there changes all the time");
            }
            (Stage::Folder, None | Some(Failed { code: code::NODE_EXISTS, .. })) => {
                self.go(key, &Stage::Create);
            }
            (Stage::Create, Some(Failed { at: 0, code: code::NO_NODE })) => {
                self.go(key, &Stage::Folder);
            }
            (Stage::Create, Some(Failed { at: 0, code: code::NODE_EXISTS })) => {
                self.go(key, &Stage::Look);
            }
            (Stage::Create | Stage::Replace, None) => {
                self.held(key, zxid, zxid);
                self.finish(key, Ok(()));
            }
            (Stage::Join(_), None) => {
                let name = self.requests.get(key).map(|request| &request.name);
                let created = name.and_then(|name| self.holds.get(name)).map(|it| it.created);
                self.held(key, created.unwrap_or(0), zxid);
                self.finish(key, Ok(()));
            }
            (Stage::Set | Stage::Delete, None) => self.finish(key, Ok(())),
            (Stage::Leave { .. }, None | Some(Failed { at: 0, code: code::NO_NODE })) => {
                self.left(key);
            }
            (Stage::Leave { .. }, Some(Failed { at: 1, code: code::NOT_EMPTY })) => {
                self.go(key, &Stage::Leave { alone: false });
            }
            (Stage::Set, Some(Failed { at: 0, .. })) => {
                // It is not held any more.
                self.unsure(key);
                self.again(key, "what is registered there changes all the time");
            }
            (Stage::Queued | Stage::Beat | Stage::Finished, _) => {}
            (_, Some(Failed { code: code::NO_NODE | code::NODE_EXISTS | code::NOT_EMPTY, .. })) => {
                self.again(key, "what is registered there changes all the time");
            }
            (_, Some(Failed { code, .. })) => self.again(key, &refusal(code)),
        }
    }

    fn unsure(&mut self, key: Key) {
        let name = self.requests.get(key).map(|request| &request.name);
        if let Some(hold) = name.and_then(|name| self.holds.get_mut(name)) {
            hold.sure = false;
        }
    }

    /// These hold the instance.
    fn looked(&mut self, key: Key, children: Vec<String>, stat: Stat, zxid: i64) {
        let Some(request) = self.requests.get_mut(key) else { return };
        let name = request.name.clone();
        let mine = self.session.name();
        match &request.kind {
            Kind::Register(attributes) if children.contains(&mine) => {
                let is_so =
                    self.mirror.instance(&name).is_some_and(|it| it.attributes == *attributes);
                self.hold(&name);
                self.held(key, stat.created, zxid);
                if is_so {
                    // It still is, if nothing else has come before.
                    self.steps.push_back(Step::Beaten(key));
                } else {
                    self.go(key, &Stage::Set);
                }
            }
            Kind::Register(_) => match children.into_iter().next() {
                Some(other) => {
                    self.go(key, &Stage::Join(other));
                    if let Some(hold) = self.holds.get_mut(&name) {
                        hold.created = stat.created;
                    }
                }
                None => self.go(key, &Stage::Replace),
            },
            Kind::Unregister { .. } if children.is_empty() => self.missing(key, zxid),
            Kind::Unregister { .. } => {
                request.stage = Stage::Delete;
                let (path, _) = self.path(&name);
                let nodes: Vec<String> =
                    children.iter().map(|child| format!("{path}/{child}")).collect();
                let all = nodes.iter().chain([&path]);
                let changes: Vec<Change<'_>> = all.map(|path| Change::Delete { path }).collect();
                self.session.multi(self.now, Purpose::Request(key), &changes);
            }
            Kind::Keep { .. } | Kind::Expire => {}
        }
    }

    /// A document is so, or not there, in a folder with that version, if that is there.
    fn found_document(&mut self, key: Key, version: Option<i32>, found: Option<(&[u8], i64)>) {
        let Some(request) = self.requests.get_mut(key) else { return };
        let Kind::Keep { text, expect, writer, unsure } = &request.kind else { return };
        let modified = found.map(|(_, modified)| modified);
        let by = found.and_then(|(data, _)| value::read_text(data)).map(|(_, by)| by);
        if *unsure && (by == Some(*writer) || (text.is_none() && found.is_none())) {
            // It was done; only the answer was lost.
            return self.changed(key, modified.unwrap_or(0));
        }
        if let Err(error) = check_expected(modified.map(i64::unsigned_abs), *expect) {
            return self.finish(key, Err(error));
        }
        let data = text.as_ref().map(|text| value::write_text(text, *writer));
        let (path, folder) = {
            let name = request.name.clone();
            request.stage = Stage::Change;
            self.path(&name)
        };
        let (acl, mode) = (self.acl(), Mode::Persistent);
        let change = match (&data, modified) {
            (None, None) => return self.changed(key, 0),
            (None, Some(_)) => Change::Delete { path: &path },
            (Some(data), None) => Change::Create { path: &path, data, acl, mode },
            (Some(data), Some(_)) => Change::Set { path: &path, data, version: ANY },
        };
        // Its own version would begin anew if it were deleted and created in between; that of its folder only grows.
        let guard = match version {
            Some(version) => Change::Set { path: &folder, data: b"", version },
            None => {
                self.make_folders();
                Change::Create { path: &folder, data: b"", acl, mode }
            }
        };
        self.session.multi(self.now, Purpose::Request(key), &[guard, change]);
    }

    /// The document is as it should be since that transaction.
    fn changed(&mut self, key: Key, modified: i64) {
        if let Some(request) = self.requests.get_mut(key) {
            request.modified = modified;
            self.finish(key, Ok(()));
        }
    }

    /// The instance is not there.
    fn missing(&mut self, key: Key, zxid: i64) {
        let Some(request) = self.requests.get(key) else { return };
        let index = zxid.unsigned_abs();
        match request.kind {
            Kind::Register(_) => self.go(key, &Stage::Create),
            Kind::Unregister { unsure: true } | Kind::Expire => self.finish(key, Ok(())),
            Kind::Unregister { .. } => self.finish(key, Err(StoreError::NotFound { index })),
            Kind::Keep { .. } => {}
        }
    }

    /// It is not held any more.
    fn left(&mut self, key: Key) {
        if let Some(request) = self.requests.get(key) {
            let name = request.name.clone();
            self.let_go(&name);
            self.finish(key, Ok(()));
        }
    }

    /// Behind all that was heard before, it is answered.
    fn finish(&mut self, key: Key, result: Result<(), StoreError>) {
        if let Some(request) = self.requests.get_mut(key) {
            request.result = Some(result);
            request.stage = Stage::Finished;
            request.trouble = String::from("it was done, but what happens there is not heard");
            self.steps.push_back(Step::Done(key));
        }
    }

    /// What was known of the instance is not so.
    fn again(&mut self, key: Key, trouble: &str) {
        let Some(request) = self.requests.get_mut(key) else { return };
        request.trouble = trouble.into();
        request.failures += 1;
        request.stage = Stage::Queued;
        let pause = (PAUSE * request.failures.min(25)).min(LONGEST_PAUSE);
        let timer = self.timers.set(self.now + pause, Due::Retry(key));
        request.again = Some(timer);
    }

    pub(super) fn retry(&mut self, key: Key) {
        let Some(request) = self.requests.get_mut(key) else { return };
        request.again = None;
        if request.stage != Stage::Queued || !self.mirror.is_live() {
            return;
        }
        // What is known here may be what misled it.
        match request.kind {
            Kind::Expire | Kind::Keep { .. } => self.start(key),
            _ => self.go(key, &Stage::Look),
        }
    }

    /// The connection is lost, and with it what was under way.
    pub(super) fn forget_calls(&mut self) {
        let all: Vec<Key> = self.queues.first().collect();
        for key in all {
            let Some(request) = self.requests.get_mut(key) else { continue };
            match (&mut request.kind, &request.stage) {
                (_, Stage::Queued | Stage::Finished) => continue,
                (Kind::Unregister { unsure }, Stage::Delete)
                | (Kind::Keep { unsure, .. }, Stage::Change) => *unsure = true,
                _ => {}
            }
            let is_change = !matches!(request.stage, Stage::Beat | Stage::Look | Stage::Folder);
            request.stage = Stage::Queued;
            if is_change {
                self.unsure(key);
            }
        }
    }

    /// Its time is over.
    pub(super) fn late(&mut self, key: Key) {
        let Some(request) = self.requests.get_mut(key) else { return };
        let error = self.mirror.late(&request.trouble);
        let was_finished = request.stage == Stage::Finished;
        if was_finished && self.mirror.is_live() {
            // It is about to be answered, unless the connection is lost before that.
            request.deadline = self.timers.set(self.now + LONGEST_PAUSE, Due::Deadline(key));
            return;
        }
        request.result = Some(Err(error));
        request.stage = Stage::Finished;
        self.unheard.retain(|other| *other != key);
        self.beats.retain(|other| *other != key);
        self.beating.retain(|other| *other != key);
        self.unsure(key);
        self.steps.push_back(Step::Done(key));
    }

    /// A request is answered, and the next one for its instance begins.
    pub(super) fn done(&mut self, key: Key) -> Option<StoreEvent> {
        let request = self.requests.remove(key)?;
        let Request { number, name, kind, deadline, again, result, modified, .. } = request;
        self.timers.cancel(deadline);
        if let Some(again) = again {
            self.timers.cancel(again);
        }
        if let Some(next) = self.queues.remove(&name, key) {
            self.start(next);
        }
        let result = result.unwrap_or_else(|| Err(unavailable("no answer")));
        number.map(|number| match kind {
            Kind::Keep { .. } => StoreEvent::Kept(number, result.map(|()| modified.unsigned_abs())),
            _ => StoreEvent::Done(number, result),
        })
    }
}
