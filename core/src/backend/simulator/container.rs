//! One simulated container.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::Ipv4Addr;
use core::time::Duration;

use super::clock::human;

/// A container, as the engine keeps it; what clients see is made from this.
pub(super) struct Container {
    /// 64 lowercase hexadecimal digits.
    pub(super) id: String,
    /// Without the slash that the API puts before it.
    pub(super) name: String,
    /// What it runs and that program's arguments.
    pub(super) path: String,
    pub(super) args: Vec<String>,
    pub(super) labels: BTreeMap<String, String>,
    /// Since the Unix epoch, as all times here.
    pub(super) created: Duration,
    pub(super) state: State,
    pub(super) pid: u32,
    pub(super) exit_code: i32,
    pub(super) started: Option<Duration>,
    pub(super) finished: Option<Duration>,
    /// Bytes in its writable layer.
    pub(super) size_rw: u64,
    pub(super) endpoint: Endpoint,
}

/// How a container is attached to its network.
pub(super) struct Endpoint {
    pub(super) id: String,
    pub(super) sandbox: String,
    pub(super) address: Ipv4Addr,
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
                (format!("Up {words}"), until)
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
        let mut line = self.path.clone();
        for arg in &self.args {
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

impl Endpoint {
    /// The engine derives it from the address.
    pub(super) fn mac(&self) -> String {
        let [a, b, c, d] = self.address.octets();
        format!("02:42:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::State;
    use crate::backend::simulator::world::tests::world;
    use core::time::Duration;

    #[test]
    fn statuses_read_as_in_ps() {
        let mut world = world(&["web"]);
        let container = &mut world.containers[0];
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
        let world = world(&["web"]);
        assert_eq!(world.containers[0].status(Duration::ZERO).0, "Up Less than a second");
    }

    #[test]
    fn arguments_with_spaces_are_quoted() {
        let mut world = world(&["web"]);
        let container = &mut world.containers[0];
        container.path = "sh".into();
        container.args = ["-c".into(), "echo hi".into()].into();
        assert_eq!(container.command(), "sh -c 'echo hi'");
        container.args.clear();
        assert_eq!(container.command(), "sh");
    }
}
