//! Holds the simulator's answers against the published schemas: what they name is there, or is excused.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path;

use libswarm::Instant;
use libswarm::backend::Simulator;
use libswarm::docker::version::ApiVersion;
use libswarm::http1::{Limits, Server, ServerEvent};
use libswarm::job::{Engine, Job};
use serde_json::Value;

/// What is left out on purpose: version (or any), where, and why.
const EXCUSED: &[(&str, &str, &str)] = &[
    ("", "ImageManifestDescriptor", "only an engine with containerd's image store has it"),
    ("", "Storage", "the same"),
    ("", "SizeRw", "omitted when 0 in a list, and when not asked for"),
    ("", "SizeRootFs", "omitted when not asked for"),
    ("", "HostConfig.Annotations", "omitted when empty"),
    ("", "HostConfig.StorageOpt", "the same"),
    ("", "HostConfig.Sysctls", "the same"),
    ("", "HostConfig.Tmpfs", "the same"),
    ("", "HostConfig.Mounts", "the same"),
    ("", "HostConfig.Init", "the same"),
    ("", "Config.ArgsEscaped", "the same; for Windows only"),
    ("", "Config.ExposedPorts", "the same"),
    ("", "Config.Healthcheck", "the same"),
    ("", "Config.NetworkDisabled", "the same"),
    ("", "Config.OnBuild", "the same, from 1.52 on"),
    ("", "Config.Shell", "the same"),
    ("", "Config.StopSignal", "the same"),
    ("", "Config.StopTimeout", "the same"),
    ("", "State.Health", "only with a health check"),
    ("", "ProductLicense", "omitted when empty"),
    ("", "DefaultAddressPools", "omitted when none is configured"),
    ("", "Experimental", "omitted when false"),
    ("", "Swarm.Nodes", "omitted outside a swarm, as dockerd 20.10 was seen to do"),
    ("", "Swarm.Managers", "the same"),
    ("", "Swarm.Cluster", "the same"),
    ("", "Runtimes.*.runtimeArgs", "omitted when empty"),
    ("1.41", "ClusterStore", "dockerd 20.10.24 was seen to omit it when empty"),
    ("1.41", "ClusterAdvertise", "the same"),
    ("1.55", "DiscoveredDevices", "omitted when there are none"),
    ("1.55", "NRI", "present only if NRI is enabled"),
    ("1.55", "FirewallBackend.Info", "omitted when empty"),
];

/// The lines of a specification's schema, with their indentation.
type Lines<'a> = &'a [&'a str];

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// The lines below line `at` that are indented more than it.
fn below<'a>(lines: Lines<'a>, at: usize) -> Lines<'a> {
    let outer = indent(lines[at]);
    let rest = &lines[at + 1..];
    let end = rest.iter().position(|line| indent(line) <= outer).unwrap_or(rest.len());
    &rest[..end]
}

/// The entries of a mapping: each key, what stands behind it, and the lines below it.
fn entries<'a>(lines: Lines<'a>) -> Vec<(&'a str, &'a str, Lines<'a>)> {
    let Some(level) = lines.first().map(|line| indent(line)) else { return Vec::new() };
    let keys = lines.iter().enumerate().filter(|(_, line)| indent(line) == level);
    keys.filter_map(|(at, line)| {
        let (key, value) = line.trim().trim_start_matches("- ").split_once(':')?;
        Some((key.trim_matches('"'), value.trim().trim_matches('"'), below(lines, at)))
    })
    .collect()
}

struct Specification<'a> {
    version: &'a str,
    definitions: Lines<'a>,
    /// The excuses that were needed, by their place in the list.
    used: &'a RefCell<BTreeSet<usize>>,
}

impl<'a> Specification<'a> {
    fn definition(&self, name: &str) -> Lines<'a> {
        let mut all = entries(self.definitions).into_iter();
        all.find(|(key, ..)| *key == name).unwrap_or_else(|| panic!("no definition {name}")).2
    }

    /// Notes in `missing` what the schema names and `found` lacks; returns how many properties were looked for.
    fn compare(
        &self,
        schema: Lines<'a>,
        found: &Value,
        path: &str,
        missing: &mut Vec<String>,
    ) -> usize {
        let mut looked_for = 0;
        for (key, value, lines) in entries(schema) {
            match (key, found) {
                ("$ref", _) => {
                    let name = value.trim_start_matches("#/definitions/");
                    looked_for += self.compare(self.definition(name), found, path, missing);
                }
                ("allOf", _) => looked_for += self.compare_all(lines, found, path, missing),
                ("items", Value::Array(elements)) => {
                    for element in elements {
                        looked_for += self.compare(lines, element, path, missing);
                    }
                }
                ("additionalProperties", Value::Object(fields)) => {
                    for field in fields.values() {
                        looked_for += self.compare(lines, field, &format!("{path}.*"), missing);
                    }
                }
                ("properties", Value::Object(fields)) => {
                    for (name, _, lines) in entries(lines) {
                        looked_for += 1;
                        let path = format!("{path}.{name}");
                        match fields.get(name) {
                            Some(value) => looked_for += self.compare(lines, value, &path, missing),
                            None if self.is_excused(&path) => {}
                            None => missing.push(format!("{}: {path}", self.version)),
                        }
                    }
                }
                _ => {}
            }
        }
        looked_for
    }

    /// The parts of an `allOf` are a list: each begins with a dash.
    fn compare_all(
        &self,
        lines: Lines<'a>,
        found: &Value,
        path: &str,
        missing: &mut Vec<String>,
    ) -> usize {
        let Some(level) = lines.first().map(|line| indent(line)) else { return 0 };
        let starts = |line: &&str| indent(line) == level && line.trim().starts_with('-');
        let mut looked_for = 0;
        let places: Vec<usize> = (0..lines.len()).filter(|at| starts(&lines[*at])).collect();
        for (nth, start) in places.iter().enumerate() {
            let end = places.get(nth + 1).copied().unwrap_or(lines.len());
            looked_for += self.compare(&lines[*start..=*start], found, path, missing);
            looked_for += self.compare(&lines[start + 1..end], found, path, missing);
        }
        looked_for
    }

    fn is_excused(&self, path: &str) -> bool {
        let excuse = EXCUSED.iter().position(|(version, place, _)| {
            (version.is_empty() || *version == self.version)
                && path.strip_suffix(place).is_some_and(|before| before.ends_with('.'))
        });
        self.used.borrow_mut().extend(excuse);
        excuse.is_some()
    }
}

/// What the simulator answers to a request.
fn answer(target: &str) -> Value {
    let head = format!("GET {target} HTTP/1.1\r\nHost: docker\r\n\r\n");
    let mut server = Server::new(Limits::default());
    let Ok((_, Some(ServerEvent::Request(head)))) = server.receive(head.as_bytes()) else {
        panic!("{target} makes no request")
    };
    let mut engine = Engine::new(1);
    let names = ["web".to_owned(), "db".to_owned()];
    engine.push("simulator", Box::new(Simulator::from_words(&names).unwrap()));
    let job =
        engine.start(Instant::ZERO, Job::from_request(head, ApiVersion::MIN..=ApiVersion::MAX), 0);
    let body = engine.output(job).unwrap().whole.take().unwrap();
    serde_json::from_slice(&body).unwrap()
}

#[test]
fn answers_have_what_their_schemas_name() {
    let mut missing = Vec::new();
    let used = RefCell::default();
    for version in ["1.41", "1.55"] {
        let file = format!("shared/reference/docker-api/v{version}.yaml");
        let mut above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
        let Some(path) = above.find(|above| above.join(&file).exists()) else {
            println!("SKIP: nothing to compare with: no folder above has a {file}");
            return;
        };
        let text = std::fs::read_to_string(path.join(&file)).unwrap();
        let is_text = |line: &&str| !line.trim().is_empty() && !line.trim().starts_with('#');
        let lines: Vec<&str> = text.lines().filter(is_text).collect();
        let start = lines.iter().position(|line| *line == "definitions:").unwrap();
        let specification =
            Specification { version, definitions: below(&lines, start), used: &used };
        let all: &[(&str, &str, usize)] = &[
            ("info", "SystemInfo", 80),
            ("version", "SystemVersion", 15),
            ("containers/web/json", "ContainerInspectResponse", 130),
            ("containers/json", "ContainerSummary", 50),
            ("system/df?verbose=1", "ImagesDiskUsage", 5),
        ];
        for (path, schema, at_least) in all {
            // Before 1.45 the schema of an inspected container stood with its path, and 1.52 remade df.
            if version == "1.41" && (schema.contains("Inspect") || schema.contains("Usage")) {
                continue;
            }
            let found = answer(&format!("/v{version}/{path}"));
            let definition = specification.definition(schema);
            let mut looked_for = 0;
            let values = match &found {
                Value::Array(elements) => elements.iter().collect(),
                Value::Object(fields) if path.starts_with("system/df") => {
                    vec![&fields["ImageUsage"]]
                }
                other => vec![other],
            };
            for value in values {
                looked_for += specification.compare(definition, value, schema, &mut missing);
            }
            assert!(
                looked_for >= *at_least,
                "{schema} of {version} names only {looked_for} properties"
            );
        }
    }
    assert!(missing.is_empty(), "missing: {missing:#?}");
    let used = used.into_inner();
    let stale: Vec<_> = EXCUSED.iter().enumerate().filter(|(nth, _)| !used.contains(nth)).collect();
    assert!(stale.is_empty(), "excused but there: {stale:#?}");
}
