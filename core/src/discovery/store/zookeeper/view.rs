//! What is in ZooKeeper, as it is known here: a watch on all of it, then everything read once, then what the watch names.

use alloc::borrow::Cow;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use super::jute::{Acl, Change, Mode, Stat, code};
use super::names::{escape, unescape};
use super::session::{Purpose, Reply, is_refusal};
use super::{Due, Step, Zookeeper, refusal, value};
use crate::discovery::Document;
use crate::discovery::instance::check;
use crate::rpc::Attributes;
use crate::timers::TimerKey;

/// How long to wait before everything is read again where that was refused.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Default, Debug)]
pub(super) struct View {
    load: Option<Load>,
    /// What is being read because something has happened to it.
    reads: BTreeMap<String, u64>,
    next_read: u64,
    /// What was read, until it is its turn.
    pub(super) found: BTreeMap<u64, (String, i64, Option<Found>)>,
    due: Option<TimerKey>,
    /// How often it came to nothing since it was last up to date.
    failures: usize,
    /// It was not lost: it does not want to.
    refused: bool,
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
    /// It comes to nothing, for this reason, as soon as the rest of it is answered.
    failed: Option<String>,
}

/// An instance or a document in ZooKeeper.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) what: What,
    pub(super) created: i64,
    pub(super) modified: i64,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    Instance(Option<Attributes>),
    Document(String),
}

impl View {
    /// Whether nothing can be asked for, and that does not pass by itself.
    pub(super) const fn is_refused(&self) -> bool {
        self.refused
    }
}

impl Zookeeper {
    /// The nodes that lead to the instances and the documents, and the folders of these.
    pub(super) fn folders(&self) -> Vec<String> {
        let ends = self.base.match_indices('/').skip(1).map(|(at, _)| at);
        let bases = ends.chain([self.base.len()]).map(|end| self.base[..end].to_string());
        bases.chain([self.instances(), self.documents()]).collect()
    }

    fn instances(&self) -> String {
        format!("{}/{INSTANCES}", self.base)
    }

    fn documents(&self) -> String {
        format!("{}/{DOCUMENTS}", self.base)
    }

    pub(super) const fn acl(&self) -> Acl {
        if self.has_auth { Acl::Creator } else { Acl::World }
    }

    /// The path of an instance or a document with that name, and that of the folder that it is in.
    pub(super) fn path(&self, name: &str) -> (String, String) {
        let (folder, name) = match name.strip_prefix('/') {
            Some(document) => (DOCUMENTS, document),
            None => (INSTANCES, name),
        };
        let (service, last) = name.split_once('/').unwrap_or((name, ""));
        let folder = format!("{}/{folder}/{}", self.base, escape(service));
        (format!("{folder}/{}", escape(last)), folder)
    }

    /// Begins to be up to date, on a new connection or where it was refused before.
    pub(super) fn load(&mut self) {
        self.set_load_timer(None);
        self.make_folders();
        // All that changes behind it is named, so what is read from here on cannot miss anything.
        self.session.watch(self.now, Purpose::Watch, &self.base);
        for folder in [self.instances(), self.documents()] {
            self.session.children(self.now, Purpose::Services(folder.clone()), &folder);
        }
        self.view.load = Some(Load { left: 3, ..Load::default() });
    }

    /// Folders that are there already stay as they are.
    pub(super) fn make_folders(&mut self) {
        let acl = self.acl();
        for path in self.folders() {
            let folder = Change::Create { path: &path, data: b"", acl, mode: Mode::Persistent };
            self.session.change(self.now, Purpose::Folder, &folder);
        }
    }

    fn set_load_timer(&mut self, after: Option<Duration>) {
        if let Some(timer) = self.view.due.take() {
            self.timers.cancel(timer);
        }
        self.view.due = after.map(|after| self.set_timer(after, Due::Load));
    }

    pub(super) fn load_due(&mut self) {
        self.view.due = None;
        if !self.mirror.is_live() && self.view.load.is_none() {
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
                Err(error) => self.load_refused(error),
            },
            Purpose::Services(folder) => match result {
                Ok(Reply::Children(services, _)) => {
                    for node in services {
                        self.expect_one();
                        let path = format!("{folder}/{node}");
                        self.session.children(self.now, Purpose::Service(path.clone()), &path);
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
            Purpose::Service(folder) => match result {
                Ok(Reply::Children(nodes, _)) => {
                    for node in nodes {
                        let path = format!("{folder}/{node}");
                        let Named::Is(name) = self.name_of(&path) else {
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
        let Some(Load { all, failed, .. }) = self.view.load.take() else { return };
        if let Some(reason) = failed {
            return self.load_failed(reason);
        }
        self.steps.push_back(Step::All(all));
        self.steps.extend(self.unheard.drain(..).map(Step::Done));
        self.steps.push_back(Step::Live);
        let reading: Vec<u64> = self.view.reads.values().copied().collect();
        self.steps.extend(reading.into_iter().map(Step::Read));
        self.mirror.found(&mut self.out);
        self.view.refused = false;
        self.view.failures = 0;
        self.session.settled();
        // Whose heartbeats were refused meanwhile has a whole TTL to send another.
        self.spared = self.now + self.ttl;
        self.restart_requests();
    }

    fn load_refused(&mut self, error: i32) {
        let reason = match error {
            code::UNIMPLEMENTED => {
                "it is older than ZooKeeper 3.6, the first that has what discoverd needs (addWatch)"
                    .into()
            }
            error => refusal(error),
        };
        if !is_refusal(error) && error != code::NO_NODE {
            return self.session.lose(self.now, &reason);
        }
        if let Some(load) = &mut self.view.load {
            load.failed.get_or_insert(reason);
        }
        self.loaded_one();
    }

    /// There is a connection, but nothing can be known.
    fn load_failed(&mut self, reason: String) {
        self.view.reads.clear();
        self.view.refused = true;
        self.mirror.set_trouble(reason);
        self.mirror.say_lost(&self.session.shown(), &mut self.out);
        self.set_load_timer(Some(PAUSE));
        self.restart_requests();
    }

    /// The connection is gone.
    pub(super) fn lost(&mut self, reason: String) {
        self.set_load_timer(None);
        self.mirror.lost(self.now);
        self.view.load = None;
        self.view.refused = false;
        self.mirror.set_trouble(reason);
        self.view.failures += 1;
        self.beating.clear();
        self.beats.clear();
        if self.view.failures >= self.session.endpoints() {
            self.mirror.say_lost(&self.session.shown(), &mut self.out);
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
    }

    /// Something has happened to a node.
    pub(super) fn happened(&mut self, path: &str) {
        let name = match self.name_of(path) {
            Named::Is(name) => name,
            Named::Odd => return self.is_odd(path),
            Named::Else => return,
        };
        // What is being read has not been answered yet, so the answer knows of this, too.
        if self.view.reads.contains_key(&name)
            || !(self.mirror.is_live() || self.view.load.is_some())
        {
            return;
        }
        self.view.next_read += 1;
        let id = self.view.next_read;
        let (path, _) = self.path(&name);
        self.view.reads.insert(name.clone(), id);
        self.session.get(self.now, Purpose::Read(id, name), &path);
        if self.mirror.is_live() {
            self.steps.push_back(Step::Read(id));
        }
    }

    fn read_heard(&mut self, id: u64, name: String, zxid: i64, result: Result<Reply, i32>) {
        if self.view.reads.get(&name) != Some(&id) {
            return;
        }
        self.view.reads.remove(&name);
        let found = self.found(&name, result);
        if self.mirror.is_live() {
            self.view.found.insert(id, (name, zxid, found));
        } else {
            self.load_found(name, found);
        }
    }

    /// What a node says; `None`: there is no such instance or document.
    fn found(&mut self, name: &str, result: Result<Reply, i32>) -> Option<Found> {
        let is_document = name.starts_with('/');
        let found = match result {
            Err(code::NO_NODE) => return None,
            // Without a child nobody holds it any more.
            Ok(Reply::Data(_, Stat { children: 0, .. })) if !is_document => return None,
            Ok(Reply::Data(data, Stat { created, modified, .. })) => {
                let what = if is_document {
                    value::read_text(&data).map(|(text, _)| What::Document(text))
                } else {
                    value::read(&data).map(What::Instance)
                };
                what.filter(|_| created > 0).map(|what| Found { what, created, modified })
            }
            _ => None,
        };
        if found.is_none() {
            let (path, _) = self.path(name);
            self.is_odd(&path);
        }
        found
    }

    fn is_odd(&mut self, path: &str) {
        self.mirror.say_odd(&path.escape_debug().to_string(), &mut self.out);
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

/// The folders of instances and of documents.
const INSTANCES: &str = "instances";
const DOCUMENTS: &str = "services";

/// Whose a path is.
enum Named {
    /// An instance's, or what holds it; or a document's.
    Is(String),
    /// Nothing that is written here.
    Odd,
    /// A folder's, or something else that does not matter.
    Else,
}

/// The name of a document, which is no instance's.
pub(super) fn document_name(service: &str, which: Document) -> String {
    format!("/{service}/{}", which.name())
}

/// The document of that name.
pub(super) fn document_of(name: &str) -> Option<(&str, Document)> {
    let (service, which) = name.strip_prefix('/')?.split_once('/')?;
    Some((service, Document::from_name(which)?))
}

/// What a node is named after, if that can be the name of something: else two nodes could be one instance.
fn named(node: &str) -> Option<String> {
    unescape(node).filter(|name| check("Name", name).is_ok()).map(Cow::into_owned)
}

impl Zookeeper {
    fn name_of(&self, path: &str) -> Named {
        let Some(rest) = path.strip_prefix(&*self.base).and_then(|it| it.strip_prefix('/')) else {
            return Named::Else;
        };
        let nodes: Vec<&str> = rest.splitn(5, '/').collect();
        let name = match *nodes {
            [INSTANCES, service, address] | [INSTANCES, service, address, _] => {
                let (service, address) = (named(service), named(address));
                service.zip(address).map(|(service, address)| format!("{service}/{address}"))
            }
            [DOCUMENTS, service, which] => {
                let which = Document::from_name(which);
                named(service).zip(which).map(|(service, which)| document_name(&service, which))
            }
            _ => return Named::Else,
        };
        name.map_or(Named::Odd, Named::Is)
    }
}
