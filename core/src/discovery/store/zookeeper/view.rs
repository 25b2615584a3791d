//! What is in ZooKeeper, as it is known here: a watch on all of it, then everything read once, then what the watch names.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use super::jute::{Acl, Change, Mode, Stat, code};
use super::names::{escape, unescape};
use super::session::{Purpose, Reply, is_refusal};
use super::{Due, Step, Zookeeper, refusal, unavailable, value};
use crate::discovery::store::StoreEvent;
use crate::rpc::Attributes;
use crate::timers::TimerKey;

/// How long to wait before everything is read again where that was refused.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct View {
    live: bool,
    load: Option<Load>,
    /// What is being read because something has happened to it.
    reads: BTreeMap<String, u64>,
    next_read: u64,
    /// What was read, until it is its turn.
    pub(super) found: BTreeMap<u64, (String, i64, Option<Found>)>,
    due: Option<TimerKey>,
    silence: Option<TimerKey>,
    /// How often it came to nothing since it was last up to date.
    failures: usize,
    /// Why, last.
    trouble: String,
    /// It was not lost: it does not want to.
    refused: bool,
    is_said: bool,
    is_odd: bool,
    /// The last transaction that anything was heard of.
    seen: i64,
}

/// Everything is being read.
#[derive(Debug, Default)]
struct Load {
    left: usize,
    all: BTreeMap<String, Found>,
    /// Why our folder could not be made, if it is not there.
    folder: Option<i32>,
}

/// An instance in ZooKeeper.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) attributes: Option<Attributes>,
    pub(super) created: i64,
    pub(super) modified: i64,
}

impl Default for View {
    fn default() -> Self {
        Self {
            live: false,
            load: None,
            reads: BTreeMap::new(),
            next_read: 0,
            found: BTreeMap::new(),
            due: None,
            silence: None,
            failures: 0,
            trouble: String::from("it has not answered yet"),
            refused: false,
            is_said: false,
            is_odd: false,
            seen: 0,
        }
    }
}

impl View {
    /// Whether what is known is up to date, and stays so.
    pub(super) const fn is_live(&self) -> bool {
        self.live
    }

    pub(super) fn trouble(&self) -> &str {
        &self.trouble
    }

    /// Why nothing can be asked for, where that does not pass by itself.
    pub(super) fn refused(&self) -> Option<&str> {
        self.refused.then_some(&*self.trouble)
    }
}

impl Zookeeper {
    /// The nodes that lead to the instances, and the folder of these.
    pub(super) fn folders(&self) -> Vec<String> {
        let ends = self.root.match_indices('/').skip(1).map(|(at, _)| at);
        ends.chain([self.root.len()]).map(|end| self.root[..end].to_string()).collect()
    }

    pub(super) const fn acl(&self) -> Acl {
        if self.has_auth { Acl::Creator } else { Acl::World }
    }

    pub(super) fn service_path(&self, service: &str) -> String {
        format!("{}/{}", self.root, escape(service))
    }

    /// The path of an instance with that name.
    pub(super) fn path(&self, name: &str) -> String {
        let (service, address) = name.split_once('/').unwrap_or((name, ""));
        format!("{}/{}/{}", self.root, escape(service), escape(address))
    }

    /// Begins to be up to date, on a new connection or where it was refused before.
    pub(super) fn load(&mut self) {
        self.set_load_timer(None);
        let acl = self.acl();
        for path in self.folders() {
            let folder = Change::Create { path: &path, data: b"", acl, mode: Mode::Persistent };
            self.session.change(self.now, Purpose::Folder, &folder);
        }
        // All that changes behind it is named, so what is read from here on cannot miss anything.
        self.session.watch(self.now, Purpose::Watch, &self.root);
        self.session.children(self.now, Purpose::Services, &self.root);
        self.view.load = Some(Load { left: 2, ..Load::default() });
    }

    fn set_load_timer(&mut self, after: Option<Duration>) {
        if let Some(timer) = self.view.due.take() {
            self.timers.cancel(timer);
        }
        self.view.due = after.map(|after| self.set_timer(after, Due::Load));
    }

    pub(super) fn load_due(&mut self) {
        self.view.due = None;
        if !self.view.live && self.view.load.is_none() {
            self.load();
        }
    }

    /// The answer to one of the calls that the view is made of.
    pub(super) fn view_heard(&mut self, purpose: Purpose, zxid: i64, result: Result<Reply, i32>) {
        self.heard_of(zxid);
        match purpose {
            Purpose::Read(id, name) => self.read_heard(id, name, zxid, result),
            Purpose::Folder => {
                let error = result.err().filter(|code| *code != code::NODE_EXISTS);
                if let Some(load) = &mut self.view.load {
                    load.folder = error;
                }
            }
            _ if self.view.load.is_none() => {}
            Purpose::Watch => match result {
                Ok(_) => self.loaded_one(),
                Err(code::UNIMPLEMENTED) => self.load_failed(
                    "it is older than ZooKeeper 3.6, which is the first that has what discoverd needs (addWatch)".into(),
                ),
                Err(error) => self.load_refused(error),
            },
            Purpose::Services => match result {
                Ok(Reply::Children(services, _)) => {
                    for node in services {
                        self.expect_one();
                        let path = format!("{}/{node}", self.root);
                        self.session.children(self.now, Purpose::Service(node), &path);
                    }
                    self.loaded_one();
                }
                Ok(_) => {}
                Err(error) => {
                    let load = self.view.load.as_ref();
                    let folder = load.and_then(|load| load.folder);
                    self.load_refused(folder.filter(|_| error == code::NO_NODE).unwrap_or(error));
                }
            },
            Purpose::Service(service) => match result {
                Ok(Reply::Children(addresses, _)) => {
                    for node in addresses {
                        let path = format!("{}/{service}/{node}", self.root);
                        let Some(name) = name_of(&service, &node) else {
                            self.is_odd(&path);
                            continue;
                        };
                        self.expect_one();
                        self.session.get(self.now, Purpose::Load(name), &path);
                    }
                    self.loaded_one();
                }
                Err(code::NO_NODE) => self.loaded_one(),
                Ok(_) => {}
                Err(error) => self.load_refused(error),
            },
            Purpose::Load(name) => {
                let found = self.found(&name, result);
                self.load_found(name, found);
                self.loaded_one();
            }
            Purpose::Request(_) | Purpose::Beat => {}
        }
    }

    /// Takes note of how late it is there.
    pub(super) fn heard_of(&mut self, zxid: i64) {
        self.view.seen = self.view.seen.max(zxid);
    }

    fn expect_one(&mut self) {
        if let Some(load) = &mut self.view.load {
            load.left += 1;
        }
    }

    fn load_found(&mut self, name: String, found: Option<Found>) {
        let Some(load) = &mut self.view.load else { return };
        match found {
            Some(found) => _ = load.all.insert(name, found),
            None => _ = load.all.remove(&name),
        }
    }

    fn loaded_one(&mut self) {
        let Some(load) = &mut self.view.load else { return };
        load.left -= 1;
        if load.left > 0 {
            return;
        }
        let all = self.view.load.take().map(|load| load.all).unwrap_or_default();
        self.steps.push_back(Step::All(all));
        self.steps.extend(self.unheard.drain(..).map(Step::Done));
        self.steps.push_back(Step::Live);
        let reading: Vec<u64> = self.view.reads.values().copied().collect();
        self.steps.extend(reading.into_iter().map(Step::Read));
        self.view.live = true;
        self.view.refused = false;
        self.view.failures = 0;
        self.session.settled();
        if core::mem::take(&mut self.view.is_said) {
            self.out.push_back(StoreEvent::Warn("ZooKeeper is found again".into()));
        }
        if let Some(timer) = self.view.silence.take() {
            self.timers.cancel(timer);
        }
        // Whose heartbeats were refused meanwhile has a whole TTL to send another.
        self.spared = self.now + self.ttl;
        self.restart_requests();
    }

    fn load_refused(&mut self, error: i32) {
        if is_refusal(error) || error == code::NO_NODE {
            return self.load_failed(refusal(error));
        }
        let reason = refusal(error);
        self.session.lose(self.now, &reason);
    }

    /// There is a connection, but nothing can be known.
    fn load_failed(&mut self, reason: String) {
        self.view.load = None;
        self.view.reads.clear();
        self.view.refused = true;
        self.view.trouble = reason;
        self.say_lost();
        self.watch_silence();
        self.set_load_timer(Some(PAUSE));
        self.restart_requests();
    }

    fn say_lost(&mut self) {
        if !core::mem::replace(&mut self.view.is_said, true) {
            self.out.push_back(StoreEvent::Warn(format!(
                "ZooKeeper is lost ({}): {}; trying again, and saying so when it is found",
                self.session.shown(),
                self.view.trouble
            )));
        }
    }

    /// The connection is gone.
    pub(super) fn lost(&mut self, reason: String) {
        self.set_load_timer(None);
        self.view.live = false;
        self.view.load = None;
        self.view.refused = false;
        self.view.trouble = reason;
        self.view.failures += 1;
        self.beating.clear();
        self.beats.clear();
        if self.view.failures >= self.session.endpoints() {
            self.say_lost();
        }
        // What is being read comes with all the rest; what was to be told behind it is told behind that.
        let mut gap = false;
        let mut steps = VecDeque::new();
        for step in core::mem::take(&mut self.steps) {
            match step {
                Step::Read(id) if !self.view.found.contains_key(&id) => gap = true,
                Step::Beaten(_) => {}
                Step::Done(key) if gap => self.unheard.push(key),
                _ if gap => {}
                step => steps.push_back(step),
            }
        }
        self.steps = steps;
        self.view.reads.clear();
        self.forget_calls();
        self.watch_silence();
    }

    /// Something has happened to a node.
    pub(super) fn happened(&mut self, path: &str) {
        let Some(rest) = path.strip_prefix(&*self.root).and_then(|it| it.strip_prefix('/')) else {
            return;
        };
        let mut nodes = rest.split('/');
        let (Some(service), Some(address)) = (nodes.next(), nodes.next()) else { return };
        if nodes.nth(1).is_some() {
            return;
        }
        let Some(name) = name_of(service, address) else { return self.is_odd(path) };
        // What is being read has not been answered yet, so the answer knows of this, too.
        if self.view.reads.contains_key(&name) || !(self.view.live || self.view.load.is_some()) {
            return;
        }
        self.view.next_read += 1;
        let id = self.view.next_read;
        let path = self.path(&name);
        self.view.reads.insert(name.clone(), id);
        self.session.get(self.now, Purpose::Read(id, name), &path);
        if self.view.live {
            self.steps.push_back(Step::Read(id));
        }
    }

    fn read_heard(&mut self, id: u64, name: String, zxid: i64, result: Result<Reply, i32>) {
        if self.view.reads.get(&name) != Some(&id) {
            return;
        }
        self.view.reads.remove(&name);
        let found = self.found(&name, result);
        if self.view.live {
            self.view.found.insert(id, (name, zxid, found));
        } else {
            self.load_found(name, found);
        }
    }

    /// What an instance's node says; `None`: there is no such instance.
    fn found(&mut self, name: &str, result: Result<Reply, i32>) -> Option<Found> {
        match result {
            // Without a child nobody holds it any more.
            Ok(Reply::Data(_, Stat { children: 0, .. })) | Err(code::NO_NODE) => None,
            Ok(Reply::Data(data, stat)) => {
                let attributes = value::read(&data);
                if attributes.is_none() || stat.created <= 0 {
                    self.is_odd(&self.path(name));
                }
                let Stat { created, modified, .. } = stat;
                Some(Found { attributes: attributes?, created, modified }).filter(|_| created > 0)
            }
            _ => {
                self.is_odd(&self.path(name));
                None
            }
        }
    }

    fn is_odd(&mut self, path: &str) {
        if !core::mem::replace(&mut self.view.is_odd, true) {
            self.out.push_back(StoreEvent::Warn(format!(
                "in ZooKeeper {} is no instance that discoverd has written: it is left alone, and so are others like it",
                path.escape_debug()
            )));
        }
    }

    /// Has subscriptions end if they are not up to date for too long.
    pub(super) fn watch_silence(&mut self) {
        if self.view.silence.is_none() && !self.view.is_live() && !self.subscriptions.is_empty() {
            self.view.silence = Some(self.set_timer(self.ttl, Due::Silence));
        }
    }

    /// Subscriptions have been told nothing for too long, and are told so.
    pub(super) fn silent(&mut self) {
        self.view.silence = None;
        if self.view.is_live() {
            return;
        }
        let error = unavailable(&format!("ZooKeeper cannot be watched: {}", self.view.trouble));
        // Those that wait have not been told anything yet, and are not: clients would take an end for there being nobody.
        let ended: Vec<_> = self.subscriptions.difference(&self.waiting).copied().collect();
        self.subscriptions.clone_from(&self.waiting);
        for id in ended {
            self.registry.unsubscribe(id);
            self.out.push_back(StoreEvent::Ended(id, error.clone()));
        }
    }

    /// Tells the difference between what is known and what there is.
    pub(super) fn compare(&mut self, all: BTreeMap<String, Found>) {
        let gone: Vec<String> =
            self.known.keys().filter(|name| !all.contains_key(*name)).cloned().collect();
        let mut changed: Vec<(String, Found)> = all
            .into_iter()
            .filter(|(name, found)| self.known.get(name) != Some(&(found.created, found.modified)))
            .collect();
        // In the order in which they happened.
        changed.sort_by_key(|(_, found)| found.modified);
        let seen = self.view.seen;
        for (name, found) in changed.into_iter().rev() {
            self.steps.push_front(Step::Put(name, seen, found));
        }
        for name in gone.into_iter().rev() {
            self.steps.push_front(Step::Remove(name, seen));
        }
    }
}

/// An instance's name here, behind those of its nodes there.
fn name_of(service: &str, address: &str) -> Option<String> {
    Some(format!("{}/{}", unescape(service)?, unescape(address)?))
}
