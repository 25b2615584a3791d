//! The query's `filters`: names, each with a set of values.

use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use core::num::IntErrorKind;
use serde_json::Value;

use super::versions::Dialect;
use crate::job::{Failure, FailureKind};

/// What was asked for, not yet checked against the names that a list knows.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Filters(BTreeMap<String, BTreeSet<String>>);

impl Filters {
    /// Reads both forms, `{"name":{"web":true}}` and `{"name":["web"]}`; the CLI sends the first, docker-py the second.
    /// That a value is `false` makes no difference to the engine, and none here.
    pub(super) fn parse(text: &str, dialect: Dialect) -> Result<Self, Failure> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let refused = |go: String| match dialect.is_legacy() {
            true => Failure::new(FailureKind::System, go),
            false => Failure::new(FailureKind::InvalidParameter, "invalid filter"),
        };
        let document: Value =
            serde_json::from_str(text).map_err(|error| refused(not_json(text, &error)))?;
        let fields = match document {
            Value::Object(fields) => fields,
            Value::Null => return Ok(Self::default()),
            other => return Err(refused(mismatch(&other, "map[string]map[string]bool"))),
        };
        lists(&fields).map_or_else(|| sets(&fields).map_err(refused), Ok)
    }

    /// Refuses names that are not in `known`.
    pub(super) fn only(&self, known: &[&str], dialect: Dialect) -> Result<(), Failure> {
        match self.0.keys().find(|name| !known.contains(&name.as_str())) {
            Some(unknown) => Err(invalid(unknown, None, dialect)),
            None => Ok(()),
        }
    }

    /// The values of one name; `None` if it was not given at all.
    pub(super) fn get(&self, name: &str) -> Option<&BTreeSet<String>> {
        self.0.get(name)
    }

    /// The values of one name, in order.
    pub(super) fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.get(name).into_iter().flatten().map(String::as_str)
    }

    /// The last of the values of one name that has any.
    pub(super) fn last(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.last().map(String::as_str)
    }

    /// Whether `value` is among the values of `name`, or there are none to be among.
    pub(super) fn allow(&self, name: &str, value: &str) -> bool {
        self.get(name).is_none_or(|values| values.is_empty() || values.contains(value))
    }

    /// A yes or no; `None` if the name was not given.
    pub(super) fn boolean(&self, name: &str, dialect: Dialect) -> Result<Option<bool>, Failure> {
        let Some(values) = self.get(name) else { return Ok(None) };
        let any = |words: &[&str]| words.iter().any(|word| values.contains(*word));
        let list = || values.iter().map(String::as_str).collect::<alloc::vec::Vec<_>>().join(" ");
        if dialect.is_legacy() {
            if values.is_empty() || any(&["true"]) {
                return Ok(Some(true));
            }
            return match any(&["false"]) {
                true => Ok(Some(false)),
                false => Err(invalid(name, Some(&format!("[{}]", list())), dialect)),
            };
        }
        match (any(&["true", "1"]), any(&["false", "0"])) {
            (true, false) => Ok(Some(true)),
            (false, true) => Ok(Some(false)),
            _ if values.is_empty() => Err(invalid(name, None, dialect)),
            _ => Err(invalid(name, Some(&format!("[{}]", list())), dialect)),
        }
    }
}

/// The engine's refusal of a filter, or of one of its values.
pub(super) fn invalid(name: &str, value: Option<&str>, dialect: Dialect) -> Failure {
    let word = if dialect.is_legacy() { "Invalid" } else { "invalid" };
    let value = value.map(|value| format!("={value}")).unwrap_or_default();
    Failure::new(FailureKind::InvalidParameter, format!("{word} filter '{name}{value}'"))
}

/// A whole number, with the words of Go's `function` if it is none.
pub(super) fn integer(text: &str, function: &str) -> Result<i64, String> {
    text.parse::<i64>().map_err(|error| {
        let why = match error.kind() {
            IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => "value out of range",
            _ => "invalid syntax",
        };
        format!("strconv.{function}: parsing {text:?}: {why}")
    })
}

/// `{"name":["web"]}`; `None` if it has any other form.
fn lists(fields: &serde_json::Map<String, Value>) -> Option<Filters> {
    let list = |value: &Value| match value {
        Value::Array(values) => {
            values.iter().map(|value| value.as_str().map(ToOwned::to_owned)).collect()
        }
        Value::Null => Some(BTreeSet::new()),
        _ => None,
    };
    fields
        .iter()
        .map(|(name, values)| Some((name.clone(), list(values)?)))
        .collect::<Option<_>>()
        .map(Filters)
}

/// `{"name":{"web":true}}`, or the words with which Go refuses it.
fn sets(fields: &serde_json::Map<String, Value>) -> Result<Filters, String> {
    let mut filters = BTreeMap::new();
    for (name, values) in fields {
        let values = match values {
            Value::Object(values) => values,
            Value::Null => continue,
            other => return Err(mismatch(other, "map[string]bool")),
        };
        if let Some(other) = values.values().find(|value| !value.is_boolean() && !value.is_null()) {
            return Err(mismatch(other, "bool"));
        }
        filters.insert(name.clone(), values.keys().cloned().collect());
    }
    Ok(Filters(filters))
}

fn mismatch(found: &Value, wanted: &str) -> String {
    format!("json: cannot unmarshal {} into Go value of type {wanted}", type_name(found))
}

/// What Go calls a JSON value of this kind.
pub(super) const fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Why this is no JSON, in Go's words as far as they are known.
pub(super) fn not_json(text: &str, error: &serde_json::Error) -> String {
    match text.trim_start_matches([' ', '\t', '\r', '\n']).chars().next() {
        None => "unexpected end of JSON input".to_string(),
        Some(first) if !matches!(first, '{' | '[' | '"' | '-' | '0'..='9' | 't' | 'f' | 'n') => {
            format!("invalid character {first:?} looking for beginning of value")
        }
        Some(_) => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::versions::NEWEST;
    use super::super::world::tests::LEGACY;
    use super::{Filters, integer};
    use crate::job::FailureKind;
    use alloc::vec::Vec;

    #[test]
    fn both_forms_say_the_same() {
        let set = Filters::parse(r#"{"name":{"web":true,"db":false}}"#, NEWEST).unwrap();
        let list = Filters::parse(r#"{"name":["db","web"]}"#, NEWEST).unwrap();
        assert_eq!(set, list);
        assert_eq!(set.values("name").collect::<Vec<_>>(), ["db", "web"]);
        for nothing in ["", "{}", "null", r#" {"name":null} "#] {
            let filters = Filters::parse(nothing, NEWEST).unwrap();
            assert!(filters.allow("name", "web"), "{nothing:?}");
        }
    }

    #[test]
    fn what_is_no_filter_is_refused_as_the_engine_does() {
        for (text, old) in [
            ("junk", "invalid character 'j' looking for beginning of value"),
            (" ", "unexpected end of JSON input"),
            ("[]", "json: cannot unmarshal array into Go value of type map[string]map[string]bool"),
            (
                r#"{"status":"running"}"#,
                "json: cannot unmarshal string into Go value of type map[string]bool",
            ),
            (
                r#"{"name":5}"#,
                "json: cannot unmarshal number into Go value of type map[string]bool",
            ),
            (
                r#"{"name":[5]}"#,
                "json: cannot unmarshal array into Go value of type map[string]bool",
            ),
            (r#"{"name":{"web":1}}"#, "json: cannot unmarshal number into Go value of type bool"),
        ] {
            let failure = Filters::parse(text, LEGACY).unwrap_err();
            assert_eq!((failure.kind, &*failure.message), (FailureKind::System, old), "{text:?}");
            let failure = Filters::parse(text, NEWEST).unwrap_err();
            assert_eq!(failure.kind, FailureKind::InvalidParameter);
            assert_eq!(failure.message, "invalid filter", "{text:?}");
        }
        assert!(Filters::parse("{", LEGACY).is_err());
        assert!(Filters::parse(&"[".repeat(10_000), LEGACY).is_err());
    }

    #[test]
    fn unknown_names_are_refused() {
        let filters = Filters::parse(r#"{"name":["a"],"zz":["a"]}"#, NEWEST).unwrap();
        let message = |dialect| filters.only(&["name"], dialect).unwrap_err().message;
        assert_eq!(message(LEGACY), "Invalid filter 'zz'");
        assert_eq!(message(NEWEST), "invalid filter 'zz'");
        assert!(filters.only(&["zz", "name"], NEWEST).is_ok());
    }

    #[test]
    fn booleans_read_as_in_the_engine_of_their_time() {
        for (values, old, new) in [
            (r#"["true"]"#, Ok(Some(true)), Ok(Some(true))),
            (r#"["false"]"#, Ok(Some(false)), Ok(Some(false))),
            (r#"["true","false"]"#, Ok(Some(true)), Err("invalid filter 'is-task=[false true]'")),
            (r#"["1"]"#, Err("Invalid filter 'is-task=[1]'"), Ok(Some(true))),
            (
                r#"["maybe"]"#,
                Err("Invalid filter 'is-task=[maybe]'"),
                Err("invalid filter 'is-task=[maybe]'"),
            ),
            ("[]", Ok(Some(true)), Err("invalid filter 'is-task'")),
        ] {
            let text = alloc::format!(r#"{{"is-task":{values}}}"#);
            for (dialect, expected) in [(LEGACY, old), (NEWEST, new)] {
                let filters = Filters::parse(&text, dialect).unwrap();
                let read = filters.boolean("is-task", dialect).map_err(|failure| failure.message);
                assert_eq!(read, expected.map_err(alloc::borrow::Cow::from), "{values}");
                assert_eq!(filters.boolean("other", dialect), Ok(None));
            }
        }
    }

    #[test]
    fn integers_are_refused_in_the_words_of_go() {
        assert_eq!(integer("+7", "Atoi"), Ok(7));
        for (text, words) in [
            ("x", r#"strconv.Atoi: parsing "x": invalid syntax"#),
            ("", r#"strconv.Atoi: parsing "": invalid syntax"#),
            (
                "99999999999999999999",
                r#"strconv.Atoi: parsing "99999999999999999999": value out of range"#,
            ),
        ] {
            assert_eq!(integer(text, "Atoi").unwrap_err(), words);
        }
    }
}
