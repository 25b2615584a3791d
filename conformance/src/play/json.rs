//! JSON documents, held against each other by shape and by value.

use serde_json::Value;

use super::bind::Names;
use super::free::{self, How};

/// The label of what a run makes; it is taken out of what answers say.
pub const LABEL: &str = "org.libswarm.conformance";

/// Where two documents differ.
#[derive(Debug)]
pub(super) struct Difference {
    path: String,
    recorded: String,
    came: String,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let place = if self.path.is_empty() { "the document" } else { self.path.as_str() };
        write!(f, "{place}: recorded {}, got {}", self.recorded, self.came)
    }
}

fn short(value: &Value) -> String {
    cut(&value.to_string())
}

fn cut(text: &str) -> String {
    let mut chars = text.chars();
    let start: String = chars.by_ref().take(160).collect();
    if chars.next().is_some() { format!("{start}…") } else { start }
}

fn differ(path: &str, recorded: &Value, came: &Value) -> Difference {
    Difference { path: path.to_owned(), recorded: short(recorded), came: short(came) }
}

/// Compares an answer to `route`. Members that the recording does not have are no difference: clients pass over what they
/// don't know.
pub(super) fn same(
    names: &mut Names,
    route: &str,
    path: &str,
    recorded: &Value,
    came: &Value,
) -> Result<(), Difference> {
    let how = free::at(route, path);
    if how == Some(How::Whole) {
        return Ok(());
    }
    match (recorded, came) {
        (Value::Object(ours), Value::Object(theirs)) => {
            for (key, ours) in ours {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                match theirs.get(key) {
                    Some(theirs) => same(names, route, &path, ours, theirs)?,
                    None if free::at(route, &path) == Some(How::Whole) => {}
                    None => {
                        let came = "nothing".to_owned();
                        return Err(Difference { path, recorded: short(ours), came });
                    }
                }
            }
            Ok(())
        }
        (Value::Array(ours), Value::Array(theirs)) => {
            if ours.len() != theirs.len() {
                return Err(differ(path, recorded, came));
            }
            if how == Some(How::Order) {
                return any_order(names, route, path, ours, theirs);
            }
            ours.iter()
                .zip(theirs)
                .try_for_each(|(ours, theirs)| same(names, route, path, ours, theirs))
        }
        _ => {
            let equal = match (how, recorded, came) {
                (Some(How::Name), Value::String(ours), Value::String(theirs)) => {
                    ours == theirs
                        || is_made_up(ours)
                            && is_made_up(theirs)
                            && names.bind(trim(ours), trim(theirs))
                        || names.same_text(ours, theirs)
                }
                (_, Value::String(ours), Value::String(theirs)) => {
                    how == Some(How::Value) || names.same_text(ours, theirs)
                }
                (Some(How::Value), ours, theirs) => kind(ours) == kind(theirs),
                (_, ours, theirs) => ours == theirs,
            };
            if equal { Ok(()) } else { Err(differ(path, recorded, came)) }
        }
    }
}

fn trim(name: &str) -> &str {
    name.trim_start_matches('/')
}

/// Whether an engine made that name up: `eager_curie`.
fn is_made_up(name: &str) -> bool {
    let word = |word: &str| word.len() > 2 && word.bytes().all(|byte| byte.is_ascii_lowercase());
    trim(name)
        .trim_end_matches(|digit: char| digit.is_ascii_digit())
        .split_once('_')
        .is_some_and(|(left, right)| word(left) && word(right))
}

fn any_order(
    names: &mut Names,
    route: &str,
    path: &str,
    ours: &[Value],
    theirs: &[Value],
) -> Result<(), Difference> {
    let mut left: Vec<&Value> = theirs.iter().collect();
    for ours in ours {
        let fits = left.iter().position(|theirs| {
            let mut tried = names.clone();
            let fits = same(&mut tried, route, path, ours, theirs).is_ok();
            if fits {
                *names = tried;
            }
            fits
        });
        match fits {
            Some(fits) => drop(left.remove(fits)),
            // One alone says more.
            None if left.len() == 1 => return same(names, route, path, ours, left[0]),
            None => {
                let came = cut(&format!("{left:?}"));
                return Err(Difference { path: path.to_owned(), recorded: short(ours), came });
            }
        }
    }
    Ok(())
}

const fn kind(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Number(_) => 2,
        Value::String(_) => 3,
        Value::Array(_) => 4,
        Value::Object(_) => 5,
    }
}

/// Takes our label out, from wherever labels are shown.
pub(super) fn without_label(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.remove(LABEL);
            members.values_mut().for_each(without_label);
        }
        Value::Array(elements) => elements.iter_mut().for_each(without_label),
        _ => {}
    }
}

/// All documents of a body, one behind the other; the last may be cut off.
#[must_use]
pub fn documents(body: &[u8]) -> Option<Vec<Value>> {
    let mut all = Vec::new();
    for document in serde_json::Deserializer::from_slice(body).into_iter() {
        match document {
            Ok(document) => all.push(document),
            Err(error) if error.is_eof() => break,
            Err(_) => return None,
        }
    }
    Some(all)
}

/// How many leaves a document has, and how many of them are free.
pub fn leaves(route: &str, path: &str, value: &Value, whole: bool) -> (usize, usize) {
    let how = free::at(route, path);
    let whole = whole || how == Some(How::Whole);
    match value {
        Value::Object(members) if !members.is_empty() => {
            members.iter().fold((0, 0), |sum, (key, value)| {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                add(sum, leaves(route, &path, value, whole))
            })
        }
        Value::Array(elements) if !elements.is_empty() => {
            elements.iter().fold((0, 0), |sum, value| add(sum, leaves(route, path, value, whole)))
        }
        _ => (1, usize::from(whole || how == Some(How::Value))),
    }
}

const fn add(one: (usize, usize), other: (usize, usize)) -> (usize, usize) {
    (one.0 + other.0, one.1 + other.1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn compared(recorded: &Value, came: &Value) -> Result<(), String> {
        same(&mut Names::default(), "GET /containers/x/json", "", recorded, came)
            .map_err(|difference| difference.to_string())
    }

    #[test]
    fn shape_and_values_are_compared() {
        let recorded = json!({"A": [1, {"B": null}], "Name": "/eager_curie", "Created": 5});
        assert_eq!(
            compared(
                &recorded,
                &json!({"A": [1, {"B": null, "C": 1}], "Name": "/lazy_darwin2", "Created": 7})
            ),
            Ok(())
        );
        for (came, path) in [
            (json!({"A": [1], "Name": "/a_b", "Created": 5}), "A"),
            (json!({"A": [1, {"B": []}], "Name": "/eager_curie", "Created": 5}), "A.B"),
            (json!({"A": [1, {"B": null}], "Name": "/c1", "Created": 5}), "Name"),
            (json!({"A": [1, {"B": null}], "Name": "/eager_curie", "Created": "5"}), "Created"),
            (json!({"A": [1, {"B": null}], "Created": 5}), "Name"),
            (json!([]), "the document"),
        ] {
            let said = compared(&recorded, &came).unwrap_err();
            assert!(said.starts_with(path), "{said}");
        }
    }

    #[test]
    fn order_is_free_where_it_is_listed() {
        let (one, other) =
            (json!([{"Name": "a"}, {"Name": "b"}]), json!([{"Name": "b"}, {"Name": "a"}]));
        let names = &mut Names::default();
        assert!(same(names, "GET /networks", "", &one, &other).is_ok());
        assert!(same(names, "GET /containers/json", "", &one, &other).is_err());
        assert!(
            same(names, "GET /networks", "", &one, &json!([{"Name": "a"}, {"Name": "a"}])).is_err()
        );
    }

    #[test]
    fn documents_follow_each_other() {
        assert_eq!(documents(b"{\"a\":1}\r\n{\"b\":2}\n{\"c").unwrap().len(), 2);
        assert_eq!(documents(b"no"), None);
        let mut labels = json!({"Labels": {LABEL: "1", "x": "y"}});
        without_label(&mut labels);
        assert_eq!(labels, json!({"Labels": {"x": "y"}}));
    }
}
