//! Holds the table of routes against the published specifications of the Docker Engine API.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use libswarm::docker::routes::table;
use libswarm::docker::version::ApiVersion;

/// Rows that are in no specification, and why they are served.
const UNSPECIFIED: &[(&str, &str, &str)] = &[
    ("POST", "/grpc", "BuildKit's API, which buildx uses"),
    ("POST", "/build/cancel", "the CLI sends it when a BuildKit build is interrupted"),
    ("GET", "/containers/{id}/checkpoints", "experimental: docker checkpoint ls"),
    ("POST", "/containers/{id}/checkpoints", "experimental: docker checkpoint create"),
    ("DELETE", "/containers/{id}/checkpoints/{checkpoint}", "experimental: docker checkpoint rm"),
];

/// Rows whose status is none of the specified ones, and why.
const OTHER_STATUS: &[(&str, &str, u16, &str)] = &[
    ("POST", "/plugins/pull", 200, "specified as 204, which can't carry the progress it streams"),
    ("POST", "/plugins/{name}/upgrade", 200, "the same"),
];

/// The statuses of each method and path.
type Specification = BTreeMap<(String, String), BTreeSet<u16>>;

/// Reads the paths, methods and statuses of a specification, by the indentation of their lines.
fn parse(text: &str) -> Specification {
    let mut found = Specification::new();
    let (mut in_paths, mut in_responses) = (false, false);
    let (mut path, mut operation) = (String::new(), None);
    for line in text.lines() {
        let content = line.trim_start();
        let key = content.split(':').next().unwrap_or_default().trim_matches('"');
        match line.len() - content.len() {
            _ if content.is_empty() || content.starts_with('#') => {}
            0 => in_paths = content == "paths:",
            _ if !in_paths => {}
            2 => path = content.trim_end_matches(':').to_owned(),
            4 => {
                let name = (key.to_uppercase(), path.clone());
                found.insert(name.clone(), BTreeSet::new());
                operation = Some(name);
            }
            6 => in_responses = key == "responses",
            8 if in_responses => {
                let statuses = operation.as_ref().and_then(|name| found.get_mut(name)).unwrap();
                statuses.insert(key.parse().unwrap());
            }
            _ => {}
        }
    }
    found
}

/// The specification of a version, from the folder `shared/reference/docker-api` beside the
/// repository or further up: it is not part of the repository.
fn specification(version: &str) -> Option<Specification> {
    let folder = "shared/reference/docker-api";
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .map(|above| above.join(folder).join(format!("v{version}.yaml")))
        .find(|path| path.exists());
    let Some(path) = path else {
        println!("SKIP: nothing to compare with: no folder above has a {folder}/v{version}.yaml");
        return None;
    };
    let found = parse(&std::fs::read_to_string(&path).unwrap());
    assert!(found.len() > 100, "{} has {} operations only", path.display(), found.len());
    Some(found)
}

#[test]
fn the_table_is_what_the_specifications_say() {
    let versions = [ApiVersion::new(1, 41), ApiVersion::new(1, 55)];
    let mut specifications = Vec::new();
    for version in versions {
        let Some(found) = specification(&version.to_string()) else { return };
        specifications.push((version, found));
    }
    let mut wrong = Vec::new();
    for (version, specification) in &specifications {
        for ((method, path), statuses) in specification {
            let row = table().iter().find(|row| row.method == method && row.path == path);
            match row {
                None => wrong.push(format!("{method} {path} of {version} is missing")),
                Some(row) if !row.exists_in(*version) => {
                    wrong.push(format!("{method} {path} is in {version}, but not by the table"));
                }
                Some(row) => {
                    let known = OTHER_STATUS.iter().any(|(method, path, status, _)| {
                        (*method, *path, *status) == (row.method, row.path, row.success)
                    });
                    if statuses.contains(&row.success) == known {
                        wrong.push(format!("{method} {path}: {}, not {statuses:?}", row.success));
                    }
                }
            }
        }
        for row in table().iter().filter(|row| row.exists_in(*version)) {
            let specified =
                specification.contains_key(&(row.method.to_owned(), row.path.to_owned()));
            let known = UNSPECIFIED
                .iter()
                .any(|(method, path, _)| (*method, *path) == (row.method, row.path));
            if specified == known {
                wrong.push(format!(
                    "{} {} is {}specified in {version}",
                    row.method,
                    row.path,
                    if specified { "" } else { "not " }
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_reader_reads_a_specification() {
    let text = "\
definitions:
  /not/here:
    get:
paths:
  /a/{id}:json:
    get:
      parameters:
        - name: x
      responses:
        200:
          description: |
            101: nothing
        \"404\":
          description: no
      tags: [\"a\"]
        500: no response
    post:
      operationId: b

# A comment
  /b:
    head:
      responses:
        204:
other:
  /c:
    get:
";
    let name = |method: &str, path: &str| (method.to_owned(), path.to_owned());
    let expected = Specification::from([
        (name("GET", "/a/{id}:json"), BTreeSet::from([200, 404])),
        (name("POST", "/a/{id}:json"), BTreeSet::new()),
        (name("HEAD", "/b"), BTreeSet::from([204])),
    ]);
    assert_eq!(parse(text), expected);
}
