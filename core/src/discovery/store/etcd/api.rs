//! What is said to etcd's gateway, and what it says (etcd v3.4, `Documentation/dev-guide/api_grpc_gateway.md`): JSON, with keys
//! and values in base64, 64-bit integers as strings, and nothing for a field that is zero.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use serde::Deserialize as Derive;
use serde::de::{self, Deserialize, Deserializer, Visitor};

use crate::discovery::Document;
use crate::discovery::instance::check;
use crate::discovery::store::value;
use crate::docker::base64;
use crate::rpc::Attributes;

/// Where instances are: behind it stand the service, a slash and the address, neither of which has a slash in it.
pub(super) const PREFIX: &str = "/discoverd/instances/";
/// Where documents are: behind it stand the service, a slash and the document's name.
const DOCUMENTS: &str = "/discoverd/services/";
/// The first key behind all of these. What others have put between instances and documents is passed over.
const BEHIND: &str = "/discoverd/services0";
/// So many instances are asked for at once.
const PAGE: usize = 500;

pub(super) const GRANT: &str = "/v3/lease/grant";
pub(super) const KEEP_ALIVE: &str = "/v3/lease/keepalive";
pub(super) const REVOKE: &str = "/v3/lease/revoke";
pub(super) const RANGE: &str = "/v3/kv/range";
pub(super) const TXN: &str = "/v3/kv/txn";
pub(super) const WATCH: &str = "/v3/watch";
pub(super) const AUTHENTICATE: &str = "/v3/auth/authenticate";

/// The key of an instance, or of a document, in whose name the slash is doubled; see [`document_name`].
fn key(name: &str) -> String {
    base64(
        match name.split_once("//") {
            Some((service, document)) => format!("{DOCUMENTS}{service}/{document}"),
            None => format!("{PREFIX}{name}"),
        }
        .as_bytes(),
    )
}

/// What requests for a document are called; no instance is called so.
pub(super) fn document_name(service: &str, which: Document) -> String {
    format!("{service}//{}", which.name())
}

pub(super) fn grant(lease: i64, ttl: u64) -> String {
    format!(r#"{{"ID":"{lease}","TTL":"{ttl}"}}"#)
}

/// For [`KEEP_ALIVE`] and [`REVOKE`].
pub(super) fn lease(lease: i64) -> String {
    format!(r#"{{"ID":"{lease}"}}"#)
}

/// One instance, as it is now.
pub(super) fn look(name: &str) -> String {
    format!(r#"{{"key":"{}"}}"#, key(name))
}

/// Instances behind that key, at that revision, or the first ones at the present one.
pub(super) fn page(last: Option<&[u8]>, revision: i64) -> String {
    // The key that comes next after one is that with a zero behind it.
    let from = last.map_or_else(|| PREFIX.as_bytes().to_vec(), |last| [last, b"\0"].concat());
    let (from, to) = (base64(&from), base64(BEHIND.as_bytes()));
    format!(r#"{{"key":"{from}","range_end":"{to}","limit":"{PAGE}","revision":"{revision}"}}"#)
}

/// Everything that happens to instances from that revision on.
pub(super) fn watch(from: i64) -> String {
    let (first, behind) = (base64(PREFIX.as_bytes()), base64(BEHIND.as_bytes()));
    format!(
        r#"{{"create_request":{{"key":"{first}","range_end":"{behind}","start_revision":"{from}","fragment":true}}}}"#
    )
}

/// Puts an instance if it was last changed at `expected`, 0 if it was not there; else tells how it is.
pub(super) fn put(
    name: &str,
    attributes: Option<&Attributes>,
    lease: i64,
    expected: i64,
) -> String {
    let (key, value) = (key(name), base64(&value::write(attributes)));
    format!(
        r#"{{"compare":[{{"target":"MOD","key":"{key}","result":"EQUAL","mod_revision":"{expected}"}}],"success":[{{"request_put":{{"key":"{key}","value":"{value}","lease":"{lease}"}}}}],"failure":[{{"request_range":{{"key":"{key}"}}}}]}}"#
    )
}

/// Puts a document, or (`None`) deletes it, if it was last changed at `expected`, 0 if it was not there; else tells how it is.
/// `writer` is a number by which it can be told later whether it was this that put it.
pub(super) fn keep(name: &str, text: Option<&str>, writer: u64, expected: i64) -> String {
    let key = key(name);
    let change = match text {
        Some(text) => {
            let value = base64(&value::write_text(text, writer));
            format!(r#"{{"request_put":{{"key":"{key}","value":"{value}"}}}}"#)
        }
        None => format!(r#"{{"request_delete_range":{{"key":"{key}"}}}}"#),
    };
    format!(
        r#"{{"compare":[{{"target":"MOD","key":"{key}","result":"EQUAL","mod_revision":"{expected}"}}],"success":[{change}],"failure":[{{"request_range":{{"key":"{key}"}}}}]}}"#
    )
}

/// Deletes an instance if it is the one that was created then; else tells how it is.
pub(super) fn delete(name: &str, created: i64) -> String {
    let key = key(name);
    format!(
        r#"{{"compare":[{{"target":"CREATE","key":"{key}","result":"EQUAL","create_revision":"{created}"}}],"success":[{{"request_delete_range":{{"key":"{key}"}}}}],"failure":[{{"request_range":{{"key":"{key}"}}}}]}}"#
    )
}

pub(super) fn authenticate(name: &str, password: &str) -> String {
    let text = |text: &str| serde_json::to_string(text).unwrap_or_default();
    format!(r#"{{"name":{},"password":{}}}"#, text(name), text(password))
}

/// The answer to anything but a watch; what is not in it is zero.
#[derive(Derive, Default, Debug)]
#[serde(default)]
pub(super) struct Reply {
    pub(super) header: Header,
    pub(super) kvs: Vec<Kv>,
    pub(super) more: bool,
    pub(super) succeeded: bool,
    responses: Vec<Response>,
    result: KeptAlive,
    pub(super) token: String,
}

#[derive(Derive, Default, Clone, Copy, Debug)]
#[serde(default)]
pub(super) struct Header {
    #[serde(deserialize_with = "number")]
    pub(super) revision: i64,
}

#[derive(Derive, Default, Debug)]
#[serde(default)]
pub(super) struct Kv {
    key: String,
    value: String,
    #[serde(deserialize_with = "number")]
    pub(super) create_revision: i64,
    #[serde(deserialize_with = "number")]
    pub(super) mod_revision: i64,
    #[serde(deserialize_with = "number")]
    pub(super) lease: i64,
}

#[derive(Derive, Default, Debug)]
#[serde(default)]
struct Response {
    response_range: Range,
}

#[derive(Derive, Default, Debug)]
#[serde(default)]
struct Range {
    kvs: Vec<Kv>,
}

#[derive(Derive, Default, Debug)]
#[serde(default)]
struct KeptAlive {
    #[serde(rename = "TTL", deserialize_with = "number")]
    ttl: i64,
}

impl Reply {
    /// Whether a lease was kept alive; one that has ended has no time left.
    pub(super) const fn is_alive(&self) -> bool {
        self.result.ttl > 0
    }

    /// How an instance is that was not as it was thought to be.
    pub(super) fn found(self) -> Option<Kv> {
        self.responses.into_iter().flat_map(|it| it.response_range.kvs).next()
    }
}

impl Kv {
    /// The instance's name: its service, a slash and its address.
    pub(super) fn name(&self) -> Option<String> {
        let key = String::from_utf8(decode_base64(&self.key)?).ok()?;
        let name = key.strip_prefix(PREFIX)?;
        let (service, address) = name.split_once('/')?;
        let is_one = check("Name", service).is_ok() && check("Addr", address).is_ok();
        is_one.then(|| name.to_owned())
    }

    /// Which document of which service it is.
    pub(super) fn document(&self) -> Option<(String, Document)> {
        let key = String::from_utf8(decode_base64(&self.key)?).ok()?;
        let (service, which) = key.strip_prefix(DOCUMENTS)?.split_once('/')?;
        let which = Document::from_name(which).filter(|_| check("Name", service).is_ok())?;
        Some((service.to_owned(), which))
    }

    /// A document's text, and who wrote it; `None`: the value is not one of ours.
    pub(super) fn text(&self) -> Option<(String, u64)> {
        value::read_text(&decode_base64(&self.value)?)
    }

    /// Whether it stands where nothing of ours does.
    pub(super) fn is_foreign(&self) -> bool {
        let key = decode_base64(&self.key).unwrap_or_default();
        !key.starts_with(PREFIX.as_bytes()) && !key.starts_with(DOCUMENTS.as_bytes())
    }

    /// Its attributes; `None`: the value is not one of ours.
    pub(super) fn attributes(&self) -> Option<Option<Attributes>> {
        value::read(&decode_base64(&self.value)?)
    }

    /// Its key.
    pub(super) fn key(&self) -> Option<Vec<u8>> {
        decode_base64(&self.key)
    }

    /// The key, for people.
    pub(super) fn shown(&self) -> String {
        decode_base64(&self.key).map_or_else(
            || self.key.clone(),
            |key| String::from_utf8_lossy(&key).escape_debug().to_string(),
        )
    }
}

/// One of the objects that a watch sends.
#[derive(Derive, Default, Debug)]
#[serde(default)]
pub(super) struct Watched {
    pub(super) result: Update,
    pub(super) error: Option<Trouble>,
}

#[derive(Derive, Default, Debug)]
#[serde(default)]
pub(super) struct Update {
    pub(super) header: Header,
    pub(super) created: bool,
    pub(super) canceled: bool,
    #[serde(deserialize_with = "number")]
    pub(super) compact_revision: i64,
    pub(super) cancel_reason: String,
    pub(super) events: Vec<Change>,
}

#[derive(Derive, Default, Debug)]
#[serde(default)]
pub(super) struct Change {
    #[serde(rename = "type")]
    kind: String,
    pub(super) kv: Kv,
}

impl Change {
    pub(super) fn is_deletion(&self) -> bool {
        self.kind == "DELETE"
    }
}

/// What an error is, in the answer to most calls and in that to those that stream.
#[derive(Derive, Debug)]
#[serde(untagged)]
pub(super) enum Trouble {
    Text(String),
    Object {
        #[serde(default)]
        message: String,
    },
}

#[derive(Derive)]
struct Failure {
    error: Trouble,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Text(text) | Self::Object { message: text }) = self;
        f.write_str(text)
    }
}

/// What an answer that is no success says.
pub(super) fn trouble(status: u16, body: &[u8]) -> String {
    match serde_json::from_slice::<Failure>(body) {
        Ok(failure) => failure.error.to_string(),
        Err(_) => {
            let text = String::from_utf8_lossy(&body[..body.len().min(200)]);
            format!("status {status} {}", text.trim().escape_debug())
        }
    }
}

/// A 64-bit integer, in a string or not.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    struct Number;
    impl Visitor<'_> for Number {
        type Value = i64;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a 64-bit integer")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<i64, E> {
            text.parse().map_err(|_| E::custom("no 64-bit integer"))
        }

        fn visit_i64<E>(self, number: i64) -> Result<i64, E> {
            Ok(number)
        }

        fn visit_u64<E: de::Error>(self, number: u64) -> Result<i64, E> {
            i64::try_from(number).map_err(|_| E::custom("no 64-bit integer"))
        }
    }
    deserializer.deserialize_any(Number)
}

pub(super) fn parse<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Option<T> {
    serde_json::from_slice(text).ok()
}

/// RFC 4648 section 4, with its padding.
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let text = text.as_bytes();
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let padding = text.iter().rev().take_while(|byte| **byte == b'=').count();
    if padding > 2 {
        return None;
    }
    for four in text.chunks(4) {
        let mut bits = 0_u32;
        for (at, byte) in four.iter().enumerate() {
            let value = match byte {
                b'A'..=b'Z' => byte - b'A',
                b'a'..=b'z' => byte - b'a' + 26,
                b'0'..=b'9' => byte - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                b'=' if at >= 4 - padding && four.as_ptr_range().end == text.as_ptr_range().end => {
                    0
                }
                _ => return None,
            };
            bits = bits << 6 | u32::from(value);
        }
        out.extend_from_slice(&bits.to_be_bytes()[1..]);
    }
    out.truncate(out.len() - padding);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read_as_it_is_written() {
        for length in 0..20 {
            let bytes: Vec<u8> = (0..length).map(|at| (at * 41 + 200) as u8).collect();
            assert_eq!(decode_base64(&base64(&bytes)).as_deref(), Some(&*bytes));
        }
        for bad in ["a", "ab", "abc", "a===", "====", "ab=c", "ab==abcd", "a\u{e9}b", "ab-_"] {
            assert_eq!(decode_base64(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_instance_is_found_in_its_key_and_value() {
        let kv = |key: &str, value: &str| Kv {
            key: base64(key.as_bytes()),
            value: base64(value.as_bytes()),
            ..Kv::default()
        };
        for (key, name) in [
            ("/discoverd/instances/web/10.0.0.1:80", Some("web/10.0.0.1:80")),
            ("/discoverd/instances/h\u{e4}\u{df} 1/[::1]:80", Some("h\u{e4}\u{df} 1/[::1]:80")),
            ("/discoverd/instances/web", None),
            ("/discoverd/instances/web/", None),
            ("/discoverd/instances//a", None),
            ("/discoverd/instances/web/a/b", None),
            ("/discoverd/other/web/a", None),
        ] {
            assert_eq!(kv(key, "").name().as_deref(), name, "{key}");
        }
        let some = Attributes::from([("k".to_owned(), "\u{e4}\"\\\n".to_owned())]);
        for attributes in [None, Some(Attributes::new()), Some(some)] {
            let text = String::from_utf8(value::write(attributes.as_ref())).unwrap();
            assert_eq!(kv("", &text).attributes(), Some(attributes), "{text}");
        }
        assert_eq!(kv("", r#"{"attributes":null,"more":1}"#).attributes(), Some(None));
        for bad in ["", "x", "[1]", r#"{"attributes":{"k":1}}"#] {
            assert_eq!(kv("", bad).attributes(), None, "{bad}");
        }
    }

    #[test]
    fn a_document_is_found_in_its_key_and_value() {
        let kv = |key: &str, value: &str| Kv {
            key: base64(key.as_bytes()),
            value: base64(value.as_bytes()),
            ..Kv::default()
        };
        for (key, document) in [
            ("/discoverd/services/web/meta", Some(("web", Document::Meta))),
            (
                "/discoverd/services/h\u{e4}\u{df} 1/leader",
                Some(("h\u{e4}\u{df} 1", Document::Leader)),
            ),
            ("/discoverd/services/web", None),
            ("/discoverd/services//meta", None),
            ("/discoverd/services/web/other", None),
            ("/discoverd/services/a/b/meta", None),
            ("/discoverd/instances/web/meta", None),
        ] {
            let found = kv(key, "").document();
            let found = found.as_ref().map(|(service, which)| (&**service, *which));
            assert_eq!(found, document, "{key}");
        }
        assert_eq!(key("web//meta"), base64(b"/discoverd/services/web/meta"));
        assert_eq!(key("web/meta"), base64(b"/discoverd/instances/web/meta"));
        assert_eq!(kv("", r#"{"text":"\u00e4"}"#).text(), Some(("\u{e4}".to_owned(), 0)));
        assert_eq!(kv("", r#"{"text":1}"#).text(), None);
        assert!(kv("/discoverd/other/x", "").is_foreign());
        assert!(!kv("/discoverd/services/x", "").is_foreign());
    }

    #[test]
    fn answers_are_read_as_etcd_gives_them() {
        let alive: Reply =
            parse(br#"{"result":{"header":{"revision":"2"},"ID":"7","TTL":"10"}}"#).unwrap();
        let ended: Reply = parse(br#"{"result":{"header":{"revision":"2"},"ID":"77"}}"#).unwrap();
        assert!(alive.is_alive() && !ended.is_alive());
        let put: Reply = parse(br#"{"header":{"revision":2},"succeeded":true,"responses":[{"response_put":{"header":{"revision":"2"}}}]}"#).unwrap();
        assert!(put.succeeded && put.header.revision == 2 && put.found().is_none());
        let failed: Reply = parse(br#"{"header":{"revision":"2"},"responses":[{"response_range":{"kvs":[{"key":"YQ==","mod_revision":"9223372036854775807","lease":"-1"}]}}]}"#).unwrap();
        let found = failed.found().unwrap();
        assert_eq!((found.mod_revision, found.lease), (i64::MAX, -1));
        let compacted: Watched =
            parse(br#"{"result":{"header":{},"canceled":true,"compact_revision":"128"}}"#).unwrap();
        assert!(compacted.result.canceled && compacted.result.compact_revision == 128);
        for (body, text) in [
            (&br#"{"error":"etcdserver: no leader","code":14}"#[..], "etcdserver: no leader"),
            (
                br#"{"error":{"grpc_code":14,"message":"etcdserver: no leader"}}"#,
                "etcdserver: no leader",
            ),
            (b"Bad\x01 Gateway\n", "status 502 Bad\\u{1} Gateway"),
        ] {
            assert_eq!(trouble(502, body), text);
        }
        assert!(parse::<Reply>(br#"{"header":{"revision":"x"}}"#).is_none());
    }
}
