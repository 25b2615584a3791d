//! The JSON bodies of requests, read as Go reads them: null is nothing, unknown keys are passed over, and what is of another
//! type is refused in Go's words.

use alloc::format;
use alloc::string::String;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::failures::invalid;
use super::filters::type_name;
use super::versions::Dialect;
use crate::job::{Failure, Job};

/// The most bytes of a JSON body.
pub(super) const LIMIT: usize = 4 << 20;

/// Refuses a body that does not say that it is JSON.
pub(super) fn check_type(job: &Job) -> Result<(), Failure> {
    let Some(request) = job.request() else { return Ok(()) };
    let header =
        |name| request.head().header(name).map(|value| String::from_utf8_lossy(value).into_owned());
    let found = header("content-type").unwrap_or_default();
    let empty = header("content-length").is_none_or(|length| length == "0")
        && header("transfer-encoding").is_none();
    let kind = found.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/json") || found.is_empty() && empty {
        return Ok(());
    }
    Err(invalid(format!("Content-Type specified ({found}) must be 'application/json'")))
}

/// Reads a document.
pub(super) fn parse(bytes: &[u8], dialect: Dialect) -> Result<Value, Failure> {
    let mut values = serde_json::Deserializer::from_slice(bytes).into_iter::<Value>();
    match values.next() {
        Some(Ok(value)) => Ok(without_nulls(value)),
        None if dialect.is_legacy() => Err(dialect.invalid("EOF")),
        None => Err(invalid("invalid JSON: got EOF while reading request body")),
        Some(Err(error)) => {
            let words = match error.is_eof() {
                true => String::from("unexpected EOF"),
                false => super::filters::not_json(&String::from_utf8_lossy(bytes), &error),
            };
            Err(match dialect.is_legacy() {
                true => dialect.invalid(words),
                false => invalid(format!("invalid JSON: {words}")),
            })
        }
    }
}

/// Reads a document of a type that Go would call `wrapper`.
pub(super) fn decode<T: DeserializeOwned>(
    bytes: &[u8],
    wrapper: &str,
    dialect: Dialect,
) -> Result<T, Failure> {
    typed(parse(bytes, dialect)?, wrapper, dialect)
}

/// Makes a value of a document.
pub(super) fn typed<T: DeserializeOwned>(
    value: Value,
    wrapper: &str,
    dialect: Dialect,
) -> Result<T, Failure> {
    let refused = |words: String| match dialect.is_legacy() {
        true => dialect.invalid(words),
        false => invalid(format!("invalid JSON: {words}")),
    };
    let fields = match value {
        Value::Object(fields) => fields,
        Value::Null => Map::new(),
        other => {
            let found = type_name(&other);
            return Err(refused(format!(
                "json: cannot unmarshal {found} into Go value of type runconfig.{wrapper}"
            )));
        }
    };
    let whole: Result<T, _> = serde_json::from_value(Value::Object(fields.clone()));
    whole.map_err(|error| {
        refused(culprit::<T>(&fields, wrapper).unwrap_or_else(|| format!("{error}")))
    })
}

/// Which field is of a wrong type, in Go's words.
fn culprit<T: DeserializeOwned>(fields: &Map<String, Value>, wrapper: &str) -> Option<String> {
    for (key, value) in fields {
        let alone = |value: Value| -> Value { [(key.clone(), value)].into_iter().collect() };
        let Err(error) = serde_json::from_value::<T>(alone(value.clone())) else { continue };
        if let Value::Object(inner) = value {
            for (name, value) in inner {
                let inner: Value = [(name.clone(), value.clone())].into_iter().collect();
                if let Err(error) = serde_json::from_value::<T>(alone(inner)) {
                    return Some(words(value, &format!("{wrapper}.{key}.{name}"), &error));
                }
            }
        }
        return Some(words(value, &format!("{wrapper}.{key}"), &error));
    }
    None
}

fn words(found: &Value, place: &str, error: &serde_json::Error) -> String {
    let error = format!("{error}");
    let wanted = match error.split("expected ").nth(1).unwrap_or_default() {
        text if text.starts_with("a string") => "string",
        text if text.starts_with("a boolean") => "bool",
        text if text.starts_with("a sequence") => "[]string",
        text if text.starts_with("a map") => "map[string]string",
        text if text.starts_with('i') || text.starts_with('u') => "int64",
        _ => "struct",
    };
    let found = type_name(found);
    format!("json: cannot unmarshal {found} into Go struct field {place} of type {wanted}")
}

pub(super) fn cleaned(value: Value) -> Value {
    without_nulls(value)
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(key, value)| (key, without_nulls(value))).collect())
        }
        Value::Array(values) => values.into_iter().map(without_nulls).collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::Config;
    use super::super::versions::NEWEST;
    use super::super::world::tests::LEGACY;
    use super::decode;
    use crate::job::FailureKind;

    #[test]
    fn what_cannot_be_read_is_refused_in_go_s_words() {
        for (text, words) in [
            ("", "EOF"),
            ("{", "unexpected EOF"),
            ("junk", "invalid character 'j' looking for beginning of value"),
            (
                r#"{"Image":5}"#,
                "json: cannot unmarshal number into Go struct field ContainerConfigWrapper.Image of type string",
            ),
            (
                r#"{"Tty":"yes"}"#,
                "json: cannot unmarshal string into Go struct field ContainerConfigWrapper.Tty of type bool",
            ),
        ] {
            let refused =
                decode::<Config>(text.as_bytes(), "ContainerConfigWrapper", LEGACY).unwrap_err();
            assert_eq!((refused.kind, &*refused.message), (FailureKind::System, words), "{text:?}");
            let refused = decode::<Config>(text.as_bytes(), "ContainerConfigWrapper", NEWEST);
            assert_eq!(refused.unwrap_err().kind, FailureKind::InvalidParameter);
        }
    }

    #[test]
    fn null_is_nothing() {
        let config = decode::<Config>(br#"{"Image":null,"Env":null,"Zz":1}"#, "x", NEWEST);
        assert_eq!(config, Ok(Config::default()));
    }
}
