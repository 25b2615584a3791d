//! Which containers a list shows: the engine's rules, in the engine's order.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::container::{Container, State};
use super::filters::{Filters, integer, invalid};
use super::pattern::Pattern;
use super::versions::Dialect;
use super::world::World;
use crate::job::{Failure, FailureKind, Job};

/// The filters that the specification lists for containers.
const KNOWN: [&str; 15] = [
    "ancestor",
    "before",
    "expose",
    "exited",
    "health",
    "id",
    "isolation",
    "is-task",
    "label",
    "name",
    "network",
    "publish",
    "since",
    "status",
    "volume",
];

/// What a client asks `GET /containers/json` for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Query {
    all: bool,
    /// At most so many; with it, those that do not run are shown too.
    limit: Option<usize>,
    pub(super) size: bool,
    filters: Filters,
}

impl Query {
    /// Reads a job's environment.
    pub(super) fn of(job: &Job, dialect: Dialect) -> Result<Self, Failure> {
        let filters = Filters::parse(&job.env("filters").unwrap_or_default(), dialect)?;
        let limit = match job.env("limit").as_deref() {
            None | Some("") => 0,
            Some(text) => integer(text, "Atoi").map_err(|words| dialect.invalid(words))?,
        };
        let limit = usize::try_from(limit).ok().filter(|limit| *limit > 0);
        Ok(Self { all: job.flag("all"), limit, size: job.flag("size"), filters })
    }

    /// Every container there is, with its size: what `docker system df` counts.
    pub(super) fn everything() -> Self {
        Self { all: true, limit: None, size: true, filters: Filters::default() }
    }

    /// The containers that it asks for, newest first.
    pub(super) fn select<'w>(
        &self,
        world: &'w World,
        dialect: Dialect,
    ) -> Result<Vec<&'w Container>, Failure> {
        let rules = Rules::check(self, world, dialect)?;
        let mut before = rules.before;
        let mut selected = Vec::new();
        for container in world.containers.iter().rev() {
            let shown =
                self.all || rules.all || self.limit.is_some() || container.state.is_running();
            if !shown || !rules.admit_identity(container) {
                continue;
            }
            if let Some(id) = before {
                before = (*container.id != *id).then_some(id);
                continue;
            }
            if rules.since == Some(&*container.id) || self.limit == Some(selected.len()) {
                break;
            }
            if rules.admit_state(container) && rules.admit_surroundings(container, world) {
                selected.push(container);
            }
        }
        Ok(selected)
    }
}

/// The filters, checked and ready to be applied.
struct Rules<'a> {
    filters: &'a Filters,
    /// A `status` asks for those that do not run, too.
    all: bool,
    names: Option<Vec<(&'a str, Option<Pattern>)>>,
    ids: Option<BTreeSet<&'a str>>,
    exit_codes: Vec<i64>,
    tasks: Option<bool>,
    before: Option<&'a str>,
    since: Option<&'a str>,
}

impl<'a> Rules<'a> {
    fn check(query: &'a Query, world: &'a World, dialect: Dialect) -> Result<Self, Failure> {
        let filters = &query.filters;
        filters.only(&KNOWN, dialect)?;
        let exit_codes = filters
            .values("exited")
            .map(|code| integer(code, "Atoi").map_err(|words| dialect.invalid(words)))
            .collect::<Result<_, _>>()?;
        for state in filters.values("status") {
            if State::named(state).is_none() {
                return Err(no_state(state, dialect));
            }
        }
        let tasks = filters.boolean("is-task", dialect)?;
        for health in filters.values("health") {
            if !["none", "starting", "healthy", "unhealthy"].contains(&health) {
                return Err(no_health(health, dialect));
            }
        }
        let before = neighbour(world, filters, "before", dialect)?;
        let since = neighbour(world, filters, "since", dialect)?;
        for key in ["publish", "expose"] {
            for value in filters.values(key) {
                ports(value).map_err(|words| {
                    dialect.invalid(format!("error while looking up for {key} {value}: {words}"))
                })?;
            }
        }
        let given = |name| filters.get(name).filter(|values| !values.is_empty());
        Ok(Self {
            filters,
            all: given("status").is_some(),
            names: given("name").map(|names| {
                names.iter().map(|name| (name.as_str(), Pattern::parse(name))).collect()
            }),
            ids: given("id")
                .map(|ids| ids.iter().filter_map(|id| with_prefix(world, id)).collect()),
            exit_codes,
            tasks,
            before,
            since,
        })
    }

    fn admit_identity(&self, container: &Container) -> bool {
        let named = self.names.as_ref().is_none_or(|names| {
            let slashed = format!("/{}", container.name);
            names.iter().any(|(name, pattern)| {
                **name == *container.name
                    || pattern.as_ref().is_some_and(|pattern| {
                        pattern.matches(&slashed) || pattern.matches(&container.name)
                    })
            })
        });
        let labelled = self.filters.values("label").all(|label| {
            let (key, value) = match label.split_once('=') {
                Some((key, value)) => (key, Some(value)),
                None => (label, None),
            };
            container
                .config
                .label(key)
                .is_some_and(|found| value.is_none_or(|wanted| wanted == found))
        });
        named
            && labelled
            && self.ids.as_ref().is_none_or(|ids| ids.contains(&*container.id))
            // None of them belongs to a task of a swarm.
            && self.tasks != Some(true)
    }

    fn admit_state(&self, container: &Container) -> bool {
        let ended = !container.state.is_running() && container.started.is_some();
        let code_fits = self.exit_codes.is_empty()
            || ended && self.exit_codes.contains(&i64::from(container.exit_code));
        code_fits
            && self.filters.allow("status", container.state.name())
            && self
                .filters
                .allow("health", container.health.as_ref().map_or("none", |health| health.status))
    }

    fn admit_surroundings(&self, container: &Container, world: &World) -> bool {
        let volume = self.filters.get("volume").is_none_or(|names| {
            names.iter().any(|name| {
                let is = |mount: &super::mounts::MountPoint| {
                    *mount.source == **name || *mount.destination == **name
                };
                container.mounts.iter().any(is)
            })
        });
        let image = self.filters.get("ancestor").is_none_or(|names| {
            names.iter().any(|name| {
                let wanted = world.images.find(name);
                wanted.is_some_and(|wanted| world.is_made_of(&container.image, &wanted.id))
            })
        });
        let network = self.filters.get("network").is_none_or(|names| {
            names.is_empty()
                || names.iter().any(|name| {
                    container.endpoints.iter().any(|endpoint| {
                        let id = world.networks.named(&endpoint.network).map(|network| &network.id);
                        *endpoint.network == **name
                            || endpoint.was_joined
                                && id.is_some_and(|id| id.starts_with(name.as_str()))
                    })
                })
        });
        let published = |key: &str| {
            self.filters.get(key).is_none_or(|wanted| {
                wanted.is_empty() || wanted.iter().any(|port| has_port(container, port, key))
            })
        };
        let ports = published("publish") && published("expose");
        volume && image && network && ports
    }
}

/// The id of the container that `before` or `since` names.
fn neighbour<'a>(
    world: &'a World,
    filters: &Filters,
    key: &str,
    dialect: Dialect,
) -> Result<Option<&'a str>, Failure> {
    let Some(wanted) = filters.last(key) else { return Ok(None) };
    if !dialect.is_legacy() {
        return world.find(wanted, dialect).map(|container| Some(&*container.id));
    }
    // The old engine knew no prefixes here.
    match world.containers.exactly(wanted) {
        Some(container) => Ok(Some(&container.id)),
        None => Err(Failure::new(FailureKind::System, format!("no such container {wanted}"))),
    }
}

/// The id that begins with `prefix`, if only one does.
fn with_prefix<'a>(world: &'a World, prefix: &'a str) -> Option<&'a str> {
    let ids = world.containers.iter().map(|container| &*container.id);
    let mut found = ids.filter(|id| !prefix.is_empty() && id.starts_with(prefix));
    let only = found.next()?;
    found.next().is_none().then_some(only)
}

fn no_state(state: &str, dialect: Dialect) -> Failure {
    if dialect.is_legacy() {
        return invalid("status", Some(state), dialect);
    }
    Failure::new(
        FailureKind::InvalidParameter,
        format!(
            "invalid value for state ({state}): must be one of created, running, paused, restarting, removing, \
             exited, dead"
        ),
    )
}

fn no_health(health: &str, dialect: Dialect) -> Failure {
    let message = if dialect.is_legacy() {
        format!("Unrecognised filter value for health: {health}")
    } else {
        format!(
            "invalid value for health ({health}): must be one of none, starting, healthy, unhealthy"
        )
    };
    Failure::new(FailureKind::InvalidParameter, message)
}

/// Whether a container has published, or at least exposed, one of the ports that a filter names.
fn has_port(container: &Container, wanted: &str, key: &str) -> bool {
    let (range, protocol) = wanted.split_once('/').unwrap_or((wanted, "tcp"));
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let (Ok(first), Ok(last)) = (first.parse::<u16>(), last.parse::<u16>()) else { return false };
    let is = |port: u16, name: &str| (first..=last).contains(&port) && name == protocol;
    let published = container
        .run
        .as_ref()
        .is_some_and(|run| run.published.iter().any(|port| is(port.private, port.protocol.name())));
    let exposed = || {
        container.config.exposed_ports.iter().flat_map(|ports| ports.keys()).any(|port| {
            super::networks::parse_port(port)
                .is_ok_and(|(port, protocol)| is(port, protocol.name()))
        })
    };
    published || key == "expose" && exposed()
}

/// Checks `80`, `80/tcp` and `80-90/udp`; what is wrong, in the words of Go.
fn ports(text: &str) -> Result<(), String> {
    let range = text.split('/').next().unwrap_or_default();
    if range.is_empty() {
        return Err("Empty string specified for ports.".into());
    }
    let number = |text: &str| match text.parse::<u16>() {
        Ok(number) if !text.starts_with('+') => Ok(number),
        _ => {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let why = if digits { "value out of range" } else { "invalid syntax" };
            Err(format!("strconv.ParseUint: parsing {text:?}: {why}"))
        }
    };
    let (start, end) = range.split_once('-').unwrap_or((range, range));
    if number(start)? > number(end)? {
        return Err(format!("Invalid range specified for the Port: {range}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::versions::{Dialect, NEWEST};
    use super::super::world::World;
    use super::super::world::tests::{LEGACY, four, nth, set_id};
    use super::Query;
    use crate::job::{FailureKind, Job};
    use alloc::format;
    use alloc::string::{String, ToString};
    use alloc::vec::Vec;

    /// The names that are listed, joined by spaces, or why none are.
    fn list(
        world: &World,
        env: &[(&str, &str)],
        dialect: Dialect,
    ) -> Result<String, (FailureKind, String)> {
        let job = env.iter().fold(Job::new("containers"), |job, (k, v)| job.with_env(*k, *v));
        let names = |query: Query| {
            let selected = query.select(world, dialect)?;
            Ok(selected.iter().map(|c| &*c.name).collect::<Vec<_>>().join(" "))
        };
        Query::of(&job, dialect)
            .and_then(names)
            .map_err(|failure| (failure.kind, failure.message.to_string()))
    }

    #[test]
    fn filters_select_as_the_engine_does() {
        let mut world = four();
        for (name, start) in [("web", "a1"), ("db", "a2"), ("cr", "b1"), ("ex", "c1")] {
            set_id(&mut world, name, start);
        }
        let web = nth(&mut world, 0);
        let mut config = (*web.config).clone();
        config.labels.get_or_insert_default().insert("tier".into(), "front".into());
        web.config = config.into();
        let image = world.images.find("busybox").unwrap().id.clone();
        let network = &world.networks.named("bridge").unwrap().id[..12];
        for (filters, all, expected) in [
            (r#"{}"#, true, "ex cr db web"),
            (r#"{}"#, false, "db web"),
            (r#"{"status":["exited"]}"#, false, "ex"),
            (r#"{"status":["created","exited"]}"#, true, "ex cr"),
            (r#"{"status":{"running":true}}"#, true, "db web"),
            (r#"{"status":[]}"#, false, "db web"),
            (r#"{"exited":["0"]}"#, true, "ex"),
            (r#"{"exited":["+0","7"]}"#, true, "ex"),
            (r#"{"exited":["1"]}"#, true, ""),
            (r#"{"exited":["0"]}"#, false, ""),
            (r#"{"health":["none"]}"#, true, "ex cr db web"),
            (r#"{"health":["starting"]}"#, true, ""),
            (r#"{"name":["w"]}"#, true, "web"),
            (r#"{"name":["^/web$"]}"#, true, "web"),
            (r#"{"name":["^web$"]}"#, true, "web"),
            (r#"{"name":["(web|db)"]}"#, true, "db web"),
            (r#"{"name":["("]}"#, true, ""),
            (r#"{"name":[""]}"#, true, "ex cr db web"),
            (r#"{"name":["WEB"]}"#, true, ""),
            (r#"{"id":["a1"]}"#, true, "web"),
            (r#"{"id":["a"]}"#, true, ""),
            (r#"{"id":["a2","b"]}"#, true, "cr db"),
            (r#"{"id":[""]}"#, true, ""),
            (r#"{"id":["a1"],"name":["db"]}"#, true, ""),
            (r#"{"before":["db"]}"#, true, "web"),
            (r#"{"before":["cr"]}"#, true, "db web"),
            (r#"{"since":["web"]}"#, true, "ex cr db"),
            (r#"{"since":["/cr"]}"#, true, "ex"),
            (r#"{"since":["web"]}"#, false, "db"),
            (r#"{"ancestor":["busybox"]}"#, true, "ex cr db web"),
            (r#"{"ancestor":["nosuch"]}"#, true, ""),
            (r#"{"ancestor":[]}"#, true, ""),
            (r#"{"label":["tier"]}"#, true, "web"),
            (r#"{"label":["tier=front"]}"#, true, "web"),
            (r#"{"label":["tier=front","other"]}"#, true, ""),
            (r#"{"label":["tier=back"]}"#, true, ""),
            (r#"{"volume":["data"]}"#, true, ""),
            (r#"{"network":["bridge"]}"#, true, "ex cr db web"),
            (r#"{"network":["bri"]}"#, true, ""),
            (r#"{"publish":["80/tcp"]}"#, true, ""),
            (r#"{"expose":["80-90"]}"#, true, ""),
            (r#"{"is-task":["true"]}"#, true, ""),
            (r#"{"is-task":["false"]}"#, true, "ex cr db web"),
            (r#"{"isolation":["anything"]}"#, true, "ex cr db web"),
        ] {
            for dialect in [LEGACY, NEWEST] {
                let env = [("filters", filters), ("all", if all { "1" } else { "0" })];
                assert_eq!(list(&world, &env, dialect).as_deref(), Ok(expected), "{filters}");
            }
        }
        for (filters, expected) in [
            (format!(r#"{{"ancestor":["{image}"]}}"#), "ex cr db web"),
            // One that was never started is on its network by name only.
            (format!(r#"{{"network":["{network}"]}}"#), "ex db web"),
        ] {
            let env = [("filters", filters.as_str()), ("all", "1")];
            assert_eq!(list(&world, &env, NEWEST).as_deref(), Ok(expected), "{filters}");
        }
    }

    #[test]
    fn limits_and_flags_read_as_in_the_engine() {
        let world = four();
        for (env, expected) in [
            (&[("limit", "1")][..], "ex"),
            (&[("limit", "2"), ("all", "0")], "ex cr"),
            (&[("limit", "9")], "ex cr db web"),
            (&[("limit", "0")], "db web"),
            (&[("limit", "-1")], "db web"),
            (&[("limit", "")], "db web"),
            (&[("all", "yes")], "ex cr db web"),
            (&[("all", "none")], "db web"),
            (&[("limit", "3"), ("filters", r#"{"name":["e"]}"#)], "ex web"),
        ] {
            assert_eq!(list(&world, env, NEWEST).as_deref(), Ok(expected), "{env:?}");
        }
    }

    #[test]
    fn refusals_are_those_of_the_engine() {
        use FailureKind::{InvalidParameter, NotFound, System};
        let world = four();
        for (filters, old, new) in [
            (
                r#"{"zz":["a"]}"#,
                (InvalidParameter, "Invalid filter 'zz'"),
                (InvalidParameter, "invalid filter 'zz'"),
            ),
            (
                r#"{"status":["bogus"]}"#,
                (InvalidParameter, "Invalid filter 'status=bogus'"),
                (
                    InvalidParameter,
                    "invalid value for state (bogus): must be one of created, running, paused, restarting, \
                     removing, exited, dead",
                ),
            ),
            (
                r#"{"health":["bogus"]}"#,
                (InvalidParameter, "Unrecognised filter value for health: bogus"),
                (
                    InvalidParameter,
                    "invalid value for health (bogus): must be one of none, starting, healthy, unhealthy",
                ),
            ),
            (
                r#"{"exited":["x"]}"#,
                (System, r#"strconv.Atoi: parsing "x": invalid syntax"#),
                (InvalidParameter, r#"strconv.Atoi: parsing "x": invalid syntax"#),
            ),
            (
                r#"{"before":["nosuch"]}"#,
                (System, "no such container nosuch"),
                (NotFound, "No such container: nosuch"),
            ),
            (
                r#"{"publish":["bogus"]}"#,
                (
                    System,
                    r#"error while looking up for publish bogus: strconv.ParseUint: parsing "bogus": invalid syntax"#,
                ),
                (
                    InvalidParameter,
                    r#"error while looking up for publish bogus: strconv.ParseUint: parsing "bogus": invalid syntax"#,
                ),
            ),
        ] {
            for (dialect, (kind, message)) in [(LEGACY, old), (NEWEST, new)] {
                let refused = list(&world, &[("filters", filters)], dialect);
                assert_eq!(refused, Err((kind, message.to_string())), "{filters}");
            }
        }
        let limit = list(&world, &[("limit", "x")], LEGACY);
        assert_eq!(
            limit,
            Err((System, r#"strconv.Atoi: parsing "x": invalid syntax"#.to_string()))
        );
    }

    #[test]
    fn ports_are_checked() {
        for good in ["80", "80/tcp", "80/xyz", "80-90/udp", "0", "80/"] {
            assert_eq!(super::ports(good), Ok(()), "{good}");
        }
        for (bad, words) in [
            ("", "Empty string specified for ports."),
            ("/tcp", "Empty string specified for ports."),
            ("99999", r#"strconv.ParseUint: parsing "99999": value out of range"#),
            ("80-", r#"strconv.ParseUint: parsing "": invalid syntax"#),
            ("+80", r#"strconv.ParseUint: parsing "+80": invalid syntax"#),
            ("90-80", "Invalid range specified for the Port: 90-80"),
        ] {
            assert_eq!(super::ports(bad).unwrap_err(), words, "{bad}");
        }
    }
}
