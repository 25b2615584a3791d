//! A whole Docker engine in memory: containers that run simulated processes, images, networks and volumes.
//!
//! `world` is the engine's state and the rules it follows; it knows nothing of clients. `clients` and `streams` take what
//! happens in it to those who wait, watch or are attached. The other rooms each answer one group of requests. What changed
//! between API versions stands in `versions` and with the fields themselves.

mod absent;
mod archive;
mod body;
mod build;
mod builds;
mod bus;
mod catalogue;
mod clients;
mod clock;
mod commit;
mod config;
mod container;
mod container_api;
pub mod control;
mod create;
mod df;
mod endpoint;
mod etc;
mod events;
mod exec;
mod failures;
mod faults;
pub mod files;
mod filters;
mod gzip;
mod health;
mod host_config;
mod image_api;
mod images;
mod info;
mod inspect;
mod life;
mod links;
mod list;
mod logs;
mod mounts;
mod names;
mod network_api;
mod networks;
mod pattern;
pub mod process;
mod prune;
mod reference;
mod registry;
mod requests;
mod run;
mod select;
pub mod state;
mod stats;
mod streams;
mod top;
mod transfer;
mod version;
mod versions;
mod volume_api;
mod volumes;
mod websocket;
mod world;

use alloc::borrow::Cow;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use self::clients::Task;
use self::container::Serial;
use self::control::Control;
pub use self::faults::Fault;
use self::list::Cache;
use self::state::State;
use self::versions::{Dialect, Release};
use self::world::World;
use crate::docker::Profile;
use crate::docker::version::ApiVersion;
use crate::id::JobId;
use crate::job::{Backend, Body, Cx, Event, Failure, Job, Timer};
use crate::time::Instant;

/// A backend that is a Docker engine, but for the kernel: what it runs is simulated.
///
/// It may begin with what a [state file](state) describes, and things may go wrong in it [on purpose](Fault), from the
/// beginning or when a test [says so](control).
///
/// Requests of API 1.41 and older are answered as dockerd 20.10.24 answers them, newer ones as their specification says. Ids
/// are drawn from the node's seed with the first job; that is when the containers it was made with are started, too.
///
/// ```
/// use libswarm::Instant;
/// use libswarm::backend::Simulator;
/// use libswarm::job::{Engine, Job};
///
/// let mut engine = Engine::new(42);
/// engine.push("simulator", Box::new(Simulator::from_words(&["web".to_string()]).unwrap()));
/// let job = engine.start(Instant::ZERO, Job::new("containers"), 0);
/// let list = engine.output(job).unwrap().whole.take().unwrap();
/// assert!(String::from_utf8_lossy(&list).contains(r#""Names":["/web"]"#));
/// ```
pub struct Simulator {
    announced: ApiVersion,
    names: Vec<String>,
    /// Without a default network, as `dockerd --bridge none`.
    no_bridge: bool,
    /// Without a registry that answers.
    offline: bool,
    /// Where its state comes from, and where it goes in the end.
    state_file: Option<String>,
    save_file: Option<String>,
    /// What it begins with.
    state: State,
    control: Control,
    world: Option<World>,
    lists: Cache,
    /// The jobs that are not answered at once.
    tasks: BTreeMap<JobId, Task>,
    /// Those of them that are about a container.
    watchers: BTreeMap<Serial, BTreeSet<JobId>>,
    /// Those that read events.
    listeners: BTreeSet<JobId>,
    /// When it is woken next.
    wake: Option<(Instant, Timer)>,
}

impl Simulator {
    /// Its words, as a synopsis.
    pub const USAGE: &str = "[--api-version VERSION] [--bridge none] [--offline] [--state FILE] [--save FILE] \
                             [--control] [NAME…]";
    /// What it is for.
    pub const ABOUT: &str = "a simulated Docker engine in which a container of each NAME runs";

    /// Makes one from the words behind its name: the names of the containers, and options, whose values may also stand
    /// behind an equals sign:
    ///
    /// - `--api-version 1.41`: the newest API version to offer; [`ApiVersion::MAX`] if it is not given.
    /// - `--bridge none`: no default network, as `dockerd --bridge none`. Containers that ask for no other network have none.
    /// - `--offline`: no registry can be reached, so that only images which are there can be used. Otherwise every image
    ///   can be pulled, but from registries on this machine.
    /// - `--state FILE`: what it begins with, and `--save FILE`: where its state is written to in the end. It reads no file
    ///   itself: see [`Backend::files`].
    /// - `--control`: `/_simulator/…` answers.
    ///
    /// # Errors
    ///
    /// Says what is wrong with a word: an unknown option, one without its value, a version that is not served, a bridge other
    /// than `none`, a name that Docker would not take or that is there twice, or more names than the simulated network has
    /// addresses (65,533).
    pub fn from_words(words: &[String]) -> Result<Self, String> {
        let (mut announced, mut names) = (ApiVersion::MAX, Vec::new());
        let (mut no_bridge, mut offline) = (false, false);
        let (mut state_file, mut save_file, mut control) = (None, None, Control::default());
        let mut seen = BTreeSet::new();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let (option, value) = match word.split_once('=') {
                Some((option, value)) => (option, Some(value)),
                None => (word.as_str(), None),
            };
            let mut value = |what: &str| match value.or_else(|| words.next().map(String::as_str)) {
                Some(value) if !value.is_empty() => Ok(value),
                _ => Err(format!("{option} needs {what}")),
            };
            if option == "--api-version" {
                announced = api_version(value("a version, such as 1.41")?)?;
            } else if option == "--bridge" {
                no_bridge = match value("the word none: no default network")? {
                    "none" => true,
                    other => {
                        return Err(format!(
                            "{other:?} is no bridge that can be simulated: leave --bridge out for the usual one, or say \
                             none"
                        ));
                    }
                };
            } else if option == "--state" {
                state_file = Some(value("a file, such as engine.json")?.to_string());
            } else if option == "--save" {
                save_file = Some(value("a file, such as engine.json")?.to_string());
            } else if word == "--offline" {
                offline = true;
            } else if word == "--control" {
                control.open = true;
            } else if word.starts_with('-') {
                return Err(format!("there is no option {word:?}"));
            } else if !is_name(word) {
                return Err(format!(
                    "{word:?} is no name for a container: use a letter or a digit and then at least one of \
                     letters, digits, '_', '.' and '-'"
                ));
            } else if !seen.insert(word) {
                return Err(format!("there cannot be two containers of the name {word:?}"));
            } else {
                names.push(word.clone());
            }
        }
        if names.len() > MAX_CONTAINERS {
            let given = names.len();
            return Err(format!(
                "{given} containers are more than the {MAX_CONTAINERS} that can be simulated"
            ));
        }
        // Lists show the newest first, and people expect the order in which they gave the names.
        names.reverse();
        Ok(Self {
            announced,
            names,
            no_bridge,
            offline,
            state_file,
            save_file,
            state: State::default(),
            control,
            world: None,
            lists: Cache::default(),
            tasks: BTreeMap::new(),
            watchers: BTreeMap::new(),
            listeners: BTreeSet::new(),
            wake: None,
        })
    }

    fn dialect(&self, job: &Job) -> Dialect {
        Dialect::new(job.api_version(self.announced).min(self.announced))
    }

    /// Sets the world's clocks; makes the world with the first job.
    fn tell_time(&mut self, cx: &mut Cx<'_>) {
        let (now, instant) = self.clocks(cx);
        if let Some(world) = &mut self.world {
            (world.now, world.instant) = (now, instant);
            return;
        }
        let mut world = World::new(now, instant, cx.random());
        if self.no_bridge {
            world.networks.remove_bridge();
        }
        self.state.furnish(&mut world);
        world.offline = self.offline;
        for name in &self.names {
            // The names were checked, and there are enough addresses.
            let _ = world.create_sleeping(name);
        }
        self.world = Some(world);
        self.apply_faults(cx);
    }
}

/// How many containers have an address on the bridge: a /16 without its own, the gateway's and the broadcast address.
const MAX_CONTAINERS: usize = (1 << 16) - 3;

impl Backend for Simulator {
    fn handle(&mut self, cx: &mut Cx<'_>, id: JobId, event: Event<'_>) {
        if let Event::Start(job) = &event
            && self.meet(cx, id, job)
        {
            return self.note_answers(cx);
        }
        if let Event::Start(job) = &event
            && job.name() == "ping"
        {
            cx.reply(id, "OK");
            return self.note_answers(cx);
        }
        self.tell_time(cx);
        let result = match event {
            Event::Start(job) => self.begin(cx, id, job),
            Event::Body(bytes) => match cx.job(id).cloned() {
                Some(job) => {
                    self.note_body(id, bytes);
                    self.begin_with(cx, id, &job, bytes)
                }
                None => Ok(()),
            },
            Event::Stdin(bytes) => self.input(cx, id, Some(bytes)),
            Event::StdinEnd => self.input(cx, id, None),
            Event::Writable => self.writable(cx, id),
            Event::Timer(control::LATENCY) => self.resume(cx, id),
            Event::Timer(_) => self.timer(cx, id),
            Event::Cancelled(why) => {
                self.let_go(id);
                self.cancelled(cx, id, why);
                Ok(())
            }
            Event::Child(..) => Ok(()),
        };
        if let Err(failure) = result {
            self.forget(id);
            cx.exit(id, failure);
        }
        self.settle(cx);
        self.note_answers(cx);
    }

    fn wake(&mut self, cx: &mut Cx<'_>, _token: u64) {
        self.wake = None;
        self.tell_time(cx);
        self.settle(cx);
        self.note_answers(cx);
    }

    fn files(&self) -> Vec<String> {
        self.state_file.iter().cloned().collect()
    }

    /// Takes a [state file](state); its containers and all else is there with the first job.
    fn load(&mut self, file: &str, content: &[u8]) -> Result<(), String> {
        self.state = State::read(file, content, &self.names, self.no_bridge)?;
        for fault in self.state.faults() {
            let _ = self.control.faults.add(fault.clone());
        }
        Ok(())
    }

    fn saves(&self) -> Vec<String> {
        self.save_file.iter().cloned().collect()
    }

    fn save(&mut self, cx: &mut Cx<'_>) -> Vec<(String, Vec<u8>)> {
        let Some(file) = self.save_file.clone() else { return Vec::new() };
        self.tell_time(cx);
        let faults = self.control.faults.iter().map(|(_, standing)| &standing.fault);
        let world = self.world.as_ref().expect("made just now");
        Vec::from([(file, state::save(world, faults))])
    }

    fn profile(&self) -> Option<Profile> {
        Some(Profile {
            api_version: self.announced,
            min_api_version: ApiVersion::MIN,
            server: Cow::Borrowed(Release::announcing(self.announced).server),
            os_type: Cow::Borrowed("linux"),
            experimental: false,
        })
    }
}

/// A document as the engine writes it, with a newline behind it.
fn json(document: &(impl serde::Serialize + ?Sized)) -> Result<Body, Failure> {
    match serde_json::to_vec(document) {
        Ok(mut bytes) => {
            bytes.push(b'\n');
            Ok(Body::Owned(bytes))
        }
        Err(error) => {
            Err(failures::system(format!("the answer cannot be written as JSON: {error}")))
        }
    }
}

fn api_version(text: &str) -> Result<ApiVersion, String> {
    ApiVersion::parse(text).filter(|version| version.is_served()).ok_or_else(|| {
        let (oldest, newest) = (ApiVersion::MIN, ApiVersion::MAX);
        format!("{text:?} is no API version that can be offered: use one from {oldest} to {newest}")
    })
}

/// Whether Docker takes this for a container's name: `[a-zA-Z0-9][a-zA-Z0-9_.-]+`.
fn is_name(word: &str) -> bool {
    let [first, rest @ ..] = word.as_bytes() else { return false };
    let follows = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    first.is_ascii_alphanumeric() && !rest.is_empty() && rest.iter().all(follows)
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod scenes;
#[cfg(test)]
mod tests;
