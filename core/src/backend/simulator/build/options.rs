//! What a client asks of a build: the query of `POST /build`.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::context;
use super::text::quoted;
use crate::backend::simulator::failures::{invalid, system};
use crate::backend::simulator::filters::{integer, not_json};
use crate::backend::simulator::host_config::HostConfig;
use crate::backend::simulator::reference::Reference;
use crate::backend::simulator::registry;
use crate::backend::simulator::versions::Dialect;
use crate::job::{Failure, Job};

/// All that counts of a query.
pub(in crate::backend::simulator) struct Options {
    pub(super) dockerfile: String,
    /// `name:tag`.
    pub(super) tags: Vec<String>,
    pub(super) args: BTreeMap<String, Option<String>>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) target: String,
    pub(super) quiet: bool,
    pub(super) no_cache: bool,
    /// The images that the cache is made of; none for all that are there.
    pub(super) cache_from: Vec<String>,
    /// Bases are pulled even if they are there.
    pub(super) pull: bool,
    /// Containers are removed when their step is done, or in any case.
    pub(super) remove: bool,
    pub(super) force_remove: bool,
    /// What containers are created with.
    pub(super) host: HostConfig,
    pub(super) dialect: Dialect,
}

impl Options {
    /// Reads a query.
    ///
    /// # Errors
    ///
    /// In dockerd's words: a value that cannot be read, or what only another builder can do.
    pub(in crate::backend::simulator) fn of(job: &Job, dialect: Dialect) -> Result<Self, Failure> {
        let text = |key: &str| job.env(key).unwrap_or_default().into_owned();
        let flag = |key: &str| job.flag(key);
        match &*text("version") {
            "" | "1" => {}
            "2" => {
                return Err(invalid(
                    "BuildKit is not simulated: set DOCKER_BUILDKIT=0, so that the classic builder is used",
                ));
            }
            other => return Err(system(format!("invalid version {}", quoted(other)))),
        }
        if flag("squash") {
            return Err(invalid("squash is only supported with experimental mode"));
        }
        let isolation = text("isolation");
        if !matches!(&*isolation, "" | "default") {
            return Err(invalid(format!("Unsupported isolation: {}", quoted(&isolation))));
        }
        check_platform(&text("platform")).map_err(invalid)?;
        let shm_size = match &*text("shmsize") {
            "" => 0,
            text => integer(text, "ParseInt").map_err(system)?,
        };
        let args: Option<_> = read(&text("buildargs"), "error reading build args: ", invalid)?;
        let labels: Option<_> = read(&text("labels"), "error reading labels: ", invalid)?;
        read::<Value>(&text("ulimits"), "error reading ulimit settings: ", invalid)?;
        let cache_from: Option<Vec<String>> = read(&text("cachefrom"), "", system)?;
        read::<Value>(&text("outputs"), "", system)?;
        let mut tags = Vec::new();
        for (_, name) in job.envs().filter(|(key, name)| key == "t" && !name.is_empty()) {
            let reference = Reference::parse(&name).map_err(system)?;
            if reference.digest.is_some() {
                return Err(system("build tag cannot contain a digest"));
            }
            let name = reference.tagged();
            if !tags.contains(&name) {
                tags.push(name);
            }
        }
        check_remote(&text("remote"))?;
        let hosts = job.envs().filter(|(key, host)| key == "extrahosts" && !host.is_empty());
        let hosts: Vec<String> = hosts.map(|(_, host)| host.into_owned()).collect();
        let force_remove = flag("forcerm");
        Ok(Self {
            dockerfile: match text("dockerfile") {
                name if name.is_empty() => context::DEFAULT.into(),
                name => name,
            },
            tags,
            args: args.unwrap_or_default(),
            labels: labels.unwrap_or_default(),
            target: text("target"),
            quiet: flag("q"),
            no_cache: flag("nocache"),
            cache_from: cache_from.unwrap_or_default(),
            pull: flag("pull"),
            remove: force_remove || text("rm").is_empty() || flag("rm"),
            force_remove,
            host: HostConfig {
                network_mode: text("networkmode"),
                shm_size,
                extra_hosts: (!hosts.is_empty()).then_some(hosts),
                ..HostConfig::default()
            },
            dialect,
        })
    }
}

/// A value that is written as JSON; `None` for an empty one.
fn read<T: DeserializeOwned>(
    text: &str,
    before: &str,
    kind: fn(String) -> Failure,
) -> Result<Option<T>, Failure> {
    if text.is_empty() {
        return Ok(None);
    }
    serde_json::from_str(text).map_err(|error| kind(format!("{before}{}", not_json(text, &error))))
}

/// Contexts come with the request: there is no network to get them from.
fn check_remote(remote: &str) -> Result<(), Failure> {
    if remote.is_empty() {
        return Ok(());
    }
    let is_git = ["git://", "github.com/", "git@"].iter().any(|start| remote.starts_with(start))
        || remote.contains(".git");
    Err(match remote {
        "client-session" => invalid(
            "experimental session with v1 builder is no longer supported, use builder version v2 (BuildKit) instead",
        ),
        _ if is_git => {
            system(format!("error fetching: {remote}: the simulated engine is on no network"))
        }
        _ if remote.starts_with("http://") || remote.starts_with("https://") => {
            let why = registry::download(remote).message;
            system(format!("error downloading remote context {remote}: {why}"))
        }
        _ => system(format!("remoteURL ({remote}) could not be recognized as URL")),
    })
}

/// Whether a platform can be one: `os/architecture/variant`. Which one it is does not count, as with dockerd.
pub(super) fn check_platform(platform: &str) -> Result<(), String> {
    let is_part = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
    };
    let parts: Vec<&str> = platform.split('/').collect();
    match platform.is_empty() || parts.len() <= 3 && parts.into_iter().all(is_part) {
        true => Ok(()),
        false => {
            let platform = quoted(platform);
            Err(format!("{platform}: cannot parse platform specifier: invalid argument"))
        }
    }
}
