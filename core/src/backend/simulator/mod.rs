//! A Docker engine that runs nothing: containers that look real, for trying out clients and tools.
//!
//! `world` is its state and `container` one container in it; `select` decides which a client means. The other rooms each
//! write one answer. What changed between API versions stands in `versions` and with the fields themselves.

mod absent;
mod clock;
mod container;
mod df;
mod events;
pub mod files;
mod filters;
mod host_config;
mod info;
mod inspect;
mod list;
mod network;
mod pattern;
pub mod process;
mod select;
mod version;
mod versions;
mod world;

use alloc::borrow::Cow;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use self::df::DiskUsage;
use self::events::End;
use self::info::Info;
use self::inspect::Inspected;
use self::list::Cache;
use self::select::Query;
use self::version::Version;
use self::versions::{Dialect, Release};
use self::world::World;
use crate::docker::Profile;
use crate::docker::version::ApiVersion;
use crate::id::JobId;
use crate::job::{Backend, Cx, Event, Failure, Job, Status, Stdio};

/// A backend that answers as a Docker engine with some running containers does.
///
/// It handles `ping`, `version`, `info`, `containers`, `container_inspect`, `events` and `system_df`, and passes on all
/// else. Requests of API 1.41 and older are answered as dockerd 20.10.24 answers them, newer ones as their specification
/// says. Ids are drawn from the node's seed with the first job; that is when the containers were started, too.
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
    world: Option<World>,
    lists: Cache,
    /// Clients that read events.
    listeners: BTreeSet<JobId>,
}

impl Simulator {
    /// Its words, as a synopsis.
    pub const USAGE: &str = "[--api-version VERSION] [NAME…]";
    /// What it is for.
    pub const ABOUT: &str = "a simulated Docker engine in which a container of each NAME runs";

    /// Makes one from the words behind its name: the names of the containers, and the newest API version to offer
    /// (`--api-version 1.41` or `--api-version=1.41`; [`ApiVersion::MAX`] if it is not given).
    ///
    /// # Errors
    ///
    /// Says what is wrong with a word: an unknown option, a version that is not served, a name that Docker would not take
    /// or that is there twice, or more names than the simulated network has addresses (65,533).
    pub fn from_words(words: &[String]) -> Result<Self, String> {
        let (mut announced, mut names) = (ApiVersion::MAX, Vec::new());
        let mut seen = BTreeSet::new();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if let Some(option) = word.strip_prefix("--api-version") {
                let version = match option.strip_prefix('=') {
                    Some(version) => version,
                    None if option.is_empty() => {
                        words.next().ok_or("--api-version needs a version, such as 1.41")?
                    }
                    None => return Err(format!("there is no option {word:?}")),
                };
                announced = api_version(version)?;
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
        if names.len() > world::MAX_CONTAINERS {
            let (given, most) = (names.len(), world::MAX_CONTAINERS);
            return Err(format!(
                "{given} containers are more than the {most} that can be simulated"
            ));
        }
        let (world, lists, listeners) = (None, Cache::default(), BTreeSet::new());
        // Lists show the newest first, and people expect the order in which they gave the names.
        names.reverse();
        Ok(Self { announced, names, world, lists, listeners })
    }

    /// Answers a job that is answered at once.
    fn answer(&mut self, cx: &mut Cx<'_>, id: JobId, job: &Job) -> Result<(), Failure> {
        let dialect = Dialect::new(job.api_version(self.announced).min(self.announced));
        let now = cx.unix_time();
        let world = self.world.get_or_insert_with(|| world::create(cx, &self.names));
        match job.name() {
            "containers" => {
                let query = Query::of(job, dialect)?;
                cx.reply(id, self.lists.list(query, world, now, dialect)?);
            }
            "container_inspect" => {
                let wanted = job.arg(0).unwrap_or_default();
                let container = world.find(&wanted, dialect)?;
                let size = job.flag("size");
                cx.reply_json(id, &Inspected::of(container, world, size, dialect));
            }
            "version" => cx.reply_json(id, &Version::of(self.announced)),
            "info" => {
                let listeners = self.listeners.len();
                cx.reply_json(id, &Info::of(world, self.announced, listeners, now, dialect));
            }
            "system_df" => cx.reply_json(id, &DiskUsage::of(job, world, now, dialect)?),
            "events" => match events::end(job, now, dialect)? {
                End::Now => {
                    cx.begin(id, Stdio::Raw);
                    cx.exit(id, Status::Ok);
                }
                End::Never => self.listen(cx, id),
                End::After(left) => {
                    self.listen(cx, id);
                    cx.timer(id, cx.now() + left, 0);
                }
            },
            _ => match absent::failure(job, world) {
                Some(failure) => return Err(failure),
                None => cx.pass(id),
            },
        }
        Ok(())
    }

    fn listen(&mut self, cx: &mut Cx<'_>, id: JobId) {
        cx.begin(id, Stdio::Raw);
        self.listeners.insert(id);
    }
}

impl Backend for Simulator {
    fn handle(&mut self, cx: &mut Cx<'_>, id: JobId, event: Event<'_>) {
        match event {
            Event::Start(job) if job.name() == "ping" => cx.reply(id, "OK"),
            Event::Start(job) => {
                if let Err(failure) = self.answer(cx, id, job) {
                    cx.exit(id, failure);
                }
            }
            Event::Timer(_) | Event::Cancelled(_) => {
                self.listeners.remove(&id);
                cx.exit(id, Status::Ok);
            }
            _ => {}
        }
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
mod tests;
