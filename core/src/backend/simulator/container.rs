//! One simulated container.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use super::clock::human;
use super::config::Config;
use super::endpoint::Endpoint;
use super::files::TreeId;
use super::host_config::HostConfig;
use super::logs::Log;
use super::mounts::MountPoint;
use super::run::Run;

/// A container's place in the order of creation.
pub(super) type Serial = u64;

/// A container, as the engine keeps it; what clients see is made from this. There may be a million of them, so what most
/// of them do not have is behind a pointer, and what many have alike is shared.
pub(super) struct Container {
    pub(super) serial: Serial,
    /// 64 lowercase hexadecimal digits.
    pub(super) id: Arc<str>,
    /// Without the slash that the API puts before it.
    pub(super) name: Arc<str>,
    /// Since the Unix epoch, as all times here.
    pub(super) created: Duration,
    /// The id of its image.
    pub(super) image: Arc<str>,
    pub(super) config: Arc<Config>,
    pub(super) host: Arc<HostConfig>,
    pub(super) state: State,
    pub(super) pid: u32,
    pub(super) exit_code: i32,
    pub(super) oom_killed: bool,
    /// A client has stopped or killed it, so that its restart policy rests.
    pub(super) stopped_by_hand: bool,
    pub(super) restarts: u32,
    /// Why it could not be started.
    pub(super) error: Option<Box<str>>,
    pub(super) started: Option<Duration>,
    pub(super) finished: Option<Duration>,
    /// Its network namespace, since it was first started.
    pub(super) sandbox: Option<Box<str>>,
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) mounts: Vec<MountPoint>,
    /// Its file system; `None` for as long as it is that of its image.
    pub(super) tree: Option<TreeId>,
    pub(super) log: Option<Box<Log>>,
    /// Its processes, while it runs.
    pub(super) run: Option<Box<Run>>,
    pub(super) execs: Vec<Arc<str>>,
    pub(super) health: Option<Box<Health>>,
}

/// What the checks of a container's health have found.
#[derive(Clone, Debug)]
pub(super) struct Health {
    pub(super) status: &'static str,
    pub(super) failing_streak: u32,
    /// The last five.
    pub(super) log: Vec<Probe>,
}

/// One check of a container's health.
#[derive(Clone, Debug)]
pub(super) struct Probe {
    pub(super) start: Duration,
    pub(super) end: Duration,
    pub(super) exit_code: i32,
    pub(super) output: String,
}

/// What a container does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    Created,
    Running,
    Paused,
    Restarting,
    Removing,
    Exited,
    Dead,
}

impl State {
    /// The state that the API calls `name`.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "created" => Self::Created,
            "running" => Self::Running,
            "paused" => Self::Paused,
            "restarting" => Self::Restarting,
            "removing" => Self::Removing,
            "exited" => Self::Exited,
            "dead" => Self::Dead,
            _ => return None,
        })
    }

    /// What the API calls it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Removing => "removing",
            Self::Exited => "exited",
            Self::Dead => "dead",
        }
    }

    /// Whether its process exists: a paused or restarting container counts as running.
    pub(super) const fn is_running(self) -> bool {
        matches!(self, Self::Running | Self::Paused | Self::Restarting)
    }
}

impl Container {
    /// One that has never been started, without networks and mounts.
    pub(super) fn new(
        serial: Serial,
        id: Arc<str>,
        name: Arc<str>,
        image: &Arc<str>,
        config: Arc<Config>,
        host: Arc<HostConfig>,
    ) -> Self {
        Self {
            serial,
            id,
            name,
            created: Duration::ZERO,
            image: Arc::clone(image),
            config,
            host,
            state: State::Created,
            pid: 0,
            exit_code: 0,
            oom_killed: false,
            stopped_by_hand: false,
            restarts: 0,
            error: None,
            started: None,
            finished: None,
            sandbox: None,
            endpoints: Vec::new(),
            mounts: Vec::new(),
            tree: None,
            log: None,
            run: None,
            execs: Vec::new(),
            health: None,
        }
    }

    /// The first twelve digits of its id.
    pub(super) fn short_id(&self) -> &str {
        &self.id[..12]
    }

    /// What its processes call the machine.
    pub(super) fn hostname(&self) -> &str {
        match &*self.config.hostname {
            "" if self.host.network() == "host" => super::info::HOSTNAME,
            "" => self.short_id(),
            name => name,
        }
    }

    /// What it was made with, and the name that it got.
    pub(super) fn own_config(&self) -> Config {
        Config { hostname: self.hostname().into(), ..(*self.config).clone() }
    }

    /// Its program.
    pub(super) fn path(&self) -> &str {
        self.config.argv().next().unwrap_or_default()
    }

    /// Its program's arguments.
    pub(super) fn args(&self) -> Vec<&str> {
        self.config.argv().skip(1).collect()
    }

    /// What `docker ps` shows as STATUS at `now`, and when that changes by itself.
    pub(super) fn status(&self, now: Duration) -> (String, Option<Duration>) {
        let since = |moment: Option<Duration>| {
            let from = moment.unwrap_or(self.created);
            let (words, until) = human(now.saturating_sub(from));
            (words, Some(from.saturating_add(until)))
        };
        let code = self.exit_code;
        match self.state {
            State::Created => (String::from("Created"), None),
            State::Removing => (String::from("Removal In Progress"), None),
            State::Dead => (String::from("Dead"), None),
            State::Running => {
                let (words, until) = since(self.started);
                let health = match self.health.as_ref().map(|health| health.status) {
                    Some("starting") => " (health: starting)",
                    Some("healthy") => " (healthy)",
                    Some("unhealthy") => " (unhealthy)",
                    _ => "",
                };
                (format!("Up {words}{health}"), until)
            }
            State::Paused => {
                let (words, until) = since(self.started);
                (format!("Up {words} (Paused)"), until)
            }
            State::Restarting => {
                let (words, until) = since(self.finished);
                (format!("Restarting ({code}) {words} ago"), until)
            }
            State::Exited => {
                let (words, until) = since(self.finished);
                (format!("Exited ({code}) {words} ago"), until)
            }
        }
    }

    /// Its program and arguments in one line; an argument with a space is quoted.
    pub(super) fn command(&self) -> String {
        let mut line = String::from(self.path());
        for arg in self.config.argv().skip(1) {
            line.push(' ');
            if arg.contains(' ') {
                line.push_str(&format!("'{arg}'"));
            } else {
                line.push_str(arg);
            }
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::State;
    use crate::backend::simulator::world::tests::{nth, world};
    use core::time::Duration;

    #[test]
    fn statuses_read_as_in_ps() {
        let mut world = world(&["web"]);
        let container = nth(&mut world, 0);
        let start = container.created;
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(
            container.status(at(5)),
            ("Up 5 seconds".into(), Some(at(6))),
            "it changes with the next second"
        );
        container.state = State::Paused;
        assert_eq!(container.status(at(240)).0, "Up 4 minutes (Paused)");
        container.finished = Some(at(60));
        container.exit_code = 137;
        for (state, status) in [
            (State::Created, "Created"),
            (State::Restarting, "Restarting (137) 3 seconds ago"),
            (State::Removing, "Removal In Progress"),
            (State::Exited, "Exited (137) 3 seconds ago"),
            (State::Dead, "Dead"),
        ] {
            container.state = state;
            assert_eq!(container.status(at(63)).0, status);
            assert_eq!(State::named(state.name()), Some(state));
        }
        assert_eq!(State::named("Running"), None);
    }

    #[test]
    fn a_clock_that_lags_shows_no_negative_time() {
        let mut world = world(&["web"]);
        assert_eq!(nth(&mut world, 0).status(Duration::ZERO).0, "Up Less than a second");
    }

    #[test]
    fn arguments_with_spaces_are_quoted() {
        let mut world = world(&["web"]);
        let container = nth(&mut world, 0);
        let mut config = (*container.config).clone();
        config.cmd = Some(["sh".into(), "-c".into(), "echo hi".into()].into());
        container.config = config.clone().into();
        assert_eq!(container.command(), "sh -c 'echo hi'");
        config.cmd = Some(["sh".into()].into());
        container.config = config.into();
        assert_eq!(container.command(), "sh");
    }
}
