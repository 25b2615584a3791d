//! `GET /containers/json`: the list behind `docker ps`, kept as bytes for as long as it says the same.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;
use serde::Serialize;

use super::container::Container;
use super::endpoint::EndpointSettings;
use super::mounts::Shown as ShownMount;
use super::networks::Protocol;
use super::select::Query;
use super::versions::Dialect;
use super::world::World;
use crate::job::{Failure, FailureKind};

/// One container in a list (`ContainerSummary`).
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Summary<'a> {
    id: &'a str,
    names: [Slashed<'a>; 1],
    image: &'a str,
    #[serde(rename = "ImageID")]
    image_id: &'a str,
    command: String,
    created: u64,
    ports: Vec<Port<'a>>,
    #[serde(skip_serializing_if = "is_zero")]
    size_rw: u64,
    #[serde(skip_serializing_if = "is_zero")]
    size_root_fs: u64,
    labels: BTreeMap<&'a str, &'a str>,
    state: &'static str,
    status: String,
    host_config: HostConfig<'a>,
    network_settings: Networks<'a>,
    mounts: Vec<ShownMount<'a>>,
    /// Since 1.52.
    #[serde(skip_serializing_if = "Option::is_none")]
    health: Option<Health>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct HostConfig<'a> {
    network_mode: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Networks<'a> {
    networks: BTreeMap<&'a str, EndpointSettings<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Health {
    failing_streak: u32,
    status: &'static str,
}

/// A port of a container, and where it is published.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Port<'a> {
    #[serde(rename = "IP", skip_serializing_if = "str::is_empty")]
    ip: &'a str,
    private_port: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    public_port: Option<u16>,
    r#type: &'static str,
}

/// Where a published port listens: on all addresses of both kinds, unless one is given.
pub(super) fn listens(host_ip: &str) -> Vec<&str> {
    if host_ip.is_empty() { Vec::from(["0.0.0.0", "::"]) } else { Vec::from([host_ip]) }
}

fn port(ip: &str, private_port: u16, public_port: Option<u16>, protocol: Protocol) -> Port<'_> {
    Port { ip, private_port, public_port, r#type: protocol.name() }
}

fn ports(container: &Container) -> Vec<Port<'_>> {
    let Some(run) = &container.run else { return Vec::new() };
    let mut ports = Vec::new();
    for published in &run.published {
        for ip in listens(&published.host_ip) {
            ports.push(port(ip, published.private, Some(published.public), published.protocol));
        }
    }
    for exposed in container.config.exposed_ports.iter().flat_map(|ports| ports.keys()) {
        if let Ok((private, protocol)) = super::networks::parse_port(exposed)
            && !run
                .published
                .iter()
                .any(|port| (port.private, port.protocol) == (private, protocol))
        {
            ports.push(port("", private, None, protocol));
        }
    }
    ports
}

/// A container's name, as the API writes it.
pub(super) struct Slashed<'a>(pub(super) &'a str);

impl Serialize for Slashed<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("/{}", self.0))
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl<'a> Summary<'a> {
    /// What is shown of a container at `now`, and until when.
    pub(super) fn of(
        container: &'a Container,
        world: &'a World,
        size: bool,
        now: Duration,
        dialect: Dialect,
    ) -> (Self, Option<Duration>) {
        let (status, until) = container.status(now);
        let image = world.images.get(&container.image);
        let size_rw = if size { world.size_rw_of(container) } else { 0 };
        let health = container.health.as_ref();
        let summary = Self {
            id: &container.id,
            names: [Slashed(&container.name)],
            image: super::inspect::shown_image(container, world),
            image_id: &container.image,
            command: container.command(),
            created: container.created.as_secs(),
            ports: ports(container),
            size_rw,
            size_root_fs: if size { image.map_or(0, |image| image.size()) + size_rw } else { 0 },
            labels: container
                .config
                .labels
                .iter()
                .flatten()
                .map(|(key, value)| (key.as_str(), value.as_str()))
                .collect(),
            state: container.state.name(),
            status,
            host_config: HostConfig { network_mode: &container.host.network_mode },
            network_settings: Networks {
                networks: EndpointSettings::listed(container, world, dialect),
            },
            mounts: container.mounts.iter().map(|mount| mount.shown()).collect(),
            health: dialect.since(
                52,
                Health {
                    failing_streak: health.map_or(0, |health| health.failing_streak),
                    status: health.map_or("none", |health| health.status),
                },
            ),
        };
        (summary, until)
    }
}

/// Lists that were written lately.
#[derive(Default)]
pub(super) struct Cache {
    /// The one used last stands first.
    kept: Vec<Kept>,
}

struct Kept {
    query: Query,
    dialect: Dialect,
    revision: u64,
    /// From then on some status reads otherwise.
    until: Option<Duration>,
    body: Arc<[u8]>,
}

impl Cache {
    /// Lists of different queries that are kept at once.
    const SIZE: usize = 8;

    /// The list that `query` asks for; the same bytes as last time if nothing in them has changed.
    pub(super) fn list(
        &mut self,
        query: Query,
        world: &World,
        now: Duration,
        dialect: Dialect,
    ) -> Result<Arc<[u8]>, Failure> {
        let place =
            self.kept.iter().position(|kept| kept.dialect == dialect && kept.query == query);
        if let Some(place) = place {
            self.kept[..=place].rotate_right(1);
            let kept = &self.kept[0];
            if kept.revision == world.revision && kept.until.is_none_or(|until| now < until) {
                return Ok(Arc::clone(&kept.body));
            }
            self.kept.remove(0);
        }
        let (body, until) = write(&query, world, now, dialect)?;
        self.kept.truncate(Self::SIZE - 1);
        let kept =
            Kept { query, dialect, revision: world.revision, until, body: Arc::clone(&body) };
        self.kept.insert(0, kept);
        Ok(body)
    }
}

/// Writes a list, and says until when it holds.
fn write(
    query: &Query,
    world: &World,
    now: Duration,
    dialect: Dialect,
) -> Result<(Arc<[u8]>, Option<Duration>), Failure> {
    let mut until: Option<Duration> = None;
    let summaries: Vec<Summary<'_>> = query
        .select(world, dialect)?
        .into_iter()
        .map(|container| {
            let (summary, changes) = Summary::of(container, world, query.size, now, dialect);
            until = [until, changes].into_iter().flatten().min();
            summary
        })
        .collect();
    let mut body = serde_json::to_vec(&summaries).map_err(|error| {
        let message = alloc::format!("the list of containers cannot be written as JSON: {error}");
        Failure::new(FailureKind::System, message)
    })?;
    body.push(b'\n');
    Ok((body.into(), until))
}

#[cfg(test)]
mod tests {
    use super::super::versions::{Dialect, NEWEST};
    use super::super::world::tests::{LEGACY, START, four, nth, world};
    use super::{Cache, Query, World};
    use crate::docker::version::ApiVersion;
    use crate::job::Job;
    use alloc::sync::Arc;
    use alloc::vec::Vec;
    use core::time::Duration;
    use serde_json::{Value, json};

    fn at(seconds: u64) -> Duration {
        START + Duration::from_secs(seconds)
    }

    fn query(env: &[(&str, &str)]) -> Query {
        let job = env.iter().fold(Job::new("containers"), |job, (k, v)| job.with_env(*k, *v));
        Query::of(&job, NEWEST).unwrap()
    }

    fn listed(world: &World, env: &[(&str, &str)], dialect: Dialect) -> Vec<Value> {
        let body = Cache::default().list(query(env), world, at(5), dialect).unwrap();
        serde_json::from_slice(&body).unwrap()
    }

    #[test]
    fn an_entry_is_what_dockerd_20_10_sends() {
        let mut world = world(&["web"]);
        world.networks.all[0].id = "e0b8".into();
        let container = nth(&mut world, 0);
        container.id = "edef".into();
        container.endpoints[0].joined.as_mut().unwrap().id = "c144".into();
        let expected = json!([{
            "Id": "edef", "Names": ["/web"], "Image": "busybox:latest",
            "ImageID": "sha256:7f619c1ecd95bdb701f17ea69f6946ba214484cb76a702b5d79b85d28465672c",
            "Command": "sleep infinity", "Created": START.as_secs(), "Ports": [], "Labels": {},
            "State": "running", "Status": "Up 5 seconds",
            "HostConfig": {"NetworkMode": "bridge"},
            "NetworkSettings": {"Networks": {"bridge": {
                "IPAMConfig": null, "Links": null, "Aliases": null,
                "NetworkID": "e0b8", "EndpointID": "c144", "Gateway": "172.17.0.1",
                "IPAddress": "172.17.0.2", "IPPrefixLen": 16, "IPv6Gateway": "",
                "GlobalIPv6Address": "", "GlobalIPv6PrefixLen": 0,
                "MacAddress": "02:42:ac:11:00:02", "DriverOpts": null,
            }}},
            "Mounts": [],
        }]);
        assert_eq!(Value::Array(listed(&world, &[], LEGACY)), expected);
    }

    #[test]
    fn new_versions_add_fields() {
        let world = world(&["web"]);
        let entry = |minor| listed(&world, &[], Dialect::new(ApiVersion::new(1, minor))).remove(0);
        let endpoint = |minor| entry(minor)["NetworkSettings"]["Networks"]["bridge"].clone();
        assert_eq!(entry(51).get("Health"), None);
        assert_eq!(entry(52)["Health"], json!({"FailingStreak": 0, "Status": "none"}));
        assert_eq!(
            (endpoint(43).get("DNSNames"), endpoint(44).get("DNSNames")),
            (None, Some(&Value::Null))
        );
        assert_eq!(
            (endpoint(47).get("GwPriority"), endpoint(48).get("GwPriority")),
            (None, Some(&json!(0)))
        );
    }

    #[test]
    fn one_that_does_not_run_has_no_address() {
        let listed = listed(&four(), &[("all", "1")], NEWEST);
        let bridge = |nth: usize| &listed[nth]["NetworkSettings"]["Networks"]["bridge"];
        assert_eq!(listed[0]["Names"], json!(["/ex"]));
        for key in ["EndpointID", "Gateway", "IPAddress", "MacAddress"] {
            assert_eq!((&bridge(0)[key], &bridge(1)[key]), (&json!(""), &json!("")), "{key}");
        }
        assert_eq!(
            bridge(1)["NetworkID"],
            json!(""),
            "one that was never started is on no network"
        );
        assert_eq!(bridge(0)["NetworkID"], bridge(2)["NetworkID"]);
    }

    #[test]
    fn sizes_come_when_asked_for() {
        let mut world = world(&["web"]);
        assert_eq!(listed(&world, &[], NEWEST)[0].get("SizeRootFs"), None);
        let sized = listed(&world, &[("size", "1")], NEWEST).remove(0);
        assert_eq!((sized.get("SizeRw"), &sized["SizeRootFs"]), (None, &json!(4_276_840)));
        let serial = nth(&mut world, 0).serial;
        let mounts = world.mounts_of(serial).unwrap();
        let mut view = crate::backend::simulator::files::View::new(&mut world.store, &mounts, 0);
        view.write("/", "/ten", b"0123456789").unwrap();
        let sized = listed(&world, &[("size", "1")], NEWEST).remove(0);
        assert_eq!((&sized["SizeRw"], &sized["SizeRootFs"]), (&json!(10), &json!(4_276_850)));
    }

    #[test]
    fn the_same_list_is_written_once() {
        let (mut cache, mut world) = (Cache::default(), world(&["web", "db"]));
        let mut list = |world: &World, env: &[(&str, &str)], now, dialect| {
            cache.list(query(env), world, now, dialect).unwrap()
        };
        let first = list(&world, &[], at(1), NEWEST);
        let later = at(2) - Duration::from_nanos(1);
        assert!(Arc::ptr_eq(&first, &list(&world, &[("all", "0")], later, NEWEST)));
        assert!(!Arc::ptr_eq(&first, &list(&world, &[("all", "1")], at(1), NEWEST)));
        assert!(!Arc::ptr_eq(&first, &list(&world, &[], at(1), LEGACY)));
        let second = list(&world, &[], at(2), NEWEST);
        assert!(alloc::string::String::from_utf8_lossy(&second).contains("Up 2 seconds"));
        let minutes = list(&world, &[], at(120), NEWEST);
        assert!(Arc::ptr_eq(&minutes, &list(&world, &[], at(179), NEWEST)));
        world.revision += 1;
        assert!(!Arc::ptr_eq(&minutes, &list(&world, &[], at(179), NEWEST)));
    }

    #[test]
    fn lists_of_what_stands_still_hold_for_ever() {
        let (mut cache, world) = (Cache::default(), four());
        let mut created = |now| {
            let query = query(&[("filters", r#"{"status":["created"]}"#)]);
            cache.list(query, &world, now, NEWEST).unwrap()
        };
        assert!(Arc::ptr_eq(&created(at(0)), &created(Duration::MAX)));
    }

    #[test]
    fn few_lists_are_kept() {
        let (mut cache, world) = (Cache::default(), world(&["web"]));
        let mut list = |limit: usize| {
            let limit = alloc::format!("{limit}");
            cache.list(query(&[("limit", &limit)]), &world, at(1), NEWEST).unwrap()
        };
        let first = list(1);
        for limit in 2..=Cache::SIZE {
            list(limit);
        }
        assert!(Arc::ptr_eq(&first, &list(1)), "all fit, and this one is now the latest");
        list(Cache::SIZE + 1);
        assert!(Arc::ptr_eq(&first, &list(1)), "the oldest went");
        for limit in 20..20 + Cache::SIZE {
            list(limit);
        }
        assert!(!Arc::ptr_eq(&first, &list(1)));
        assert!(cache.kept.len() <= Cache::SIZE);
    }
}
