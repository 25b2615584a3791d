//! What a journal does with its file: changes behind the others, or all of it anew.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use super::record::{MAGIC, Record};
use super::{Journal, Step, put};
use crate::discovery::Document;
use crate::discovery::store::{Persist, StoreError};
use crate::time::Instant;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Work {
    Append,
    AppendNext,
    Replace,
}

/// The other file, which is to have what is true and no more.
#[derive(Default, Debug)]
pub(super) struct Rewrite {
    /// Up to where instances are in it.
    last: Option<(Arc<str>, Arc<str>)>,
    /// Up to where documents are, behind the instances.
    document: Option<(Arc<str>, Document)>,
    all: bool,
    /// What was written to the file meanwhile, and has to be in the other one too.
    behind: Vec<u8>,
    size: u64,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Health {
    Good,
    /// Nothing can be written; it is tried again then.
    Failed {
        reason: String,
        again: Instant,
    },
    /// The file is written anew, to see whether it goes again.
    Trying {
        reason: String,
    },
}

/// Shorter files are not worth the work.
pub(super) const SMALL: u64 = 1024 * 1024;
/// So much of what is true is written at once while the file is written anew: changes do not wait longer for that.
const PIECE: usize = 64 * 1024;
const RETRY: Duration = Duration::from_secs(1);

impl Journal {
    /// Why nothing can be written, if so.
    pub(super) fn unavailable(&self) -> Option<StoreError> {
        match &self.health {
            Health::Good => None,
            Health::Failed { reason, .. } | Health::Trying { reason } => {
                Some(StoreError::Unavailable(unwritable(reason)))
            }
        }
    }

    /// The next thing to do with the file.
    pub(super) fn work(&mut self) -> Option<Persist> {
        if self.busy.is_some() {
            return None;
        }
        if let Health::Failed { reason, again } = &self.health {
            if *again > self.now {
                return None;
            }
            self.health = Health::Trying { reason: reason.clone() };
            self.rewrite = Some(Rewrite::default());
        }
        if self.health == Health::Good {
            if !self.collected.steps.is_empty() && !self.is_rewrites_turn() {
                self.appended = true;
                self.written = core::mem::take(&mut self.collected);
                let mut bytes = core::mem::take(&mut self.written.bytes);
                if let Some(rewrite) = &mut self.rewrite {
                    rewrite.behind.extend_from_slice(&bytes);
                }
                if self.size == 0 {
                    bytes.splice(..0, MAGIC.iter().copied());
                }
                self.size += bytes.len() as u64;
                self.busy = Some(Work::Append);
                return Some(Persist::Append(bytes));
            }
            if self.rewrite.is_none() && self.size > SMALL.max(self.live * 2).max(self.patience) {
                self.rewrite = Some(Rewrite::default());
            }
        }
        self.rewrite_on()
    }

    /// Both go on in turn, and what needs one last step is not kept from it.
    fn is_rewrites_turn(&self) -> bool {
        let rewrite = self.rewrite.as_ref();
        rewrite.is_some_and(|it| self.appended || (it.all && it.behind.is_empty()))
    }

    fn rewrite_on(&mut self) -> Option<Persist> {
        let rewrite = self.rewrite.as_mut()?;
        self.appended = false;
        if rewrite.all && rewrite.behind.is_empty() {
            self.busy = Some(Work::Replace);
            return Some(Persist::Replace);
        }
        // All that is written to the file is in the registry by now, so what is read from it comes behind that.
        let mut bytes = core::mem::take(&mut rewrite.behind);
        let first = rewrite.size == 0;
        if first {
            bytes.clear();
            bytes.extend_from_slice(MAGIC);
            Record::index(self.index, &mut bytes);
        }
        let end = bytes.len() + PIECE;
        while !rewrite.all && bytes.len() < end {
            let last = rewrite.last.as_ref().map(|(service, address)| (&**service, &**address));
            match self.registry.behind(last) {
                Some(instance) => {
                    put(instance, &mut bytes);
                    rewrite.last =
                        Some((Arc::clone(&instance.service), Arc::clone(&instance.address)));
                }
                None => break,
            }
        }
        while !rewrite.all && bytes.len() < end {
            let last = rewrite.document.as_ref().map(|(service, which)| (&**service, *which));
            let next = self.registry.documents(last).next();
            match next {
                Some((service, which, kept)) => {
                    Record::keep(kept.index, (service, which), Some(&kept.text), &mut bytes);
                    rewrite.document = Some((Arc::clone(service), which));
                }
                None => rewrite.all = true,
            }
        }
        rewrite.size += bytes.len() as u64;
        self.busy = Some(Work::AppendNext);
        Some(Persist::AppendNext { bytes, first })
    }

    pub(super) fn persisted(&mut self) {
        match self.busy.take() {
            Some(Work::Append) => {
                self.safe.extend(core::mem::take(&mut self.written).steps);
            }
            Some(Work::Replace) => {
                if let Some(rewrite) = self.rewrite.take() {
                    self.size = rewrite.size;
                    self.patience = 0;
                }
                if self.health != Health::Good {
                    self.health = Health::Good;
                    self.warnings.push_back("the journal can be written again".into());
                }
            }
            Some(Work::AppendNext) | None => {}
        }
    }

    pub(super) fn persist_failed(&mut self, reason: &str) {
        self.rewrite = None;
        match self.busy.take() {
            None => return,
            Some(Work::AppendNext) if self.health == Health::Good => {
                // The file itself is as it was.
                self.patience = self.size * 2;
                let warning = format!("the journal cannot be written anew: {reason}");
                return self.warnings.push_back(warning);
            }
            Some(_) => {}
        }
        // What is in the file now is not known, and what comes behind it might not be found: it has to be written anew.
        let again = self.now + RETRY;
        if self.health == Health::Good {
            self.warnings.push_back(format!(
                "{}; trying again every second, and refusing changes meanwhile",
                unwritable(reason)
            ));
        }
        self.health = Health::Failed { reason: reason.to_string(), again };
        self.pending.clear();
        self.pending_documents.clear();
        // What the next changes are called has to be larger all the same: the file may have these.
        let steps = core::mem::take(&mut self.written).steps;
        let more = core::mem::take(&mut self.collected).steps;
        for step in steps.into_iter().chain(more) {
            match step {
                Step::Answer(request, _) => {
                    let error = StoreError::Unavailable(unwritable(reason));
                    self.safe.push_back(Step::Answer(request, Err(error)));
                }
                Step::Kept(request, _) => {
                    let error = StoreError::Unavailable(unwritable(reason));
                    self.safe.push_back(Step::Kept(request, Err(error)));
                }
                Step::Change(Record::Remove { service, address, .. }) => {
                    // One that has expired is to expire again.
                    self.registry.keep(&service, &address, self.now + self.ttl);
                }
                Step::Change(_) => {}
            }
        }
    }
}

fn unwritable(reason: &str) -> String {
    format!("the journal cannot be written: {reason}")
}
