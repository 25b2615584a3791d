//! What a container runs (`ContainerConfig`): as a client wrote it, merged with what its image says.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Deserializer, Serialize};

use super::versions::Dialect;

/// A set written as Go writes one: `{"80/tcp":{}}`.
pub(super) type Set = BTreeMap<String, Empty>;

/// `{}`.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Empty {}

/// What is `None` is null in an answer where the engine writes null, and left out where the engine leaves it out.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug, Default)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Config {
    pub(super) hostname: String,
    pub(super) domainname: String,
    pub(super) user: String,
    pub(super) attach_stdin: bool,
    pub(super) attach_stdout: bool,
    pub(super) attach_stderr: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) exposed_ports: Option<Set>,
    pub(super) tty: bool,
    pub(super) open_stdin: bool,
    pub(super) stdin_once: bool,
    pub(super) env: Option<Vec<String>>,
    #[serde(deserialize_with = "words")]
    pub(super) cmd: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) healthcheck: Option<Healthcheck>,
    #[serde(skip_serializing_if = "is_false")]
    pub(super) args_escaped: bool,
    pub(super) image: String,
    pub(super) volumes: Option<Set>,
    pub(super) working_dir: String,
    #[serde(deserialize_with = "words")]
    pub(super) entrypoint: Option<Vec<String>>,
    #[serde(skip_serializing_if = "is_false")]
    pub(super) network_disabled: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) mac_address: String,
    pub(super) on_build: Option<Vec<String>>,
    pub(super) labels: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) stop_signal: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stop_timeout: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "words")]
    pub(super) shell: Option<Vec<String>>,
}

/// How the engine finds out whether a container is well. Durations are in nanoseconds.
#[derive(Serialize, Deserialize, Clone, PartialEq, Eq, Debug, Default)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Healthcheck {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) test: Option<Vec<String>>,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) interval: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) timeout: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) start_period: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) retries: i64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
pub(super) const fn is_false(flag: &bool) -> bool {
    !*flag
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// A command as old clients write it, one string, and as all others do, a list.
pub(super) fn words<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<String>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Words {
        One(String),
        Many(Vec<String>),
    }
    Ok(Option::<Words>::deserialize(from)?.map(|words| match words {
        Words::One(word) => Vec::from([word]),
        Words::Many(words) => words,
    }))
}

impl Config {
    /// Fills in what the client left to the image.
    pub(super) fn inherit(&mut self, image: &Self) {
        let or = |own: &mut String, other: &str| {
            if own.is_empty() {
                own.push_str(other);
            }
        };
        or(&mut self.user, &image.user);
        or(&mut self.working_dir, &image.working_dir);
        or(&mut self.stop_signal, &image.stop_signal);
        if let Some(ports) = &image.exposed_ports {
            self.exposed_ports
                .get_or_insert_default()
                .extend(ports.iter().map(|(port, empty)| (port.clone(), *empty)));
        }
        if let Some(inherited) = &image.env {
            let own = self.env.get_or_insert_default();
            let key = |pair: &str| String::from(pair.split('=').next().unwrap_or_default());
            for pair in inherited {
                if !own.iter().any(|set| key(set) == key(pair)) {
                    own.push(pair.clone());
                }
            }
        }
        if let Some(labels) = &image.labels {
            let own = self.labels.get_or_insert_default();
            for (key, value) in labels {
                own.entry(key.clone()).or_insert_with(|| value.clone());
            }
        }
        self.labels.get_or_insert_default();
        if self.entrypoint.as_ref().is_none_or(Vec::is_empty) {
            if self.cmd.as_ref().is_none_or(Vec::is_empty) {
                self.cmd.clone_from(&image.cmd);
            }
            if self.entrypoint.is_none() {
                self.entrypoint.clone_from(&image.entrypoint);
            }
        }
        // An entrypoint of one empty string is how a client takes the image's away.
        if self.entrypoint.as_ref().is_some_and(|words| words.len() == 1 && words[0].is_empty()) {
            self.entrypoint = None;
        }
        if self.volumes.as_ref().is_none_or(BTreeMap::is_empty) {
            self.volumes.clone_from(&image.volumes);
        } else if let (Some(own), Some(inherited)) = (&mut self.volumes, &image.volumes) {
            own.extend(inherited.iter().map(|(path, empty)| (path.clone(), *empty)));
        }
        match (&mut self.healthcheck, &image.healthcheck) {
            (own @ None, inherited) => own.clone_from(inherited),
            (Some(own), Some(inherited)) => {
                if own.test.as_ref().is_none_or(Vec::is_empty) {
                    own.test.clone_from(&inherited.test);
                }
                for (own, inherited) in [
                    (&mut own.interval, inherited.interval),
                    (&mut own.timeout, inherited.timeout),
                    (&mut own.start_period, inherited.start_period),
                    (&mut own.retries, inherited.retries),
                ] {
                    if *own == 0 {
                        *own = inherited;
                    }
                }
            }
            (Some(_), None) => {}
        }
        if self.shell.is_none() {
            self.shell.clone_from(&image.shell);
        }
        if self.stop_timeout.is_none() {
            self.stop_timeout = image.stop_timeout;
        }
    }

    /// Entrypoint and command in one list; empty if neither is given.
    pub(super) fn argv(&self) -> impl Iterator<Item = &str> + Clone {
        let both = [self.entrypoint.as_deref(), self.cmd.as_deref()];
        both.into_iter().flatten().flatten().map(String::as_str)
    }

    pub(super) fn label(&self, key: &str) -> Option<&str> {
        self.labels.as_ref()?.get(key).map(String::as_str)
    }
}

/// A container's configuration as an answer shows it.
#[derive(Serialize)]
pub(super) struct Shown<'a> {
    #[serde(flatten)]
    config: ConfigBut<'a>,
}

/// All fields but those that depend on the version or on the container's id.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ConfigBut<'a> {
    hostname: &'a str,
    domainname: &'a str,
    user: &'a str,
    attach_stdin: bool,
    attach_stdout: bool,
    attach_stderr: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    exposed_ports: Option<&'a Set>,
    tty: bool,
    open_stdin: bool,
    stdin_once: bool,
    env: &'a Option<Vec<String>>,
    cmd: &'a Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    healthcheck: Option<&'a Healthcheck>,
    image: &'a str,
    volumes: &'a Option<Set>,
    working_dir: &'a str,
    entrypoint: &'a Option<Vec<String>>,
    #[serde(skip_serializing_if = "is_false")]
    network_disabled: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    mac_address: &'a str,
    /// Until 1.51, or if there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    on_build: Option<&'a Option<Vec<String>>>,
    labels: &'a Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    stop_signal: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_timeout: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shell: Option<&'a Vec<String>>,
}

impl<'a> Shown<'a> {
    /// `hostname` is that of the container, which has one even if its client gave none.
    pub(super) fn of(config: &'a Config, hostname: &'a str, dialect: Dialect) -> Self {
        let on_build = &config.on_build;
        Self {
            config: ConfigBut {
                hostname,
                domainname: &config.domainname,
                user: &config.user,
                attach_stdin: config.attach_stdin,
                attach_stdout: config.attach_stdout,
                attach_stderr: config.attach_stderr,
                exposed_ports: config.exposed_ports.as_ref(),
                tty: config.tty,
                open_stdin: config.open_stdin,
                stdin_once: config.stdin_once,
                env: &config.env,
                cmd: &config.cmd,
                healthcheck: config.healthcheck.as_ref(),
                image: &config.image,
                volumes: &config.volumes,
                working_dir: &config.working_dir,
                entrypoint: &config.entrypoint,
                network_disabled: config.network_disabled,
                mac_address: &config.mac_address,
                on_build: (dialect.before(52) || on_build.is_some()).then_some(on_build),
                labels: &config.labels,
                stop_signal: &config.stop_signal,
                stop_timeout: config.stop_timeout,
                shell: config.shell.as_ref(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Config;
    use alloc::vec::Vec;
    use serde_json::json;

    fn config(value: serde_json::Value) -> Config {
        serde_json::from_value(value).unwrap()
    }

    fn merged(own: serde_json::Value, image: serde_json::Value) -> Config {
        let mut own = config(own);
        own.inherit(&config(image));
        own
    }

    #[test]
    fn a_command_without_an_entrypoint_keeps_the_image_s_entrypoint() {
        let image = json!({"Entrypoint": ["/init"], "Cmd": ["serve"]});
        let argv = |own| {
            let merged = merged(own, image.clone());
            merged.argv().map(alloc::string::String::from).collect::<Vec<_>>()
        };
        assert_eq!(argv(json!({})), ["/init", "serve"]);
        assert_eq!(argv(json!({"Cmd": ["ls"]})), ["/init", "ls"]);
        assert_eq!(argv(json!({"Entrypoint": ["sh"]})), ["sh"]);
        assert_eq!(argv(json!({"Entrypoint": "sh", "Cmd": "x"})), ["sh", "x"]);
        assert_eq!(argv(json!({"Entrypoint": [""], "Cmd": ["ls"]})), ["ls"]);
        assert_eq!(argv(json!({"Entrypoint": [], "Cmd": []})), ["serve"]);
    }

    #[test]
    fn environments_and_labels_are_merged_by_key() {
        let merged = merged(
            json!({"Env": ["A=own"], "Labels": {"x": "own"}}),
            json!({"Env": ["A=image", "B=image"], "Labels": {"x": "image", "y": "image"}}),
        );
        assert_eq!(merged.env.as_deref(), Some(&["A=own".into(), "B=image".into()][..]));
        assert_eq!((merged.label("x"), merged.label("y")), (Some("own"), Some("image")));
    }
}
