//! The bodies of requests.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::error::Error;
use crate::discovery::Attributes;
use crate::discovery::instance::is_protocol;

/// The longest body, in bytes.
pub(super) const LONGEST: usize = 64 * 1024;

#[derive(Deserialize)]
pub(super) struct Created<'a> {
    // Not `&str`, which has no place for what escapes stand for.
    #[serde(borrow, default = "oldest")]
    leader_type: Cow<'a, str>,
}

fn oldest<'a>() -> Cow<'a, str> {
    Cow::Borrowed("oldest")
}

/// How a service's leader is found, as its document has it.
pub(super) fn leader_type(body: &[u8]) -> Result<String, Error> {
    if body.is_empty() {
        return Ok(oldest().into());
    }
    let Created { leader_type } = read(body)?;
    match &*leader_type {
        "oldest" | "manual" => Ok(leader_type.into_owned()),
        _ => Err(Error::invalid(&format!(
            "leader_type {leader_type:?} is unknown: use \"oldest\" or \"manual\""
        ))),
    }
}

#[derive(Deserialize)]
struct Meta<'a> {
    #[serde(borrow)]
    data: &'a RawValue,
    #[serde(default)]
    index: u64,
}

/// A service's metadata, on one line, and the index that it is to have.
pub(super) fn meta(body: &[u8]) -> Result<(String, u64), Error> {
    let Meta { data, index } = read(body)?;
    Ok((compact(data.get()), index))
}

#[derive(Deserialize)]
pub(super) struct Registered {
    #[serde(default)]
    pub(super) id: Option<String>,
    pub(super) addr: String,
    #[serde(default)]
    proto: Option<String>,
    #[serde(default)]
    pub(super) meta: Option<Attributes>,
}

impl Registered {
    pub(super) fn protocol(&self) -> Result<&str, Error> {
        match self.proto.as_deref() {
            None | Some("") => Ok("tcp"),
            Some(named) if is_protocol(named) => Ok(named),
            Some(named) => Err(Error::invalid(&format!(
                "proto {named:?} is no protocol's name: use lowercase letters and digits, at most 63"
            ))),
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Named {
    pub(super) id: String,
}

pub(super) fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Error> {
    // Serde would take an array for an object's fields in their order.
    if body.trim_ascii_start().first() == Some(&b'[') {
        return Err(Error::invalid("the body is not the JSON that belongs here: send an object"));
    }
    serde_json::from_slice(body).map_err(|error| {
        Error::invalid(&format!("the body is not the JSON that belongs here: {error}"))
    })
}

/// The name of a service that is to be created.
pub(super) fn check_new(name: &str) -> Result<(), Error> {
    let is_good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.bytes().all(is_good) {
        return Ok(());
    }
    Err(Error::invalid(&format!(
        "service {name:?} cannot be created: use lowercase letters, digits and hyphens in its name"
    )))
}

/// JSON without the white space around its parts, so that it has no line breaks.
fn compact(json: &str) -> String {
    let (mut is_text, mut is_escaped) = (false, false);
    json.chars()
        .filter(|it| {
            if is_text {
                let ends = *it == '"' && !is_escaped;
                is_escaped = *it == '\\' && !is_escaped;
                is_text = !ends;
                return true;
            }
            is_text = *it == '"';
            !matches!(it, ' ' | '\t' | '\r' | '\n')
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn bodies_are_read() {
        assert_eq!(leader_type(b"").unwrap(), "oldest");
        assert_eq!(leader_type(b"{}").unwrap(), "oldest");
        assert_eq!(leader_type(br#"{"leader_type":"manual","x":1}"#).unwrap(), "manual");
        let escaped = br#"{"leader_type":"\u006danual"}"#;
        assert_eq!(leader_type(escaped).unwrap(), "manual");
        for bad in [&b"{"[..], b"[]", b"null", br#"{"leader_type":"newest"}"#, b"\xff"] {
            assert_eq!(leader_type(bad).unwrap_err().status, 400);
        }
        let body = b"{\"index\": 7, \"data\": {\"a b\" : [1,\t2.50,\r\n \"\\\\\\\" \\n\"]}}";
        let expected = r#"{"a b":[1,2.50,"\\\" \n"]}"#;
        assert_eq!(meta(body).unwrap(), (expected.to_string(), 7));
        assert_eq!(meta(br#"{"data":null}"#).unwrap(), ("null".to_string(), 0));
        for bad in [&br#"{"index":1}"#[..], br#"{"data":1,"index":-1}"#, br#"{"data":}"#] {
            assert_eq!(meta(bad).unwrap_err().status, 400);
        }
    }

    #[test]
    fn names_of_new_services() {
        assert!(["a", "0", "-", "web-2"].iter().all(|name| check_new(name).is_ok()));
        assert!(["A", "a.b", "a_b", "\u{e4}", "a b"].iter().all(|name| check_new(name).is_err()));
    }
}
