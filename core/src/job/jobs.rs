//! The jobs that are under way, and what has still to be done for them.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use super::engine::Log;
use super::{Body, FailureKind, Job, Status, Stdio, Upstream};
use crate::id::{JobId, Slab};
use crate::time::Instant;
use crate::timers::{TimerKey, Timers};

/// Everything but the backends, so that a backend can be lent it while it runs.
pub(super) struct Shared {
    pub(super) handlers: BTreeMap<String, usize>,
    pub(super) chain: Vec<(String, usize)>,
    pub(super) jobs: Slab<Entry>,
    pub(super) timers: Timers<Alarm>,
    pub(super) ready: VecDeque<JobId>,
    pub(super) work: VecDeque<Work>,
    pub(super) logs: VecDeque<Log>,
    pub(super) now: Instant,
    pub(super) epoch: Duration,
    pub(super) random: fastrand::Rng,
    /// No connection is taken before then.
    pub(super) down_until: Option<Instant>,
    /// Every connection is to be cut, which the owner has not been told yet.
    pub(super) cut_all: bool,
}

/// One job under way.
pub(super) struct Entry {
    /// Out only while its backend looks at it.
    pub(super) job: Option<Job>,
    pub(super) owner: Owner,
    pub(super) backend: usize,
    /// How many of [handler, chain…] were asked before `backend`.
    pub(super) position: usize,
    pub(super) depth: u8,
    pub(super) passed: bool,
    pub(super) queued: bool,
    /// Its stdin goes on when it begins to answer.
    pub(super) hijacks: bool,
    pub(super) stdin: Stdin,
    pub(super) begun: Option<Stdio>,
    pub(super) out: Vec<u8>,
    pub(super) whole: Option<Body>,
    /// What a client is told of the path that its answer is about.
    pub(super) path_stat: Option<String>,
    /// Another server answers in the backend's place.
    pub(super) joined: Option<Arc<Upstream>>,
    /// A write came up short; [`Event::Writable`] is owed.
    pub(super) short: bool,
    /// So many more bytes of its answer reach its client, whose connection breaks then.
    pub(super) cut_after: Option<u64>,
    /// The parent has asked for output with [`Cx::read_child`].
    pub(super) parent_reads: bool,
    pub(super) status: Option<Status>,
    pub(super) timers: Vec<TimerKey>,
    pub(super) children: Vec<JobId>,
}

#[derive(Clone, Copy)]
pub(super) enum Owner {
    Outside(u64),
    Parent(JobId),
    /// Its parent has cancelled it or has ended; it is forgotten soon.
    Nobody,
}

/// Where a job's stdin stands.
#[derive(Default)]
pub(super) struct Stdin {
    pub(super) want: Want,
    /// What a backend read and then passed on: read again by the next one.
    pub(super) again: Vec<u8>,
    /// No more will come from the owner.
    pub(super) ended: bool,
    /// A piece was asked for, so that the job can no longer be passed on whole.
    pub(super) taken: bool,
}

impl Stdin {
    /// Asks for something else than before; what was collected so far is read again.
    pub(super) fn want(&mut self, want: Want) {
        if let Want::Whole { mut so_far, .. } = core::mem::replace(&mut self.want, want)
            && !so_far.is_empty()
        {
            so_far.append(&mut self.again);
            self.again = so_far;
        }
    }
}

#[derive(Default)]
pub(super) enum Want {
    #[default]
    Nothing,
    Piece,
    Whole {
        limit: usize,
        so_far: Vec<u8>,
    },
}

pub(super) enum Alarm {
    Job(JobId, u64),
    Backend(usize, u64),
}

pub(super) enum Work {
    Start(JobId),
    Stdin(JobId),
    Child(JobId),
    Cancel(JobId),
}

/// Jobs that start jobs that start jobs: deeper than this is a loop.
const MAX_DEPTH: u8 = 16;

impl Shared {
    pub(super) fn insert(&mut self, job: Job, owner: Owner, depth: u8) -> JobId {
        let hijacks = matches!(owner, Owner::Outside(_)) && job.hijacks();
        JobId(self.jobs.insert(Entry {
            job: Some(job),
            owner,
            backend: 0,
            position: 0,
            depth,
            passed: false,
            queued: false,
            hijacks,
            stdin: Stdin::default(),
            begun: None,
            out: Vec::new(),
            whole: None,
            path_stat: None,
            joined: None,
            short: false,
            cut_after: None,
            parent_reads: false,
            status: None,
            timers: Vec::new(),
            children: Vec::new(),
        }))
    }

    /// Who is asked next for a job of that name when `position` of [handler, chain…] have been asked.
    pub(super) fn route(&self, name: &str, position: usize) -> (usize, Option<usize>) {
        if position == 0
            && !self.handlers.is_empty()
            && let Some(handler) = self.handlers.get(name)
        {
            return (0, Some(*handler));
        }
        let position = position.max(1);
        (position, self.chain.get(position - 1).map(|(_, backend)| *backend))
    }

    /// Whether another backend would be asked if the job was passed on.
    pub(super) fn has_next(&self, job: JobId) -> bool {
        self.jobs.get(job.0).is_some_and(|entry| entry.position.max(1) - 1 < self.chain.len())
    }

    pub(super) fn start_child(&mut self, parent: JobId, job: Job, stdin: &[u8]) -> JobId {
        let depth = self.jobs.get(parent.0).map_or(0, |entry| entry.depth) + 1;
        let too_deep = (depth > MAX_DEPTH)
            .then(|| format!("{job} was started by a chain of {MAX_DEPTH} jobs: a loop"));
        let child = self.insert(job, Owner::Parent(parent), depth);
        if let Some(entry) = self.jobs.get_mut(child.0) {
            entry.stdin.again = stdin.to_vec();
            entry.stdin.ended = true;
        }
        if let Some(entry) = self.jobs.get_mut(parent.0) {
            entry.children.push(child);
        }
        match too_deep {
            Some(message) => self.exit(child, Status::failed(FailureKind::System, message)),
            None => self.work.push_back(Work::Start(child)),
        }
        child
    }

    pub(super) fn work(&mut self, work: Work) {
        self.work.push_back(work);
    }

    /// Ends a job, once.
    pub(super) fn exit(&mut self, job: JobId, status: Status) {
        if let Some(entry) = self.jobs.get_mut(job.0)
            && entry.status.is_none()
        {
            entry.status = Some(status);
            self.mark(job);
            self.release(job);
        }
    }

    /// Leaves the job to the next backend, with all of its stdin and nothing else of what this one asked for.
    pub(super) fn pass(&mut self, job: JobId) {
        if let Some(entry) = self.jobs.get_mut(job.0) {
            entry.passed = true;
            entry.stdin.want(Want::Nothing);
            self.release(job);
        }
    }

    /// Gives up what a job holds for as long as a backend has it: its timers and the jobs it has started.
    pub(super) fn release(&mut self, job: JobId) {
        let Some(entry) = self.jobs.get_mut(job.0) else { return };
        let children = core::mem::take(&mut entry.children);
        for timer in core::mem::take(&mut entry.timers) {
            self.timers.cancel(timer);
        }
        for child in children {
            self.abandon(child);
        }
    }

    pub(super) fn abandon(&mut self, child: JobId) {
        if let Some(entry) = self.jobs.get_mut(child.0) {
            entry.owner = Owner::Nobody;
            self.work.push_back(Work::Cancel(child));
        }
    }

    /// The job that has started this one and has not ended, if it is that backend's.
    pub(super) fn parent(&self, child: JobId, backend: usize) -> Option<JobId> {
        match self.jobs.get(child.0)?.owner {
            Owner::Parent(parent) => {
                self.jobs.get(parent.0).filter(|entry| entry.is_with(backend)).map(|_| parent)
            }
            Owner::Outside(_) | Owner::Nobody => None,
        }
    }

    pub(super) fn read_child(&mut self, child: JobId, backend: usize) {
        if self.parent(child, backend).is_some()
            && let Some(entry) = self.jobs.get_mut(child.0)
        {
            entry.parent_reads = true;
            self.work.push_back(Work::Child(child));
        }
    }

    pub(super) fn cancel_child(&mut self, child: JobId, backend: usize) {
        if let Some(parent) = self.parent(child, backend)
            && let Some(entry) = self.jobs.get_mut(parent.0)
        {
            entry.children.retain(|known| *known != child);
            self.abandon(child);
        }
    }

    /// Notes that a job has something new for its owner.
    pub(super) fn mark(&mut self, job: JobId) {
        let Some(entry) = self.jobs.get_mut(job.0) else { return };
        match entry.owner {
            Owner::Parent(_) => self.work.push_back(Work::Child(job)),
            Owner::Outside(_) if !entry.queued => {
                entry.queued = true;
                self.ready.push_back(job);
            }
            Owner::Outside(_) | Owner::Nobody => {}
        }
    }
}

impl Entry {
    pub(super) const fn is_child(&self) -> bool {
        matches!(self.owner, Owner::Parent(_))
    }

    /// Begins to answer, if that has not been done before; returns how it was begun.
    pub(super) fn begin(&mut self, stdio: Stdio) -> Stdio {
        if self.begun.is_none() && self.hijacks {
            self.stdin.ended = false;
        }
        *self.begun.get_or_insert(stdio)
    }

    /// Whether that backend has it now.
    pub(super) fn is_with(&self, backend: usize) -> bool {
        self.status.is_none() && self.position > 0 && self.backend == backend && !self.passed
    }

    /// As [`Cx::job`] has it: its last event may be told of a job that has ended.
    pub(super) const fn is_of(&self, backend: usize) -> bool {
        self.position > 0 && self.backend == backend
    }

    pub(super) const fn is_abandoned(&self) -> bool {
        matches!(self.owner, Owner::Nobody)
    }

    pub(super) fn wants_stdin(&self) -> bool {
        self.status.is_none()
            && !self.stdin.ended
            && self.stdin.again.is_empty()
            && !matches!(self.stdin.want, Want::Nothing)
    }
}
