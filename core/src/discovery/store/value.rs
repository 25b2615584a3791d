//! What stands in a shared store for an instance and for a document: its attributes and its text in JSON, for people to read.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::rpc::Attributes;

#[derive(Serialize)]
struct ValueRef<'a> {
    attributes: Option<&'a Attributes>,
}

#[derive(Deserialize)]
struct Value {
    attributes: Option<BTreeMap<String, String>>,
}

pub(super) fn write(attributes: Option<&Attributes>) -> Vec<u8> {
    serde_json::to_vec(&ValueRef { attributes }).unwrap_or_default()
}

/// `None`: the value is not one of ours.
pub(super) fn read(value: &[u8]) -> Option<Option<Attributes>> {
    let value: Value = serde_json::from_slice(value).ok()?;
    Some(value.attributes)
}

#[derive(Serialize)]
struct TextRef<'a> {
    text: &'a str,
    writer: u64,
}

#[derive(Deserialize)]
struct Text {
    text: String,
    #[serde(default)]
    writer: u64,
}

/// A document. `writer` is a number by which it can be told later whether it was this that wrote it.
pub(super) fn write_text(text: &str, writer: u64) -> Vec<u8> {
    serde_json::to_vec(&TextRef { text, writer }).unwrap_or_default()
}

/// A document's text, and who wrote it; `None`: the value is not one of ours.
pub(super) fn read_text(value: &[u8]) -> Option<(String, u64)> {
    serde_json::from_slice(value).ok().map(|Text { text, writer }| (text, writer))
}
