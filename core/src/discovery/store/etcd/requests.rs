//! Requests of the store's users: what each takes at etcd, step by step. Each step may be taken twice, for nobody knows what an
//! answer that did not come would have said; and one that a member takes much later does no harm, for what changes an instance
//! holds only for it as it was.

use alloc::string::String;
use core::time::Duration;

use super::api::{self, Kv, Reply};
use super::calls::{Outcome, Purpose};
use super::{DEADLINE, Due, Etcd, Held, Step, reason, unavailable};
use crate::discovery::Expect;
use crate::discovery::store::{StoreError, StoreEvent, check_expected};
use crate::id::Key;
use crate::rpc::Attributes;
use crate::timers::TimerKey;

/// How long to wait before a call is made again once all members have failed, at first and at most.
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// So many requests may wait at once.
const MOST: usize = 100_000;

/// What was asked for, and how far that is.
#[derive(Debug)]
pub(super) struct Request {
    number: u64,
    name: String,
    kind: Kind,
    stage: Stage,
    call: Option<u64>,
    deadline: TimerKey,
    again: Option<TimerKey>,
    /// How many calls came to nothing.
    failures: u32,
    /// A lease that was granted for it.
    granted: Option<i64>,
    /// What came of it, and up to which revision that has to be known here.
    result: Option<Result<(), StoreError>>,
    /// The instance was left so, or found so.
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
    Keep {
        text: Option<String>,
        expect: Expect,
        /// Who puts it: so that it can be told from what others put.
        writer: u64,
        /// It may have been done, for all that is known.
        unsure: bool,
    },
}

/// What is asked of etcd.
#[derive(Clone, Copy, Debug)]
enum Stage {
    /// Others for the same instance come first.
    Queued,
    /// How the instance is.
    Look,
    /// To keep the lease that it hangs on. `same`: nothing else is to be changed. `heard`: all that is known is from the watch.
    Keep { lease: i64, modified: i64, same: bool, heard: bool },
    /// A lease for it, which then is as it was at that revision.
    Grant { lease: i64, expected: i64 },
    /// To put it.
    Put { lease: i64, expected: i64 },
    /// To put or delete a document that was last changed then.
    Change { expected: i64 },
    /// To delete it, if it is still the one that was created then.
    Delete { created: i64, lease: i64 },
    /// To end its lease, for the sake of those who do not know yet that it is deleted.
    Revoke { lease: i64, revision: i64 },
    /// Nothing: it is done, and is to be known here.
    Unseen { revision: i64 },
}

impl Etcd {
    pub(super) fn ask(&mut self, number: u64, name: String, kind: Kind) {
        if self.requests.len() >= MOST {
            let error = self.mirror.too_many();
            let is_document = matches!(kind, Kind::Keep { .. });
            self.out.push_back(if is_document {
                StoreEvent::Kept(number, Err(error))
            } else {
                StoreEvent::Done(number, Err(error))
            });
            return;
        }
        let (timers, until) = (&mut self.timers, self.now + DEADLINE);
        let key = self.requests.insert_with(|key| Request {
            number,
            name: name.clone(),
            kind,
            stage: Stage::Queued,
            call: None,
            deadline: timers.set(until, Due::Deadline(key)),
            again: None,
            failures: 0,
            granted: None,
            result: None,
            modified: 0,
            trouble: String::new(),
        });
        if self.queues.push(name, key) {
            self.start(key);
        }
    }

    fn start(&mut self, key: Key) {
        let Some(request) = self.requests.get(key) else { return };
        let instance = self.mirror.instance(&request.name);
        let held = self.held.get(&request.name).zip(instance);
        let is_up_to_date = self.mirror.is_live() && self.steps.is_empty();
        let stage = match (&request.kind, held) {
            (Kind::Keep { expect: Expect::Absent, .. }, _) => Stage::Change { expected: 0 },
            (Kind::Keep { expect: Expect::Is(index @ 1..), .. }, _) => {
                Stage::Change { expected: index.cast_signed() }
            }
            _ if !is_up_to_date => Stage::Look,
            (Kind::Register(_), None) => self.fresh_lease(0),
            (Kind::Register(attributes), Some((held, instance)))
                if held.lease != 0 && held.known =>
            {
                let Held { lease, modified, .. } = *held;
                let same = instance.attributes == *attributes;
                Stage::Keep { lease, modified, same, heard: true }
            }
            (Kind::Unregister { .. }, Some((held, instance))) => {
                Stage::Delete { created: instance.created.cast_signed(), lease: held.lease }
            }
            _ => Stage::Look,
        };
        self.go(key, stage);
    }

    fn fresh_lease(&mut self, expected: i64) -> Stage {
        Stage::Grant { lease: self.random.i64(1..), expected }
    }

    /// Makes the call that a stage needs.
    fn go(&mut self, key: Key, stage: Stage) {
        let ttl = self.seconds();
        let Some(request) = self.requests.get_mut(key) else { return };
        request.stage = stage;
        let name = &request.name;
        let (target, body) = match stage {
            Stage::Queued => return,
            Stage::Look => (api::RANGE, api::look(name)),
            Stage::Keep { lease, .. } => (api::KEEP_ALIVE, api::lease(lease)),
            Stage::Grant { lease, .. } => (api::GRANT, api::grant(lease, ttl)),
            Stage::Put { lease, expected } => {
                let Kind::Register(attributes) = &request.kind else { return };
                (api::TXN, api::put(name, attributes.as_ref(), lease, expected))
            }
            Stage::Change { expected } => {
                let Kind::Keep { text, writer, .. } = &request.kind else { return };
                (api::TXN, api::keep(name, text.as_deref(), *writer, expected))
            }
            Stage::Delete { created, .. } => (api::TXN, api::delete(name, created)),
            Stage::Revoke { lease, .. } => (api::REVOKE, api::lease(lease)),
            Stage::Unseen { revision } => {
                if revision <= self.view.seen() {
                    self.steps.push_back(Step::Done(key));
                } else {
                    self.unseen.insert((revision, key));
                }
                return;
            }
        };
        request.call = Some(self.calls.call(self.now, Purpose::Request(key), target, body));
    }

    pub(super) fn request_heard(&mut self, key: Key, call: u64, outcome: Outcome) {
        let Some(request) = self.requests.get_mut(key).filter(|it| it.call == Some(call)) else {
            return;
        };
        request.call = None;
        match (request.stage, outcome) {
            (_, Outcome::Piece(_)) => {}
            (_, outcome @ Outcome::Failed(_)) => self.request_failed(key, reason(outcome)),
            (Stage::Grant { lease, expected }, Outcome::Refused(412, _)) => {
                // An answer was lost: nobody else has this number.
                self.granted(key, lease, expected);
            }
            (Stage::Put { .. }, Outcome::Refused(404, _)) => {
                // The lease has ended in between.
                request.granted = None;
                self.go_once_more(key);
            }
            (Stage::Revoke { revision, .. }, Outcome::Refused(404, _)) => {
                self.done_at(key, Ok(()), revision);
            }
            (_, outcome @ Outcome::Refused(..)) => {
                let error = self.mirror.refuses(&reason(outcome));
                self.done_at(key, Err(error), 0);
            }
            (stage, Outcome::Reply(reply)) => self.replied(key, stage, reply),
        }
    }

    fn replied(&mut self, key: Key, stage: Stage, reply: Reply) {
        let revision = reply.header.revision;
        match stage {
            Stage::Queued | Stage::Unseen { .. } => {}
            Stage::Look => match reply.kvs.into_iter().next() {
                Some(kv) => self.found(key, &kv),
                None => self.missing(key, revision),
            },
            Stage::Keep { .. } if !reply.is_alive() => self.absent(key),
            Stage::Keep { modified, same: true, heard, .. } => {
                let name = self.requests.get(key).map(|request| &request.name);
                let held = name.and_then(|name| self.held.get(name));
                let is_so = held.is_some_and(|held| held.known && held.modified == modified);
                if heard && !(is_so && self.mirror.is_live()) {
                    // Something has happened to it meanwhile.
                    return self.go_once_more(key);
                }
                self.left_at(key, modified);
            }
            Stage::Keep { lease, modified: expected, same: false, .. } => {
                self.go(key, Stage::Put { lease, expected });
            }
            Stage::Grant { lease, expected } => self.granted(key, lease, expected),
            Stage::Put { .. } | Stage::Change { .. } if reply.succeeded => {
                self.left_at(key, revision);
            }
            Stage::Put { .. } => match reply.found() {
                Some(kv) => self.found(key, &kv),
                None => self.absent(key),
            },
            Stage::Change { .. } => match reply.found() {
                Some(kv) => self.found(key, &kv),
                None => self.missing(key, revision),
            },
            Stage::Delete { lease, .. } if reply.succeeded => self.deleted(key, lease, revision),
            Stage::Delete { lease, .. } => match (self.is_unsure(key), reply.found()) {
                // Only the answer was lost; or it was gone already, which is as good.
                (true, _) => self.deleted(key, lease, 0),
                (false, Some(kv)) => self.found(key, &kv),
                (false, None) => self.missing(key, revision),
            },
            Stage::Revoke { revision, .. } => self.done_at(key, Ok(()), revision),
        }
    }

    /// The instance is there.
    fn found(&mut self, key: Key, kv: &Kv) {
        let Some(request) = self.requests.get(key) else { return };
        let (lease, modified, created) = (kv.lease, kv.mod_revision, kv.create_revision);
        let attributes = match &request.kind {
            Kind::Register(attributes) => attributes,
            Kind::Unregister { .. } => return self.go(key, Stage::Delete { created, lease }),
            Kind::Keep { expect, writer, unsure, .. } => {
                if *unsure && kv.text().is_some_and(|(_, by)| by == *writer) {
                    // It was put; only the answer was lost.
                    return self.left_at(key, modified);
                }
                let checked = check_expected(Some(modified.unsigned_abs()), *expect);
                return match checked {
                    Ok(()) => self.go_on_changing(key, modified),
                    Err(error) => self.done_at(key, Err(error), modified),
                };
            }
        };
        let same = kv.attributes().as_ref() == Some(attributes);
        if lease != 0 && request.granted == Some(lease) && same {
            // It was put; only the answer was lost.
            return self.left_at(key, modified);
        }
        match (lease, request.granted) {
            // Whoever has put it without a lease: it is to have one.
            (0, Some(lease)) => self.go(key, Stage::Put { lease, expected: modified }),
            (0, None) => {
                let stage = self.fresh_lease(modified);
                self.go(key, stage);
            }
            _ => self.go(key, Stage::Keep { lease, modified, same, heard: false }),
        }
    }

    /// The instance is not there.
    fn missing(&mut self, key: Key, revision: i64) {
        let Some(request) = self.requests.get(key) else { return };
        let index = revision.unsigned_abs();
        match request.kind {
            Kind::Register(_) => self.absent(key),
            Kind::Keep { text: None, expect: Expect::Any, .. }
            | Kind::Keep { text: None, unsure: true, .. }
            | Kind::Unregister { unsure: true } => self.done_at(key, Ok(()), 0),
            Kind::Unregister { .. } => self.done_at(key, Err(StoreError::NotFound { index }), 0),
            Kind::Keep { expect, .. } => match check_expected(None, expect) {
                Ok(()) => self.go_on_changing(key, 0),
                Err(error) => self.done_at(key, Err(error), 0),
            },
        }
    }

    /// The document is as it may be: it is changed, at once unless others have changed it again and again.
    fn go_on_changing(&mut self, key: Key, expected: i64) {
        let Some(request) = self.requests.get_mut(key) else { return };
        let stage = Stage::Change { expected };
        if let Stage::Change { .. } = request.stage {
            request.failures += 1;
            request.stage = stage;
            request.trouble = String::from("the document there changes all the time");
            return self.pause(key);
        }
        self.go(key, stage);
    }

    fn is_unsure(&self, key: Key) -> bool {
        let request = self.requests.get(key);
        request.is_some_and(|it| matches!(it.kind, Kind::Unregister { unsure: true }))
    }

    fn deleted(&mut self, key: Key, lease: i64, revision: i64) {
        if lease == 0 {
            self.done_at(key, Ok(()), revision);
        } else {
            self.go(key, Stage::Revoke { lease, revision });
        }
    }

    /// The instance is not there, or is about to go with its lease.
    fn absent(&mut self, key: Key) {
        let Some(request) = self.requests.get(key) else { return };
        let stage = match request.granted {
            Some(lease) => Stage::Put { lease, expected: 0 },
            None => self.fresh_lease(0),
        };
        self.go(key, stage);
    }

    fn granted(&mut self, key: Key, lease: i64, expected: i64) {
        if let Some(request) = self.requests.get_mut(key) {
            request.granted = Some(lease);
            self.go(key, Stage::Put { lease, expected });
        }
    }

    /// It is registered as it should be, since that revision.
    fn left_at(&mut self, key: Key, modified: i64) {
        if let Some(request) = self.requests.get_mut(key) {
            request.modified = modified;
            self.done_at(key, Ok(()), modified);
        }
    }

    fn done_at(&mut self, key: Key, result: Result<(), StoreError>, revision: i64) {
        if let Some(request) = self.requests.get_mut(key) {
            request.result = Some(result);
            request.trouble = String::from("it was done, but what happens there is not heard");
            self.go(key, Stage::Unseen { revision });
        }
    }

    /// A call came to nothing: it is made again, of the next member.
    fn request_failed(&mut self, key: Key, reason: String) {
        let Some(request) = self.requests.get_mut(key) else { return };
        if let (Kind::Unregister { unsure }, Stage::Delete { .. })
        | (Kind::Keep { unsure, .. }, Stage::Change { .. }) = (&mut request.kind, request.stage)
        {
            *unsure = true;
        }
        request.trouble = reason;
        request.failures += 1;
        let failures = usize::try_from(request.failures).unwrap_or(usize::MAX);
        if failures < self.calls.endpoints() {
            let stage = request.stage;
            return self.go(key, stage);
        }
        self.pause(key);
    }

    /// What was known of the instance is not so: it is looked at.
    fn go_once_more(&mut self, key: Key) {
        let Some(request) = self.requests.get_mut(key) else { return };
        request.failures += 1;
        request.stage = Stage::Look;
        request.trouble = String::from("what is registered there changes all the time");
        self.pause(key);
    }

    fn pause(&mut self, key: Key) {
        let Some(request) = self.requests.get(key) else { return };
        let pause = (PAUSE * request.failures.min(20)).min(LONGEST_PAUSE);
        let timer = self.set_timer(pause, Due::Retry(key));
        if let Some(request) = self.requests.get_mut(key) {
            request.again = Some(timer);
        }
    }

    pub(super) fn retry(&mut self, key: Key) {
        if let Some(request) = self.requests.get_mut(key) {
            request.again = None;
            let stage = request.stage;
            self.go(key, stage);
        }
    }

    /// Its time is over.
    pub(super) fn late(&mut self, key: Key) {
        let Some(request) = self.requests.get_mut(key) else { return };
        let error = self.mirror.late(&request.trouble);
        if let Stage::Unseen { revision } = request.stage {
            self.unseen.remove(&(revision, key));
        }
        request.result = Some(Err(error));
        self.steps.push_back(Step::Done(key));
    }

    /// A request is answered, and the next one for its instance begins.
    pub(super) fn done(&mut self, key: Key) -> Option<StoreEvent> {
        let request = self.requests.remove(key)?;
        let Request { number, name, kind, call, deadline, again, result, modified, .. } = request;
        self.timers.cancel(deadline);
        if let Some(again) = again {
            self.timers.cancel(again);
        }
        if let Some(call) = call {
            self.calls.abandon(self.now, call);
        }
        if let Some(held) = self.held.get_mut(&name) {
            held.known |= held.modified == modified;
        }
        if let Some(next) = self.queues.remove(&name, key) {
            self.start(next);
        }
        let result = result.unwrap_or_else(|| Err(unavailable("no answer")));
        Some(match kind {
            Kind::Keep { .. } => StoreEvent::Kept(number, result.map(|()| modified.unsigned_abs())),
            Kind::Register(_) | Kind::Unregister { .. } => StoreEvent::Done(number, result),
        })
    }
}
