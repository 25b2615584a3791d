//! `POST /commit`: an image made of a container.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use serde_json::{Value, json};

use super::body;
use super::config::{Config, Empty, Healthcheck};
use super::container::{Container, Serial, State};
use super::failures::invalid;
use super::files::Tree;
use super::images::{History, Image, Layer};
use super::reference::Reference;
use super::transfer;
use super::versions::Dialect;
use super::world::World;
use crate::job::{Body, Failure, FailureKind, Job};

pub(super) fn answer(
    world: &mut World,
    name: &str,
    job: &Job,
    body: &[u8],
    dialect: Dialect,
) -> Result<Option<Body>, Failure> {
    if name != "commit" {
        return Ok(None);
    }
    let text = |key| job.env(key).unwrap_or_default().into_owned();
    let container = world.find(&text("container"), dialect)?;
    let serial = container.serial;
    if matches!(container.state, State::Removing | State::Dead) {
        let words = format!("You cannot commit container {} which is being removed", container.id);
        return Err(Failure::new(FailureKind::Conflict, words));
    }
    let reference = match &*text("repo") {
        "" => None,
        repo => Some(Reference::parse(repo).map_err(invalid)?),
    };
    // Who sends no configuration means the container's, with what is only its own.
    let given = match body {
        b"" => Value::Null,
        _ => body::parse(body, dialect)?,
    };
    let mut config: Config = match &given {
        Value::Null => container.own_config(),
        Value::Object(fields) if fields.is_empty() => container.own_config(),
        _ => body::typed(given, "ContainerConfigWrapper", dialect)?,
    };
    let changes: Vec<String> = job
        .envs()
        .filter(|(key, _)| key == "changes")
        .map(|(_, value)| value.into_owned())
        .collect();
    for change in changes.iter().flat_map(|change| change.lines()) {
        apply(change, &mut config)?;
    }
    let id = world.commit(serial, config, &text("author"), &text("comment"));
    if let Some(mut reference) = reference {
        let tag = text("tag");
        if !tag.is_empty() {
            reference.tag = Some(tag);
        }
        let (name, now) = (reference.tagged(), world.now);
        world.images.tag(&name, &id, now);
        world.emit("image", "tag", &id, &[("name", &name)]);
    }
    world.emit_of("commit", serial, &[("comment", &text("comment")), ("imageID", &id)]);
    Ok(Some(super::json(&json!({"Id": id}))?))
}

impl World {
    /// A container's files as an image takes them, if it was ever given any.
    pub(super) fn taken_tree(&self, container: &Container) -> Option<Tree> {
        let tree = self.store.get(container.tree?)?;
        let image = self.images.get(&container.image);
        let image = image.map_or_else(Tree::new, |image| image.tree.clone());
        let base = self.images.root(&container.image);
        Some(tree.without_init_layer(&base.unwrap_or_else(|| image.with_init_layer(0)), &image))
    }

    /// Makes an image of a container; `config` is what it changes of the container's.
    pub(super) fn commit(
        &mut self,
        serial: Serial,
        mut config: Config,
        author: &str,
        comment: &str,
    ) -> Arc<str> {
        let Some(container) = self.containers.get(serial) else { return "".into() };
        let own = &container.config;
        config.inherit(&Config {
            // The image is for other containers than this one.
            hostname: String::new(),
            image: String::new(),
            ..(**own).clone()
        });
        let parent_id = Arc::clone(&container.image);
        let parent = self.images.get(&parent_id).cloned();
        let tree = self.taken_tree(container);
        let tree = tree.or_else(|| parent.as_ref().map(|parent| parent.tree.clone()));
        let tree = tree.unwrap_or_default();
        let size = self.size_rw_of(container);
        let changed = parent.as_ref().is_none_or(|parent| !parent.tree.is_same(&tree));
        let mut layers = parent.as_ref().map(|parent| parent.layers.clone()).unwrap_or_default();
        if changed {
            let archive = transfer::layer_tar(parent.as_ref().map(|parent| &parent.tree), &tree);
            layers.push(Layer { digest: transfer::digest(&archive), size, tree: tree.clone() });
        }
        let mut history = parent.as_ref().map(|parent| parent.history.clone()).unwrap_or_default();
        let command: Vec<&str> = container.config.argv().collect();
        history.push(History {
            created: self.now,
            created_by: command.join(" "),
            author: author.to_string(),
            comment: comment.to_string(),
            empty_layer: !changed,
        });
        let mut image = Image {
            id: "".into(),
            parent: parent.map(|parent| Arc::clone(&parent.id)),
            created: self.now,
            comment: comment.to_string(),
            author: author.to_string(),
            container: container.id.to_string(),
            container_config: Some(container.own_config().into()),
            config: config.into(),
            layers,
            history,
            tree,
        };
        image.id = transfer::config_digest(&image).into();
        let id = Arc::clone(&image.id);
        if let Some(behaviour) = self.images.behaviour(&parent_id).cloned() {
            self.images.behave(&id, behaviour);
        }
        self.images.insert(image);
        id
    }
}

/// Words of an instruction's JSON form, or the whole line for a shell.
fn command(rest: &str) -> Vec<String> {
    serde_json::from_str(rest)
        .unwrap_or_else(|_| ["/bin/sh", "-c", rest].map(ToString::to_string).into())
}

/// Pairs of `key=value key="other value"`, or of `key value`.
pub(super) fn pairs(rest: &str) -> Vec<(String, String)> {
    let words = shlex::split(rest).unwrap_or_default();
    let pair = |word: &String| {
        word.split_once('=').map(|(key, value)| (key.to_string(), value.to_string()))
    };
    match words.iter().map(pair).collect::<Option<Vec<_>>>() {
        Some(pairs) if !pairs.is_empty() => pairs,
        _ => match rest.split_once(char::is_whitespace) {
            Some((key, value)) => Vec::from([(key.to_string(), value.trim().to_string())]),
            None => Vec::new(),
        },
    }
}

/// Changes a configuration as one instruction of a Dockerfile does.
pub(super) fn apply(line: &str, config: &mut Config) -> Result<(), Failure> {
    let line = line.trim();
    if line.is_empty() {
        return Ok(());
    }
    let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let rest = rest.trim();
    match &*word.to_ascii_uppercase() {
        "CMD" => config.cmd = Some(command(rest)),
        "ENTRYPOINT" => config.entrypoint = Some(command(rest)),
        "ENV" => {
            let env = config.env.get_or_insert_default();
            for (key, value) in pairs(rest) {
                env.retain(|old| old.split('=').next() != Some(&*key));
                env.push(format!("{key}={value}"));
            }
        }
        "LABEL" => config.labels.get_or_insert_default().extend(pairs(rest)),
        "EXPOSE" => {
            for port in rest.split_whitespace() {
                let (port, protocol) = super::networks::parse_port(port)?;
                let port = format!("{port}/{}", protocol.name());
                config.exposed_ports.get_or_insert_default().insert(port, Empty {});
            }
        }
        "VOLUME" => {
            let paths: Vec<String> = serde_json::from_str(rest)
                .unwrap_or_else(|_| rest.split_whitespace().map(ToString::to_string).collect());
            let volumes = config.volumes.get_or_insert_default();
            volumes.extend(paths.into_iter().map(|path| (path, Empty {})));
        }
        "WORKDIR" => {
            let relative = !rest.starts_with('/') && !config.working_dir.is_empty();
            config.working_dir = match relative {
                true => format!("{}/{rest}", config.working_dir.trim_end_matches('/')),
                false => format!("/{}", rest.trim_start_matches('/')),
            };
        }
        "USER" => config.user = rest.to_string(),
        "STOPSIGNAL" => config.stop_signal = rest.to_string(),
        "SHELL" => config.shell = serde_json::from_str(rest).ok(),
        "ONBUILD" => config.on_build.get_or_insert_default().push(rest.to_string()),
        "HEALTHCHECK" => {
            let check = match rest.split_once("CMD") {
                Some((_, rest)) => {
                    let rest = rest.trim();
                    let test = match serde_json::from_str::<Vec<String>>(rest) {
                        Ok(words) => [Vec::from(["CMD".to_string()]), words].concat(),
                        Err(_) => ["CMD-SHELL", rest].map(ToString::to_string).into(),
                    };
                    Healthcheck { test: Some(test), ..Healthcheck::default() }
                }
                None => Healthcheck {
                    test: Some(["NONE".to_string()].into()),
                    ..Healthcheck::default()
                },
            };
            config.healthcheck = Some(check);
        }
        word @ ("FROM" | "RUN" | "COPY" | "ADD" | "ARG" | "MAINTAINER") => {
            return Err(invalid(format!("{} is not a valid change command", word.to_lowercase())));
        }
        _ => {
            let word = word.to_ascii_uppercase();
            return Err(invalid(format!(
                "dockerfile parse error line 1: unknown instruction: {word}"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Config, apply, pairs};
    use alloc::string::String;

    #[test]
    fn changes_are_instructions() {
        let mut config = Config::default();
        for change in [
            "ENV A=b C=\"d e\"",
            "ENV A=c",
            "CMD [\"echo\", \"hi\"]",
            "ENTRYPOINT sleep 1",
            "LABEL x=y",
            "EXPOSE 80 53/udp",
            "WORKDIR /a",
            "WORKDIR b",
            "USER 1:1",
            "VOLUME /v",
        ] {
            apply(change, &mut config).unwrap();
        }
        assert_eq!(config.env.as_deref(), Some(&["C=d e".into(), "A=c".into()][..]));
        assert_eq!(config.cmd.as_deref(), Some(&["echo".into(), "hi".into()][..]));
        assert_eq!(config.entrypoint.as_ref().map(alloc::vec::Vec::len), Some(3));
        assert_eq!((&*config.working_dir, &*config.user), ("/a/b", "1:1"));
        assert_eq!(config.exposed_ports.map(|ports| ports.len()), Some(2));
        let refused = apply("RUN x", &mut Config::default()).unwrap_err().message;
        assert_eq!(refused, "run is not a valid change command");
    }

    #[test]
    fn old_pairs_have_no_equals_sign() {
        assert_eq!(pairs("A b c"), [(String::from("A"), String::from("b c"))]);
    }
}
