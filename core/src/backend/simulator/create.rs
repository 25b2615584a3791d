//! `POST /containers/create`: what is checked, in the engine's order, and what comes of it.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::body;
use super::config::Config;
use super::container::{Container, Serial};
use super::endpoint::{Asked, Endpoint};
use super::failures::{conflict, invalid};
use super::host_config::{HostConfig, RestartPolicy};
use super::images::Image;
use super::networks::parse_port;
use super::versions::Dialect;
use super::world::World;
use crate::job::Failure;

/// What a client asks for.
pub(super) struct NewContainer {
    pub(super) config: Config,
    pub(super) host: HostConfig,
    pub(super) endpoints: BTreeMap<String, Asked>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Networking {
    endpoints_config: BTreeMap<String, Asked>,
}

/// The answer.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Created<'a> {
    pub(super) id: &'a str,
    pub(super) warnings: Vec<String>,
}

impl NewContainer {
    pub(super) fn parse(bytes: &[u8], dialect: Dialect) -> Result<Self, Failure> {
        const WRAPPER: &str = "ContainerConfigWrapper";
        let mut document = body::parse(bytes, dialect)?;
        let mut take = |key: &str| match document.as_object_mut() {
            Some(fields) => fields.remove(key).unwrap_or(Value::Object(serde_json::Map::new())),
            None => Value::Object(serde_json::Map::new()),
        };
        let (host, networking) = (take("HostConfig"), take("NetworkingConfig"));
        let host: HostConfig = body::typed(host, &format!("{WRAPPER}.HostConfig"), dialect)?;
        let networking: Networking =
            body::typed(networking, &format!("{WRAPPER}.NetworkingConfig"), dialect)?;
        if document.as_object().is_some_and(serde_json::Map::is_empty) {
            let words = "Config cannot be empty in order to create a container";
            let mut words = String::from(words);
            if !dialect.is_legacy() {
                words.replace_range(..1, "c");
            }
            return Err(invalid(words));
        }
        let config = body::typed(document, WRAPPER, dialect)?;
        Ok(Self { config, host, endpoints: networking.endpoints_config })
    }
}

impl World {
    /// Creates a container; returns its place and what the client should be warned of.
    pub(super) fn create(
        &mut self,
        name: Option<&str>,
        new: NewContainer,
        dialect: Dialect,
    ) -> Result<(Serial, Vec<String>), Failure> {
        check(&new.config, &new.host, &new.endpoints, dialect)?;
        let image = Arc::clone(self.images.get_named(&new.config.image)?);
        self.create_from(&image, name, new, dialect)
    }

    /// As [`create`](World::create), of an image that is known.
    pub(super) fn create_from(
        &mut self,
        image: &Image,
        name: Option<&str>,
        new: NewContainer,
        dialect: Dialect,
    ) -> Result<(Serial, Vec<String>), Failure> {
        let NewContainer { mut config, mut host, endpoints } = new;
        config.inherit(&image.config);
        if config.argv().next().is_none() {
            let words =
                if dialect.is_legacy() { "No command specified" } else { "no command specified" };
            return Err(invalid(words));
        }
        host.complete(dialect);
        self.settle_mode(&mut host, dialect);
        let links = self.find_links(&mut host, dialect)?;
        let id = self.hex_id();
        let name = self.reserve(name, dialect)?;
        let serial = self.containers.next_serial();
        let mut endpoints = make_endpoints(&host, &config.mac_address, endpoints);
        // Clients may say a network's id, or the beginning of it.
        for endpoint in &mut endpoints {
            if let Ok(network) = self.networks.find(&endpoint.network) {
                endpoint.network = Arc::clone(&network.name);
            }
        }
        let mounts = self.make_mounts(serial, &config, &host, image, dialect)?;
        let (config, host) = self.share(config, host);
        let mut container = Container::new(serial, id, name, &image.id, config, host);
        container.created = self.now;
        (container.endpoints, container.mounts) = (endpoints, mounts);
        self.emit_container("create", &container, &[]);
        self.containers.insert(container);
        self.add_links(serial, &links);
        self.touch();
        Ok((serial, Vec::new()))
    }

    /// A container of that name that sleeps.
    pub(super) fn create_sleeping(&mut self, name: &str) -> Result<Serial, Failure> {
        self.images.need_busybox();
        let config = Config {
            image: "busybox:latest".into(),
            cmd: Some(["sleep", "infinity"].map(String::from).into()),
            ..Config::default()
        };
        let host = HostConfig {
            network_mode: "bridge".into(),
            port_bindings: Some(BTreeMap::new()),
            restart_policy: RestartPolicy { name: "no".into(), maximum_retry_count: 0 },
            ..HostConfig::default()
        };
        let new = NewContainer { config, host, endpoints: BTreeMap::new() };
        let dialect = Dialect::new(crate::docker::version::ApiVersion::MAX);
        let (serial, _) = self.create(Some(name), new, dialect)?;
        self.start(serial)?;
        Ok(serial)
    }

    /// Checks a name, or finds one.
    pub(super) fn reserve(
        &mut self,
        name: Option<&str>,
        dialect: Dialect,
    ) -> Result<Arc<str>, Failure> {
        let Some(name) = name else {
            let mut attempt = 0;
            loop {
                let name = super::names::random(&mut self.random, attempt);
                if self.containers.named(&name).is_none() {
                    return Ok(name.into());
                }
                attempt += 1;
            }
        };
        self.check_name(name, dialect)
    }

    /// A name that a client has chosen, without its slash, if it may have it.
    pub(super) fn check_name(&self, name: &str, dialect: Dialect) -> Result<Arc<str>, Failure> {
        let bare = name.strip_prefix('/').unwrap_or(name);
        if !super::is_name(bare) {
            let word = if dialect.is_legacy() { "Invalid" } else { "invalid" };
            return Err(invalid(format!(
                "{word} container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
            )));
        }
        match self.containers.named(bare) {
            Some(other) => Err(in_use(bare, &other.id)),
            None => Ok(bare.into()),
        }
    }
}

/// The name is another container's.
fn in_use(name: &str, id: &str) -> Failure {
    conflict(format!(
        "Conflict. The container name \"/{name}\" is already in use by container \"{id}\". You have to remove (or \
         rename) that container to be able to reuse that name."
    ))
}

pub(super) fn check(
    config: &Config,
    host: &HostConfig,
    endpoints: &BTreeMap<String, Asked>,
    dialect: Dialect,
) -> Result<(), Failure> {
    check_config(config)?;
    if host.memory != 0 && host.memory < 6 << 20 {
        return Err(invalid("Minimum memory limit allowed is 6MB"));
    }
    if host.memory == 0 && host.memory_swap > 0 {
        return Err(invalid(
            "You should always set the Memory limit when using Memoryswap limit, see usage",
        ));
    }
    if host.memory > 0 && host.memory_swap > 0 && host.memory_swap < host.memory {
        return Err(invalid(
            "Minimum memoryswap limit should be larger than memory limit, see usage",
        ));
    }
    check_restart_policy(host, dialect)?;
    super::links::check(config, host)?;
    let bound = host.port_bindings.iter().flatten();
    for (port, bindings) in bound {
        parse_port(port)?;
        for binding in bindings.iter().flatten() {
            let public = binding.host_port.split('-').next().unwrap_or_default();
            if !public.is_empty() && public.parse::<u16>().is_err() {
                return Err(invalid(format!(
                    "invalid port specification: \"{}\"",
                    binding.host_port
                )));
            }
        }
    }
    if !matches!(
        &*host.log_config.r#type,
        "" | "json-file" | "local" | "none" | "journald" | "syslog"
    ) {
        return Err(invalid(format!(
            "logger: no log driver named '{}' is registered",
            host.log_config.r#type
        )));
    }
    if let Some(timeout) = config.stop_timeout
        && timeout < -1
    {
        return Err(invalid(format!("invalid stop timeout: {timeout}")));
    }
    if !config.stop_signal.is_empty()
        && super::process::Signal::parse(&config.stop_signal).is_none()
    {
        return Err(invalid(format!("Invalid signal: {}", config.stop_signal)));
    }
    if endpoints.len() > 1 && dialect.before(44) {
        let names: Vec<&str> = endpoints.keys().map(String::as_str).collect();
        return Err(invalid(format!(
            "Container cannot be connected to network endpoints: {}",
            names.join(", ")
        )));
    }
    Ok(())
}

/// Whether what is to run makes sense, whatever it runs on.
fn check_config(config: &Config) -> Result<(), Failure> {
    let dir = &config.working_dir;
    if !dir.is_empty() && !dir.starts_with('/') {
        return Err(invalid(format!(
            "the working directory '{dir}' is invalid, it needs to be an absolute path"
        )));
    }
    let nameless = |pair: &&String| pair.is_empty() || pair.starts_with('=');
    if let Some(pair) = config.env.iter().flatten().find(nameless) {
        return Err(invalid(format!("invalid environment variable: {pair}")));
    }
    let Some(check) = &config.healthcheck else { return Ok(()) };
    for (name, nanos) in [
        ("Interval", check.interval),
        ("Timeout", check.timeout),
        ("StartPeriod", check.start_period),
    ] {
        if nanos != 0 && nanos < SHORTEST_CHECK {
            return Err(invalid(format!("{name} in Healthcheck cannot be less than 1ms")));
        }
    }
    if check.retries < 0 {
        return Err(invalid("Retries in Healthcheck cannot be negative"));
    }
    Ok(())
}

/// Nanoseconds below which a check of health would leave no time for anything else.
pub(super) const SHORTEST_CHECK: i64 = 1_000_000;

/// Whether a restart policy makes sense.
pub(super) fn check_restart_policy(host: &HostConfig, dialect: Dialect) -> Result<(), Failure> {
    let policy = &host.restart_policy;
    match &*policy.name {
        "always" | "unless-stopped" | "no" if policy.maximum_retry_count == 0 => {}
        "always" | "unless-stopped" | "no" => {
            return Err(invalid(if dialect.is_legacy() {
                format!("maximum retry count cannot be used with restart policy '{}'", policy.name)
            } else {
                String::from(
                    "invalid restart policy: maximum retry count can only be used with 'on-failure'",
                )
            }));
        }
        "on-failure" if policy.maximum_retry_count < 0 => {
            return Err(invalid("maximum retry count cannot be negative"));
        }
        "" | "on-failure" => {}
        other => {
            return Err(invalid(if dialect.is_legacy() {
                format!("invalid restart policy '{other}'")
            } else {
                format!(
                    "invalid restart policy: unknown policy '{other}'; use one of 'no', 'always', 'on-failure', or \
                     'unless-stopped'"
                )
            }));
        }
    }
    if host.auto_remove && !policy.is_none() {
        return Err(invalid("can't create 'AutoRemove' container with restart policy"));
    }
    Ok(())
}

/// The places on networks that a container begins with.
pub(super) fn make_endpoints(
    host: &HostConfig,
    mac_address: &str,
    mut asked: BTreeMap<String, Asked>,
) -> Vec<Endpoint> {
    let network = host.network();
    if network.starts_with("container:") {
        return Vec::new();
    }
    let mut own = asked.remove(network).or_else(|| asked.remove("default"));
    // Until 1.43 it was said once, for the container's first network.
    if !mac_address.is_empty() && own.as_ref().is_none_or(|own| own.mac_address.is_empty()) {
        own.get_or_insert_default().mac_address = mac_address.into();
    }
    let boxed = |asked: Asked| (asked != Asked::default()).then(|| Box::new(asked));
    let mut endpoints = Vec::from([Endpoint::new(network.into(), own.and_then(boxed))]);
    for (name, asked) in asked {
        endpoints.push(Endpoint::new(name.into(), boxed(asked)));
    }
    endpoints
}

#[cfg(test)]
mod tests {
    use super::super::versions::{Dialect, NEWEST};
    use super::super::world::World;
    use super::super::world::tests::{LEGACY, world};
    use super::NewContainer;
    use crate::job::FailureKind;
    use alloc::format;
    use alloc::string::{String, ToString};

    fn create(
        world: &mut World,
        name: Option<&str>,
        body: &str,
        dialect: Dialect,
    ) -> Result<String, (FailureKind, String)> {
        let created = NewContainer::parse(body.as_bytes(), dialect)
            .and_then(|new| world.create(name, new, dialect))
            .map(|(serial, _)| world.containers.get(serial).unwrap().name.to_string());
        created.map_err(|failure| (failure.kind, failure.message.into_owned()))
    }

    #[test]
    fn a_container_has_a_name_and_what_its_image_says() {
        let mut world = world(&[]);
        let name = create(&mut world, None, r#"{"Image":"busybox"}"#, LEGACY).unwrap();
        let container = world.containers.named(&name).unwrap();
        assert_eq!((container.path(), container.command().as_str()), ("sh", "sh"));
        assert_eq!(container.hostname(), container.short_id());
        assert_eq!(container.endpoints.len(), 1);
    }

    #[test]
    fn refusals_are_those_of_the_engine() {
        use FailureKind::{Conflict, InvalidParameter, NotFound, System};
        let mut world = world(&["c1"]);
        let id = world.containers.named("c1").unwrap().id.to_string();
        let conflict = format!(
            "Conflict. The container name \"/c1\" is already in use by container \"{id}\". You have to remove (or \
             rename) that container to be able to reuse that name."
        );
        for (name, body, kind, message) in [
            ("c1", r#"{"Image":"busybox"}"#, Conflict, &*conflict),
            (
                "!",
                r#"{"Image":"busybox"}"#,
                InvalidParameter,
                "Invalid container name (!), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed",
            ),
            ("c2", r#"{"Image":"nosuch/image"}"#, NotFound, "No such image: nosuch/image:latest"),
            ("c2", "{}", InvalidParameter, "Config cannot be empty in order to create a container"),
            (
                "c2",
                r#"{"Image":"busybox","HostConfig":{"Memory":-5}}"#,
                InvalidParameter,
                "Minimum memory limit allowed is 6MB",
            ),
            (
                "c2",
                r#"{"Image":"busybox","HostConfig":{"Binds":["relative/path:/x:zz"]}}"#,
                System,
                "invalid mode: zz",
            ),
            (
                "c2",
                r#"{"Image":"busybox","HostConfig":{"AutoRemove":true,"RestartPolicy":{"Name":"always"}}}"#,
                InvalidParameter,
                "can't create 'AutoRemove' container with restart policy",
            ),
            (
                "c2",
                r#"{"Image":"busybox","Env":["A=b","=x"]}"#,
                InvalidParameter,
                "invalid environment variable: =x",
            ),
            (
                "c2",
                r#"{"Image":"busybox","WorkingDir":"tmp"}"#,
                InvalidParameter,
                "the working directory 'tmp' is invalid, it needs to be an absolute path",
            ),
            (
                "c2",
                r#"{"Image":"busybox","Healthcheck":{"Test":["CMD","true"],"Interval":5}}"#,
                InvalidParameter,
                "Interval in Healthcheck cannot be less than 1ms",
            ),
            (
                "c2",
                r#"{"Image":"busybox","Healthcheck":{"Retries":-1}}"#,
                InvalidParameter,
                "Retries in Healthcheck cannot be negative",
            ),
            (
                "c2",
                r#"{"Image":"busybox","HostConfig":{"RestartPolicy":{"Name":"no","MaximumRetryCount":3}}}"#,
                InvalidParameter,
                "maximum retry count cannot be used with restart policy 'no'",
            ),
            ("c2", "{", System, "unexpected EOF"),
            ("c2", "", System, "EOF"),
        ] {
            let refused = create(&mut world, Some(name), body, LEGACY);
            assert_eq!(refused, Err((kind, message.to_string())), "{body}");
        }
        let refused = create(&mut world, Some("c2"), r#"{"HostConfig":{}}"#, NEWEST).unwrap_err();
        assert_eq!(refused.1, "config cannot be empty in order to create a container");
    }

    #[test]
    fn volumes_are_made_with_the_container() {
        let mut world = world(&[]);
        let body = r#"{"Image":"busybox","Volumes":{"/a":{}},"HostConfig":{"Binds":["data:/d:ro","/host:/h"]}}"#;
        create(&mut world, Some("c1"), body, LEGACY).unwrap();
        let mounts = &world.containers.named("c1").unwrap().mounts;
        let shown = serde_json::to_value([mounts[0].shown(), mounts[1].shown()]).unwrap();
        assert_eq!(
            shown,
            serde_json::json!([
                {"Type": "volume", "Name": "data", "Source": "/var/lib/docker/volumes/data/_data", "Destination": "/d",
                 "Driver": "local", "Mode": "ro", "RW": false, "Propagation": ""},
                {"Type": "bind", "Source": "/host", "Destination": "/h", "Mode": "", "RW": true, "Propagation": "rprivate"},
            ])
        );
        assert_eq!(mounts.len(), 3);
        assert_eq!(world.volumes.all.len(), 2);
    }
}
